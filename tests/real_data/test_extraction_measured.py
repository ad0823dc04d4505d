"""Intensities and extinction symbols of measured patterns, against structures that are well known.

The agreement is ``R = sqrt(sum (s sqrt(Ic) - sqrt(Io))² / sum Io)`` over groups of reflections, with a scale and one displacement factor for all atoms.
"""

import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr.crystal import SpaceGroup
from jaxnmr.diffraction.phases import PhasePlan
from jaxnmr.solve import extinctions, lebail

pytestmark = pytest.mark.real_data


def agreement(found, crystal, highest=95.0):
    """R of a structure, the best over displacement factors B, up to an angle."""
    phase = PhasePlan.plan(crystal, found.instrument, 1.0, name="a", reflections=(found.hkl, found.multiplicity))
    squares = np.asarray(phase.f_squared(crystal))[: len(found.hkl)]
    s2 = (np.sin(np.radians(found.two_theta / 2.0)) / found.instrument.wavelengths[0]) ** 2
    groups = np.unique(found.members[found.two_theta < highest])
    b, out = np.sqrt(np.maximum(found.area[groups], 0.0)), []
    for factor in np.arange(-1.0, 2.5, 0.1):
        areas = np.bincount(found.members, found.weight * squares * np.exp(-2.0 * factor * s2))
        a = np.sqrt(areas[groups])
        out.append(np.sqrt(((a * (a @ b) / (a @ a) - b) ** 2).sum() / (b @ b)))
    return min(out)


def test_fluorapatite_has_a_sixfold_screw_axis_and_no_glide_plane(data):
    pattern = jn.read_pattern(data / "FAP" / "FAP.XRA", instrument=data / "FAP" / "INST_XRY.PRM").limited(15.0, 110.0)
    # a start that is off by 0.01 Å, and without the shift of the angles
    fit = lebail(pattern, (9.38, 9.38, 6.89, 90, 90, 120))
    # GSAS-II: 9.371859 and 6.885896 Å, Rwp 9.415 % of the structure
    np.testing.assert_allclose(fit.cell[[0, 2]], (9.37186, 6.88590), atol=6e-4)
    assert fit.rwp < 9.415
    table = extinctions(fit)
    assert table.best.symbol == "P 63 - -" and table.best.probability > 0.9
    assert table.rank(SpaceGroup.from_name("P 63/m")) == 1


def test_anglesite_shows_its_glide_planes(data):
    pattern = jn.read_pattern(data / "PbSO4" / "PBSO4.XRA", instrument=data / "PbSO4" / "INST_XRY.PRM")
    fit = lebail(pattern.limited(16.0, 100.0), (8.482, 5.398, 6.959, 90, 90, 90))
    table = extinctions(fit)
    assert table.rank(SpaceGroup.from_name("P n m a")) == 1 and table.best.symbol == "P n - a"
    # reflections of the lattice that the true group forbids have no area, the others those of the structure
    crystal = jn.read_crystal(data / "PbSO4" / "PbSO4-Wyckoff.cif")
    assert agreement(fit.intensities, crystal) < 0.09
