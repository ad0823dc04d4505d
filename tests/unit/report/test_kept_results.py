"""What a result keeps on disk, and reports made from it again."""

import json
import shutil
from dataclasses import dataclass, replace
from types import SimpleNamespace

import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest
from made_up_fit import fitted_pattern, made_up_fit

from jaxnmr import cli
from jaxnmr.errors import ParseError
from jaxnmr.objective.evidence import Evidence, Rows, rows_of
from jaxnmr.report import rewrite_report, write_report
from jaxnmr.report.asked import Asked, AskedCurve
from jaxnmr.report.kept import KEPT, read_kept, write_kept
from jaxnmr.report.page import page_possible
from jaxnmr.terms.quantification import Content


@pytest.fixture(autouse=True)
def double_precision():
    # the command switches it on for good
    before = jax.config.jax_enable_x64
    with jax.enable_x64(True):
        yield
    jax.config.update("jax_enable_x64", before)


def fit_with_rows():
    rows = Rows(
        name="peaks",
        what="shifts",
        rows=rows_of(("Si1", "Si2"), "δ", "ppm", [1.0, np.nan], [1.1, 2.0], 0.1),
        facts={"phases": frozenset("b")},
    )
    contents = {"rutile": Content(2.5, 62.4, ("Ti", "O"), np.array([95.7, 64.0]), np.ones(2), ("Ti", "O"), np.zeros(2))}
    fit = made_up_fit(evidence={"xrd": replace(fitted_pattern(), contents=contents), "peaks": rows})
    more = {"peaks": rows.statistics(np.array([1.0, -2.0]), 1.0)}
    return replace(fit, statistics=fit.statistics | more, warnings=("Ångström",), seconds=float("inf"))


def test_a_result_comes_back_from_disk_as_it_was(tmp_path):
    fit, asked = fit_with_rows(), Asked(("png", "svg"), (AskedCurve("xrd", "a.xye", (20.0, 30.0), "sqrt"),))
    back, again = read_kept(write_kept(tmp_path / KEPT, fit, asked))
    assert again == asked
    shown, expected = back.patterns["xrd"], fit.patterns["xrd"]
    for name in ("observed", "sigma", "calculated", "baseline"):
        np.testing.assert_array_equal(getattr(shown, name), getattr(expected, name), strict=True)
    np.testing.assert_array_equal(shown.reflections["rutile"].hkl, expected.reflections["rutile"].hkl, strict=True)
    assert shown.contents["rutile"].scale == 2.5 and isinstance(shown.contents["rutile"], Content)
    assert back.crystal.group == fit.crystal.group and back.crystal.group.name == fit.crystal.group.name
    assert back.crystal.labels == fit.crystal.labels and back.steps == fit.steps and back.statistics == fit.statistics
    assert [vars(r) for r in back.parameters.rows()] == [vars(r) for r in fit.parameters.rows()]
    assert back.parameters.free_names == fit.parameters.free_names
    np.testing.assert_array_equal(back.covariance, fit.covariance, strict=True)
    assert repr(back.evidence["peaks"]) == repr(fit.evidence["peaks"]) and back.seconds == float("inf")
    assert back.objective is None and back.warnings == ("Ångström",)


def test_a_report_is_made_again_to_the_last_byte_and_by_the_command(tmp_path, capsys, monkeypatch):
    # one picture tells
    for name in ("correlations", "convergence"):
        monkeypatch.setattr(f"jaxnmr.report.pictures.{name}", lambda fit: plt.figure(figsize=(0.5, 0.5)))
    curve = SimpleNamespace(name="xrd", file=tmp_path / "a.xye", zoom=(25.0, 40.0), scale="sqrt")
    run = SimpleNamespace(title="Rutile", inputs=(), pictures=("png",), histograms=(curve,), spectra=())
    first = write_report(replace(fit_with_rows(), seconds=1.5), tmp_path / "out", run)
    assert ("page" in first) == page_possible()
    before = {path.name: path.read_bytes() for path in first.values()}
    assert sorted(json.loads(before["result.json"])["result"]["files"]) == sorted(set(before) - {"result.json"})
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("result.json", KEPT):
        shutil.copy2(tmp_path / "out" / name, bare)
    assert cli.main(["report", str(bare), "--no-cache"]) == 0
    assert f"{len(before)} files" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in bare.iterdir()} == before


def test_what_cannot_be_made_again_says_why(tmp_path, capsys):
    with pytest.raises(ParseError, match="name a folder into which a refinement wrote"):
        rewrite_report(tmp_path)
    with pytest.raises(ParseError, match="refine again"):
        read_kept(tmp_path / KEPT)
    write_kept(tmp_path / KEPT, made_up_fit(), Asked())
    content = (tmp_path / KEPT).read_bytes()
    (tmp_path / KEPT).write_bytes(content[: len(content) // 2])
    with pytest.raises(ParseError, match="is damaged"):
        read_kept(tmp_path / KEPT)
    assert cli.main(["report", str(tmp_path / "gone")]) == 2 and "no such file" in capsys.readouterr().err


@dataclass(frozen=True, kw_only=True)
class OwnEvidence(Evidence):
    secret: float = 1.0


def test_records_of_terms_from_elsewhere_need_their_module_and_run_nothing(tmp_path, monkeypatch):
    own = OwnEvidence(name="own", what="mine", secret=2.5)
    path = write_kept(tmp_path / KEPT, made_up_fit(evidence={"own": own}), Asked())
    assert read_kept(path)[0].evidence["own"] == own
    monkeypatch.delitem(__import__("sys").modules, __name__)
    with pytest.raises(ParseError, match="import the module that defines it"):
        read_kept(path)


def test_fields_added_since_have_their_defaults_and_others_are_refused(tmp_path, monkeypatch):
    path = write_kept(tmp_path / KEPT, made_up_fit(evidence={"own": OwnEvidence(name="own", what="mine")}), Asked())
    module = __import__("sys").modules[__name__]

    @dataclass(frozen=True, kw_only=True)
    class Newer(OwnEvidence):
        added: tuple[int, ...] = (1,)

    monkeypatch.setattr(module, "OwnEvidence", Newer)
    assert read_kept(path)[0].evidence["own"].added == (1,)
    monkeypatch.setattr(module, "OwnEvidence", Evidence)
    with pytest.raises(ParseError, match="of another version"):
        read_kept(path)
