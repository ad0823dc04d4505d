"""Weight fractions: amorphous content beside a standard, elements, microabsorption, and their uncertainties."""

from types import SimpleNamespace

import numpy as np
import pytest
from small_problems import SYNCHROTRON, anatase, rutile

import jaxnmr as jn
from jaxnmr.diffraction.absorption import brindley
from jaxnmr.errors import ConventionError
from jaxnmr.refinement.summary import doubts_of_derived
from jaxnmr.terms.quantification import Content, absorption_table, amounts, coarse_grains

X = np.arange(6.0, 20.0, 0.02)
# parts by weight of the specimen; what is lacking is amorphous
PARTS = {"rutile": 0.2, "anatase": 0.35, "fluorite": 0.2}
STANDARD = jn.Quantification("rutile", 0.2)


def fluorite():
    return jn.Crystal.create(
        cell=(5.463, 5.463, 5.463, 90, 90, 90), spacegroup="F m -3 m", species=["Ca", "F"], u_iso=0.008,
        xyz=[[0, 0, 0], [0.25, 0.25, 0.25]], name="fluorite",
    )  # fmt: skip


CRYSTALS = {"rutile": rutile(), "anatase": anatase(), "fluorite": fluorite()}
TUBE = jn.Instrument(wavelengths=(1.54056, 1.54439))


def contents(scales, instrument=TUBE, **occupancy):
    of = {}
    for (phase, crystal), scale in zip(CRYSTALS.items(), scales, strict=True):
        changed = crystal.replace(occupancy=np.array(occupancy.get(phase, np.ones(2))))
        of[phase] = Content.of(changed, scale, f"{phase}/", instrument)
    return of


SCALES = np.array([40.0 * part / CRYSTALS[phase].cell_mass() for phase, part in PARTS.items()])


def by_title(derived):
    return {(of.part, of.quantity): of for of in derived}


@pytest.fixture(scope="module")
def columns():
    """The pattern of every phase at the true scale, and a background with a hump of glass: the true pattern is their sum."""
    experiment = jn.PowderDiffraction(SYNCHROTRON, jn.Background.chebyshev(2))
    plan = experiment.plan(CRYSTALS, X)
    start = {name: np.asarray(q.value, dtype=float) for name, q in plan.quantities().items()}
    start |= {"size": np.array([0.1, 0.03, 0.06])}
    plan = plan.laid_out(CRYSTALS, start)
    of = [plan.curve(CRYSTALS, start | {"scale": SCALES * (np.arange(3) == k)}) for k in range(3)]
    size = 4000.0 / max(column.max() for column in of)
    glass = np.exp(-(((X - 10.0) / 2.0) ** 2))
    return np.stack([*(size * column for column in of), 90.0 * glass, *(40.0 * plan.background).T], axis=1)


def test_true_fractions_lie_within_two_esds_in_as_many_draws_as_they_should(columns):
    true = columns @ np.array([1.0, 1.0, 1.0, 1.0, 3.0, -0.5])
    wanted = {("anatase", "weight in the specimen"): 35.0, ("fluorite", "weight in the specimen"): 20.0,
              ("amorphous", "weight in the specimen"): 25.0}  # fmt: skip
    place, within = {f"xrd/scale[{phase}]": k for k, phase in enumerate(CRYSTALS)}, dict.fromkeys(wanted, 0)
    rng, spread, of_phases = np.random.default_rng(11), [], contents(SCALES)
    for _ in range(100):
        y = rng.poisson(true).astype(float)
        weighted = columns / np.sqrt(np.maximum(y, 1.0))[:, None]
        covariance = np.linalg.inv(weighted.T @ weighted)
        factors = covariance @ weighted.T @ (y / np.sqrt(np.maximum(y, 1.0)))
        by_scale = covariance[:3, :3] * np.outer(SCALES, SCALES)
        now = {
            phase: of._replace(scale=f * of.scale) for (phase, of), f in zip(of_phases.items(), factors, strict=False)
        }
        found = by_title(amounts("xrd", now, STANDARD))
        for title, value in wanted.items():
            of = found[title]
            scales_only = jn.objective.Derived("", "", "", of.value, {k: of.slopes[k] for k in place})
            esd = scales_only.esd(place, by_scale)
            within[title] += abs(of.value - value) < 2.0 * esd
        spread.append(esd)
    assert all(90 <= n <= 99 for n in within.values()), within
    assert 0.05 < np.mean(spread) < 2.0


def test_elements_and_phases_of_a_mixture_are_those_that_were_mixed():
    found = by_title(amounts("xrd", contents(SCALES), STANDARD))
    value = lambda part, what: found[part, what].value
    assert value("amorphous", "weight without the standard") == pytest.approx(100.0 * 0.25 / 0.8)
    assert value("anatase", "weight among the crystalline phases") == pytest.approx(100.0 * 0.35 / 0.75)
    weights = {"Ti": 47.867, "O": 15.999, "Ca": 40.078, "F": 18.998}
    titania, fluoride = weights["Ti"] + 2 * weights["O"], weights["Ca"] + 2 * weights["F"]
    assert value("Ti", "weight of the element") == pytest.approx(100.0 * 0.35 / 0.8 * weights["Ti"] / titania, rel=1e-4)
    assert value("F", "weight of the element") == pytest.approx(
        100.0 * 0.2 / 0.8 * 2 * weights["F"] / fluoride, rel=1e-4
    )
    total = sum(of.value for (_, what), of in found.items() if what == "weight of the element")
    assert total + value("amorphous", "weight without the standard") == pytest.approx(100.0)
    assert set(found["rutile", "weight in the specimen"].slopes.values()) == {0.0}


