"""Energy against data: agreement along a refinement, and sites where they disagree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .style import CALCULATED, GREY, PHASES, one_of, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..refinement.result import RefinementResult

# most sites shown in a figure
_MOST = 40


def energy(fit: RefinementResult, name: str | None = None) -> Figure:
    """Plot χ² of energy and data by step, and the distance of every site from the energy minimum.

    Args:
        fit: result of a refinement with an `EnergyTerm`.
        name: name of the term, if there are several.

    Returns:
        The figure. Left: χ² per observation of every term. Right: distance of every site from its position in the
        energy minimum, with the refined standard uncertainty as a bar, in front of the uncertainty of the model (1 and
        2 σ); of many sites, those that differ most.

    Raises:
        ParameterError: there is no such term.
    """
    import matplotlib.pyplot as plt
    from matplotlib.ticker import MaxNLocator

    shown = one_of(fit.of_kind("energy"), name, "energy")
    rows = sorted(shown.rows, key=lambda row: -abs(row.relative))[:_MOST]
    rows = [row for row in shown.rows if row in rows]
    with styled({"xtick.top": False, "ytick.right": False}):
        figure, (left, right) = plt.subplots(
            1, 2, figsize=(10.0, max(3.4, 1.2 + 0.24 * len(rows))), layout="constrained", width_ratios=(1.1, 1.0)
        )
        steps = [s for s in fit.steps if s.accepted]
        for k, (term, of) in enumerate(fit.statistics.items()):
            colour = CALCULATED if term == shown.name else PHASES[k % len(PHASES)]
            chi2 = [s.squares.get(term, np.nan) / max(of.n_observations, 1) for s in steps]
            left.plot([s.step for s in steps], chi2, marker="osD^v"[k % 5], markersize=4, color=colour, label=term)
        if steps:
            left.set_yscale("log")
            left.legend()
        left.axhline(1.0, color=GREY, linewidth=0.8, linestyle=":")
        left.set_xlabel("step")
        left.set_ylabel("χ² / number")
        left.xaxis.set_major_locator(MaxNLocator(integer=True))
        left.set_title("agreement along the refinement", loc="left")
        place = np.arange(len(rows))[::-1]
        sigma = np.array([row.sigma for row in rows])
        right.barh(place, 2.0 * sigma, height=0.8, color="#f3e3d8", label="2 σ of the model")
        right.barh(place, sigma, height=0.8, color="#e6bfa3", label="1 σ")
        phase = shown.facts["phase"]
        esd = {(atom.phase, atom.label): atom.esd for atom in fit.information.atoms}
        right.errorbar(
            [row.calculated for row in rows], place, xerr=[esd.get((phase, row.label), 0.0) for row in rows],
            fmt="o", markersize=4, color="#1a1a1a", linewidth=1.0, label="refined",
        )  # fmt: skip
        right.set_yticks(place, [row.label for row in rows])
        right.tick_params(axis="y", which="minor", left=False)
        right.set_xlim(left=0.0)
        right.set_xlabel("from the minimum of the energy / Å")
        left_out = len(shown.rows) - len(rows)
        right.set_title(shown.title + (f", {left_out} sites left out" if left_out else ""), loc="left")
        right.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
        return figure
