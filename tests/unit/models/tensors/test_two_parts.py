"""Errors in two parts: what all sites of a structure share, and what each has of its own. All of them are made up."""

import jax.numpy as jnp
import numpy as np
import pytest
from small_tensor_models import config, model, quartz

from jaxnmr.errors import ConventionError
from jaxnmr.models import ModelCard
from jaxnmr.models.tensors import calibration
from jaxnmr.models.tensors.calibration import LEVELS, calibrate, coverage, site_commons
from jaxnmr.models.tensors.ensemble import Judged
from jaxnmr.models.tensors.propagation import propagated
from jaxnmr.models.tensors.two_parts import Errors, common_part, common_sigma, own_part, take_apart

# everywhere, because every number of atoms is a program of its own
STRUCTURES, SITES = 150, 10
OFFSET, RATIO, ALONE = 3.0, 0.1, 0.4


class OfQuantity:
    """Stands for data whose outputs are made up."""

    def __init__(self, quantity, judged):
        self.quantity, self.judged = quantity, judged


def made(quantity, seed, offset=OFFSET, ratio=RATIO, own=ALONE, follows=0.0):
    """Errors of independent parts, normal; the common ones grow with the spread of a structure where they ``follow``."""
    rng = np.random.default_rng(seed)
    ranks = config().head(quantity).ranks
    owner = np.repeat(np.arange(STRUCTURES), SITES)
    spread = np.exp(rng.normal(0.0, 0.7, STRUCTURES))[owner]
    larger = np.hypot(1.0, follows * spread[::SITES])
    predicted, target = [], []
    for l in ranks:
        mine = rng.normal(0.0, 20.0, (len(owner), 2 * l + 1))
        along = np.ones_like(mine) if l == 0 else mine
        common = (offset if l == 0 else ratio) * larger * rng.normal(size=STRUCTURES)
        predicted.append(mine)
        target.append(mine - common[owner, None] * along - own * rng.normal(size=mine.shape))
    return OfQuantity(quantity, {"O": Judged(
        np.hstack(predicted), np.hstack(target), np.repeat(spread[:, None], len(ranks), axis=1),
        np.zeros((len(owner), 1)), np.zeros(len(owner)), owner, np.ones(len(owner)),
    )})  # fmt: skip


@pytest.fixture
def made_up(monkeypatch):
    monkeypatch.setattr(calibration, "judge", lambda model, data, batch: data.judged)


@pytest.mark.parametrize("quantity", ["shielding", "efg"])
def test_both_parts_of_errors_are_found_and_hold_within_structures_and_between_them(made_up, quantity):
    calibrated = calibrate(model(), made(quantity, 1))
    entry, ranks = calibrated.card.calibration[quantity]["O"], config().head(quantity).ranks
    # 6 % is the standard deviation of a scatter that was seen 150 times
    for k, l in enumerate(ranks):
        assert entry["common"]["a"][k] == pytest.approx(OFFSET if l == 0 else RATIO, rel=0.2)
        assert entry["a"][k] == pytest.approx(ALONE, rel=0.05) and entry["b"][k] < 0.05
    found = coverage(calibrated, made(quantity, 2))
    for row in found.rows:
        expected = STRUCTURES if row.quantity.endswith("/common") else STRUCTURES * SITES
        assert row.atoms == expected
        # sites of a structure share an error: 150 draws decide about those that are not of their own, 3.8 % and 1.8 %
        loose = 1.0 if row.quantity.endswith("/own") else 2.2
        assert abs(row.within_68 - 0.68) < 0.05 * loose and abs(row.within_95 - 0.95) < 0.025 * loose, row
    read = "iso" if quantity == "shielding" else "vzz"
    assert {f"l{ranks[-1]}/own", f"l{ranks[-1]}/common", f"{read}/own", read} <= {r.quantity for r in found.rows}
    if quantity == "shielding":
        total, alone = found["O", "iso"], found["O", "iso/own"]
        assert alone.half_width_68 == pytest.approx(ALONE / np.sqrt(3.0), rel=0.06)
        assert total.half_width_68 == pytest.approx(np.hypot(OFFSET, ALONE) / np.sqrt(3.0), rel=0.2)
    # what another data set has more in common is seen between structures, not within
    other = coverage(calibrated, made(quantity, 3, offset=3 * OFFSET, ratio=3 * RATIO))
    assert other["O", "l2/common"].within_68 < 0.4 and abs(other["O", "l2/own"].within_68 - 0.68) < 0.05


