"""Difference maps: density in the areas that a structure does not explain (host)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.special
from jaxtyping import Bool, Complex, Float, Int

from ..._arguments import checked
from ..._tables import plain
from ...crystal import Crystal, lattice, plan_expansion
from ...crystal.cell import reciprocal_metric
from ...diffraction.scattering import scattering_factors
from ...errors import ConventionError, DataError, ParameterError
from ...units import EIGHT_PI2
from ..epsilon import epsilon_factors
from ..records import Intensities, require_areas
from .density import Density, Sphere, density
from .maxima import local_maxima

# relative difference up to which cells are the same: one may have been refined
_SAME_CELL = 0.02
# Å, smallest step of a grid: finer than any wavelength resolves, and limited by memory
_FINEST = 0.02


@dataclass(frozen=True)
class DensityPeak:
    """A maximum of a map.

    Attributes:
        xyz: ``(3,)`` fractional coordinates.
        height: e/Å³ (fm/Å³ for neutrons).
        multiplicity: number of equivalent maxima in the cell, counting those within 0.3 Å as one.
        nearest: label of the nearest atom, ``distance`` Å from it.
    """

    xyz: Float[np.ndarray, "3"]
    height: float
    multiplicity: int
    nearest: str
    distance: float


@dataclass(frozen=True)
class DifferenceMap:
    """A difference density and its maxima.

    Attributes:
        density: the map; ``density.grid`` in e/Å³, ``density.at(points)`` at any point.
        peaks: maxima, the highest first.
        scale: ratio of areas to ``weight |F|²``, with missing atoms taken into account.
        r_factor: R of the square roots of areas, for the structure as given.
    """

    density: Density
    peaks: tuple[DensityPeak, ...]
    scale: float
    r_factor: float

    @property
    def sigma(self) -> float:
        """Root mean square of the map, e/Å³."""
        return self.density.sigma

    def __str__(self) -> str:
        rows = [
            (str(k), *(f"{x:.4f}" for x in p.xyz), f"{p.height:.2f}", f"{p.height / self.sigma:.1f}", str(p.multiplicity), f"{p.distance:.2f} Å to {p.nearest}")
            for k, p in enumerate(self.peaks, start=1)
        ]  # fmt: skip
        return plain(("", "x", "y", "z", "e/Å³", "over rms", "times", ""), rows)


@checked
def difference_map(
    crystal: Crystal,
    areas: Intensities,
    *,
    missing: Mapping[str, float] | None = None,
    most_peaks: int = 20,
    step: float | None = None,
) -> DifferenceMap:
    """Calculate the difference density of areas and a structure, with the phases of the structure.

    Areas of overlapping reflections are partitioned as calculated. With ``missing``, every reflection is expected to be
    stronger by the scattering of these atoms at unknown positions, and phases are weighted by their reliability (G. A.
    Sim, Acta Cryst. 12, 813 (1959)); the heights are then expectation values.

    Args:
        crystal: known part of the structure, with realistic displacements.
        areas: areas in the same cell and group.
        missing: atoms in the conventional cell that the structure lacks, by element; none by default.
        most_peaks: number of maxima to list.
        step: largest step of the grid, Å; by default a third of the smallest d.

    Raises:
        ConventionError: the areas have another cell or space group.
        DataError: no area is positive, some are not finite, or the structure explains no reflection.
        ParameterError: an argument is invalid.
    """
    require_same(crystal, areas)
    require_areas(areas)
    if most_peaks < 1:
        raise ParameterError(f"most_peaks is {most_peaks}; expected a whole number from 1 on")
    if not all(np.isfinite(atoms) and atoms >= 0.0 for atoms in (missing or {}).values()):
        raise ParameterError(f"missing is {dict(missing or {})}; expected numbers of atoms in the cell, from 0 on")
    if step is not None and not step >= _FINEST:
        raise ParameterError(f"step is {step:g} Å; expected {_FINEST} or more")
    cell = np.asarray(areas.cell, dtype=float)
    full = plan_expansion(crystal).cell_of(crystal)
    fractional = np.asarray(full.fractional, dtype=float)
    u_iso = np.asarray(crystal.u_iso, dtype=float)[np.asarray(full.site)]
    s_sq = np.einsum("ni,ij,nj->n", areas.hkl, reciprocal_metric(cell), areas.hkl) / 4.0
    real, imaginary = _forms(full.species, areas, s_sq)
    damping = np.asarray(full.occupancy) * np.exp(-EIGHT_PI2 * u_iso * s_sq[:, None])
    waves = damping * np.exp(2j * np.pi * (areas.hkl @ fractional.T))
    f, without_phase = (real * waves).sum(axis=1), (imaginary * waves).sum(axis=1)
    absent = np.zeros(len(s_sq))
    for element, atoms in (missing or {}).items():
        form, other = _forms((element,), areas, s_sq)
        usual = np.exp(-2.0 * EIGHT_PI2 * float(u_iso.mean()) * s_sq)
        absent += float(atoms) * ((form**2 + other**2)[:, 0]) * usual
    special = epsilon_factors(areas.group, areas.hkl)
    found = differences(
        areas.area, areas.weight, areas.members, f, np.abs(f) ** 2 + np.abs(without_phase) ** 2, absent * special.epsilon, special.centric
    )  # fmt: skip
    made = density(Sphere.of(areas.group, areas.hkl), cell, found.f, step)
    vectors = np.asarray(lattice(cell))
    points, heights = local_maxima(made, most_peaks)
    peaks = [
        _peak(made, point, float(height), fractional, full.labels, vectors)
        for point, height in zip(points, heights, strict=True)
    ]
    return DifferenceMap(made, tuple(peaks), found.scale, found.r_factor)


def require_same(crystal: Crystal, areas: Intensities) -> None:
    """Refuse areas in other axes than those of a structure.

    Raises:
        ConventionError: the space group or the cell differs.
    """
    if set(crystal.group.triplets) != set(areas.group.triplets):
        raise ConventionError(
            f"the structure is in {crystal.group.name}, the areas in {areas.group.name}: give both the same"
        )
    one, other = np.asarray(crystal.cell, dtype=float), np.asarray(areas.cell, dtype=float)
    if not np.allclose(one, other, rtol=_SAME_CELL):
        words = [" ".join(f"{x:.6g}" for x in cell) for cell in (one, other)]
        raise ConventionError(
            f"the cell of the structure is {words[0]}, that of the areas {words[1]}: give both the same"
        )


def _forms(
    species: tuple[str, ...], areas: Intensities, s_sq: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, "n atoms"], Float[np.ndarray, " atoms"]]:
    """Return real and imaginary parts of scattering factors."""
    kinds = tuple(dict.fromkeys(species))
    device = areas.instrument
    factors = scattering_factors(kinds, device.radiation, device.wavelengths[0])
    real = (factors.a * np.exp(-factors.b * s_sq[:, None, None])).sum(axis=-1) + factors.c + factors.f1
    column = [kinds.index(s) for s in species]
    return np.asarray(real)[:, column], np.asarray(factors.f2)[column]


def _peak(
    made: Density, point: np.ndarray, height: float, atoms: np.ndarray, labels: tuple[str, ...], vectors: np.ndarray
) -> DensityPeak:
    images = made.group.rotations @ point + made.group.translations
    apart = (images[:, None] - images[None]) - np.round(images[:, None] - images[None])
    same = ((apart @ vectors) ** 2).sum(axis=-1) < 0.3**2
    cells = np.indices((3, 3, 3)).reshape(3, -1).T - 1
    delta = atoms - point
    delta = (delta - np.round(delta))[:, None] + cells
    distance = np.sqrt(((delta @ vectors) ** 2).sum(axis=-1)).min(axis=1)
    nearest = int(distance.argmin())
    return DensityPeak(
        point, height, round(len(images) / same.sum(axis=1).mean()), labels[nearest], float(distance[nearest])
    )


@dataclass(frozen=True)
class Differences:
    """Coefficients of a difference map, scale of the areas, and R of the structure as given."""

    f: Complex[np.ndarray, " n"]
    scale: float
    r_factor: float


def differences(
    area: Float[np.ndarray, " groups"],
    weight: Float[np.ndarray, " n"],
    members: Int[np.ndarray, " n"],
    f: Complex[np.ndarray, " n"],
    squared: Float[np.ndarray, " n"],
    absent: Float[np.ndarray, " n"],
    centric: Bool[np.ndarray, " n"],
) -> Differences:
    """Calculate ``m |F_obs| - |F_calc|`` with the phases of the structure.

    Args:
        area: areas of groups of reflections; ``weight`` and ``members`` define their relation to ``|F|²``.
        f: structure factors of the known part; ``squared`` its contribution to the areas (with anomalous scattering).
        absent: mean ``|F|²`` of the missing atoms.
        centric: whether the phase of a reflection is restricted to two values.

    Raises:
        DataError: there is nothing to compare.
    """
    expected = squared + absent
    total = np.bincount(members, weight * expected, minlength=len(area))
    observed, roots = np.sqrt(np.maximum(area, 0.0)), np.sqrt(np.maximum(total, 0.0))
    if not observed.any() or not roots.any():
        raise DataError("no area above zero has a reflection that the structure explains: check cell, group and areas")
    scale = float((observed @ roots / (roots @ roots)) ** 2)
    known = np.sqrt(np.maximum(np.bincount(members, weight * squared, minlength=len(area)), 0.0))
    agreement = (observed @ known) ** 2 / max((observed @ observed) * (known @ known), 1e-300)
    ratio = np.sqrt(np.maximum(area, 0.0) / np.maximum(scale * total, 1e-12 * scale * total.max()))[members]
    amplitude = np.sqrt(squared)
    measured = ratio * np.sqrt(expected)
    x = 2.0 * measured * amplitude / np.maximum(absent, 1e-12 * expected.max())
    trust = np.where(centric, np.tanh(x / 2.0), scipy.special.i1e(x) / np.maximum(scipy.special.i0e(x), 1e-300))
    relative = np.where(
        amplitude > 0.0, (trust * measured - amplitude) / np.maximum(amplitude, 1e-9 * amplitude.max()), 0.0
    )
    return Differences(relative * f, scale, float(np.sqrt(max(1.0 - agreement, 0.0))))
