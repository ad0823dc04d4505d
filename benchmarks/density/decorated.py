"""Decorated prototypes: AFLOW prototypes with the elements of known formulas, at volumes guessed from elements.

    JAXNMR_DATA=... python benchmarks/density/decorated.py FOLDER --system cubic [--most 1500]

Formulas are those that CrystalNet was trained with (``crystalnet_splits``; ids of the Materials Project and formulas, no structures), without
the formulas of test crystals and of elements without valence atoms. Each is put on one prototype, drawn by seed, of those that have its ratios,
kind by kind. The volume is the sum of element volumes that were fitted to the train crystals (not negative least squares, relative errors),
with c/a and free coordinates of the prototype. **These are no measured and no calculated crystals.** Rows are appended to
``FOLDER/decorated_SYSTEM.jsonl`` one by one; a run that was stopped goes on.
"""

import argparse
import json
import os
import re
from collections import Counter
from functools import reduce
from math import gcd
from pathlib import Path

import gemmi
import numpy as np
from other_crystals import SYSTEMS, Entry, formula_of, parts, read
from scipy.optimize import nnls

from jaxnmr.crystal import volume
from jaxnmr.density import valence_elements

SPLITS = Path("crystalnet_splits")


def formulas(system: str) -> list[dict[str, int]]:
    """Formula units that the other model was trained with, of elements with valence atoms."""
    folder = Path(os.environ["JAXNMR_DATA"]) / SPLITS / system.capitalize()
    texts = sorted(
        {
            text
            for part in ("train_data.json", "extraTrain_data.json")
            for text in json.loads((folder / part).read_text(encoding="utf-8")).values()
        }
    )
    found = {formula_of(unit): unit for unit in map(_unit, texts) if set(unit) <= set(valence_elements())}
    return [found[key] for key in sorted(found)]


def _unit(text: str) -> dict[str, int]:
    """``K2Na(PO3)3`` as numbers; brackets do not nest in these files."""
    plain = re.sub(
        r"\(([^()]*)\)(\d*)",
        lambda m: "".join(f"{e}{int(n or 1) * int(m[2] or 1)}" for e, n in re.findall(r"([A-Z][a-z]?)(\d*)", m[1])),
        text,
    )
    unit: Counter[str] = Counter()
    for e, n in re.findall(r"([A-Z][a-z]?)(\d*)", plain):
        unit[e] += int(n or 1)
    common = reduce(gcd, unit.values())
    return {e: n // common for e, n in unit.items()}


def element_volumes(train: list[Entry]) -> tuple[dict[str, float], float]:
    """Å³ per atom of each element, fitted to crystals, and the relative standard deviation of what is left."""
    symbols = sorted({e for entry in train for e in entry.contents})
    rows = np.array([[entry.contents.get(e, 0) for e in symbols] for entry in train], dtype=float)
    space = np.array([float(volume(np.array(entry.row["cell"]))) for entry in train])
    found, _ = nnls(rows / space[:, None], np.ones(len(space)))
    spread = float(np.std(rows @ found / space))
    radii = np.array([gemmi.Element(e).covalent_r for e in symbols])
    factor = float(np.median((found / radii**3)[found > 1.0]))
    table = {
        e: v if v > 1.0 else factor * gemmi.Element(e).covalent_r ** 3 for e, v in zip(symbols, found, strict=True)
    }
    others = set(valence_elements()) - set(table)
    return table | {e: factor * gemmi.Element(e).covalent_r ** 3 for e in others}, spread


def decorated(
    unit: dict[str, int], prototypes: list[Entry], volumes: dict[str, float], rng: np.random.Generator
) -> dict | None:
    """A row like those of ``crystals.json``, or nothing where no prototype has these ratios."""
    ratios = sorted(unit.values())
    fitting = []
    for entry in prototypes:
        units = reduce(gcd, entry.contents.values())
        if sorted(n // units for n in entry.contents.values()) == ratios:
            fitting.append((entry, units))
    if not fitting:
        return None
    entry, units = fitting[int(rng.integers(len(fitting)))]
    mine = sorted(entry.contents, key=lambda e: (entry.contents[e], rng.random()))
    theirs = sorted(unit, key=lambda e: (unit[e], rng.random()))
    new = dict(zip(mine, theirs, strict=True))
    contents = {new[e]: n for e, n in entry.contents.items()}
    cell = np.array(entry.row["cell"], dtype=float)
    goal = sum(n * volumes[e] for e, n in contents.items())
    cell[:3] *= (goal / float(volume(cell))) ** (1.0 / 3.0)
    return entry.row | {
        "name": f"{formula_of(unit)} as {entry.name}", "source": "decorated", "contents": contents, "cell": cell.tolist(),
        "species": [new[e] for e in entry.row["species"]],
    }  # fmt: skip


def read_decorated(folder: Path, system: str) -> list[Entry]:
    """What :func:`main` wrote."""
    lines = (folder / f"decorated_{system}.jsonl").read_text(encoding="utf-8").splitlines()
    return [Entry(row) for row in map(json.loads, lines) if row]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--system", choices=SYSTEMS, required=True)
    parser.add_argument("--most", type=int, default=1500)
    options = parser.parse_args()
    entries = read(options.folder)
    mine = parts(entries, options.system)
    taken = {e.formula for system in SYSTEMS for e in parts(entries, system).test}
    volumes, spread = element_volumes([e for system in SYSTEMS for e in parts(entries, system).train])
    units = [unit for unit in formulas(options.system) if formula_of(unit) not in taken]
    order = np.random.default_rng(7).permutation(len(units))
    path = options.folder / f"decorated_{options.system}.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    made = sum(line != "null" for line in lines)
    with path.open("a", encoding="utf-8") as file:
        for k in order[len(lines) :]:
            if made >= options.most:
                break
            row = decorated(units[k], mine.types, volumes, np.random.default_rng([11, int(k)]))
            file.write(json.dumps(row) + "\n")
            made += row is not None
    tried = len(path.read_text(encoding="utf-8").splitlines())
    print(
        f"{options.system}: {made} decorated prototypes of {tried} formulas tried ({len(units)} there are), {len(mine.types)} types; element "
        f"volumes leave {spread:.1%} of those of the train crystals"
    )


if __name__ == "__main__":
    main()
