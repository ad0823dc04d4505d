"""Residuals of a structure against integrated intensities with Jacobian, and batched damped least squares.

Symmetry is data: the atoms of a cell are ``x = A u + b`` with ``A`` and ``b`` of a Wyckoff assignment, so that one
compiled program of a padded size serves every group and assignment. The precision follows that of the input; the search
uses single precision.

The loop is that of :mod:`jaxnmr.refinement.loop` without parts that thousands of tiny problems do not need (stages,
plans, bounds, uncertainties, singular directions): a step from damped normal equations, accepted if the cost decreases.
"""

from functools import partial
from math import factorial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from ...typing import Array, Scalar

# added to areas (relative to the largest) so that the derivative of sqrt(I) exists at 0
_ROUNDED = 1e-3
# Å, the longest step of a coordinate; of the displacement in Å²
LONGEST = 0.7
# a common B that is 1 Å² off costs as much as this R
_PRIOR_B = 0.02


class Measured(NamedTuple):
    """Data that all structures are compared with; ``H`` reflections in ``G`` groups, ``E`` elements, zero-padded.

    Attributes:
        hkl: ``(H, 3)``.
        form: ``(H, E)`` real parts of the scattering factors times the expected ``damping`` ``(H,)``; ``dispersion``
            ``(E,)`` imaginary parts without it.
        s_sq: ``(H,)`` ``(sin θ/λ)²``.
        weight: ``(H,)`` angular factors and multiplicity.
        member: ``(H,)`` index of the group of each reflection, nondecreasing.
        root: ``(G,)`` square roots of the areas, the largest near 1.
        trust: ``(G,)`` root of the weight of each, 0 for padding.
        lattice: ``(3, 3)`` vectors as rows, Å.
        shortest: ``(E, E)`` distances in Å below which atoms repel.
        sign, shift: ``(K,)``, ``(K, 3)`` images of an atom under inversion and centring.
        special: ``(H,)`` number of operations of the primitive cell that leave a reflection unchanged.
    """

    hkl: Float[Array, "H 3"]
    form: Float[Array, "H E"]
    dispersion: Float[Array, " E"]
    damping: Float[Array, " H"]
    s_sq: Float[Array, " H"]
    weight: Float[Array, " H"]
    member: Int[Array, " H"]
    root: Float[Array, " G"]
    trust: Float[Array, " G"]
    lattice: Float[Array, "3 3"]
    shortest: Float[Array, "E E"]
    sign: Float[Array, " K"]
    shift: Float[Array, "K 3"]
    special: Float[Array, " H"]


class Model(NamedTuple):
    """One Wyckoff assignment: ``N`` atoms unique under inversion and centring, ``S`` sites, ``p`` parameters.

    Attributes:
        matrix, offset: ``(N, 3, p)``, ``(N, 3)``: fractional coordinates are ``matrix @ u + offset``, u in Å, with B/Å²
            as its last component.
        element: ``(N,)``; ``copies`` ``(N,)`` number of atoms of the primitive cell that each represents, 0 for
            padding.
        first: ``(S,)`` an atom of each site; ``share`` ``(S,)`` its share of all atoms, 0 for padding.
        absent: ``(E,)`` atoms of the primitive cell missing in the model, which increase every expected |F|² by their
            scattering power (A. J. C. Wilson, Nature 150, 152 (1942)).
    """

    matrix: Float[Array, "N 3 p"]
    offset: Float[Array, "N 3"]
    element: Int[Array, " N"]
    copies: Float[Array, " N"]
    first: Int[Array, " S"]
    share: Float[Array, " S"]
    absent: Float[Array, " E"]


