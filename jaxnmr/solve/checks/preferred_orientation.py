"""Preferred orientation of a powder, from its integrated intensities and a structure (host).

A texture multiplies areas by a factor that depends on the direction of their planes (Dollase, J. Appl. Cryst. 19, 267
(1986)). A correct structure then fits badly, and coordinates cannot compensate. Axes of low index are tried with one
coefficient each.
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
# required decrease of the Bayesian information criterion (Kass & Raftery, J. Am. Stat. Assoc. 90, 773: very strong),
# beyond the cost of choosing an axis; standard uncertainties and size of the logarithm of the coefficient
_GAIN, _SIGMAS, _LEAST = 10.0, 4.0, 0.03
# number of axes for which everything is fitted
_FITTED = 4


@dataclass(frozen=True)
class Texture:
    """Preferred orientation.

    Attributes:
        axis: hkl; ``ratio`` the March coefficient, below 1 for plates on this plane; ``sigma`` its standard
            uncertainty.
        gain: decrease of the Bayesian information criterion.
        r_factor: R of square roots of areas with it; ``before`` without.
    """

    axis: tuple[int, int, int]
    ratio: float
    sigma: float
    gain: float
    r_factor: float
    before: float

    def corrected(self, areas: Intensities) -> Intensities:
        """Return the areas, in the setting of the axis, with this texture included in their angular factors."""
        return without_texture(areas, self.axis, self.ratio)

    def __str__(self) -> str:
        return (
            f"preferred orientation along {' '.join(map(str, self.axis))}, March coefficient {self.ratio:.3f} ± {self.sigma:.3f}: R of the "
            f"areas {self.r_factor:.3f}, {self.before:.3f} without"
        )


@checked
def texture_of(crystal: Crystal, areas: Intensities) -> Texture | None:
    """Determine the preferred orientation from integrated intensities and a correct structure; ``None`` without any.

    Scale, coordinates and displacements are fitted without a texture, and with one along each of 16 axes of low index.
    The best is accepted if the Bayesian information criterion decreases by 10 beyond the cost of choosing an axis.

    Args:
        crystal: structure, in any setting.
        areas: integrated intensities.

    Raises:
        ConventionError: the structure has another lattice.
        DataError: there are fewer areas than parameters.
    """
    here = areas_in_setting(areas, crystal)
    plain = fit_areas(crystal, here)
    axes = distinct_axes(crystal.group)
    # the predicted gain of a small texture selects the axes
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
    """List axes of low index that are not equivalent in the Laue class."""
    rotations = laue_rotations(group)
    found: dict[tuple, tuple[int, int, int]] = {}
    for axis in AXES:
        found.setdefault(max(map(tuple, (np.array(axis) @ rotations).tolist())), axis)
    return tuple(found.values())
