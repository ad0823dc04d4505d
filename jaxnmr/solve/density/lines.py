"""Areas of a Le Bail fit as input of densities: conversion between electrons and between line sets (host)."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from ..._arguments import checked
from ...crystal import Crystal
from ...crystal.cell import reciprocal_metric
from ...density import plan_atoms
from ...density.linear import LineAreas
from ...density.prior.data import LineSet
from ...density.prior.pattern import LinePattern
from ...density.shapes import AtomKind, atom_gaussians
from ...diffraction import Pattern
from ...diffraction.reflections import laue_rotations
from ...diffraction.structure_factors import StructureFactors
from ...errors import ConventionError, DataError
from ...units import EIGHT_PI2
from ..extraction.records import Extraction
from ..peaks.find import find_peaks
from ..records import Intensities, require_areas

# added to both intensities of a ratio, relative to that of atoms at random positions
_FLOOR = 0.05
# relative differences of edges, and degrees of angles, below which a cell is cubic
_CUBIC = 2e-3
# relative area of a line that the cell does not explain; its smallest distance, in widths, from calculated lines
_STRONG, _APART = 0.05, 1.5


@checked
def line_areas(intensities: Intensities) -> LineAreas:
    """Return areas of groups with their covariance, for all electrons of the sample.

    Raises:
        ConventionError: neutrons were used, which nuclei scatter.
        DataError: the areas cannot be compared with anything.
    """
    require_areas(intensities)
    _require_xrays(intensities)
    return LineAreas.create(
        intensities.cell, intensities.hkl, intensities.weight, np.maximum(intensities.area, 0.0), covariance=intensities.covariance,
        members=intensities.members, group=intensities.group, name=intensities.name,
    )  # fmt: skip


def _require_xrays(intensities: Intensities | Extraction) -> None:
    if intensities.instrument.radiation != "xray":
        raise ConventionError(
            f"{intensities.name} was measured with {intensities.instrument.radiation}s: nuclei scatter them, and no density of electrons follows. "
            "Give a pattern of X-rays"
        )


@checked
def require_one_phase(pattern: Pattern, fit: Extraction) -> None:
    """Refuse a pattern with strong lines that the cell does not explain.

    Raises:
        DataError: there are such lines, which the message lists.
    """
    peaks = find_peaks(pattern)
    if not len(peaks):
        return
    inside = (peaks.two_theta > fit.x[0]) & (peaks.two_theta < fit.x[-1])
    apart = np.abs(peaks.two_theta[:, None] - fit.two_theta)
    width = np.maximum(np.median(fit.fwhm), peaks.fwhm)
    strange = inside & (apart.min(axis=1) > np.maximum(_APART * width, 0.1)) & (peaks.area > _STRONG * peaks.area.max())
    if strange.any():
        named = ", ".join(f"{x:.2f}" for x in peaks.two_theta[strange][:6])
        raise DataError(
            f"{pattern.name} has {int(strange.sum())} strong lines that the cell does not make, at {named} degrees: there may be several phases, "
            "or the cell may be wrong. A density is of one phase: leave these regions out (exclude), or check cell and wavelength"
        )


@checked
def converted(lines: LineAreas, crystal: Crystal, atoms: AtomKind, wavelength: float) -> LineAreas:
    """Convert areas to those of other electrons, by the form factors of a model.

    Each area is multiplied by ``I_atoms/I_xray`` of the model. A twentieth of the intensity of its atoms at random
    positions is added to both, so that lines weak in the model keep the ratio of form factors. X-ray areas include
    dispersion, which a density lacks: a conversion from all electrons to all electrons removes it. A third of the
    deviation of a line's ratio from that of form factors is added to its uncertainty.

    Args:
        lines: areas of all electrons, with dispersion.
        crystal: model, in the cell of the lines.
        atoms: electrons to convert to.
        wavelength: Å.

    Raises:
        ConventionError: the areas are already of other electrons.
    """
    if lines.atoms != "all-electron":
        raise ConventionError(f"{lines.name} is of {lines.atoms} electrons already")
    ratio, doubt = conversion(lines, crystal, atoms, wavelength)
    area = lines.area * ratio
    covariance = lines.covariance * ratio * ratio[:, None] + np.diag((doubt * area) ** 2)
    return replace(lines, area=area, covariance=covariance, atoms=atoms)


def conversion(
    lines: LineAreas, crystal: Crystal, atoms: AtomKind, wavelength: float, *, at_rest: bool = False
) -> tuple[Float[np.ndarray, " groups"], Float[np.ndarray, " groups"]]:
    """Return factors of areas from X-rays to other electrons, and their relative uncertainties; see :func:`converted`.

    Args:
        lines, crystal, atoms, wavelength: as of :func:`converted`.
        at_rest: whether the other electrons are those of atoms at rest.
    """
    h, cell = lines.hkl, np.asarray(crystal.cell, dtype=float)
    d_star_sq = np.einsum("ni,ij,nj->n", h, reciprocal_metric(cell), h)
    plan = StructureFactors.plan(crystal, h, "xray", wavelength)
    equivalents = _equivalents(lines, crystal)
    if equivalents is None:
        measured = np.asarray(plan.squared(crystal, d_star_sq), dtype=float)
        wanted = np.abs(plan_atoms(crystal, atoms, at_rest=at_rest).structure_factors(crystal, h)) ** 2
    else:
        every, of, share = equivalents
        d_every = np.einsum("ni,ij,nj->n", every, reciprocal_metric(cell), every)
        squared = StructureFactors.plan(crystal, every, "xray", wavelength).squared(crystal, d_every)
        measured = np.bincount(of, share * np.asarray(squared, dtype=float), minlength=len(h))
        other = np.abs(plan_atoms(crystal, atoms, at_rest=at_rest).structure_factors(crystal, every)) ** 2
        wanted = np.bincount(of, share * other, minlength=len(h))
    u = float(np.mean(np.asarray(crystal.u_equivalent())))
    random = [
        _at_random(crystal, d_star_sq / 4.0, "all-electron", u),
        _at_random(crystal, d_star_sq / 4.0, atoms, 0.0 if at_rest else u),
    ]
    total = [
        np.bincount(lines.members, lines.weight * (of + _FLOOR * by_chance), minlength=len(lines))
        for of, by_chance in ((measured, random[0]), (wanted, random[1]))
    ]
    plain = [np.bincount(lines.members, lines.weight * by_chance, minlength=len(lines)) for by_chance in random]
    ratio, usual = total[1] / total[0], plain[1] / plain[0]
    doubt = np.abs(np.log(ratio / usual)) / 3.0
    # free atoms describe dispersion well, and valence electrons less well
    return ratio, doubt / 3.0 if atoms == "all-electron" else doubt


def _equivalents(lines: LineAreas, crystal: Crystal) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Expand lines with more equivalents than the crystal: return all of these, their lines, and their shares."""
    rotations = laue_rotations(lines.group)
    if len(rotations) <= len(laue_rotations(crystal.group)):
        return None
    images = np.einsum("ni,kij->nkj", lines.hkl, rotations)
    every = images.reshape(-1, 3)
    return every, np.repeat(np.arange(len(lines.hkl)), len(rotations)), np.full(len(every), 1.0 / len(rotations))