def intensities(
    measured: Measured, model: Model, u: Float[Array, " p"], centric: bool
) -> tuple[Float[Array, " H"], Float[Array, "H p"]]:
    """Return ``weight |F|²`` of every reflection with derivatives; |F|² per primitive cell, Friedel mates averaged.

    Args:
        measured: data with the reflections.
        model: assignment.
        u: parameters.
        centric: whether structure factors are real and an atom represents its inverse, too.
    """
    x = model.matrix @ u + model.offset
    cos, sin = circle(measured.hkl @ x.T)
    # elements are selected by a matrix product, which is faster than indexing
    pick = (model.element[:, None] == jnp.arange(measured.form.shape[1])).astype(u.dtype) * model.copies[:, None]
    f, g = measured.form @ pick.T, pick @ measured.dispersion
    a, c = (f * cos).sum(axis=1), measured.damping * (cos @ g)
    squared, along = a**2 + c**2, -sin * (a[:, None] * f + (c * measured.damping)[:, None] * g)
    if not centric:
        b, d = (f * sin).sum(axis=1), measured.damping * (sin @ g)
        squared, along = squared + b**2 + d**2, along + cos * (b[:, None] * f + (d * measured.damping)[:, None] * g)
    weight = measured.weight * jnp.exp(-2.0 * u[-1] * measured.s_sq)
    value = weight * (squared + measured.special * (measured.form**2 @ model.absent))
    n, _, p = model.matrix.shape
    by_x = ((4.0 * jnp.pi) * weight[:, None] * along) @ model.matrix.reshape(n, 3 * p)
    by_u = (by_x.reshape(-1, 3, p) * measured.hkl[:, :, None]).sum(axis=1)
    return value, by_u.at[:, -1].add(-2.0 * measured.s_sq * value)


def circle(turns: Float[Array, "*n"]) -> tuple[Float[Array, "*n"], Float[Array, "*n"]]:
    """Return cosine and sine of fractions of a turn to 1e-9, by half-angle power series, which vectorise well."""
    half = jnp.pi * (turns - jnp.round(turns))
    squared = half * half
    sin, cos = half * _series(_SINE, squared), _series(_COSINE, squared)
    return 1.0 - 2.0 * sin * sin, 2.0 * sin * cos


_SINE = tuple((-1) ** k / factorial(2 * k + 1) for k in range(7))
_COSINE = tuple((-1) ** k / factorial(2 * k) for k in range(8))


def _series(coefficients: tuple[float, ...], x: Float[Array, "*n"]) -> Float[Array, "*n"]:
    total = jnp.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = total * x + coefficient
    return total


def misfit(
    measured: Measured, model: Model, u: Float[Array, " p"], centric: bool
) -> tuple[Float[Array, " G"], Float[Array, "G p"], Float[Array, ""]]:
    """Return residuals of square roots of areas, their Jacobian, and R with equal weights for all areas.

    Args:
        measured, model, u, centric: as of :func:`intensities`.
    """
    value, by_u = intensities(measured, model, u, centric)
    summed = jax.ops.segment_sum(
        jnp.concatenate([value[:, None], by_u], axis=1), measured.member, len(measured.root), indices_are_sorted=True
    )
    area, by_u = summed[:, 0], summed[:, 1:]
    used = (measured.trust > 0).astype(area.dtype)
    root = jnp.sqrt(area + 1e-12) * used
    by_u = by_u / (2.0 * jnp.sqrt(area + _ROUNDED))[:, None]
    agreement = (root @ measured.root) ** 2 / ((root @ root) * (measured.root @ measured.root) + 1e-30)
    y, observed = root * measured.trust, measured.root * measured.trust
    size, squared = jnp.sqrt(observed @ observed), y @ y + 1e-30
    scale = (y @ observed) / squared
    slope = scale * by_u * measured.trust[:, None]
    # eliminate the scale: a change common to all roots has no effect (L. Kaufman, BIT 15, 49 (1975))
    slope = slope - (y / squared)[:, None] * (y @ slope)
    return (scale * y - observed) / size, slope / size, jnp.sqrt(jnp.maximum(1.0 - agreement, 0.0))


