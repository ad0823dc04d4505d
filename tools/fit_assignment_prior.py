"""Fit what `jn.solve.structure` knows beforehand: on which Wyckoff positions elements sit, and how much room they take up.

    JAXNMR_DATA=/path/to/data python tools/fit_assignment_prior.py [--check]

Crystals are those of `openchemistry_crystals` and JARVIS (`crystals_jarvis`) without the entries of `benchmarks/solve/lists.json`, hydrogen
left out. Weights of the prior are those of a conditional logit over all options of each element of each crystal; volumes are least
squares of relative errors. Writes `jaxnmr/solve/direct/prior.json` with scores of five-fold cross-validation over crystals; `--check`
only prints them.
"""

import argparse
import json
import os
import warnings
import zipfile
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy.optimize import minimize, nnls

import jaxnmr as jn
from jaxnmr.crystal import element_of, volume
from jaxnmr.solve.direct.assignments import Assignments
from jaxnmr.solve.direct.prior import MOST_OPTIONS, NAMES, features, kinds, options, ways
from jaxnmr.solve.direct.wyckoff import wyckoff_positions

ROOT = Path(__file__).parents[1]
SEED = 20261130
FOLDS = 5
MOST_ATOMS = 60
# crystals on which the order of assignments is looked at, and how far
CHECKED, FURTHEST = 200, 5000
RIDGE = 1.0


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--check", action="store_true", help="print scores, write nothing")
    only_check = arguments.parse_args().check
    entries = [entry for entry in map(described, crystals(Path(os.environ["JAXNMR_DATA"]))) if entry is not None]
    rng = np.random.default_rng(SEED)
    fold = rng.integers(FOLDS, size=len(entries))
    ranks, errors = [], []
    small = [k for k, e in enumerate(entries) if sum(e["atoms"].values()) <= MOST_ATOMS]
    looked = set(rng.choice(small, min(CHECKED, len(small)), replace=False).tolist())
    for f in range(FOLDS):
        train = [e for k, e in enumerate(entries) if fold[k] != f]
        weights, (volumes, _) = fit_weights(train), fit_volumes(train)
        for k in np.flatnonzero(fold == f):
            expected = sum(n * volumes.get(e, np.median(list(volumes.values()))) for e, n in entries[k]["all"].items())
            errors.append(np.log(entries[k]["volume"] / expected))
            if k in looked:
                ranks.append(rank(entries[k], weights))
    ranks = np.array(ranks)
    scores = {f"first {n}": round(float((ranks <= n).mean()), 4) for n in (1, 10, 100, 1000)} | {
        "crystals": len(ranks),
        "spread of volumes": round(float(np.std(errors)), 3),
    }
    print(scores)
    weights, (volumes, spread) = fit_weights(entries), fit_volumes(entries)
    print({name: round(float(w), 2) for name, w in zip(NAMES, weights, strict=True)}, len(entries), spread)
    if only_check:
        return
    card = {
        "data": "openchemistry_crystals and JARVIS (dft_3d, Tc), without the entries of benchmarks/solve/lists.json",
        "crystals": len(entries), "seed": SEED, "cross-validation": scores, "made by": "tools/fit_assignment_prior.py",
    }  # fmt: skip
    made = {
        "card": card, "names": list(NAMES), "weights": [round(float(w), 4) for w in weights],
        "contents": {"spread": round(float(np.std(errors)), 3), "volumes": {e: round(v, 2) for e, v in sorted(volumes.items())}},
    }  # fmt: skip
    target = ROOT / "jaxnmr/solve/direct/prior.json"
    target.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")


def crystals(data: Path):
    """Ordered crystals that no list names."""
    lists = json.loads((ROOT / "benchmarks/solve/lists.json").read_text(encoding="utf-8"))
    held = {Path(name).name for key in ("development", "second") for name in lists[key]}
    for path in sorted((data / "openchemistry_crystals").rglob("*.cif")):
        if path.stem not in held:
            try:
                yield jn.read_crystal(path)
            except jn.errors.JaxnmrError:
                continue
    with zipfile.ZipFile(data / "crystals_jarvis/dft_3d_Tc_supercon.json.zip") as archive:
        parts = json.loads(archive.read(archive.namelist()[0]))
    with TemporaryDirectory() as there:
        for name, text in sorted({k: v for part in parts.values() for k, v in part.items()}.items()):
            if name not in held:
                path = Path(there) / f"{name}.vasp"
                path.write_text(text.replace("\\n", "\n"), encoding="utf-8")
                yield jn.read_crystal(path)


