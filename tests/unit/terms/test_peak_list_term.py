"""Peaks and sites: given or best assignments, re-assigned between steps. States are made by hand."""

from itertools import permutations, product

import jax.numpy as jnp
import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr import testing
from jaxnmr.errors import ConventionError, DataError, ParameterError, ShapeError
from jaxnmr.objective import HostState, Provision, TensorRead

REFERENCE = jn.ShiftReference(100.0)
SITES = 6


def crystal(sites: int = SITES) -> jn.Crystal:
    """Silicon atoms in a row, and one of oxygen between."""
    xyz = [[k / sites, 0.0, 0.0] for k in range(sites)]
    return jn.Crystal.create(
        cell=[4.0 * sites, 5, 6, 90, 90, 90], spacegroup="P 1", species=["Si"] * sites + ["O"], xyz=[*xyz, [0.01, 0.5, 0.5]],
        name="row",
    )  # fmt: skip


def state_of(term, shifts, **values) -> jn.State:
    """A state with these shifts of the silicon atoms, and anisotropy that must not count."""
    of = {"row": crystal(len(shifts))}
    shielding = (100.0 - np.append(shifts, 0.0))[:, None, None] * np.eye(3) + np.diag([5.0, -8.0, 3.0])
    start = {name: jnp.asarray(q.value) for name, q in term.quantities(of).items()} | values
    return jn.State(
        crystals=of,
        values={f"{term.name}/{name}": value for name, value in start.items()},
        provided={"row": {"shielding": jnp.asarray(shielding)}},
        provisions=(Provision("row", "shielding", (True,) * (len(shifts) + 1)),),
    )


def peaks(shifts, **arguments) -> jn.PeakListTerm:
    return jn.PeakListTerm("29Si", shifts, **({"sigma": 0.5, "reference": REFERENCE} | arguments))


def bound(term, state):
    """Without a model behind the state; what is free does not matter to peaks."""
    return term.bind(HostState(state), None)


def chi2(term, state) -> float:
    return float(jnp.sum(term.residuals(state) ** 2))


def test_a_given_assignment_is_taken():
    term = peaks([-90.0, -95.0], sigma=[0.5, 2.0], assignment=["Si3", ("Si1", "Si2")], sigma_model=0.0)
    state = state_of(term, [-94.0, -96.0, -91.0, 0.0, 0.0, 0.0])
    term = bound(term, state)
    np.testing.assert_allclose(term.residuals(state), [-1.0 / 0.5, 1.0 / 2.0, -1.0 / 2.0])
    assert term.replan(HostState(state)) == (term, "") and bound(term, state).peak.tolist() == [0, 1, 1]
    assert term.assigned() == {"Si3": -90.0, "Si1": -95.0, "Si2": -95.0}


def brute_force(shifts, positions, sigma, *, counts=None) -> float:
    """The least chi² of all assignments that use every peak."""
    best = np.inf
    for peak in product(range(len(positions)), repeat=len(shifts)):
        used = np.bincount(peak, minlength=len(positions))
        if (used == 0).any() if counts is None else (used != counts).any():
            continue
        chosen = np.array(peak)
        best = min(best, float(np.sum(((shifts - positions[chosen]) / sigma[chosen]) ** 2)))
    return best


@pytest.mark.parametrize("count", [1, 3, 5, 6])
def test_the_automatic_assignment_is_the_best_of_all(count):
    rng = np.random.default_rng(count)
    for _ in range(10):
        shifts, positions = rng.normal(-100, 5, SITES), rng.normal(-100, 5, count)
        sigma = rng.uniform(0.2, 3.0, count)
        term = peaks(positions, sigma=sigma)
        term = bound(term, state_of(term, shifts))
        assert chi2(term, state_of(term, shifts)) == pytest.approx(brute_force(shifts, positions, sigma))


def test_peaks_hold_as_many_sites_as_their_intensities_say():
    rng = np.random.default_rng(0)
    for counts in permutations((1, 2, 3)):
        shifts, positions, sigma = rng.normal(-100, 5, SITES), rng.normal(-100, 5, 3), np.array([0.3, 1.0, 2.0])
        term = peaks(positions, sigma=sigma, counts=counts)
        term = bound(term, state_of(term, shifts))
        assert np.bincount(term.peak).tolist() == list(counts)
        expected = brute_force(shifts, positions, sigma, counts=np.array(counts))
        assert chi2(term, state_of(term, shifts)) == pytest.approx(expected)