def test_common_errors_that_grow_with_the_spread_are_told_from_those_that_do_not(made_up):
    of = lambda follows: calibrate(model(), made("efg", 5, follows=follows)).card.calibration["efg"]["O"]["common"]
    plain, growing = of(0.0), of(3.0)
    size = np.sqrt(np.mean(made("efg", 5).judged["O"].predicted ** 2))
    assert plain["b"][0] * 1.0 / size < 0.4 * RATIO
    # S is the spread over the size of a component
    assert growing["b"][0] == pytest.approx(3.0 * RATIO * size, rel=0.25)


def test_errors_without_anything_in_common_have_a_common_part_that_is_hardly_there(made_up):
    entry = calibrate(model(), made("shielding", 4, offset=0.0, ratio=0.0)).card.calibration["shielding"]["O"]
    # own errors average out over ten sites: to 0.13, and the mean square of 150 of these is known to a tenth
    assert 0 < np.hypot(entry["common"]["a"][0], entry["common"]["b"][0]) < 0.06
    assert entry["a"][0] == pytest.approx(ALONE, rel=0.05)


def test_few_structures_make_the_common_part_wide_never_zero():
    rng = np.random.default_rng(0)
    draws = np.array([np.hypot(*common_part(rng.normal(size=6), np.full(6, 0.01), np.ones(6))) for _ in range(300)])
    # six squares over three are the mean square for a flat prior of the scale; of them the mean root is sqrt(2/3) G(7/2)/G(3)
    assert np.mean(draws) == pytest.approx(1.357, abs=0.08) and draws.min() > 0.15
    inside = np.mean([abs(rng.normal()) < 1.96 * s for s in draws for _ in range(20)])
    assert inside > 0.95
    alone = common_part(np.zeros(6), np.full(6, 1.0), np.ones(6))
    assert 0 < np.hypot(*alone) < 1.0


def test_taking_errors_apart_is_generalised_least_squares():
    rng = np.random.default_rng(1)
    owner = np.array([0, 0, 0, 1, 1, 2])
    error, along, variance = rng.normal(size=(6, 5)), rng.normal(size=(6, 5)), rng.uniform(0.5, 2.0, 6)
    errors = Errors(error, along, np.ones(6), np.ones(6), owner)
    parts = take_apart(errors, variance)
    for k in range(3):
        rows = owner == k
        weights = np.repeat(1.0 / np.sqrt(variance[rows]), 5)
        design, data = weights * along[rows].ravel(), weights * error[rows].ravel()
        np.testing.assert_allclose(parts.common[k], np.linalg.lstsq(design[:, None], data, rcond=None)[0][0])
        np.testing.assert_allclose(parts.precision[k], design @ design)
    assert parts.several.tolist() == [True] * 5 + [False]
    # of many draws what is left has the variance that an own error has
    draws = np.sqrt(variance)[:, None] * rng.normal(size=(4000, 6, 5))
    left = np.array([take_apart(errors._replace(error=draw), variance).own for draw in draws])
    spread = np.mean(left**2, axis=(0, 2))
    np.testing.assert_allclose(spread[:5], variance[:5], rtol=0.05)
    assert own_part(errors, lambda e, s: (1.0, 0.0, 3.0))[1] == (1.0, 0.0, 3.0)


