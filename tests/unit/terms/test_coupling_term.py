"""Couplings: dipolar ones measure distances exactly, J couplings follow the angle at a bridge by a stated law."""

import jax.numpy as jnp
import numpy as np
import pytest
import small_tensor_models as small

import jaxnmr as jn
from jaxnmr import testing
from jaxnmr.errors import ConventionError, DataError, ParameterError, ShapeError
from jaxnmr.nmr import CouplingCalibration
from jaxnmr.terms.couplings import CouplingLaw, CouplingTerm, Linkages

KIND = ("Si", "O", "Si")
LAW = CouplingLaw(-10.0, -30.0)


def glycine_like(distance=1.5) -> jn.Crystal:
    """One C, one N and one H in a large cell without symmetry."""
    return jn.Crystal.create(
        cell=[20, 20, 20, 90, 90, 90], spacegroup="P 1", species=["C", "N", "H"],
        xyz=[[0, 0, 0], [distance / 20, 0, 0], [0, 2 / 20, 0]], name="molecule",
    )  # fmt: skip


def distorted_quartz() -> jn.Crystal:
    """Alpha quartz in P1, every atom moved by a few hundredths of an Å."""
    quartz = small.quartz()
    atoms = jn.crystal.plan_expansion(quartz).atoms
    xyz = jn.crystal.positions(np.asarray(quartz.xyz), quartz.group, atoms)
    return jn.Crystal.create(
        cell=np.asarray(quartz.cell), spacegroup="P 1", species=[quartz.elements[k] for k in atoms[:, 0]],
        xyz=xyz + np.random.default_rng(4).normal(0, 0.01, xyz.shape), name="distorted",
    )  # fmt: skip


def state_of(term, crystal) -> jn.State:
    values = {
        f"{term.name}/{k}": jnp.asarray(q.value, float) for k, q in term.quantities({crystal.name: crystal}).items()
    }
    return jn.State(crystals={crystal.name: crystal}, values=values)


def test_dipolar_couplings_are_those_of_two_point_dipoles():
    crystal = glycine_like()
    term = CouplingTerm.dipolar(crystal, ("13C", "15N"), [("C1", "N1")], [900.0], sigma=5.0)
    # -(mu0/4pi) gamma gamma hbar/(2 pi r³) with gammas of 67.2828 and -27.1262 10^6 rad/s/T, by hand
    by_hand = 1e-7 * 67.2828e6 * 27.1262e6 * 1.054571817e-34 / (2 * np.pi * (1.5e-10) ** 3)
    assert by_hand == pytest.approx(907.7, abs=0.5)
    assert float(term.calculated(state_of(term, crystal))[0]) == pytest.approx(by_hand, rel=2e-4)
    signed = CouplingTerm.dipolar(crystal, ("13C", "1H"), [("C1", "H1")], [-3776.0], sigma=10.0, signed=True)
    assert float(signed.calculated(state_of(signed, crystal))[0]) == pytest.approx(-30200 / 8, rel=2e-3)


def test_a_dipolar_coupling_finds_the_distance_and_its_uncertainty():
    truth, start = glycine_like(1.47), glycine_like(1.60)
    coupling = (
        float(CouplingTerm.dipolar(truth, ("13C", "15N"), [("C1", "N1")], [1.0], sigma=1.0).constant_hz) / 1.47**3
    )
    term = CouplingTerm.dipolar(start, ("13C", "15N"), [("C1", "N1")], [coupling], sigma=10.0)
    objective = jn.Objective(term, crystal=start)
    fit = jn.refine(objective, objective.parameters().free("xyz[N1.x]"), suggest=False)
    found = jn.crystal.distances(fit.crystal, term.atoms)[0]
    assert float(found) == pytest.approx(1.47, abs=1e-6)
    # dd/d = 3 dr/r
    assert 20.0 * fit.esds["xyz"][1, 0] == pytest.approx(1.47 * 10.0 / (3.0 * coupling), rel=1e-4)


