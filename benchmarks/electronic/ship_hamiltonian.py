"""Put a trained model among those that come with the package, with a card that says how it was made.

    jaxnmr hamiltonian data ethanol --count 650 --out out/ethanol
    jaxnmr hamiltonian train out/ethanol.npz --train 500 --test 100 --epochs 42 --out out/network
    python benchmarks/electronic/ship_hamiltonian.py out/network ethanol-pbe-def2svp --data "jaxnmr hamiltonian data ..." --script "jaxnmr hamiltonian train ..."

The scores are those of the folder's ``result.json``: of the network, of regressions and of the start on the same tests.
"""

import argparse
import json
from pathlib import Path

from jaxnmr.electronic import HamiltonianModel
from jaxnmr.electronic.files import SHIPPED

LARGEST = 3_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of jaxnmr hamiltonian train")
    parser.add_argument("name")
    parser.add_argument("--data", required=True, help="the command that made the data")
    parser.add_argument("--script", required=True, help="the command that trained the model")
    args = parser.parse_args()
    model = HamiltonianModel.load(args.folder / "model.safetensors")
    result = json.loads((args.folder / "result.json").read_text(encoding="utf-8"))
    card = dict(model.card)
    card["history"] = [entry for entry in card["history"] if entry[3] is not None]
    card |= {
        "script": args.script,
        "data": args.data,
        "licence of the data": "made by pyscf with the command above; BSD-3-Clause as the package",
        "seed": card["recipe"]["seed"],
        "scores": result["result"]["errors"],
        "versions": result["versions"],
    }
    SHIPPED.mkdir(exist_ok=True)
    file = model.replace(card=card).save(SHIPPED / f"{args.name}.safetensors")
    size = file.stat().st_size
    if size > LARGEST:
        file.unlink()
        raise SystemExit(f"the file has {size} bytes; expected at most {LARGEST}")
    print(f"{file}: {size} bytes")


if __name__ == "__main__":
    main()
