"""`EchoEvidence`: evidence of a spin-echo term."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..objective.evidence import Evidence
from ..objective.statistics import Statistics

# mean square difference, in units of that expected from noise and frequencies, beyond which they do not explain it
_POOR = 4.0


@dataclass(frozen=True, kw_only=True)
class EchoEvidence(Evidence):
    """A curve with its scatter over frequency draws; residuals are those of summaries, one per refined parameter.

    Attributes:
        time_us: ``(points,)``.
        observed, calculated: ``(points,)`` complex.
        scatter: ``(points,)`` complex, standard deviations of real and imaginary parts over draws of frequencies.
        noise: standard deviation of white noise.
        mean_of: number of curves averaged in ``calculated``.
    """

    time_us: np.ndarray
    observed: np.ndarray
    calculated: np.ndarray
    scatter: np.ndarray
    noise: float
    mean_of: int

    kind: ClassVar[str] = "echo"

    @property
    def misfit(self) -> float:
        """Mean square difference in units of that expected from noise and frequencies: about 1 for a good fit."""
        off = self.observed - self.calculated
        pairs = ((off.real, self.scatter.real), (off.imag, self.scatter.imag))
        return float(np.mean([d**2 / (self.noise**2 + (1.0 + 1.0 / self.mean_of) * sd**2) for d, sd in pairs]))

    def agreement(self, s: Statistics) -> dict[str, Any]:
        return {
            "echo": self.name,
            "points": len(self.observed),
            "summaries": s.n_observations,
            "χ² of summaries": f"{s.chi2:.3g}",
            "(difference / scatter)²": f"{self.misfit:.3g}",
        }

    def doubts(self, s: Statistics) -> tuple[str, ...]:
        if self.misfit < _POOR and s.chi2 < _POOR**2:
            return ()
        return (
            f"'{self.name}': the curve is off by {np.sqrt(self.misfit):.3g} of what noise and the draw of frequencies let expect, its summaries "
            f"by χ² = {s.chi2:.3g}: another kernel, line or pulse sequence, a larger noise than stated, or a start too far away.",
        )

    def record(self) -> dict:
        parts = {"observed": self.observed, "calculated": self.calculated, "scatter": self.scatter}
        columns = {f"{name}_{part}": getattr(of, part) for name, of in parts.items() for part in ("real", "imag")}
        return {**super().record(), "misfit": self.misfit, "time_us": self.time_us, **columns}
