"""Thermal averages as a whole: what they return, how they go on, and what they refuse."""

import numpy as np
import pytest
import small_tensor_models
from moving_quartz import NARROW, REPEATS, Springs, quartz, small

from jaxnmr import EnergyModel
from jaxnmr.dynamics import (
    Bridges,
    Distortion,
    Schedule,
    harmonic,
    harmonic_average,
    simulate,
    start,
    supercell,
    thermal_average,
    thermal_series,
)  # fmt: skip
from jaxnmr.dynamics.average import _outside
from jaxnmr.dynamics.series import itinerary
from jaxnmr.errors import ConventionError, DynamicsError, ParameterError
from jaxnmr.plot.dynamics import course as plot_course

pytestmark = pytest.mark.filterwarnings(NARROW)
SCHEDULE = Schedule(settle_ps=0.02, run_ps=0.1, timestep_fs=1.0, every_fs=5.0, relaxation_fs=20.0)
MODEL = small_tensor_models.model()


def averaged(**more):
    cell = small()
    given = {"temperature": 300.0, "schedule": SCHEDULE} | more
    return thermal_average(MODEL, Springs.of(cell), cell, **given)


@pytest.fixture(scope="module")
def whole():
    return averaged(observe=Bridges(small()))


def test_readings_are_those_of_the_mean_of_all_tensors(whole):
    frames = whole.frames
    assert len(frames["time_fs"]) == SCHEDULE.frames == 20
    assert np.allclose(np.diff(frames["time_fs"]), 5.0) and frames["time_fs"][0] == pytest.approx(25.0)
    for head in ("shielding", "efg"):
        assert np.allclose(whole.prediction.tensors[head], frames[head].mean(axis=0), equal_nan=True)
        assert np.allclose(
            whole.static.tensors[head], MODEL.predict(quartz()).tensors[head], equal_nan=True, atol=1e-12
        )
    cq = float(whole.prediction.quadrupolar("17O").cq_hz[0]) * 1e-6
    reading = next(r for r in whole.readings if r.quantity == "17O CQ")
    assert reading.mean == pytest.approx(cq, rel=1e-9) and reading.error > 0
    assert reading.static == pytest.approx(float(whole.static.quadrupolar("17O").cq_hz[0]) * 1e-6, rel=1e-9)
    # nobody said which shielding is no shift
    assert {r.quantity for r in whole.readings if r.site == "Si1"} == {"29Si shielding", "29Si span", "29Si skew"}
    assert "Si1     29Si shielding / ppm" in str(whole) and "Si-O-Si" in str(whole)


def test_the_mean_structure_is_near_the_springs(whole):
    assert np.abs(np.asarray(whole.crystal.xyz) - np.asarray(quartz().xyz)).max() < 0.01
    assert np.all(np.asarray(whole.crystal.u_iso) > 0) and np.all(whole.esds["u_iso"] > 0)
    assert whole.esds["xyz"][0, 1] == 0.0 and whole.esds["xyz"][0, 0] > 0
    assert np.abs(whole.cell - np.asarray(quartz().cell)).max() < 2.0
    assert whole.observed[0].name == "order" and 0.5 < whole.observed[0].mean < 1.0


