"""Arguments that were swapped or are of another kind are named, with what was expected."""

import dataclasses

import numpy as np
import pytest
from small_problems import DOUBLET, rutile

import jaxnmr as jn
from jaxnmr.errors import ConventionError, ParameterError

X = np.arange(20.0, 60.0, 0.5)
PATTERN = jn.Pattern.create(X, 100.0 + 0 * X)
POWDER = jn.PowderDiffraction(DOUBLET)
SPECTRUM = jn.Spectrum.create(np.linspace(-1e3, 1e3, 64), np.ones(64), larmor_hz=1e8, isotope="31P")

SWAPPED = [
    (lambda: jn.PatternTerm(PATTERN, POWDER), "is a Pattern; expected a PowderDiffraction"),
    (lambda: jn.PatternTerm(POWDER, "data.xy"), "is a str; expected a Pattern, as of read_pattern"),
    (lambda: jn.PowderDiffraction(1.5406), "is a float; expected an Instrument"),
    (lambda: jn.PowderDiffraction(DOUBLET, 6), "the background is an int; expected a Background"),
    (lambda: POWDER.simulate("halite.cif", (20, 60, 0.1)), "is a str; expected a Crystal, as of read_crystal"),
    (lambda: POWDER.simulate([rutile()], (20, 60, 0.1)), "is a list; expected a Crystal"),
    (lambda: jn.SpectrumTerm(SPECTRUM, jn.SpectrumMAS("31P", b0_tesla=9.4), []), "expected a SpectrumStatic or a SpectrumMAS"),
    (lambda: jn.SpectrumTerm(jn.SpectrumMAS("31P", b0_tesla=9.4), "p.csdf", []), "is a str; expected a Spectrum"),
    (lambda: jn.write_crystal("a.cif", rutile()), "the path in write_crystal(crystal, path) is a Crystal"),
    (lambda: jn.write_pattern("a.xy", PATTERN), "the path in write_pattern(pattern, path) is a Pattern"),
    (lambda: jn.write_spectrum("a.csdf", SPECTRUM), "the path in write_spectrum(spectrum, path) is a Spectrum"),
    (lambda: jn.write_crystal(PATTERN, "a.cif"), "is a Pattern; expected a Crystal, or several by name"),
    (lambda: jn.write_pattern(rutile(), "a.xy"), "is a Crystal; expected a Pattern"),
    (lambda: jn.write_spectrum(PATTERN, "a.csdf"), "is a Pattern; expected a Spectrum or a Fid"),
    (lambda: jn.Objective(jn.PatternTerm(POWDER, PATTERN), crystal=[rutile()]), "crystal is a list; expected a Crystal"),
    (lambda: jn.Objective(jn.PatternTerm(POWDER, PATTERN), crystal=rutile()).parameters().free(["cell", "xyz"]), "expected a text"),
    (lambda: jn.Objective(jn.PatternTerm(POWDER, PATTERN), crystal={"rutile": "a.cif"}), "crystal['rutile'] is a str"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "says"), SWAPPED, ids=[says for _, says in SWAPPED])
def test_swapped_and_foreign_arguments_are_named(call, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ParameterError) as caught:
        call()
    assert says in str(caught.value) and not list(tmp_path.iterdir())


def test_an_objective_is_evaluated_at_parameters():
    objective = jn.Objective(jn.Prior("u_iso[Ti1]", 0.01, 0.001), crystal=rutile())
    for at in (None, {}, objective.parameters().values):
        with pytest.raises(ParameterError, match=r"expected a Parameters, as of objective.parameters\(\)"):
            objective(at)


def test_a_refinement_is_told_what_it_needs():
    prior = jn.Prior("u_iso[Ti1]", 0.01, 0.001)
    objective = jn.Objective(prior, crystal=rutile())
    params = objective.parameters().free("u_iso[Ti1]")
    wrong = [
        (lambda: jn.refine(objective, {}), "starts from is a dict; expected a Parameters"),
        (lambda: jn.refine(params, objective), "is a Parameters; expected an Objective"),
        (lambda: jn.refine(prior, params), "is a Prior; expected an Objective"),
        (lambda: jn.refine(objective, params, stages="cell"), "one of the stages is a str; expected a Stage"),
        (lambda: jn.refine(objective, params, stages=["cell"]), "one of the stages is a str; expected a Stage"),
    ]
    for call, says in wrong:
        with pytest.raises(ParameterError) as caught:
            call()
        assert says in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [("size", -1.0), ("size", np.nan), ("march", 50.0), ("zero", 9.0)])
def test_values_that_cannot_be_are_not_simulated(name, value):
    textured = jn.PowderDiffraction(DOUBLET, march_axis={"rutile": (0, 0, 1)})
    with pytest.raises(ParameterError, match=f"'{name}' is .*; expected from "):
        textured.simulate(rutile(), (20, 60, 0.5), values={name: value})


def test_a_grid_of_more_points_than_any_diffractometer_gives_is_refused_before_it_is_made():
    with pytest.raises(ConventionError, match=r"4e\+13 points"):
        POWDER.simulate(rutile(), (20, 60, 1e-12))


def test_a_simulation_can_be_replaced_in_what_does_not_contradict_its_field():
    slow = jn.SpectrumMAS("27Al", b0_tesla=9.4, mas_hz=1e4)
    fast = dataclasses.replace(slow, mas_hz=3e4)
    assert (fast.mas_hz, fast.larmor_hz, fast.transitions) == (3e4, slow.larmor_hz, slow.transitions)
    for change in (dict(b0_tesla=18.8), dict(isotope="23Na")):
        with pytest.raises(ConventionError, match="replace larmor_hz by None, too"):
            dataclasses.replace(slow, **change)
    assert dataclasses.replace(slow, b0_tesla=18.8, larmor_hz=None).larmor_hz == pytest.approx(2.0 * slow.larmor_hz)
    with pytest.raises(ConventionError, match="and not both"):
        jn.SpectrumMAS("27Al")


def test_two_euler_angles_are_one_too_few():
    with pytest.raises(ConventionError, match=r"euler_deg is .*; expected alpha, beta and gamma"):
        jn.Site(isotope="87Rb", cq_hz=3e6, euler_deg=(0.0, 70.0))
