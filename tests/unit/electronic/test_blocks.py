"""Blocks as irreps: nothing is lost, and they turn as matrices of orbitals do."""

import numpy as np
import pytest

from jaxnmr.electronic import BasisSet, Orbitals, block_irreps, block_layout, overlap
from jaxnmr.electronic.blocks import spherical_order
from jaxnmr.errors import ShapeError
from jaxnmr.models.networks.equivariant import harmonics, rotations

RNG = np.random.default_rng(5)
MOLECULE = Orbitals.of(("H", "C", "O", "H"))
XYZ = RNG.normal(size=(4, 3))


def rotation(seed):
    q = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    return q * np.sign(np.linalg.det(q))


def of_orbitals(orbitals, turn):
    """How functions turn, from the quadratic forms that d functions are: without spherical harmonics of any library."""
    d = np.zeros((5, 3, 3))
    for k, (i, j) in ((0, (0, 1)), (1, (1, 2)), (3, (0, 2))):
        d[k, i, j] = d[k, j, i] = np.sqrt(0.5)
    d[2], d[4] = np.diag([-1, -1, 2]) / np.sqrt(6), np.diag([1, -1, 0]) / np.sqrt(2)
    ranks = [np.eye(1), turn, np.einsum("pij,ia,jb,qab->pq", d, turn, turn, d)]
    out = np.zeros((orbitals.size, orbitals.size))
    for _, start, shell in orbitals.shells:
        out[start : start + shell.size, start : start + shell.size] = ranks[shell.l]
    return out


@pytest.mark.parametrize(
    "turn", [rotation(1), -rotation(2), -np.eye(3)], ids=["turned", "turned and inverted", "inverted"]
)
def test_overlaps_turn_as_the_orbitals_do(turn):
    d = of_orbitals(MOLECULE, turn)
    np.testing.assert_allclose(
        overlap(MOLECULE, XYZ @ turn.T), d @ np.asarray(overlap(MOLECULE, XYZ)) @ d.T, atol=1e-13
    )


def test_the_order_of_spherical_functions_is_that_of_the_networks_harmonics():
    x, y, z = v = RNG.normal(size=(3, 7)) / 1.0
    v = v / np.linalg.norm(v, axis=0)
    x, y, z = v
    d = np.stack([x * y, y * z, (2 * z * z - x * x - y * y) / np.sqrt(12), x * z, (x * x - y * y) / 2]) * np.sqrt(15)
    theirs = np.asarray(harmonics(v.T, 2)[2])
    np.testing.assert_allclose(theirs @ spherical_order(2).T, d.T, atol=1e-12)


@pytest.mark.parametrize(("one", "other"), [("H", "H"), ("C", "H"), ("O", "C")])
def test_the_map_of_a_block_is_orthogonal_and_has_both_parities(one, other):
    found = block_irreps(BasisSet.load(), one, other)
    rows, columns = found.matrix.shape
    assert rows == columns == BasisSet.load().size(one) * BasisSet.load().size(other)
    np.testing.assert_allclose(found.matrix.T @ found.matrix, np.eye(rows), atol=1e-13)
    held = {str(ir) for _, ir in found.irreps}
    assert held == {("H", "H"): {"0e", "1o", "1e", "2e"}, ("C", "H"): {"0e", "1o", "1e", "2e", "2o", "3o"}}.get(
        (one, other), {"0e", "1o", "1e", "2e", "2o", "3o", "3e", "4e"}
    )


def test_components_turn_as_irreps_do():
    turn = rotation(3)
    layout = block_layout(MOLECULE)
    d = of_orbitals(MOLECULE, turn)
    matrix = RNG.normal(size=(MOLECULE.size, MOLECULE.size))
    by_rank = rotations(turn[None], 4)
    before, after = layout.coefficients(matrix), layout.coefficients(d @ matrix @ d.T)
    inverted = layout.coefficients((p := of_orbitals(MOLECULE, -np.eye(3))) @ matrix @ p.T)
    for kind in layout.kinds:
        start = 0
        for ir in block_irreps(MOLECULE.basis, *kind.elements).irreps.each:
            at = slice(start, start + ir.dim)
            turned = before[kind.name][:, at] @ np.asarray(by_rank[ir.l])[0].T
            np.testing.assert_allclose(after[kind.name][:, at], turned, atol=1e-12)
            np.testing.assert_allclose(inverted[kind.name][:, at], ir.p * before[kind.name][:, at], atol=1e-12)
            start += ir.dim
        assert start == before[kind.name].shape[1]


def test_a_matrix_comes_back_from_its_components():
    layout = block_layout(MOLECULE)
    many = RNG.normal(size=(3, MOLECULE.size, MOLECULE.size))
    many = many + np.swapaxes(many, 1, 2)
    np.testing.assert_allclose(layout.matrices(layout.coefficients(many)), many, atol=1e-13)


def test_assembled_matrices_are_symmetric_whatever_the_components_are():
    layout = block_layout(MOLECULE)
    components = {name: RNG.normal(size=of.shape) for name, of in layout.coefficients(np.eye(MOLECULE.size)).items()}
    found = np.asarray(layout.matrices(components))
    assert np.array_equal(found, found.T) and np.linalg.matrix_rank(found) > 10
    assert {"C", "H", "O", "C-O", "O-C", "H-H", "C-H"} <= components.keys()


def test_matrices_of_another_molecule_are_refused():
    with pytest.raises(ShapeError, match="38 functions"):
        block_layout(MOLECULE).coefficients(np.eye(5))