def overlaps(
    measured: Measured, model: Model, u: Float[Array, " p"]
) -> tuple[Float[Array, "S N"], Float[Array, "S N p"]]:
    """Return the overlaps in Å of the nearest images of atoms with the first atom of each site, and derivatives."""
    x = model.matrix @ u + model.offset
    images = measured.sign[:, None, None] * x + measured.shift[:, None]
    delta = x[model.first][:, None, None] - images
    delta = delta - jnp.round(delta)
    vectors = delta @ measured.lattice
    squared = (vectors**2).sum(axis=-1)
    n = len(x)
    itself = (jnp.arange(len(measured.sign)) == 0)[:, None] & (model.first[:, None, None] == jnp.arange(n))
    # an atom on an inversion centre is its own inverse
    absent = (model.copies == 0) | ((measured.sign < 0)[:, None] & (model.copies == 1))
    squared = jnp.where(itself | absent, 1e6, squared)
    nearest = jnp.argmin(squared, axis=1)
    at = (jnp.arange(len(model.first))[:, None], nearest, jnp.arange(n))
    distance = jnp.sqrt(squared[at] + 1e-6)
    gap = measured.shortest[model.element[model.first]][:, model.element] - distance
    towards = -(vectors[at] @ measured.lattice.T) / distance[..., None] * (gap > 0)[..., None]
    signed = towards * measured.sign[nearest][..., None]
    by_u = jnp.einsum("sni,sip->snp", towards, model.matrix[model.first]) - jnp.einsum(
        "sni,nip->snp", signed, model.matrix
    )
    return jnp.maximum(gap, 0.0), by_u


@partial(jax.jit, static_argnames=("centric",))
def improved(
    measured: Measured,
    models: Model,
    starts: Float[Array, "chains p"],
    bump: Scalar,
    steps: Int[Array, ""],
    centric: bool,
) -> tuple[Float[Array, "chains p"], Float[Array, " chains"], Float[Array, " chains"]]:
    """Run a number of damped least-squares steps from many starts (``models`` with the same first axis).

    Returns:
        Their parameters, the roots of their costs, and their R.
    """

    def one(model: Model, u: Array) -> tuple[Array, Array, Array]:
        factor = bump * jnp.sqrt(model.share / 2.0)[:, None]

        def at(u: Array) -> tuple[Array, Array, Array, Array]:
            r, slope, agreement = misfit(measured, model, u, centric)
            gap, by_gap = overlaps(measured, model, u)
            gap, by_gap = (factor * gap).ravel(), (factor[..., None] * by_gap).reshape(-1, len(u))
            last = (jnp.arange(len(u)) == len(u) - 1).astype(u.dtype) * _PRIOR_B**2
            cost = r @ r + gap @ gap + last @ u**2
            return (
                cost,
                r @ slope + gap @ by_gap + last * u,
                slope.T @ slope + by_gap.T @ by_gap + jnp.diag(last),
                agreement,
            )

        # one evaluation provides both a trial and the next step; the first trial is the start itself
        def step(_: int, state: tuple) -> tuple:
            u, trial, damping, here = state
            there = at(trial)
            better = there[0] < here[0]
            damping = jnp.clip(jnp.where(better, damping * 0.3, damping * 4.0), 1e-5, 1e6)
            u, here = jax.tree.map(lambda a, b: jnp.where(better, a, b), (trial, there), (u, here))
            diagonal = jnp.diag(here[2])
            ridge = damping * diagonal + 1e-6 * diagonal.max() + 1e-12
            move = -jax.scipy.linalg.solve(here[2] + jnp.diag(ridge), here[1], assume_a="pos")
            move = jnp.where(jnp.isfinite(move), move, 0.0)
            return u, u + move * jnp.minimum(1.0, LONGEST / (jnp.abs(move).max() + 1e-12)), damping, here

        p, number = len(u), lambda value: jnp.asarray(value, u.dtype)
        nothing = number(jnp.inf), jnp.zeros(p, u.dtype), jnp.eye(p, dtype=u.dtype), number(1.0)
        u, _, _, here = jax.lax.fori_loop(0, steps + 1, step, (u, u, number(0.17), nothing))
        return u, jnp.sqrt(here[0]), here[3]

    return jax.vmap(one)(models, starts)
