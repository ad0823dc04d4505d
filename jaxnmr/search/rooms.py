"""Common sizes of planned arrays, so that many structures share compiled programs (host)."""

from __future__ import annotations

import numpy as np

from ..objective import Objective, Parameters

# margin for candidates somewhat larger than the first of their kind
_SPARE = 1.3


class Rooms:
    """Common sizes of reflection lists and peak layouts, so that candidates can share compiled programs.

    Cells of similar size have similar, but hardly ever equal numbers of reflections. The first candidate gets sizes
    with some margin, which later ones can use if they are neither larger nor less than half as large; empty places cost
    little.
    """

    def __init__(self):
        self._known: dict[str, list[tuple[int, ...]]] = {}

    def fitted(self, objective: Objective, params: Parameters) -> Objective:
        """Return the objective with its terms planned again for ``params`` with common sizes (host)."""
        if not any(term.sizes for term in objective.terms):
            return objective
        state = objective.host_state(params)
        fitted = (t.in_room(self._room(t.name, t.sizes), state) if t.sizes else t for t in objective.terms)
        return objective.replace(terms=tuple(fitted))

    def _room(self, name: str, needed: tuple[int, ...]) -> tuple[int, ...]:
        rooms = self._known.setdefault(name, [])
        for room in rooms:
            if len(room) == len(needed) and all(n <= r <= 2 * n for n, r in zip(needed, room, strict=True)):
                return room
        rooms.append(spacious(needed))
        return rooms[-1]


def spacious(needed: tuple[int, ...]) -> tuple[int, ...]:
    """Add some margin to sizes."""
    return tuple(16 * int(np.ceil(_SPARE * n / 16)) for n in needed)
