"""Densities of cubic and trigonal crystals outside of Perov-5 from their powder lines: isotypes beside retrieval, and atoms at the end.

    JAXNMR_DATA=... python benchmarks/density/other_lattices.py FOLDER --system cubic --json FILE [--crystals 60] [--search] [--seconds 10]

``FOLDER`` holds what ``other_crystals.py`` and ``decorated.py`` wrote. Patterns are areas of simulated lines, X-rays of Mo Kα1 (0.7093 Å) down
to d = 0.75 Å, scattered by all electrons with dispersion, U = 0.006 Å², noise of 3 % of each area and 0.2 % of the largest. Cell and space
group are known, as if the indexing was right. Densities are superposed valence atoms at rest on 50³ points of the conventional cell.

Rows: the mean of the train part; its crystal of the nearest composition; that of the nearest composition and pattern, with a weight tuned on
crystals of the train part; isotypes weighted by composition, volume and pattern, with the coordinates of the types and refined; and the final density,
of the best refined isotype where it fits, otherwise of the better one of it and of a direct-space search. The train part of the first three are
decorated prototypes and real crystals; isotypes are taken from AFLOW prototypes and the same real crystals. No formula of a test
crystal is in either. Results are appended to the JSON crystal by crystal; a run that was stopped goes on. ``--search`` then searches
for those that no isotype fits, and prints the tables.
"""

import argparse
import json
import time
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from decorated import read_decorated
from other_crystals import SYSTEMS, Entry, parts, read
from other_scores import density, interval, shifted_score, unshifted_scores

from jaxnmr._tables import plain
from jaxnmr.crystal import Crystal, volume
from jaxnmr.crystal.cell import reciprocal_metric
from jaxnmr.diffraction import Instrument
from jaxnmr.diffraction.reflections import plan_reflections
from jaxnmr.diffraction.scattering import scattering_factors
from jaxnmr.errors import JaxnmrError
from jaxnmr.solve import Intensities, simulated_intensities, structure
from jaxnmr.solve.direct.equivalence import SAME, apart, atoms_of
from jaxnmr.solve.direct.problem import uncertainty_of_root
from jaxnmr.solve.isotypes.fitting import site_waves
from jaxnmr.solve.isotypes.lines import Reflections, form_factors
from jaxnmr.solve.isotypes.mixture import Mixture, different_poses
from jaxnmr.solve.isotypes.proposals import Proposals, propose, refined_proposals
from jaxnmr.solve.isotypes.types import StructureType, structure_types

MO = Instrument(radiation="xray", wavelengths=(0.70932,))
D_MIN, U_ISO, B_TRAIN = 0.75, 0.006, 0.5
# V^(1/3)/d of the patterns that retrieval compares, and the width of its lines
GRID, WIDTH = np.linspace(0.6, 6.0, 271), 0.02
WEIGHTS = (0.0, 1.0, 3.0, 10.0, 30.0, 100.0)
# R of the square roots of areas below which an isotype is taken without a search, or so many times that of noise alone
FITS, OF_NOISE = 0.03, 1.5
# a search has to be so much better than an isotype to be taken
BETTER = 0.8
INPUTS = ("full", "elements", "none")


def smoothed(places: np.ndarray, powers: np.ndarray) -> np.ndarray:
    """Lines as a normalised curve of square roots."""
    curve = np.exp(-0.5 * ((GRID[:, None] - places) / WIDTH) ** 2) @ powers
    return np.sqrt(curve / max(curve.sum(), 1e-300))


def of_crystal(entry: Entry) -> np.ndarray:
    """The curve of a train crystal: sums of ``|F|²`` over the reflections of its lines."""
    crystal = entry.crystal
    one, cell = StructureType.of(crystal), np.asarray(crystal.cell, dtype=float)
    size = float(volume(cell)) ** (1.0 / 3.0)
    hkl, multiplicity = plan_reflections(crystal.group, cell, size / GRID[-1])
    s_sq = np.einsum("ni,ij,nj->n", hkl, reciprocal_metric(cell), hkl) / 4.0
    waves = site_waves(one, Reflections(hkl, s_sq, np.zeros((0, len(hkl)))), one.xyz)
    form = form_factors(scattering_factors(crystal.elements, "xray", MO.wavelengths[0]), s_sq)
    squares = np.abs((waves * form).sum(axis=1)) ** 2 * np.exp(-2.0 * B_TRAIN * s_sq)
    return smoothed(2.0 * size * np.sqrt(s_sq), multiplicity * squares)


