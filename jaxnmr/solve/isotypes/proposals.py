"""Proposals: known structure types with the elements, the cell and the pattern of a crystal that is not known (host)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..._arguments import checked
from ...crystal import Crystal, too_close, volume
from ...errors import DataError, JaxnmrError, ParameterError
from ...units import b_to_u
from ..direct.formula import Composition
from ..records import Intensities
from .decorations import Decoration, Wanted, contents_of, decorations, wanted
from .fitting import Fit, refined, screened, site_waves
from .guessing import Elements, Weigh, guessed
from .lines import Lines
from .types import StructureType, structure_types

# of the areas, which part counts as independent of one another: neighbouring misfits of a wrong type are alike
_INDEPENDENT = 0.25
# types looked at more closely where no element is known
_CLOSER = 60


class Proposal(NamedTuple):
    """One decorated structure type in the cell.

    Attributes:
        crystal: what it looks like; named after the type.
        weight: of all proposals, by composition, volume and pattern.
        r_factor: ``sum |√I_obs - √I_calc| / sum √I_obs``.
        fit: moves of the free coordinates from those of the type, with their covariance.
        type: the structure type.
        log_prior: logarithm of its weight before the pattern is looked at, up to a constant.
    """

    crystal: Crystal
    weight: float
    r_factor: float
    fit: Fit
    type: StructureType
    log_prior: float


@dataclass(frozen=True)
class Proposals:
    """Proposals, the most probable first; weights sum to 1.

    Attributes:
        every: the proposals.
        looked_at: decorated types whose pattern was calculated.
        areas: that were compared.
    """

    every: tuple[Proposal, ...]
    looked_at: int
    areas: int

    @property
    def best(self) -> Proposal:
        """The first."""
        return self.every[0]

    def __len__(self) -> int:
        return len(self.every)

    def __iter__(self):
        return iter(self.every)


@checked
def propose(
    intensities: Intensities,
    library: Iterable[Crystal | StructureType],
    composition: Composition | Sequence[str] | None = None,
    *,
    most: int = 20,
    refine: bool = True,
) -> Proposals:
    """Decorate known structure types with the elements of a powder, in its cell, and rank them by its areas.

    A type is tried where the metric of the cell is the one that its space group asks for and the shape is near; the space group of the
    areas is not used beyond the lines that it says are absent.

    Args:
        intensities: areas of the lines of a cell that is known.
        library: known crystals or their types (`structure_types`, which saves time where it is used again).
        composition: a formula, or amounts by element; elements only, as a list or with ``None`` for the amounts; or nothing.
        most: proposals that are refined and returned.
        refine: refine the free coordinates and a displacement of each; weights are those of the refined ones then.

    Raises:
        ConventionError: a composition that makes no sense.
        ParameterError: ``most`` below 1.
        DataError: areas that cannot be compared, or no type of the library that suits the cell and the composition.
    """
    if most < 1:
        raise ParameterError(f"most is {most}; expected 1 or more proposals")
    known, lines = wanted(composition), Lines.of(intensities)
    types = _types_of(library)
    suiting = [one for one in types if one.suits(lines.cell)]
    weigh = _weigher(lines)
    rows, looked_at = _ranked(suiting, known, lines, weigh)
    if not rows:
        raise DataError(
            f"none of {len(types)} structure types suits: {len(suiting)} have a metric and a shape like the cell "
            f"{np.round(lines.cell, 3).tolist()}, and none of these the composition {composition!r} at a volume per atom that is known of its "
            "elements. Give a larger library, the elements only, or check cell and composition"
        )
    starts = [(one, decoration.elements, decoration.log_prior, score) for score, one, decoration in rows[:most]]
    return _made(starts, lines, weigh, looked_at, refine)


def refined_proposals(proposals: Proposals, intensities: Intensities) -> Proposals:
    """Refine the free coordinates and a displacement of each of some proposals, and weigh them anew; as `propose` does.

    Args:
        proposals: of :func:`propose` with ``refine=False``.
        intensities: the areas that they are for.

    Raises:
        DataError: areas that cannot be compared.
    """
    lines = Lines.of(intensities)
    starts = [(p.type, p.crystal.elements, p.log_prior, 0.0) for p in proposals]
    return _made(starts, lines, _weigher(lines), proposals.looked_at, True)


def _weigher(lines: Lines) -> Weigh:
    return Weigh(max(_INDEPENDENT * len(lines), 1.0), lines.noise)


def _made(
    starts: Sequence[tuple[StructureType, tuple[str, ...], float, float]], lines: Lines, weigh: Weigh, looked_at: int, refine: bool
) -> Proposals:  # fmt: skip
    """Proposals of decorated types, given with the logarithms of their priors and of their weights with the pattern."""
    found = []
    for one, elements, prior, score in starts:
        fit = refined(one, elements, lines, *(() if refine else (0,)))
        if refine:
            score = prior + float(weigh(np.array(fit.misfit))) - 0.5 * one.dof * np.log(len(lines))
        xyz = one.xyz + one.basis @ fit.moves if one.dof else one.xyz
        try:
            crystal = one.decorated(elements, lines.cell, xyz, b_to_u(max(fit.b_iso, 0.0)))
        except JaxnmrError:
            # atoms have come upon each other, or upon a position of higher symmetry
            continue
        if not too_close(crystal):
            found.append((score, Proposal(crystal, 0.0, fit.r_factor, fit, one, prior)))
    if not found:
        raise DataError(
            f"all of the {len(starts)} best of {looked_at} decorated structure types have atoms that are too close to each other: give a "
            "larger library, or ask for more proposals"
        )
    found = _distinct(sorted(found, key=lambda pair: -pair[0]))
    weights = np.exp(np.array([value for value, _ in found]) - found[0][0])
    weights /= weights.sum()
    every = tuple(p._replace(weight=float(w)) for (_, p), w in zip(found, weights, strict=True))
    return Proposals(every, looked_at, len(lines))


def _distinct(found: list[tuple[float, Proposal]]) -> list[tuple[float, Proposal]]:
    """Without those that were refined to the same pattern as a better one of the same group and contents."""
    kept: dict[tuple, tuple[float, Proposal]] = {}
    for value, p in found:
        contents = tuple(sorted(contents_of(p.type, p.crystal.elements).items()))
        kept.setdefault((p.type.group.number, p.type.dof, contents, round(p.fit.misfit, 4)), (value, p))
    return list(kept.values())


def _types_of(library: Iterable[Crystal | StructureType]) -> tuple[StructureType, ...]:
    given = list(library)
    types = [one for one in given if isinstance(one, StructureType)]
    return (*types, *structure_types(one for one in given if isinstance(one, Crystal)))


def _ranked(
    types: Sequence[StructureType], known: Wanted, lines: Lines, weigh: Weigh
) -> tuple[list[tuple[float, StructureType, Decoration]], int]:
    """Decorated types with the logarithm of their weights, the best first, and how many were looked at."""
    space, rows, looked_at = float(volume(lines.cell)), [], 0
    elements = Elements(types)
    starts: list[tuple[float, StructureType, Float[np.ndarray, "n sites"], tuple[str, ...]]] = []
    for one in types:
        listed = decorations(one, known, space)
        # nothing known: also types none of whose own decorations fits the volume
        tried = listed or ([Decoration(e, 0.0) for e in one.known[:1]] if not known.elements else [])
        if not tried:
            continue
        if not known.elements:
            tried = [Decoration(d.elements, d.log_prior + elements.log_prior(d.elements)) for d in tried]
        reflections = lines.reflections(one.group)
        waves = site_waves(one, reflections, one.xyz)
        scores = weigh(screened(one, waves, reflections, lines, [d.elements for d in tried]))
        looked_at += len(tried)
        scored = [(float(s) + d.log_prior, one, d) for s, d in zip(scores, tried, strict=True)]
        rows += scored if listed else []
        if not known.elements:
            top = max(scored, key=lambda row: row[0])
            starts.append((top[0], one, waves, top[2].elements))
    if starts:
        starts.sort(key=lambda row: -row[0])
        for _, one, waves, start in starts[:_CLOSER]:
            reflections = lines.reflections(one.group)
            more = guessed(one, waves, reflections, lines, start, weigh, elements)
            if more:
                scores = weigh(screened(one, waves, reflections, lines, [d.elements for d in more]))
                rows += [(float(s) + d.log_prior, one, d) for s, d in zip(scores, more, strict=True)]
                looked_at += len(more)
    # equivalent decorations, and types whose origins differ, have one pattern
    unique: dict[tuple, tuple[float, StructureType, Decoration]] = {}
    for score, one, d in sorted(rows, key=lambda row: -row[0]):
        contents = tuple(sorted(contents_of(one, d.elements).items()))
        unique.setdefault((one.group.number, contents, one.dof, round(score - d.log_prior, 5)), (score, one, d))
    return list(unique.values()), looked_at
