"""How wrong the minima of energy models are, measured on crystal structures that were determined by diffraction.

    python tools/calibrate_energy.py --data /path/to/data --log errors.jsonl [--write]

Measured structures (fully occupied, without hydrogen, near room temperature, published since 1960 and not taken from a
compilation) are divided by chance into a half that errors are estimated from and a half that they are tried on. At the measured
cell, the nearest minimum of a model is found, and force constants H there. An error e and a displacement s give places the covariance
e H^-1 + s^2. They are those of the most likely Student distribution
of 2 degrees of freedom (some structures were determined badly, and models fail for some), as a normal distribution with the same
95 % interval. What is written to jaxnmr/energy/calibration.json is estimated from all structures, with the coverage that estimates
from one half have on the other, for this division and on average over others. The log has a line for every structure and model, and
what is in it is not calculated again.
"""

from __future__ import annotations

import argparse
import json
import re
import warnings
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.stats import t as student

import jaxnmr as jn
from jaxnmr.crystal.crystal import block_diagonal
from jaxnmr.energy import EnergyModel
from jaxnmr.errors import JaxnmrError
from jaxnmr.objective.source import EnergyError
from jaxnmr.terms.energy_modes import minimum_of, modes_of

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("antimonides", "arsenides", "carbides", "carbonates", "halides", "nitrides", "other", "oxides", "phosphides",
           "selenides", "silicates", "sulfates", "sulfides", "titanates")  # fmt: skip
MODELS = ("chgnet-r2scan", "chgnet-0.3.0")
SEED, DIVISIONS, MOST_ATOMS, HOTTEST_K = 2026, 20, 48, 400.0


def measured(data: Path) -> dict[str, jn.Crystal]:
    """Crystals by name of the file."""
    found = {}
    for folder in FOLDERS:
        for path in sorted((data / "openchemistry_crystals" / folder).glob("*.cif")):
            text = path.read_text(errors="ignore")
            year = re.search(r"_journal_year\s+'?(\d{4})", text)
            hot = re.search(r"_(?:cell_measurement|diffrn_ambient)_temperature\s+'?([\d.]+)", text)
            formula = (re.search(r"_chemical_formula_sum\s+'?([^'\n]*)", text) or ["", ""])[1]
            if (
                year is None
                or int(year[1]) < 1960
                or "Crystal Structures" in text
                or re.search(r"\b[HD]\d*\b", formula)
            ):
                continue
            if hot is not None and float(hot[1]) > HOTTEST_K:
                continue
            try:
                crystal = jn.read_crystal(path)
            except JaxnmrError:
                continue
            atoms = sum(site.multiplicity for site in crystal.sites()) / len(crystal.group.centring)
            full = float(np.min(crystal.occupancy)) > 1.0 - 1e-6
            if free(crystal) and full and atoms <= MOST_ATOMS and not set(crystal.elements) & {"H", "D"}:
                found[f"{folder}/{path.stem}"] = crystal
    return found


def measure(crystal: jn.Crystal, model: EnergyModel) -> dict:
    """Where the minimum is, along the directions that the energy holds, and what these are in Å."""
    basis = np.concatenate([np.zeros((6, free(crystal))), block_diagonal([s.xyz_basis() for s in crystal.sites()])])
    source, lowest = minimum_of("energy", model.for_phase("crystal", crystal), "energy", crystal, basis)
    modes = modes_of("energy", source, "energy", lowest, basis)
    away = modes.changes @ np.concatenate([np.zeros(6), (np.asarray(crystal.xyz) - np.asarray(lowest.xyz)).ravel()])
    shapes = (modes.left @ modes.shapes)[6:]
    directions, elements = [], []
    for k, site in enumerate(crystal.sites()):
        own = np.linalg.qr(np.asarray(crystal.lattice()).T @ site.xyz_basis())[0]
        directions += (own.T @ shapes[3 * k : 3 * k + 3]).tolist()
        elements += [crystal.elements[k]] * own.shape[1]
    shift = np.linalg.norm((shapes @ away).reshape(-1, 3), axis=1)
    atoms = np.array([site.multiplicity for site in crystal.sites()])
    ones = modes.covariance(EnergyError(np.full(crystal.n_sites, 1e-30), 1.0))
    return {
        "away": away.tolist(), "by_energy": modes.covariance(EnergyError(np.ones(crystal.n_sites), 0.0)).tolist(),
        "by_displacement": ones.tolist(), "directions": directions, "elements": elements,
        "rms": float(np.sqrt(atoms @ shift**2 / atoms.sum())), "loose": list(modes.loose),
    }  # fmt: skip


def free(crystal: jn.Crystal) -> int:
    """Number of coordinates that symmetry leaves free."""
    return sum(site.xyz_basis().shape[1] for site in crystal.sites())


