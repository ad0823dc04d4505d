"""Measured areas, and the reflections of any structure type that contribute to each (host)."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from ...crystal import SpaceGroup
from ...crystal.cell import reciprocal_metric
from ...diffraction.reflections import plan_reflections
from ...diffraction.scattering import ScatteringFactors, scattering_factors
from ...errors import DataError
from ..direct.problem import uncertainty_of_root
from ..records import Intensities, require_areas

# number of areas compared, from the lowest angles
MOST_AREAS = 150
# relative difference of 1/d² within one line
_ONE = 1e-5
# degrees, largest distance of an unlisted reflection from an area that includes it
_BESIDE = 0.05
# accuracy limit of models of free atoms, relative to the root mean square of the roots
_FLOOR = 0.02


@dataclass(frozen=True)
class Reflections:
    """Reflections of one space group.

    Attributes:
        hkl: ``(n, 3)``; s_sq ``(n,)`` ``(sin(theta)/lambda)²``.
        summing: ``(areas, n)`` weight of each in every area; areas beyond the measured ones are unobserved lines.
    """

    hkl: Int[np.ndarray, "n 3"]
    s_sq: Float[np.ndarray, " n"]
    summing: Float[np.ndarray, "areas n"]


@dataclass(frozen=True)
class Lines:
    """Square roots of areas with their uncertainties.

    Attributes:
        cell: ``(6,)``.
        root, trust: ``(areas,)`` square roots and inverse standard deviations, with a floor.
        noise: root mean square deviation explained by noise, relative to that of the roots.
        radiation, wavelength: radiation of the form factors.
    """

    cell: Float[np.ndarray, "6"]
    root: Float[np.ndarray, " areas"]
    trust: Float[np.ndarray, " areas"]
    noise: float
    radiation: str
    wavelength: float
    _d_star_sq: Float[np.ndarray, " n"]
    _members: Int[np.ndarray, " n"]
    _factor: Float[np.ndarray, " n"]
    _angles: Float[np.ndarray, " n"]
    _known: dict = field(default_factory=dict)

    @classmethod
    def of(cls, intensities: Intensities, most: int = MOST_AREAS) -> "Lines":
        """Take the areas at the lowest angles.

        Raises:
            DataError: there are no positive areas, or some are below zero by over five standard deviations.
        """
        require_areas(intensities)
        bad = np.flatnonzero(intensities.area < -5.0 * intensities.sigma)
        if bad.size:
            raise DataError(
                f"{len(bad)} areas of {intensities.name} are negative by more than five standard deviations, number {int(bad[0])} with "
                f"{intensities.area[bad[0]]:.4g} the first: correct the background, or set areas of absent lines to zero with their deviation"
            )
        members = np.asarray(intensities.members)
        first = np.array([intensities.two_theta[members == g].min() for g in range(len(intensities.area))])
        used = np.argsort(first, kind="stable")[:most]
        place = np.full(len(first), -1)
        place[used] = np.arange(len(used))
        rows = np.flatnonzero(place[members] >= 0)
        area = np.asarray(intensities.area, dtype=float)[used]
        scale = float(area.max())
        area, sigma = area / scale, np.asarray(intensities.sigma, dtype=float)[used] / scale
        root = np.sqrt(np.maximum(area, 0.0))
        off, size = uncertainty_of_root(root, sigma), float(np.sqrt(np.mean(root**2)))
        cell = np.asarray(intensities.cell, dtype=float)
        hkl = np.asarray(intensities.hkl)[rows]
        return cls(
            cell=cell, root=root, trust=1.0 / np.hypot(off, _FLOOR * size), noise=float(np.sqrt(np.mean(off**2))) / size,
            radiation=intensities.instrument.radiation, wavelength=intensities.instrument.wavelengths[0],
            _d_star_sq=np.einsum("ni,ij,nj->n", hkl, reciprocal_metric(cell), hkl), _members=place[members[rows]],
            _factor=(np.asarray(intensities.weight) / np.asarray(intensities.multiplicity))[rows],
            _angles=np.asarray(intensities.two_theta, dtype=float)[rows],
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.root)

    def reflections(self, group: SpaceGroup) -> Reflections:
        """Return the reflections of a group up to the largest angle, assigned to areas; results are cached."""
        if group not in self._known:
            self._known[group] = self._listed(group)
        return self._known[group]

    def factors(self, elements: tuple[str, ...]) -> ScatteringFactors:
        """Return the form factors for the radiation."""
        return scattering_factors(elements, self.radiation, self.wavelength)

    def observed(self, areas: int) -> tuple[Float[np.ndarray, " areas"], Float[np.ndarray, " areas"]]:
        """Return roots and trusts, extended by unobserved lines, as uncertain as the least certain observed one."""
        more = areas - len(self)
        return np.pad(self.root, (0, more)), np.pad(self.trust, (0, more), constant_values=float(self.trust.min()))

    def _listed(self, group: SpaceGroup) -> Reflections:
        limit = float(self._d_star_sq.max()) * (1.0 + _ONE)
        hkl, multiplicity = plan_reflections(group, self.cell, 1.0 / np.sqrt(limit))
        d_star_sq = np.einsum("ni,ij,nj->n", hkl, reciprocal_metric(self.cell), hkl)
        order = np.argsort(self._d_star_sq)
        known = self._d_star_sq[order]
        right = (
            np.clip(np.searchsorted(known, d_star_sq), 1, max(len(known) - 1, 1))
            if len(known) > 1
            else np.zeros(len(hkl), int)
        )
        left = np.maximum(right - 1, 0)
        nearest = np.where(np.abs(known[left] - d_star_sq) < np.abs(known[right] - d_star_sq), left, right)
        row = order[nearest]
        exact = np.abs(self._d_star_sq[row] - d_star_sq) < _ONE * d_star_sq
        angles = 2.0 * np.degrees(np.arcsin(np.clip(0.5 * self.wavelength * np.sqrt(d_star_sq), 0.0, 1.0)))
        beside = np.abs(angles - self._angles[row]) < _BESIDE
        place = np.where(exact | beside, self._members[row], -1)
        # unobserved lines, each a separate area
        lost = np.flatnonzero(place < 0)
        new = np.cumsum(np.diff(d_star_sq[lost], prepend=-1.0) > _ONE * d_star_sq[lost])
        place[lost] = len(self) - 1 + new
        factor = self._factor[row]
        if lost.size:
            factor[lost] = np.exp(np.interp(d_star_sq[lost], known, np.log(self._factor[order])))
        summing = np.zeros((int(place.max(initial=len(self) - 1)) + 1, len(hkl)))
        summing[place, np.arange(len(hkl))] = multiplicity * factor
        return Reflections(hkl, d_star_sq / 4.0, summing)


def form_factors(factors: ScatteringFactors, s_sq: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n elements"]:
    """Return the real part of the form factors."""
    return np.einsum("ek,nek->ne", factors.a, np.exp(-factors.b[None] * s_sq[:, None, None])) + factors.c + factors.f1
