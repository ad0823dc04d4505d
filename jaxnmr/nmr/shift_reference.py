"""`ShiftReference`: chemical shifts from shieldings, and back."""

from typing import Self

import jax.numpy as jnp
import numpy as np

from .._struct import set_fields, struct
from ..errors import ConventionError, DataError, ShapeError
from ..typing import Array
from .tensors import known


@struct
class ShiftReference:
    """``shift = reference_ppm + slope * shielding``, for isotropic values and for tensors; both numbers can be refined.

    Attributes:
        reference_ppm: the shift of a nucleus without shielding: the shielding of the reference compound, about.
        slope: -1 by definition; regressions of computed shieldings on measured shifts give -0.9 to -1.1.
    """

    reference_ppm: Array
    slope: Array

    def __init__(self, reference_ppm, slope=-1.0):
        """Numbers or traced values.

        Raises:
            ConventionError: values that are not finite, or a slope of zero.
        """
        for name, value in (("reference_ppm", reference_ppm), ("slope", slope)):
            if known(value) and not np.isfinite(np.asarray(value, dtype=float)).all():
                raise ConventionError(f"{name} is {value}; expected a finite number")
        if known(slope) and not np.asarray(slope).all():
            raise ConventionError("slope is 0: every nucleus would have the same shift; expected about -1")
        set_fields(self, reference_ppm=reference_ppm, slope=slope)

    @classmethod
    def from_shielding(cls, reference_shielding_ppm) -> Self:
        """The definition, ``shift = (s_ref - s)/(1 - s_ref)`` in ppm, of a reference compound's absolute shielding.

        Source: R. K. Harris et al., Pure Appl. Chem. 80, 59 (2008).
        """
        scale = 1.0 - 1e-6 * reference_shielding_ppm
        return cls(reference_shielding_ppm / scale, -1.0 / scale)

    @classmethod
    def fit(cls, shielding_ppm, shift_ppm, *, slope: float | None = None) -> Self:
        """Least squares of measured shifts against computed isotropic shieldings (host).

        Args:
            shielding_ppm, shift_ppm: ``(sites,)``.
            slope: held at this value; fitted by default.

        Raises:
            ShapeError: arrays of different lengths.
            DataError: too few different shieldings, or values that are not finite.
        """
        s, d = np.asarray(shielding_ppm, dtype=float), np.asarray(shift_ppm, dtype=float)
        if s.ndim != 1 or s.shape != d.shape:
            raise ShapeError(f"{s.shape} shieldings and {d.shape} shifts; expected two lists of the same length")
        if not (np.isfinite(s).all() and np.isfinite(d).all()):
            raise DataError("shieldings and shifts must be finite numbers")
        if len(s) < 1 or (slope is None and np.ptp(s) == 0):
            raise DataError(f"{len(s)} sites of one shielding cannot give a slope; give slope=-1 or more sites")
        if slope is None:
            slope = float(np.sum((s - s.mean()) * (d - d.mean())) / np.sum((s - s.mean()) ** 2))
        return cls(float(d.mean() - slope * s.mean()), slope)

    def shift(self, shielding_ppm) -> Array:
        """Isotropic shifts of isotropic shieldings, any shape, ppm."""
        return self.reference_ppm + self.slope * jnp.asarray(shielding_ppm)

    def shielding(self, shift_ppm) -> Array:
        """Isotropic shieldings of isotropic shifts, any shape, ppm."""
        return (jnp.asarray(shift_ppm) - self.reference_ppm) / self.slope

    def shift_tensor(self, shielding_ppm) -> Array:
        """Shift tensors ``reference 1 + slope sigma`` of shielding tensors, ``(..., 3, 3)``, ppm.

        Simulators ask for the anisotropy of the SHIELDING that belongs to it: ``-shift_tensor(sigma)``.
        """
        return self.reference_ppm * _unity(shielding_ppm) + self.slope * jnp.asarray(shielding_ppm)

    def shielding_tensor(self, shift_ppm) -> Array:
        """Shielding tensors of shift tensors, ``(..., 3, 3)``, ppm."""
        return (jnp.asarray(shift_ppm) - self.reference_ppm * _unity(shift_ppm)) / self.slope


def _unity(tensor) -> Array:
    if np.shape(tensor)[-2:] != (3, 3):
        raise ShapeError(f"a tensor has the shape {np.shape(tensor)}; expected (..., 3, 3)")
    return jnp.eye(3, dtype=jnp.asarray(tensor).dtype)