def test_linkages_are_found_through_the_bridge_with_all_that_surround_them():
    quartz = small.quartz()
    assert len(CouplingTerm.linkages(quartz, KIND)) == 1
    seen = {}

    def law(of: Linkages):
        seen.update(angle=of.angle_deg, mean=of.mean_angle_deg, lengths=of.lengths, distance=of.distance)
        return -30.0 * of.cosine

    term = CouplingTerm.across(quartz, KIND, [13.7], sigma=0.5, law=law)
    assert float(term.calculated(state_of(term, quartz))[0]) == pytest.approx(
        -30.0 * np.cos(np.deg2rad(seen["angle"][0]))
    )
    # all seven around are equivalent in quartz
    np.testing.assert_allclose(seen["mean"], seen["angle"])
    a, b = np.asarray(seen["lengths"])[0]
    cosine = np.cos(np.deg2rad(float(seen["angle"][0])))
    assert float(seen["distance"][0]) == pytest.approx(np.sqrt(a * a + b * b - 2 * a * b * cosine))


def test_the_mean_angle_is_that_of_the_seven_linkages_around_two_silicon_atoms():
    crystal = distorted_quartz()
    term = CouplingTerm.across(crystal, KIND, np.zeros(6), sigma=1.0, law=lambda of: of.mean_angle_deg)
    means = np.asarray(term.calculated(state_of(term, crystal)))
    # every linkage of the crystal by brute force: Si - O - Si over all images
    lattice = np.asarray(crystal.lattice())
    xyz, silicon = np.asarray(crystal.xyz), np.array([e == "Si" for e in crystal.elements])
    shifts = np.array(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij")).reshape(3, -1).T
    ends = [(k, (xyz[k] + s) @ lattice) for k in np.flatnonzero(silicon) for s in shifts]
    links = []
    for o in np.flatnonzero(~silicon):
        centre = xyz[o] @ lattice
        (i, a), (j, b) = sorted(ends, key=lambda e: np.linalg.norm(e[1] - centre))[:2]
        u, v = a - centre, b - centre
        links.append((i, j, np.degrees(np.arccos(u @ v / np.linalg.norm(u) / np.linalg.norm(v)))))
    at = lambda k: [angle for i, j, angle in links for end in (i, j) if end == k]
    expected = {round(angle, 6): (sum(at(i)) + sum(at(j)) - angle) / 7.0 for i, j, angle in links}
    own = np.asarray(jn.crystal.angles(crystal, term.atoms))
    assert all(len(at(k)) == 4 for k in np.flatnonzero(silicon))
    np.testing.assert_allclose(means, [expected[round(float(angle), 6)] for angle in own], rtol=1e-9)


@pytest.mark.parametrize("form", ["cosine", "s_character"])
def test_laws_have_exact_derivatives_and_stated_values(form):
    law = CouplingLaw(2.0, 10.0, form)
    straight = jn.Crystal.create(
        cell=[3.2, 9, 9, 90, 90, 90], spacegroup="P 1", species=["Si", "O"], xyz=[[0, 0, 0], [0.5, 0, 0]], name="chain"
    )
    chain = CouplingTerm.across(straight, KIND, [0.0], sigma=1.0, law=law)
    assert float(chain.calculated(state_of(chain, straight))[0]) == pytest.approx(
        2.0 + 10.0 * (-1.0 if form == "cosine" else 0.5)
    )
    calibration = CouplingCalibration.published("nmrcryspy/29Si-O-29Si")
    quartz = small.quartz()
    term = CouplingTerm.across(
        quartz, KIND, [15.0], sigma=2.0, law=law, calibration=calibration, atoms=[("Si1", "Si1")]
    )
    plain = CouplingTerm.across(quartz, KIND, [15.0], sigma=2.0, law=law)
    of = lambda t: float(t.calculated(state_of(t, quartz))[0])
    assert of(term) == pytest.approx(1.4217 * of(plain) + 3.7953)
    state = state_of(term, quartz)
    testing.assert_gradients(
        lambda xyz: term.residuals(state.replace(crystals={"quartz": quartz.replace(xyz=xyz)})), quartz.xyz
    )


def test_couplings_and_bond_lengths_together_fix_the_bridge():
    quartz = small.quartz()
    target = float(LAW(Linkages(crystal=quartz, atoms=CouplingTerm.across(quartz, KIND, [0.0], sigma=1.0, law=LAW).atoms,
                                others=np.zeros((0, 3, 5), int), share=np.zeros((1, 0))))[0])  # fmt: skip
    moved = quartz.replace(xyz=np.add(quartz.xyz, [[0.01, 0, 0], [0.008, -0.01, 0.006]]))
    terms = CouplingTerm.across(moved, KIND, [target], sigma=0.05, law=LAW) + jn.Restraint.distances(
        moved, {("Si", "O"): (1.609, 0.005), ("O", "Si", "O"): (2.63, 0.02)}
    )
    objective = jn.Objective(terms, crystal=moved)
    fit = jn.refine(objective, objective.parameters().free("xyz"), suggest=False)
    # 30 Hz per unit of the cosine: 0.05 Hz are 0.16 degrees
    before, after, truth = (
        float(jn.crystal.angles(of, terms.terms[0].atoms)[0]) for of in (moved, fit.crystal, quartz)
    )
    assert abs(after - truth) < 0.5 < 1.0 < abs(before - truth)


def test_what_makes_no_sense_is_refused():
    crystal, quartz = glycine_like(), small.quartz()
    pair = [("C1", "N1")]
    with pytest.raises(ParameterError, match="N1 is N, not 13C"):
        CouplingTerm.dipolar(crystal, ("13C", "15N"), [("N1", "C1")], [1.0], sigma=1.0)
    with pytest.raises(DataError, match="signed=True"):
        CouplingTerm.dipolar(crystal, ("13C", "15N"), pair, [-900.0], sigma=1.0)
    with pytest.raises(DataError, match="coupling 1 is not finite"):
        CouplingTerm.dipolar(crystal, ("13C", "15N"), pair, [np.nan], sigma=1.0)
    with pytest.raises(DataError, match="positive"):
        CouplingTerm.dipolar(crystal, ("13C", "15N"), pair, [1.0], sigma=0.0)
    with pytest.raises(ShapeError, match="1 pairs"):
        CouplingTerm.dipolar(crystal, ("13C", "15N"), pair, [1.0, 2.0], sigma=1.0)
    with pytest.raises(ShapeError, match="2 couplings for 1 linkages of quartz: Si1"):
        CouplingTerm.across(quartz, KIND, [1.0, 2.0], sigma=1.0, law=LAW)
    with pytest.raises(ParameterError, match="no linkage joins Si1 and O1: the pairs are Si1-Si1"):
        CouplingTerm.across(quartz, KIND, [1.0], sigma=1.0, law=LAW, atoms=[("Si1", "O1")])
    with pytest.raises(ParameterError, match="no angles of the kind P-O-P"):
        CouplingTerm.across(quartz, ("P", "O", "P"), [1.0], sigma=1.0, law=LAW)
    with pytest.raises(ConventionError, match="form 'karplus'"):
        CouplingLaw(0.0, 1.0, "karplus")
    with pytest.raises(ParameterError, match=r"dipolar' is about 'molecule'; the phases are \['quartz'\]"):
        jn.Objective(CouplingTerm.dipolar(crystal, ("13C", "15N"), pair, [1.0], sigma=1.0), crystal=quartz)
    wrong = CouplingTerm.across(quartz, KIND, [1.0], sigma=1.0, law=lambda of: of.lengths)
    with pytest.raises(ShapeError, match="law of 'couplings' returns the shape"):
        wrong.residuals(state_of(wrong, quartz))
