"""Sums of atoms against sums over Gaussians in space, the diffraction part of the package, and finite differences."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from density_crystals import perovskite, quartz, tilted

import jaxnmr as jn
from jaxnmr.density import Density, atom_gaussians, electrons_of, plan_atoms, superposed, valence_elements
from jaxnmr.diffraction.reflections import plan_reflections
from jaxnmr.diffraction.structure_factors import StructureFactors
from jaxnmr.errors import ConventionError, ParameterError
from jaxnmr.testing import assert_gradients

CRYSTALS = (perovskite, quartz, tilted)
SHAPES = {perovskite: (40, 40, 40), quartz: (48, 48, 54), tilted: (40, 50, 60)}


@pytest.mark.parametrize("make", CRYSTALS)
def test_waves_of_valence_atoms_sum_to_the_density_of_their_gaussians(make):
    """The direct sum knows neither waves nor a grid; what differs are waves beyond the grid."""
    crystal, shape = make(), SHAPES[make]
    plan = plan_atoms(crystal)
    grid = plan.on_grid(crystal, shape)
    rng = np.random.default_rng(1)
    indices = rng.integers(0, shape, size=(60, 3))
    direct = plan.at(crystal, indices / np.array(shape))
    assert np.abs(np.asarray(grid.values)[tuple(indices.T)] - direct).max() < 2e-4 * direct.max()


@pytest.mark.parametrize("make", CRYSTALS)
@pytest.mark.parametrize("atoms", ["valence", "all-electron"])
def test_structure_factors_of_the_grid_are_the_analytic_ones(make, atoms):
    crystal, shape = make(), SHAPES[make]
    plan = plan_atoms(crystal, atoms)
    hkl = np.random.default_rng(2).integers(-12, 13, size=(300, 3))
    analytic = plan.structure_factors(crystal, hkl)
    of_grid = superposed(crystal, shape, atoms).structure_factors(hkl)
    np.testing.assert_allclose(of_grid, analytic, atol=1e-10 * abs(analytic).max())


@pytest.mark.parametrize("make", CRYSTALS)
def test_structure_factors_of_a_fine_sum_over_space_are_the_analytic_ones(make):
    """Integration of the direct sum over the cell, which converges with the grid faster than any power of its step."""
    crystal, shape = make(), (14, 14, 16)
    plan = plan_atoms(crystal, "all-electron")
    soft = crystal.replace(u_iso=crystal.u_iso + 0.12 * ~np.array(crystal.anisotropic), u_aniso=crystal.u_aniso * 12.0)
    points = np.stack(np.meshgrid(*[np.arange(n) / n for n in shape], indexing="ij"), axis=-1).reshape(-1, 3)
    values = Density.create(plan.at(soft, points).reshape(shape), soft.cell)
    hkl = np.random.default_rng(3).integers(-3, 4, size=(50, 3))
    analytic = plan.structure_factors(soft, hkl)
    np.testing.assert_allclose(values.structure_factors(hkl), analytic, atol=1e-3 * abs(analytic).max())
    assert values.electrons() == pytest.approx(plan.structure_factors(soft, np.zeros((1, 3)))[0].real, rel=1e-4)


@pytest.mark.parametrize("make", CRYSTALS)
def test_no_electron_is_lost_even_on_a_coarse_grid(make):
    crystal = make()
    full = crystal.expand()
    expected = sum(
        round(electrons_of(symbol)) * occupancy
        for symbol, occupancy in zip(full.species, np.asarray(full.occupancy), strict=True)
    )
    for shape in ((6, 7, 8), SHAPES[make]):
        assert superposed(crystal, shape).electrons() == pytest.approx(expected, rel=1e-6)


def test_all_electron_structure_factors_are_those_of_the_diffraction_part():
    for crystal in (perovskite(), quartz()):
        hkl, _ = plan_reflections(crystal.group, crystal.cell, 0.8)
        d_star_sq = 1.0 / np.asarray(jn.crystal.d_spacing(crystal.cell, hkl)) ** 2
        reference = StructureFactors.plan(crystal, hkl, "xray", 1.0)
        no_dispersion = reference.replace(
            factors=reference.factors.replace(f1=np.zeros(crystal.n_sites), f2=np.zeros(crystal.n_sites))
        )
        ours = np.abs(plan_atoms(crystal, "all-electron").structure_factors(crystal, hkl)) ** 2
        expected = np.asarray(no_dispersion.squared(crystal, d_star_sq))
        np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-9 * expected.max())


def test_atoms_at_rest_are_sharper_and_as_many_electrons():
    crystal = perovskite()
    moving, resting = superposed(crystal, (40, 40, 40)), superposed(crystal, (40, 40, 40), at_rest=True)
    assert np.asarray(resting.values).max() > np.asarray(moving.values).max()
    assert resting.electrons() == pytest.approx(float(moving.electrons()), rel=1e-12)


def test_structure_factors_have_exact_derivatives():
    crystal = quartz()
    plan = plan_atoms(crystal)
    hkl = np.array([[1, 0, 0], [1, 0, 1], [1, 1, 2], [0, 0, 3], [2, -1, 4]])
    traced = lambda xyz, cell, u_aniso, u_iso: plan.structure_factors(
        crystal.replace(xyz=xyz, cell=cell, u_aniso=u_aniso, u_iso=u_iso), hkl
    )
    parts = lambda values: jnp.concatenate([(f := traced(*values)).real, f.imag])
    assert_gradients(parts, tuple(jnp.asarray(x) for x in (crystal.xyz, crystal.cell, crystal.u_aniso, crystal.u_iso)))


def test_traced_densities_are_those_of_numpy():
    for crystal in (perovskite(), quartz()):
        plan = plan_atoms(crystal)
        traced = jax.jit(lambda c, plan=plan: plan.on_grid(c, (12, 13, 14)).values)(jax.tree.map(jnp.asarray, crystal))
        np.testing.assert_allclose(traced, plan.on_grid(crystal, (12, 13, 14)).values, atol=1e-12)


def test_valence_atoms_have_whole_electrons_and_positive_widths():
    elements = valence_elements()
    gaussians = atom_gaussians(elements)
    totals = gaussians.a.sum(axis=1)
    np.testing.assert_allclose(totals, np.round(totals), atol=1e-6)
    assert len(elements) == 71 and (gaussians.b > 0.0).all()
    by_name = dict(zip(elements, np.round(totals), strict=True))
    assert {e: by_name[e] for e in ("H", "O", "Si", "Ti", "Sr", "Pb")} == {
        "H": 1,
        "O": 6,
        "Si": 4,
        "Ti": 12,
        "Sr": 10,
        "Pb": 4,
    }


def test_the_table_of_valence_atoms_is_small_and_names_its_source():
    path = Path(jn.__file__).parent / "density" / "valence_atoms.json"
    assert path.stat().st_size < 300_000 and "PySCF" in json.loads(path.read_text(encoding="utf-8"))["source"]


def test_charges_and_isotopes_have_the_valence_atom_of_their_element():
    np.testing.assert_array_equal(atom_gaussians(["Ca2+", "D", "17O"]).a, atom_gaussians(["Ca", "H", "O"]).a)


def test_what_cannot_be_a_sum_of_atoms_is_said():
    with pytest.raises(ConventionError, match="no valence atom of La"):
        atom_gaussians(["La"])
    with pytest.raises(ParameterError, match="expected 'valence' or 'all-electron'"):
        superposed(perovskite(), (8, 8, 8), "core")
    with pytest.raises(ParameterError, match="three numbers of points"):
        superposed(perovskite(), (8, 8, 1))
    resting = plan_atoms(perovskite(), "all-electron", at_rest=True)
    with pytest.raises(ConventionError, match=r"Sr1? has a point charge"):
        resting.at(perovskite(), np.zeros((1, 3)))
