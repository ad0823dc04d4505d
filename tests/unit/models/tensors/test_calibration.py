"""Calibrated uncertainties: coverage on fresh atoms, propagation to what is read off, what a prediction says of them."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from small_tensor_models import ELEMENTS, LATTICE, POSITIONS, components, config, model, plain_graph, quartz

from jaxnmr.errors import ConventionError, DataError, ParameterError
from jaxnmr.io.structures.magres import Magres
from jaxnmr.models import ModelCard
from jaxnmr.models.data.tensor_data import TensorData
from jaxnmr.models.networks.irreps import cartesian, tensor_basis
from jaxnmr.models.tensors import calibration
from jaxnmr.models.tensors.calibration import LEVELS, calibrate, coverage, cross_coverage
from jaxnmr.models.tensors.ensemble import Judged, judge
from jaxnmr.models.tensors.propagation import propagated, read_off
from jaxnmr.nmr import ShiftReference, isotope

NU = 2.5
# everywhere, because every number of atoms is a program of its own
ATOMS = 1500


class OfQuantity:
    """Stands for data whose outputs are made up."""

    def __init__(self, quantity, judged):
        self.quantity, self.judged = quantity, judged


@pytest.fixture
def made_up(monkeypatch):
    monkeypatch.setattr(calibration, "judge", lambda model, data, batch: data.judged)


def heavy_tailed(quantity, seed, elements=("O",), a=0.5, b=2.0, nu=NU, atoms=ATOMS):
    """Errors of Student's t distribution around tensors of all shapes; their scale follows the spread, but for a part."""
    rng = np.random.default_rng(seed)
    head = config().head(quantity)
    dims = 2 * np.array(head.ranks) + 1
    judged = {}
    for element in elements:
        spread = np.exp(rng.normal(0.0, 0.8, (atoms, len(dims))))
        scale = np.repeat(np.hypot(a, b * spread), dims, axis=1) / np.sqrt(rng.chisquare(nu, (atoms, 1)) / nu)
        target = rng.normal(0.0, 20.0, (atoms, dims.sum()))
        judged[element] = Judged(
            target + scale * rng.normal(size=target.shape), target, spread, np.zeros((atoms, 1)), np.zeros(atoms)
        )
    return OfQuantity(quantity, judged)


@pytest.mark.parametrize("quantity, names", [("shielding", {"iso", "span", "skew"}), ("efg", {"vzz", "eta_q"})])
def test_intervals_of_heavy_tailed_errors_hold_what_they_say_on_fresh_atoms(made_up, quantity, names):
    calibrated = calibrate(model(), heavy_tailed(quantity, 1, ("O", "Si")))
    found = coverage(calibrated, heavy_tailed(quantity, 2, ("O", "Si")))
    assert {r.element for r in found.rows} == {"O", "Si"}
    assert {r.quantity for r in found.rows} == names | {f"l{l}" for l in config().head(quantity).ranks}
    for row in found.rows:
        assert row.atoms == ATOMS
        # 1.7 % and 0.8 % are a standard deviation of both counts together
        assert abs(row.within_68 - 0.68) < 0.05 and abs(row.within_95 - 0.95) < 0.025, row
        # a Gaussian would have 2.0
        assert row.half_width_95 > 2.3 * row.half_width_68 or row.quantity in ("skew", "eta_q")
    assert str(found).splitlines()[1].split()[:3] == ["O", found.rows[0].quantity, str(ATOMS)]
    assert found["O", "l2"].element == "O"
    with pytest.raises(ConventionError, match="no coverage"):
        found["Al", "l2"]


def test_the_share_of_the_spread_and_the_tails_are_found(made_up):
    card = calibrate(model(), heavy_tailed("efg", 3)).card
    of = card.calibration["efg"]["O"]
    assert of["nu"][0] in (2.0, 3.0) and of["atoms"] == ATOMS
    # 68 % of a t distribution of 2.5 degrees of freedom are within 1.2 of its scales
    assert of["b"][0] == pytest.approx(1.2 * 2.0, rel=0.1) and of["a"][0] == pytest.approx(1.2 * 0.5, rel=0.4)
    none = heavy_tailed("efg", 3)
    none.judged["O"] = none.judged["O"]._replace(spread=np.zeros((ATOMS, 1)))
    assert calibrate(model(), none).card.calibration["efg"]["O"]["b"] == [0.0]
    assert json.loads(json.dumps(card.calibration)) == card.calibration


def test_a_crystal_turned_otherwise_has_the_same_uncertainty(made_up):
    # symmetry leaves one component of an error, the frame decides which and how many
    rng = np.random.default_rng(5)
    size = rng.normal(size=(ATOMS, 1))
    turned = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    widths = []
    for matrix in (np.eye(5), turned):
        error = np.hstack([size, np.zeros((ATOMS, 4))]) @ matrix
        target = rng.normal(size=(ATOMS, 5))
        judged = Judged(target + error, target, np.zeros((ATOMS, 1)), np.zeros((ATOMS, 1)), np.zeros(ATOMS))
        widths.append(calibrate(model(), OfQuantity("efg", {"O": judged})).card.calibration["efg"]["O"]["a"][0])
    assert widths[0] == pytest.approx(widths[1], rel=1e-9)


