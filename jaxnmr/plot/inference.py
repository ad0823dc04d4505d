"""Pictures of posteriors: marginal densities, and estimates against the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .style import CALCULATED, GREY, OBSERVED, PHASES, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..inference import Inferred

_MOST = 6
_DRAWS = 2000


def posteriors(inferred: Inferred) -> Figure:
    """Marginal posteriors of every parameter of the first curves, over the whole prior; those not determined are their prior.

    Args:
        inferred: n posteriors; of the first six histograms of samples are drawn.

    Returns:
        The figure.
    """
    import matplotlib.pyplot as plt

    samples = inferred.draw(_DRAWS)
    parameters = inferred.prior.parameters
    with styled():
        figure, axes = plt.subplots(
            1, len(parameters), figsize=(2.9 * len(parameters), 2.8), layout="constrained", squeeze=False
        )
        for k, (one, p) in enumerate(zip(axes[0], parameters, strict=True)):
            if p.determined:
                for i in range(min(len(inferred), _MOST)):
                    one.hist(
                        samples[:, i, k],
                        bins=80,
                        range=(p.low, p.high),
                        density=True,
                        histtype="step",
                        color=PHASES[i % len(PHASES)],
                    )
            else:
                one.axhline(1.0 / (p.high - p.low), color=GREY)
                one.set_ylim(0.0, 2.0 / (p.high - p.low))
                one.text(0.5, 0.7, "not determined\nby this curve", ha="center", transform=one.transAxes)
            one.set_xlim(p.low, p.high)
            one.set_xlabel(p.name)
            one.set_yticks([])
        return figure


def parity(inferred: Inferred, truth: np.ndarray) -> Figure:
    """Posterior means with 68 % intervals against true parameters.

    Args:
        inferred: n posteriors.
        truth: ``(n, all)`` parameters.

    Returns:
        The figure.
    """
    import matplotlib.pyplot as plt

    low, high = inferred.interval(0.68)
    mean, theta = inferred.mean, truth[:, list(inferred.prior.indices)]
    with styled():
        figure, axes = plt.subplots(
            1, len(inferred.names), figsize=(3.2 * len(inferred.names), 3.2), layout="constrained", squeeze=False
        )
        for k, (one, name) in enumerate(zip(axes[0], inferred.names, strict=True)):
            one.vlines(theta[:, k], low[:, k], high[:, k], color=OBSERVED, alpha=0.3, linewidth=0.5)
            one.plot(theta[:, k], mean[:, k], ".", color=OBSERVED, markersize=2)
            ends = [theta[:, k].min(), theta[:, k].max()]
            one.plot(ends, ends, color=CALCULATED, linewidth=0.8)
            one.set_xlabel(f"true {name}")
            one.set_ylabel(name)
        return figure
