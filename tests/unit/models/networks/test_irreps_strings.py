"""Strings of irreps are read, simplified and regrouped as e3nn does, without it."""

import subprocess
import sys
from pathlib import Path

import e3nn_jax as e3nn
import pytest

from jaxnmr.models.networks.irreps import Irrep, Irreps
from jaxnmr.models.tensors.checkpoint import find_checkpoint, read_checkpoint, shipped_models
from jaxnmr.models.tensors.tensor_model import TensorModel, _names_and_shapes

ROOT = Path(__file__).resolve().parents[4]
TEXTS = [
    "0e", "1x0e+1x1e+1x2e", "16x0e+16x1o+8x1e+8x2e", " 2e + 3x 0o+0e", "1e+1e+0e+1e", "1e+0x0e+1e", "3y+2y+1y+0y", "0x0e", "",
    "2o+1e+0e+1e+0o+2e+1o+12x3e",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_strings_are_read_simplified_and_regrouped_as_e3nn_does(text):
    own, other = Irreps.read(text), e3nn.Irreps(text.replace("x ", "x"))
    assert [(mul, ir.l, ir.p) for mul, ir in own] == [(mul, ir.l, ir.p) for mul, ir in other]
    written = lambda irreps: "+".join(map(str, irreps))
    assert str(own) == written(other)
    assert str(own.simplify()) == written(other.simplify()) and str(own.regroup()) == written(other.regroup())
    assert sum(ir.dim for ir in own.each) == other.dim


@pytest.mark.parametrize("text", ["0e+", "e", "0z", "1x", "x0e", "-1x0e", "0e 1e", "2x2x0e"])
def test_what_is_no_string_of_irreps_is_refused(text):
    with pytest.raises(ValueError, match="no string of irreps"):
        Irreps.read(text)


def test_products_contain_what_those_of_e3nn_do():
    for a in (Irrep(0, 1), Irrep(1, -1), Irrep(2, 1)):
        for b in (Irrep(1, 1), Irrep(3, -1)):
            assert [str(ir) for ir in a.times(b)] == [str(ir) for ir in e3nn.Irrep(str(a)) * e3nn.Irrep(str(b))]


def test_a_model_is_read_without_the_libraries_it_was_built_with():
    script = """
import sys
from jaxnmr.models.tensors.tensor_model import TensorModel
model = TensorModel.load("silica-29si")
print(model.count > 1000, [name for name in ("e3nn_jax", "flax", "optax") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split(maxsplit=1) == ["True", "[]\n"]


@pytest.mark.parametrize("name", shipped_models())
def test_the_numbers_of_models_that_come_with_the_package_have_the_shapes_of_their_networks(name):
    """Where they are read, nobody looks."""
    arrays = read_checkpoint(find_checkpoint(name), _names_and_shapes)[2]
    assert TensorModel.load(name).count > 0 and len(arrays) > 10
