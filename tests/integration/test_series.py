"""A series of one material compiles once: what only describes its members, and small differences of size, change nothing."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from small_problems import DOUBLET, histogram, rutile
from small_tensor_models import model, quartz

import jaxnmr as jn
from jaxnmr._compilations import watch_compilations

CELLS, WIDTHS = (1.0, 1.004, 0.994), (1.0, 1.3, 0.8)
STAGES = (jn.Stage(("xrd/scale", "xrd/background")), jn.Stage(("cell", "xrd/W", "xrd/size")), jn.Stage("xyz"))


def heated(factor: float, name: str) -> jn.Crystal:
    return rutile().replace(cell=np.asarray(rutile().cell) * [factor, factor, factor, 1, 1, 1], name=name)


def member(k: int, x) -> tuple[jn.Objective, jn.Parameters, jn.Crystal]:
    """One pattern of a series: another file, another cell, other starting widths."""
    true = heated(CELLS[k], "rutile")
    term, _ = histogram(true, DOUBLET, x, values={"size": 0.1}, seed=k)
    instrument = DOUBLET.replace(U=2.0 * WIDTHS[k], V=-2.0 * WIDTHS[k], W=5.0 * WIDTHS[k], name=f"diffractometer {k}")
    pattern = term.pattern.replace(instrument=instrument, name=f"run{k:03}.xye")
    start = {"rutile": heated(CELLS[k] * 1.001, f"from run{k:03}.cif")}
    experiment = jn.PowderDiffraction(background=jn.Background.chebyshev(3))
    objective = jn.Objective(jn.PatternTerm(experiment, pattern), crystal=start)
    return objective, objective.parameters().set("xrd/size", 0.12), true


def test_a_series_of_patterns_compiles_nothing_after_the_first():
    x = np.arange(24, 72.5, 0.1)  # no other test has so many points
    counted, fits = [], []
    problems = [member(k, x) for k in range(3)]
    for k, (objective, params, true) in enumerate(problems):
        with watch_compilations() as watch:
            fit = jn.refine(objective, params, stages=STAGES)
        counted.append(watch.programs)
        fits.append(fit)
        a, esd = float(fit.parameters["cell[a]"]), float(fit.esds["cell"][0])
        assert fit.converged and abs(a - true.cell[0]) < 4 * esd
        assert fit.crystal.name == f"from run{k:03}.cif"
        assert fit.objective.terms[0].source == f"run{k:03}.xye"
        assert fit.objective.terms[0].model.instrument.name == f"diffractometer {k}"
    assert counted[0]["descend"] == 1
    assert not counted[1] and not counted[2]


def spectra(sites, simulation, **axis):
    """Spectra of the same sites by other names, at Larmor frequencies 100 Hz and 1 % apart."""
    for k, factor in enumerate((1.0, 1.0 + 100.0 / simulation.larmor_hz, 1.01)):
        larmor = simulation.larmor_hz * factor
        at = type(simulation)(simulation.isotope, larmor_hz=larmor, mas_hz=simulation.mas_hz, integration_density=20)
        clean = at.simulate(sites, **axis)
        noise = 1e-4 * np.random.default_rng(k).normal(size=len(clean.frequency_hz))
        yield at, clean.replace(values=np.asarray(clean.values) + noise, name=f"spectrum {k}")


@pytest.mark.parametrize("mas_hz", [np.inf, 4000.0])
def test_a_series_of_spectra_compiles_nothing_after_the_first(mas_hz):
    site = jn.Site(isotope="31P", shift_ppm=5.0, zeta_ppm=40.0, eta=0.3, gaussian_hz=250.0, label="P1")
    simulation = jn.SpectrumMAS("31P", b0_tesla=9.4, mas_hz=mas_hz)
    counted = []
    for k, (at, data) in enumerate(spectra([site], simulation, points=264, width_hz=30e3, centre_ppm=0.0)):
        with watch_compilations() as watch:
            term = jn.SpectrumTerm(at, data, [site.replace(shift_ppm=5.5)], sigma=1e-4)
            objective = jn.Objective(term)
            fit = jn.refine(objective, objective.parameters().free("nmr/shift", "nmr/amplitude", "nmr/gaussian"))
        counted.append(watch.programs)
        assert abs(float(fit.parameters["nmr/shift"][0]) - 5.0) < 4 * float(fit.esds["nmr/shift"][0])
        assert fit.objective.terms[0].source == f"spectrum {k}"
        assert fit.spectra["nmr"].larmor_hz == data.larmor_hz
    assert counted[0]["descend"] == 1
    assert not counted[1] and not counted[2]


def test_models_and_predicted_spectra_by_other_names_compile_nothing_again():
    simulation = jn.SpectrumMAS("29Si", b0_tesla=9.4, integration_density=8)
    site = jn.Site(isotope="29Si", shift_ppm=-107.0, zeta_ppm=10.0, gaussian_hz=600.0, label="Si1")
    counted = []
    for k, (at, data) in enumerate(spectra([site], simulation, points=132, width_hz=30e3, centre_ppm=-100.0)):
        network = model().replace(card=replace(model().card, name=f"model {k}", scores={"mae": 0.1 * k}))
        crystal = {"quartz": quartz().replace(name=f"run{k:03}.cif")}
        with watch_compilations() as watch:
            iso = np.trace(np.asarray(network.predict(crystal["quartz"]).tensors["shielding"][0])) / 3.0
            reference = jn.ShiftReference(iso - 106.0, -1.0)
            term = jn.PredictedSpectrumTerm(at, data, reference=reference, sigma=1e-3, gaussian_hz=700.0)
            objective = jn.Objective(term, crystal=crystal, models=network)
            fit = jn.refine(objective, objective.parameters().free("nmr/scale", "nmr/reference", "nmr/gaussian"))
        counted.append(watch.programs)
        assert fit.converged and fit.objective.sources[0].model.card.name == f"model {k}"
    assert counted[0]["descend"] == 1
    assert not counted[1] and not counted[2]


@jn.term("volume", sigma=0.1)
def volume(state):
    return state.crystal.volume() - 62.4


def test_batches_of_a_series_share_their_programs():
    counted = []
    for k in range(2):
        name = f"from run{k:03}.cif"
        objective = jn.Objective(volume + jn.Prior("cell[c]", 2.96, 0.01), crystal={"rutile": heated(CELLS[k], name)})
        starts = jn.perturb(objective.parameters().free("cell"), jax.random.key(k), n=3, sigma=0.1)
        with watch_compilations() as watch:
            found = jn.refine_starts(objective, starts, devices=jax.devices()[:1], width=2)
        counted.append(watch.programs)
        assert found.best.crystal.name == name
    assert counted[0]["on_one_device"] >= 1
    assert not counted[1]
