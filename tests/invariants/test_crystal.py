"""What cannot depend on how a crystal is described: origin, setting, supercell, choice of asymmetric unit, order."""

import gemmi
import numpy as np
import pytest

from jaxnmr.crystal import Crystal, SpaceGroup, angles, plan_angles, plan_bonds
from jaxnmr.crystal.symmetry import unvoigt, voigt

ANISOTROPIC = [0.012, 0.021, 0.031, 0.004, -0.005, 0.002]
MONOCLINIC = {
    "cell": [8.0026, 5.40718, 7.62429, 90, 101.91584, 90],
    "spacegroup": "P 1 21/c 1",
    "species": ["Na", "Nb", "O", "F"],
    "xyz": [[0.3666, 0.78, 0.1156], [0.1549, 0.2644, 0.318], [0.1825, 0.1562, 0.071], [0.3769, 0.444, 0.3137]],
    "u_aniso": [ANISOTROPIC] * 2 + [[np.nan] * 6] * 2,
}
CALCITE = {
    "cell": [4.99, 4.99, 17.06, 90, 90, 120],
    "spacegroup": "R -3 c:H",
    "species": ["Ca", "C", "O"],
    "xyz": [[0, 0, 0], [0, 0, 0.25], [0.257, 0, 0.25]],
}


def bond_list(crystal: Crystal) -> list:
    """Every distinct bond length with the number of such bonds per atom of its first element."""
    table = plan_bonds(crystal, 3.2).table(crystal)
    multiplicity = dict(zip(crystal.labels, (s.multiplicity for s in crystal.sites()), strict=True))
    return sorted(
        (crystal.elements[crystal.labels.index(r.labels[0])], crystal.elements[crystal.labels.index(r.labels[1])],
         round(r.distance, 6), round(r.multiplicity * multiplicity[r.labels[0]] / float(crystal.volume()), 9))
        for r in table
    )  # fmt: skip


def merged(rows: list) -> dict:
    """Bond densities (1/Å³) by elements and length."""
    out: dict = {}
    for *key, density in rows:
        out[tuple(key)] = out.get(tuple(key), 0.0) + density
    return out


def assert_same_bonds(a: Crystal, b: Crystal):
    first, second = merged(bond_list(a)), merged(bond_list(b))
    assert first.keys() == second.keys()
    for key, density in first.items():
        assert second[key] == pytest.approx(density, rel=1e-6)


def changed_setting(crystal: Crystal, cob: gemmi.Op, name: str) -> Crystal:
    """The same crystal with other axes and origin: ``x' = P x + p``."""
    p = np.array(cob.rot) / gemmi.Op.DEN
    shift = np.array(cob.tran) / gemmi.Op.DEN
    vectors = np.linalg.inv(p).T @ crystal.lattice()
    g = vectors @ vectors.T
    length = np.sqrt(np.diag(g))
    corners = [np.degrees(np.arccos(g[i, j] / (length[i] * length[j]))) for i, j in ((1, 2), (0, 2), (0, 1))]
    old = np.sqrt(np.diag(np.linalg.inv(crystal.lattice() @ crystal.lattice().T)))
    new = np.sqrt(np.diag(np.linalg.inv(g)))
    beta = unvoigt(crystal.u_aniso) * old[:, None] * old
    u = voigt(np.einsum("ij,sjk,lk->sil", p, beta, p) / (new[:, None] * new))
    u[~np.array(crystal.anisotropic)] = np.nan
    return Crystal.create(
        cell=[*length, *corners],
        spacegroup=name,
        species=crystal.species,
        labels=crystal.labels,
        xyz=crystal.xyz @ p.T + shift,
        u_aniso=u,
        u_iso=crystal.u_iso,
    )


@pytest.mark.parametrize(
    ("operation", "name"), [("z,-y,x", "P 1 21/a 1"), ("z,x,y", "P 1 1 21/a"), ("x-z,y,z", "P 1 21/n 1")]
)
def test_bonds_and_displacements_do_not_depend_on_the_setting(operation, name):
    crystal = Crystal.create(**MONOCLINIC)
    other = changed_setting(crystal, gemmi.Op(operation), name)
    assert other.group.name == name
    assert other.volume() == pytest.approx(crystal.volume(), rel=1e-9)
    np.testing.assert_allclose(other.u_equivalent(), crystal.u_equivalent(), rtol=1e-9)
    assert_same_bonds(crystal, other)


def test_hexagonal_and_rhombohedral_axes_describe_the_same_calcite():
    hexagonal = Crystal.create(**CALCITE)
    # obverse setting: a_R = (2a + b + c)/3 ...
    rows = np.array([[2, 1, 1], [-1, 1, 1], [-1, -2, 1]]) / 3 @ hexagonal.lattice()
    length = np.linalg.norm(rows, axis=1)
    alpha = np.degrees(np.arccos(rows[0] @ rows[1] / length[0] ** 2))
    rhombohedral = Crystal.create(
        cell=[*length, alpha, alpha, alpha],
        spacegroup="R -3 c:R",
        species=hexagonal.species,
        xyz=(hexagonal.xyz @ hexagonal.lattice()) @ np.linalg.inv(rows),
    )
    assert rhombohedral.volume() == pytest.approx(hexagonal.volume() / 3, rel=1e-9)
    assert [s.multiplicity * 3 for s in rhombohedral.sites()] == [s.multiplicity for s in hexagonal.sites()]
    assert_same_bonds(hexagonal, rhombohedral)


