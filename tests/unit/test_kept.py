"""Executables kept beside the cache: loaded without tracing, made again when they are stale, trusted only where nobody else writes."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.compilation_cache.compilation_cache import reset_cache

import jaxnmr as jn
from jaxnmr import _digest, _kept
from jaxnmr._compilations import watch_compilations
from jaxnmr._struct import Compiled, Struct, compiled, static

ROOT = Path(__file__).resolve().parents[2]
# plans a pattern, whose peaks a compiled program calculates with LAPACK, and prints what was traced and what came out
PROGRAM = """
import sys
import jax
import jaxnmr as jn
from jaxnmr._compilations import watch_compilations

jn.enable_x64()
jn.enable_cache(sys.argv[1])
traced = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, _, **of: traced.append(of.get("fun_name")) if "jaxpr_trace" in event else None
)
crystal = jn.Crystal.create(
    cell=(3.35, 3.36, 3.4, 90.0, 95.0, 90.0), spacegroup="P 2/m", species=["Po"], xyz=[(0.0, 0.0, 0.0)], u_iso=[0.01]
)
instrument = jn.Instrument(wavelengths=(1.5406,))
with watch_compilations() as watch:
    plan = jn.PowderDiffraction(instrument=instrument).plan({"po": crystal}, (20.0, 60.0, 0.05))
