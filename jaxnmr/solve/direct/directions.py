"""Directions in which a structure can move without a significant change of the areas (host)."""

from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Float

from .candidates import Candidate
from .kernel import misfit
from .problem import Problem

# Å, esd above which a direction counts as undetermined
_OPEN = 0.4
# Å, upper limit of an esd
_LARGEST = 3.0
# Å, linearised uncertainty above which the misfit itself is evaluated, and the steps along the directions
_SOFT = 0.05
_STEPS = tuple(0.03 * 1.3**k for k in range(18))

_linearised = jax.jit(misfit, static_argnames=("centric",))


def determined(problem: Problem, candidate: Candidate, u: Float[np.ndarray, " dof1"]) -> tuple[float, tuple[str, ...]]:
    """Calculate how well areas determine a structure.

    Returns:
        Å, the root mean square standard uncertainty of all atomic positions, for independent residuals of their actual
        size (from the misfit itself along directions that derivatives leave open); and the directions not determined to
        0.4 Å, in words.
    """
    if candidate.dof == 0:
        return 0.0, ()
    numbers = np.zeros(candidate.model.matrix.shape[2], dtype=np.float32)
    numbers[: candidate.dof], numbers[-1] = u[:-1], u[-1]
    residual, slope, _ = _linearised(problem.measured, candidate.model, numbers, problem.centric)
    basis = _fixed_origin(problem, candidate)
    noise = float(np.linalg.norm(residual)) / np.sqrt(max(problem.count - basis.shape[1], 1))
    left, values, right = np.linalg.svd(np.asarray(slope, dtype=float)[:, : candidate.dof] @ basis)
    esd = noise / np.maximum(np.append(values, np.zeros(len(right) - len(values))), 1e-12)
    soft = np.flatnonzero(esd > _SOFT)
    # residuals that stiff directions can compensate
    stiff = left[:, : len(values)][:, esd[: len(values)] <= _SOFT]
    away = lambda u: np.asarray(_linearised(problem.measured, candidate.model, u, problem.centric)[0], dtype=float)
    for k in soft:
        along = np.zeros_like(numbers)
        along[: candidate.dof] = basis @ right[k]
        esd[k] = max(_reach(away, numbers, sign * along, stiff, noise) for sign in (1.0, -1.0))
    model, _, _ = problem.model(candidate.assignment)
    moved = np.asarray(model.matrix)[model.first][:, :, :-1] @ (basis @ right.T)
    squared = ((np.asarray(problem.measured.lattice).T @ moved) ** 2).sum(axis=1) @ np.minimum(esd, _LARGEST) ** 2
    words = tuple(_direction(candidate, basis @ direction, problem) for direction in right[esd > _OPEN])
    return float(np.sqrt(squared @ model.share)), words


def _reach(
    away: Callable[[np.ndarray], np.ndarray], start: np.ndarray, along: np.ndarray, stiff: np.ndarray, noise: float
) -> float:
    """Return how far (Å) a structure can move, stiff directions relaxed, before the misfit grows by the noise.

    If atoms lie on or near an element of a higher symmetry, areas change quadratically with its breaking, and
    derivatives carry no information.
    """
    left = lambda residual: float(np.sum(residual**2) - np.sum((stiff.T @ residual) ** 2))
    least = left(away(start))
    return next((t for t in _STEPS if left(away(start + np.float32(t) * along)) - least > noise**2), _LARGEST)


def _fixed_origin(problem: Problem, candidate: Candidate) -> Float[np.ndarray, "dof k"]:
    """Return the directions of the coordinates that do not move all atoms along a polar axis."""
    model, _, _ = problem.model(candidate.assignment)
    polar = problem.intensities.group.polar_basis
    matrix = np.asarray(model.matrix)[:, :, :-1].reshape(-1, candidate.dof)
    basis = np.eye(candidate.dof)
    if polar.shape[1] and candidate.dof:
        shifts = np.linalg.lstsq(matrix, np.tile(polar, (len(model.offset), 1)), rcond=None)[0]
        q, _ = np.linalg.qr(shifts)
        left = np.linalg.svd(np.eye(candidate.dof) - q @ q.T)
        basis = left[0][:, left[1] > 0.5]
    return basis


def _direction(candidate: Candidate, direction: np.ndarray, problem: Problem) -> str:
    parts = [
        (float(np.linalg.norm(direction[columns])), problem.elements[e], site)
        for site, ((e, _), columns) in enumerate(zip(candidate.where, candidate.columns, strict=True))
    ]
    parts = sorted((p for p in parts if p[0] > 0.3), reverse=True)[:4]
    return ", ".join(f"{element} (site {site + 1})" for _, element, site in parts) or "a mixture of all sites"
