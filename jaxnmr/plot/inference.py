"""Figures of posteriors: marginal densities, estimates against true values, probabilities of families."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .style import CALCULATED, GREY, OBSERVED, PHASES, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..inference import Inferred

_MOST = 6
_BARS = 40
_DRAWS = 2000


def posteriors(inferred: Inferred) -> Figure:
    """Plot marginal posteriors of every parameter of the first curves over the prior range.

    Args:
        inferred: n posteriors; sample histograms of the first six are drawn.

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
    """Plot posterior means with 68 % intervals against true parameters.

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


def family_probabilities(names: Sequence[str], probabilities: np.ndarray) -> Figure:
    """Plot the probability of each family for the first curves: bars that add up to 1.

    Args:
        names: names of the f families.
        probabilities: ``(n, f)``; the first 40 are drawn.

    Returns:
        The figure.
    """
    import matplotlib.pyplot as plt
    from matplotlib.ticker import MaxNLocator

    shown = probabilities[:_BARS]
    with styled({"xtick.top": False, "xtick.minor.visible": False}):
        figure, axis = plt.subplots(figsize=(max(4.0, 1.5 + 0.2 * len(shown)), 3.0), layout="constrained")
        place, below = np.arange(len(shown)) + 1, np.zeros(len(shown))
        for k, name in enumerate(names):
            axis.bar(place, shown[:, k], bottom=below, width=0.85, color=PHASES[k % len(PHASES)], label=name)
            below = below + shown[:, k]
        axis.set_xlim(0.4, len(shown) + 0.6)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.set_ylim(0.0, 1.0)
        axis.set_xlabel("curve")
        axis.set_ylabel("probability")
        figure.legend(loc="outside right upper")
        return figure


def reliability(scores: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Plot the observed frequency of families against their stated probability, for every noise.

    Args:
        scores: scores by noise, from `ToldApart.to_dict`.

    Returns:
        The figure.
    """
    import matplotlib.pyplot as plt

    with styled():
        figure, axis = plt.subplots(figsize=(3.6, 3.4), layout="constrained")
        axis.plot([0.0, 1.0], [0.0, 1.0], color=GREY, linewidth=0.8)
        for k, (noise, of) in enumerate(scores.items()):
            said, right, counts = (np.array(of[name], dtype=float) for name in ("said", "right", "counts"))
            some = counts > 0
            bars = np.sqrt(said[some] * (1.0 - said[some]) / counts[some])
            axis.errorbar(
                said[some], right[some], bars, fmt=".", color=PHASES[k % len(PHASES)], label=f"noise {noise}",
                elinewidth=0.8,
            )  # fmt: skip
        axis.set_xlim(0.0, 1.0)
        axis.set_ylim(0.0, 1.0)
        axis.set_xlabel("probability of a family")
        axis.set_ylabel("part in which it is the true one")
        axis.legend()
        return figure