def test_uncertainty_of_what_is_read_off_is_that_of_many_noisy_tensors():
    rng = np.random.default_rng(0)
    turn = Rotation.random(rng=1).as_matrix()
    tensor = turn @ np.diag([-3.0, 5.0, 40.0]) @ turn.T
    sigma = np.array([0.03, 0.02])  # of l = 0 and 2
    noise = rng.normal(size=(ATOMS * 4, 9)) * np.repeat([sigma[0], 0.01, sigma[1]], [1, 3, 5])
    noisy = tensor + np.einsum("nk,kij->nij", noise, tensor_basis())
    for quantity in ("iso", "span", "skew", "vzz", "eta_q"):
        of = noisy
        if quantity in ("vzz", "eta_q"):
            of = noisy - np.trace(noisy, axis1=1, axis2=2)[:, None, None] * np.eye(3) / 3
        expected = np.asarray(read_off(quantity, of)).std()
        by_rank = {0: sigma[:1], 2: sigma[1:]}
        traceless = tensor - np.trace(tensor) * np.eye(3) / 3
        found = propagated(quantity, (traceless if quantity in ("vzz", "eta_q") else tensor)[None], by_rank)
        assert float(found[0]) == pytest.approx(expected, rel=0.04), quantity


def test_elements_with_few_atoms_are_not_calibrated(made_up):
    data = heavy_tailed("shielding", 0)
    data.judged["Si"] = Judged(*(part[:19] for part in data.judged["O"][:5]))
    assert list(calibrate(model(), data).card.calibration["shielding"]) == ["O"]
    del data.judged["O"]
    with pytest.raises(DataError, match="19 of Si inequivalent labelled atoms; a calibration needs 20"):
        calibrate(model(), data)


def test_coverage_over_folds_uses_the_errors_of_the_other_folds(made_up):
    folds = [heavy_tailed("efg", k) for k in range(2)]
    row = cross_coverage([model()] * 2, folds)["O", "l2"]
    assert row.atoms == 2 * ATOMS and abs(row.within_68 - 0.68) < 0.04 and abs(row.within_95 - 0.95) < 0.02
    # a fold whose errors are larger is not covered: no atom is judged by a calibration that has seen it
    large = heavy_tailed("efg", 9, a=5.0, b=20.0)
    assert cross_coverage([model()] * 2, [folds[0], large])["O", "l2"].within_68 < 0.58
    with pytest.raises(ConventionError, match="3 models and 2 folds"):
        cross_coverage([model()] * 3, folds)
    with pytest.raises(ConventionError, match="scale of its own"):
        cross_coverage([model().replace(environments={"O": {}}), model()], folds)
    with pytest.raises(ConventionError, match="one quantity"):
        cross_coverage([model()] * 2, [folds[0], heavy_tailed("shielding", 0)])


def test_a_model_without_calibration_says_so():
    with pytest.raises(ConventionError, match="no calibration of efg"):
        coverage(model(), heavy_tailed("efg", 0))
    prediction = model().predict(quartz())
    for quantity, nucleus in (("iso", "29Si"), ("cq", "17O")):
        with pytest.raises(ConventionError, match=f"{quantity} of .* not calibrated"):
            prediction.sigma(quantity, nucleus)
    with pytest.raises(ConventionError, match="efg is not calibrated"):
        prediction.component_sigma("efg")
    with pytest.raises(ConventionError, match="does not predict 'dipole'"):
        prediction.component_sigma("dipole")
    assert "±" not in str(prediction)


def test_errors_are_those_of_the_labels():
    n = len(ELEMENTS)
    out = components(model(), plain_graph())["shielding"][:n]
    labels = np.asarray(cartesian(out, "0e+1e+2e")) + 3.0 * np.eye(3)
    labels[2] = np.nan
    structure = Magres(
        elements=ELEMENTS, positions=POSITIONS, lattice=LATTICE, labels=tuple(f"{e}_{k}" for k, e in enumerate(ELEMENTS)),
        species=ELEMENTS, tensors={"ms": labels}, name="cell",
    )  # fmt: skip
    found = judge(model(), TensorData.create([structure], "shielding"))
    assert {e: len(j.target) for e, j in found.items()} == {"O": 3, "Si": 1}
    for judged in found.values():
        error = judged.target - judged.predicted
        # single precision of shieldings of 400 ppm
        np.testing.assert_allclose(error[:, 0], 3.0 * np.sqrt(3.0), atol=1e-3)
        np.testing.assert_allclose(error[:, 1:], 0.0, atol=1e-3)