def test_one_that_was_interrupted_gives_what_it_would_have_given(whole, tmp_path):
    file = tmp_path / "course.npz"

    def stop(frame, number, total):
        assert total == 24
        if number == 13:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        averaged(file=file, callback=stop, observe=Bridges(small()))
    seen = []
    again = averaged(file=file, callback=lambda frame, number, total: seen.append(number), observe=Bridges(small()))
    assert seen == list(range(14, 25))
    for one, other in zip(again.readings, whole.readings, strict=True):
        assert one.mean == pytest.approx(other.mean, rel=1e-9) and one.error == pytest.approx(other.error, rel=1e-6)
    assert np.allclose(again.crystal.xyz, whole.crystal.xyz, atol=1e-12)
    assert np.allclose(again.esds["u_iso"], whole.esds["u_iso"], rtol=1e-9)
    assert again.observed[0].mean == pytest.approx(whole.observed[0].mean, rel=1e-9)
    # finished: nothing is simulated again
    averaged(file=file, callback=lambda *frame: pytest.fail("it was finished"), observe=Bridges(small()))
    # frames do not have what nobody looked at
    with pytest.raises(ConventionError, match=r"another observer\. Its frames lack observe/amplitude"):
        averaged(file=file, observe=Distortion(small(), {"Si1": [0.5, 0.0, 2 / 3]}))
    other = supercell(quartz(xyz=[[0.46, 0, 2 / 3], [0.4135, 0.2669, 0.7858]]), REPEATS)
    with pytest.raises(ConventionError, match="course of something else: structure was"):
        thermal_average(MODEL, Springs.of(small()), other, temperature=300.0, schedule=SCHEDULE, file=file)
    with pytest.raises(ConventionError, match=r"temperature was 300\.0 and is 310\.0"):
        averaged(file=file, temperature=310.0)


def test_what_was_reached_before_atoms_fly_apart_is_kept(tmp_path):
    file, reached = tmp_path / "course.npz", []
    stiff = Springs.of(small(), spring=4.0)

    def weaker(frame, number, total):
        reached.append(number)
        if number == 10:
            # as a trajectory that left what its energy can describe
            raise DynamicsError("atoms fly apart")

    with pytest.raises(DynamicsError):
        thermal_average(MODEL, stiff, small(), temperature=300.0, schedule=SCHEDULE, file=file, callback=weaker)
    with np.load(file) as kept:
        assert len(kept["frames/time_fs"]) == 6 and int(kept["state/step"]) == 50
    hot = Schedule(settle_ps=0.0, run_ps=0.2, timestep_fs=10.0, every_fs=10.0, cell="fixed")
    with pytest.raises(DynamicsError, match=r"Å in one step of 10 fs.*smaller timestep"):
        averaged(temperature=9e4, schedule=hot)


def test_temperatures_follow_each_other_up_and_down(tmp_path):
    cell = small()
    stops = itinerary([300, 500, 700], back=True)
    assert [(s.temperature, s.direction) for s in stops] == [
        (300, "up"), (500, "up"), (700, "up"), (500, "down"), (300, "down")
    ]  # fmt: skip
    assert [s.direction for s in itinerary([700, 300])] == ["down", "down"]
    given = {"temperatures": [300.0, 500.0], "back": True, "schedule": SCHEDULE, "folder": tmp_path}
    series = thermal_series(MODEL, Springs.of(cell), cell, **given)
    assert series.temperatures.tolist() == [300.0, 500.0, 300.0] and series.directions == ("up", "up", "down")
    # 24 frames of 5 steps at each
    assert [int(a.state.step) for a in series.averages] == [120, 240, 360]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00-300K.npz", "01-500K.npz", "02-300K.npz"]
    values = series.readings("O1", "17O CQ")
    assert values.shape == (3, 2) and values[1, 0] == pytest.approx(
        next(r.mean for r in series.averages[1].readings if r.quantity == "17O CQ")
    )
    with pytest.raises(ParameterError, match=r"there is no 29Si CQ of O1; expected one of 29Si shielding of Si1"):
        series.readings("O1", "29Si CQ")
    with pytest.raises(ParameterError, match="was not observed; what was: nothing"):
        series.observed("order")
    # the last one is made again from where the one before ended
    (tmp_path / "02-300K.npz").unlink()
    numbers = []
    again = thermal_series(
        MODEL, Springs.of(cell), cell, **given, callback=lambda k, frame, number, total: numbers.append(k)
    )
    assert set(numbers) == {2}
    assert again.readings("O1", "17O CQ")[2, 0] == pytest.approx(values[2, 0], rel=1e-9)


