"""Trust-region minimiser with a Hessian updated from gradients (host)."""

from __future__ import annotations

import numpy as np

# ratio of actual to predicted decrease: below the first a step is refused; the others shrink and enlarge the radius
_REFUSE, _POOR, _GOOD = 1e-4, 0.25, 0.75


class TrustRegion:
    """A model ``g p + p B p / 2`` of a function, and the radius within which it is trusted.

    B is updated by the formula of Broyden, Fletcher, Goldfarb and Shanno for positive curvature along a step, and by
    the symmetric rank-one formula for negative curvature, so that directions of negative curvature are followed to the
    radius (J. Nocedal & S. J. Wright, *Numerical Optimization*, 2006, chapters 4 and 6).

    Args:
        hessian: ``(n, n)`` positive definite guess.
        metric: ``(n, n)``; the length of a step p is ``sqrt(p metric p)``.
        radius: initial radius.
        largest: largest radius.
    """

    def __init__(self, hessian: np.ndarray, metric: np.ndarray, radius: float, largest: float):
        self.hessian, self.radius, self.largest = np.array(hessian, dtype=float), radius, largest
        self._root = np.linalg.cholesky(metric)
        self._fresh = True
        self.downward = 0

    def step(self, gradient: np.ndarray) -> tuple[np.ndarray, float, bool]:
        """Return the best step within the radius, its predicted decrease, and whether the radius limited it."""
        inverse = np.linalg.inv(self._root)
        values, vectors = np.linalg.eigh(inverse @ self.hessian @ inverse.T)
        g = vectors.T @ (inverse @ gradient)
        # the length of -g/(values + shift) decreases with the shift, which must exceed minus the lowest value
        floor = max(0.0, -values[0]) + 1e-10 * max(1.0, abs(values[-1]))
        length = lambda shift: np.linalg.norm(g / (values + shift))
        shift = 0.0 if values[0] > 1e-8 * values[-1] and length(0.0) <= self.radius else floor
        held = shift > 0.0
        if held and length(floor) > self.radius:
            low, high = floor, floor + np.linalg.norm(g) / self.radius
            for _ in range(100):
                shift = 0.5 * (low + high)
                low, high = (shift, high) if length(shift) > self.radius else (low, shift)
            shift = high
        y = -g / (values + shift)
        if held and values[0] < 0.0 and (short := self.radius**2 - y @ y) > 0.0:
            # the gradient has no component along the direction of negative curvature: follow it nevertheless
            y[0] += np.copysign(np.sqrt(short), y[0] if y[0] else -1.0)
        p = inverse.T @ (vectors @ y)
        return p, float(-(gradient @ p + 0.5 * p @ self.hessian @ p)), held

    def learn(self, step: np.ndarray, change: np.ndarray) -> None:
        """Update the Hessian from the change of the gradient along a step, accepted or not."""
        curvature, known = float(step @ change), self.hessian @ step
        if self._fresh and curvature > 0.0:
            # rescale the whole guess
            self.hessian *= np.clip(curvature / float(step @ known), 0.2, 5.0)
            known = self.hessian @ step
        self._fresh = False
        if curvature > 1e-8 * np.linalg.norm(step) * np.linalg.norm(change) and float(step @ known) > 0.0:
            self.hessian += np.outer(change, change) / curvature - np.outer(known, known) / float(step @ known)
            return
        self.downward += curvature < 0.0
        rest = change - known
        if abs(float(rest @ step)) > 1e-8 * np.linalg.norm(rest) * np.linalg.norm(step):
            self.hessian += np.outer(rest, rest) / float(rest @ step)

    def judge(self, decrease: float, promised: float, held: bool) -> bool:
        """Return whether a step is accepted, and adapt the radius to the accuracy of its predicted decrease."""
        ratio = decrease / promised if np.isfinite(decrease) else -1.0
        if ratio < _POOR:
            self.radius *= 0.25 if ratio < _REFUSE else 0.5
        elif ratio > _GOOD and held:
            self.radius = min(2.0 * self.radius, self.largest)
        return ratio > _REFUSE
