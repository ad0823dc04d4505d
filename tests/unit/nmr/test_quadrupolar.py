"""Field gradients to quadrupolar couplings, and the quantities reported of them."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxnmr.errors import ConventionError
from jaxnmr.nmr import quadrupolar as q
from jaxnmr.nmr.tensors import quadrupolar_parameters
from jaxnmr.testing import assert_gradients

EFG = np.diag([-0.4, -0.6, 1.0])


def test_one_atomic_unit_and_one_barn_are_235_MHz():
    # E_h/(e a0^2) times e/h times 1e-28 m^2, CODATA 2018
    hartree, bohr, planck = 4.3597447222071e-18, 5.29177210903e-11, 6.62607015e-34
    assert q.CQ_HZ_PER_AU_BARN == pytest.approx(hartree / planck * 1e-28 / bohr**2, rel=1e-9)
    assert q.CQ_HZ_PER_AU_BARN == pytest.approx(234.9647e6, rel=1e-6)
    assert q.EFG_UNITS["au"] / q.EFG_UNITS["V/Å^2"] == pytest.approx(97.1736, rel=1e-6)


def test_the_sign_of_cq_is_that_of_the_field_gradient_times_the_moment():
    for nucleus, moment in (("27Al", 0.1466), ("17O", -0.0256)):
        found = quadrupolar_parameters(q.quadrupolar_from_efg(EFG, nucleus))
        np.testing.assert_allclose(found, (234.9647e6 * moment, 0.2), rtol=1e-5)


def test_rounding_in_a_file_is_taken_out_and_no_more():
    rounded = np.diag([0.0041, 0.0021, -0.0063]) + 1e-4 * np.eye(3, k=1)
    tensor = q.quadrupolar_from_efg(rounded, "23Na")
    assert float(jnp.trace(tensor)) == pytest.approx(0.0, abs=1e-6)
    np.testing.assert_array_equal(tensor, tensor.T)
    np.testing.assert_allclose(np.diag(tensor) / q.CQ_HZ_PER_AU_BARN / 0.104, np.diag(rounded), atol=4e-5)
    with pytest.raises(ConventionError, match="not traceless"):
        q.quadrupolar_from_efg(rounded + 2e-4 * np.eye(3), "23Na")


def test_units_of_the_field_gradient_agree():
    reference = q.quadrupolar_from_efg(EFG, "27Al")
    for unit, factor in (("V/Å^2", 97.173624292), ("V/m^2", 97.173624292e20)):
        np.testing.assert_allclose(q.quadrupolar_from_efg(EFG * factor, "27Al", unit=unit), reference, rtol=1e-9)
        np.testing.assert_allclose(q.efg_from_quadrupolar(reference, "27Al", unit=unit), EFG * factor, rtol=1e-9)


def test_the_moment_can_be_given_and_refined():
    np.testing.assert_allclose(
        q.quadrupolar_from_efg(EFG, q_barn=0.1466), q.quadrupolar_from_efg(EFG, "27Al"), rtol=1e-12
    )
    assert_gradients(
        lambda p: jnp.sum(q.quadrupolar_from_efg(EFG * p[1], q_barn=p[0]) ** 2) * 1e-14, jnp.array([0.15, 1.0])
    )


def test_reported_quantities_of_a_worked_example():
    # 27Al, Cq = 3 MHz, eta = 0.6: P_Q = 3 sqrt(1.12), nu_Q = 9 MHz/20
    assert q.quadrupolar_product(3e6, 0.6) == pytest.approx(3e6 * np.sqrt(1.12))
    assert q.quadrupolar_product(-3e6, 0.6) == pytest.approx(-3e6 * np.sqrt(1.12))
    assert q.quadrupolar_frequency(3e6, 2.5) == pytest.approx(450e3)
    assert q.cq_from_quadrupolar_frequency(450e3, 2.5) == pytest.approx(3e6)
    assert q.quadrupolar_frequency(2e5, 1) == pytest.approx(3e5), "2H: 3/2 Cq"


def test_satellites_are_spaced_by_the_quadrupolar_frequency():
    # h Cq/(4 I (2I - 1)) (3 m^2 - I (I + 1)) at theta = 0 and eta = 0: exact first-order energies
    for spin, cq in ((1.0, 2e5), (1.5, 1e6), (2.5, 3e6), (4.5, 5e6)):
        m = np.arange(spin, -spin - 1, -1)
        energy = cq / (4 * spin * (2 * spin - 1)) * (3 * m**2 - spin * (spin + 1))
        lines = energy[:-1] - energy[1:]
        np.testing.assert_allclose(lines, q.quadrupolar_frequency(cq, spin) * (m[:-1] - 0.5), rtol=1e-12)


@pytest.mark.parametrize("spin", [1.5, 2.5, 3.5, 4.5])
def test_the_quadrupolar_shift_is_the_powder_average_of_the_exact_levels(spin):
    cq, eta, larmor = 1e6, 0.6, 1e8
    n = round(2 * spin + 1)
    m = spin - np.arange(n)
    up = np.diag(np.sqrt(spin * (spin + 1) - m[1:] * (m[1:] + 1)), 1)
    ix, iy, iz = (up + up.T) / 2, (up - up.T) / 2j, np.diag(m).astype(complex)
    tensor = np.diag([-(1 + eta) / 2, -(1 - eta) / 2, 1.0])
    spins = [ix, iy, iz]
    total, weights = 0.0, 0.0
    # Gauss-Legendre in cos(beta), uniform in alpha: exact for rank 4
    for cosine, weight in zip(*np.polynomial.legendre.leggauss(6), strict=True):
        for alpha in np.arange(8) * np.pi / 4:
            sine = np.sqrt(1 - cosine**2)
            z = np.array([sine * np.cos(alpha), sine * np.sin(alpha), cosine])
            x = np.array([cosine * np.cos(alpha), cosine * np.sin(alpha), -sine])
            frame = np.array([x, np.cross(z, x), z])
            v = frame @ tensor @ frame.T
            energy = sum(v[i, j] * spins[i] @ spins[j] for i in range(3) for j in range(3))
            levels = np.linalg.eigvalsh(larmor * iz + cq / (2 * spin * (2 * spin - 1)) * energy)
            centre = n // 2
            total += weight * (levels[centre] - levels[centre - 1] - larmor)
            weights += weight
    exact = 1e6 * total / weights / larmor
    assert q.quadrupolar_shift_ppm(cq, eta, spin, larmor) == pytest.approx(exact, rel=2e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: q.quadrupolar_from_efg(EFG, "29Si"), "spin 1/2"),
        (lambda: q.quadrupolar_from_efg(EFG, "125Sb"), "no known quadrupole moment"),
        (lambda: q.cq_hz_per_au("29Si", prefix="'o': "), "'o': 29Si has no known quadrupole moment; give q_barn="),
        (lambda: q.quadrupolar_from_efg(EFG), "needs a nucleus"),
        (lambda: q.quadrupolar_from_efg(EFG, "27Al", unit="Hartree"), "Hartree"),
        (lambda: q.quadrupolar_from_efg(np.eye(3), "27Al"), "not traceless"),
        (lambda: q.quadrupolar_from_efg(np.triu(np.ones((3, 3)), 1), "27Al"), "not symmetric"),
        (lambda: q.quadrupolar_frequency(1e6, 0.5), "spin is 0.5"),
        (lambda: q.quadrupolar_frequency(1e6, 1.7), "spin is 1.7"),
        (lambda: q.quadrupolar_shift_ppm(1e6, 0.1, 1, 1e8), "central transition"),
        (lambda: q.quadrupolar_shift_ppm(1e6, 0.1, 1.5, 0.0), "larmor_hz"),
    ],
)
def test_what_has_no_quadrupolar_coupling_is_refused(call, message):
    with pytest.raises(ConventionError, match=message):
        call()
