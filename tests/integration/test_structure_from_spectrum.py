"""A structure refined against a spectrum alone, through tensors that a network predicts."""

import jax
import numpy as np
import pytest
from small_tensor_models import CUTOFF, SPECIES, quartz

import jaxnmr as jn
from jaxnmr.models import HeadConfig, NetworkConfig, TensorModel
from jaxnmr.objective.objective import residuals


def network() -> TensorModel:
    """Random parameters, scaled to couplings of 6 MHz and to changes with the structure as large as those of real oxygen."""
    heads = (
        HeadConfig(name="shielding", irreps="0e+2e", elements=SPECIES),
        HeadConfig(name="efg", elements=("O",)),
    )
    config = NetworkConfig(
        species=SPECIES, heads=heads, hidden="4x0e+2x1o+2x2e", cutoff=CUTOFF, radial=6, radial_hidden=(8,)
    )
    scale = {"shielding": np.tile([1e4, 1e3], (2, 1)), "efg": np.full((2, 1), 10.0)}
    return TensorModel.create(config, key=jax.random.key(3), scale=scale, dtype=np.float64)


MAS = jn.SpectrumMAS("17O", b0_tesla=9.4, integration_density=48)
HIDDEN = {"xyz[O1.x]": 0.4135 + 0.006, "xyz[O1.z]": 0.7858 - 0.004}
FREE = ("nmr/scale", "nmr/gaussian", "nmr/baseline", *HIDDEN)


@pytest.fixture(scope="module")
def fit():
    """Oxygen 0.04 Å away from where the spectrum was made; its noise is a 500th of the highest point."""
    frequency = np.linspace(-30e3, 30e3, 160, endpoint=False)
    blank = jn.Spectrum.create(frequency, np.full(160, 60.0), larmor_hz=MAS.larmor_hz, isotope="17O", sigma=1.0)
    reference = jn.ShiftReference(4070.0)
    term = jn.PredictedSpectrumTerm(MAS, blank, reference=reference, baseline=1, gaussian_hz=1200.0, pivot_ppm=0.0)
    objective = jn.Objective(term, crystal=quartz(), models=network())
    params = objective.parameters().set("nmr/baseline", 0.0).set("nmr/scale", 1e4).free(*FREE)
    objective = objective.bind(params)
    hidden = params.set("nmr/gaussian", 900.0)
    for name, value in HIDDEN.items():
        hidden = hidden.set(name, value)
    spec = hidden.spec
    clean = 60.0 + np.asarray(residuals(spec.layout, objective, hidden.offset(), spec.transform, hidden.theta))
    sigma = 0.002 * clean.max()
    noisy = clean + np.random.default_rng(5).normal(0.0, sigma, len(clean))
    measured = objective.terms[0].replace(observed=noisy, sigma=np.full(len(clean), sigma))
    return jn.refine(objective.replace(terms=(measured,)), params.set("nmr/scale", 8e3), suggest=False)


def test_atoms_move_to_where_the_spectrum_was_made(fit):
    assert fit.converged and 0.85 < fit.statistics["nmr"].gof < 1.15
    labels = [label for label in fit.parameters.labels if label.startswith("xyz[")]
    esds = dict(zip(labels, np.ravel(fit.esds["xyz"]), strict=True))
    for name, truth in HIDDEN.items():
        assert 0 < esds[name] < 5e-4, "less than a tenth of the displacement"
        assert abs(float(fit.parameters[name]) - truth) < 3 * esds[name]
    assert float(fit.parameters["nmr/scale"]) == pytest.approx(1e4, rel=0.01)
    assert float(fit.parameters["nmr/gaussian"]) == pytest.approx(900.0, rel=0.05)


def test_the_report_shows_the_sites_of_the_structure(fit):
    spectrum = fit.spectra["nmr"]
    assert spectrum.labels == ("O1",) and spectrum.isotope == "17O"
    np.testing.assert_allclose(spectrum.components.sum(axis=0) + spectrum.baseline, spectrum.calculated, rtol=1e-9)
    assert "nmr" in str(fit)
