"""Isotypes of measured crystals: a relative with other elements and other coordinates leads to the structure."""

import pytest

import jaxnmr as jn
from jaxnmr.crystal import Crystal
from jaxnmr.solve import lebail
from jaxnmr.solve.direct.equivalence import apart
from jaxnmr.solve.isotypes.proposals import propose
from jaxnmr.solve.isotypes.types import structure_types

pytestmark = pytest.mark.real_data


def barite():
    """A. A. Colville & K. Staudhammer, Am. Mineral. 52, 1877 (1967), rounded."""
    return Crystal.create(
        cell=[8.884, 5.457, 7.157, 90, 90, 90], spacegroup="P n m a", species=["Ba", "S", "O", "O", "O"], name="barite",
        xyz=[[0.185, 0.25, 0.158], [0.437, 0.75, 0.191], [0.587, 0.75, 0.106], [0.318, 0.75, 0.050], [0.419, 0.970, 0.312]],
    )  # fmt: skip


def calcium_boride():
    return Crystal.create(
        cell=[4.145] * 3 + [90] * 3,
        spacegroup="P m -3 m",
        species=["Ca", "B"],
        xyz=[[0, 0, 0], [0.207, 0.5, 0.5]],
        name="CaB6",
    )


def caesium_chloride():
    return Crystal.create(
        cell=[4.12] * 3 + [90] * 3,
        spacegroup="P m -3 m",
        species=["Cs", "Cl"],
        xyz=[[0, 0, 0], [0.5, 0.5, 0.5]],
        name="CsCl",
    )


LIBRARY = structure_types([barite(), calcium_boride(), caesium_chloride()])


@pytest.mark.parametrize("known", ["PbSO4", ["Pb", "S", "O"]])
def test_anglesite_is_found_as_a_barite(data, known):
    pattern = jn.read_pattern(data / "PbSO4" / "PBSO4.XRA", instrument=data / "PbSO4" / "INST_XRY.PRM")
    fit = lebail(pattern.limited(16.0, 100.0), (8.482, 5.398, 6.959, 90, 90, 90))
    found = propose(fit.intensities, LIBRARY, known)
    truth = jn.read_crystal(data / "PbSO4" / "PbSO4-Wyckoff.cif")
    assert found.best.crystal.name == "barite" and found.best.weight > 0.99 and found.best.r_factor < 0.09
    distance = apart(found.best.crystal, truth)
    assert distance is not None and distance < 0.1
