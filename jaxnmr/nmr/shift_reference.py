"""`ShiftReference`: chemical shifts from shieldings and vice versa; `CouplingCalibration`: the same for J couplings."""

from collections.abc import Iterable
from typing import Self

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._arguments import checked
from .._arrays import is_concrete
from .._struct import Struct, set_fields
from ..errors import ConventionError, DataError, ShapeError
from ..typing import Array, Numbers, Values

# By name, reference_ppm and slope for shieldings in the usual sign, of valence electrons only.
# nmrcryspy (github.com/mVenetos97/nmrcryspy, nmrcryspy/nmr/__init__.py) has shift = 0.8292 T - 437.69 ppm for every principal
# component of VASP's output without core electrons, T = dB_induced/dB: MINUS the shielding. Alpha quartz has T of about
# 395 to 398.5 ppm in the underlying data (see `jaxnmr.models.data.tensor_data.read_si_nmr`): -110 to -107 ppm, measured
# -107.4.
PUBLISHED_SHIFTS = {"nmrcryspy/29Si": (-437.69, -0.8292)}
# offset_hz and slope; the same file gives J = 1.4217 J_calculated + 3.7953 Hz for 29Si-O-29Si
PUBLISHED_COUPLINGS = {"nmrcryspy/29Si-O-29Si": (3.7953, 1.4217)}


@checked
class ShiftReference(Struct):
    """``shift = reference_ppm + slope * shielding``, for isotropic values and for tensors; both numbers can be refined.

    Attributes:
        reference_ppm: the shift at zero shielding, approximately the shielding of the reference compound.
        slope: -1 by definition; regressions of computed shieldings on measured shifts give -0.9 to -1.1.

    Example:
        >>> reference = jn.ShiftReference(337.3, slope=-1.0)
        >>> round(float(reference.shift(445.0)), 2)
        -107.7
        >>> fitted = jn.ShiftReference.fit([440.0, 445.0, 450.0], [-103.0, -107.5, -112.0])
        >>> round(float(fitted.slope), 2)
        -0.9
    """

    reference_ppm: Values
    slope: Values

    def __init__(self, reference_ppm: Values, slope: Values = -1.0) -> None:
        """Accept numbers or traced values.

        Raises:
            ConventionError: values that are not finite, or a slope of zero.
        """
        for name, value in (("reference_ppm", reference_ppm), ("slope", slope)):
            if is_concrete(value) and not np.isfinite(np.asarray(value, dtype=float)).all():
                raise ConventionError(f"{name} is {value}; expected a finite number")
        if is_concrete(slope) and not np.asarray(slope).all():
            raise ConventionError("slope is 0: every nucleus would have the same shift; expected about -1")
        set_fields(self, reference_ppm=reference_ppm, slope=slope)

    @classmethod
    @checked
    def from_shielding(cls, reference_shielding_ppm: Values) -> Self:
        """Apply ``shift = (s_ref - s)/(1 - s_ref)`` in ppm, with the reference compound's absolute shielding.

        Source: R. K. Harris et al., Pure Appl. Chem. 80, 59 (2008).
        """
        scale = 1.0 - 1e-6 * reference_shielding_ppm
        return cls(reference_shielding_ppm / scale, -1.0 / scale)

    @classmethod
    @checked
    def published(cls, name: str, *, core_ppm: float = 0.0) -> Self:
        """Return a published regression; it is specific to one program, functional and type of compound.

        Args:
            name: ``"nmrcryspy/29Si"``: silica, VASP with PBE.
            core_ppm: contribution of the core electrons included in the shieldings it will be applied to: 0 for those
                of valence electrons only; 838 for models trained on data of
                :func:`jaxnmr.models.data.tensor_data.read_si_nmr`, which adds it.

        Raises:
            ConventionError: a name that is not in the table.
        """
        reference_ppm, slope = _published(PUBLISHED_SHIFTS, name)
        return cls(reference_ppm - slope * core_ppm, slope)

    @classmethod
    @checked
    def fit(cls, shielding_ppm: Numbers, shift_ppm: Numbers, *, slope: float | None = None) -> Self:
        """Fit measured shifts against computed isotropic shieldings by least squares (host).

        Args:
            shielding_ppm, shift_ppm: ``(sites,)``.
            slope: fixed at this value; fitted by default.

        Raises:
            ShapeError: arrays of different lengths.
            DataError: too few different shieldings, or values that are not finite.
        """
        return cls(*_line("shieldings", shielding_ppm, "shifts", shift_ppm, slope))

    @checked
    def shift(self, shielding_ppm: Numbers) -> Float[Array, "*n"]:
        """Convert isotropic shieldings to isotropic shifts, any shape, ppm."""
        return self.reference_ppm + self.slope * jnp.asarray(shielding_ppm)

    @checked
    def shielding(self, shift_ppm: Numbers) -> Float[Array, "*n"]:
        """Convert isotropic shifts to isotropic shieldings, any shape, ppm."""
        return (jnp.asarray(shift_ppm) - self.reference_ppm) / self.slope

    @checked
    def shift_tensor(self, shielding_ppm: Numbers) -> Float[Array, "*n 3 3"]:
        """Convert shielding tensors to shift tensors ``reference 1 + slope sigma``, ppm.

        Simulators need the anisotropy of the corresponding SHIELDING: ``-shift_tensor(sigma)``.
        """
        return self.reference_ppm * _unity(shielding_ppm) + self.slope * jnp.asarray(shielding_ppm)

    @checked
    def shielding_tensor(self, shift_ppm: Numbers) -> Float[Array, "*n 3 3"]:
        """Convert shift tensors to shielding tensors, ppm."""
        return (jnp.asarray(shift_ppm) - self.reference_ppm * _unity(shift_ppm)) / self.slope


