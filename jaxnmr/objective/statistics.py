"""Statistics of the agreement between calculated and observed or expected values (host)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._words import counted

# expectation of _run_ratio for independent normal residuals: 1 + 2 sum_k (2/pi) 2^-k = 1 + 4/pi
_WHITE_NOISE_RUN_RATIO = 1.0 + 4.0 / np.pi


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Agreement of one term.

    Attributes:
        n_observations: number of residuals.
        chi2: sum of their squares, without the term's weight or robust loss.
        measured: whether they are data; restraints and priors are prior knowledge and do not count as observations.
        weight: factor of chi² in the objective.
        discounted: with a robust loss, number of residuals weighted by less than half; otherwise ``None``.
        scor: factor by which serial correlation of the residuals makes standard uncertainties too small; 1 for lists.
    """

    n_observations: int
    chi2: float
    measured: bool = True
    weight: float = 1.0
    discounted: int | None = None
    scor: float = 1.0

    @property
    def factors(self) -> dict[str, float]:
        """Agreement factors in per cent by name, the most commonly quoted first; empty for lists."""
        return {}

    def brief(self) -> str:
        """Return a short summary for progress lines."""
        return str(self)

    def record(self) -> dict[str, object]:
        """Return plain values for files."""
        return dict(vars(self))

    def __str__(self) -> str:
        """Return all numbers in one line."""
        what = "observation" if self.measured else "restraint"
        robust = "" if self.discounted is None else f", robust: {self.discounted} of them count less than half"
        return f"chi² {self.chi2:.4g} of {counted(self.n_observations, what)}{robust}"


@dataclass(frozen=True, kw_only=True)
class ProfileStatistics(Statistics):
    """Agreement of one curve, such as a powder pattern or a spectrum. Factors in per cent, including background.

    Attributes:
        factor: usual name of the weighted factor, ``"Rwp"`` or ``"Rw"``.
        r_weighted: ``sqrt(sum w (obs - calc)² / sum w obs²)``; grows with noise and shrinks with strong lines.
        rp: ``sum |obs - calc| / sum |obs|``; ``rexp`` the value ``r_weighted`` would have if only noise were left.
        gof: square root of chi² over the degrees of freedom; 1 if only noise is left.
        noise: mean uncertainty of a point, in the units of the data; ``signal_to_noise`` the highest point divided by it.
        durbin_watson: serial correlation of neighbouring residuals.

    Source: Young, The Rietveld Method (1993), table 1.3; Hill & Howard, J. Appl. Cryst. 20, 467 (1987) (Durbin-Watson);
    Bérar & Lelann, J. Appl. Cryst. 24, 1 (1991) (SCOR).
    """

    factor: str
    r_weighted: float
    rp: float
    rexp: float
    gof: float
    noise: float
    signal_to_noise: float
    durbin_watson: float

    @classmethod
    def create(cls, observed, calculated, sigma, *, determined: float, factor: str, **fields) -> ProfileStatistics:
        """Compare curves ``(points,)``; ``determined`` is the number of free parameters they determine."""
        observed, calculated, sigma = (np.asarray(a, dtype=float) for a in (observed, calculated, sigma))
        residual = (observed - calculated) / sigma
        total = np.sum((observed / sigma) ** 2)
        chi2, noise = float(residual @ residual), float(sigma.mean())
        freedom = max(len(observed) - determined, 1)
        return cls(
            n_observations=observed.size,
            chi2=chi2,
            factor=factor,
            r_weighted=float(100.0 * np.sqrt(chi2 / total)),
            rp=float(100.0 * np.abs(observed - calculated).sum() / np.abs(observed).sum()),
            rexp=float(100.0 * np.sqrt(freedom / total)),
            gof=float(np.sqrt(chi2 / freedom)),
            noise=noise,
            signal_to_noise=float(np.abs(observed).max() / noise),
            durbin_watson=durbin_watson(-residual),
            scor=scor(-residual),
            **fields,
        )

    @property
    def factors(self) -> dict[str, float]:
        return {self.factor: self.r_weighted, "Rp": self.rp, "Rexp": self.rexp}

    @property
    def rwp(self) -> float:
        """Alias of ``r_weighted``, as used for patterns."""
        return self.r_weighted

    @property
    def rw(self) -> float:
        """Alias of ``r_weighted``, as used for spectra."""
        return self.r_weighted

    def brief(self) -> str:
        return f"{self.factor} {self.r_weighted:.3f} %, GoF {self.gof:.3f}, {self.n_observations} points"

    def __str__(self) -> str:
        robust = "" if self.discounted is None else f", robust: {self.discounted} points count less than half"
        return (
            f"{self.factor} {self.r_weighted:.3f} %, Rp {self.rp:.3f} %, Rexp {self.rexp:.3f} %, GoF {self.gof:.3f}, "
            f"signal to noise {self.signal_to_noise:.3g}, Durbin-Watson {self.durbin_watson:.2f}, SCOR {self.scor:.2f}{robust}"
        )


def weighted_factor(chi2: float, observed, sigma) -> float:
    """Return the weighted R factor ``100 sqrt(chi2 / sum (obs/sigma)²)`` of a curve ``(points,)``, per cent."""
    observed = np.asarray(observed) / np.asarray(sigma)
    return float(100.0 * np.sqrt(chi2 / (observed @ observed)))


def durbin_watson(residuals) -> float:
    """Return the serial correlation of neighbouring weighted residuals: 2 for none, near 0 for misfitted peaks.

    Source: Hill & Flack, J. Appl. Cryst. 20, 356 (1987).
    """
    residuals = np.asarray(residuals, dtype=float)
    return float(np.sum(np.diff(residuals) ** 2) / np.sum(residuals**2))


def _run_ratio(residuals: np.ndarray) -> float:
    sign = residuals >= 0
    start = np.flatnonzero(np.concatenate([[True], sign[1:] != sign[:-1]]))
    return float(np.sum(np.add.reduceat(residuals, start) ** 2) / np.sum(residuals**2))


def scor(residuals) -> float:
    """Return the factor by which serial correlation of the residuals makes standard uncertainties too small, at least 1.

    Neighbouring residuals of equal sign are taken as one observation: the squared sums over runs of equal sign
    replace the sum of squares. The ratio is divided by its expectation for independent normal residuals, so that
    a perfect model gives 1. Without that division the values are 1.51 times larger (FullProf prints 4.17 for a
    pattern for which the undivided ratio is 4.25 here).

    Source: the idea of Bérar & Lelann, J. Appl. Cryst. 24, 1 (1991); the normalisation is ours.
    """
    residuals = np.asarray(residuals, dtype=float)
    if not np.any(residuals):
        return 1.0
    return float(np.sqrt(max(_run_ratio(residuals) / _WHITE_NOISE_RUN_RATIO, 1.0)))


def peak_match(observed, calculated, background, sigma=0.0) -> float:
    """Return the correlation between observed and calculated intensity above background: near 1 when peaks coincide.

    With ``sigma`` the noise of the observed intensity, which would make weak spectra look wrong, is subtracted. It is
    limited by the differences of neighbouring points, so that overestimated uncertainties do not erase the observed
    lines.
    """
    a, b = np.asarray(observed) - np.asarray(background), np.asarray(calculated) - np.asarray(background)
    noise = np.sum(np.broadcast_to(sigma, a.shape) ** 2)
    if a.size > 2:
        noise = min(noise, a.size * np.mean(np.diff(a) ** 2) / 2.0)
    scale = np.sqrt(max(np.sum(a * a) - noise, 0.0) * np.sum(b * b))
    return float(np.sum(a * b) / scale) if scale > 0 else 0.0