def of_areas(intensities: Intensities) -> tuple[np.ndarray, np.ndarray]:
    """The curve of a test pattern, Lorentz and polarisation factors divided out, and which part of the grid it covers."""
    size = float(volume(intensities.cell)) ** (1.0 / 3.0)
    count = len(intensities.area)
    total = lambda of: np.bincount(intensities.members, of, minlength=count)
    q = 2.0 * np.sin(np.radians(intensities.two_theta / 2.0)) / MO.wavelengths[0] * size
    places = total(q * intensities.multiplicity) / total(intensities.multiplicity)
    powers = np.maximum(intensities.area, 0.0) * total(intensities.multiplicity) / total(intensities.weight)
    return smoothed(places, powers), GRID <= min(GRID[-1], size / D_MIN)


class Train(NamedTuple):
    """Train crystals with fractions of elements and patterns."""

    entries: list[Entry]
    symbols: list[str]
    fractions: np.ndarray
    curves: np.ndarray

    @classmethod
    def of(cls, entries: list[Entry]) -> "Train":
        symbols = sorted({e for entry in entries for e in entry.contents})
        return cls(
            entries, symbols, np.array([_fractions(e, symbols) for e in entries]), np.array([*map(of_crystal, entries)])
        )

    def nearest(self, entry: Entry, intensities: Intensities, weight: float, full: bool = True) -> Entry:
        """The crystal with the smallest ``5 · (elements that differ) + weight · sum (Δ√I)²``; not one of its formula."""
        mine = _fractions(entry, self.symbols)
        if full:
            apart_by = 2.5 * (np.abs(self.fractions - mine).sum(axis=1) + max(1.0 - mine.sum(), 0.0))
        else:
            ours, theirs = mine > 0, self.fractions > 0
            apart_by = 5.0 * (1.0 - (theirs & ours).sum(axis=1) / np.maximum((theirs | ours).sum(axis=1), 1))
        if weight:
            curve, inside = of_areas(intensities)
            shares = lambda of: of / np.sqrt(np.maximum((of**2).sum(axis=-1, keepdims=True), 1e-300))
            apart_by = apart_by + weight * ((shares(self.curves[:, inside]) - shares(curve[inside])) ** 2).sum(axis=1)
        apart_by = apart_by + np.array([1e9 * (other.formula == entry.formula) for other in self.entries])
        return self.entries[int(apart_by.argmin())]


def _fractions(entry: Entry, symbols: list[str]) -> np.ndarray:
    total = sum(entry.contents.values())
    return np.array([entry.contents.get(e, 0) / total for e in symbols])


def pattern(entry: Entry) -> Intensities:
    return simulated_intensities(entry.displaced(U_ISO), MO, d_min=D_MIN, seed=sum(map(ord, entry.name)))


def composition(entry: Entry, how: str):
    return {"full": {e: float(n) for e, n in entry.contents.items()}, "elements": sorted(entry.contents), "none": None}[
        how
    ]


def noise_of(intensities: Intensities) -> float:
    """R of the square roots of areas that noise alone is expected to leave."""
    root = np.sqrt(np.maximum(intensities.area, 0.0))
    return float(np.sqrt(2.0 / np.pi) * uncertainty_of_root(root, intensities.sigma).sum() / root.sum())


def fits(r_factor: float, intensities: Intensities) -> bool:
    return r_factor < max(FITS, OF_NOISE * noise_of(intensities))


def searched(intensities: Intensities, entry: Entry, how: str, seconds: float) -> tuple[Crystal, float] | None:
    """What a search in direct space finds, and its R."""
    known = composition(entry, how)
    try:
        found = structure(intensities, known if isinstance(known, dict) else dict.fromkeys(known), seconds=seconds)
    except JaxnmrError as error:
        print(f"  search of {entry.name}: {str(error)[:120]}")
        return None
    return found.best.crystal, found.best.r_factor


def full_cell(crystal: Crystal | None) -> dict | None:
    """All atoms, for programs that compare crystals."""
    if crystal is None:
        return None
    cell = crystal.expand()
    kinds = [crystal.elements[k] for k in np.asarray(cell.site)]
    return {"lattice": np.asarray(cell.lattice).tolist(), "species": kinds, "xyz": np.asarray(cell.fractional).tolist()}


