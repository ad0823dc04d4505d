"""Floating origins: one coordinate is held for each direction in which the space group leaves the origin free (host)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..crystal import Crystal, atomic_numbers, polar_directions
from ..objective import Objective, Parameters

# largest residual translation for which the refined parameters can still make a common shift
_POSSIBLE = 1e-6


def held_origins(
    objective: Objective, params: Parameters, masks: Sequence[np.ndarray]
) -> tuple[Parameters, list[np.ndarray]]:
    """Fix coordinates such that no structure floats as a whole.

    A common shift of all atoms along a polar axis changes nothing that is measured. If refined coordinates could cause
    one, the coordinate of the heaviest atom with the largest share in it is held, and the spec notes it.

    Args:
        objective: provides the structures.
        params: parameters with all free that any stage frees.
        masks: ``(n_free,)`` for each stage, which parameters it moves.
    """
    if any(term.sees_origin for term in objective.terms):
        return params, list(masks)
    for phase, crystal in objective.crystals.items():
        for direction in polar_directions(crystal):
            label = _floating(objective, params, phase, crystal, direction)
            if not label:
                continue
            kept = np.flatnonzero(params.spec.free)
            params = params.fix(label)
            stays = np.isin(kept, np.flatnonzero(params.spec.free))
            masks = [mask[stays] for mask in masks]
            said = (
                f"The origin of {crystal.group.name} is open along {_written(direction)}: {label} was held, "
                "so that the structure does not float."
            )
            params = params.replace(spec=params.spec.changed(notes={**params.spec.notes, label: said}))
    return params, list(masks)


def _floating(objective: Objective, params: Parameters, phase: str, crystal: Crystal, direction: np.ndarray) -> str:
    """Return the coordinate to hold if refined parameters can shift all atoms along a direction; otherwise ``""``."""
    spec = params.spec
    places = spec.layout.unflatten(np.arange(len(spec.labels)))[objective.phase_prefix(phase) + "xyz"]
    shift = np.zeros(len(spec.labels))
    shift[places] = direction
    numbers = np.linalg.lstsq(spec.transform, shift, rcond=None)[0]
    if np.linalg.norm(spec.transform @ numbers - shift) > _POSSIBLE:
        return ""
    # candidates: coordinates that are refined parameters themselves
    free = {int(pivot): k for k, pivot in enumerate(spec.free_pivots)}
    own = [(site, int(row)) for site in range(len(places)) for row in places[site] if int(row) in free]
    share = {row: abs(numbers[free[row]]) for _, row in own}
    moved = [(site, row) for site, row in own if share[row] > _POSSIBLE * np.abs(numbers).max()]
    if not moved:
        return ""
    number = atomic_numbers(crystal)
    weight = lambda pair: (number[pair[0]], share[pair[1]], -pair[1])
    return spec.labels[max(moved, key=weight)[1]]


def _written(direction: np.ndarray) -> str:
    """Write a direction in square brackets, scaled so that its smallest component is 1."""
    least = np.abs(direction[np.abs(direction) > 1e-6]).min()
    numbers = direction / least * np.sign(direction[np.argmax(np.abs(direction) > 1e-6)])
    return "[" + " ".join(f"{round(float(n), 3):g}" for n in numbers) + "]"