@pytest.fixture(scope="module")
def prediction():
    entry = lambda ranks, **quantiles: {
        "atoms": 99, "a": [0.5 * (k + 1) for k in range(ranks)], "b": [0.0] * ranks, "nu": [3.0] * ranks,
        "quantiles": {name: (np.array(LEVELS) * f).tolist() for name, f in quantiles.items()},
    }  # fmt: skip
    made = {
        "shielding": {"Si": entry(3, iso=2.0, span=3.0, skew=1.0)},
        "efg": {"O": entry(1, vzz=0.1, eta_q=10.0)},
    }
    card = ModelCard(calibration=made, references={"Si": (330.0, -1.02)})
    return model().replace(card=card).predict(quartz())


def test_a_prediction_has_the_uncertainty_of_its_components(prediction):
    np.testing.assert_allclose(prediction.component_sigma("shielding"), [[0.5, 1.0, 1.5], [np.nan] * 3])
    np.testing.assert_allclose(prediction.component_sigma("efg"), [[np.nan], [0.5]])
    assert np.asarray(prediction.spread["efg"])[1] == 0.0


def test_a_prediction_has_intervals_of_what_people_read(prediction):
    iso, span, skew = (np.asarray(v) for v in prediction.maryland("29Si"))
    half = 0.68 * 2.0 * 0.5 / np.sqrt(3.0)
    np.testing.assert_allclose(prediction.sigma("iso", "29Si"), [half])
    np.testing.assert_allclose(prediction.sigma("shift", "29Si"), [1.02 * half])
    np.testing.assert_allclose(prediction.sigma("shift", "29Si", reference=ShiftReference(0.0, -2.0)), [2.0 * half])
    np.testing.assert_allclose(np.ravel(prediction.interval("iso", "29Si", 0.68)), [iso[0] - half, iso[0] + half])
    shift, (low, high) = prediction.shift("29Si"), prediction.interval("shift", "29Si")
    np.testing.assert_allclose([low[0], high[0]], shift[0] + 1.02 * half / 0.68 * 0.95 * np.array([-1, 1]))
    np.testing.assert_allclose(prediction.sigma("span", "29Si"), [0.68 * 3.0 * np.sqrt(2.0) * 1.5])
    # what cannot be is left out
    low, high = prediction.interval("span", "29Si")
    assert low[0] == 0.0 and high[0] > span[0]
    low, high = prediction.interval("skew", "29Si")
    assert -1.0 <= low[0] <= skew[0] <= high[0] <= 1.0
    low, high = prediction.interval("eta_q", "17O")
    assert (low[0], high[0]) == (0.0, 1.0)


def test_the_interval_of_a_coupling_constant_has_its_sign(prediction):
    cq = float(prediction.quadrupolar("17O").cq_hz[0])
    moment = abs(isotope("17O").quadrupole_barn)
    half = 0.068 * np.sqrt(2.0 / 3.0) * 0.5 * 234.9648e6 * moment
    assert float(prediction.sigma("cq", "17O")[0]) == pytest.approx(half, rel=1e-5)
    assert float(prediction.sigma("cq", "17O", q_barn=2 * moment)[0]) == pytest.approx(2 * half, rel=1e-5)
    low, high = (float(end[0]) for end in prediction.interval("cq", "17O", 0.68))
    assert low <= cq <= high and max(abs(low), abs(high)) == pytest.approx(abs(cq) + half, rel=1e-5)
    flipped = prediction.interval("cq", "17O", 0.68, q_barn=moment)
    np.testing.assert_allclose([float(flipped[0][0]), float(flipped[1][0])], [-high, -low], rtol=1e-6)


def test_uncertainties_are_asked_for_by_known_names_and_levels(prediction):
    with pytest.raises(ConventionError, match="quantity is 'zeta'; expected one of iso"):
        prediction.sigma("zeta", "29Si")
    with pytest.raises(ConventionError, match=r"level is 0\.99; intervals are calibrated for 0\.5"):
        prediction.interval("iso", "29Si", 0.99)
    with pytest.raises(ConventionError, match="iso of O is not calibrated"):
        prediction.sigma("iso", "17O")
    with pytest.raises(ParameterError, match="no 27Al site"):
        prediction.sigma("cq", "27Al")


def test_a_table_shows_uncertainties_where_they_are_known(prediction):
    header, silicon, oxygen = str(prediction).splitlines()
    assert header.count("±") == 2
    assert float(silicon.split()[2]) == pytest.approx(float(prediction.sigma("iso", "29Si")[0]), abs=1e-3)
    assert float(oxygen.split()[-2]) == pytest.approx(1e-6 * float(prediction.sigma("cq", "17O")[0]), abs=1e-3)
    assert jnp.isnan(prediction.novelty).all() and not prediction.novel.any()
