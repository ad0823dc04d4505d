"""The full cell against ASE, gemmi and spglib."""

import ase.spacegroup
import gemmi
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import spglib

from jaxnmr.crystal import Crystal, plan_expansion

CRYSTALS = [
    Crystal.create(
        cell=[9.371724, 9.371724, 6.885867, 90, 90, 120], spacegroup="P 63/m", species=["Ca", "Ca", "P", "F", "O"],
        xyz=[
            [1 / 3, 2 / 3, 0.0019], [0.242, 0.9926, 0.25], [0.3974, 0.3677, 0.25], [0, 0, 0.25],
            [0.3395, 0.258, 0.0706],
        ],
        name="apatite",
    ),
    Crystal.create(
        cell=[8.083] * 3 + [90] * 3, spacegroup="F d -3 m:2", species=["Mg", "Al", "O"],
        xyz=[[1 / 8] * 3, [1 / 2] * 3, [0.2624] * 3], name="spinel",
    ),
    Crystal.create(
        cell=[10.2512] * 3 + [90] * 3, spacegroup="I 21 3", species=["Ca", "Al", "F"],
        xyz=[[0.4665, 0, 0.25], [0.2487] * 3, [0.1382, 0.3058, 0.1206]], name="nac",
    ),
    Crystal.create(
        cell=[4.99, 4.99, 17.06, 90, 90, 120], spacegroup="R -3 c:H", species=["Ca", "C", "O"],
        xyz=[[0, 0, 0], [0, 0, 0.25], [0.257, 0, 0.25]], name="calcite",
    ),
]  # fmt: skip
by_name = pytest.mark.parametrize("crystal", CRYSTALS, ids=lambda c: c.name)


def sorted_points(points) -> np.ndarray:
    points = np.round(np.asarray(points, dtype=float) % 1.0, 6) % 1.0
    return points[np.lexsort(points.T)]


@by_name
def test_the_full_cell_is_that_of_gemmi(crystal):
    lines = ["data_x", f"_symmetry_space_group_name_Hall '{crystal.group.hall}'"]
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines += [f"_cell_{name} {value}" for name, value in zip(names, crystal.cell, strict=True)]
    lines += ["loop_", *(f"_atom_site_{tag}" for tag in ("label", "fract_x", "fract_y", "fract_z"))]
    lines += [f"{label} {x} {y} {z}" for label, (x, y, z) in zip(crystal.labels, crystal.xyz, strict=True)]
    reference = gemmi.make_small_structure_from_block(gemmi.cif.read_string("\n".join(lines)).sole_block())
    cell = crystal.expand()
    expanded = reference.get_all_unit_cell_sites()
    assert len(expanded) == len(cell.species)
    for label in crystal.labels:
        theirs = [s.fract.tolist() for s in expanded if s.label == label]
        ours = np.asarray(cell.fractional)[[k for k, other in enumerate(cell.labels) if other == label]]
        np.testing.assert_allclose(sorted_points(ours), sorted_points(theirs), atol=2e-6)


@by_name
def test_the_full_cell_is_that_of_ase(crystal):
    setting = 2 if crystal.group.name.endswith(":2") else 1
    reference = ase.spacegroup.crystal(
        crystal.elements, crystal.xyz, spacegroup=crystal.group.number, setting=setting, cellpar=crystal.cell
    )
    cell = crystal.expand()
    assert len(reference) == len(cell.species)
    np.testing.assert_allclose(
        sorted_points(reference.get_scaled_positions()), sorted_points(cell.fractional), atol=2e-6
    )
    np.testing.assert_allclose(cell.lattice @ cell.lattice.T, reference.cell @ reference.cell.T, atol=1e-9)


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")  # spglib warns on every call
@by_name
def test_spglib_finds_the_space_group_of_the_full_cell(crystal):
    cell = crystal.expand()
    kinds = [crystal.labels.index(label) for label in cell.labels]
    data = spglib.get_symmetry_dataset((np.asarray(cell.lattice), np.asarray(cell.fractional), kinds), symprec=1e-4)
    assert data.number == crystal.group.number
    orbits = [len(set(data.crystallographic_orbits[np.array(kinds) == k])) for k in range(crystal.n_sites)]
    assert orbits == [1] * crystal.n_sites


@by_name
def test_atoms_lie_in_the_cell_and_each_appears_once(crystal):
    fractional = np.asarray(crystal.expand().fractional)
    assert (fractional > -1e-8).all() and (fractional < 1.0).all()
    delta = fractional[:, None] - fractional
    delta -= np.round(delta)
    separation = np.linalg.norm(delta @ np.asarray(crystal.lattice()), axis=-1) + 9 * np.eye(len(fractional))
    assert separation.min() > 0.5


@by_name
def test_the_asymmetric_unit_is_found_in_the_full_cell(crystal):
    plan = plan_expansion(crystal)
    cell = crystal.expand(plan)
    delta = np.asarray(cell.fractional)[plan.asymmetric] - crystal.xyz
    np.testing.assert_allclose(delta, np.round(delta), atol=1e-9)
    assert [cell.labels[k] for k in plan.asymmetric] == list(crystal.labels)


def test_cartesian_positions_are_fractional_ones_times_the_lattice():
    cell = CRYSTALS[3].expand()
    np.testing.assert_allclose(cell.cartesian, np.asarray(cell.fractional) @ CRYSTALS[3].lattice())


def test_positions_are_continuous_when_an_atom_crosses_the_border_of_the_cell():
    crystal = CRYSTALS[0]
    plan = plan_expansion(crystal)
    before = np.asarray(crystal.expand(plan).fractional)
    moved = crystal.replace(xyz=np.asarray(crystal.xyz) + np.array([0, 0, -0.01]))
    after = np.asarray(moved.expand(plan).fractional)
    assert np.abs(after - before).max() < 0.02


def test_the_full_cell_can_be_traced_and_differentiated():
    crystal = CRYSTALS[1]
    plan = plan_expansion(crystal)

    def spread(cell, xyz):
        return jnp.sum(crystal.replace(cell=cell, xyz=xyz).expand(plan).cartesian ** 2)

    arrays = jnp.asarray(crystal.cell), jnp.asarray(crystal.xyz)
    value = jax.jit(spread)(*arrays)
    assert float(value) == pytest.approx(np.sum(np.asarray(crystal.expand().cartesian) ** 2), rel=1e-4)
    for gradient in jax.grad(spread, argnums=(0, 1))(*arrays):
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0
    traced = jax.jit(lambda c, p: c.expand(p).fractional)(
        jax.tree.map(jnp.asarray, crystal), jax.tree.map(jnp.asarray, plan)
    )
    np.testing.assert_allclose(traced, crystal.expand().fractional, atol=1e-5)
