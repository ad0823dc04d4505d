"""Features of one model as the start of another."""

import dataclasses

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose
from small_tensor_data import frame

from jaxnmr.errors import ConventionError
from jaxnmr.graph import structure_graph
from jaxnmr.models import HeadConfig, NetworkConfig, TensorModel
from jaxnmr.models.tensors.transfer import transferred

SHIELDING = NetworkConfig(
    species=("Al", "O", "Si"),
    heads=(HeadConfig(name="shielding", irreps="0e+2e", elements=("Si",)),),
    hidden="4x0e+2x1o+3x2e",
    layers=2,
    cutoff=3.0,
    radial=4,
    radial_hidden=(8,),
)
EFG = dataclasses.replace(SHIELDING, species=("Si", "O"), heads=(HeadConfig(name="efg", elements=("O", "Si")),))
NEW = {"scale": {"efg": np.full((2, 1), 0.3)}, "shift": {"efg": np.zeros((2, 1))}}


@pytest.fixture(scope="module")
def source():
    return TensorModel.create(SHIELDING, key=jax.random.key(0))


def scalars(model):
    atoms = frame()
    graph = structure_graph(
        np.asarray(atoms.cell), atoms.positions, atoms.get_chemical_symbols(), cutoff=3.0, species=model.config.species
    )
    return np.asarray(jax.jit(lambda m, g: m.outputs(g).scalars)(model, graph))


def test_features_are_those_of_the_source_whatever_the_order_of_species(source):
    model = transferred(source, EFG, key=jax.random.key(1), **NEW)
    assert_allclose(scalars(model), scalars(source), rtol=1e-5, atol=1e-6)
    assert model.config == EFG and float(model.scale["efg"][0, 0]) == np.float32(0.3)


def test_heads_are_new_and_follow_the_key(source):
    heads = [transferred(source, EFG, key=jax.random.key(k), **NEW).weights["head_efg"] for k in (1, 1, 2)]
    first, same, other = (np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(h)]) for h in heads)
    assert (first == same).all() and (first != other).all()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"layers": 1}, "has layers = 2, the new one 1"),
        ({"cutoff": 4.0}, "has cutoff = 3.0, the new one 4.0"),
        ({"species": ("O", "Na", "Si")}, "never seen Na; it knows Al, O, Si"),
        (
            {"heads": (HeadConfig(name="vector", irreps="1o", unit="au", sign="up", elements=("O",)),)},
            "read other features",
        ),
    ],
)
def test_models_that_do_not_fit_are_refused(source, changes, match):
    config = dataclasses.replace(EFG, **changes)
    with pytest.raises(ConventionError, match=match):
        transferred(source, config, key=jax.random.key(1), scale={}, shift={})


def test_one_network_of_an_ensemble_must_be_chosen(source):
    with pytest.raises(ConventionError, match=r"model\.member\(0\)"):
        transferred(TensorModel.ensemble([source, source]), EFG, key=jax.random.key(1), **NEW)
