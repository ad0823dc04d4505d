"""Proposals: known structure types with the elements, cell and pattern of an unknown crystal (host)."""

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

# fraction of the areas that counts as independent: neighbouring misfits of a wrong type are correlated
_INDEPENDENT = 0.25
# number of types examined further if no element is known
_CLOSER = 60


class Proposal(NamedTuple):
    """One decorated structure type in the cell.

    Attributes:
        crystal: decorated structure, named after the type.
        weight: weight among all proposals, from composition, volume and pattern.
        r_factor: ``sum |√I_obs - √I_calc| / sum √I_obs``.
        fit: moves of the free coordinates from those of the type, with their covariance.
        type: the structure type.
        log_prior: logarithm of its weight without the pattern, up to a constant.
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
        looked_at: number of decorated types whose pattern was calculated.
        areas: number of areas compared.
    """

    every: tuple[Proposal, ...]
    looked_at: int
    areas: int

    @property
    def best(self) -> Proposal:
        """Most probable proposal."""
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

    A type is tried if the cell has the metric that its space group requires and a similar shape; the space group of the
    areas is used only for its absent lines.

    Args:
        intensities: areas of the lines of a known cell.
        library: known crystals or their types (`structure_types`, which saves time on repeated use).
        composition: a formula, or amounts by element; elements only, as a list or with ``None`` for the amounts; or nothing.
        most: number of proposals that are refined and returned.
        refine: whether to refine free coordinates and a displacement of each; weights are then those after refinement.

    Raises:
        ConventionError: the composition is invalid.
        ParameterError: ``most`` is below 1.
        DataError: areas cannot be compared, or no type of the library suits the cell and the composition.
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
    """Refine free coordinates and a displacement of given proposals, and weigh them again, as `propose` does.

    Args:
        proposals: result of :func:`propose` with ``refine=False``.
        intensities: areas that they belong to.

    Raises:
        DataError: the areas cannot be compared.
    """
    lines = Lines.of(intensities)
    starts = [(p.type, p.crystal.elements, p.log_prior, 0.0) for p in proposals]
    return _made(starts, lines, _weigher(lines), proposals.looked_at, True)


def _weigher(lines: Lines) -> Weigh:
    return Weigh(max(_INDEPENDENT * len(lines), 1.0), lines.noise)


def _made(
    starts: Sequence[tuple[StructureType, tuple[str, ...], float, float]], lines: Lines, weigh: Weigh, looked_at: int, refine: bool
) -> Proposals:  # fmt: skip
    """Make proposals of decorated types, given the logarithms of their priors and of their weights with the pattern."""
    found = []
    for one, elements, prior, score in starts:
        fit = refined(one, elements, lines, *(() if refine else (0,)))
        if refine:
            score = prior + float(weigh(np.array(fit.misfit))) - 0.5 * one.dof * np.log(len(lines))
        xyz = one.xyz + one.basis @ fit.moves if one.dof else one.xyz
        try:
            crystal = one.decorated(elements, lines.cell, xyz, b_to_u(max(fit.b_iso, 0.0)))
        except JaxnmrError:
            # atoms coincide, or have reached a position of higher symmetry
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
    """Drop proposals refined to the same pattern as a better one of the same group and contents."""
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
    """Return decorated types with log weights, the best first, and the number of types examined."""
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
    # equivalent decorations, and types with different origins, have the same pattern
    unique: dict[tuple, tuple[float, StructureType, Decoration]] = {}
    for score, one, d in sorted(rows, key=lambda row: -row[0]):
        contents = tuple(sorted(contents_of(one, d.elements).items()))
        unique.setdefault((one.group.number, contents, one.dof, round(score - d.log_prior, 5)), (score, one, d))
    return list(unique.values()), looked_at