def reference_of(element: str, references: Iterable[tuple[str, float, float]]) -> ShiftReference:
    """Return a model's shift reference for an element.

    Args:
        element: ``"Si"``.
        references: all references of the model, ``(element, reference_ppm, slope)``.

    Raises:
        ConventionError: none for this element.
    """
    for other, reference_ppm, slope in references:
        if other == element:
            return ShiftReference(reference_ppm, slope)
    raise ConventionError(
        f"the model has no shift reference of {element}: give reference=ShiftReference(ppm), such as one fitted with "
        "ShiftReference.fit"
    )


@checked
class CouplingCalibration(Struct):
    """``J = offset_hz + slope * J_calculated``, isotropic couplings in Hz; both numbers can be refined.

    Attributes:
        offset_hz: Hz.
        slope: 1 for exact calculations.

    Example:
        >>> round(float(jn.CouplingCalibration(offset_hz=3.8, slope=1.42).coupling(-10.0)), 2)
        -10.4
    """

    offset_hz: Values
    slope: Values

    @classmethod
    @checked
    def published(cls, name: str) -> Self:
        """Return a published regression; it is specific to one program, functional and type of coupling.

        Args:
            name: ``"nmrcryspy/29Si-O-29Si"``: couplings across one O in silica.

        Raises:
            ConventionError: a name that is not in the table.
        """
        offset_hz, slope = _published(PUBLISHED_COUPLINGS, name)
        return cls(offset_hz=offset_hz, slope=slope)

    @classmethod
    @checked
    def fit(cls, calculated_hz: Numbers, measured_hz: Numbers, *, slope: float | None = None) -> Self:
        """Fit measured couplings against calculated ones by least squares (host); as :meth:`ShiftReference.fit`."""
        offset_hz, slope = _line("calculated couplings", calculated_hz, "measured ones", measured_hz, slope)
        return cls(offset_hz=offset_hz, slope=slope)

    @checked
    def coupling(self, calculated_hz: Numbers) -> Float[Array, "*n"]:
        """Predict measured couplings from calculated ones, Hz, any shape."""
        return self.offset_hz + self.slope * jnp.asarray(calculated_hz)

    @checked
    def calculated(self, coupling_hz: Numbers) -> Float[Array, "*n"]:
        """Return the calculated couplings that correspond to measured ones, Hz, any shape."""
        return (jnp.asarray(coupling_hz) - self.offset_hz) / self.slope


def _published(table: dict[str, tuple[float, float]], name: str) -> tuple[float, float]:
    if name not in table:
        raise ConventionError(f"no published regression {name!r}; there is {', '.join(table)}")
    return table[name]


def _line(of_x: str, x_values: Numbers, of_y: str, y_values: Numbers, slope: float | None) -> tuple[float, float]:
    """Return offset and slope of the least-squares line through measured values y."""
    x, y = np.asarray(x_values, dtype=float), np.asarray(y_values, dtype=float)
    if x.ndim != 1 or x.shape != y.shape:
        raise ShapeError(f"{x.shape} {of_x} and {y.shape} {of_y}; expected two lists of the same length")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise DataError(f"{of_x} and {of_y} must be finite numbers")
    if len(x) < 1 or (slope is None and np.ptp(x) == 0):
        raise DataError(f"{len(x)} {of_x}, all the same, cannot give a slope; give slope= or more of them")
    if slope is None:
        slope = float(np.sum((x - x.mean()) * (y - y.mean())) / np.sum((x - x.mean()) ** 2))
    return float(y.mean() - slope * x.mean()), slope


def _unity(tensor: Numbers) -> Float[Array, "3 3"]:
    if np.shape(tensor)[-2:] != (3, 3):
        raise ShapeError(f"a tensor has the shape {np.shape(tensor)}; expected (..., 3, 3)")
    return jnp.eye(3, dtype=jnp.asarray(tensor).dtype)
