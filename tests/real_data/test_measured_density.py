"""A measured pattern, a model that is off, and the density and atoms that follow."""

import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr.crystal import Crystal
from jaxnmr.density.linear.expected import moved
from jaxnmr.solve.density import measured_density

pytestmark = pytest.mark.real_data


def test_anglesite_is_found_from_a_model_that_is_off(data):
    pattern = jn.read_pattern(data / "PbSO4" / "PBSO4.XRA", instrument=data / "PbSO4" / "INST_XRY.PRM").limited(
        16.0, 80.0
    )
    known = jn.read_crystal(data / "PbSO4" / "PbSO4-Wyckoff.cif")
    truth = Crystal.create(
        cell=known.cell, spacegroup=known.group, species=known.species, xyz=known.xyz, u_iso=np.clip(np.asarray(known.u_equivalent()), 0.004, 0.03),
        name="PbSO4",
    )  # fmt: skip
    start = moved(truth, np.random.default_rng(0), 0.15, 0.0)
    found = measured_density(pattern, start, rietveld=False)
    assert found.refined.r < 0.5 * found.refined.r_before
    assert found.after.r_lines < 0.6 * found.before.r_lines
    # lead, which scatters most, is back where it was
    crystal = found.atoms.crystal
    full = crystal.expand()
    places = np.asarray(full.fractional)[[crystal.elements[k] == "Pb" for k in np.asarray(full.site)]]
    delta = places - np.asarray(truth.xyz)[0]
    assert np.linalg.norm((delta - np.round(delta)) * np.asarray(truth.cell)[:3], axis=1).min() < 0.03
