"""Tables of campaigns that were damaged, left half written, or are of somebody else; names that are no text; senseless options."""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from jaxnmr.campaign.connect import connected
from jaxnmr.campaign.processes import serve
from jaxnmr.campaign.rows import FILE, Row, Rows
from jaxnmr.campaign.table import Table
from jaxnmr.errors import ConventionError, JaxnmrError, ParseError

COLUMNS = {"chi2": float}


def made(folder, count=50):
    with Table(folder, "stub", COLUMNS) as table:
        table.write(
            Row(f"key {k}", f"n{k}", "converged", "", 1.0, {"chi2": 1.0 * k}, {}, "x" * 500) for k in range(count)
        )
    return folder / FILE


def test_pages_that_are_damaged_in_the_middle_are_said_in_a_sentence(tmp_path):
    path = made(tmp_path, 2000)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 4)
        file.write(b"\xa5" * (path.stat().st_size // 2))
    rows = Rows(tmp_path)
    with pytest.raises(
        JaxnmrError, match=r"table\.sqlite: is no table \(database disk image is malformed\); remove it"
    ):
        list(rows)


def test_what_a_killed_process_was_writing_is_taken_back_by_whoever_reads(tmp_path):
    path = made(tmp_path)
    killed = f"""
import os, signal, sqlite3
base = sqlite3.connect({str(path)!r}, isolation_level=None)
base.execute("PRAGMA cache_size = 5")  # so that half of the transaction is in the file
base.execute("BEGIN IMMEDIATE")
row = "INSERT INTO rows (key, name, status, message, seconds) VALUES (?, ?, 'converged', ?, 1.0)"
base.executemany(row, [(f"z{{k}}", f"z{{k}}", "m" * 300) for k in range(2000)])
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", killed], check=False).returncode == -signal.SIGKILL
    assert (tmp_path / f"{FILE}-journal").stat().st_size > 0 and path.stat().st_size > 300_000
    assert [row.key for row in Rows(tmp_path)] == sorted((f"key {k}" for k in range(50)), key=lambda key: "n" + key[4:])


def test_a_table_says_what_it_is_as_soon_as_there_is_one(tmp_path):
    seen = []

    class Noticing(Table):
        def _note(self, **notes):
            with closing(sqlite3.connect(self.path)) as other:
                seen.append(other.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
            super()._note(**notes)

    Noticing(tmp_path, "stub", COLUMNS).close()
    assert seen[0] == 0  # nobody sees tables that have no notes yet


def test_a_database_of_somebody_else_is_refused_and_stays_as_it_is(tmp_path):
    path = tmp_path / FILE
    base = sqlite3.connect(path)
    base.execute("PRAGMA journal_mode = WAL")
    base.execute("CREATE TABLE notes (x)")
    base.close()
    before = path.read_bytes()
    with pytest.raises(ParseError, match="is no table of a campaign"):
        Table(tmp_path, "stub", COLUMNS)
    assert path.read_bytes() == before


def test_a_lock_that_cannot_be_opened_is_said(tmp_path):
    (tmp_path / "table.lock").mkdir()
    with pytest.raises(ConventionError, match=r"table\.lock cannot be locked \(unable to open database file\)"):
        Table(tmp_path, "stub", COLUMNS)


def test_names_of_files_that_are_no_utf8_are_kept_apart(tmp_path):
    first, second = (os.fsdecode(name) for name in (b"a\xfe", b"a\xff"))
    with Table(tmp_path, "stub", COLUMNS) as table:
        table.write(
            [Row("1", first, "error", f"no file {first}", record={"flags": [first]}), Row("2", second, "error")]
        )
        table.write([Row("3", first, "converged")])
        assert [(row.key, row.name) for row in table.reader()] == [("3", "a\\udcfe"), ("2", "a\\udcff")]


@pytest.mark.parametrize(
    ("workers", "limit", "message"),
    [
        (0, None, "0 workers; expected at least one"),
        (-2, None, "-2 workers"),
        (2, "nonsense", "'nonsense' is no size; expected one such as 4GB"),
        (2, "4", "'4' is less than what a process takes that does nothing; expected 300MB or more"),
    ],
)
def test_senseless_numbers_of_workers_and_limits_are_refused_at_once(workers, limit, message):
    pytest.importorskip("distributed")
    with pytest.raises(ConventionError, match=message), connected(workers=workers, memory_limit=limit):
        pass
    with pytest.raises(ConventionError, match=message):
        serve("tcp://127.0.0.1:1", workers=workers, gpu=False, memory_limit=limit)
