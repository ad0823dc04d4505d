"""Common sizes of what is planned for a structure, so that many structures share compiled programs (host)."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from ..diffraction.tiles import Tiles
from ..objective import Objective, Parameters
from ..terms import PatternTerm

# room for candidates somewhat larger than the first one of their kind
_SPARE = 1.3


class Rooms:
    """Common sizes of reflection lists and peak layouts, so that candidates can share compiled programs.

    Cells of similar size have similar numbers of reflections, hardly ever equal ones. The first candidate gets a room with
    some space to spare, in which later ones fit that are neither larger nor less than half as large; empty places cost little.
    """

    def __init__(self):
        self._known: dict[str, list[tuple[int, ...]]] = {}

    def fitted(self, objective: Objective, params: Parameters) -> Objective:
        """The objective with its patterns planned anew for ``params``, in such rooms (host)."""
        if not any(isinstance(term, PatternTerm) for term in objective.terms):
            return objective
        state = objective.state({k: jnp.asarray(v) for k, v in params.values.items()})
        return objective.replace(terms=tuple(self._term(term, state) for term in objective.terms))

    def _term(self, term, state):
        if not isinstance(term, PatternTerm):
            return term
        model = term.model
        core, tail, *rows = self._room(
            term.name, (model.core.capacity, model.tail.capacity, *(p.hkl.shape[0] for p in model.phases))
        )
        phases = tuple(
            p if p.intensities == "given" else p.replace(hkl=np.zeros((n, 3)))
            for p, n in zip(model.phases, rows, strict=True)
        )
        model = model.replace(phases=phases, core=_empty(core, model.core), tail=_empty(tail, model.tail))
        return term.replace(model=model.laid_out(state.crystals, state.local(term.name), reflections=True))

    def _room(self, name: str, needed: tuple[int, ...]) -> tuple[int, ...]:
        rooms = self._known.setdefault(name, [])
        for room in rooms:
            if len(room) == len(needed) and all(n <= r <= 2 * n for n, r in zip(needed, room, strict=True)):
                return room
        rooms.append(tuple(16 * int(np.ceil(_SPARE * n / 16)) for n in needed))
        return rooms[-1]


def _empty(capacity: int, like: Tiles) -> Tiles:
    peaks = np.zeros((capacity, like.peaks.shape[1]), np.int32)
    return Tiles(block=np.zeros(capacity, np.int32), peaks=peaks, used=np.int32(0))