def _at_random(crystal: Crystal, s_sq: np.ndarray, atoms: AtomKind, u: float) -> np.ndarray:
    """Return ``<|F|²>`` of the atoms at random positions, with one displacement."""
    gaussians = atom_gaussians(crystal.species, atoms)
    amounts = np.bincount(np.asarray(crystal.expand().site, dtype=int), minlength=len(crystal.species))
    total = np.zeros(len(s_sq))
    for n, a, b in zip(amounts, gaussians.a, gaussians.b, strict=True):
        total += n * (np.exp(-np.outer(s_sq, b + EIGHT_PI2 * u)) @ a) ** 2
    return total


@checked
def line_pattern(
    fit: Extraction,
    lines: LineSet,
    ratio: Mapping[int, float] | None = None,
    *,
    expected: tuple[Float[np.ndarray, " lines"], Float[np.ndarray, " lines"]] | None = None,
) -> LinePattern:
    """Make the lines of a cubic cell for a learned prior: reflections of one ``h² + k² + l²`` are summed.

    Args:
        fit: fit of a cubic cell without extinctions.
        lines: lines of the prior.
        ratio: factors on areas by ``h² + k² + l²``; see :func:`converted`.
        expected: areas of all lines and their relative deviations, which replace unmeasured ones; by default these are
            refused.

    Raises:
        ConventionError: neutrons were used, the cell is not cubic, or the pattern ends before the lines of the prior.
    """
    _require_xrays(fit)
    edge = cubic_edge(fit.cell, fit.name)
    squares = (fit.hkl**2).sum(axis=1)
    measured, sigma, missing = np.zeros(len(lines.squares)), np.ones(len(lines.squares)), []
    for k, n in enumerate(lines.squares):
        rows = np.flatnonzero(squares == n)
        if not len(rows):
            missing.append(k)
            continue
        # angular factors of a line are equal: weights differ by multiplicities
        copies = np.array([_copies(h) for h in fit.hkl[rows]])
        factor = float(np.mean(fit.weight[rows] / copies))
        times = 1.0 if ratio is None else ratio.get(int(n), 1.0)
        measured[k] = max(float(fit.area[rows].sum()), 0.0) / factor * times
        sigma[k] = float(np.sqrt(fit.covariance[np.ix_(rows, rows)].sum())) / factor * times
    there = np.setdiff1d(np.arange(len(measured)), missing)
    if missing and expected is not None and len(there):
        areas, relative = expected
        scale = float((np.sqrt(measured[there] * areas[there]).sum() / areas[there].sum()) ** 2)
        measured[missing] = scale * areas[missing]
        sigma[missing] = np.maximum(relative[missing] * measured[missing], 1e-3 * measured.max())
    elif missing:
        d_last = 1.0 / np.sqrt(squares.max()) * edge
        need = 2.0 * np.degrees(
            np.arcsin(min(1.0, fit.instrument.wavelengths[0] * np.sqrt(float(lines.largest)) / (2.0 * edge)))
        )
        raise ConventionError(
            f"{fit.name} has no line of h²+k²+l² = {', '.join(str(lines.squares[k]) for k in missing[:6])}{', ...' if len(missing) > 6 else ''}: it ends at d = "
            f"{d_last:.3f} Å, and the prior takes all lines down to {edge / np.sqrt(lines.largest):.3f} Å. Measure to {need:.0f} degrees of "
            "2theta, with a shorter wavelength, or let what is expected of them stand for them (missing='expected')"
        )
    return LinePattern.create(edge, np.sqrt(lines.squares) / edge, measured, sigma)


def cubic_edge(cell: np.ndarray, name: str) -> float:
    """Return the edge of a cubic cell.

    Raises:
        ConventionError: the cell is not cubic.
    """
    six = np.asarray(cell, dtype=float)
    edge = float(np.cbrt(np.prod(six[:3])))
    if np.abs(six[:3] / edge - 1.0).max() > _CUBIC or np.abs(six[3:] - 90.0).max() > 0.1:
        raise ConventionError(
            f"the cell of {name} is {np.round(six, 4).tolist()}; this prior is of cubic cells: take the refinement from a model instead"
        )
    return edge


def _copies(h: np.ndarray) -> int:
    """Count the reflections equivalent in m-3m."""
    counts = np.unique(np.abs(h), return_counts=True)[1]
    arrangements = 6 // int(np.prod([np.prod(np.arange(1, c + 1)) for c in counts]))
    return arrangements * 2 ** int((np.abs(h) > 0).sum())