def test_a_change_of_the_assignment_is_noted_and_shapes_stay():
    shifts = np.array([-90.0, -95.0, -100.0])
    term = peaks(shifts)
    host = lambda *change: HostState(state_of(term, shifts + np.array(change)))
    first = term.bind(host(1.0, 1.0, 1.0), None)
    assert first.replan(host(0.0, -2.0, 2.0)) == (first, "")
    second, note = first.replan(host(0.0, -3.0, 3.0))
    assert note == "assigned Si2 to -100, Si3 to -95 ppm"
    assert second.peak.shape == first.peak.shape
    assert second.bind(host(0.0, 0.0, 0.0), None).peak.tolist() == [0, 1, 2]


def test_the_uncertainty_of_predictions_adds_to_the_variance():
    term = peaks([-90.0], sigma=3.0, sigma_model=4.0, assignment=["Si1"])
    state = state_of(term, [-95.0] + [0.0] * 5)
    np.testing.assert_allclose(bound(term, state).residuals(state), [-1.0])


def test_reference_and_slope_move_all_sites():
    term = peaks([-90.0], assignment=["Si2"])
    state = state_of(term, [0.0, -95.0, 0.0, 0.0, 0.0, 0.0], reference=jnp.array(101.0), slope=jnp.array(-1.02))
    term = bound(term, state)
    np.testing.assert_allclose(term.residuals(state), [(101.0 - 1.02 * 195.0 + 90.0) / 0.5])
    assert term.reads == (TensorRead("row", "shielding", (1,), "isotropic"),)


def test_derivatives_agree_with_central_differences():
    shifts = np.array([-90.0, -95.0, -100.0])
    term = peaks(shifts[:2])
    term = bound(term, state_of(term, shifts))
    testing.assert_gradients(term, state_of(term, shifts))


def test_a_list_that_is_not_bound_has_no_residuals():
    term = peaks([-90.0])
    with pytest.raises(ParameterError, match=r"PeakListTerm does not define residuals\(state\): bind it first"):
        term.residuals(state_of(term, [-90.0]))


WRONG = {
    "too many": (lambda: jn.Objective(peaks([-1.0] * 7), crystal=crystal()), ParameterError, "7 peaks for 6 29Si sites of row: leave out"),
    "counts": (lambda: jn.Objective(peaks([-1.0, 0.0], counts=[1, 2]), crystal=crystal()), ParameterError, r"add up to 3, but row has 6"),
    "label": (lambda: jn.Objective(peaks([-1.0], assignment=["Si9"]), crystal=crystal()), ParameterError, "Si9 is not a 29Si site"),
    "errors": (lambda: jn.Objective(peaks([-1.0], sigma_model=[1.0, 2.0]), crystal=crystal()), ShapeError, r"shape \(2,\); expected \(6,\)"),
    "count": (lambda: peaks([-1.0, 0.0], counts=[6]), ShapeError, r"counts are \(6,\)"),
    "assignments": (lambda: peaks([-1.0, 0.0], assignment=["Si1"]), ShapeError, "1 assignments for 2 peaks"),
    "twice": (lambda: peaks([-1.0, 0.0], assignment=["Si1", ("Si1", "Si2")]), ParameterError, "Si1 is named twice"),
    "both": (lambda: peaks([-1.0], assignment=["Si1"], sites=["Si1"]), ParameterError, "leave out sites, counts"),
    "reference": (lambda: peaks([-1.0], reference=None), ConventionError, "shifts need a reference"),
    "number": (lambda: peaks([-1.0], reference=337.3), ParameterError, "reference is a float; expected a ShiftReference, such as ShiftReference"),
    "nan": (lambda: peaks([np.nan]), DataError, "peak 1 is not finite"),
    "none": (lambda: peaks([]), ShapeError, "expected a list of numbers"),
    "sigma": (lambda: peaks([-1.0], sigma=-1.0), DataError, "must be positive"),
    "model": (lambda: peaks([-1.0], sigma_model=-1.0), DataError, "expected 0 or more"),
    "word": (lambda: peaks([-1.0], sigma_model="own"), ConventionError, "expected numbers or 'model'"),
}  # fmt: skip


@pytest.mark.parametrize("make, error, message", WRONG.values(), ids=WRONG)
def test_what_cannot_be_assigned_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
