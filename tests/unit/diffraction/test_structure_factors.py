"""Squared structure factors against the plain sum over all atoms of the cell."""

import jax
import numpy as np
import pytest

from jaxnmr.crystal import Crystal, d_spacing, reciprocal_metric
from jaxnmr.crystal.symmetry import unvoigt
from jaxnmr.diffraction.reflections import plan_reflections
from jaxnmr.diffraction.structure_factors import StructureFactors

CU_KA1 = 1.540593
NONE = [np.nan] * 6
QUARTZ = Crystal.create(
    cell=[4.916, 4.916, 5.4054, 90, 90, 120],
    spacegroup="P 32 2 1",
    species=["Si", "O"],
    xyz=[[0.4697, 0, 2 / 3], [0.4135, 0.2669, 0.1191 + 2 / 3]],
    u_aniso=[[0.007, 0.005, 0.006, 0.0025, -0.0002, -0.0004], [0.016, 0.012, 0.012, 0.009, -0.003, -0.0045]],
)
# zinc-blende like, acentric and F-centred, with a heavy absorber
GALLIUM_ARSENIDE = Crystal.create(
    cell=[5.6533] * 3 + [90] * 3, spacegroup="F -4 3 m", species=["Ga", "As"], xyz=[[0, 0, 0], [0.25] * 3], u_iso=0.008
)
# monoclinic, C-centred, anisotropic, a vacancy and a mixed site
MIXED = Crystal.create(
    cell=[9.8, 8.9, 5.3, 90, 105.9, 90],
    spacegroup="C 1 2/c 1",
    species=["Ca2+", "Mg", "Fe", "O", "O"],
    xyz=[[0, 0.3015, 0.25], [0, 0.906, 0.25], [0, 0.906, 0.25], [0.1156, 0.0873, 0.1422], [0.361, 0.25, 0.318]],
    occupancy=[0.95, 0.7, 0.3, 1.0, 1.0],
    u_aniso=[[0.012, 0.021, 0.009, 0, 0.003, 0], NONE, NONE, [0.01, 0.02, 0.03, 0.004, 0.005, -0.006], NONE],
    u_iso=[0, 0.007, 0.007, 0, 0.02],
)
TRICLINIC = Crystal.create(
    cell=[5.1, 6.3, 7.4, 83, 97, 104],
    spacegroup="P 1",
    species=["Pb", "O", "D"],
    xyz=[[0, 0, 0], [0.21, 0.37, 0.44], [0.65, 0.12, 0.83]],
    u_aniso=[[0.02, 0.01, 0.015, 0.003, -0.004, 0.002], [0.03, 0.02, 0.01, 0.01, 0.002, 0.003], NONE],
    u_iso=[0, 0, 0.03],
)
CRYSTALS = pytest.mark.parametrize("crystal", [QUARTZ, GALLIUM_ARSENIDE, MIXED, TRICLINIC], ids=lambda c: c.group.name)


def plain_sum(crystal: Crystal, hkl: np.ndarray, factors) -> np.ndarray:
    """``F(h)`` of every reflection: every operation on every site, atoms that coincide counted once."""
    length = np.sqrt(np.diag(reciprocal_metric(np.asarray(crystal.cell))))
    s_sq = 0.25 / d_spacing(np.asarray(crystal.cell), hkl) ** 2
    f = np.sum(factors.a[:, :, None] * np.exp(-factors.b[:, :, None] * s_sq), axis=1) + factors.c[:, None]
    f = f + factors.f1[:, None] + 1j * factors.f2[:, None]
    u = unvoigt(np.asarray(crystal.u_tensors())) * np.outer(length, length)
    total = np.zeros(len(hkl), dtype=complex)
    for k in range(crystal.n_sites):
        seen = []
        for rotation, translation in zip(crystal.group.rotations, crystal.group.translations, strict=True):
            x = rotation @ np.asarray(crystal.xyz)[k] + translation
            if any(np.abs((x - y + 0.5) % 1.0 - 0.5).max() < 1e-6 for y in seen):
                continue
            seen.append(x)
            moved = rotation @ u[k] @ rotation.T
            damping = np.exp(-2.0 * np.pi**2 * np.einsum("ni,ij,nj->n", hkl, moved, hkl))
            total += crystal.occupancy[k] * f[k] * damping * np.exp(2j * np.pi * (hkl @ x))
    return total


@jax.jit
def compiled(plan: StructureFactors, crystal: Crystal, d_star_sq):
    return plan.squared(crystal, d_star_sq)


def squared(crystal: Crystal, hkl: np.ndarray, radiation="xray", wavelength=CU_KA1):
    plan = StructureFactors.plan(crystal, hkl, radiation, wavelength)
    return plan, np.asarray(compiled(plan, crystal, 1.0 / d_spacing(np.asarray(crystal.cell), hkl) ** 2))


