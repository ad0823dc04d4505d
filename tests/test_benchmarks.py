"""The benchmark scripts run, and what they count is what there is. Nothing here depends on how long anything takes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxnmr as jn

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import bench_powder
    import scaling

    return bench_powder, scaling


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    folder = run(
        "bench_powder.py", "--case", "quartz", "--no-scaling", "--no-large", folder=tmp_path_factory.mktemp("bench")
    )
    return json.loads((folder / "benchmarks.json").read_text())


def run(script: str, *arguments: str, folder: Path) -> Path:
    """Folder with the results of a script, run on small problems."""
    cache = jax.config.jax_compilation_cache_dir
    # what is counted does not depend on how well it is compiled, and compiling well is most of the time
    quick = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.03"}
    environment = os.environ | quick | ({"JAX_COMPILATION_CACHE_DIR": cache} if cache else {})
    command = [sys.executable, str(FOLDER / script), *arguments, "--quick", "--out", str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_record_says_on_what_and_with_what_it_was_measured(record):
    machine = record["machine"]
    assert machine["jax"] == jax.__version__ and machine["jaxnmr"] == jn.__version__
    assert machine["device"] and machine["processor"] and machine["platform"]
    if hasattr(os, "sched_setaffinity"):
        assert len(machine["cores_used"]) == 1


def test_three_ways_to_a_jacobian_agree(record):
    deviation = record["cases"]["quartz"]["largest_difference_from_structured_jacobian"]
    assert deviation["jacfwd_of_forward"] < 1e-10
    assert deviation["central_differences"] < 1e-4


def test_every_time_is_recorded(record):
    case = record["cases"]["quartz"]
    wanted = {"forward", "jacobian", "jacobian_and_normal_equations", "central_differences", "jacfwd_of_forward"}
    assert wanted <= set(case["times"])
    assert all(t["min_ms"] > 0 and t["calls"] >= 1 for t in case["times"].values())


def test_the_peaks_cut_off_change_the_pattern_by_little(record):
    cut = record["cases"]["quartz"]["truncation"]["xrd"]
    assert 0 < cut["largest_change_of_highest_point"] < 2e-4


def test_work_counts_every_peak_that_reaches_a_block_of_points(scripts):
    bench, scaling = scripts
    at, counts = scaling.problem(points=2001)
    (histogram,) = bench.work(at[1], counts["columns"])["histograms"]
    plan = at[1].terms[0].model
    tables = plan.phase_tables({"quartz": at[1].crystals["quartz"]}, {k: q.value for k, q in plan.quantities().items()})
    position, fwhm = np.asarray(tables[0].position), np.asarray(tables[0].fwhm)
    present = np.asarray(plan.phases[0].present) > 0
    # a peak certainly reaches the blocks within three widths of its lines
    x = np.asarray(plan.x_blocks)
    low, high = position.min(axis=0) - 3 * fwhm, position.max(axis=0) + 3 * fwhm
    certain = ((x[:, -1][:, None] >= low) & (x[:, 0][:, None] <= high) & present).sum()
    everything = x.shape[0] * present.sum()
    pairs = histogram["points_x_overlapping_peaks_x_columns"] / counts["columns"] / x.shape[1]
    assert histogram["reflections"] == present.sum() == counts["reflections"]
    assert certain < pairs < everything
    assert histogram["jacobian_mb"] == pytest.approx(2001 * counts["columns"] * 8e-6)


def test_a_repeated_cell_is_the_same_crystal(scripts):
    _, scaling = scripts
    one, three = scaling.in_p1(1, 1), scaling.in_p1(3, 1)
    assert (one.n_sites, three.n_sites) == (9, 27)
    bonds = [jn.crystal.plan_bonds(c).table(c) for c in (one, three)]
    lengths = [np.unique(np.round([b.distance for b in table], 6)) for table in bonds]
    np.testing.assert_allclose(lengths[0], lengths[1])
    assert len(bonds[1]) == 3 * len(bonds[0])


def test_growth_curves_are_drawn_with_their_exponents(scripts, tmp_path):
    _, scaling = scripts
    rows = [{"points": n, "forward_ms": 0.1 * n, "normal_equations_ms": 0.01 * n**1.5} for n in (10, 20, 40)]
    exponents = {key: scaling.exponent(rows, "points", key) for key in ("forward_ms", "normal_equations_ms")}
    assert exponents == pytest.approx({"forward_ms": 1.0, "normal_equations_ms": 1.5})
    series = {"points": {"label": "points", "against": "points", "rows": rows, "exponents": exponents}}
    assert scaling.draw(series, tmp_path / "scaling.png").stat().st_size > 5000
    assert "n^1.50" in scaling.summary(series)


def test_symmetry_spares_a_network_most_of_its_messages(tmp_path):
    folder = run("bench_models.py", folder=tmp_path)
    record = json.loads((folder / "models.json").read_text())
    assert record["machine"]["jax"] == jax.__version__ and record["process_peak_mb"] > 0
    rows = {(row["function"], row["symmetry"]): row for row in record["rows"]}
    assert set(rows) == {("forward", True), ("Jacobian", True), ("forward", False)}
    with_symmetry, without = rows["forward", True], rows["forward", False]
    assert (with_symmetry["atoms"], with_symmetry["sites"]) == (9, 2) and without["sites"] == without["atoms"] == 9
    # 37 neighbours of one Si and one O, 168 of three Si and six O
    assert with_symmetry["edges"] < without["edges"] / 4 and with_symmetry["operations"] < without["operations"] / 2
    assert all(row["best_ms"] > 0 and row["compilation_s"] > 0 for row in rows.values())
    assert (folder / "models.png").stat().st_size > 5000


def test_other_ways_to_the_derivatives_of_a_step_agree(scripts):
    import bench_models
    import bench_zeolite
    import other_ways
    import zeolite

    problem = bench_zeolite.problem(bench_models.quartz(None), bench_zeolite.network("quick"), zeolite.SILICA, 6)
    row = bench_zeolite.measured("quartz", *problem, 0.0)
    # x of silicon on its axis, and x, y, z of oxygen
    assert (row["atoms"], row["coordinates"], row["centres"]) == (9, 4, 2) and row["temporary_mb"] > 0
    objective = problem[0]
    ways = {name: found for name, (_, found) in other_ways.steps(objective, [0]).items()}
    exact = ways.pop("jax.jacfwd, coordinates of the sites")
    # six elements of one tensor, and the distances
    assert exact.shape == (6 + len(objective.terms[-1].atoms), 2, 3) and len(ways) == 3
    # off its axis silicon is several atoms: what a derivative means there is another matter in every way
    movable = np.array([[True, False, False], [True, True, True]])
    for name, found in ways.items():
        # differences of distances, with steps of 1e-5 of the cell, are good to about 1e-9
        np.testing.assert_allclose(found[:, movable], exact[:, movable], atol=1e-8 * np.abs(exact).max(), err_msg=name)


def test_starts_and_candidates_that_are_counted_end_in_one_minimum(tmp_path):
    folder = run("bench_screening.py", folder=tmp_path)
    record = json.loads((folder / "screening.json").read_text())
    (row,) = record["starts"]
    assert row["starts"] == 2 and row["found"] == [2] and row["per_minute"] > 0
    assert row["largest_shift_from_first_over_esd"] < 0.1
    screening = record["screening"]
    assert screening["candidates"] == 2 and {row["status"] for row in screening["rows"]} == {"converged"}
    np.testing.assert_allclose(*(row["chi2"] for row in screening["rows"]), rtol=1e-6)
    assert screening["per_minute"] > 0 and (folder / "screening.png").stat().st_size > 5000


def test_a_campaign_is_counted_by_what_it_costs_to_hand_out_and_compared_with_one_process(tmp_path):
    folder = run("bench_cluster.py", folder=tmp_path)
    record = json.loads((folder / "cluster.json").read_text())
    stubs, real = record["stubs"], record["real"]
    assert (
        stubs["items"] == 200 and stubs["client_and_scheduler_cpu_ms_per_item"] > 0 and len(stubs["resident_mb"]) == 2
    )
    assert real["statuses"] == {"converged": 2} and real["compared_with_one_process"] == 2
    assert real["largest_relative_difference_of_chi2"] < 1e-9


def test_programs_are_measured_beside_what_their_device_does_at_most(tmp_path):
    folder = run("bench_device.py", folder=tmp_path)
    record = json.loads((folder / "device.json").read_text())
    assert record["machine"]["device"] and record["machine"]["jaxlib"] and record["machine"]["devices"] == 1
    assert all(value > 0 for value in record["peaks"].values())
    step, (row,) = record["programs"]["step"], record["widths"]
    # per second is count over time
    np.testing.assert_allclose(step["gflops"] * 1e9 * step["best_ms"] * 1e-3, step["operations"])
    np.testing.assert_allclose(step["gb_s"] * 1e9 * step["best_ms"] * 1e-3, step["bytes"])
    # normal equations of the pattern alone: 3,000 points or more, 17 numbers
    assert step["operations"] > 2 * 3000 * 17**2 and step["bytes"] > 3000 * 17 * 8
    assert row["width"] == 1 and row["found"] == [2] and row["evaluations"] >= 8
    assert all((folder / name).stat().st_size > 5000 for name in ("roofline.png", "widths.png", "parts.png"))


def test_every_way_to_import_is_timed_and_compared_with_jax(tmp_path):
    record = json.loads((run("bench_import.py", folder=tmp_path) / "import.json").read_text())
    assert {"python", "import jax", "import jaxnmr", "every public name", "jaxnmr --help"} <= record["times"].keys()
    for times in record["times"].values():
        assert 0 < times["min_s"] <= times["cpu_s"] <= times["max_s"]
    assert set(record["ratio_to_import_jax"]) < set(record["times"])


def test_epochs_of_batches_padded_by_two_rules_end_with_the_same_loss(scripts):
    import bench_training

    fixed, chosen = bench_training.measured(*bench_training.made_up(), ("fixed", 1), 2)
    assert len(fixed["sizes"]) == 3 and fixed["filled"] > chosen["filled"] > 0.3
    assert fixed["loss"] == pytest.approx(chosen["loss"], rel=1e-5)
    # the one size is the largest of the three, and was compiled with them
    assert set(chosen["first_steps_s"]) < set(fixed["first_steps_s"])
    assert len(fixed["epochs_s"]) == len(chosen["epochs_s"]) == 2
