"""The table of a campaign: unique keys and names, one writer, full disks, files that are none, export."""

import sqlite3
import subprocess
import sys
from contextlib import closing

import numpy as np
import pytest

from jaxnmr.campaign.export import write_parquet
from jaxnmr.campaign.rows import Row, Rows
from jaxnmr.campaign.table import Table
from jaxnmr.errors import ConventionError, JaxnmrError, ParseError

COLUMNS = {"chi2": float, "sites": int, "group": str}


def row(k, **more):
    values = {"chi2": 0.5 * k, "sites": np.int64(k), "group": "P 1"}
    return Row(f"key {k}", f"n{k}", "converged", "", 1.0, values, {"esd": [0.1, float("nan")]}, f"data_{k}\n")._replace(
        **more
    )


def test_rows_come_back_as_they_were_by_name_and_in_the_order_asked_for(tmp_path):
    with Table(tmp_path, "screening", COLUMNS, "run") as table:
        table.write(row(k) for k in (2, 1))
        table.write([row(3, values={"chi2": float("nan")})])
        assert table.known(["key 1", "key 9", "key 3"]) == {"key 1", "key 3"}
        reader = table.reader()
        assert [r.name for r in reader] == ["n1", "n2", "n3"] and len(reader) == 3
    rows = Rows(tmp_path)
    assert rows.row("key 2") == row(2, record={"esd": [0.1, None]})
    assert rows.column("chi2") == [0.5, 1.0, None] and rows.column("sites") == [1, 2, None]
    assert [r.text for r in rows.of(["key 3", "key 1"])] == ["data_3\n", "data_1\n"]
    assert rows.named("n2").key == "key 2" and rows.named("n9") is None and rows.keys("error") == []
    with pytest.raises(ConventionError, match="no row with the key 'key 9'"):
        rows.row("key 9")
    with pytest.raises(ConventionError, match="no column 'rwp'; it has key, name"):
        rows.column("rwp")


def test_more_rows_than_one_statement_takes_are_found(tmp_path):
    with Table(None, "stub", COLUMNS) as table:
        table.write(row(k) for k in range(2000))
        keys = [f"key {k}" for k in range(1999, -1, -1)]
        assert table.known([*keys, "none"]) == set(keys)
        assert [r.key for r in table.reader().of(keys)] == keys


def test_a_key_has_one_row_and_so_has_a_name():
    with Table(None, "stub", COLUMNS) as table:
        table.write([row(1), row(1, status="error"), row(2)])
        table.write([row(1, status="stalled")])
        assert [r.status for r in table.reader()] == ["converged", "converged"]
        table.write([row(3, name="n1")])  # the same candidate with another content
        assert [(r.key, r.name, r.text) for r in table.reader()] == [
            ("key 3", "n1", "data_3\n"),
            ("key 2", "n2", "data_2\n"),
        ]
        table.forget(["key 3"])
        assert table.reader().keys() == ["key 2"]
        with pytest.raises(ConventionError, match=r"the values \['mass'\], of which its table has no columns"):
            table.write([row(4, values={"mass": 1.0})])


HOLD = "from jaxnmr.campaign.table import Table; import sys; t = Table(sys.argv[1], 'stub', {}); print('held', flush=True); sys.stdin.read()"


def test_another_process_is_refused_until_the_first_is_gone_however_it_went(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ConventionError, match=rf"written by another process \(process {other.pid} on"):
            Table(tmp_path, "stub", {})
        assert len(Rows(tmp_path)) == 0  # reading is free
        other.kill()
        other.wait()
    with Table(tmp_path, "stub", {}) as table:
        table.write([Row("k", "n", "converged")])


def test_a_full_disk_keeps_what_was_written(tmp_path):
    with Table(tmp_path, "stub", COLUMNS) as table:
        table.write([row(1)])
        pages = table._base.execute("PRAGMA page_count").fetchone()[0]
        table._base.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(JaxnmrError, match="no space left on the disk; what was written before is kept"):
            table.write(row(k, text="x" * 20_000) for k in range(2, 9))
        assert table.reader().keys() == ["key 1"]
    assert Rows(tmp_path).keys() == ["key 1"]


def test_what_is_no_table_of_this_run_is_refused(tmp_path):
    Table(tmp_path, "screening", COLUMNS, "one").close()
    for more, words in (
        (("series", COLUMNS, "one"), "table of another kind"),
        (("screening", {"chi2": float}, "one"), "table of another kind .* or of another version"),
        (("screening", COLUMNS, "two"), "table of another run"),
    ):
        with pytest.raises(ConventionError, match=words):
            Table(tmp_path, *more)
    Table(tmp_path, "screening", COLUMNS, "one").close()  # none of them holds it
    with pytest.raises(ParseError, match="no such table"):
        Rows(tmp_path / "elsewhere")
    for name, content in (("text", b"rows " * 500), ("empty", b"")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "table.sqlite").write_bytes(content)
        with pytest.raises(ParseError, match="is no table"):
            Rows(tmp_path / name)
    with closing(sqlite3.connect(tmp_path / "table.sqlite")) as base, base:
        base.execute("UPDATE notes SET value = '99' WHERE name = 'schema'")
    with pytest.raises(ParseError, match="has the schema 99; expected 1"):
        Rows(tmp_path)


def test_the_table_goes_out_as_parquet_with_all_that_belongs_to_a_row(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    with Table(None, "stub", COLUMNS) as table:
        table.write(row(k) for k in range(3))
        assert write_parquet(table.reader(), tmp_path / "all.parquet") == 3
    read = parquet.read_table(tmp_path / "all.parquet").to_pylist()
    assert [r["chi2"] for r in read] == [0.0, 0.5, 1.0] and read[2]["text"] == "data_2\n"
    assert '"esd": [0.1, null]' in read[0]["record"]
