"""Products, linear maps and gates against e3nn, an independent program of the same conventions."""

import e3nn_jax as e3nn
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from jaxnmr.models.networks import equivariant as ours

RNG = np.random.default_rng(0)
ROWS = 6
SPECIES = np.array([0, 2, 1, 1, 4, 0])
# both parities of everything, scalars without the even ones' multiplicity, a rank above the harmonics
GIVEN = e3nn.Irreps("4x0e+2x0o+3x1o+2x1e+3x2e+1x2o+2x3o")


def features(irreps=GIVEN):
    """Random features in our layout and in theirs."""
    mine = {ir: RNG.normal(size=(ROWS, ir.dim, mul)) for mul, ir in irreps}
    return mine, theirs(mine, irreps)


def theirs(mine, irreps):
    flat = [np.swapaxes(np.asarray(mine[ir]), 1, 2).reshape(ROWS, -1) for _, ir in irreps]
    return e3nn.IrrepsArray(irreps, np.concatenate(flat, axis=1))


def flat(blocks):
    return np.asarray(ours.rows_of_irreps([(ir, jnp.asarray(x)) for ir, x in blocks]))


DIRECTIONS = RNG.normal(size=(ROWS, 3))
DIRECTIONS /= np.linalg.norm(DIRECTIONS, axis=1)[:, None]


def test_harmonics_are_theirs():
    expected = e3nn.spherical_harmonics(range(5), e3nn.IrrepsArray("1o", DIRECTIONS), True).array
    np.testing.assert_allclose(np.concatenate(ours.harmonics(jnp.asarray(DIRECTIONS), 4), axis=1), expected, atol=1e-13)


def test_products_are_theirs_path_by_path_in_the_same_order():
    x, reference = features()
    target = e3nn.Irreps("0e+0o+1o+1e+2e+3o")
    angles = ours.harmonics(jnp.asarray(DIRECTIONS), 2)
    paths = ours.paths_to(target, GIVEN, 2)
    table = ours.couplings(angles, {p.ranks for of in paths.values() for p in of})
    found = [
        (out, np.concatenate([ours.product(jnp.asarray(x[p.ir]), p, angles, table) for p in of], axis=-1))
        for out, of in paths.items()
    ]
    expected = e3nn.tensor_product(
        reference,
        e3nn.spherical_harmonics(range(3), e3nn.IrrepsArray("1o", DIRECTIONS), True),
        filter_ir_out=[ir for _, ir in target],
    )
    assert [(x.shape[-1], ir) for ir, x in found] == [(mul, ir) for mul, ir in expected.irreps]
    np.testing.assert_allclose(flat(found), expected.array, atol=1e-13)


@pytest.mark.parametrize("kinds", [None, 3, 5])
def test_linear_maps_have_their_parameters_and_their_values(kinds):
    irreps = "4x0e+2x0o+3x0e+2x1o+1x2e+1x0e+2x4e"
    x, reference = features()
    species = np.minimum(SPECIES, kinds - 1) if kinds else None
    their = e3nn.flax.Linear(irreps, num_indexed_weights=kinds)
    theirs_given = (reference,) if kinds is None else (species, reference)
    weights = their.init(jax.random.key(0), *theirs_given)
    weights = jax.tree.map(lambda w: np.asarray(w, dtype=np.float64), weights)
    mine = ours.Linear(irreps, kinds)
    shapes = lambda tree: jax.tree.map(jnp.shape, tree)
    assert shapes(mine.init(jax.random.key(0), x, species)) == shapes(weights)
    found = mine.apply(weights, x, None if kinds is None else jnp.asarray(species))
    np.testing.assert_allclose(flat(found), their.apply(weights, *theirs_given).array, atol=1e-13)


@pytest.mark.parametrize("irreps", ["4x0e+2x0o+5x0e+3x1o+2x2e", "9x0e+3x1o+2x1e", "4x0e+2x0o"])
def test_gates_are_theirs(irreps):
    irreps = e3nn.Irreps(irreps)
    gated = irreps.filter(drop=["0e", "0o"]).num_irreps
    blocks = [(ir, RNG.normal(size=(ROWS, ir.dim, mul))) for mul, ir in irreps]
    reference = e3nn.IrrepsArray(irreps, flat(blocks))
    even, odd = (lambda x: nn.silu(x) / ours.SILU_RMS), (lambda x: jnp.tanh(x) / ours.TANH_RMS)
    expected = e3nn.gate(
        reference, even_act=even, odd_act=odd, even_gate_act=even, odd_gate_act=even, normalize_act=False
    )
    found = ours.gate([(ir, jnp.asarray(x)) for ir, x in blocks], gated)
    assert ours.irreps_of(found) == expected.irreps
    np.testing.assert_allclose(flat(found.items()), expected.array, atol=1e-13)


def test_features_turn_by_their_matrices_and_mirror_by_their_parity():
    turn = Rotation.from_rotvec([0.3, -1.2, 0.7]).as_matrix()
    angles, after = (ours.harmonics(jnp.asarray(n), 4) for n in (DIRECTIONS, DIRECTIONS @ turn.T))
    ranks = ours.rotations(jnp.asarray(np.tile(turn, (ROWS, 1, 1))), 4)
    for parity in (1, -1):
        # two copies of harmonics, one of them with the other sign under inversion
        x = {e3nn.Irrep(l, p): jnp.stack([y, 2 * y], axis=-1) for l, y in enumerate(angles) for p in (1, -1)}
        found = ours.turned(x, ranks, np.full(ROWS, parity))
        for ir, values in found.items():
            expected = after[ir.l] * (1 if ir.p == 1 else parity)
            np.testing.assert_allclose(values, np.stack([expected, 2 * expected], axis=-1), atol=1e-13)
