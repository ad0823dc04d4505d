"""The Crystal: construction, refusals, free quantities, displacement."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnmr.crystal import Crystal, SpaceGroup, element_of, lattice
from jaxnmr.crystal.symmetry import unvoigt
from jaxnmr.errors import ConventionError, ParameterError, ShapeError, SymmetryError

FLUORAPATITE = {
    "cell": [9.371724, 9.371724, 6.885867, 90, 90, 120],
    "spacegroup": "P 63/m",
    "species": ["Ca", "Ca", "P", "F", "O", "O", "O"],
    "xyz": [
        [0.333333, 0.666667, 0.001913], [0.241976, 0.992603, 0.25], [0.397416, 0.367704, 0.25], [0, 0, 0.25],
        [0.325053, 0.484763, 0.25], [0.591494, 0.469954, 0.25], [0.33951, 0.258126, 0.070641],
    ],
}  # fmt: skip
ANGLESITE = {
    "cell": [8.48, 5.398, 6.958, 90, 90, 90],
    "spacegroup": "P n m a",
    "species": ["Pb", "S", "O", "O", "O"],
    "xyz": [
        [0.1882, 0.25, 0.167], [0.063, 0.25, 0.686], [-0.095, 0.25, 0.6], [0.181, 0.25, 0.543], [0.085, 0.026, 0.806],
    ],
}  # fmt: skip
OXYFLUORIDE = {
    "cell": [8.0026, 5.40718, 7.62429, 90, 101.91584, 90],
    "spacegroup": "P 21/c",
    "species": ["Na", "Nb", "O", "O", "F", "F"],
    "xyz": [
        [0.36655, 0.78, 0.11559], [0.15494, 0.26439, 0.318], [0.18254, 0.1562, 0.07095],
        [0.04246, 0.5439, 0.21166], [0.37687, 0.44401, 0.31374], [0.31038, 0.9766, 0.37825],
    ],
}  # fmt: skip
NAC = {
    "cell": [10.251218] * 3 + [90] * 3,
    "spacegroup": "I 21 3",
    "species": ["Ca2+", "Al3+", "Na1+", "F1-", "F1-", "F1-"],
    "labels": ["Ca1", "Al1", "Na1", "F1", "F2", "F3"],
    "xyz": [
        [0.466516, 0, 0.25], [0.248661] * 3, [0.084621] * 3, [0.138249, 0.305837, 0.12061],
        [0.363988, 0.362565, 0.186984], [0.461414] * 3,
    ],
    "u_aniso": [
        [0.00833, 0.009559, 0.007958, 0, 0, -0.000037], [0.007837] * 3 + [-0.000727] * 3,
        [0.025468] * 3 + [-0.007439] * 3,
        [0.010198, 0.010967, 0.012833, 0.000619, -0.001766, 0.002031],
        [0.011549, 0.015837, 0.012443, -0.007084, 0.00067, 0.002357], [0.00955] * 3 + [0.000691] * 3,
    ],
}  # fmt: skip


def free(crystal: Crystal, name: str) -> int:
    return crystal.quantities()[name].basis.shape[1]


@pytest.mark.parametrize(
    ("arguments", "xyz", "cell"), [(FLUORAPATITE, 12, 2), (ANGLESITE, 11, 3), (OXYFLUORIDE, 18, 4), (NAC, 10, 1)]
)
def test_free_coordinates_and_cell_parameters_of_known_refinements(arguments, xyz, cell):
    crystal = Crystal.create(**arguments)
    assert (free(crystal, "xyz"), free(crystal, "cell")) == (xyz, cell)


def test_independent_displacements_of_nac_are_those_gsas_ii_refines():
    crystal = Crystal.create(**NAC)
    g_star = np.diag(1.0 / np.asarray(crystal.cell)[:3] ** 2)
    assert [s.uij_basis(g_star).shape[1] for s in crystal.sites()] == [4, 2, 2, 6, 6, 2]
    assert free(crystal, "u_aniso") == 22
    assert free(crystal, "u_iso") == 0
    pivots = [np.flatnonzero(column)[0] for column in crystal.quantities()["u_aniso"].basis.T]
    names = [crystal.quantities()["u_aniso"].labels[k] for k in pivots]
    assert names[:8] == ["Ca1.U11", "Ca1.U22", "Ca1.U33", "Ca1.U23", "Al1.U11", "Al1.U12", "Na1.U11", "Na1.U12"]


def test_quantities_name_every_element_and_their_bases_contain_only_allowed_changes():
    crystal = Crystal.create(**FLUORAPATITE)
    for name, quantity in crystal.quantities().items():
        assert len(quantity.labels) == quantity.value.size == np.asarray(getattr(crystal, name)).size
        assert quantity.basis is None or quantity.basis.shape[0] == quantity.value.size
    basis = crystal.quantities()["xyz"].basis
    labels = crystal.quantities()["xyz"].labels
    fixed = {labels[k] for k in np.flatnonzero(~basis.any(axis=1))}
    assert fixed == {"Ca1.x", "Ca1.y", "Ca2.z", "P1.z", "F1.x", "F1.y", "F1.z", "O1.z", "O2.z"}


def test_positions_are_snapped_and_labels_made():
    crystal = Crystal.create(**FLUORAPATITE)
    np.testing.assert_allclose(crystal.xyz[0], [1 / 3, 2 / 3, 0.001913], atol=1e-12)
    assert crystal.labels == ("Ca1", "Ca2", "P1", "F1", "O1", "O2", "O3")
    assert [s.multiplicity for s in crystal.sites()] == [4, 6, 6, 2, 6, 6, 12]
    assert repr(crystal) == "Crystal('crystal', P 63/m, 7 sites: Ca1 Ca2 P1 F1 O1 O2 O3)"


def test_the_cell_is_snapped_to_what_the_group_requires():
    crystal = Crystal.create(**{**FLUORAPATITE, "cell": [9.3717, 9.3718, 6.8859, 90.0, 89.999, 120.001]})
    assert crystal.cell[0] == crystal.cell[1] == pytest.approx(9.37175, abs=2e-4)
    np.testing.assert_array_equal(crystal.cell[3:], [90, 90, 120])


def test_charges_are_spelled_in_one_way():
    crystal = Crystal.create(**{**NAC, "species": ["CA+2", "Al3+", "na+", "F-", "F-1", "F1-"]})
    assert crystal.species == ("Ca2+", "Al3+", "Na1+", "F1-", "F1-", "F1-")
    assert crystal.elements == ("Ca", "Al", "Na", "F", "F", "F")


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        ("O", ("O", 0)), ("O2-", ("O", -2)), ("O-2", ("O", -2)), ("Ca+2", ("Ca", 2)), ("CA2+", ("Ca", 2)),
        ("F-", ("F", -1)), ("D", ("D", 0)), ("Co0", ("Co", 0)), ("Na 1+", ("Na", 1)), ("si", ("Si", 0)),
    ],
)  # fmt: skip
def test_type_symbols_are_read_with_their_charge(symbol, expected):
    assert element_of(symbol) == expected


@pytest.mark.parametrize("symbol", ["", "X", "Xy", "OH", "Wat", "Fe2.5+", "12", "O2-3", "O1", "Ca++"])
def test_what_is_no_element_is_refused(symbol):
    with pytest.raises(ConventionError, match="no element"):
        element_of(symbol)


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        ({"species": []}, ShapeError, "at least one site"),
        ({"cell": [9, 9, 7]}, ShapeError, "cell has shape"),
        ({"cell": [9.37, 9.37, 6.88, 90, 90, 90]}, SymmetryError, "contradicts"),
        ({"cell": [9.37, 9.40, 6.88, 90, 90, 120]}, SymmetryError, "contradicts"),
        ({"cell": [9.37, 9.37, -6.88, 90, 90, 120]}, ConventionError, "positive"),
        ({"cell": [9.37, 9.37, 6.88, 90, 90, 190]}, ConventionError, "between 0 and 180"),
        ({"cell": [9.37, 9.37, 6.88, 30, 30, 120]}, ConventionError, "no volume"),
        ({"cell": [9.37, 9.37, np.nan, 90, 90, 120]}, ConventionError, "non-finite"),
        ({"xyz": [[0, 0, 0]]}, ShapeError, "xyz has shape"),
        ({"xyz": "abc"}, ParameterError, "xyz is a str; expected numbers"),
        ({"labels": ["A"] * 7}, ShapeError, "unique labels"),
        ({"labels": ["A", "B"]}, ShapeError, "7 unique labels"),
        ({"occupancy": [1.2] + [1] * 6}, ConventionError, "occupancy of Ca1 is 1.2"),
        ({"occupancy": [-0.1] + [1] * 6}, ConventionError, "between 0 and 1"),
        ({"u_iso": [0.01, 0.02]}, ShapeError, "u_iso has shape"),
        ({"u_iso": 0.01, "b_iso": 1.0}, ConventionError, "not both"),
        ({"u_iso": [np.inf] + [0.01] * 6}, ConventionError, "non-finite"),
        ({"u_aniso": np.zeros((7, 5))}, ShapeError, "u_aniso has shape"),
        ({"u_aniso": [[0.01] * 3 + [np.nan] * 3] + [[np.nan] * 6] * 6}, ConventionError, "six finite numbers"),
        ({"u_aniso": [[0.01, 0.03, 0.01, 0, 0, 0]] + [[np.nan] * 6] * 6}, SymmetryError, "site symmetry requires"),
        ({"spacegroup": "P 63/q"}, SymmetryError, "unknown space group"),
        ({"species": ["Xx"] + ["O"] * 6, "labels": list("ABCDEFG")}, ConventionError, "'Xx' at site A"),
    ],
)
def test_contradictions_are_refused_with_their_reason(change, error, reason):
    with pytest.raises(error, match=reason):
        Crystal.create(**{**FLUORAPATITE, **change})


def test_the_wrong_setting_is_noticed_when_atoms_collide():
    # spinel coordinates of origin 2 taken with origin 1: oxygen comes too near to its image
    spinel = {"cell": [8.08] * 3 + [90] * 3, "species": ["O"], "xyz": [[0.387, 0.387, 0.387]]}
    with pytest.raises(SymmetryError, match="origin choice"):
        Crystal.create(**spinel, spacegroup="F d -3 m:2")
    assert Crystal.create(**spinel, spacegroup="F d -3 m:1").sites()[0].multiplicity == 32


def test_b_becomes_u():
    crystal = Crystal.create(**FLUORAPATITE, b_iso=np.full(7, 8 * np.pi**2 * 0.02))
    np.testing.assert_allclose(crystal.u_iso, 0.02)
    np.testing.assert_allclose(Crystal.create(**FLUORAPATITE, b_iso=1.0).u_iso, 1 / (8 * np.pi**2))


def test_rounded_displacements_are_made_symmetric():
    u = np.full((7, 6), np.nan)
    u[0] = [0.0101, 0.0099, 0.02, 0.0049, 0.0001, -0.0001]
    crystal = Crystal.create(**FLUORAPATITE, u_aniso=u)
    value = crystal.u_aniso[0]
    assert value[0] == pytest.approx(value[1]) == pytest.approx(2 * value[3])
    assert value[2] == 0.02 and value[4] == value[5] == 0
    assert crystal.anisotropic == (True,) + (False,) * 6
    assert crystal.u_iso[0] == 0.0


def test_an_isotropic_displacement_has_the_same_tensor_in_every_direction():
    for arguments in (FLUORAPATITE, OXYFLUORIDE):
        crystal = Crystal.create(**arguments, u_iso=0.013)
        np.testing.assert_allclose(crystal.u_equivalent(), 0.013, rtol=1e-12)
        vectors = lattice(np.asarray(crystal.cell))
        length = np.sqrt(np.diag(np.linalg.inv(vectors @ vectors.T)))
        u = unvoigt(crystal.u_tensors()[0])
        cartesian = vectors.T @ (length[:, None] * u * length) @ vectors
        np.testing.assert_allclose(cartesian, 0.013 * np.eye(3), atol=1e-12)


def test_the_equivalent_displacement_is_a_third_of_the_cartesian_trace():
    crystal = Crystal.create(**{**OXYFLUORIDE, "u_aniso": np.tile([0.01, 0.02, 0.03, 0.004, -0.005, 0.002], (6, 1))})
    vectors = lattice(np.asarray(crystal.cell))
    length = np.sqrt(np.diag(np.linalg.inv(vectors @ vectors.T)))
    cartesian = vectors.T @ (length[:, None] * unvoigt(crystal.u_aniso[0]) * length) @ vectors
    assert crystal.u_equivalent()[0] == pytest.approx(np.trace(cartesian) / 3, rel=1e-12)


def test_sites_with_impossible_displacements_are_named():
    u = np.full((6, 6), np.nan)
    u[1] = [0.01, 0.01, 0.01, 0.02, 0, 0]  # |U12| > sqrt(U11 U22)
    u[2] = [0.01, 0.01, 0.01, 0.001, 0, 0]
    crystal = Crystal.create(**OXYFLUORIDE, u_aniso=u, u_iso=[-0.001, 0, 0, 0.01, 0.01, 0.01])
    assert crystal.nonpositive_displacements() == ("Na1", "Nb1")


def test_a_site_moved_near_a_special_position_keeps_its_multiplicity():
    crystal = Crystal.create(**FLUORAPATITE)
    xyz = np.array(crystal.xyz)
    xyz[6] = [0.34, 0.26, 0.2495]  # 0.003 Å from the mirror
    moved = crystal.replace(xyz=xyz)
    assert [s.multiplicity for s in moved.sites()] == [4, 6, 6, 2, 6, 6, 12]
    single = crystal.replace(xyz=np.asarray(crystal.xyz, dtype=np.float32))
    assert [s.multiplicity for s in single.sites()] == [4, 6, 6, 2, 6, 6, 12]


def test_a_crystal_is_a_pytree_of_its_numbers():
    crystal = Crystal.create(**FLUORAPATITE)
    leaves, tree = jax.tree.flatten(crystal)
    assert len(leaves) == 5
    twin = jax.tree.unflatten(tree, leaves)
    assert twin.group == crystal.group and twin.labels == crystal.labels
    volume = jax.jit(lambda c: c.volume())(jax.tree.map(jnp.asarray, crystal))
    assert float(volume) == pytest.approx(crystal.volume(), rel=1e-5)
    many = jax.vmap(lambda a: crystal.replace(cell=crystal.cell * jnp.array([a, a, a, 1, 1, 1])).volume())(
        jnp.array([1.0, 2.0])
    )
    assert float(many[1]) == pytest.approx(8 * float(many[0]), rel=1e-5)


def test_a_spacegroup_may_be_given_as_operations():
    group = SpaceGroup.from_operations(["x,y,z", "-x,y+1/2,-z+1/2", "-x,-y,-z", "x,-y+1/2,z+1/2"])
    assert Crystal.create(**{**OXYFLUORIDE, "spacegroup": group}).group.name == "P 1 21/c 1"
