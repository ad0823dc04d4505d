"""Backgrounds: linear in their coefficients, prepared as a matrix of basis functions (host)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from jaxtyping import Float, Real

from .._arguments import checked
from ..errors import ConventionError


@checked
@dataclass(frozen=True)
class Background:
    """A background function.

    Attributes:
        kind: ``"chebyshev"`` (first kind, on the fitted range scaled to [-1, 1]) or ``"interpolate"``
            (straight lines between knots, the coefficients are the values there).
        terms: number of coefficients.
        knots: explicit knot positions in degrees; else spread over the fitted range.
        spacing: ``"linear"`` or ``"log"`` (geometric) spacing of the knots.
    """

    kind: Literal["chebyshev", "interpolate"] = "chebyshev"
    terms: int = 6
    knots: tuple[float, ...] = ()
    spacing: Literal["linear", "log"] = "linear"

    def __post_init__(self) -> None:
        if self.kind not in ("chebyshev", "interpolate"):
            raise ConventionError(f"background kind is {self.kind!r}; expected 'chebyshev' or 'interpolate'")
        if self.spacing not in ("linear", "log"):
            raise ConventionError(f"background spacing is {self.spacing!r}; expected 'linear' or 'log'")
        if self.terms < 1 or (self.kind == "interpolate" and self.terms < 2):
            raise ConventionError(f"a {self.kind} background with {self.terms} terms is empty")
        if list(self.knots) != sorted(set(self.knots)):
            raise ConventionError(f"background knots must increase strictly; got {self.knots}")

    @classmethod
    @checked
    def chebyshev(cls, terms: int) -> Self:
        """``terms`` Chebyshev polynomials."""
        return cls(kind="chebyshev", terms=terms)

    @classmethod
    @checked
    def interpolate(cls, knots: int | Iterable[float], spacing: Literal["linear", "log"] = "linear") -> Self:
        """``knots`` is a number of knots, or their positions in degrees."""
        if isinstance(knots, int):
            return cls(kind="interpolate", terms=knots, spacing=spacing)
        positions = tuple(float(k) for k in knots)
        return cls(kind="interpolate", terms=len(positions), knots=positions, spacing=spacing)

    def basis(self, x: Float[np.ndarray, " points"], low: float, high: float) -> Float[np.ndarray, "points terms"]:
        """Basis functions at ``x`` for the fitted range ``low`` to ``high``."""
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
        """A first guess: the least-squares fit to the lower envelope of the data."""
        segments = np.array_split(np.arange(len(x)), max(4 * self.terms, 12))
        chosen = np.array([s[np.argsort(y[s])[len(s) // 5]] for s in segments if len(s)])
        return np.linalg.lstsq(self.basis(x[chosen], low, high), y[chosen], rcond=1e-6)[0]
