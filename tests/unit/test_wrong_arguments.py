"""Arguments that were swapped or are of another kind are named, with what was expected."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from small_problems import DOUBLET, rutile

import jaxnmr as jn
from jaxnmr.errors import ConventionError, JaxnmrError, ParameterError

X = np.arange(20.0, 60.0, 0.5)
PATTERN = jn.Pattern.create(X, 100.0 + 0 * X)
POWDER = jn.PowderDiffraction(DOUBLET)
SPECTRUM = jn.Spectrum.create(np.linspace(-1e3, 1e3, 64), np.ones(64), larmor_hz=1e8, isotope="31P")

SWAPPED = [
    (lambda: jn.PatternTerm(PATTERN, POWDER), "is a Pattern; expected a PowderDiffraction"),
    (lambda: jn.PatternTerm(POWDER, "data.xy"), "is a str; expected a Pattern, as of read_pattern"),
    (lambda: jn.PowderDiffraction(1.5406), "is a float; expected an Instrument"),
    (lambda: jn.PowderDiffraction(DOUBLET, 6), "background is an int; expected a Background"),
    (lambda: POWDER.simulate("halite.cif", (20, 60, 0.1)), "is a str; expected a Crystal or several by name, as of read_crystal"),
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


PRIOR = jn.Prior("u_iso[Ti1]", 0.01, 0.001)
OBJECTIVE = jn.Objective(PRIOR, crystal=rutile())
PARAMS = OBJECTIVE.parameters().free("u_iso[Ti1]")
MAS = jn.SpectrumMAS("31P", b0_tesla=9.4)
# one of each kind: a text for a number, a number for a text, nothing, a list for one, one for a list, rows of a list, a shape, a
# fraction for a count, infinity, a name that is none, a class, a function that is none, a key that is none
KINDS = [
    (lambda: jn.Site(isotope="27Al", shift_ppm="60"), "Site: shift_ppm is the text '60'; expected a number"),
    (lambda: jn.Site(isotope="27Al", shift_ppm=[60.0]), "Site: shift_ppm is a list; expected a number"),
    (lambda: jn.Site(isotope="27Al", gaussian_hz=None), "Site: gaussian_hz is None; expected a number"),
    (lambda: jn.Site(isotope="27Al", eta=True), "Site: eta is True; expected a number"),
    (lambda: jn.Site(isotope="27Al", label=1), "Site: label is 1; expected a text"),
    (lambda: jn.Site(isotope=27), "Site: isotope is 27; expected a text"),
    (lambda: jn.Site(isotope="27Al", couplings=["1H"]), "couplings[0] is a str; expected a Coupling"),
    (lambda: jn.Instrument(wavelengths=1.5406), "wavelengths is 1.5406; expected a list of number"),
    (lambda: jn.Instrument(wavelengths=("1.5406",)), "wavelengths[0] is the text '1.5406'; expected a number"),
    (lambda: jn.Instrument(radius_mm=float("inf")), "radius_mm is inf; expected a finite number"),
    (lambda: jn.Instrument(U=float("nan")), "U is nan; expected a finite number"),
    (lambda: jn.Background.chebyshev(4.5), "terms is 4.5; expected a whole number"),
    (lambda: jn.Background.interpolate(np.ones((2, 3))), "knots[0] is an array of shape (3,); expected a number"),
    (lambda: jn.Pattern.create(["a", "b", "c"], X), "Pattern.create: x is a list; expected numbers"),
    (lambda: jn.Pattern.create(X, [[1.0], [2.0, 3.0]]), "Pattern.create: y is a list; expected numbers"),
    (lambda: MAS.simulate("31P"), "sites is a str; expected a Site"),
    (lambda: MAS.simulate([jn.Site(isotope="31P")], points="100"), "points is the text '100'; expected a whole number"),
    (lambda: POWDER.simulate(None, (20, 60, 0.1)), "crystals is None; expected a Crystal or several by name"),
    (lambda: PARAMS.set("u_iso[Ti1]", "high"), "Parameters.set: value is a str; expected numbers"),
    (lambda: PARAMS.bound("u_iso[Ti1]", lower="0"), "lower is the text '0'; expected a number"),
    (lambda: PARAMS.tie("u_iso[Ti1]", "u_iso[O1]", factor=float("inf")), "factor is inf; expected a finite number"),
    (lambda: PARAMS.free(3), "the name of a parameter is 3; expected a text"),
    (lambda: PARAMS[["xyz"]], "the name of a parameter is ['xyz']; expected a text"),
    (lambda: PARAMS["nope"], "no parameter is called 'nope'"),
    (lambda: PARAMS.at([0.1, 0.2]), "theta is an array of shape (2,); expected 1 number"),
    (lambda: jn.read_pattern(None), "read_pattern: path is None; expected a text or pathlib.Path"),
    (lambda: jn.read_crystal(123), "read_crystal: path is 123; expected a text or pathlib.Path"),
    (lambda: jn.read_spectrum("a.csdf", larmor_hz="104e6"), "larmor_hz is the text '104e6'; expected a number"),
    (lambda: jn.read_spectrum("a.csdf", isotope="Al"), "'Al' is no nucleus with spin in the table; did you mean 27Al"),
    (lambda: jn.Restraint.bonds("rutile", sigma=0.02), "Restraint.bonds: crystal is a str; expected a Crystal"),
    (lambda: jn.Restraint.bonds(rutile(), sigma=0.02, cutoffs="long"), "cutoffs is the text 'long'; expected a number or several"),
    (lambda: jn.crystal.plan_pairs("rutile", [("Ti1", "O1")]), "plan_pairs: crystal is a str; expected a Crystal"),
    (lambda: jn.crystal.plan_pairs(rutile(), [1]), "plan_pairs: labels[0] is 1; expected a list of text"),
    (lambda: jn.Objective(None), "terms is None; expected a Term"),
    (lambda: jn.Objective([PRIOR]), "terms is a list; expected a Term"),
    (lambda: OBJECTIVE.jacobian(None), "params is None; expected a Parameters, as of objective.parameters()"),
    (lambda: OBJECTIVE.state({}), "the values of a state lack cell, xyz"),
    (lambda: jn.refine(OBJECTIVE, PARAMS, callback=3), "callback is an int; expected a function"),
    (lambda: jn.refine(OBJECTIVE, PARAMS, solver="newton"), "solver is a str; expected a Solver, such as LevenbergMarquardt()"),
    (lambda: jn.refine(OBJECTIVE, PARAMS, correlation_threshold=80), "correlation_threshold is 80; expected a number from 0 to 1"),
    (lambda: jn.LevenbergMarquardt(max_steps=2.5), "max_steps is 2.5; expected a whole number"),
    (lambda: jn.GaussNewton(initial_damping=-1.0), "initial_damping is -1; expected a number from 0 on"),
    (lambda: jn.perturb(PARAMS, 0, n=3), "key of perturb is 0; expected a key of random numbers: jax.random.key(0)"),
    (lambda: jn.displaced(OBJECTIVE, PARAMS, None, n=3), "key of displaced is None; expected a key"),
    (lambda: jn.perturb(PARAMS, None, n="3"), "n is the text '3'; expected a whole number"),
    (lambda: jn.screen([3], lambda c: c), "one of the candidates is 3; expected a Crystal"),
    (lambda: jn.refine_starts(OBJECTIVE, [PARAMS], devices=[]), "devices is []; expected some of jax.devices()"),
    (lambda: jn.term("volume")(3), "term 'volume' is made from 3; expected a function of the state"),
    (lambda: jn.term(lambda state: 1.0), "the name of a term is the function '<lambda>' itself; expected a text"),
    (lambda: jn.term(), "the name of a term is ''; expected a text"),
    (lambda: jn.source(lambda crystal: 1.0), "the name of a source is the function '<lambda>' itself"),
    (lambda: jn.source("energy")(None), "source 'energy' is made from None; expected a function of a crystal"),
    (lambda: PRIOR.robust(["cauchy"]), "there is no robust loss ['cauchy']"),
    (lambda: PRIOR.robust(scale="2"), "the scale of a robust loss is 2; expected a positive number"),
    (lambda: jn.plot.pattern(PATTERN), "is a Pattern; expected a RefinementResult"),
    (lambda: jn.TensorModel.load(3), "path_or_name is 3; expected a text or pathlib.Path"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "says"), KINDS, ids=[says for _, says in KINDS])
def test_an_argument_of_another_kind_is_named_with_what_is_expected(call, says):
    with pytest.raises(JaxnmrError) as caught:
        call()
    assert says in str(caught.value)


def test_what_is_as_good_as_the_kind_that_is_asked_for_is_taken():
    site = jn.Site(
        isotope="27Al", shift_ppm=np.float32(60.0), amplitude=np.array(2.0), euler_deg=[0.0, np.int64(20), 0]
    )
    assert site.shift_ppm == 60.0
    assert jn.Instrument(wavelengths=[1.5406]).wavelengths == [1.5406]
    assert jn.Background.chebyshev(np.int32(4)).terms == 4
    assert PARAMS.set("u_iso", jnp.full(2, 0.01))["u_iso[O1]"] == 0.01
    assert jn.Stage("cell").free == ("cell",)


@pytest.mark.parametrize("change", [{"device": "gpus"}, {"device": ""}])
def test_a_kind_of_device_that_there_is_not_is_refused_at_once(change):
    for make in (
        lambda: jn.SpectrumMAS("31P", b0_tesla=9.4, **change),
        lambda: jn.PowderDiffraction(DOUBLET, **change),
    ):
        with pytest.raises(ConventionError, match=f"device is '{change['device']}'"):
            make()


def test_a_second_line_that_is_not_there_has_no_intensity():
    with pytest.raises(ConventionError, match="ratio is 2, the intensity of a second wavelength, and there is one"):
        jn.Instrument(wavelengths=(1.54,), ratio=2.0)
    two = jn.Instrument(wavelengths=(1.54056, 1.54439), ratio=0.48)
    assert two.replace(wavelengths=(1.3,)).ratio == jn.Instrument.ratio and two.replace(zero=0.1).ratio == 0.48


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
        (lambda: jn.refine(objective, {}), "params is a dict; expected a Parameters, as of objective.parameters()"),
        (lambda: jn.refine(params, objective), "is a Parameters; expected an Objective"),
        (lambda: jn.refine(prior, params), "is a Prior; expected an Objective"),
        (
            lambda: jn.refine(objective, params, stages="cell"),
            "stages is a str; expected a Stage or a list of Stage, such as",
        ),
        (lambda: jn.refine(objective, params, stages=["cell"]), "stages[0] is a str; expected a Stage, such as"),
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