GRAINS = {"rutile": jn.Particles(2.0), "anatase": jn.Particles(6.0), "fluorite": jn.Particles(3.0, mu=30.0)}


def test_slopes_by_scales_and_occupancies_are_those_of_differences():
    given, step = jn.Quantification("rutile", 0.2, GRAINS), 1e-5
    found = amounts("xrd", contents(SCALES), given)
    for index, label in ((1, "xrd/scale[anatase]"), (None, "fluorite/occupancy[Ca1]")):
        ends = []
        for sign in (1.0, -1.0):
            scales = SCALES * (1.0 + sign * step * (np.arange(3) == index))
            occupancy = np.array([1.0 if index is not None else 1.0 + sign * step, 1.0])
            ends.append(np.array([of.value for of in amounts("xrd", contents(scales, fluorite=occupancy), given)]))
        size = SCALES[1] if index is not None else 1.0
        np.testing.assert_allclose(
            [of.slopes[label] for of in found], (ends[0] - ends[1]) / (2.0 * step * size), rtol=1e-6, atol=1e-5
        )


def test_grains_that_absorb_more_than_the_mixture_count_for_more_than_they_show():
    bare, corrected = (
        np.array([of.value for of in amounts("xrd", contents(SCALES), given)[:3]])
        for given in (jn.Quantification(), jn.Quantification(particles=GRAINS))
    )
    (table,) = absorption_table(contents(SCALES), jn.Quantification(particles=GRAINS))
    tau = np.array([float(row[5]) for row in table.rows])
    mu = np.array([float(row[2].split()[0]) for row in table.rows])
    wanted = bare / tau
    np.testing.assert_allclose(corrected, 100.0 * wanted / wanted.sum(), rtol=1e-3)
    # the mean is that by volume of what was corrected
    density = np.array([c.cell_mass() / float(c.volume()) for c in CRYSTALS.values()])
    room = corrected / density
    mean = room @ mu / room.sum()
    np.testing.assert_allclose(tau, brindley((mu - mean) * 1e-4 * np.array([2.0, 6.0, 3.0])), atol=2e-4)
    assert [row[4] for row in table.rows] == ["coarse", "coarse", "fine"]
    (sentence,) = coarse_grains(contents(SCALES), jn.Quantification(particles=GRAINS))
    assert "rutile" in sentence and "anatase" in sentence and "fluorite" not in sentence
    alike = {phase: jn.Particles(5.0, mu=100.0) for phase in CRYSTALS}
    same = amounts("xrd", contents(SCALES), jn.Quantification(particles=alike))
    np.testing.assert_allclose([of.value for of in same[:3]], bare, rtol=1e-12)


def test_more_standard_than_was_weighed_is_said_with_its_uncertainty():
    given = jn.Quantification("rutile", 0.5)
    found = amounts("xrd", contents(SCALES), given)
    assert by_title(found)["amorphous", "weight in the specimen"].value == pytest.approx(
        100.0 * (1.0 - 0.5 * 0.75 / 0.2)
    )
    labels = [*found[0].slopes]
    shown = SimpleNamespace(derived=lambda: found)
    (sentence,) = doubts_of_derived({"xrd": shown}, labels, np.diag(np.full(len(labels), 1e-4) * SCALES.min() ** 2))
    assert "amorphous -87.5(" in sentence and "50 % of the standard 'rutile'" in sentence


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: jn.Quantification("rutile", 20.0), "expected a fraction between 0 and 1; 20 % is 0.2"),
        (lambda: jn.Quantification("rutile", -0.1), "expected a fraction between 0 and 1"),
        (lambda: jn.Quantification("rutile"), "belong together"),
        (lambda: jn.Particles(5.0, mu=-3.0), "absorption cannot be negative"),
        (lambda: jn.Particles(5.0, mu=3.0, mass_attenuation=1.0), "not both"),
        (lambda: jn.Particles(0.0), "expected a positive length"),
        (lambda: jn.Quantification("quartz", 0.2).require(("rutile", "anatase"), (), TUBE), "is none of the phases"),
        (lambda: STANDARD.require(("rutile",), (), TUBE), "is the only phase"),
        (lambda: STANDARD.require(("rutile", "anatase"), ("rutile",), TUBE), "Le Bail"),
        (
            lambda: jn.Quantification(particles={"rutile": jn.Particles(1.0)}).require(("rutile", "anatase"), (), TUBE),
            r"lacks \['anatase'\]",
        ),
        (
            lambda: jn.Quantification(particles=GRAINS).require(
                tuple(CRYSTALS), (), jn.Instrument(radiation="neutron", wavelengths=(1.9,))
            ),
            "give mu .* rutile, anatase",
        ),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ConventionError, match=message):
        make()