def test_the_two_origins_of_spinel_are_the_same_crystal():
    cell = [8.083] * 3 + [90] * 3
    two = Crystal.create(
        cell=cell, spacegroup="F d -3 m:2", species=["Mg", "Al", "O"], xyz=[[1 / 8] * 3, [1 / 2] * 3, [0.2624] * 3]
    )
    one = Crystal.create(cell=cell, spacegroup="F d -3 m:1", species=two.species, xyz=np.asarray(two.xyz) + 1 / 8)
    assert [s.multiplicity for s in one.sites()] == [s.multiplicity for s in two.sites()] == [8, 16, 32]
    assert_same_bonds(one, two)


@pytest.mark.parametrize("arguments", [MONOCLINIC, CALCITE], ids=["monoclinic", "calcite"])
def test_a_doubled_cell_without_symmetry_has_the_same_bonds(arguments):
    crystal = Crystal.create(**{**arguments, "u_aniso": None})
    cell = crystal.expand()
    fractional = np.asarray(cell.fractional)
    doubled = np.concatenate([fractional, fractional + np.array([0, 1, 0])]) / [1, 2, 1]
    size = np.array(crystal.cell) * [1, 2, 1, 1, 1, 1]
    other = Crystal.create(cell=size, spacegroup="P 1", species=cell.species * 2, xyz=doubled)
    assert_same_bonds(crystal, other)


@pytest.mark.parametrize("arguments", [MONOCLINIC, CALCITE], ids=["monoclinic", "calcite"])
def test_any_symmetry_image_of_a_site_describes_the_same_crystal(arguments):
    crystal = Crystal.create(**arguments)
    rng = np.random.default_rng(5)
    length = np.sqrt(np.diag(np.linalg.inv(crystal.lattice() @ crystal.lattice().T)))
    xyz, u = np.array(crystal.xyz), np.array(crystal.u_aniso)
    for k in range(crystal.n_sites):
        op = rng.integers(crystal.group.order)
        r = crystal.group.rotations[op]
        xyz[k] = r @ xyz[k] + crystal.group.translations[op] + rng.integers(-2, 3, size=3)
        m = r * (length[None, :] / length[:, None])
        u[k] = voigt(m @ unvoigt(u[k]) @ m.T)
    u[~np.array(crystal.anisotropic)] = np.nan
    other = Crystal.create(**{**arguments, "xyz": xyz, "u_aniso": u})
    np.testing.assert_allclose(other.u_equivalent(), crystal.u_equivalent(), rtol=1e-9)
    assert [s.multiplicity for s in other.sites()] == [s.multiplicity for s in crystal.sites()]
    assert_same_bonds(crystal, other)


def test_a_shift_along_a_floating_origin_changes_no_distance():
    zincite = {"cell": [3.25, 3.25, 5.2, 90, 90, 120], "spacegroup": "P 63 m c", "species": ["Zn", "O"]}
    xyz = np.array([[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.382]])
    crystal = Crystal.create(**zincite, xyz=xyz)
    (polar,) = SpaceGroup.from_name("P 63 m c").polar_basis.T
    other = Crystal.create(**zincite, xyz=xyz + 0.1234 * polar)
    assert_same_bonds(crystal, other)
    shifted = Crystal.create(**zincite, xyz=xyz + np.array([0, 0, 0.382]))
    assert_same_bonds(crystal, shifted)


def test_the_order_of_sites_does_not_matter():
    crystal = Crystal.create(**CALCITE)
    order = [2, 0, 1]
    other = Crystal.create(
        **{**CALCITE, "species": [CALCITE["species"][k] for k in order], "xyz": [CALCITE["xyz"][k] for k in order]}
    )
    assert_same_bonds(crystal, other)
    for name in ("xyz", "u_iso", "cell"):
        assert crystal.quantities()[name].basis.shape == other.quantities()[name].basis.shape


def test_the_angles_of_a_triangle_add_up_to_180_degrees():
    crystal = Crystal.create(**MONOCLINIC)
    rng = np.random.default_rng(3)
    for _ in range(20):
        a, b, c = ([k, rng.integers(4), *rng.integers(-2, 3, 3)] for k in rng.permutation(4)[:3])
        corners = np.array([[a, b, c], [b, c, a], [c, a, b]])
        assert angles(crystal, corners).sum() == pytest.approx(180.0, abs=1e-9)


def test_angles_at_equivalent_centres_are_counted_once():
    crystal = Crystal.create(**CALCITE)
    table = [r for r in plan_angles(crystal).table(crystal) if r.labels[1] == "C1"]
    assert [(round(r.angle, 6), r.multiplicity) for r in table] == [(120.0, 3)]