ENTRY = {
    "atoms": 99, "a": [0.5, 1.0, 1.5], "b": [0.0] * 3, "nu": [3.0] * 3,
    "common": {"structures": 30, "a": [np.sqrt(3.0) * 2.0, 0.0, 0.05], "b": [0.0] * 3, "own_rms": [1.0] * 3},
    "quantiles": {
        name: LEVELS for name in ("iso", "span", "skew", "iso/own", "span/own", "l2", "l0/common", "l2/common")
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def prediction():
    card = ModelCard(calibration={"shielding": {"Si": ENTRY}}, references={"Si": (330.0, -1.02)})
    return model().replace(card=card).predict(quartz())


def test_a_prediction_tells_what_its_sites_share_from_what_they_have_of_their_own(prediction):
    np.testing.assert_allclose(prediction.common_sigma("shielding")[0], [np.sqrt(3.0) * 2.0, 0.0, 0.05])
    own, common, both = (prediction.sigma("shift", "29Si", part=of)[0] for of in ("own", "common", "all"))
    np.testing.assert_allclose(own, 1.02 * 0.68 * 0.5 / np.sqrt(3.0))
    np.testing.assert_allclose(common, 1.02 * 2.0)
    np.testing.assert_allclose(both, 1.02 * 0.68 * np.hypot(2.0, 0.5 / np.sqrt(3.0)))
    span = float(prediction.maryland("29Si").span[0])
    np.testing.assert_allclose(prediction.sigma("span", "29Si", part="common"), [0.05 * span], rtol=1e-5)
    np.testing.assert_allclose(
        prediction.sigma("span", "29Si"), [0.68 * np.hypot(0.05 * span, np.sqrt(2.0) * 1.5)], rtol=1e-5
    )
    assert prediction.sigma("skew", "29Si", part="common")[0] == 0.0
    low, high = prediction.interval("iso", "29Si", 0.95)
    np.testing.assert_allclose(high - low, 2 * 0.95 * np.hypot(2.0, 0.5 / np.sqrt(3.0)), rtol=1e-5)
    assert f"{float(prediction.sigma('iso', '29Si')[0]):.3f}" in str(prediction)
    with pytest.raises(ConventionError, match="part is 'mine'; expected 'all', 'own' or 'common'"):
        prediction.sigma("iso", "29Si", part="mine")


def test_a_model_that_was_calibrated_before_has_no_common_part():
    old = {name: value for name, value in ENTRY.items() if name != "common"}
    card = ModelCard(calibration={"shielding": {"Si": old}}, references={"Si": (330.0, -1.02)})
    found = model().replace(card=card).predict(quartz())
    np.testing.assert_array_equal(found.common_sigma("shielding")[0], 0.0)
    np.testing.assert_allclose(found.sigma("iso", "29Si"), [0.68 * 0.5 / np.sqrt(3.0)])


def test_the_common_part_follows_the_spread_of_all_sites_and_not_how_a_cell_is_written():
    entry = {"common": {"a": [3.0], "b": [2.0]}}
    one = common_sigma(entry, 0, np.array([0.5, 1.0]), None, np.array([3.0, 1.0]))
    split = common_sigma(entry, 0, np.array([0.5, 0.5, 1.0]), None, np.array([1.0, 2.0, 1.0]))
    np.testing.assert_allclose([one, split], np.sqrt(9.0 + 4.0 * (3 * 0.25 + 1.0) / 4.0))
    along = np.array([[3.0, 4.0, 0, 0, 0]])
    np.testing.assert_allclose(common_sigma(entry, 0, np.ones(1), along, np.ones(1)), np.sqrt(9.0 + 4.0 / 5.0))
    # traced values give the same
    found = site_commons(
        {"efg": {"O": entry}}, ("Si", "O"), {"efg": jnp.ones((2, 1))}, {"efg": jnp.asarray(np.vstack([along, along]))},
        [config().head("efg")], np.ones(2),
    )["efg"]  # fmt: skip
    assert np.isnan(found[0, 0]) and float(found[1, 0]) == pytest.approx(np.sqrt(9.8))


def test_a_factor_of_all_components_changes_span_and_coupling_by_its_share():
    tensor = np.diag([-3.0, -5.0, 8.0])[None]
    none, common = {0: np.zeros(1), 2: np.zeros(1)}, {0: np.zeros(1), 2: np.array([0.03])}
    for quantity, value in (("span", 13.0), ("vzz", 8.0)):
        assert float(propagated(quantity, tensor, none, common)[0]) == pytest.approx(0.03 * value)
