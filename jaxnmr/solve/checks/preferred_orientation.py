"""Preferred orientation of the grains of a powder, told from its integrated intensities and a structure (host).

A texture multiplies areas by a factor of the direction of their planes (Dollase, J. Appl. Cryst. 19, 267 (1986)). A structure that is right then fits
badly, which no coordinate can mend. Axes of low index are tried with one coefficient each.
"""

from dataclasses import dataclass

import numpy as np

from ..._arguments import checked
from ...crystal import Crystal, SpaceGroup
from ...diffraction.reflections import laue_rotations
from ..records import Intensities
from .area_fit import fit_areas, promise_of_texture, without_texture
from .other_setting import areas_in_setting

AXES = (
    (0, 0, 1), (0, 1, 0), (1, 0, 0), (1, 1, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1), (1, -1, 0), (1, 0, -1), (0, 1, -1), (1, 1, -1), (1, -1, 1),
    (-1, 1, 1), (1, 0, 2), (0, 1, 2), (1, 0, -2),
)  # fmt: skip
# by how much the Bayesian information criterion must fall (Kass & Raftery, J. Am. Stat. Assoc. 90, 773: very strong), beside what the choice of an
# axis costs; and standard uncertainties and size of the logarithm of the coefficient
_GAIN, _SIGMAS, _LEAST = 10.0, 4.0, 0.03
# axes for which everything is fitted
_FITTED = 4


@dataclass(frozen=True)
class Texture:
    """Preferred orientation.

    Attributes:
        axis: hkl; ``ratio`` the March coefficient, below 1 for plates on this plane; ``sigma`` its standard uncertainty.
        gain: by how much the Bayesian information criterion fell.
        r_factor: R of square roots of areas with it; ``before`` without.
    """

    axis: tuple[int, int, int]
    ratio: float
    sigma: float
    gain: float
    r_factor: float
    before: float

    def corrected(self, areas: Intensities) -> Intensities:
        """Areas, in the setting of the axis, with this texture among their angular factors."""
        return without_texture(areas, self.axis, self.ratio)

    def __str__(self) -> str:
        return (
            f"preferred orientation along {' '.join(map(str, self.axis))}, March coefficient {self.ratio:.3f} ± {self.sigma:.3f}: R of the "
            f"areas {self.r_factor:.3f}, {self.before:.3f} without"
        )


@checked
def texture_of(crystal: Crystal, areas: Intensities) -> Texture | None:
    """The preferred orientation that integrated intensities show when a structure is right, or nothing.

    Scale, coordinates and displacements are fitted without a texture, and with one along each of 16 axes of low index. The best is
    believed when the Bayesian information criterion falls by 10 beyond what the choice of an axis costs.

    Args:
        crystal: a structure, in any setting.
        areas: integrated intensities.

    Raises:
        ConventionError: a structure of another lattice.
        DataError: fewer areas than numbers.
    """
    here = areas_in_setting(areas, crystal)
    plain = fit_areas(crystal, here)
    axes = distinct_axes(crystal.group)
    # how much a small texture would help tells where to look
    promise = {axis: promise_of_texture(plain, here, axis) for axis in axes}
    likely = sorted(axes, key=lambda axis: -promise[axis])[:_FITTED]
    fits = [(fit_areas(plain.crystal, here, axis=axis), axis) for axis in likely]
    best, axis = min(fits, key=lambda one: one[0].bic)
    gain = plain.bic - best.bic - 2.0 * float(np.log(len(axes)))
    (size,), (sigma,) = best.of("march")
    if gain < _GAIN or abs(size) < max(_SIGMAS * sigma, _LEAST):
        return None
    return Texture(axis, best.march, best.march * float(sigma), gain, best.r_factor, plain.r_factor)


def distinct_axes(group: SpaceGroup) -> tuple[tuple[int, int, int], ...]:
    """Axes of low index that the Laue class does not make the same."""
    rotations = laue_rotations(group)
    found: dict[tuple, tuple[int, int, int]] = {}
    for axis in AXES:
        found.setdefault(max(map(tuple, (np.array(axis) @ rotations).tolist())), axis)
    return tuple(found.values())
