"""Order parameters: bridges that stand bent or swing, and the amplitude of a distortion."""

import numpy as np
import pytest
from moving_quartz import NARROW, quartz, small
from silica_forms import silica

from jaxnmr.dynamics.order import OBSERVED, Bridges, Distortion, Observers
from jaxnmr.dynamics.supercells import supercell
from jaxnmr.errors import ConventionError, ParameterError

pytestmark = pytest.mark.filterwarnings(NARROW, "ignore:the supercell of cristobalite is")
# quartz of high symmetry, in the cell of the low form
HIGH = {"Si1": [0.5, 0.0, 2 / 3], "O1": [0.4157, 0.20785, 2 / 3 + 1 / 6]}


def frames(observer, crystals) -> dict:
    rows = [observer(crystal) for crystal in crystals]
    return {f"{OBSERVED}{name}": np.array([row[name] for row in rows]) for name in rows[0]}


def moved(cell, by):
    return cell.crystal.replace(xyz=np.asarray(cell.crystal.xyz) + by @ np.linalg.inv(cell.vectors))


def test_bridges_that_stand_have_order_one_and_the_angle_of_the_crystal():
    cell = small()
    bridges = Bridges(cell)
    assert len(bridges.middle) == 24
    order, angle = bridges.summary(frames(bridges, [cell.crystal] * 20))
    assert order.mean == pytest.approx(1.0) and order.error == pytest.approx(0.0, abs=1e-12)
    # Levien et al.: 143.7 degrees
    assert angle.name == "Si-O-Si" and angle.mean == pytest.approx(143.7, abs=0.15)


def test_bridges_that_swing_around_the_middle_have_no_order():
    cell = small()
    bridges = Bridges(cell)
    offset = np.zeros((cell.crystal.n_sites, 3))
    offset[bridges.middle] = np.asarray(bridges(cell.crystal)["offset"])
    # as far on the other side in every other frame
    swinging = frames(bridges, [moved(cell, -2.0 * offset * (k % 2)) for k in range(32)])
    order, angle = bridges.summary(swinging)
    assert order.mean == pytest.approx(0.0, abs=1e-9)
    assert angle.mean == pytest.approx(143.7, abs=0.15)
    # three of four frames on one side: a mean of half
    lame = frames(bridges, [moved(cell, -2.0 * offset * (k % 4 == 0)) for k in range(32)])
    assert bridges.summary(lame)[0].mean == pytest.approx(0.5)


def test_bridges_do_not_mind_that_the_whole_drifts_or_the_cell_grows():
    cell = small()
    bridges = Bridges(cell)
    at = bridges(cell.crystal)
    drifted = bridges(moved(cell, np.array([3.0, -7.0, 40.0])))
    assert np.abs(drifted["offset"] - at["offset"]).max() < 1e-12
    lengths = np.asarray(cell.crystal.cell) * [1.02, 1.02, 1.02, 1, 1, 1]
    assert np.abs(bridges(cell.crystal.replace(cell=lengths))["offset"] - at["offset"]).max() < 1e-12


@pytest.mark.parametrize(
    ("elements", "message"),
    [(("Si", "N", "Si"), "no bonds of N to Si"), (("O", "Si", "O"), "has 4 neighbours; expected two")],
)
def test_bridges_that_are_none_are_told(elements, message):
    with pytest.raises(ConventionError, match=message):
        Bridges(small(), elements)
    with pytest.raises(ParameterError, match="expected three"):
        Bridges(small(), ("Si", "O"))


def test_the_amplitude_is_one_as_given_nothing_in_the_other_form_and_minus_one_beyond():
    cell = small()
    distortion = Distortion(cell, HIGH)
    high = supercell(quartz(xyz=list(HIGH.values())), cell.repeats)
    # the same atoms in the same order, but for lattice translations
    way = np.asarray(high.crystal.xyz) - np.asarray(cell.crystal.xyz)
    way -= np.round(way)
    at = lambda share: distortion(cell.crystal.replace(xyz=np.asarray(cell.crystal.xyz) + share * way))["amplitude"]
    assert at(0.0) == pytest.approx(1.0) and at(1.0) == pytest.approx(0.0, abs=1e-9)
    assert at(2.0) == pytest.approx(-1.0) and at(0.5) == pytest.approx(0.5)
    drifted = cell.crystal.replace(xyz=np.asarray(cell.crystal.xyz) + np.array([0.3, 0.1, -0.7]))
    assert distortion(drifted)["amplitude"] == pytest.approx(1.0)
    noise = 0.05 * np.random.default_rng(0).normal(size=way.shape)
    both = Observers([Bridges(cell), distortion])
    names = [o.name for o in both.summary(frames(both, [moved(cell, noise), moved(cell, -noise)] * 8))]
    assert names == ["order", "Si-O-Si", "amplitude"]


def test_cristobalite_goes_to_its_ideal_high_form():
    low = silica("cristobalite")
    cell = supercell(low, (1, 1, 1))
    distortion = Distortion(cell, {"Si1": [0.25, 0.25, 0.0], "O1": [0.25, 0.0, 0.125]})
    ideal = supercell(low.replace(xyz=np.array([[0.25, 0.25, 0.0], [0.25, 0.0, 0.125]])), (1, 1, 1))
    # the same but for lattice translations of atoms
    way = np.asarray(ideal.crystal.xyz) - np.asarray(cell.crystal.xyz)
    high = np.asarray(cell.crystal.xyz) + way - np.round(way)
    assert distortion(cell.crystal.replace(xyz=high))["amplitude"] == pytest.approx(0.0, abs=1e-9)
    # oxygen in the middle of its two silicon neighbours
    assert np.abs(np.asarray(Bridges(ideal)(ideal.crystal)["offset"])).max() < 1e-9
    assert np.linalg.norm(np.asarray(Bridges(cell)(cell.crystal)["offset"]), axis=-1).mean() == pytest.approx(
        0.44, abs=0.05
    )


def test_sites_that_are_not_there_or_do_not_move_are_told():
    with pytest.raises(ConventionError, match=r"no site 'Si2'; its sites are Si1, O1"):
        Distortion(small(), {"Si2": [0, 0, 0]})
    with pytest.raises(ConventionError, match="no distortion to follow"):
        Distortion(small(), {"Si1": [0.4697, 0, 2 / 3]})
    with pytest.raises(ConventionError, match="expected three numbers"):
        Distortion(small(), {"Si1": [0.4697, float("nan"), 2 / 3]})
