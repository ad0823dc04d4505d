"""Pictures of the glass of `amorphous_silica.py`: its network, and its NMR."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import jaxnmr as jn
from jaxnmr.dynamics.glass.network import Network, pair_distribution
from jaxnmr.dynamics.glass.rings import primitive_rings
from jaxnmr.plot.style import CALCULATED, DIFFERENCE, GREY, OBSERVED, styled

NAMES = {"quenched": "300 K, CHIK", "chik": "at rest, CHIK", "relaxed": "relaxed, CHGNet"}
COLOURS = {"quenched": GREY, "chik": DIFFERENCE, "relaxed": CALCULATED}


def network(glasses: dict[str, jn.Crystal], path: Path) -> None:
    """g(r), angles and rings, of the glass at all its stages."""
    with styled():
        figure, axes = plt.subplots(1, 4, figsize=(11.5, 2.9), layout="constrained")
        for k, (name, glass) in enumerate(glasses.items()):
            style = {"color": COLOURS[name], "linewidth": 1.0, "label": NAMES[name]}
            for shift, (first, second) in enumerate((("Si", "O"), ("O", "O"), ("Si", "Si"))):
                r, g = pair_distribution(glass, first, second, reach=6.0, width=0.04)
                axes[0].plot(r, np.minimum(g, 9.0) + 10.0 * shift, **style)
                if not k:
                    axes[0].text(5.9, 10.0 * shift + 2.6, f"{first}-{second}", ha="right")
            net = Network.create(glass)
            for axis, angles, bins in (
                (axes[1], net.angles_at_ligands, np.arange(90, 183, 3.0)),
                (axes[2], net.angles_at_centres, np.arange(84, 140, 2.0)),
            ):
                height, edges = np.histogram(angles, bins, density=True)
                axis.plot(0.5 * (edges[1:] + edges[:-1]), height, **style)
            rings = primitive_rings(net).per_centre
            sizes = np.arange(3, 13)
            axes[3].plot(sizes, [rings.get(int(n), 0.0) for n in sizes], marker="o", markersize=3, **style)
        axes[0].set(xlabel="r / Å", ylabel="g(r), cut at 9, moved up by 10", xlim=(1.2, 6.0))
        axes[1].set(xlabel="Si-O-Si / °", ylabel="probability per degree")
        axes[2].set(xlabel="O-Si-O / °", ylabel="probability per degree")
        axes[3].set(xlabel="silicon atoms in a ring", ylabel="primitive rings per Si")
        axes[3].xaxis.minorticks_off()
        axes[3].legend()
        figure.savefig(path, dpi=130)
        plt.close(figure)


def nmr(of: dict[str, np.ndarray], spectra: dict[str, np.ndarray], path: Path) -> None:
    """Distributions of tensors, where they come from, and spectra."""
    regular, bridging = of["regular"], of["bridging"]
    with styled():
        figure, axes = plt.subplots(2, 4, figsize=(12.5, 5.6), layout="constrained")
        shift = axes[0, 0]
        shift.hist(of["shift"], np.arange(-140, -79, 2.0), color=GREY, alpha=0.4, label="all Si")
        shift.hist(of["shift"][regular], np.arange(-140, -79, 2.0), color=DIFFERENCE, alpha=0.7, label="Q⁴")
        shift.set(xlabel="δ(²⁹Si) / ppm", ylabel="atoms")
        shift.invert_xaxis()
        shift.legend()
        by = axes[0, 1]
        by.plot(of["mean_angle"][regular], of["shift"][regular], ".", markersize=2, color=DIFFERENCE)
        by.set(xlabel="mean Si-O-Si / °", ylabel="δ(²⁹Si) / ppm")
        cq = axes[0, 2]
        cq.hist(np.abs(of["cq"][bridging]), np.arange(3.0, 8.01, 0.1), color=CALCULATED, alpha=0.7)
        cq.axvspan(5.0, 5.2, color=OBSERVED, alpha=0.15, label="quoted of\nmeasured\nglass")
        cq.set(xlabel="|C$_Q$(¹⁷O)| / MHz", ylabel="bridging atoms", xlim=(2.5, 8.0))
        cq.legend(loc="upper left", fontsize=8)
        eta = axes[0, 3]
        eta.plot(of["angle"][bridging], of["eta"][bridging], ".", markersize=2, color=CALCULATED)
        eta.set(xlabel="Si-O-Si / °", ylabel="η$_Q$(¹⁷O)", ylim=(0, 1))
        for axis, name, window in zip(
            axes[1],
            ("29Si static", "29Si MAS", "17O static", "17O MAS"),
            ((-20, -200), (-80, -140), None, None),
            strict=True,
        ):
            ppm, values = spectra[f"{name} ppm"], spectra[name]
            axis.plot(ppm, values / values.max(), color=OBSERVED, linewidth=1.0, label="sum of all atoms")
            axis.set(
                xlabel=f"δ({'²⁹Si' if 'Si' in name else '¹⁷O'}) / ppm",
                yticks=[],
                title={"2": "²⁹Si", "1": "¹⁷O"}[name[0]] + name[4 if "Si" in name else 3 :],
            )
            if name == "17O MAS":
                for fit, dashes in (("czjzek", ":"), ("extended czjzek", "--")):
                    label = {"czjzek": "Czjzek", "extended czjzek": "extended Czjzek"}[fit]
                    axis.plot(
                        spectra[f"fit {fit} ppm"],
                        spectra[f"fit {fit}"] / values.max(),
                        dashes,
                        color=CALCULATED,
                        label=label,
                    )
                axis.legend(fontsize=7, loc="upper right")
            if window:
                axis.set_xlim(*window)
            else:
                axis.invert_xaxis()
        figure.savefig(path, dpi=130)
        plt.close(figure)