def ratios(record: dict, error: float, displacement: float) -> np.ndarray:
    """Displacements of coordinates over their standard uncertainties."""
    covariance = error * np.array(record["by_energy"]) + displacement**2 * np.array(record["by_displacement"])
    directions = np.array(record["directions"])
    return directions @ np.array(record["away"]) / np.sqrt(np.einsum("ki,ij,kj->k", directions, covariance, directions))


def sizes(record: dict) -> np.ndarray:
    return np.array(record["directions"]) @ np.array(record["away"])


def estimate(records: list[dict], degrees: float = 2.0) -> tuple[float, float]:
    """Error (eV) and displacement (Å) of the most likely Student distribution, with its 95 % interval."""

    def surprise(logs: np.ndarray) -> float:
        error, displacement = np.exp(logs)
        ratio = np.concatenate([ratios(record, error, displacement) for record in records])
        sigma = np.abs(np.concatenate([sizes(record) for record in records]) / ratio)
        return float(np.sum(np.log(sigma) + (degrees + 1) / 2 * np.log1p(ratio**2 / degrees)))

    starts = [(np.log(e), np.log(s)) for e in (3e-4, 2e-3) for s in (1e-3, 1e-2)]
    best = min((minimize(surprise, start, method="Nelder-Mead") for start in starts), key=lambda found: found.fun)
    error, displacement = np.exp(best.x)
    factor = student.ppf(0.975, degrees) / 1.96
    return error * factor**2, displacement * factor


def coverage(records: list[dict], error: float, displacement: float) -> dict[str, float]:
    ratio = np.concatenate([ratios(record, error, displacement) for record in records])
    inside = lambda limit: round(float(np.mean(np.abs(ratio) < limit)), 3)
    return {"coordinates": ratio.size, "68%": inside(0.9945), "95%": inside(1.96)}


def by_element(records: list[dict], error: float, displacement: float) -> dict[str, dict[str, float]]:
    """How elements fare: number of coordinates, rms displacement in Å, and the same in standard uncertainties."""
    elements = np.array([e for record in records for e in record["elements"]])
    off = np.concatenate([sizes(record) for record in records])
    ratio = np.concatenate([ratios(record, error, displacement) for record in records])
    rms = lambda of: round(float(np.sqrt(np.mean(of**2))), 4)
    return {
        str(e): {"coordinates": int(np.sum(elements == e)), "rms": rms(off[elements == e]), "rms / sigma": rms(ratio[elements == e])}
        for e in np.unique(elements)
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    jn.enable_x64()
    crystals = measured(options.data)
    lines = options.log.read_text().splitlines() if options.log.exists() else []
    known = {(line["model"], line["name"]): line for line in map(json.loads, lines)}
    models = {name: EnergyModel.load(name) for name in MODELS}
    for name, crystal in crystals.items():
        for of, model in models.items():
            if (of, name) in known:
                continue
            try:
                found = measure(crystal, model)
            except JaxnmrError as error:
                found = {"refused": str(error)}
            known[of, name] = {"model": of, "name": name, **found}
            with options.log.open("a") as log:
                log.write(json.dumps(known[of, name]) + "\n")
            said = found.get("refused") or f"{found['rms']:.4f} Å"
            print(of, name, said, flush=True)
    made = {}
    for of in MODELS:
        good = {name: known[of, name] for name in sorted(crystals) if known[of, name].get("away")}
        error, displacement = estimate(list(good.values()))
        rng, tries = np.random.default_rng(SEED), []
        for _ in range(DIVISIONS):
            order = rng.permutation(list(good))
            halves = [[good[name] for name in order[k::2]] for k in range(2)]
            found = estimate(halves[0])
            tries.append((order[1::2].tolist(), found, coverage(halves[1], *found)))
        made[of] = {
            "errors_ev": {"": round(error, 5)},
            "displacement": round(displacement, 4),
            "structures": list(good),
            "far from a minimum": [name for name in crystals if name not in good],
            "kept back": {
                "structures": tries[0][0], "errors_ev": round(tries[0][1][0], 5), "displacement": round(tries[0][1][1], 4),
                **tries[0][2],
            },
            "kept back, mean of divisions": {
                "divisions": DIVISIONS, **{k: round(float(np.mean([c[k] for *_, c in tries])), 3) for k in ("68%", "95%")},
            },
            "by_element": by_element(list(good.values()), error, displacement),
            "seed": SEED,
            "data": "openchemistry_crystals (COD, public domain)",
        }  # fmt: skip
        print(of, json.dumps({k: v for k, v in made[of].items() if k != "by_element"}, indent=1, ensure_ascii=False))
    if options.write:
        path = ROOT / "jaxnmr" / "energy" / "calibration.json"
        path.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
