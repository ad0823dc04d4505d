"""Construction of ties and sums, with checks of those that are impossible."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..errors import ParameterError
from ..typing import Array
from .parameter_spec import ParameterSpec
from .ties import Tie, combination, outside

# relative to the largest coefficient: below this a sum does not depend on a direction
_NONE = 1e-9
# relative to the terms of a sum: precision to which starting values are written
_MET = 1e-6


def tied(
    spec: ParameterSpec, flat: Array, target: str, sources: Mapping[str, float], offset: float
) -> tuple[ParameterSpec, np.ndarray]:
    """Carry out :meth:`Parameters.tie` with a factor for every source."""
    shown = " and ".join(map(repr, sources))
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
    flat = spec.tied(flat)
    # values that follow others by symmetry must agree with the tie
    slopes = spec.along(np.flatnonzero(~np.isin(spec.pivots, [t.target for t in ties])))
    for t, row in zip(targets, columns, strict=True):
        if np.abs(slopes[t] - factors @ slopes[row]).max() > 1e-6 or abs(flat[t] - factors @ flat[row] - offset) > 1e-6:
            raise ParameterError(
                f"cannot tie {spec.labels[t]} to {' and '.join(spec.labels[s] for s in row)}: symmetry prescribes "
                f"{spec.labels[t]} otherwise"
            )
    return spec, flat


def summed(
    spec: ParameterSpec, flat: Array, coefficients: Mapping[str, float], equals: float
) -> tuple[ParameterSpec, np.ndarray]:
    """Carry out :meth:`Parameters.constrain_sum`."""
    flat = np.array(flat, dtype=float)
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
    written = f"{combination([spec.labels[k] for k in named], row[named])} = {equals:.6g}"
    of_direction, following = row @ spec.directions, spec.following
    left = of_direction + of_direction[following.followers] @ following.slopes
    left[following.followers] = 0.0
    tolerance = _NONE * np.abs(row).max()
    if not (np.abs(left) > tolerance).any():
        raise ParameterError(_nothing_left(spec, flat, row, of_direction, equals, written))
    # the last named value follows, unless others determine it
    place = {int(pivot): k for k, pivot in enumerate(spec.pivots)}
    own = [place[k] for k in named if k in place and abs(left[place[k]]) > tolerance]
    follower = own[-1] if own else int(np.flatnonzero(np.abs(left) > tolerance)[-1])
    here = spec.tied(flat)
    slopes = of_direction if abs(of_direction[follower]) > tolerance else left
    numbers = here[spec.pivots]
    others = [k for k in np.flatnonzero(np.abs(slopes) > tolerance) if k != follower]
    factors = -slopes[others] / slopes[follower]
    # the follower makes up the difference to the required sum
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
    return spec.changed(notes=spec.notes | notes), settled


def require_within_bounds(spec: ParameterSpec, flat: np.ndarray) -> None:
    """Refuse starting values outside their bounds if they follow a sum or several others.

    Raises:
        ParameterError: with the value, its bounds and what it follows.
    """
    for tie in spec.ties:
        k = tie.target
        if (tie.total or len(tie.sources) > 1) and outside(flat[k], spec.lower[k], spec.upper[k]):
            so = f", so that {tie.total}" if tie.total else ""
            raise ParameterError(
                f"{spec.labels[k]} would be {flat[k]:.6g}{so}, outside its bounds [{spec.lower[k]:g}, {spec.upper[k]:g}]: set "
                f"{', '.join(spec.labels[s] for s in tie.sources) or 'another value of the sum'} first"
            )


def _nothing_left(
    spec: ParameterSpec, flat: np.ndarray, row: np.ndarray, of_direction: np.ndarray, equals: float, written: str
) -> str:
    """Explain why a sum leaves no value to choose."""
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


def _clean(number: float) -> float:
    """Round off the last digits, which are rounding errors of a difference."""
    return float(f"{number:.14g}")
