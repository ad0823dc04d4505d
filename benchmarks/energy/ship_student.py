"""Give a trained potential of silica its memory of the training and its card.

    python benchmarks/energy/ship_student.py MODEL FOLDER... --out FILE [--scores benchmarks/measured/student.json] [--name silica-r2scan]

To be called before `student_scores.py`, which asks for the novelty, and after it with its scores; ``--out`` a name without a suffix puts
the file among those that come with the package.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from train_student import SPECIES, frames_of

from jaxnmr.energy.chgnet import CHGNet
from jaxnmr.energy.equivariant.files import SHIPPED
from jaxnmr.energy.equivariant.potential import NetworkPotential
from jaxnmr.energy.equivariant.training import with_novelty

LARGEST = 2_000_000
MASSES = {"O": 15.999, "Si": 28.085}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scores", type=Path)
    parser.add_argument("--name", default="silica-r2scan")
    args = parser.parse_args()
    parts = {split: frames_of(args.folders, split) for split in ("train", "valid", "test")}
    model = NetworkPotential.load(args.model)
    if not model.environments:
        model = with_novelty(model, parts["train"], [*parts["valid"], *parts["test"]])
    teacher = CHGNet.load("r2scan").card
    grams = lambda part: sum(MASSES[element] for element in part.elements) * 1.66053907
    densities = [grams(p) / abs(np.linalg.det(v)) for p in parts["train"] for v in p.lattices]
    moving = [p.about["stages"] for p in parts["train"] if p.about["kind"] not in ("shaken", "glass")]
    temperatures = [kelvin for stages in moving for begin, end, _, every in stages if every for kelvin in (begin, end)]
    own = dict(model.card)
    scores = json.loads(args.scores.read_text(encoding="utf-8")) if args.scores else {}
    card = {
        "name": args.name,
        "theory": f"{teacher['theory']}, as CHGNet has learned it",
        "teacher": {key: teacher[key] for key in ("name", "citation", "copyright", "licence", "training")},
        "licence": "BSD-3-Clause as the package; the labels are those of the teacher, whose notice is in energy/chgnet/weights/LICENSE",
        "elements": list(SPECIES),
        "composition": "SiO2",
        "domain": "crystals of SiO2 with silicon among four; see the scores for what forces of glasses and melts are worth",
        "frames": {split: {"trajectories": len(of), "frames": sum(map(len, of))} for split, of in parts.items()},
        "temperatures_k": [float(min(temperatures)), float(max(temperatures))],
        "densities_g_cm3": [round(float(np.percentile(densities, q)), 3) for q in (1, 99)],
        "scripts": ["silica_frames.py", "silica_labels.py", "train_student.py", "ship_student.py", "student_scores.py"],
        "recipes": own.get("recipes", []),
        "histories": [[entry for entry in of if entry[4] is not None] for of in own.get("histories", [])],
        "scores": scores.get("errors", {}).get("student", {}),
    }
    out = args.out if args.out.suffix else SHIPPED / f"{args.out}.safetensors"
    out.parent.mkdir(parents=True, exist_ok=True)
    file = model.with_card(card).save(out)
    size = file.stat().st_size
    if size > LARGEST:
        file.unlink()
        raise SystemExit(f"the file has {size} bytes; expected at most {LARGEST}")
    print(f"{file}: {size} bytes", json.dumps({k: card[k] for k in ("frames", "temperatures_k", "densities_g_cm3")}))


if __name__ == "__main__":
    main()
