"""Comparison of a decorated structure type with measured areas, unchanged or with refined free coordinates (host).

Residuals are differences of square roots of areas over their standard deviations. The scale follows linearly from all
roots; one displacement for all atoms and the free coordinates are refined by the Levenberg-Marquardt method with exact
derivatives.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Complex, Float

from ...crystal import lattice
from .lines import Lines, Reflections, form_factors
from .types import StructureType

# Å², initial displacement B of all atoms, trial values before refinement, and limits
EXPECTED_B = 0.6
TRIED_B = (0.3, 0.9)
_B_SIGMA, _B_RANGE = 0.6, (-0.2, 6.0)
# Å, standard deviation of atomic positions between isotypes, and the longest step
MOVE_SIGMA, _LONGEST = 0.3, 0.25
_STEPS = 25


class Fit(NamedTuple):
    """Agreement of a decorated type.

    Attributes:
        moves: ``(dof,)`` changes of the free coordinates.
        b_iso: displacement of all atoms, Å².
        misfit: weighted root mean square difference of roots, relative to their weighted root mean square.
        r_factor: ``sum |√I_obs - √I_calc| / sum √I_obs``.
        covariance: ``(dof, dof)`` of the moves, scaled up if the fit is worse than noise; zero if nothing was refined.
    """

    moves: Float[np.ndarray, " dof"]
    b_iso: float
    misfit: float
    r_factor: float
    covariance: Float[np.ndarray, "dof dof"]


def site_waves(
    one: StructureType, reflections: Reflections, xyz: Float[np.ndarray, "sites 3"]
) -> Complex[np.ndarray, "n sites"]:
    """Return the summed waves of all atoms of every site in the conventional cell."""
    turns = np.zeros((len(reflections.hkl), len(one.site)))
    for k in range(3):
        rotated = reflections.hkl @ one.rotations[:, :, k].T
        turns += rotated * xyz[one.site, k]
    turns += reflections.hkl @ one.translations.T
    waves = np.exp(2j * np.pi * turns)
    return len(one.group.centring) * _by_site(one, waves)


def screened(
    one: StructureType, waves: Complex[np.ndarray, "n sites"], reflections: Reflections, lines: Lines,
    decorations: Sequence[Sequence[str]],
) -> Float[np.ndarray, " decorations"]:  # fmt: skip
    """Calculate misfits of many decorations with the coordinates of the type, each at the best trial displacement."""
    listed = tuple(sorted({e for elements in decorations for e in elements}))
    column = {e: k for k, e in enumerate(listed)}
    factors = lines.factors(listed)
    form = form_factors(factors, reflections.s_sq)
    which = np.array([[column[e] for e in elements] for elements in decorations])
    real = np.einsum("ns,nds->dn", waves, form[:, which], optimize=True)
    imaginary = np.einsum("ns,ds->dn", waves, factors.f2[which], optimize=True)
    squares = np.abs(real) ** 2 + np.abs(imaginary) ** 2
    return np.min([misfits(lines, squares * np.exp(-2.0 * b * reflections.s_sq), reflections) for b in TRIED_B], axis=0)


def misfits(lines: Lines, squares: Float[np.ndarray, "*d n"], reflections: Reflections) -> Float[np.ndarray, "*d"]:
    """Return weighted misfits of calculated ``|F|²``."""
    root, trust = lines.observed(len(reflections.summing))
    found = trust * np.sqrt(np.maximum(squares @ reflections.summing.T, 0.0))
    goal = trust * root
    scale = found @ goal / np.maximum((found**2).sum(axis=-1), 1e-300)
    return np.sqrt(((goal - scale[..., None] * found) ** 2).sum(axis=-1) / (goal**2).sum())


def refined(one: StructureType, elements: Sequence[str], lines: Lines, steps: int = _STEPS) -> Fit:
    """Refine the free coordinates and one displacement, starting from those of the type.

    Args:
        one, elements: decorated type.
        lines: measured areas.
        steps: largest number of steps; 0 refines only the scale, at the expected displacement.
    """
    model = _Model(one, elements, lines)
    x = np.concatenate([[EXPECTED_B], np.zeros(one.dof)])
    damping, state = 1e-3, model.evaluate(x)
    for _ in range(steps):
        normal = state.jacobian.T @ state.jacobian + np.diag(model.stiffness)
        slope = state.jacobian.T @ state.residuals + model.stiffness * (x - model.centre)
        step = -np.linalg.solve(normal + damping * np.diag(np.diag(normal)), slope)
        longest = np.abs(step[1:] * model.lengths).max(initial=0.0)
        step *= min(1.0, _LONGEST / longest) if longest > 0.0 else 1.0
        trial = np.concatenate([np.clip([x[0] + step[0]], *_B_RANGE), x[1:] + step[1:]])
        new = model.evaluate(trial)
        if new.cost < state.cost:
            done = state.cost - new.cost < 1e-6 * state.cost
            x, state, damping = trial, new, max(damping / 5.0, 1e-9)
            if done:
                break
        else:
            damping *= 8.0
            if damping > 1e6:
                break
    normal = state.jacobian.T @ state.jacobian + np.diag(model.stiffness)
    chi_sq = float((state.residuals**2).sum())
    excess = max(1.0, chi_sq / max(len(state.residuals) - len(x) - 1, 1))
    covariance = np.linalg.inv(normal)[1:, 1:] * excess if steps else np.zeros((one.dof, one.dof))
    return Fit(x[1:], float(x[0]), float(np.sqrt(chi_sq / (model.goal**2).sum())), state.r_factor, covariance)


class _State(NamedTuple):
    residuals: np.ndarray
    jacobian: np.ndarray
    cost: float
    r_factor: float


class _Model:
    """Arrays that are constant during the refinement of a decorated type."""

    def __init__(self, one: StructureType, elements: Sequence[str], lines: Lines) -> None:
        self.one, self.reflections = one, lines.reflections(one.group)
        self.root, self.trust = lines.observed(len(self.reflections.summing))
        self.goal = self.trust * self.root
        factors = lines.factors(tuple(elements))
        self.form = form_factors(factors, self.reflections.s_sq)
        self.f2 = factors.f2
        vectors = np.asarray(lattice(lines.cell))
        # distance in Å that an atom moves per unit of a free coordinate
        self.lengths = np.array([np.linalg.norm(one.basis[:, :, k] @ vectors, axis=1).max() for k in range(one.dof)])
        self.stiffness = np.concatenate([[_B_SIGMA**-2.0], (self.lengths / MOVE_SIGMA) ** 2])
        self.centre = np.concatenate([[EXPECTED_B], np.zeros(one.dof)])

    def evaluate(self, x: np.ndarray) -> _State:
        one, of = self.one, self.reflections
        xyz = one.xyz + one.basis @ x[1:] if one.dof else one.xyz
        rotated = np.einsum("ni,aik->ank", of.hkl, one.rotations)
        waves = np.exp(2j * np.pi * (np.einsum("ank,ak->na", rotated, xyz[one.site]) + of.hkl @ one.translations.T))
        centring = len(one.group.centring)
        sums = centring * _by_site(one, waves)
        real, imaginary = (self.form * sums).sum(axis=1), (self.f2 * sums).sum(axis=1)
        damping = np.exp(-2.0 * x[0] * of.s_sq)
        squares = damping * (np.abs(real) ** 2 + np.abs(imaginary) ** 2)
        by = [-2.0 * of.s_sq * squares]
        if one.dof:
            # derivatives of the waves of every site by its three coordinates
            slopes = np.stack(
                [centring * _by_site(one, 2j * np.pi * rotated[:, :, k].T * waves) for k in range(3)], axis=-1
            )
            of_real = 2.0 * (np.conj(real)[:, None, None] * self.form[..., None] * slopes).real
            of_real += 2.0 * (np.conj(imaginary)[:, None, None] * self.f2[None, :, None] * slopes).real
            by += list((damping[:, None] * np.einsum("nsk,skd->nd", of_real, one.basis)).T)
        areas = of.summing @ squares
        found = np.sqrt(np.maximum(areas, 1e-12 * areas.max()))
        slope = (of.summing @ np.stack(by, axis=1)) / (2.0 * found[:, None])
        weighted, slope = self.trust * found, self.trust[:, None] * slope
        power = float(weighted @ weighted)
        scale = float(weighted @ self.goal) / power
        residuals = scale * weighted - self.goal
        # the scale follows from all roots
        of_scale = (self.goal @ slope - 2.0 * scale * (weighted @ slope)) / power
        jacobian = scale * slope + weighted[:, None] * of_scale
        cost = 0.5 * float(residuals @ residuals) + 0.5 * float(self.stiffness @ (x - self.centre) ** 2)
        r_factor = float(np.abs(scale * found - self.root).sum() / self.root.sum())
        return _State(residuals, jacobian, cost, r_factor)


def _by_site(one: StructureType, waves: np.ndarray) -> np.ndarray:
    """Sum over the atoms of every site, which are contiguous."""
    starts = np.flatnonzero(np.diff(one.site, prepend=-1))
    return np.add.reduceat(waves, starts, axis=1)
