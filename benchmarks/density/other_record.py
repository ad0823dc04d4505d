"""Keep the numbers of ``other_lattices.py`` per crystal, without its atoms, and print them as a table.

python benchmarks/density/other_record.py cubic.json trigonal.json --out benchmarks/measured/density_other_lattices.json
"""

import argparse
import json
from pathlib import Path

import numpy as np
from other_scores import interval


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
    _print(kept)


def _print(kept: dict) -> None:
    """Mean SSIM with 95 % of bootstrap samples, median and mean PSNR of each system; then what became of the atoms."""
    print("| | " + " | ".join(f"{s}, SSIM | median | PSNR / dB" for s in kept) + " |")
    print("|:--|" + "--:|--:|--:|" * len(kept))
    for name in next(iter(kept.values()))["crystals"][0]["ssim_psnr"]:
        cells = []
        for one in kept.values():
            values = np.array([row["ssim_psnr"][name] for row in one["crystals"]])
            mean, low, high = interval(values[:, 0])
            cells.append(
                f"{mean:.3f} [{low:.3f}, {high:.3f}] | {np.median(values[:, 0]):.3f} | {values[:, 1].mean():.1f}"
            )
        print(f"| {name} | " + " | ".join(cells) + " |")
    for system, one in kept.items():
        for how in one["crystals"][0]["final"]:
            of = [row["final"][how] for row in one["crystals"]]
            r = np.array([x["r"] for x in of if x["r"] is not None])
            shares = {"same atoms": [x["same"] for x in of]}
            shares |= {name: [x["matches"][name] for x in of] for name in of[0].get("matches", {})}
            words = [
                f"{k} {m:.3f} [{low:.3f}, {high:.3f}]"
                for k, (m, low, high) in ((k, interval(v)) for k, v in shares.items())
            ]
            by = {key: sum(x["by"] == key for x in of) for key in ("isotype", "search", "nothing")}
            seconds = np.array([x["seconds"] for x in of])
            print(
                f"{system}, {how}: {', '.join(words)}; R median {np.median(r):.3f}; {by}; CPU median {np.median(seconds):.2f} s, "
                f"most {seconds.max():.1f} s"
            )


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
