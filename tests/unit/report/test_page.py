"""The page of a report: what is in it, its size, and whether a browser draws it."""

import base64
import gzip
import json
import re
import shutil
import subprocess
from dataclasses import replace
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from made_up_fit import fitted_pattern, made_up_fit, rutile, statistics, steps

from jaxnmr.errors import JaxnmrError
from jaxnmr.objective.evidence import Axis
from jaxnmr.report import live, write_report
from jaxnmr.report.asked import Asked
from jaxnmr.report.page import MISSING, page_possible, write_page
from jaxnmr.report.page.cells import page_cell
from jaxnmr.report.page.curves import page_curves
from jaxnmr.report.publication import paper_tables
from jaxnmr.report.record import result_record
from jaxnmr.terms import SpectrumEvidence

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_plotly = pytest.mark.skipif(not page_possible(), reason="plotly, of the extra html, is not installed")


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def spectrum():
    ppm = np.linspace(-20.0, 20.0, 201)
    parts = {"Na1": np.exp(-((ppm / 3) ** 2)), "Na2": 0.5 * np.exp(-(((ppm - 9) / 2) ** 2))}
    total = sum(parts.values())
    return SpectrumEvidence(
        name="na", what="spectrum", axis=Axis(ppm, "δ", "ppm"), observed=total + 0.01, sigma=np.full(201, 0.01), calculated=total,
        baseline=np.zeros(201), parts=parts, regions=((-20.0, 0.0), (1.0, 20.0)), frequency_hz=ppm * 105.8, isotope="23Na", larmor_hz=105.8e6,
    )  # fmt: skip


def content(path):
    packed = re.search(r'id="content">([^<]*)<', path.read_text("utf-8"))[1]
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def test_curves_of_a_page_are_those_of_the_evidence():
    shown, nmr = fitted_pattern(), spectrum()
    pattern, of_nmr = page_curves({"xrd": shown, "na": nmr}, {"xrd": statistics()}, Asked())
    np.testing.assert_allclose(pattern["x"], shown.x, rtol=1e-7)
    np.testing.assert_allclose(pattern["calculated"], shown.calculated, rtol=1e-5)
    assert shown.x[pattern["breaks"][0] - 1] < 62.0 <= 64.0 < shown.x[pattern["breaks"][0]]
    assert pattern["phases"][0]["hkl"][1] == "2 0 0" and "Rwp 8.410 %" in pattern["agreement"]
    assert (
        of_nmr["left"] and of_nmr["axis"] == "δ(²³Na) / ppm" and [p["name"] for p in of_nmr["parts"]] == ["Na1", "Na2"]
    )
    assert nmr.ppm[of_nmr["breaks"][0] - 1] < 1.0 <= nmr.ppm[of_nmr["breaks"][0]] + 0.5


def test_a_drawn_cell_completes_octahedra_and_bonds_have_their_lengths():
    crystal = rutile()
    cell = page_cell("rutile", crystal)
    at = np.array([atom["at"] for atom in cell["atoms"]])
    element = [atom["element"] for atom in cell["atoms"]]
    # eight corners and the centre; the oxygen atoms around each of them
    assert element.count("Ti") == 9
    lengths = np.array([np.linalg.norm(at[a] - at[b]) for a, b in cell["bonds"]])
    a, c, x = 4.5937, 2.9587, 0.3053
    expected = np.array([np.sqrt(2) * a * x, np.sqrt(2 * (a * (0.5 - x)) ** 2 + (0.5 * c) ** 2)])
    assert np.abs(lengths[:, None] - expected).min(axis=1).max() < 1e-3
    neighbours = np.bincount(np.ravel(cell["bonds"]), minlength=len(at))
    assert {int(n) for n, e in zip(neighbours, element, strict=True) if e == "Ti"} == {6}
    np.testing.assert_allclose(
        at, np.array([atom["xyz"] for atom in cell["atoms"]]) @ np.asarray(cell["lattice"]), atol=1e-3
    )
    assert cell["elements"]["O"] == ("#ff0d0d", 0.66)


