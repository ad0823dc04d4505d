"""Calibrates the uncertainty of the models that come with jaxnmr again; what they predict stays as it is, to the last bit.

    JAXNMR_DATA=/path/to/data python tools/recalibrate.py [silica-29si silica-efg gehlenite-efg]

Data and split are those of ``examples/training/<name>.toml``: the validation part calibrates, the test part says how often
intervals hold, within structures and between them. Both go to the card of the model, with the data, the seed and this file.
"""

import dataclasses
import sys
from pathlib import Path

import numpy as np

from jaxnmr.models import TensorModel
from jaxnmr.models.tensors.calibration import calibrate, coverage
from jaxnmr.models.tensors.checkpoint import SHIPPED, read_checkpoint, shipped_models
from jaxnmr.models.tensors.experiment import structure_mark
from jaxnmr.runfile.training import load_training

ROOT = Path(__file__).resolve().parents[1]


def recalibrate(name: str) -> None:
    """Write the model with its new calibration, and print how it does on the test part."""
    experiment = load_training(ROOT / "examples" / "training" / f"{name}.toml").experiment
    prepared, model = experiment.prepare(), TensorModel.load(name)
    marks = sorted(structure_mark(structure) for structure in prepared.part("valid").structures)
    if marks != sorted(model.card.training["structures"]["valid"]):
        raise SystemExit(f"{name}: these are not the data, or not the split, that it was followed on")
    found = calibrate(model, prepared.part("valid"))
    test = coverage(found, prepared.part("test"))
    print(f"{name}\n{test}")
    how = {
        "script": "tools/recalibrate.py", "source": prepared.data.source, "seed": experiment.split.seed, "part": "valid",
        "structures": len(prepared.part("valid")), "test_structures": len(prepared.part("test")),
        "test": {f"{r.element} {r.quantity}": [r.atoms, round(r.within_68, 4), round(r.within_95, 4)] for r in test.rows},
    }  # fmt: skip
    card = dataclasses.replace(found.card, training={**model.card.training, "calibration": how})
    file = SHIPPED / f"{name}.safetensors"
    before = read_checkpoint(file, None)[2]
    model.replace(card=card).save(file)
    after = read_checkpoint(file, None)[2]
    assert before.keys() == after.keys() and all(np.array_equal(before[k], after[k]) for k in before)


if __name__ == "__main__":
    for each in sys.argv[1:] or shipped_models():
        recalibrate(each)
