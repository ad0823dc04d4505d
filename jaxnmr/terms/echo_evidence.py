"""What a spin-echo term shows of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..objective.evidence import Evidence
from ..objective.statistics import Statistics

# chi² per number beyond which neither noise nor frequencies explain what is left
_POOR = 4.0


@dataclass(frozen=True, kw_only=True)
class EchoEvidence(Evidence):
    """A curve with what other frequencies would change; residuals are whitened by both, so that neighbours say little by themselves.

    Attributes:
        time_us: ``(points,)``.
        observed, calculated: ``(points,)`` complex.
        scatter: ``(points,)`` complex, standard deviations of real and imaginary parts by the draw of frequencies.
    """

    time_us: np.ndarray
    observed: np.ndarray
    calculated: np.ndarray
    scatter: np.ndarray

    kind: ClassVar[str] = "echo"

    def doubts(self, s: Statistics) -> tuple[str, ...]:
        ratio = s.chi2 / max(s.n_observations, 1)
        if ratio < _POOR:
            return ()
        return (
            f"'{self.name}': χ² is {ratio:.3g} per number (1 where noise and the draw of frequencies explain everything): another kernel, "
            "line or pulse sequence, a larger noise than stated, or a start too far away.",
        )

    def record(self) -> dict:
        parts = {"observed": self.observed, "calculated": self.calculated, "scatter": self.scatter}
        columns = {f"{name}_{part}": getattr(of, part) for name, of in parts.items() for part in ("real", "imag")}
        return {**super().record(), "time_us": self.time_us, **columns}
