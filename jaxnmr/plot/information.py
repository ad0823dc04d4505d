"""Information of each data set on atoms and parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._arguments import checked
from ..errors import ParameterError
from .style import PHASES, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..refinement.result import RefinementResult

_HATCHES = ("", "///", "...", "xxx", "\\\\\\", "+++")


@checked
def information(fit: RefinementResult, *, parameters: bool | None = None) -> Figure:
    """Plot the share of every term in the information on atoms, and uncertainties with one term left out.

    Args:
        fit: result of a refinement.
        parameters: show all refined parameters instead of atomic positions; by default only if no position was refined.

    Returns:
        The figure. Left: shares of the terms, see `jaxnmr.refinement.information.Information`. Right: the standard
        uncertainty (full dot, Å for atoms, otherwise relative to it), and that without each term; an arrow if it is
        then undetermined.

    Raises:
        ParameterError: nothing was refined, or no position although atoms are requested.
    """
    import matplotlib.pyplot as plt

    info = fit.information
    if parameters is None:
        parameters = not info.atoms
    if not (info.names if parameters else info.atoms):
        raise ParameterError(f"no {'parameter' if parameters else 'position of an atom'} was refined")
    if parameters:
        rows, shares = list(info.names), info.shares
        esd, without = np.ones(len(rows)), info.growth
    else:
        several = len({atom.phase for atom in info.atoms}) > 1
        rows = [f"{atom.phase}: {atom.label}" if several else atom.label for atom in info.atoms]
        shares = np.array([[atom.shares[t] for t in info.terms] for atom in info.atoms])
        esd = np.array([atom.esd for atom in info.atoms])
        without = np.array([[atom.without[t] for t in info.terms] for atom in info.atoms])
    place = np.arange(len(rows))[::-1]
    with styled({"ytick.minor.visible": False, "ytick.right": False, "xtick.top": False}):
        # the legend is beside the panels, with a line for every bar and every marker
        height = max(1.0 + 0.27 * len(rows), 0.6 + 0.42 * (len(info.terms) + 1))
        figure, (left, right) = plt.subplots(
            1, 2, sharey=True, figsize=(10.0, height), layout="constrained", width_ratios=(1.2, 1.0)
        )
        start = np.zeros(len(rows))
        for k, term in enumerate(info.terms):
            colour = PHASES[k % len(PHASES)]
            left.barh(
                place, shares[:, k], left=start, height=0.72, color=colour, hatch=_HATCHES[k % len(_HATCHES)],
                edgecolor="white", linewidth=0.4, label=term,
            )  # fmt: skip
            start = start + shares[:, k]
            if len(info.terms) > 1:
                finite = np.isfinite(without[:, k])
                style = dict(color=colour, marker="sD^vP<"[k % 6], fillstyle="none", linestyle="none", markersize=5)
                right.plot(without[finite, k], place[finite], label=f"without {term}", **style)
                right.plot(
                    np.full((~finite).sum(), 1.0), place[~finite], transform=right.get_yaxis_transform(),
                    clip_on=False, in_layout=False, **(style | {"marker": ">"}),
                )  # fmt: skip
        if not np.isfinite(without).all():
            right.plot([], [], ">", color="#1a1a1a", fillstyle="none", markersize=5, label="then undetermined")
        right.plot(esd, place, "o", color="#1a1a1a", markersize=4.5, label="with all")
        shown = np.append(without[np.isfinite(without)], esd)
        if shown.max() > 5.0 * shown[shown > 0].min():
            right.set_xscale("log")
        else:
            right.set_xlim(0.0, 1.1 * shown.max())
            right.locator_params(axis="x", nbins=5)
        right.set_xlabel("relative standard uncertainty" if parameters else "standard uncertainty of the position / Å")
        left.set_xlabel("share in the variance")
        left.set_xlim(0.0, 1.0)
        left.set_yticks(place, rows)
        left.tick_params(axis="y", length=0)
        right.tick_params(axis="y", length=0)
        right.grid(axis="y", color="#dddddd", linewidth=0.6)
        handles, labels = (
            one + two for one, two in zip(*(a.get_legend_handles_labels() for a in (left, right)), strict=True)
        )
        figure.legend(handles, labels, loc="outside right upper")
        return figure
