"""Descriptions of networks: what is refused before anything is computed."""

import dataclasses
import json

import numpy as np
import pytest
from small_tensor_models import config

from jaxnmr.errors import ConventionError, ShapeError
from jaxnmr.models import HeadConfig, NetworkConfig
from jaxnmr.models.networks.irreps import cartesian, components, tensor_basis
from jaxnmr.models.networks.network import envelope, radial_basis


def test_known_quantities_bring_their_irreps_unit_and_sign():
    shielding, efg = (HeadConfig(name=name, elements=("Si",)) for name in ("shielding", "efg"))
    assert (shielding.irreps, shielding.unit) == ("1x0e+1x1e+1x2e", "ppm")
    assert (efg.irreps, efg.unit) == ("1x2e", "au")
    other = HeadConfig(name="born", irreps="0e+1e+2e", unit="e", sign="charge", elements=("O",))
    assert other.is_tensor and other.ranks == (0, 1, 2)
    assert not HeadConfig(name="dipole", irreps="2x1o", unit="D", sign="positive charge", elements=("O",)).is_tensor


def test_a_description_survives_json():
    text = json.dumps(config().to_dict())
    assert NetworkConfig.from_dict(json.loads(text)) == config()
    assert hash(NetworkConfig.from_dict(json.loads(text))) == hash(config())


HEAD = HeadConfig(name="efg", elements=("O",))
GOOD = dict(species=("O", "Si"), heads=(HEAD,))


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"species": ()}, "species"),
        ({"species": ("O", "O")}, "different elements"),
        ({"species": ("O", "Xx")}, "no element"),
        ({"species": ("Si",)}, "contains O"),
        ({"heads": ()}, "at least one"),
        ({"heads": (HEAD, HEAD)}, "different names"),
        ({"hidden": "8x0e+8x1o"}, "needs 2e"),
        ({"hidden": "8x1o+8x2e"}, "needs 0e"),
        ({"hidden": "nonsense"}, "not a valid irreps string"),
        ({"layers": 0}, "layers"),
        ({"layers": 2.5}, "layers"),
        ({"cutoff": -1.0}, "cutoff"),
        ({"cutoff": np.nan}, "cutoff"),
        ({"radial": 0}, "radial"),
    ],
)
def test_impossible_networks_are_refused(changes, words):
    with pytest.raises(ConventionError, match=words):
        NetworkConfig(**(GOOD | changes))


def test_an_antisymmetric_part_needs_axial_vectors_inside():
    head = HeadConfig(name="shielding", elements=("O",))
    with pytest.raises(ConventionError, match="needs 1e"):
        NetworkConfig(species=("O",), heads=(head,), hidden="8x0e+8x1o+8x2e")


def test_one_round_of_messages_makes_no_axial_vector():
    head = HeadConfig(name="shielding", elements=("O",))
    with pytest.raises(ConventionError, match="needs 1e, which 1 layers with lmax = 2 cannot make"):
        NetworkConfig(species=("O",), heads=(head,), layers=1)
    assert NetworkConfig(species=("O",), heads=(head,), layers=2).layers == 2
    with pytest.raises(ConventionError, match="needs 2e"):
        NetworkConfig(species=("O",), heads=(HEAD,), layers=1, lmax=1)


def test_heads_without_meaning_are_refused():
    with pytest.raises(ConventionError, match="needs irreps"):
        HeadConfig(name="charge", elements=("O",))
    with pytest.raises(ConventionError, match="expected 'au'"):
        HeadConfig(name="efg", unit="V/Å^2", elements=("O",))
    with pytest.raises(ConventionError, match="no element"):
        HeadConfig(name="efg", elements=())
    with pytest.raises(ConventionError, match="does not predict 'shielding'; it predicts efg"):
        NetworkConfig(**GOOD).head("shielding")


@pytest.mark.parametrize("change", [{"heads": None}, {"layers": None}, {"depth": 3}, {"hidden": 3}])
def test_descriptions_that_are_none_are_refused(change):
    with pytest.raises(ConventionError):
        NetworkConfig.from_dict(dataclasses.asdict(NetworkConfig(**GOOD)) | change)


def test_the_tensor_basis_is_that_of_e3nn():
    e3nn = pytest.importorskip("e3nn_jax")
    theirs = e3nn.reduced_tensor_product_basis("ij", i="1o", j="1o")
    assert str(theirs.irreps) == "1x0e+1x1e+1x2e"
    np.testing.assert_allclose(tensor_basis(), np.moveaxis(np.asarray(theirs.array), -1, 0), atol=1e-7)


def test_tensors_and_components_are_inverse():
    tensor = np.random.default_rng(0).normal(size=(4, 3, 3))
    np.testing.assert_allclose(cartesian(components(tensor, "0e+1e+2e"), "0e+1e+2e"), tensor, atol=1e-14)
    symmetric = 0.5 * (tensor + tensor.swapaxes(1, 2))
    np.testing.assert_allclose(cartesian(components(tensor, "0e+2e"), "0e+2e"), symmetric, atol=1e-14)
    traceless = symmetric - np.trace(symmetric, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)
    np.testing.assert_allclose(cartesian(components(tensor, "2e"), "2e"), traceless, atol=1e-14)
    np.testing.assert_allclose(
        np.linalg.norm(components(tensor, "0e+1e+2e"), axis=1), np.linalg.norm(tensor, axis=(1, 2))
    )
    with pytest.raises(ShapeError):
        cartesian(np.zeros((2, 4)), "2e")
    with pytest.raises(ShapeError):
        components(np.zeros((2, 9)), "2e")


def test_the_envelope_ends_with_value_slope_and_curvature_zero():
    x = np.array([0.0, 1.0, 1.0 - 1e-3])
    np.testing.assert_allclose(envelope(x), [1.0, 0.0, 56e-9], atol=4e-10)
    # its three lowest derivatives at 1 by the coefficients: 1 - 28 x^6 + 48 x^7 - 21 x^8
    polynomial = np.polynomial.Polynomial([1, 0, 0, 0, 0, 0, -28, 48, -21])
    assert polynomial(1.0) == polynomial.deriv(1)(1.0) == polynomial.deriv(2)(1.0) == 0
    np.testing.assert_allclose(envelope(np.linspace(0, 1, 7)), polynomial(np.linspace(0, 1, 7)), atol=1e-14)


def test_radial_functions_are_bessel_functions_under_the_envelope():
    x = np.array([0.1, 0.25, 0.6, 1.0])
    assert radial_basis(x.astype(np.float32), 5).dtype == np.float32
    basis = np.asarray(radial_basis(x, 5))
    expected = np.stack([n * np.pi / 4 * np.sinc(n * x) * np.asarray(envelope(x)) for n in range(1, 6)], axis=1)
    np.testing.assert_allclose(basis, expected, atol=1e-14)
    assert 0.5 < np.abs(basis[1]).max() < 1.5
