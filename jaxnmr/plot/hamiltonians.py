"""Pictures of predicted Kohn-Sham matrices: errors by block, ladders of orbitals, and iterations that a start saves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .style import GREY, OBSERVED, PHASES, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_EV = 27.211386245988


def block_errors(errors: Mapping[str, Mapping[str, float]]) -> Figure:
    """Mean absolute errors of matrices by kind of block, on a logarithmic scale.

    Args:
        errors: for each model, meV by the name of the block.

    Returns:
        The figure.
    """
    import matplotlib.pyplot as plt

    blocks = list(next(iter(errors.values())))
    width = 0.8 / len(errors)
    with styled():
        figure, axes = plt.subplots(figsize=(max(5.0, 0.8 * len(blocks) + 2), 3.8), layout="constrained")
        for k, (name, of) in enumerate(errors.items()):
            places = np.arange(len(blocks)) + (k - (len(errors) - 1) / 2) * width
            axes.bar(places, [of[block] for block in blocks], width, color=PHASES[k % len(PHASES)], label=name)
        axes.set_xticks(np.arange(len(blocks)), blocks)
        axes.tick_params(axis="x", which="minor", bottom=False, top=False)
        axes.set_yscale("log")
        axes.set_ylabel("mean |ΔH| / meV")
        axes.legend()
        return figure


def orbital_ladder(energies: Mapping[str, np.ndarray], occupied: int, *, empty: int = 4) -> Figure:
    """Orbital energies of one geometry side by side, the true ones first, without the cores.

    Args:
        energies: hartree, ascending, by name.
        occupied: number of occupied orbitals.
        empty: how many of the others are drawn.

    Returns:
        The figure.
    """
    import matplotlib.pyplot as plt

    with styled():
        figure, axes = plt.subplots(figsize=(1.5 * len(energies) + 2, 4.8), layout="constrained")
        for k, values in enumerate(energies.values()):
            shown = _EV * np.asarray(values)[: occupied + empty]
            valence = shown > -60.0
            for n, value in enumerate(shown):
                if valence[n]:
                    full = n < occupied
                    axes.hlines(
                        value, k - 0.35, k + 0.35, color=OBSERVED if k == 0 else PHASES[(k - 1) % len(PHASES)],
                        linestyle="-" if full else ":", linewidth=1.4,
                    )  # fmt: skip
        axes.set_xticks(range(len(energies)), list(energies))
        axes.tick_params(axis="x", which="both", length=0)
        axes.set_ylabel("orbital energy / eV (dotted: empty)")
        return figure


def iterations(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Macro-iterations and builds for each start, one panel per solver.

    Args:
        rows: of ``jaxnmr.electronic.scf.restart.Comparison.rows``.

    Returns:
        The figure.
    """
    import matplotlib.pyplot as plt

    solvers = list(dict.fromkeys(row["solver"] for row in rows))
    with styled():
        figure, panels = plt.subplots(
            1, len(solvers), figsize=(4.6 * len(solvers), 3.8), squeeze=False, layout="constrained"
        )
        for axes, solver in zip(panels[0], solvers, strict=True):
            mine = [row for row in rows if row["solver"] == solver]
            places = np.arange(len(mine))
            axes.barh(places - 0.2, [row["macro"] for row in mine], 0.36, color=PHASES[2], label="macro-iterations")
            axes.barh(places + 0.2, [row["fock"] for row in mine], 0.36, color=PHASES[0], label="Fock builds")
            responses = [row["response"] for row in mine]
            if any(responses):
                left = [row["fock"] for row in mine]
                axes.barh(places + 0.2, responses, 0.36, left=left, color=GREY, label="response builds")
            axes.set_yticks(places, [row["start"] for row in mine])
            axes.tick_params(axis="y", which="both", length=0)
            axes.invert_yaxis()
            axes.set_title(solver, loc="left")
            axes.set_xlabel("number, mean over geometries")
            axes.legend()
        return figure