def judged(entry: Entry, crystal: Crystal | None, r_factor: float, by: str, seconds: float) -> dict:
    """What is kept of a final structure."""
    distance = None if crystal is None else apart(entry.crystal, crystal)
    return {
        "by": by, "r": r_factor, "seconds": seconds, "crystal": full_cell(crystal), "group": None if crystal is None else crystal.group.name,
        "apart": distance, "same": distance is not None and distance <= SAME * atoms_of(entry.crystal).spacing,
    }  # fmt: skip


def both(intensities: Intensities, types, known) -> list[Proposals]:
    """Proposals as they are, and refined."""
    try:
        amortised = propose(intensities, types, known, refine=False)
        return [amortised, refined_proposals(amortised, intensities)]
    except JaxnmrError:
        return []


def rows_of_final(truth: np.ndarray, values: np.ndarray, shifted: tuple) -> dict[str, tuple]:
    every, rotations = unshifted_scores(truth, values)
    return {
        "final, full": shifted,
        "final, full, 48 permutations, no shift": every,
        "final, full, 24 rotations, no shift": rotations,
    }


def examined(entry: Entry, types, train: Train, weights: dict[str, float], mean: np.ndarray) -> dict:
    """All rows of one test crystal, without a search."""
    start, intensities = time.process_time(), pattern(entry)
    group, truth = entry.crystal.group, density(entry.crystal)
    score = lambda values, of: shifted_score(truth, values, different_poses(group, of))
    rows: dict[str, tuple] = {"train mean": score(mean, None)}
    known: dict[tuple, tuple] = {}

    def of(crystal: Crystal) -> tuple:
        key = (
            crystal.group,
            crystal.species,
            np.round(np.asarray(crystal.xyz), 6).tobytes(),
            np.asarray(crystal.cell).tobytes(),
        )
        if key not in known:
            known[key] = score(density(crystal), crystal.group)
        return known[key]

    hits = {"nearest composition": train.nearest(entry, intensities, 0.0)}
    hits |= {f"retrieval, {how}": train.nearest(entry, intensities, weights[how], how == "full") for how in INPUTS[:2]}
    rows |= {name: of(hit.crystal) for name, hit in hits.items()}
    record = {
        "name": entry.name, "source": entry.source, "formula": entry.formula, "group": group.name, "dof": entry.dof,
        "areas": len(intensities), "atoms": sum(entry.contents.values()), "truth": full_cell(entry.crystal), "final": {},
    }  # fmt: skip
    for how in INPUTS:
        begun = time.process_time()
        steps = both(intensities, types, composition(entry, how))
        spent = time.process_time() - begun
        for name, proposals in zip(("amortised", "refined"), steps or (None, None), strict=True):
            if proposals is None:
                rows[f"isotypes, {how}, {name}"] = rows["train mean"]
            elif max(p.weight for p in proposals) > 0.98:
                rows[f"isotypes, {how}, {name}"] = of(proposals.best.crystal)
            else:
                rows[f"isotypes, {how}, {name}"] = score(np.asarray(Mixture(proposals).mean().values), None)
        best = steps[1].best if steps else None
        crystal, r = (None, np.inf) if best is None else (best.crystal, best.r_factor)
        by = "nothing" if best is None else "isotype"
        record["final"][how] = judged(entry, crystal, r, by, spent) | {"fits": fits(r, intensities)}
        found = rows["train mean"] if crystal is None else of(crystal)
        rows |= (
            rows_of_final(truth, mean if crystal is None else density(crystal), found)
            if how == "full"
            else {f"final, {how}": found}
        )
    return record | {"rows": rows, "seconds": time.process_time() - start}


def tuned(train: Train, validation: list[Entry]) -> dict[str, float]:
    """The weight of the pattern with the highest mean SSIM on 24³ points."""
    found = {}
    for how in INPUTS[:2]:
        scores = np.zeros((len(validation), len(WEIGHTS)))
        for k, entry in enumerate(validation):
            intensities, truth = pattern(entry), density(entry.crystal, 24)
            for j, weight in enumerate(WEIGHTS):
                hit = train.nearest(entry, intensities, weight, how == "full").crystal
                scores[k, j] = shifted_score(truth, density(hit, 24), different_poses(entry.crystal.group, hit.group))[
                    0
                ]
        found[how] = WEIGHTS[int(scores.mean(axis=0).argmax())]
        print(
            f"{how}: mean SSIM by weight "
            + ", ".join(f"{w:g}: {s:.3f}" for w, s in zip(WEIGHTS, scores.mean(axis=0), strict=True))
        )
    return found


