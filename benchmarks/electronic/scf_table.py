"""Put comparisons of ``jaxnmr hamiltonian scf`` side by side: one file of what was counted, and the tables.

    python benchmarks/electronic/scf_table.py out/diis out/newton out/others [--out benchmarks/measured/hamiltonian_scf.json]

Every folder is one comparison with a baseline of its own on the same geometries. Of each trial the counts, the energy and the state are kept.
"""

import argparse
import json
from pathlib import Path

from jaxnmr._tables import plain
from jaxnmr.electronic.scf.restart import Comparison, Trial

OUT = Path(__file__).resolve().parents[1] / "measured" / "hamiltonian_scf.json"
FIELDS = tuple(Trial.__dataclass_fields__)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    content = []
    for folder in args.folders:
        record = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        trials = [Trial(**{name: of[name] for name in FIELDS}) for of in record["result"]["trials"]]
        found = Comparison(tuple(trials), record["result"]["baseline"])
        print(plain(*found.cells()), *found.doubts(), sep="\n")
        content.append({
            "title": record["title"], "versions": record["versions"], "inputs": record["inputs"],
            "settings": record["result"]["settings"], "rows": found.rows(), "doubts": found.doubts(),
            "trials": [[getattr(t, name) for name in FIELDS] for t in trials],
        })  # fmt: skip
    args.out.write_text(json.dumps({"fields": FIELDS, "comparisons": content}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