def described(crystal: jn.Crystal) -> dict | None:
    """Contents, volume and assignment of a crystal; nothing of a disordered one."""
    elements = [element_of(s)[0] for s in crystal.species]
    heavy = [k for k, e in enumerate(elements) if e not in ("H", "D")]
    if not heavy or (np.asarray(crystal.occupancy) != 1.0).any():
        return None
    positions = wyckoff_positions(crystal.group)
    atoms: dict[str, int] = {}
    every: dict[str, int] = {}
    sites: dict[str, list[int]] = {}
    for k, site in enumerate(crystal.sites()):
        name = "H" if elements[k] == "D" else elements[k]
        every[name] = every.get(name, 0) + site.multiplicity
        if k in heavy:
            atoms[name] = atoms.get(name, 0) + site.multiplicity
            sites.setdefault(name, []).append(position_of(positions, site.xyz, site.multiplicity))
    if any(None in found for found in sites.values()):
        return None
    return {
        "group": crystal.group, "cell": np.asarray(crystal.cell, dtype=float), "atoms": atoms, "all": every, "sites": sites,
        "volume": float(volume(np.asarray(crystal.cell, dtype=float))),
    }  # fmt: skip


def position_of(positions, xyz, multiplicity: int) -> int | None:
    """The Wyckoff position through a point: the one of its multiplicity with an atom whose subspace holds the point."""
    for position in positions.every:
        if position.multiplicity != multiplicity:
            continue
        if position.dof == 3:
            return position.number
        for matrix, shift in zip(position.matrices, position.shifts, strict=True):
            for image in np.indices((3, 3, 3)).reshape(3, -1).T - 1:
                delta = xyz - shift + image
                delta = (
                    delta
                    if position.dof == 0
                    else delta - matrix @ np.linalg.lstsq(matrix.astype(float), delta, rcond=None)[0]
                )
                if np.abs(delta).max() < 2e-3:
                    return position.number
    return None


def fit_weights(entries: list[dict]) -> np.ndarray:
    """Conditional logit over the options of every element."""
    choices = [choice for entry in entries for choice in entry.setdefault("choices", list(_choices(entry)))]

    def objective(w: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = 0.5 * RIDGE * w @ w, RIDGE * w
        for table, number, chosen in choices:
            score = table @ w + number
            top = score.max()
            p = np.exp(score - top)
            total = p.sum()
            value += top + np.log(total) - score[chosen]
            slope = slope + p @ table / total - table[chosen]
        return value, slope

    return minimize(objective, np.zeros(len(NAMES)), jac=True, method="L-BFGS-B").x


def _choices(entry: dict):
    listed = kinds(wyckoff_positions(entry["group"]))
    for element, atoms in entry["atoms"].items():
        every = list(islice(options(listed, atoms), MOST_OPTIONS))
        true = tuple(sum(k in kind.members for k in entry["sites"][element]) for kind in listed)
        if len(every) > 1 and true in every:
            yield (
                features(listed, np.array(every), element),
                np.array([ways(listed, c) for c in every]),
                every.index(true),
            )


def fit_volumes(entries: list[dict]) -> tuple[dict[str, float], float]:
    """Å³ that an atom of each element takes up, and the relative spread of cells about their sums."""
    names = sorted({e for entry in entries for e in entry["all"]})
    rows = np.array([[entry["all"].get(e, 0) / entry["volume"] for e in names] for entry in entries])
    # elements that are rare lean on the mean
    common, strength = 15.0, 0.02
    solution = nnls(
        np.vstack([rows, strength * np.eye(len(names))]),
        np.append(np.ones(len(rows)), np.full(len(names), strength * common)),
    )[0]
    return dict(zip(names, solution.tolist(), strict=True)), float(np.std(np.log(np.maximum(rows @ solution, 1e-3))))


def rank(entry: dict, weights: np.ndarray) -> int:
    """Which assignment of a crystal is the true one, up to `FURTHEST`."""
    try:
        assignments = Assignments(entry["group"], entry["cell"], entry["atoms"], weights)
    except jn.errors.SymmetryError:
        return FURTHEST + 1
    true = assignments.canonical(tuple(tuple(sorted(entry["sites"][e])) for e in assignments.elements))
    for k, assignment in enumerate(islice(assignments, FURTHEST), start=1):
        if assignment == true:
            return k
    return FURTHEST + 1


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