def search_all(done: dict, tests: list[Entry], path: Path, seconds: float) -> None:
    """Search for what no isotype fits, with what was known of the composition."""
    entries = {entry.name: entry for entry in tests}
    for how, row in product(INPUTS[:2], done["crystals"]):
        entry, before = entries[row["name"]], row["final"][how]
        if before["fits"] or "searched" in before:
            continue
        begun, intensities = time.process_time(), pattern(entry)
        found = searched(intensities, entry, how, seconds)
        spent = time.process_time() - begun
        before["searched"] = spent
        if found is not None and found[1] < BETTER * before["r"]:
            crystal, r = found
            after = judged(entry, crystal, r, "search", before["seconds"] + spent)
            row["final"][how] = after | {"fits": fits(r, intensities), "searched": spent}
            truth, values = density(entry.crystal), density(crystal)
            shifted = shifted_score(truth, values, different_poses(entry.crystal.group, crystal.group))
            row["rows"] |= rows_of_final(truth, values, shifted) if how == "full" else {f"final, {how}": shifted}
        path.write_text(json.dumps(done), encoding="utf-8")
        after, ssim = row["final"][how], row["rows"][f"final, {how}"][0]
        print(
            f"{entry.name} {how}: R {before['r']:.3f}, then {after['r']:.3f} by {after['by']}, SSIM {ssim:.3f}, {spent:.1f} s",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--system", choices=SYSTEMS, required=True)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--crystals", type=int, default=100)
    parser.add_argument("--validation", type=int, default=16)
    parser.add_argument("--search", action="store_true")
    parser.add_argument("--seconds", type=float, default=10.0, help="of processor time for a search")
    options = parser.parse_args()
    done = json.loads(options.json.read_text(encoding="utf-8")) if options.json.exists() else {"crystals": []}
    entries = parts(read(options.folder), options.system)
    names = {row["name"] for row in done["crystals"]}
    left = [entry for entry in entries.test[: options.crystals] if entry.name not in names]
    if left:
        start = time.process_time()
        train = Train.of([*read_decorated(options.folder, options.system), *entries.train])
        types = structure_types(e.crystal for e in (*entries.types, *entries.train))
        order = np.random.default_rng(5).permutation(len(entries.train))
        weights = done.get("weights") or tuned(train, [entries.train[k] for k in order[: options.validation]])
        chosen = np.random.default_rng(6).permutation(len(train.entries))[:150]
        mean = np.mean([density(train.entries[k].crystal) for k in chosen], axis=0)
        print(
            f"{len(train.entries)} train crystals, {len(types)} types; {time.process_time() - start:.0f} s of CPU",
            flush=True,
        )
        done |= {"system": options.system, "train": len(train.entries), "types": len(types), "weights": weights}
    for entry in left:
        row = examined(entry, types, train, weights, mean)
        done["crystals"].append(row)
        options.json.write_text(json.dumps(done), encoding="utf-8")
        last = {how: (round(row["final"][how]["r"], 3), round(row["rows"][f"final, {how}"][0], 3)) for how in INPUTS}
        print(f"{entry.name} {entry.formula} {row['group']} {row['dof']}: {last} {row['seconds']:.1f} s", flush=True)
    if options.search:
        search_all(done, entries.test, options.json, options.seconds)
    report(done)


def report(done: dict) -> None:
    crystals = done["crystals"]
    table = []
    for name in crystals[0]["rows"]:
        values = np.array([row["rows"][name] for row in crystals])
        mean, low, high = interval(values[:, 0])
        table.append(
            [
                name,
                f"{mean:.3f} [{low:.3f}, {high:.3f}]",
                f"{np.median(values[:, 0]):.3f}",
                f"{(values[:, 0] > 0.9).mean():.2f}",
                f"{values[:, 1].mean():.1f}",
            ]
        )
    print(plain(["", "SSIM mean", "median", "share > 0.9", "PSNR / dB"], table))
    for how in INPUTS:
        of = [row["final"][how] for row in crystals]
        same, r = interval([float(x["same"]) for x in of]), [x["r"] for x in of if np.isfinite(x["r"])]
        by = {key: sum(x["by"] == key for x in of) for key in ("isotype", "search", "nothing")}
        print(
            f"{how}: same atoms {same[0]:.2f} [{same[1]:.2f}, {same[2]:.2f}], median R {np.median(r):.3f}, by {by}, {np.mean([x['seconds'] for x in of]):.1f} s"
        )


if __name__ == "__main__":
    main()
