"""Learned priors on measured patterns: conversion to their electrons and lines; linear densities (host)."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, cast

import numpy as np
from jaxtyping import Float

from ..._arguments import checked
from ...crystal import Crystal, SpaceGroup
from ...density import Density, find_atoms
from ...density.linear import IndependentWaves, LinearDensity, LineAreas
from ...density.linear.atoms import FittedAtoms, fit_atoms
from ...density.prior.model import DensityPrior, PredictedDensity
from ...density.prior.pattern import LinePattern
from ...density.shapes import AtomKind, atom_gaussians
from ...diffraction.reflections import plan_reflections
from ...errors import ConventionError
from ..extraction.records import Extraction
from .atoms import DensityAtoms, atoms_of_predicted, settings
from .lines import conversion, converted, cubic_edge, line_areas, line_pattern

# number of conversions to the electrons of the prior, and the ratio of R at which they end
_TURNS, _BETTER = 4, 0.98
# grid points, symmetry tolerance in Å and displacement in Å² of atoms
_POINTS, _SYMPREC, _U = 24, 0.1, 0.008
_CUBIC_GROUP = SpaceGroup.from_name("P m -3 m")


class PredictedFromPattern(NamedTuple):
    """Predictions of a prior for a measured pattern.

    Attributes:
        predicted, refined: densities before and after the lines are used.
        pattern: lines, for the prior's electrons.
        atoms: atoms of the refined density; none without a composition.
        notes: remarks that a reader must know.
        measured: atoms refined on the measured areas of all electrons, if the prior is for valence electrons.
    """

    predicted: PredictedDensity
    refined: PredictedDensity
    pattern: LinePattern
    atoms: DensityAtoms | None
    notes: tuple[str, ...]
    measured: FittedAtoms | None = None


def kind_of(prior: DensityPrior) -> AtomKind:
    """Return which electrons the densities of a prior describe, from its card; valence electrons by default."""
    return cast(AtomKind, prior.card.get("electrons", "valence"))


@checked
def lines_of(pattern: LinePattern, prior: DensityPrior) -> LineAreas:
    """Return the lines of a prior as areas for refining atoms.

    Raises:
        ConventionError: the pattern lacks some of them.
    """
    areas, sigma = pattern.on(prior.lines)
    cell = np.array([pattern.edge] * 3 + [90.0] * 3)
    hkl, multiplicity = plan_reflections(_CUBIC_GROUP, cell, pattern.edge / np.sqrt(prior.lines.largest) * (1.0 - 1e-9))
    members = np.searchsorted(prior.lines.squares, (hkl**2).sum(axis=1))
    return LineAreas.create(
        cell, hkl, multiplicity, areas, sigma=sigma, members=members, group=_CUBIC_GROUP, atoms=kind_of(prior), name="lines of the prior"
    )  # fmt: skip


@checked
def known_of(predicted: PredictedDensity, prior: DensityPrior) -> LinearDensity:
    """Return a prediction as a linear density for terms of a refinement: all waves, no symmetry imposed."""
    largest = float(prior.basis.waves.squares.max())
    waves = IndependentWaves.plan(predicted.cell, predicted.edge / np.sqrt(largest) * (1.0 - 1e-9))
    volume = predicted.edge**3
    first, second = predicted.basis.structure_factors(waves.hkl)
    level, along = predicted.basis.structure_factors(np.zeros((1, 3), dtype=int))
    electrons = float(np.real(level[0] + along[0] @ predicted.c)) * volume
    return LinearDensity.of_functions(
        waves, first * volume, second * volume, predicted.c, predicted.covariance, electrons, kind_of(prior)
    )


@checked
def predicted_density(
    prior: DensityPrior,
    fit: Extraction,
    composition: Mapping[str, int] | Sequence[str] | None = None,
    *,
    widths: Sequence[float] = (1.0,),
    missing: Literal["refuse", "expected"] = "refuse",
) -> PredictedFromPattern:
    """Predict and refine a density and find its atoms, given a measured X-ray pattern.

    A prior of valence electrons needs the intensities that these would scatter. Areas are converted by the form factors
    of atoms, first at random positions, then at those found, with their displacements, until convergence; this requires
    a composition with amounts.

    Args:
        prior: learned prior.
        fit: Le Bail fit of a cubic cell without extinctions.
        composition: atoms of each element in the cell; for a prior of all electrons also elements only, or ``None``.
        widths: as of `DensityPrior.refine`.
        missing: treatment of lines of the prior that were not measured: they are refused, or replaced by the
            expectation of the prior without a pattern, with its uncertainty.

    Raises:
        ConventionError: the cell is not cubic, the pattern ends too early, neutrons were used, or amounts are missing.
        ParameterError: the composition is impossible for the cell.
    """
    whole = isinstance(composition, Mapping)
    if kind_of(prior) != "all-electron" and not whole:
        raise ConventionError(
            "X-rays are scattered by all electrons, and this prior is of valence electrons: areas are converted by form factors, which "
            "needs how many atoms of each element are in the cell. Give the composition with amounts, or a prior of all electrons"
        )
    edge = cubic_edge(fit.cell, fit.name)
    expected = _expected(prior, edge, composition) if missing == "expected" else None
    notes: tuple[str, ...] = ()
    if expected is not None and (n := _unmeasured(prior, fit)):
        notes = (
            f"{n} of {len(prior.lines.squares)} lines of the prior were not measured; what it expects stands for them.",
        )
    if not isinstance(composition, Mapping):
        return _once(prior, fit, composition, None, edge, None, expected, widths, notes)
    counts = {e: int(n) for e, n in composition.items()}
    if kind_of(prior) == "all-electron":
        return _once(prior, fit, composition, counts, edge, None, expected, widths, notes)
    # atoms that agree with the measurement define the conversion; the first are those of the prior without a pattern
    areas = line_areas(fit.intensities)
    blind = prior.predict(edge, None, composition)
    best = _on_xrays(prior, blind.density((_POINTS,) * 3), counts, areas, fit)
    squares, found = _ratio_of(prior, best.crystal, areas, fit), None
    plain = _once(prior, fit, composition, counts, edge, _random_ratio(prior, counts, edge), expected, widths, notes)
    for turn in range(_TURNS):
        made = plain if turn == 0 else _once(prior, fit, composition, counts, edge, squares, expected, widths, notes)
        assert made.atoms is not None
        tried = min(
            (
                _on_xrays(prior, one.density((_POINTS,) * 3), counts, areas, fit)
                for one in (made.predicted, made.refined)
            ),
            key=lambda of: of.r,
        )
        gained = tried.r < _BETTER * best.r
        best = tried if gained else best
        squares = _ratio_of(prior, best.crystal, areas, fit)
        if turn and not gained:
            found = made
            break
    found = found or _once(prior, fit, composition, counts, edge, squares, expected, widths, notes)
    said = f"Areas were converted from all electrons to valence electrons at rest by the form factors of atoms that agree with them (R {best.r:.3f})."
    return found._replace(notes=(*found.notes, said), measured=best)


def _once(
    prior: DensityPrior, fit: Extraction, composition: Mapping[str, int] | Sequence[str] | None, counts: Mapping[str, int] | None,
    edge: float, squares: Mapping[int, float] | None, expected: tuple[np.ndarray, np.ndarray] | None, widths: Sequence[float],
    notes: tuple[str, ...],
) -> PredictedFromPattern:  # fmt: skip
    pattern = line_pattern(fit, prior.lines, squares, expected=expected)
    predicted = prior.predict(edge, pattern, composition)
    refined = prior.refine(predicted, pattern, widths=widths)
    atoms = None
    if counts is not None:
        atoms = atoms_of_predicted((predicted, refined), counts, lines_of(pattern, prior), atoms_per_cell=prior.atoms)
    return PredictedFromPattern(predicted, refined, pattern, atoms, notes)


def _on_xrays(
    prior: DensityPrior, density: Density, counts: Mapping[str, int], areas: LineAreas, fit: Extraction
) -> FittedAtoms:
    """Refine atoms of a valence density on the areas of all electrons."""
    found = find_atoms(density, counts, "valence", u_iso=0.0, symprec=_SYMPREC)
    starts, _ = settings(found, areas, None, _U, found.crystal.name)
    wavelength = fit.instrument.wavelengths[0]
    tried = [fit_atoms(start, converted(areas, start, "all-electron", wavelength), exchange=True) for start in starts]
    return min(tried, key=lambda of: of.r * (1.0 + 0.01 * len(of.crystal.species)))


def _expected(
    prior: DensityPrior, edge: float, composition: Mapping[str, int] | Sequence[str] | None
) -> tuple[Float[np.ndarray, " lines"], Float[np.ndarray, " lines"]]:
    """Return areas of all lines expected by the prior without a pattern, and their relative deviations."""
    blind = prior.predict(edge, None, composition)
    drawn = np.stack([prior.line_model.areas(c) for c in blind.draw(200)])
    mean = drawn.mean(axis=0)
    return mean, drawn.std(axis=0) / mean


def _unmeasured(prior: DensityPrior, fit: Extraction) -> int:
    return int((~np.isin(prior.lines.squares, (fit.hkl**2).sum(axis=1))).sum())


def _random_ratio(prior: DensityPrior, composition: Mapping[str, int], edge: float) -> dict[int, float]:
    """Return the ratio of valence to all-electron intensities by line, for atoms at random positions."""
    elements = tuple(composition)
    s_sq = prior.lines.squares / edge**2 / 4.0
    total = []
    for kind in ("valence", "all-electron"):
        shapes = atom_gaussians(elements, kind)
        total.append(
            sum(
                composition[e] * (np.exp(-np.outer(s_sq, b)) @ a) ** 2
                for e, a, b in zip(elements, shapes.a, shapes.b, strict=True)
            )
        )
    ratio = np.asarray(total[0]) / np.asarray(total[1])
    return dict(zip(prior.lines.squares.tolist(), ratio.tolist(), strict=True))


def _ratio_of(prior: DensityPrior, crystal: Crystal, areas: LineAreas, fit: Extraction) -> dict[int, float]:
    """Return the same ratio for the atoms found, with displacements in the all-electron intensities."""
    hkl, multiplicity = plan_reflections(
        _CUBIC_GROUP, areas.cell, float(areas.cell[0]) / np.sqrt(prior.lines.largest) * (1.0 - 1e-9)
    )
    members = np.searchsorted(prior.lines.squares, (hkl**2).sum(axis=1))
    lines = LineAreas.create(
        areas.cell, hkl, multiplicity, np.ones(len(prior.lines.squares)), sigma=1.0, members=members, group=_CUBIC_GROUP
    )
    ratio, _ = conversion(lines, crystal, kind_of(prior), fit.instrument.wavelengths[0], at_rest=True)
    return dict(zip(prior.lines.squares.tolist(), ratio.tolist(), strict=True))
