"""Quenches that are broken off and go on, files of states, and descents to the nearest minimum."""

import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr.crystal import transformed
from jaxnmr.dynamics.glass.quench import TemperatureProgram, at_density, quench
from jaxnmr.dynamics.restart import read_state, write_state
from jaxnmr.errors import ParameterError, ParseError

CHIK = jn.EnergyModel.load("chik").for_dynamics()


def silica():
    """24 atoms of ideal cristobalite, a little compressed."""
    ideal = jn.Crystal.create(
        cell=[7.16] * 3 + [90] * 3, spacegroup="F d -3 m:2", species=["Si", "O"], xyz=[[1 / 8] * 3, [0, 0, 0]], name="silica",
    )  # fmt: skip
    return at_density(transformed(ideal, np.eye(3), spacegroup="P 1"), 2.2)


SCHEDULE = TemperatureProgram.create(
    [(0.0, 3000.0), (20.0, 1000.0), (30.0, 1000.0)], timestep_fs=1.0, relaxation_fs=20.0
)


def run(path, **changes):
    settings = {"path": path, "seed": 3, "segment": 10, "every": 5} | changes
    crystal = silica()
    return quench(CHIK, crystal, crystal.full_masses(), SCHEDULE, **settings)


def test_a_quench_that_was_broken_off_has_the_numbers_of_one_that_was_not(tmp_path):
    whole = list(run(tmp_path / "whole.npz"))
    begun = run(tmp_path / "broken.npz")
    next(begun)
    rest = list(run(tmp_path / "broken.npz"))
    assert [len(whole), len(rest)] == [3, 2] and whole[-1].time_fs == rest[-1].time_fs == 30.0
    np.testing.assert_array_equal(whole[-1].state.positions, rest[-1].state.positions)
    np.testing.assert_array_equal(whole[-1].state.velocities, rest[-1].state.velocities)
    assert list(run(tmp_path / "broken.npz")) == []


def test_the_file_of_another_quench_is_refused(tmp_path):
    next(run(tmp_path / "state.npz"))
    with pytest.raises(ParseError, match="not of"):
        next(run(tmp_path / "state.npz", seed=4))
    (tmp_path / "text.npz").write_text("no state")
    with pytest.raises(ParseError, match="expected a state written by jaxnmr"):
        next(run(tmp_path / "text.npz"))


def test_a_state_survives_its_file_to_the_last_digit(tmp_path):
    state = next(run(tmp_path / "state.npz")).state
    again = read_state(write_state(tmp_path / "copy.npz", state, of="this"), of="this")
    for name in ("positions", "vectors", "velocities", "step"):
        np.testing.assert_array_equal(getattr(state, name), getattr(again, name))
    np.testing.assert_array_equal(state.acting.forces, again.acting.forces)
    whole = (tmp_path / "copy.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ParseError, match="expected a state"):
        read_state(tmp_path / "half.npz", of="this")


def test_a_schedule_is_straight_between_its_points():
    assert SCHEDULE.steps == 30 and SCHEDULE.rate == pytest.approx(1e17)
    assert float(SCHEDULE.at(10.0).temperature_k) == pytest.approx(2000.0)
    assert float(SCHEDULE.at(99.0).temperature_k) == pytest.approx(1000.0)


@pytest.mark.parametrize(
    ("points", "what"),
    [([(0.0, 300.0)], "at least two"), ([(1.0, 300.0), (2.0, 300.0)], "begin at 0"), ([(0.0, 300.0), (9.0, -1.0)], "temperature_k is")],
)  # fmt: skip
def test_a_schedule_that_makes_no_sense_is_refused(points, what):
    with pytest.raises(ParameterError, match=what):
        TemperatureProgram.create(points)


def test_a_density_is_what_was_asked_for():
    crystal = silica()
    density = float(np.sum(crystal.full_masses())) / float(crystal.volume()) / 0.602214076
    assert density == pytest.approx(2.2)
    with pytest.raises(ParameterError, match="density is 0"):
        at_density(crystal, 0.0)
    with pytest.raises(ParameterError, match="multiple of every"):
        next(run("nowhere.npz", segment=7))
