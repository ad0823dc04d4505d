"""Keep the numbers of ``other_lattices.py`` per crystal, without its atoms.

python benchmarks/density/other_record.py cubic.json trigonal.json --out benchmarks/measured/density_other_lattices.json
"""

import argparse
import json
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    kept = {}
    for path in options.results:
        done = json.loads(path.read_text(encoding="utf-8"))
        crystals = []
        for row in done["crystals"]:
            final = {how: {k: _short(v) for k, v in one.items() if k != "crystal"} for how, one in row["final"].items()}
            rows = {name: [_short(v) for v in pair] for name, pair in row["rows"].items()}
            plain = {
                k: _short(row[k]) for k in ("name", "source", "formula", "group", "dof", "areas", "atoms", "seconds")
            }
            crystals.append(plain | {"ssim_psnr": rows, "final": final})
        kept[done["system"]] = {k: done[k] for k in ("train", "types", "weights")} | {"crystals": crystals}
    options.out.write_text(_text(kept), encoding="utf-8")


def _short(value):
    return (
        round(value, 4)
        if isinstance(value, float) and abs(value) < 1e9
        else None
        if isinstance(value, float)
        else value
    )


def _text(kept: dict) -> str:
    """A line for every crystal."""
    systems = []
    for system, one in kept.items():
        head = "".join(f"  {json.dumps(k)}: {json.dumps(v)},\n" for k, v in one.items() if k != "crystals")
        rows = ",\n".join(f"   {json.dumps(row)}" for row in one["crystals"])
        systems.append(f' {json.dumps(system)}: {{\n{head}  "crystals": [\n{rows}\n  ]\n }}')
    return "{\n" + ",\n".join(systems) + "\n}\n"


if __name__ == "__main__":
    main()
