"""Changes of the peaks of a group: more peaks, one split into two, an individual width, fewer peaks (host)."""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool

from .groups import Group, Window, candidates, fitted, uncertainties
from .profile import Shape

# relative width above which a peak is a hump
HUMP = 2.0
# chi² gain required of a further peak or an individual width, and the cost per extra parameter; splitting a peak counts
# as more parameters, since a slightly wrong profile favours it, too
_GAIN, _COST, _CLOSE = 25.0, 4.0, 6
# smallest distance of two peaks, in widths; within the other distances a weak peak must exceed the misfit of the
# profile by far, or exceed it
_NEAREST, _UPON, _BESIDE = 0.35, 1.6, 2.75
_ROUNDS = 12
# a peak with this fraction of another's area is accepted, however poor the profile
_SHARE = 0.25
# trial widths of a hump, relative to the usual one
_BROAD = (3.0, 8.0)


def grown(group: Group, window: Window, shape: Shape) -> Group:
    """Add, split or broaden peaks, whichever improves the fit most, until no change is significant."""
    for _ in range(_ROUNDS):
        best: tuple[float, Group] | None = None
        doubtful = _doubtful(group, shape)
        for trial, count in _trials(group, window, shape):
            new = fitted(trial, window, shape)
            gained = group.chi2 - new.chi2 - _GAIN - _COST * count
            if gained > 0.0 and _doubtful(new, shape) <= doubtful and (best is None or gained > best[0]):
                best = gained, new
        if best is None:
            return group
        group = best[1]
    return group


def pruned(group: Group, window: Window, shape: Shape, significance: float) -> Group:
    """Remove peaks too weak for their uncertainties or for their neighbours, the weakest first."""
    while len(group.position):
        _, sigma = uncertainties(group)
        strength = np.where(_weak(group, shape), 0.0, group.area / np.maximum(sigma, 1e-300))
        j = int(np.argmin(strength))
        if strength[j] > significance:
            break
        left = np.arange(len(group.position)) != j
        group = replace(
            group, position=group.position[left], area=group.area[left], stretch=group.stretch[left], own=group.own[left],
            covariance=None, inflation=None,
        )  # fmt: skip
        if left.any():
            group = fitted(group, window, shape)
    return group


def _trials(group: Group, window: Window, shape: Shape) -> list[tuple[Group, int]]:
    """List possible changes with their cost in parameters."""
    grid, gain, area, widths = candidates(group, window, shape)
    found = []
    tops = [j for j in range(len(grid)) if gain[j] > _GAIN and gain[j] == gain[max(j - 2, 0) : j + 3].max()]
    for j in sorted(tops, key=lambda j: -gain[j])[:2]:
        apart = np.abs(group.position - grid[j])
        if not len(apart) or apart.min() > 0.2 * shape.fwhm(grid[j : j + 1])[0]:
            found.append((_with(group, grid[j], area[j]), 2))
    if tops:
        j = max(tops, key=lambda j: gain[j])
        found += [(_with(group, grid[j], w * area[j], np.log(w)), 3) for w in _BROAD]
    alone = len(group.position) == 1
    for j in range(len(group.position)):
        if not (widths[j] > _GAIN or group.stretch[j] > 0.2 or (alone and group.common > 0.08)):
            continue
        found.append((_split(group, j, shape), _CLOSE))
        if not group.own[j]:
            own, stretch = group.own.copy(), group.stretch.copy()
            own[j], stretch[j] = True, group.common
            found.append((replace(group, own=own, stretch=stretch), 1))
    return found


def _split(group: Group, j: int, shape: Shape) -> Group:
    """Split one peak into two of the usual width."""
    away = 0.35 * float(group.fwhm(shape)[j])
    position, area, stretch, own = (v.copy() for v in (group.position, group.area, group.stretch, group.own))
    position[j] -= away
    area[j] *= 0.5
    stretch[j], own[j] = 0.0, False
    split = replace(group, position=position, area=area, stretch=stretch, own=own)
    return _with(split, position[j] + 2.0 * away, area[j])


def _with(group: Group, position: float, area: float, stretch: float | None = None) -> Group:
    """Add one peak, of the usual or an individual width."""
    order = np.argsort([*group.position, position], kind="stable")
    pick = lambda old, new: np.array([*old, new])[order]
    return replace(
        group, position=pick(group.position, position), area=pick(group.area, area), stretch=pick(group.stretch, stretch or 0.0),
        own=pick(group.own, stretch is not None).astype(bool),
    )  # fmt: skip


def _weak(group: Group, shape: Shape) -> Bool[np.ndarray, " peaks"]:
    """Return which peaks may only correct the profile of a stronger neighbour; humps are excluded."""
    fwhm = group.fwhm(shape)
    sharp = fwhm < HUMP * shape.fwhm(group.position)
    apart = np.abs(group.position[:, None] - group.position) / np.maximum(fwhm[:, None], fwhm)
    least = np.select(
        [apart < _UPON, apart < _BESIDE], [min(7.0 * shape.misfit, _SHARE), min(1.5 * shape.misfit, _SHARE)], 0.0
    )
    return (sharp[:, None] & sharp & (group.area[:, None] < least * group.area)).any(axis=1)


def _doubtful(group: Group, shape: Shape) -> int:
    """Count the doubtful peaks."""
    fwhm = group.fwhm(shape)
    sharp = fwhm < HUMP * shape.fwhm(group.position)
    order = np.flatnonzero(sharp)[np.argsort(group.position[sharp])]
    near = np.diff(group.position[order]) < _NEAREST * np.maximum(fwhm[order][1:], fwhm[order][:-1])
    return int(_weak(group, shape).sum() + near.sum() + (group.area <= 0.0).sum())