@needs_plotly
def test_thirty_thousand_points_make_a_page_of_less_than_five_megabytes_without_addresses(tmp_path):
    x = np.linspace(5.0, 155.0, 30000)
    y = np.random.default_rng(1).poisson(1000.0, 30000).astype(float)
    shown = replace(
        fitted_pattern(), axis=Axis(x, "2θ", "°"), observed=y, sigma=np.sqrt(y), calculated=y * 1.01, baseline=0.9 * y
    )
    fit = made_up_fit(evidence={"xrd": shown})
    path = write_page(fit, tmp_path / "report.html", result_record(fit), Asked(), paper_tables(fit, "<b>"))
    text = path.read_text("utf-8")
    assert len(text) < 5e6 and not re.search(r'(src|href)=|@import|url\(|"https?:', text)
    assert "&lt;b&gt;" in text and len(content(path)["curves"][0]["observed"]) == 30000


@needs_plotly
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to open the page in")
def test_a_browser_draws_every_plot_without_errors(tmp_path):
    fit = made_up_fit(
        evidence={"xrd": fitted_pattern(), "na": spectrum()}, statistics={"xrd": statistics(), "na": statistics()}
    )
    page = write_page(fit, tmp_path / "report.html", result_record(fit), Asked(), paper_tables(fit, "Rutile"))
    arguments = ("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking", "disable-component-update",
                 "disable-sync", "use-angle=swiftshader", "enable-unsafe-swiftshader", "enable-logging=stderr", "virtual-time-budget=20000",
                 "dump-dom", f"user-data-dir={tmp_path / 'profile'}")  # fmt: skip
    done = subprocess.run(
        [CHROMIUM, *(f"--{a}" for a in arguments), page.as_uri()], capture_output=True, text=True, timeout=300
    )
    body = re.search(r"<body[^>]*>", done.stdout)[0]
    assert 'data-plots="4"' in body and "data-errors" not in body, done.stderr
    assert not re.search(r"CONSOLE.*(Uncaught|Error|error)", done.stderr), done.stderr
    assert done.stdout.count("legendtoggle") >= 10 and "Rwp 8.410 %" in done.stdout


def test_without_the_library_there_is_no_page_and_no_live_view(tmp_path, monkeypatch):
    for module in ("jaxnmr.report.write", "jaxnmr.report.live"):
        monkeypatch.setattr(f"{module}.page_possible", lambda: False)
    monkeypatch.setattr("jaxnmr.report.write.write_pictures", lambda *_: [])
    assert "page" not in write_report(made_up_fit(), tmp_path)
    assert not (tmp_path / "report.html").exists() and "pip install 'jaxnmr[html]'" in MISSING
    with pytest.raises(JaxnmrError, match=r"needs plotly, which pip install 'jaxnmr\[html\]' installs"):
        live.LivePage(tmp_path, "t", None, lambda: None)


@needs_plotly
def test_a_live_view_tells_the_step_and_what_is_calculated_now(tmp_path, monkeypatch):
    def followed(scale):
        """An objective whose pattern is what the parameters say."""
        shown = fitted_pattern()
        term = SimpleNamespace(name="xrd", evidence=lambda _: replace(shown, calculated=scale[0] * shown.calculated))
        state = SimpleNamespace(crystals={"rutile": rutile()})
        objective = SimpleNamespace(terms=[term], host_state=lambda _: SimpleNamespace(plain=lambda: state))
        return SimpleNamespace(bind=lambda _: objective)

    scale, clock = [0.5], [0.0]
    monkeypatch.setattr("jaxnmr.report.live.time.monotonic", lambda: clock[0])
    view = live.LivePage(tmp_path, "Rutile", followed(scale), lambda: None)
    view.begin(None)
    assert 'data-live="yes"' in view.page.read_text("utf-8")
    start = content(view.page)
    assert start["summary"].startswith("The refinement begins") and start["course"] == []
    seen = []
    for k, step in enumerate(steps()):
        # a second for every step: every other one is told
        scale[0], clock[0] = 0.6 + 0.1 * k, 10.0 + k
        view(step)
        number, told = json.loads(
            "[" + re.fullmatch(r"jaxnmrLive\((.*)\);\n", (tmp_path / live.LIVE).read_text("utf-8"))[1] + "]"
        )
        seen.append((number, len(told["course"])))
        assert told["curves"][0]["calculated"][0] == pytest.approx((0.6 + 0.1 * (k - k % 2)) * 120.0, rel=1e-5)
    assert seen == [(1, 1), (1, 1), (2, 3), (2, 3), (3, 5), (3, 5), (4, 7)]
    assert "stage 3 'atoms', step 7, Rwp xrd 8.444 %, χ² 1640" in told["summary"]
    assert told["curves"][0]["agreement"] == "Rwp 8.444 %"
    view.end()
    assert not view.page.exists() and (tmp_path / live.LIVE).read_text() == "jaxnmrLive(null);\n"
