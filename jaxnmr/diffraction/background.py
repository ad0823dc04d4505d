"""Backgrounds: functions linear in their coefficients, prepared as a matrix (host), and additional parts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
from jaxtyping import Float, Real

from .._arguments import checked
from ..errors import ConventionError, DataError
from ..typing import Array, Numbers, Quantity
from . import background_parts as parts
from .background_parts import BroadPeak, DebyeHump
from .records import Pattern

_KINDS = ("chebyshev", "interpolate", "points")


@checked
@dataclass(frozen=True)
class Background:
    """A background function.

    Attributes:
        kind: ``"chebyshev"`` (first kind, on the fitted range scaled to [-1, 1]), ``"interpolate"`` (straight lines
            between knots, with the values there as coefficients) or ``"points"`` (the same through points that are
            given or picked from the data).
        terms: number of coefficients; ``"auto"`` chooses the number of Chebyshev polynomials by the BIC.
        knots: explicit positions in degrees; otherwise spread over the fitted range, or picked.
        spacing: ``"linear"`` or ``"log"`` (geometric) spacing of the knots.
        heights: counts at the knots of points; estimated from the data if not given.
        fixed: whether the heights of points are excluded from refinement.
        peaks, humps: additional broad peaks and diffuse humps.
        measured: an additional pattern of the background alone; ``measured_scale`` multiplies its intensities.
        chosen: whether terms or points were derived from the data, for reports.

    Example:
        >>> glass = jn.Background.chebyshev(4).with_peak(position=22.0, fwhm=7.0)
        >>> glass.kind, glass.terms, len(glass.peaks)
        ('chebyshev', 4, 1)
    """

    kind: Literal["chebyshev", "interpolate", "points"] = "chebyshev"
    terms: int | Literal["auto"] = 6
    knots: tuple[float, ...] = ()
    spacing: Literal["linear", "log"] = "linear"
    heights: tuple[float, ...] = ()
    fixed: bool = False
    peaks: tuple[BroadPeak, ...] = ()
    humps: tuple[DebyeHump, ...] = ()
    measured: Pattern | None = None
    measured_scale: float = 1.0
    chosen: bool = False

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise ConventionError(
                f"background kind is {self.kind!r}; expected 'chebyshev' or 'interpolate', or 'points' through which it goes"
            )
        if self.spacing not in ("linear", "log"):
            raise ConventionError(f"background spacing is {self.spacing!r}; expected 'linear' or 'log'")
        if isinstance(self.terms, str):
            if self.terms != "auto" or self.kind != "chebyshev":
                raise ConventionError(
                    f"a {self.kind} background with {self.terms!r} terms; expected a number, or 'auto' for chebyshev"
                )
        elif self.terms < 1 or (self.kind != "chebyshev" and self.terms < 2):
            raise ConventionError(f"a {self.kind} background with {self.terms} terms is empty")
        if list(self.knots) != sorted(set(self.knots)):
            raise ConventionError(f"background knots must increase strictly; got {self.knots}")
        if self.heights and len(self.heights) != len(self.knots):
            raise ConventionError(
                f"{len(self.heights)} heights for {len(self.knots)} points of a background; expected one for each, or none"
            )
        if not self.measured_scale > 0:
            raise ConventionError(
                f"the scale of a measured background is {self.measured_scale:g}; expected a positive number"
            )

    @classmethod
    @checked
    def chebyshev(cls, terms: int | Literal["auto"]) -> Self:
        """Use ``terms`` Chebyshev polynomials; ``"auto"`` for the optimal number, see `background_choice`."""
        return cls(kind="chebyshev", terms=terms)

    @classmethod
    @checked
    def interpolate(cls, knots: int | Iterable[float], spacing: Literal["linear", "log"] = "linear") -> Self:
        """Interpolate between knots, given as their number or as positions in degrees."""
        if isinstance(knots, int):
            return cls(kind="interpolate", terms=knots, spacing=spacing)
        positions = tuple(float(k) for k in knots)
        return cls(kind="interpolate", terms=len(positions), knots=positions, spacing=spacing)

    @classmethod
    @checked
    def points(cls, points: int | Numbers = 12, *, fixed: bool = False) -> Self:
        """Interpolate linearly between background points.

        Args:
            points: number of points to pick from the data; or ``(points,)`` positions in degrees, or ``(points, 2)``
                positions with counts.
            fixed: do not refine the counts there.

        Raises:
            ConventionError: points that do not increase, or of another shape.
        """
        if isinstance(points, int):
            return cls(kind="points", terms=points, fixed=fixed)
        given = np.asarray(points, dtype=float)
        if given.ndim not in (1, 2) or (given.ndim == 2 and given.shape[1] != 2) or not np.isfinite(given).all():
            raise ConventionError(
                f"points of a background have the shape {given.shape}; expected (points,) angles in degrees, or (points, 2) with counts"
            )
        knots, heights = (given, ()) if given.ndim == 1 else given.T
        return cls(
            kind="points", terms=len(given), knots=tuple(map(float, knots)), heights=tuple(map(float, heights)), fixed=fixed
        )  # fmt: skip

    @checked
    def with_peak(self, position: float, fwhm: float, height: float | None = None, mixing: float = 0.0) -> Self:
        """Return this background with another broad peak, see `BroadPeak`."""
        return replace(self, peaks=(*self.peaks, BroadPeak(position, fwhm, height, mixing)))

    @checked
    def with_hump(self, radius: float, u: float = 0.05, amplitude: float | None = None) -> Self:
        """Return this background with diffuse scattering from another interatomic distance, see `DebyeHump`."""
        return replace(self, humps=(*self.humps, DebyeHump(radius, u, amplitude)))

    @checked
    def with_measured(self, pattern: Pattern, scale: float = 1.0) -> Self:
        """Return this background plus a measured one, such as the pattern of the empty specimen holder.

        Args:
            pattern: over the same range and with the same wavelength; interpolated to the fitted points. Its
                uncertainty is added to that of the specimen's pattern.
            scale: initial scale, for example the ratio of counting times.
        """
        return replace(self, measured=pattern, measured_scale=float(scale))

    @property
    def resolved(self) -> bool:
        """True if no settings remain to be derived from the data."""
        counts = (*(p.height for p in self.peaks), *(h.amplitude for h in self.humps))
        picked = self.kind == "points" and not self.heights
        return not (self.terms == "auto" or picked or None in counts)

    def basis(self, x: Float[np.ndarray, " points"], low: float, high: float) -> Float[np.ndarray, "points terms"]:
        """Evaluate the basis functions at ``x`` for the fitted range ``low`` to ``high``, without the additional parts."""
        if isinstance(self.terms, str):
            raise ConventionError("how many terms the background has is not known before there are data")
        if self.kind == "chebyshev":
            return np.polynomial.chebyshev.chebvander(2.0 * (x - low) / (high - low) - 1.0, self.terms - 1)
        if self.knots:
            knots = np.array(self.knots)
        elif self.spacing == "log":
            if low <= 0:
                raise ConventionError(f"knots cannot be spaced logarithmically from {low:g} degrees; use 'linear'")
            knots = np.geomspace(low, high, self.terms)
        else:
            knots = np.linspace(low, high, self.terms)
        return np.stack([np.interp(x, knots, row) for row in np.eye(self.terms)], axis=1)

    def start(
        self, x: Float[np.ndarray, " points"], y: Real[np.ndarray, " points"], low: float, high: float
    ) -> Float[np.ndarray, " terms"]:
        """Return starting coefficients: given heights, or a least-squares fit to the lower envelope of the data.

        Args:
            y: data minus the additional parts.
        """
        if self.heights:
            return np.array(self.heights)
        basis = self.basis(x, low, high)
        segments = np.array_split(np.arange(len(x)), max(4 * basis.shape[1], 12))
        chosen = np.array([s[np.argsort(y[s])[len(s) // 5]] for s in segments if len(s)])
        return np.linalg.lstsq(basis[chosen], y[chosen], rcond=1e-6)[0]

    def curve(self, x: Float[np.ndarray, " points"]) -> Float[np.ndarray, "points curves"]:
        """Return the measured curve at ``x``, unscaled, as a column; no columns without a measured background (host).

        Raises:
            DataError: it does not cover all of ``x``.
        """
        return self._interpolated(x)[0]

    def added(self, x: Float[np.ndarray, " points"], wavelength: float) -> Float[np.ndarray, " points"]:
        """Return the starting values of the additional parts, including the measured curve (host).

        Args:
            wavelength: the first one, Å.
        """
        scale = None if self.measured is None else self.measured_scale
        own = parts.part_quantities(self.peaks, self.humps, scale, float(x[0]), float(x[-1]), 1.0)
        values = {name: of.value for name, of in own.items()} | {"wavelength": np.array([wavelength])}
        return np.asarray(parts.total(x, values, self.curve(x)), dtype=float) if own else np.zeros(len(x))

    def variance(self, x: Float[np.ndarray, " points"]) -> Float[np.ndarray, " points"]:
        """Return the variance of the measured curve at ``x``, unscaled; zero without a measured background (host).

        It is that of linear interpolation between two points; the resulting correlation of neighbours is neglected.
        """
        return self._interpolated(x)[1]

    def _interpolated(self, x: Float[np.ndarray, " points"]) -> tuple[np.ndarray, np.ndarray]:
        if self.measured is None:
            return np.zeros((len(x), 0)), np.zeros(len(x))
        of = self.measured
        # a point between excluded regions is not a true neighbour, but there is no other
        at, y, sigma = (np.asarray(a, dtype=float)[of.included()] for a in (of.x, of.y, of.sigma))
        slack = 0.51 * max(float(np.median(np.diff(at))), float(np.median(np.diff(x))))
        if x[0] < at[0] - slack or x[-1] > at[-1] + slack:
            raise DataError(
                f"{of.name}: this background was measured from {at[0]:g} to {at[-1]:g} degrees, and the pattern is fitted from {x[0]:g} to "
                f"{x[-1]:g}: measure it over the same range, or fit the pattern within it with limits"
            )
        right = np.clip(np.searchsorted(at, x), 1, len(at) - 1)
        t = np.clip((x - at[right - 1]) / (at[right] - at[right - 1]), 0.0, 1.0)
        curve = (1.0 - t) * y[right - 1] + t * y[right]
        return curve[:, None], ((1.0 - t) * sigma[right - 1]) ** 2 + (t * sigma[right]) ** 2

    def quantities(self, start: Float[Array, " terms"], low: float, high: float) -> dict[str, Quantity]:
        """Return its refinable quantities by local name (host).

        Args:
            start: coefficients to start from.
            low, high: the fitted range in degrees.
        """
        start = np.asarray(start, dtype=float)
        level = float(np.abs(start).max()) or 1.0
        labels = tuple(str(k) for k in range(len(start)))
        what = "counts at the points of the background" if self.kind == "points" else "background coefficients"
        basis = np.zeros((len(start), 0)) if self.fixed else None
        coefficients = Quantity(start, unit="counts", labels=labels, scale=level, basis=basis, intensity=True, doc=what)
        scale = None if self.measured is None else self.measured_scale
        return {"background": coefficients} | parts.part_quantities(self.peaks, self.humps, scale, low, high, level)

    def require_inside(self, low: float, high: float) -> None:
        """Raise if points or broad peaks lie outside the fitted range.

        Raises:
            ConventionError: names the first one.
        """
        given: Sequence[tuple[str, Sequence[float]]] = (
            ("a point", self.knots if self.kind == "points" else ()),
            ("a broad peak", [p.position for p in self.peaks]),
        )
        for what, angles in given:
            for angle in angles:
                if not low - 1e-9 <= angle <= high + 1e-9:
                    raise ConventionError(
                        f"{what} of the background lies at {angle:g} degrees, and the pattern is fitted from {low:g} to {high:g}: leave it "
                        "out, or change the limits"
                    )
