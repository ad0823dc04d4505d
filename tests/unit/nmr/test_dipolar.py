"""Dipolar and J couplings in Hz: hand numbers, and a two-spin spectrum of an independent program."""

import warnings

import jax.numpy as jnp
import numpy as np
import pytest

from jaxnmr.errors import ConventionError, ShapeError
from jaxnmr.nmr.dipolar import dipolar_constant_hz, dipolar_tensor_hz, j_hz_from_reduced, reduced_from_j_hz
from jaxnmr.testing import assert_gradients


def test_couplings_of_the_textbooks():
    # M. J. Duer, Introduction to Solid-State NMR Spectroscopy (2004): 120.1 kHz for two protons at 1 Å
    assert dipolar_constant_hz("1H", "1H", 1.0) == pytest.approx(-120.12e3, rel=1e-4)
    assert dipolar_constant_hz("13C", "1H", 1.09) == pytest.approx(-23.3e3, rel=3e-3)
    # gyromagnetic ratios of opposite sign
    assert dipolar_constant_hz("13C", "15N", 1.5) == pytest.approx(907.0, rel=2e-3)
    np.testing.assert_allclose(
        dipolar_constant_hz("1H", "1H", np.array([1.0, 2.0])) / dipolar_constant_hz("1H", "1H", 1.0), [1.0, 0.125]
    )


def test_the_tensor_is_axial_about_the_vector(precision):
    vector = np.array([0.3, -1.2, 0.9], dtype=precision.dtype)
    tensor = dipolar_tensor_hz("13C", "1H", vector)
    assert tensor.dtype == precision.dtype
    d = float(dipolar_constant_hz("13C", "1H", np.linalg.norm(vector)))
    np.testing.assert_allclose(tensor @ vector, 2 * d * vector, rtol=1e-4)
    np.testing.assert_allclose(np.linalg.eigvalsh(tensor), sorted([2 * d, -d, -d]), rtol=1e-4)
    assert abs(np.trace(tensor)) < 1e-5 * abs(d)


def test_tensors_of_many_vectors_follow_rotation_and_can_be_differentiated():
    vectors = np.random.default_rng(1).normal(size=(5, 3))
    turn = np.linalg.qr(vectors[:3])[0]
    np.testing.assert_allclose(
        dipolar_tensor_hz("1H", "31P", vectors @ turn.T),
        turn @ dipolar_tensor_hz("1H", "31P", vectors) @ turn.T,
        rtol=1e-9,
    )
    assert_gradients(lambda v: jnp.sum(dipolar_tensor_hz("1H", "31P", v) ** 2) * 1e-10, jnp.asarray(vectors[0]))


def test_j_of_a_reduced_coupling():
    # hbar gamma1 gamma2 K/(2 pi), gamma in rad/s/T: 151 Hz for 13C-1H and 50e19 T^2/J
    carbon, proton, hbar = 6.728284e7, 26.7522128e7, 1.054571817e-34
    assert j_hz_from_reduced("13C", "1H", 50.0) == pytest.approx(hbar * carbon * proton * 50e19 / (2 * np.pi), rel=1e-3)
    assert j_hz_from_reduced("15N", "1H", 1.0) < 0, "the sign of the gyromagnetic ratios"
    np.testing.assert_allclose(reduced_from_j_hz("13C", "1H", j_hz_from_reduced("13C", "1H", np.eye(3))), np.eye(3))


def test_dipolar_and_j_couplings_add_as_in_mrsimulator():
    with warnings.catch_warnings():
        # mrsimulator and what it imports use deprecated Python
        warnings.simplefilter("ignore")
        pytest.importorskip("mrsimulator")
        from mrsimulator import Coupling, Simulator, Site, SpinSystem
        from mrsimulator.method.lib import BlochDecaySpectrum

        d, j, width, count = float(dipolar_constant_hz("13C", "15N", 1.7)), 800.0, 8e3, 2048
        system = SpinSystem(
            sites=[Site(isotope="13C"), Site(isotope="15N")],
            couplings=[Coupling(site_index=[0, 1], isotropic_j=j, dipolar={"D": d})],
        )
        method = BlochDecaySpectrum(
            channels=["13C"],
            magnetic_flux_density=9.4,
            rotor_frequency=0,
            spectral_dimensions=[{"count": count, "spectral_width": width}],
        )
        run = Simulator(spin_systems=[system], methods=[method])
        run.config.integration_density = 150
        run.run()
    y = run.methods[0].simulation.y[0].components[0].real
    x = (np.arange(count) - count // 2) * width / count
    # energies h I M S with M = j + dipolar tensor: lines at Mzz/2, edges where the vector is along and across the field
    along, across = (j + dipolar_tensor_hz("13C", "15N", np.array(v) * 1.7)[2, 2] for v in ([0.0, 0, 1], [1.0, 0, 0]))
    assert x[y > 1e-6 * y.max()].max() == pytest.approx(float(along) / 2, abs=width / count)
    assert abs(x[np.argmax(y)]) == pytest.approx(float(across) / 2, abs=2 * width / count)


def test_bad_distances_and_vectors_are_refused():
    for distance in (0.0, -1.0, np.nan):
        with pytest.raises(ConventionError, match="distance_angstrom"):
            dipolar_constant_hz("1H", "1H", distance)
    with pytest.raises(ConventionError, match="coincide"):
        dipolar_tensor_hz("1H", "1H", np.zeros(3))
    with pytest.raises(ShapeError, match=r"\.\.\., 3"):
        dipolar_tensor_hz("1H", "1H", np.ones(2))
    with pytest.raises(ConventionError, match="nucleus"):
        dipolar_constant_hz("12C", "1H", 1.0)