def test_what_cannot_be_averaged_is_refused():
    springs = Springs.of(small())
    half = quartz(occupancy=[1.0, 0.9])
    with pytest.raises(ConventionError, match="O1 is partly occupied"):
        thermal_average(MODEL, springs, half, temperature=300.0, repeats=REPEATS)
    with pytest.raises(ConventionError, match="wide at its narrowest; expected at least"):
        thermal_average(MODEL, springs, quartz(), temperature=300.0, repeats=(1, 1, 1))
    germanium = quartz(species=["Ge", "O"], labels=["Ge1", "O1"])
    with pytest.raises(ConventionError, match="Ge"):
        thermal_average(MODEL, springs, germanium, temperature=300.0, repeats=REPEATS)
    with pytest.raises(ConventionError, match="two models predict"):
        averaged_twice = [MODEL, MODEL]
        thermal_average(averaged_twice, springs, small(), temperature=300.0, schedule=SCHEDULE)
    with pytest.raises(ParameterError, match="gives 4 frames; expected at least 20"):
        Schedule(run_ps=0.2, every_fs=50.0)
    with pytest.raises(
        ParameterError, match=r"every_fs is 2\.5; expected a whole number of timesteps of 1 fs, such as 2"
    ):
        Schedule(run_ps=0.2, every_fs=2.5)
    with pytest.raises(ParameterError, match=r"timestep_fs is 0\.0; expected a positive time"):
        Schedule(timestep_fs=0.0)
    with pytest.raises(ParameterError, match="is a supercell already"):
        thermal_average(MODEL, springs, small(), temperature=300.0, schedule=SCHEDULE, repeats=(3, 3, 3))
    with pytest.raises(ParameterError, match=r"temperature_k is -5\.0; expected"):
        thermal_average(MODEL, springs, small(), temperature=-5.0, schedule=SCHEDULE)
    with pytest.raises(ParameterError, match="relaxation_fs is 0; expected"):
        Schedule(relaxation_fs=0)
    with pytest.raises(ParameterError, match="pressure_gpa is nan"):
        Schedule(pressure_gpa=float("nan"))
    for wrong, said in ((MODEL, "of type TensorModel"), (None, "of type NoneType")):
        with pytest.raises(ParameterError, match=f"the energy is {said}; expected a potential"):
            thermal_average(MODEL, wrong, small(), temperature=300.0, schedule=SCHEDULE)
    with pytest.raises(ParameterError, match="the energy is 'chik'"):
        next(
            simulate(
                "chik", small().crystal, small().masses, start(small().crystal, small().masses, 300.0), None, steps=1
            )
        )
    with pytest.raises(ParameterError, match="what moves is a Supercell; expected a Crystal"):
        start(small(), small().masses, 300.0)
    with pytest.raises(ParameterError, match="the cell is a Crystal; expected a Supercell"):
        Bridges(quartz())
    with pytest.raises(ConventionError, match=r"the coordinates of Si1 are \[0, 0\]; expected three numbers"):
        Distortion(small(), {"Si1": [0, 0]})
    with pytest.raises(ParameterError, match="no way back"):
        itinerary([300.0], back=True)
    with pytest.raises(ParameterError, match="above 0"):
        itinerary([300.0, -1.0])


def test_a_temperature_outside_of_the_training_of_the_energy_is_told():
    springs = Springs.of(small())
    assert _outside(springs, 300.0) == ()
    (note,) = _outside(springs, 700.0)
    assert "springs was trained on 100 to 600 K, not at 700 K" in note
    assert _outside(EnergyModel.load("chik"), 5000.0) == ()


def test_a_harmonic_solid_without_motion_has_the_tensors_of_rest():
    solid = harmonic(Springs.of(small()), small())
    found = harmonic_average(MODEL, solid, temperature=0.0, frames=20, quantum=False)
    assert len(found.frames["time_fs"]) == 10 and found.measured_k == 0.0
    # without motion there is no temperature that was missed
    assert not any("mean temperature" in note for note in found.notes)
    for reading in found.readings:
        assert reading.mean == pytest.approx(reading.static, rel=1e-6, abs=1e-6)
        assert reading.error == pytest.approx(0.0, abs=1e-6)
    with pytest.raises(ParameterError, match="independent configurations, which have no course"):
        plot_course(found)
    with pytest.raises(ParameterError, match="frames is 1; expected at least 20"):
        harmonic_average(MODEL, solid, temperature=300.0, frames=1)
