"""Measured structures of silica at rest in a potential learned from r2SCAN energies, and in BKS."""

import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr.energy import EnergyModel

pytestmark = [pytest.mark.real_data, pytest.mark.filterwarnings("ignore:.*no displacement of all sites")]


@pytest.fixture
def measured(data):
    return lambda name: jn.read_crystal(data / "openchemistry_crystals" / "oxides" / f"SiO2-{name}.cif")


@pytest.mark.parametrize(
    ("model", "name", "moved"),
    [("chgnet-r2scan", "Quartz-alpha", 0.019), ("bks", "Quartz-alpha", 0.049), ("bks", "Cristobalite", 0.053)],
)
def test_atoms_move_at_the_measured_cell_as_far_as_other_programs_move_them(measured, model, name, moved):
    """Other programs: CHGNet's own, and a plain sum over pairs, each with an optimiser of scipy."""
    crystal = measured(name)
    result = jn.relax(crystal, EnergyModel.load(model))
    assert result.converged, result
    np.testing.assert_array_equal(np.asarray(result.crystal.cell), np.asarray(crystal.cell))
    assert result.rms_moved == pytest.approx(moved, abs=1e-3)


def test_quartz_has_nearly_its_measured_volume_in_chgnet(measured):
    crystal = measured("Quartz-alpha")
    result = jn.relax(crystal, EnergyModel.load("chgnet-r2scan"), cell="free")
    assert result.converged, result
    assert float(result.crystal.volume() / crystal.volume()) == pytest.approx(1.01, abs=0.01)
