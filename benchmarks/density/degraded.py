"""What the prior of Perov-5 makes of worse and worse patterns: profiles, their Le Bail fit, prediction, refinement, atoms.

    JAXNMR_DATA=... python benchmarks/density/degraded.py PRIOR [--crystals 12] [--json FILE] [--picture docs/density_degraded.png]

Test crystals are drawn by seed. A profile is the lines of the superposed valence density (so that nothing is converted) with a pseudo-Voigt
function, on a flat background of 0.5 % of the highest point, with counting noise for 20,000 counts in the highest point; wavelength
0.7107 Å, 8 to 70 degrees, step 0.02. It is worsened in one way at a time: all angles are shifted; there are fewer counts; crystallites
are small (size L broadens by K λ/(L cos θ), K = 0.9); or the pattern ends earlier. Le Bail fits of the cell, which is known to 0.1 %, give
areas with a covariance to the prior, with the whole composition; lines that were not measured are those that the prior expects. SSIM is of
32³ points, the best over shifts and signed permutations, mean of all crystals; a fit that fails counts as the prior without a pattern.
"""

import argparse
import json
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import perov5
from baselines import POSES

from jaxnmr._precision import enable_x64
from jaxnmr.density import PowderLines, compare, superposed
from jaxnmr.density.prior.files import load_prior
from jaxnmr.diffraction import Instrument, Pattern
from jaxnmr.diffraction.profiles import pseudo_voigt
from jaxnmr.errors import JaxnmrError
from jaxnmr.solve import lebail
from jaxnmr.solve.density import atoms_of_predicted, lines_of, predicted_density

WAVELENGTH, POINTS, COUNTS = 0.7107, 32, 20_000.0
WAYS = {
    "shift / degrees": (0.0, 0.05, 0.1, 0.2),
    "counts in the highest point": (20_000.0, 1000.0, 100.0, 20.0),
    "crystallite size / Å": (1000.0, 100.0, 30.0, 10.0),
    "last angle / degrees": (70.0, 50.0, 35.0, 25.0),
}


def profile(entry, rng, shift=0.0, counts=COUNTS, size=1000.0, last=70.0) -> Pattern:
    """A measured pattern of a crystal."""
    density = superposed(entry.crystal(), (48,) * 3)
    lines = PowderLines.plan(density.cell, WAVELENGTH, 78.0)
    two_theta = np.arange(8.0, last, 0.02)
    width = np.hypot(0.06, np.degrees(0.9 * WAVELENGTH / (size * np.cos(np.radians(lines.two_theta / 2.0)))))
    apart = two_theta[:, None] - lines.two_theta - shift
    smooth = pseudo_voigt(apart, width, 0.5) @ lines.areas(density)
    smooth = counts * (smooth / smooth.max() + 0.005)
    y = rng.poisson(smooth).astype(float)
    device = Instrument(radiation="xray", wavelengths=(WAVELENGTH,), geometry="debye-scherrer")
    return Pattern.create(two_theta, y, np.sqrt(np.maximum(y, 1.0)), instrument=device, name=entry.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prior")
    parser.add_argument("--crystals", type=int, default=12)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    enable_x64()
    prior = load_prior(options.prior)
    test = [e for e in perov5.read()["test"] if set(e.elements) <= set(prior.elements)]
    test = [test[k] for k in np.random.default_rng(0).permutation(len(test))[: options.crystals]]
    start, found = time.process_time(), {}
    for way, levels in WAYS.items():
        keyword = {"s": "shift", "c": "counts", "l": "last"}[way[0]] if way[:2] != "cr" else "size"
        for level in levels:
            key = f"{way}: {level:g}"
            same = next(
                (k for k in found if level == levels[0] and k.split(": ")[1] == f"{WAYS[k.split(': ')[0]][0]:g}"), None
            )
            if same is not None:
                found[key] = found[same]
                continue
            found[key] = scores(prior, test, keyword, level)
            a = np.array(found[key])
            print(
                f"{key}: SSIM predicted {a[:, 0].mean():.3f}, refined {a[:, 1].mean():.3f}, final atoms {np.nanmean(a[:, 2]):.3f}; "
                f"{int(a[:, 3].sum())} of {len(a)} fits failed; {time.process_time() - start:.0f} s of CPU",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(found), encoding="utf-8")
    if options.picture:
        draw(found, options.picture)


def scores(prior, test, keyword, level) -> list[list[float]]:
    # these lines are of valence electrons, as the densities are: nothing is to be converted
    plain = replace(prior, card={**prior.card, "electrons": "all-electron"})
    rows, shape = [], (POINTS,) * 3
    for k, entry in enumerate(test):
        truth, counts = superposed(entry.crystal(), shape), Counter(entry.elements)
        ssim = lambda density, poses=POSES, truth=truth: (
            compare(truth.values, density.values, poses=poses, shifts=True, most=4).ssim
        )
        try:
            pattern = profile(entry, np.random.default_rng((7, k)), **{keyword: level})
            fit = lebail(pattern, (entry.a * 1.001,) * 3 + (90.0,) * 3, "P m -3 m")
            lines = predicted_density(plain, fit, list(counts), missing="expected").pattern
            predicted = prior.predict(lines.edge, lines, counts)
            refined = prior.refine(predicted, lines)
            atoms = atoms_of_predicted((predicted, refined), counts, lines_of(lines, prior))
            # space groups have axes of their own, so that atoms need all poses
            final = ssim(superposed(atoms.crystal, shape, at_rest=True), "all")
            rows.append([ssim(predicted.density(shape)), ssim(refined.density(shape)), final, 0.0])
        except JaxnmrError as error:
            print(f"  {entry.name}: {str(error)[:150]}", flush=True)
            blind = prior.predict(entry.a, None, counts).density(shape)
            rows.append([ssim(blind)] * 2 + [float("nan"), 1.0])
    return rows


def draw(found, path: Path) -> None:
    """One panel for each way."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 4, figsize=(13.0, 3.3), sharey=True, layout="constrained")
    for ax, (way, levels) in zip(axes, WAYS.items(), strict=True):
        a = np.array([np.nanmean(np.array(found[f"{way}: {level:g}"]), axis=0) for level in levels])
        for column, (name, style) in enumerate((("predicted", "o--"), ("refined", "s-"), ("final atoms", "^:"))):
            ax.plot(range(len(levels)), a[:, column], style, label=name)
        ax.set_xticks(range(len(levels)), [f"{level:g}" for level in levels])
        ax.set_xlabel(way)
        ax.grid(alpha=0.3)
    axes[0].set_ylabel("mean SSIM")
    axes[0].legend()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
