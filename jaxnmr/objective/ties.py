"""Ties: values that follow others linearly, alone or so that a sum keeps its value.

Every tie removes one direction from what is refined. What the others may do is the null space of all ties together, written in
the numbers that are left, so that the uncertainties of values that follow come from the same matrix as all others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .._words import counted
from ..errors import ParameterError

if TYPE_CHECKING:
    from .parameters import Parameters, ParameterSpec

# relative to the largest coefficient: a direction that a sum does not depend on
_NONE = 1e-9
# relative to the terms of a sum: as closely as starting values are written
_MET = 1e-6


@dataclass(frozen=True)
class Tie:
    """``vector[target] = sum factor * vector[source] + offset``; the target is the pivot of a free direction.

    Attributes:
        target, sources, factors, offset: see above.
        total: the sum that is kept this way, as people write it; empty where somebody chose the target.
    """

    target: int
    sources: tuple[int, ...]
    factors: tuple[float, ...]
    offset: float
    total: str = ""

    def written(self, labels: Sequence[str]) -> str:
        """What the target is: ``"1 - occupancy[Ca1] - occupancy[Sr1]"``; of a plain tie the name of its source."""
        if len(self.sources) == 1 and not self.total:
            return labels[self.sources[0]]
        return _combination(
            [labels[s] for s in self.sources], self.factors, self.offset if self.offset or not self.sources else None
        )


class Following:
    """How the numbers of tied directions follow those of the others.

    Attributes:
        followers: index of the direction of every tie.
        slopes: ``(ties, directions)``, derivatives of their numbers by those of the directions that are not tied.
    """

    def __init__(self, directions: np.ndarray, pivots: np.ndarray, ties: Sequence[Tie]):
        self.ties = tuple(ties)
        place = {int(pivot): k for k, pivot in enumerate(pivots)}
        self.followers = np.array([place[tie.target] for tie in ties], dtype=int)
        self.along = directions[:, self.followers]
        rows = np.zeros((len(ties), len(pivots)))
        for row, tie in zip(rows, ties, strict=True):
            for source, factor in zip(tie.sources, tie.factors, strict=True):
                row += factor * directions[source]
        # followers among the sources: of sums only, ties may not be chained
        self.within = np.eye(len(ties)) - rows[:, self.followers]
        rows[:, self.followers] = 0.0
        self.slopes = np.linalg.solve(self.within, rows)

    def settled(self, flat: np.ndarray) -> np.ndarray:
        """A copy of a vector in which tied values follow."""
        misses = [
            sum(f * flat[s] for s, f in zip(tie.sources, tie.factors, strict=True)) + tie.offset - flat[tie.target]
            for tie in self.ties
        ]
        return flat + self.along @ np.linalg.solve(self.within, misses) if misses else flat.copy()


def tied(params: Parameters, target: str, sources: Mapping[str, float], offset: float) -> Parameters:
    """:meth:`Parameters.tie` with the factor of every source."""
    spec, shown = params.spec, " and ".join(map(repr, sources))
    targets, matched = spec.match(target), [spec.match(source) for source in sources]
    if all(len(of) == 1 for of in matched):
        targets = targets[~np.isin(targets, [of[0] for of in matched])]
    if len(targets) == 0:
        raise ParameterError(f"cannot tie {target!r} to itself; name another source")
    for source, of in zip(sources, matched, strict=True):
        if len(of) not in (1, len(targets)):
            raise ParameterError(f"cannot tie {target!r} ({len(targets)} values) to {source!r} ({len(of)} values)")
    columns = np.stack([np.broadcast_to(of, targets.shape) for of in matched], axis=1)
    factors = tuple(float(f) for f in sources.values())
    new = tuple(
        Tie(int(t), tuple(map(int, row)), factors, float(offset))
        for t, row in zip(targets, columns, strict=True)
        if t in spec.pivots
    )
    replaced = {t.target for t in new}
    ties = tuple(t for t in spec.ties if t.target not in replaced) + new
    follows = np.abs(spec.directions[:, np.isin(spec.pivots, [t.target for t in ties])]).max(axis=1, initial=0.0) > 1e-9
    chained = next((s for t in ties if not t.total for s in t.sources if follows[s]), None)
    if chained is not None:
        kept = next((t for t in ties if t.target == chained and t.total), None)
        raise ParameterError(
            f"cannot tie {target!r} to {shown}: {spec.labels[chained]} "
            + (
                f"follows others, so that {kept.total}; make ties first, sums after them"
                if kept
                else "is tied itself; tie both to the same source"
            )
        )
    spec = spec.changed(ties=ties, free=spec.free & ~np.isin(spec.pivots, list(replaced)))
    flat = spec.tied(params.flat)
    # values that follow others by symmetry must arrive where the tie wants them
    slopes = spec.along(np.flatnonzero(~np.isin(spec.pivots, [t.target for t in ties])))
    for t, row in zip(targets, columns, strict=True):
        if np.abs(slopes[t] - factors @ slopes[row]).max() > 1e-6 or abs(flat[t] - factors @ flat[row] - offset) > 1e-6:
            raise ParameterError(
                f"cannot tie {spec.labels[t]} to {' and '.join(spec.labels[s] for s in row)}: symmetry prescribes "
                f"{spec.labels[t]} otherwise"
            )
    return params.replace(flat=flat, spec=spec)


def summed(params: Parameters, coefficients: Mapping[str, float], equals: float) -> Parameters:
    """:meth:`Parameters.constrain_sum`."""
    spec, flat = params.spec, np.array(params.flat, dtype=float)
    named: list[int] = []
    row = np.zeros(len(spec.labels))
    for pattern, factor in coefficients.items():
        hits = spec.match(pattern)
        if factor == 0.0:
            raise ParameterError(f"the coefficient of {pattern!r} is 0; leave it out of the sum")
        row[hits] += factor
        named += [int(k) for k in hits if k not in named]
    if not named:
        raise ParameterError('a sum needs values: {"occupancy[Ca1]": 1.0, "occupancy[Sr1]": 1.0}')
    written = f"{_combination([spec.labels[k] for k in named], row[named])} = {equals:.6g}"
    of_direction, following = row @ spec.directions, spec.following
    left = of_direction + of_direction[following.followers] @ following.slopes
    left[following.followers] = 0.0
    tolerance = _NONE * np.abs(row).max()
    if not (np.abs(left) > tolerance).any():
        raise ParameterError(_nothing_left(spec, flat, row, of_direction, equals, written))
    # the last that is named follows, unless others decide over it
    place = {int(pivot): k for k, pivot in enumerate(spec.pivots)}
    own = [place[k] for k in named if k in place and abs(left[place[k]]) > tolerance]
    follower = own[-1] if own else int(np.flatnonzero(np.abs(left) > tolerance)[-1])
    here = spec.tied(flat)
    slopes = of_direction if abs(of_direction[follower]) > tolerance else left
    numbers = here[spec.pivots]
    others = [k for k in np.flatnonzero(np.abs(slopes) > tolerance) if k != follower]
    factors = -slopes[others] / slopes[follower]
    # what the sum lacks at these values is made up by the follower
    wanted = numbers[follower] + (equals - row @ here) / slopes[follower]
    new = Tie(
        target=int(spec.pivots[follower]), sources=tuple(int(spec.pivots[k]) for k in others),
        factors=tuple(float(f) for f in factors), offset=_clean(wanted - factors @ numbers[others]), total=written,
    )  # fmt: skip
    free = spec.free.copy()
    free[follower] = False
    spec = spec.changed(ties=(*spec.ties, new), free=free)
    settled = spec.tied(flat)
    require_within_bounds(spec, settled)
    moved = [t.target for t in spec.ties if t.total and abs(settled[t.target] - flat[t.target]) > _MET]
    notes = {
        spec.labels[k]: f"{spec.labels[k]} started at {settled[k]:.6g} instead of {flat[k]:.6g}, so that {written}."
        for k in moved
    }
    return params.replace(flat=settled, spec=spec.changed(notes=spec.notes | notes))


def require_within_bounds(spec: ParameterSpec, flat: np.ndarray) -> None:
    """Refuse values that follow several others and are outside their bounds.

    Raises:
        ParameterError: names the value, its bounds and what it follows.
    """
    for tie in spec.ties:
        k = tie.target
        if (tie.total or len(tie.sources) > 1) and outside(flat[k], spec.lower[k], spec.upper[k]):
            so = f", so that {tie.total}" if tie.total else ""
            raise ParameterError(
                f"{spec.labels[k]} would be {flat[k]:.6g}{so}, outside its bounds [{spec.lower[k]:g}, {spec.upper[k]:g}]: set "
                f"{', '.join(spec.labels[s] for s in tie.sources) or 'another value of the sum'} first"
            )


def outside(value: float, lower: float, upper: float) -> bool:
    """Whether a value is beyond its bounds by more than rounding."""
    room = 1e-9 * max(abs(value), 1.0)
    return bool(value < lower - room or value > upper + room)


def _nothing_left(
    spec: ParameterSpec, flat: np.ndarray, row: np.ndarray, of_direction: np.ndarray, equals: float, written: str
) -> str:
    """What is wrong with a sum that no value can be chosen for."""
    here = spec.tied(flat)
    total = float(row @ here)
    met = abs(total - equals) <= _MET * max(np.abs(row * here).max(), abs(equals), 1.0)
    involved = [t for t, k in zip(spec.ties, spec.following.followers, strict=True) if abs(of_direction[k]) > 1e-9]
    if not involved:
        why = "symmetry leaves these values nothing to change"
        return (
            f"{written} is always so: {why}; leave it out"
            if met
            else f"{written} cannot be met: {why}, and the sum is {total:.6g}"
        )
    known = " and ".join(t.total or f"{spec.labels[t.target]} = {t.written(spec.labels)}" for t in involved)
    if met:
        return (
            f"{written} says nothing new: {known} {'says' if len(involved) == 1 else 'say'} it already; leave one out"
        )
    return f"{written} contradicts {known}, with which the sum is {total:.6g}; correct one of them"


def _combination(names: Sequence[str], factors: Sequence[float] | np.ndarray, offset: float | None = None) -> str:
    parts = [] if offset is None else [(offset, f"{abs(offset):.6g}")]
    parts += [
        (f, name if abs(abs(f) - 1.0) < 1e-12 else f"{abs(f):.6g} {name}")
        for f, name in zip(factors, names, strict=True)
    ]
    if len(parts) > 12:
        rest = f"... ({counted(len(parts) - 10, 'more value')})"
        parts = [*parts[:10], (1.0, rest)]
    text = " ".join(f"{'-' if f < 0 else '+'} {part}" for f, part in parts)
    return text.removeprefix("+ ") if text.startswith("+") else text.replace("- ", "-", 1)


def _clean(number: float) -> float:
    """Without the last digits, which are rounding of a difference."""
    return float(f"{number:.14g}")