numbers = plan.planned_position.tobytes() + plan.planned_fwhm.tobytes()
print("_phase_tables" in traced, watch.programs["_phase_tables"], numbers.hex())
"""


@pytest.fixture(autouse=True)
def settings(monkeypatch):
    """Keep what is switched on inside the test, and take the structs of this file for those of the package."""
    monkeypatch.setattr(_digest, "_KNOWN", (*_digest._KNOWN, __name__))
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    reset_cache()


class Ladder(Struct):
    """Numbers, of which so many are summed."""

    values: jax.Array
    count: int = static()
    title: str = static(note=True, default="")


RUNGS = np.linspace(0.0, 1.0, 100, dtype=np.float32)
runs = []


def climbed(ladder, factor, *, power=1):
    """Counts how often it is traced, looks at a constant from outside, and returns a tree with a struct in it."""
    runs.append(1)
    total = jnp.sum(ladder.values[: ladder.count] ** power) * factor + jnp.sum(jnp.sin(RUNGS))
    return {"total": total, "ladder": ladder.replace(values=2.0 * ladder.values)}


climbed.__module__ = "jaxnmr.somewhere"


def ladder(count=3, title=""):
    return Ladder(values=np.arange(5.0), count=count, title=title)


def fresh() -> Compiled:
    """What another process would have: nothing in memory."""
    runs.clear()
    return compiled(climbed, kept=True)


def expected(count, factor, power=1):
    return np.sum(np.arange(count) ** power) * factor + float(jnp.sum(jnp.sin(RUNGS)))


def files(folder):
    return sorted((folder / "executables").glob("*.executable"))


def test_another_process_loads_what_the_first_compiled_and_calculates_the_same_bits(tmp_path):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_"))}
    run = lambda: subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, str(tmp_path)],
        capture_output=True, text=True, cwd=ROOT, env=environment, check=True,
    ).stdout.split()  # fmt: skip
    first, second = run(), run()
    assert first[:2] == ["True", "1"] and second[:2] == ["False", "1"]
    assert first[2:] == second[2:] and len(first[2]) > 100


def test_an_executable_is_found_by_structure_shapes_and_settings_and_not_by_notes(tmp_path):
    jn.enable_cache(tmp_path)
    fresh()(ladder(), 2.0, power=2)
    assert len(runs) == 1 and len(files(tmp_path)) == 1
    again = fresh()
    out = again(ladder(title="another"), 3.0, power=2)
    assert runs == [] and float(out["total"]) == pytest.approx(expected(3, 3.0, 2), rel=1e-6)
    np.testing.assert_array_equal(out["ladder"].values, 2.0 * np.arange(5.0))
    assert out["ladder"].count == 3
    # another static field, another setting, another shape: other programs
    assert float(again(ladder(4), 3.0, power=2)["total"]) == pytest.approx(expected(4, 3.0, 2), rel=1e-6)
    assert float(again(ladder(), 3.0)["total"]) == pytest.approx(expected(3, 3.0), rel=1e-6)
    assert len(runs) == 2 and len(files(tmp_path)) == 3


def test_what_is_loaded_counts_as_a_program_that_became_executable(tmp_path):
    jn.enable_cache(tmp_path)
    for times in (1, 0):
        function = fresh()
        with watch_compilations() as watch:
            function(ladder(), 2.0)
            function(ladder(), 4.0)
        assert len(runs) == times and watch.programs["climbed"] == 1


def test_without_a_cache_nothing_is_kept_and_under_another_transformation_the_function_is_traced(tmp_path):
    assert float(fresh()(ladder(), 2.0)["total"]) == pytest.approx(expected(3, 2.0))
    jn.enable_cache(tmp_path)
    function = fresh()
    slope = jax.grad(lambda factor: function(ladder(), factor)["total"])(2.0)
    assert float(slope) == pytest.approx(3.0) and files(tmp_path) == []


def test_settings_of_the_compiler_belong_to_the_key(tmp_path):
    jn.enable_cache(tmp_path)
    fresh()(ladder(), 2.0)
    name = "jax_disable_most_optimizations"
    before = jax.config.values[name]
    jax.config.update(name, not before)
    try:
        fresh()(ladder(), 2.0)
    finally:
        jax.config.update(name, before)
    assert len(runs) == 1 and len(files(tmp_path)) == 2


def test_precision_belongs_to_the_key(tmp_path):
    jn.enable_cache(tmp_path)
    with jax.enable_x64(True):
        assert fresh()(ladder(), 2.0)["total"].dtype == np.float64
        with jax.enable_x64(False):
            assert compiled(climbed, kept=True)(ladder(), 2.0)["total"].dtype == np.float32
        with jax.default_matmul_precision("float32"):
            fresh()(ladder(), 2.0)
    assert len(files(tmp_path)) == 3


def test_a_stale_executable_is_made_again_unless_the_program_is_the_same(tmp_path, monkeypatch):
    jn.enable_cache(tmp_path)
    fresh()(ladder(), 2.0)
    (file,) = files(tmp_path)
    before = _kept._Path(file.name).read()
    # the text of the package has changed, the program has not
    monkeypatch.setattr(_kept, "_text", lambda: "another text")
    fresh()(ladder(), 2.0)
    after = _kept._Path(file.name).read()
    assert len(runs) == 1 and after.text == "another text" and after.executable == before.executable
    fresh()(ladder(), 2.0)
    assert runs == []
    # both have
    monkeypatch.setattr(_kept, "_text", lambda: "a third text")
    monkeypatch.setattr(sys.modules[__name__], "RUNGS", 2.0 * RUNGS)
    assert float(fresh()(ladder(), 2.0)["total"]) == pytest.approx(expected(3, 2.0), rel=1e-6)
    assert len(runs) == 1 and _kept._Path(file.name).read().program != before.program and files(tmp_path) == [file]


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b[:-9] + b"\0" * 9, lambda b: b""])
def test_a_damaged_file_is_made_again(tmp_path, damage):
    jn.enable_cache(tmp_path)
    fresh()(ladder(), 2.0)
    (file,) = files(tmp_path)
    file.write_bytes(damage(file.read_bytes()))
    for times in (1, 0):
        assert float(fresh()(ladder(), 2.0)["total"]) == pytest.approx(expected(3, 2.0), rel=1e-6)
        assert len(runs) == times


def test_the_folder_is_made_such_that_nobody_else_can_enter(tmp_path):
    jn.enable_cache(tmp_path)
    fresh()(ladder(), 2.0)
    assert (tmp_path / "executables").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("how", ["others may write", "it is somebody else's", "it is a link"])
def test_a_folder_that_others_could_have_written_is_refused_with_one_warning(tmp_path, monkeypatch, how):
    jn.enable_cache(tmp_path)
    fresh()(ladder(), 2.0)
    folder = tmp_path / "executables"
    if how == "others may write":
        folder.chmod(0o770)
    elif how == "it is a link":
        folder.rename(tmp_path / "there")
        folder.symlink_to(tmp_path / "there")
    else:
        monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    before = [file.read_bytes() for file in folder.iterdir()]
    function = fresh()
    with pytest.warns(UserWarning, match="neither kept in .* nor loaded from it"):
        assert float(function(ladder(), 2.0)["total"]) == pytest.approx(expected(3, 2.0), rel=1e-6)
    assert len(runs) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        function(ladder(4), 2.0)
    assert [file.read_bytes() for file in folder.iterdir()] == before


def test_what_no_other_process_knows_takes_the_ordinary_way(tmp_path):
    jn.enable_cache(tmp_path)
    function = fresh()

    class Own(Struct):
        values: jax.Array

    mine = Ladder(values=np.ones(1), count=lambda: 3)
    assert float(function(ladder(), 2.0, power=2)["total"]) > 0
    count = len(files(tmp_path))

    def doubled(of, term):
        return jax.tree.map(lambda a: 2.0 * a, of)

    doubled.__module__ = "jaxnmr.somewhere"
    with pytest.raises(TypeError, match="top level"):
        compiled(doubled, kept=True)
    doubled.__qualname__ = "doubled"
    twice = compiled(doubled, kept=True)
    assert twice(Own(values=np.ones(2)), mine).values.tolist() == [2.0, 2.0]
    assert twice(np.ones(2), mine).tolist() == [2.0, 2.0]
    assert len(files(tmp_path)) == count


def test_files_unused_for_long_and_beyond_the_limit_make_room(tmp_path, monkeypatch):
    jn.enable_cache(tmp_path)
    function = fresh()
    for count in (1, 2, 3):
        function(ladder(count), 2.0)
    first, second, third = sorted(files(tmp_path), key=lambda file: file.stat().st_mtime_ns)
    for age, file in enumerate((third, second, first)):
        os.utime(file, (file.stat().st_mtime - 60 * age,) * 2)
    monkeypatch.setattr(_kept, "_MOST_BYTES", second.stat().st_size + third.stat().st_size)
    _kept._make_room(tmp_path / "executables")
    assert set(files(tmp_path)) == {second, third}
    os.utime(second, (0, 0))
    _kept._make_room(tmp_path / "executables")
    assert files(tmp_path) == [third]


def test_executables_are_kept_also_where_no_cache_was_before(tmp_path, monkeypatch):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "new"))
    folder = jn.enable_cache() / "executables"
    assert folder.is_relative_to(tmp_path / "new") and not folder.exists()
    fresh()(ladder(), 2.0)
    assert len(list(folder.glob("climbed-*"))) == 1
    fresh()(ladder(), 2.0)
    assert not runs
