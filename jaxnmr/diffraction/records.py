"""Measured data and their instrument: the `Pattern` and `Instrument` records."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import numpy as np
from jaxtyping import Bool, Float

from .._arguments import checked
from .._struct import Struct, static
from .._warn import warn
from ..errors import ConventionError, DataError, ShapeError
from ..typing import Array, Numbers
from ..units import photon_energy_ev

# radii of goniometers and cameras
RADII_MM = (25.0, 2e4)
# Kα1, the mean and Kα2 of the usual tubes in Å (International Tables C, 4.2.2)
TUBES = {
    "Cu": (1.540593, 1.5418, 1.544427), "Mo": (0.709317, 0.71073, 0.713607), "Co": (1.788996, 1.7903, 1.792835),
    "Fe": (1.936041, 1.9373, 1.939973), "Cr": (2.289746, 2.291, 2.293651), "Ag": (0.559422, 0.5608, 0.563813),
}  # fmt: skip
_LINES = tuple(line for tube in TUBES.values() for line in tube)
_LONGEST_XRAY = 4.0


@dataclass(frozen=True)
class Fixed:
    """Properties of an `Instrument` that no refinement changes; patterns with equal ones share a compiled program.

    Attributes:
        radiation, geometry, radius_mm: as for `Instrument`.
        lines: number of wavelengths.
        monochromator: whether a crystal monochromator polarises.
        axial_imbalance: ``|S - H|/(S + H)``.
        divergence_slit: as for `Instrument`.
    """

    radiation: Literal["xray", "neutron"]
    geometry: Literal["bragg-brentano", "debye-scherrer"]
    radius_mm: float
    lines: int
    monochromator: bool
    axial_imbalance: float
    divergence_slit: Literal["fixed", "automatic"] = "fixed"


@checked
@dataclass(frozen=True)
class Instrument:
    """A constant-wavelength diffractometer: fixed geometry, and starting values of refinable quantities.

    Attributes:
        radiation: ``"xray"`` or ``"neutron"``.
        wavelengths: one wavelength in Å, or two (Kα1, Kα2).
        ratio: intensity of the second wavelength relative to the first.
        geometry: ``"bragg-brentano"`` or ``"debye-scherrer"``.
        radius_mm: goniometer radius in mm.
        polarization: fraction of the beam polarised perpendicular to the diffraction plane
            (0.5: unpolarised laboratory tube, about 0.99: synchrotron). Not used for neutrons.
        monochromator_deg: 2theta of a crystal monochromator, in the incident or the diffracted beam; replaces
            ``polarization`` if given.
        divergence_slit: ``"fixed"``, or ``"automatic"``: opens with the angle so that a constant length of a flat
            specimen is irradiated, and the calculated peaks are multiplied by sin(theta). ``None`` means fixed, unless
            the file of a pattern says otherwise.
        zero: 2theta offset in degrees, added to the calculated position.
        U, V, W: Gaussian variance, ``U tan² + V tan + W`` in centidegree² (GSAS convention).
        X, Y, Z: Lorentzian FWHM, ``X / cos + Y tan + Z`` in centidegree.
        shl: axial divergence ``(S + H)/L``.
        axial_ratio: ``S/H``, height of the specimen over that of the receiving slit.
        mu_r: absorption coefficient times radius of a capillary (Debye-Scherrer only).
        optics: other optical elements in the beam according to the file, for reports.
        name: its origin, for example a file name.

    Example:
        >>> synchrotron = jn.Instrument(wavelengths=(0.4139,), geometry="debye-scherrer", polarization=0.99)
        >>> synchrotron.replace(zero=0.01).zero
        0.01
    """

    radiation: Literal["xray", "neutron"] = "xray"
    wavelengths: tuple[float, ...] = ()
    ratio: float = 0.5
    geometry: Literal["bragg-brentano", "debye-scherrer"] = "bragg-brentano"
    radius_mm: float = 200.0
    polarization: float = 0.5
    monochromator_deg: float | None = None
    divergence_slit: Literal["fixed", "automatic"] | None = None
    zero: float = 0.0
    U: float = 2.0
    V: float = -2.0
    W: float = 5.0
    X: float = 0.0
    Y: float = 0.0
    Z: float = 0.0
    shl: float = 0.002
    axial_ratio: float = 1.0
    mu_r: float = 0.0
    optics: tuple[str, ...] = field(default=(), compare=False)
    name: str = field(default="instrument", compare=False)

    def __post_init__(self) -> None:
        if self.radiation not in ("xray", "neutron"):
            raise ConventionError(f"radiation is {self.radiation!r}; expected 'xray' or 'neutron'")
        if self.geometry not in ("bragg-brentano", "debye-scherrer"):
            raise ConventionError(f"geometry is {self.geometry!r}; expected 'bragg-brentano' or 'debye-scherrer'")
        if len(self.wavelengths) not in (0, 1, 2):
            raise ConventionError(f"{len(self.wavelengths)} wavelengths; expected one, or two for a Kα doublet")
        for wavelength in self.wavelengths:
            if not 0.05 < wavelength < 20.0:
                raise ConventionError(f"wavelength {wavelength:g} Å; expected between 0.05 and 20 Å (not nm, not keV)")
        if len(self.wavelengths) == 2 and self.radiation == "xray":
            first, second = self.wavelengths
            # no doublet of a tube is further apart than this, but λ/2 and Kβ are
            if 1.0 < first / second < 1.02 and self.ratio < 1.0:
                raise ConventionError(
                    f"the wavelengths {first:g} and {second:g} Å are Kα2 before Kα1: the shorter one is the stronger; give "
                    f"wavelength = [{second:g}, {first:g}]"
                )
            if 1.0 < second / first < 1.02 and self.ratio > 1.0:
                raise ConventionError(
                    f"ratio is {self.ratio:g}, the intensity of Kα2 ({second:g} Å) over that of Kα1: expected about 0.5"
                )
        if self.divergence_slit not in (None, "fixed", "automatic"):
            raise ConventionError(f"divergence_slit is {self.divergence_slit!r}; expected 'fixed' or 'automatic'")
        if self.divergence_slit == "automatic" and self.geometry == "debye-scherrer":
            raise ConventionError(
                "an automatic divergence slit keeps the irradiated length of a flat specimen constant, and the geometry is "
                "'debye-scherrer'; give divergence_slit = 'fixed', or the geometry 'bragg-brentano'"
            )
        if not self.radius_mm > 0:
            raise ConventionError(f"goniometer radius is {self.radius_mm:g} mm; expected a positive length")
        if not RADII_MM[0] <= self.radius_mm <= RADII_MM[1]:
            unit, factor = (
                ("m", 1e3) if self.radius_mm < 3.0 else ("cm", 10.0) if self.radius_mm < RADII_MM[0] else ("µm", 1e-3)
            )
            raise ConventionError(
                f"goniometer radius is {self.radius_mm:g} mm; expected {RADII_MM[0]:g} to {RADII_MM[1]:g}. Is it in {unit}? Then give "
                f"radius_mm = {factor * self.radius_mm:g}"
            )
        if not 0.0 <= self.polarization <= 1.0:
            raise ConventionError(f"polarization is {self.polarization:g}; expected between 0 and 1")
        if self.monochromator_deg is not None and not 0.0 <= self.monochromator_deg < 180.0:
            raise ConventionError(
                f"monochromator_deg is {self.monochromator_deg:g}; expected 2theta, from 0 to 180 degrees"
            )
        if self.monochromator_deg is not None and 0.0 < self.monochromator_deg < 2.0:
            raise ConventionError(
                f"monochromator_deg is {self.monochromator_deg:g}: is it in radians? Then it is "
                f"{np.degrees(self.monochromator_deg):.4g}; 2theta in degrees is 26.6 for graphite and Cu Kα"
            )
        if self.shl < 0 or self.ratio < 0:
            raise ConventionError(f"shl is {self.shl:g} and ratio {self.ratio:g}; neither can be negative")
        if len(self.wavelengths) == 1 and self.ratio != Instrument.ratio:
            raise ConventionError(
                f"ratio is {self.ratio:g}, the intensity of a second wavelength, and there is one: give both wavelengths, or leave "
                "ratio out"
            )
        if self.mu_r < 0:
            raise ConventionError(f"mu_r is {self.mu_r:g}, the absorption of a capillary; it cannot be negative")
        if not 0.0 < self.axial_ratio < np.inf:
            raise ConventionError(f"axial_ratio (S/H) is {self.axial_ratio:g}; expected a positive number")

    @property
    def axial_imbalance(self) -> float:
        """``|S - H|/(S + H)``; exchanging specimen and slit changes nothing."""
        return abs(self.axial_ratio - 1.0) / (self.axial_ratio + 1.0)

    @property
    def fixed(self) -> Fixed:
        """The part without starting values."""
        return Fixed(
            radiation=self.radiation, geometry=self.geometry, radius_mm=self.radius_mm, lines=len(self.wavelengths),
            monochromator=self.monochromator_deg is not None, axial_imbalance=self.axial_imbalance,
            divergence_slit=self.divergence_slit or "fixed",
        )  # fmt: skip

    def replace(self, **changes: Any) -> "Instrument":
        """Return a checked copy with some values changed; the ratio of two lines is dropped along with the second line."""
        lines = changes.get("wavelengths", (0, 0))
        if isinstance(lines, list | tuple) and len(lines) < 2:
            changes = {"ratio": Instrument.ratio} | changes
        return replace(self, **changes)

    def require_wavelength(self) -> "Instrument":
        """Return this instrument, or raise `ConventionError` if its wavelength is missing or looks like nm or keV.

        Units are checked here, where everything is known: a wavelength may be set before radiation and geometry.
        """
        if not self.wavelengths:
            raise ConventionError(
                f"{self.name} has no wavelength: give wavelength = 1.5406 (Å), or two for Kα1 and Kα2, "
                "or an instrument file"
            )
        for wavelength in self.wavelengths if self.radiation == "xray" else ():
            _require_angstroms(wavelength, tube=self.geometry == "bragg-brentano")
        return self


def _require_angstroms(wavelength: float, *, tube: bool) -> None:
    """Refuse X-ray wavelengths that are lines of tubes in nm, or energies.

    Raises:
        ConventionError: suggests the wavelength that may be meant.
    """
    nearest = min(_LINES, key=lambda line: abs(10.0 * wavelength / line - 1.0))
    if tube and abs(10.0 * wavelength / nearest - 1.0) < 1e-3:
        raise ConventionError(
            f"wavelength {wavelength:g} Å with a flat specimen: is it {10.0 * wavelength:g} Å, a line of an X-ray tube, in nm? If not, give "
            "geometry = 'debye-scherrer'"
        )
    if wavelength > _LONGEST_XRAY:
        raise ConventionError(
            f"X-ray wavelength {wavelength:g} Å; expected up to {_LONGEST_XRAY:g} Å. Is it an energy in keV? Then give "
            f"{1e-3 * photon_energy_ev(wavelength):.5g} Å"
        )


class Pattern(Struct):
    """A measured powder pattern. Immutable; use :meth:`create` to build one.

    Attributes:
        x: 2theta in degrees, strictly increasing.
        y: intensity (counts, or any linear scale).
        sigma: standard uncertainty of ``y``, positive.
        excluded: ``((low, high), ...)`` regions in degrees that are not fitted.
        name: its origin, for example a file name.
        instrument: information on the diffractometer from the file, or ``None``.
        notes: sentences on how the data were read that readers of a result must know.

    Example:
        >>> measured = jn.Pattern.create(x=[10.0, 10.1, 10.2, 10.3], y=[52.0, 61.0, 57.0, 50.0])
        >>> measured.sigma.round(2)
        array([7.21, 7.81, 7.55, 7.07])
        >>> measured.excluding((10.15, 10.25)).included()
        array([ True,  True, False,  True])
    """

    x: Float[Array, " points"]
    y: Float[Array, " points"]
    sigma: Float[Array, " points"]
    excluded: tuple[tuple[float, float], ...] = static()
    name: str = static()
    instrument: Instrument | None = static()
    notes: tuple[str, ...] = static(note=True, default=())

    @classmethod
    @checked
    def create(
        cls,
        x: Numbers,
        y: Numbers,
        sigma: Numbers | None = None,
        *,
        excluded: Iterable[tuple[float, float]] = (),
        name: str = "pattern",
        instrument: Instrument | None = None,
        notes: Iterable[str] = (),
    ) -> Self:
        """Build and check a pattern.

        Args:
            x: 2theta in degrees, strictly increasing.
            y: intensities, finite; negative ones (net intensities) need uncertainties.
            sigma: standard uncertainties; by default ``sqrt(max(y, 1))`` (counting statistics).
            excluded: ``(low, high)`` pairs in degrees.
            name: shown in reports.
            instrument: the diffractometer, if known.
            notes: on how it was read.

        Raises:
            ShapeError: different lengths, or fewer than 3 points.
            DataError: non-finite values, negative ones without sigma, non-positive sigma, 2theta unsorted, duplicated or
                outside (-180, 180) degrees.
        """
        x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
        if x.ndim != 1 or x.shape != y.shape:
            raise ShapeError(
                f"{name}: 2theta {x.shape} and intensity {y.shape} must be one-dimensional and equally long"
            )
        if len(x) < 3:
            raise ShapeError(f"{name}: a pattern of {len(x)} points cannot be refined against")
        if len(x) >= 20 and 0.0 < x[0] and 0.5 < x[-1] <= np.pi and np.isfinite(x).all():
            warn(
                f"{name}: 2theta runs from {x[0]:g} to {x[-1]:g} degrees. Is it in radians? Then give np.degrees(x); or in other units, "
                "Q or d, to be converted",
            )
        counted = sigma is None
        sigma = np.sqrt(np.maximum(y, 1.0)) if sigma is None else np.asarray(sigma, dtype=float)
        if sigma.shape != x.shape:
            raise ShapeError(
                f"{name}: uncertainties of the shape {sigma.shape} for {len(x)} points; expected one for each"
            )
        for label, values in (("2theta", x), ("intensity", y), ("uncertainty", sigma)):
            if not np.isfinite(values).all():
                k = int(np.flatnonzero(~np.isfinite(values))[0])
                raise DataError(f"{name}: {label} is {values[k]} at point {k + 1}; remove or repair that point")
        if (np.diff(x) <= 0).any():
            k = int(np.flatnonzero(np.diff(x) <= 0)[0])
            word = "repeated" if x[k + 1] == x[k] else "not sorted"
            raise DataError(
                f"{name}: 2theta is {word} at points {k + 1} and {k + 2} ({x[k]:g}, {x[k + 1]:g}); "
                "sort the points and merge duplicates"
            )
        if x[0] <= -180 or x[-1] >= 180:
            raise DataError(f"{name}: 2theta runs from {x[0]:g} to {x[-1]:g}; expected degrees between -180 and 180")
        if counted and (y < 0).any():
            k = int(np.flatnonzero(y < 0)[0])
            raise DataError(
                f"{name}: negative intensity {y[k]:g} at 2theta {x[k]:g}; counts cannot be negative "
                "(do not subtract the background: refine it; or give the uncertainties of net intensities)"
            )
        if (sigma <= 0).any():
            k = int(np.flatnonzero(sigma <= 0)[0])
            raise DataError(
                f"{name}: uncertainty {sigma[k]:g} (weight zero or infinite) at 2theta {x[k]:g}; give a positive one, "
                "or exclude that region"
            )
        if any(np.shape(region) != (2,) for region in excluded):
            raise DataError(f"{name}: excluded is {excluded!r}; expected a list of (low, high): [(14.0, 18.0)]")
        regions = tuple((float(low), float(high)) for low, high in excluded)
        for low, high in regions:
            if not low < high:
                raise DataError(f"{name}: excluded region ({low:g}, {high:g}) is empty; give (low, high)")
        return cls(x=x, y=y, sigma=sigma, excluded=regions, name=name, instrument=instrument, notes=tuple(notes))

    @checked
    def limited(self, low: float | None = None, high: float | None = None) -> Self:
        """Return the part with ``low <= 2theta <= high``.

        Raises:
            DataError: fewer than 3 points are left.
        """
        x = np.asarray(self.x)
        low = x[0] if low is None else low
        high = x[-1] if high is None else high
        keep = (x >= low - 1e-9) & (x <= high + 1e-9)
        if keep.sum() < 3:
            raise DataError(
                f"{self.name}: {int(keep.sum())} points lie between {low:g} and {high:g} degrees; "
                f"the data run from {x[0]:g} to {x[-1]:g}"
            )
        return self.replace(x=x[keep], y=np.asarray(self.y)[keep], sigma=np.asarray(self.sigma)[keep])

    @checked
    def excluding(self, *regions: tuple[float, float]) -> Self:
        """Return a copy with additional excluded regions."""
        return self.create(
            self.x,
            self.y,
            self.sigma,
            excluded=(*self.excluded, *regions),
            name=self.name,
            instrument=self.instrument,
            notes=self.notes,
        )

    def included(self) -> Bool[np.ndarray, " points"]:
        """Return a mask of the fitted points (host)."""
        x = np.asarray(self.x)
        keep = np.ones(x.shape, dtype=bool)
        for low, high in self.excluded:
            keep &= (x < low) | (x > high)
        return keep
