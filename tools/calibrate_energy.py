"""How wrong the minima of energy models are, measured on crystal structures that were determined by diffraction.

    python tools/calibrate_energy.py --data /path/to/data --log errors.jsonl [--write]

Measured structures (fully occupied, without hydrogen, near room temperature, published since 1960 and not taken from a
compilation) are divided by chance into a half that errors are estimated from and a half that they are tried on. At the measured
cell a model with force constants H and forces g at the measured coordinates puts its minimum at H^-1 g. With an error of 1 eV per
atom and coordinate the residuals of `jaxnmr.EnergyTerm` are r; the error is the mean of r². It is written, with the coverage of
68 % and 95 % intervals on the other half, to jaxnmr/energy/calibration.json. The log has a line for every structure and model and
is not calculated again.
"""

from __future__ import annotations

import argparse
import json
import re
import warnings
from pathlib import Path

import numpy as np

import jaxnmr as jn
from jaxnmr.energy import EnergyModel
from jaxnmr.errors import JaxnmrError

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("antimonides", "arsenides", "carbides", "carbonates", "halides", "nitrides", "other", "oxides", "phosphides",
           "selenides", "silicates", "sulfates", "sulfides", "titanates")  # fmt: skip
MODELS = ("chgnet-r2scan", "chgnet-0.3.0")
SEED, MOST_ATOMS, HOTTEST_K = 2026, 48, 400.0
# an element has an error of its own from this many coordinates on
ENOUGH = 12


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
            free = sum(site.xyz_basis().shape[1] for site in crystal.sites())
            atoms = sum(site.multiplicity for site in crystal.sites()) / len(crystal.group.centring)
            full = float(np.min(crystal.occupancy)) > 1.0 - 1e-6
            if free and full and atoms <= MOST_ATOMS and not set(crystal.elements) & {"H", "D"}:
                found[f"{folder}/{path.stem}"] = crystal
    return found


def measure(crystal: jn.Crystal, model: EnergyModel) -> dict:
    """Residuals for an error of 1 eV, and by coordinate what a minimum is off and how uncertain it is."""
    objective = jn.Objective(jn.EnergyTerm(error_ev=1.0), crystal=crystal, models=model)
    term = objective.terms[0]
    state = objective.host_state(objective.parameters())
    r, softness = np.asarray(term.residuals(state)), np.asarray(term.softness)[6:]
    lattice = np.kron(np.eye(crystal.n_sites), np.asarray(crystal.lattice(), dtype=float).T)
    shapes = lattice @ softness
    # orthonormal directions that symmetry leaves free, site by site
    off, sigma, elements = [], [], []
    for k, site in enumerate(crystal.sites()):
        basis = np.linalg.qr(np.asarray(crystal.lattice()).T @ site.xyz_basis())[0]
        along = basis.T @ shapes[3 * k : 3 * k + 3]
        off += (along @ r).tolist()
        sigma += np.linalg.norm(along, axis=1).tolist()
        elements += [crystal.elements[k]] * basis.shape[1]
    size = shapes.reshape(crystal.n_sites, 3, -1)
    part = (size**2).sum(axis=1) * np.array([[site.multiplicity] for site in crystal.sites()])
    part = part / part.sum(axis=0)
    by_element = {e: part[[x == e for x in crystal.elements]].sum(axis=0).tolist() for e in set(crystal.elements)}
    rms = np.sqrt(np.mean([o**2 for o in off]))
    return {"r": r.tolist(), "parts": by_element, "off": off, "sigma": sigma, "elements": elements, "rms": float(rms)}


def estimate(records: list[dict]) -> dict[str, float]:
    """Errors by element, ``""`` for those with few coordinates."""
    squares = np.concatenate([np.square(record["r"]) for record in records])
    errors = {"": float(squares.mean())}
    for element in sorted({e for record in records for e in record["parts"]}):
        weight = np.concatenate([record["parts"].get(element, [0.0] * len(record["r"])) for record in records])
        if weight.sum() >= ENOUGH:
            errors[element] = float(weight @ squares / weight.sum())
    return errors


def coverage(records: list[dict], error: float) -> dict[str, float]:
    ratio = np.concatenate([np.divide(record["off"], record["sigma"]) for record in records]) / np.sqrt(error)
    inside = lambda limit: float(np.mean(np.abs(ratio) < limit))
    return {
        "coordinates": ratio.size,
        "68%": inside(0.9945),
        "95%": inside(1.96),
        "rms": float(np.sqrt(np.mean(ratio**2))),
    }


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
            print(
                of,
                name,
                found.get("refused") or f"{found['rms']:.4f} Å, mean r² {np.mean(np.square(found['r'])):.5f} eV",
                flush=True,
            )
    order = np.random.default_rng(SEED).permutation(sorted(crystals))
    halves = {"calibration": set(order[: (len(order) + 1) // 2]), "test": set(order[(len(order) + 1) // 2 :])}
    made = {}
    for of in MODELS:
        parts = {h: [known[of, n] for n in sorted(names) if "r" in known[of, n]] for h, names in halves.items()}
        refused = [n for n in crystals if "refused" in known[of, n]]
        errors = estimate(parts["calibration"])
        made[of] = {
            "errors_ev": {"": round(errors[""], 5)},
            "by_element_ev": {e: round(v, 5) for e, v in errors.items()},
            "structures": {h: [record["name"] for record in records] for h, records in parts.items()},
            "refused": refused,
            "coverage": {h: coverage(records, errors[""]) for h, records in parts.items()},
            "seed": SEED,
            "data": "openchemistry_crystals (COD, public domain)",
        }
        print(of, json.dumps(made[of], indent=1, ensure_ascii=False))
    if options.write:
        path = ROOT / "jaxnmr" / "energy" / "calibration.json"
        path.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