@CRYSTALS
@pytest.mark.parametrize("radiation", ["xray", "neutron"])
def test_squared_structure_factors_are_the_friedel_mean_of_the_plain_sum(crystal, radiation):
    hkl, _ = plan_reflections(crystal.group, crystal.cell, 0.9)
    plan, ours = squared(crystal, hkl, radiation)
    mean = 0.5 * sum(np.abs(plain_sum(crystal, sign * hkl, plan.factors)) ** 2 for sign in (1, -1))
    np.testing.assert_allclose(ours, mean, rtol=1e-10, atol=1e-10 * mean.max())


def test_friedel_mates_of_an_acentric_absorber_differ_and_only_their_mean_is_used():
    hkl, _ = plan_reflections(GALLIUM_ARSENIDE.group, GALLIUM_ARSENIDE.cell, 0.9)
    plan, ours = squared(GALLIUM_ARSENIDE, hkl, wavelength=1.0332)  # just above the edge of arsenic
    plus, minus = (np.abs(plain_sum(GALLIUM_ARSENIDE, sign * hkl, plan.factors)) ** 2 for sign in (1, -1))
    assert np.abs(plus / minus - 1.0).max() > 0.05
    assert ((ours > np.minimum(plus, minus) - 1e-9) & (ours < np.maximum(plus, minus) + 1e-9)).all()


def test_given_dispersion_takes_the_place_of_the_tabulated_one_of_its_element():
    hkl, _ = plan_reflections(MIXED.group, MIXED.cell, 1.2)
    d_star_sq = 1.0 / d_spacing(np.asarray(MIXED.cell), hkl) ** 2
    plan = StructureFactors.plan(MIXED, hkl, "xray", CU_KA1, ("O", "Fe"))
    values = {"f1": np.array([0.3, -4.0]), "f2": np.array([0.7, 5.0])}
    f1, f2 = np.array(plan.factors.f1), np.array(plan.factors.f2)
    # Ca, Mg, Fe and two O
    f1[2:], f2[2:] = (-4.0, 0.3, 0.3), (5.0, 0.7, 0.7)
    given = plan.factors.replace(f1=f1, f2=f2)
    mean = 0.5 * sum(np.abs(plain_sum(MIXED, sign * hkl, given)) ** 2 for sign in (1, -1))
    ours = np.asarray(jax.jit(StructureFactors.squared)(plan, MIXED, d_star_sq, values))
    np.testing.assert_allclose(ours, mean, rtol=1e-10, atol=1e-10 * mean.max())


def test_equivalent_reflections_have_equal_structure_factors_with_anisotropic_displacements():
    for crystal in (QUARTZ, MIXED):
        hkl, _ = plan_reflections(crystal.group, crystal.cell, 1.2)
        reference = squared(crystal, hkl)[1]
        for rotation in crystal.group.rotations[1:]:
            np.testing.assert_allclose(squared(crystal, hkl @ rotation)[1], reference, rtol=1e-9, atol=1e-8)


def test_absent_reflections_vanish_in_the_sum():
    # a twofold screw axis and a glide plane: 0k0 with odd k, h0l with odd l
    crystal = Crystal.create(
        cell=[8.0, 5.4, 7.6, 90, 102, 90], spacegroup="P 1 21/c 1", species=["Nb", "O"],
        xyz=[[0.155, 0.264, 0.318], [0.183, 0.156, 0.071]],
    )  # fmt: skip
    values = squared(crystal, np.array([[0, 1, 0], [0, 3, 0], [1, 0, 1], [2, 0, -3], [0, 2, 0]]))[1]
    assert (values[:4] < 1e-20 * values[4]).all()


def test_structure_factors_of_an_isotropic_atom_and_of_its_tensor_are_the_same():
    tensor = QUARTZ.replace(u_iso=np.array([0.01, 0.02]), u_aniso=np.zeros((2, 6)), anisotropic=(False, False))
    spherical = tensor.replace(u_aniso=tensor.u_tensors(), u_iso=np.zeros(2), anisotropic=(True, True))
    hkl, _ = plan_reflections(QUARTZ.group, QUARTZ.cell, 0.9)
    np.testing.assert_allclose(squared(tensor, hkl)[1], squared(spherical, hkl)[1], rtol=1e-10, atol=1e-10)


def test_neutrons_see_deuterium_where_x_rays_see_lead():
    hkl = np.array([[0, 0, 1]])
    full, without = TRICLINIC, TRICLINIC.replace(occupancy=np.array([1.0, 1.0, 0.0]))
    change = {r: abs(squared(without, hkl, r)[1] / squared(full, hkl, r)[1] - 1.0).item() for r in ("xray", "neutron")}
    assert change["neutron"] > 0.3 > 0.03 > change["xray"]


def test_differentiating_by_scattering_factors_is_refused():
    hkl = np.array([[1, 0, 1], [2, 0, 0]])
    plan = StructureFactors.plan(QUARTZ, hkl, "xray", CU_KA1)
    d_star_sq = 1.0 / d_spacing(np.asarray(QUARTZ.cell), hkl) ** 2
    vary = lambda c: plan.replace(factors=plan.factors.replace(c=c)).squared(QUARTZ, d_star_sq)
    with pytest.raises(TypeError, match="cannot be differentiated by scattering factors"):
        jax.jacfwd(vary)(plan.factors.c)
