"""Parts added to a background: broad peaks, humps of short-range order, a measured curve (shapes are traceable)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Float

from .._arguments import checked
from ..errors import ConventionError
from ..typing import Array, Quantity

# limits of peak widths in degrees and of distances in Å; anything outside is a Bragg peak or not visible
NARROWEST_DEG, DISTANCES, LARGEST_U = 0.05, (0.3, 100.0), 10.0
PREFIX = "background_"


@checked
@dataclass(frozen=True)
class BroadPeak:
    """A broad peak of the background, for example of a sample holder, a glass or a polymer.

    Attributes:
        position: 2theta in degrees.
        fwhm: full width at half maximum in degrees.
        height: in counts; estimated from the data if ``None``.
        mixing: Lorentzian fraction of the pseudo-Voigt, 0 for a Gaussian.
    """

    position: float
    fwhm: float
    height: float | None = None
    mixing: float = 0.0

    def __post_init__(self) -> None:
        if not self.fwhm >= NARROWEST_DEG:
            raise ConventionError(
                f"a broad peak has the fwhm {self.fwhm:g}; expected degrees, at least {NARROWEST_DEG:g}"
            )
        if not 0.0 <= self.mixing <= 1.0:
            raise ConventionError(f"mixing of a broad peak is {self.mixing:g}; expected 0 (Gaussian) to 1 (Lorentzian)")
        if self.height is not None and not self.height >= 0.0:
            raise ConventionError(f"a broad peak has the height {self.height:g}; expected counts, from 0 on")


@checked
@dataclass(frozen=True)
class DebyeHump:
    """Diffuse scattering by pairs of atoms at one distance, ``A sin(QR)/(QR) exp(-U Q²/2)``.

    Attributes:
        radius: the distance R in Å.
        u: mean squared deviation U of the distance in Å².
        amplitude: A in counts; estimated from the data if ``None``.

    Source: Debye, Ann. Phys. 351, 809 (1915).
    """

    radius: float
    u: float = 0.05
    amplitude: float | None = None

    def __post_init__(self) -> None:
        if not DISTANCES[0] <= self.radius <= DISTANCES[1]:
            raise ConventionError(
                f"a hump has the radius {self.radius:g} Å; expected a distance from {DISTANCES[0]:g} to {DISTANCES[1]:g} Å"
            )
        if not 0.0 <= self.u <= LARGEST_U:
            raise ConventionError(f"a hump has U = {self.u:g} Å²; expected 0 to {LARGEST_U:g} Å²")


def peak_shapes(
    x: Float[Array, " points"], position: Float[Array, " n"], fwhm: Float[Array, " n"], mixing: Float[Array, " n"]
) -> Float[jax.Array, "points n"]:
    """Evaluate pseudo-Voigt functions of height 1 (traceable)."""
    t = 4.0 * ((jnp.asarray(x)[:, None] - position) / fwhm) ** 2
    return jnp.asarray(mixing) / (1.0 + t) + (1.0 - mixing) * jnp.exp2(-t)


def hump_shapes(
    x: Float[Array, " points"], wavelength: Float[Array, ""] | float, radius: Float[Array, " n"], u: Float[Array, " n"]
) -> Float[jax.Array, "points n"]:
    """Evaluate ``sin(QR)/(QR) exp(-U Q²/2)`` at 2theta in degrees, ``Q = 4 pi sin(theta)/lambda`` (traceable)."""
    q = 4.0 * np.pi * jnp.sin(jnp.deg2rad(0.5 * jnp.asarray(x)))[:, None] / wavelength
    # JAX's sinc includes a factor pi
    return jnp.sinc(q * radius / np.pi) * jnp.exp(-0.5 * u * q**2)


def numbers(values: Mapping[str, Array]) -> dict[str, Array]:
    """Select the values of a histogram on which the additional parts depend."""
    own = {name: value for name, value in values.items() if name.startswith(PREFIX)}
    return own | {"wavelength": values["wavelength"]} if f"{PREFIX}debye_radius" in own else own


def added(
    x: Float[Array, " points"], own: Mapping[str, Array], measured: Float[Array, "points curves"]
) -> dict[str, Float[jax.Array, "points n"]]:
    """Evaluate the additional parts by kind, one column each (traceable).

    Args:
        x: 2theta in degrees.
        own: as returned by :func:`numbers`.
        measured: a measured curve, or no columns.
    """
    of = lambda name: jnp.asarray(own[PREFIX + name])
    out = {}
    if f"{PREFIX}peak_height" in own:
        out["peak"] = of("peak_height") * peak_shapes(x, of("peak_position"), of("peak_fwhm"), of("peak_mixing"))
    if f"{PREFIX}debye_radius" in own:
        shapes = hump_shapes(x, jnp.asarray(own["wavelength"])[0], of("debye_radius"), of("debye_u"))
        out["Debye"] = of("debye_amplitude") * shapes
    if f"{PREFIX}scale" in own:
        out["measured"] = of("scale") * jnp.asarray(measured)
    return out


def total(
    x: Float[Array, " points"], own: Mapping[str, Array], measured: Float[Array, "points curves"]
) -> Float[jax.Array, " points"]:
    """Sum all additional parts; ``own`` must not be empty (traceable)."""
    return jnp.concatenate(list(added(x, own, measured).values()), axis=1).sum(axis=1)


def slopes(
    x: Float[Array, " points"], own: Mapping[str, Array], measured: Float[Array, "points curves"]
) -> Float[jax.Array, "points numbers"]:
    """Return the derivatives of :func:`total` with respect to its numbers in ``ravel_pytree`` order (traceable)."""
    flat, rebuild = ravel_pytree(own)
    return jax.jacfwd(lambda z: total(x, rebuild(z), measured))(flat)


def part_quantities(
    peaks: tuple[BroadPeak, ...],
    humps: tuple[DebyeHump, ...],
    scale: float | None,
    low: float,
    high: float,
    level: float,
) -> dict[str, Quantity]:
    """Return the refinable quantities of the additional parts, by local name (host).

    Args:
        peaks, humps: with heights and amplitudes.
        scale: of the measured curve; ``None`` without one.
        low, high: the fitted range in degrees.
        level: size of a typical change in counts.
    """

    def listed(
        parts: tuple[Any, ...],
        field: str,
        unit: str,
        scale: float,
        doc: str,
        lower: float = -np.inf,
        upper: float = np.inf,
    ) -> Quantity:
        return Quantity(
            value=np.array([getattr(part, field) or 0.0 for part in parts], dtype=float), unit=unit,
            labels=tuple(str(k) for k in range(len(parts))), lower=lower, upper=upper, scale=scale,
            intensity=field in ("height", "amplitude"), doc=doc,
        )  # fmt: skip

    table: dict[str, Quantity] = {}
    if peaks:
        range_ = high - low
        table |= {
            "peak_position": listed(peaks, "position", "°", 0.3, "2theta of a broad peak", lower=low, upper=high),
            "peak_height": listed(peaks, "height", "counts", level, "height of a broad peak", lower=0.0),
            "peak_fwhm": listed(
                peaks, "fwhm", "°", 0.3, "width of a broad peak", lower=NARROWEST_DEG, upper=max(2 * range_, 1.0)
            ),
            "peak_mixing": listed(peaks, "mixing", "", 0.1, "Lorentzian part of a broad peak", lower=0.0, upper=1.0),
        }
    if humps:
        table |= {
            "debye_amplitude": listed(humps, "amplitude", "counts", level, "amplitude of diffuse scattering"),
            "debye_radius": listed(
                humps, "radius", "Å", 0.05, "distance of atoms in diffuse scattering", lower=DISTANCES[0], upper=DISTANCES[1]
            ),
            "debye_u": listed(
                humps, "u", "Å²", 0.02, "mean squared deviation of that distance", lower=0.0, upper=LARGEST_U
            ),
        }  # fmt: skip
    if scale is not None:
        table["scale"] = Quantity(
            np.array(float(scale)), lower=0.0, scale=0.05, intensity=True, doc="scale of the measured background"
        )
    return {PREFIX + name: quantity for name, quantity in table.items()}
