"""Spins through a pulse sequence: exact solutions, what is conserved, derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnmr.errors import ConventionError, ParameterError, ShapeError
from jaxnmr.nmr.echo import (
    Delay,
    EchoExperiment,
    EchoParameters,
    EchoPulse,
    Kernel,
    Line,
    PulseSequence,
    SpinEnsemble,
    challenge,
    changes_nothing,
    curve,
    curve_derivatives,
    liouville_step,
    simulate,
)

KEY = jax.random.key(5)
HAHN = PulseSequence.hahn(12, 24, dt=2.0)
# of the sizes of most tests: programs are shared
SMALL = SpinEnsemble((8, 6), kernel=Kernel("power"))
COUPLED = EchoParameters(alpha=0.15, xi=3.0, p=2.7, gamma=2e-3)


once = jax.jit(curve)


def offsets_of(ensemble, seed=0, width=0.05):
    return ensemble.line.draw(jax.random.key(seed), ensemble.sizes, jnp.asarray(width))


def run(ensemble, sequence, parameters, offsets=None):
    offsets = offsets_of(ensemble) if offsets is None else offsets
    return np.asarray(once(EchoExperiment(ensemble=ensemble, sequence=sequence), parameters, offsets))


def by_exponentials(ensemble, sequence, parameters, offsets):
    """The same dynamics spin by spin, with mean fields by their definition and exponentials in Liouville space."""
    shape = ensemble.sizes
    places = np.array(list(np.ndindex(*shape)))
    weights = np.asarray(ensemble.kernel.weights(shape, parameters.xi, parameters.p))
    table = np.array([[weights[tuple((b - a) % shape)] for b in places] for a in places])
    spins = np.tile([0.0, 0.0, float(ensemble.polarisation)], (len(places), 1))
    alpha, axes = float(parameters.alpha), np.asarray(ensemble.axes)
    detuned = np.ravel(offsets)
    time, points = 0.0, []
    for which, steps, acquired in sequence.layout:
        angle = float(sequence.angles[which]) if which >= 0 else 0.0
        phase = float(sequence.phases[which]) if which >= 0 else 0.0
        pulse = angle * np.array([np.cos(phase), np.sin(phase), 0.0])
        if steps == 0:
            spins = np.array([liouville_step(s, pulse, 1.0, 0.0) for s in spins])
        for _ in range(steps):
            time += sequence.dt
            fields = table @ spins
            # the laboratory's x and y components, seen from the turning frame
            turning = 2.0 * ensemble.nu0 * time
            m = fields[:, 0] + 1j * fields[:, 1]
            back = m.conj() * np.exp(1j * turning)
            c = -0.5 * alpha * (axes[0] * (m + back) + axes[1] * (m - back))
            b = np.stack([c.real, c.imag, -detuned - alpha * axes[2] * fields[:, 2]], axis=1)
            b = b + pulse / (steps * sequence.dt)
            more = float(parameters.gamma), float(parameters.gamma_1), float(ensemble.polarisation)
            spins = np.array([liouville_step(s, f, sequence.dt, *more) for s, f in zip(spins, b, strict=True)])
            if acquired:
                points.append(spins[:, 0].mean() + 1j * spins[:, 1].mean())
    return np.array(points)


@pytest.mark.parametrize(
    ("axes", "kernel", "sizes"),
    [
        ((0.0, 1.0, 0.0), Kernel("power"), (4, 5)),
        ((1.0, 1.0, 0.7), Kernel("gaussian", normalised=False), (3, 2, 3)),
        ((0.4, 1.0, -0.5), Kernel("power", angular=(1.0, 0.5, 0.3)), (7,)),
    ],
)
def test_curves_are_those_of_density_matrices_in_mean_fields_by_their_definition(axes, kernel, sizes):
    ensemble = SpinEnsemble(sizes, kernel=kernel, axes=axes, polarisation=0.4)
    sequence = PulseSequence([EchoPulse(80.0), Delay(3), EchoPulse(170.0, 60.0, steps=8), Delay(4)], dt=1.5)
    parameters = EchoParameters(alpha=0.12, xi=1.3, p=2.4, gamma=1e-3, gamma_1=4e-4)
    offsets = offsets_of(ensemble)
    exact = by_exponentials(ensemble, sequence, parameters, offsets)
    assert np.abs(run(ensemble, sequence, parameters, offsets) - exact).max() < 1e-6
    assert np.ptp(np.abs(exact)) > 0.01


def test_magnetisation_starts_at_a_half_along_minus_y_and_the_echo_of_free_spins_comes_at_twice_tau():
    fast = PulseSequence([EchoPulse(90.0), Delay(1)], dt=1e-6)
    assert abs(run(SMALL, fast, EchoParameters(alpha=0.2))[0] + 0.5j) < 1e-7
    known = challenge()
    assert known.sequence.points == 471 and known.sequence.time_us[-1] == pytest.approx(150.0, abs=0.1)
    free = run(known.ensemble, known.sequence, EchoParameters(alpha=0.0), offsets_of(known.ensemble))
    # the 314th point: 180° about y leaves y, and all spins are where the first pulse put them
    assert np.abs(free[200:]).argmax() + 201 == 314 and abs(free[313] + 0.5j) < 1e-12 and abs(free[156]) < 0.1


def test_free_decay_is_the_transform_of_the_frequencies_with_the_decay_of_the_jumps():
    offsets = offsets_of(SMALL)
    time = 2.0 * np.arange(1, 13)
    expected = -0.5j * np.exp(-1j * np.multiply.outer(time, np.ravel(offsets))).mean(1) * np.exp(-0.5 * 2e-3 * time)
    found = run(SMALL, PulseSequence([EchoPulse(90.0), Delay(12)], dt=2.0), EchoParameters(gamma=2e-3), offsets)
    assert np.abs(found - expected).max() < 1e-14


def test_equal_spins_in_equal_mean_fields_turn_as_one_exactly():
    """Isotropic exchange turns nothing that is parallel to its mean field; z with z alone turns the plane at a known rate."""
    alike = jnp.zeros((8, 6))
    tipped = PulseSequence([EchoPulse(60.0), Delay(12)], dt=2.0)
    still = run(SpinEnsemble((8, 6), axes=(1.0, 1.0, 1.0)), tipped, EchoParameters(alpha=0.3), alike)
    assert np.abs(still - still[0]).max() < 1e-13 and abs(still[0] + 0.5j * np.sin(np.pi / 3)) < 1e-13
    axial = SpinEnsemble((8, 6), axes=(0.0, 0.0, 1.0), kernel=Kernel("uniform", normalised=True))
    turned = run(axial, tipped, EchoParameters(alpha=0.3), alike)
    rate = -0.3 * 0.5 * np.cos(np.pi / 3)
    expected = still[0] * np.exp(1j * rate * 2.0 * np.arange(1, 13))
    assert np.abs(turned - expected).max() < 1e-13


def test_without_relaxation_no_spin_gets_longer_or_shorter():
    one = PulseSequence([EchoPulse(70.0), Delay(12)], dt=2.0)
    ensemble = SpinEnsemble((2, 2), kernel=Kernel("uniform"), axes=(0.0, 1.0, 0.0))
    # two by two spins of one frequency each stay alike, so that their mean is that of each
    alone = run(ensemble, one, EchoParameters(alpha=0.2), jnp.full((2, 2), 0.1))
    z = np.sqrt(0.25 - np.abs(alone) ** 2)
    fields = -0.5 * 0.2 * (alone[:-1] - alone[:-1].conj() * np.exp(20j * 2.0 * np.arange(2, 13)))
    # dz/dt = b × I: the length is kept by what z does
    assert np.all(np.isfinite(z)) and np.ptp(z) > 1e-3 and np.abs(fields).max() > 1e-3


def test_t1_brings_spins_back_to_where_they_started():
    line = Line("box", cutoff=0.2)
    ensemble = SpinEnsemble((4,), line=line, polarisation=0.3)
    sequence = PulseSequence([EchoPulse(90.0), Delay(400, acquire=False), EchoPulse(90.0), Delay(1)], dt=2.0)
    found = run(ensemble, sequence, EchoParameters(gamma_1=0.02), jnp.zeros(4))
    recovered = 0.3 * (1.0 - np.exp(-0.02 * 800.0))
    assert abs(found[0]) == pytest.approx(recovered * np.exp(-0.01 * 2.0), rel=1e-5)


def test_a_train_of_pulses_has_an_echo_after_each_and_three_pulses_have_one_after_the_third():
    offsets = offsets_of(SMALL, width=0.2)
    train = np.abs(run(SMALL, PulseSequence.cpmg(12, 3, dt=2.0), EchoParameters(), offsets))
    assert train[[23, 47, 71]] == pytest.approx(0.5, abs=1e-12) and train[35] < 0.2
    three = run(SMALL, PulseSequence.stimulated(12, 30, 24, dt=2.0), EchoParameters(), offsets)
    assert abs(three[12 + 30 + 11] - three[12 + 30 + 11].real) == pytest.approx(0.25, abs=0.06)


def test_a_finite_pulse_that_is_short_turns_as_an_ideal_one():
    short = PulseSequence([EchoPulse(90.0, 30.0, steps=4), Delay(1)], dt=1e-5)
    ideal = PulseSequence([EchoPulse(90.0, 30.0), Delay(1)], dt=1e-5)
    assert np.abs(run(SMALL, short, COUPLED) - run(SMALL, ideal, COUPLED)).max() < 1e-5


def test_the_length_of_a_normalised_power_law_changes_nothing_at_all():
    experiment = EchoExperiment(ensemble=SMALL, sequence=HAHN)
    assert "cancels" in changes_nothing(experiment, "xi") and not changes_nothing(experiment, "p")
    of_length = lambda experiment, xi: curve(experiment, COUPLED.replace(xi=xi), offsets_of(SMALL))
    slope_at = jax.jit(lambda experiment, xi: jax.jvp(lambda x: of_length(experiment, x), (xi,), (jnp.ones(()),)))
    near, slope = slope_at(experiment, jnp.asarray(0.1))
    far, _ = slope_at(experiment, jnp.asarray(19.0))
    assert np.abs(slope).max() <= 1e-12 and np.abs(near - far).max() == 0.0
    open_kernel = SMALL.replace(kernel=Kernel("power", normalised=False))
    _, slope = slope_at(experiment.replace(ensemble=open_kernel), jnp.asarray(1.1))
    assert np.abs(slope).max() > 1e-3


def test_derivatives_are_the_limits_of_differences_forward_and_reverse():
    ensemble = SpinEnsemble((8, 6), kernel=Kernel("gaussian", normalised=False), axes=(0.2, 1.0, 0.3))
    offsets = jax.random.uniform(KEY, (8, 6))
    start = {"alpha": 0.1, "xi": 1.4, "gamma": 1e-3, "gamma_1": 5e-4, "width": 0.06}
    start |= {"angle": 3.0, "phase": 1.4, "axis": 0.2, "d": 0.1}

    def weighed(values):
        pulses = {
            "angles": jnp.stack([jnp.asarray(1.5), values["angle"]]),
            "phases": jnp.stack([jnp.zeros(()), values["phase"]]),
        }
        kernel = ensemble.kernel.replace(angular=jnp.stack([jnp.ones(()), jnp.zeros(()), values["d"]]))
        spins = ensemble.replace(kernel=kernel, axes=jnp.stack([values["axis"], jnp.ones(()), jnp.full((), 0.3)]))
        changed = EchoExperiment(ensemble=spins, sequence=HAHN.replace(**pulses))
        numbers = EchoParameters(p=2.0, **{name: values[name] for name in ("alpha", "xi", "gamma", "gamma_1", "width")})
        found = curve(changed, numbers, ensemble.line.quantile(offsets, values["width"]))
        return jnp.sum(jnp.abs(found - 0.1) ** 2)

    at = {name: jnp.asarray(value) for name, value in start.items()}
    reverse, weighed = jax.jit(jax.grad(weighed)), jax.jit(weighed)
    slopes = reverse(at)
    for name, value in start.items():
        step = 1e-4 * value
        central = (weighed(at | {name: value + step}) - weighed(at | {name: value - step})) / (2.0 * step)
        assert float(slopes[name]) == pytest.approx(float(central), rel=2e-5, abs=1e-9), name


def test_curves_and_derivatives_of_many_draws_are_those_of_each():
    experiment = EchoExperiment(ensemble=SMALL, sequence=HAHN)
    cast = jax.tree.map(lambda a: a.astype(np.float32), COUPLED)
    keys = jax.random.split(KEY, 3)
    curves, slopes = curve_derivatives(experiment, cast, keys, ("alpha", "xi", "gamma"))
    assert curves.shape == (3, 36) and slopes.shape == (3, 3, 36) and np.abs(slopes[:, 1]).max() == 0.0
    draw = SMALL.line.draw(keys[1], SMALL.sizes, cast.width)
    assert np.abs(curves[1] - once(experiment, cast, draw)).max() < 1e-5
    step = 1e-2
    ahead, behind = (once(experiment, cast.replace(alpha=cast.alpha + s), draw) for s in (step, -step))
    assert np.abs(slopes[1, 0] - (ahead - behind) / (2.0 * step)).max() < 5e-3 * np.abs(slopes[1, 0]).max()
    batch = simulate(experiment, EchoParameters(alpha=jnp.full(3, cast.alpha), gamma=cast.gamma, p=cast.p), KEY)
    assert batch.shape == (3, 36) and batch.dtype == curves.dtype
    assert not np.allclose(batch[0], batch[1], atol=1e-4)


def test_a_mean_field_that_turns_spins_round_within_a_step_is_not_a_number():
    with_nan = run(SMALL, HAHN, EchoParameters(alpha=1000.0))
    assert np.isnan(with_nan[-1])
    wide = SpinEnsemble((8, 6), line=Line("box", cutoff=5.0))
    offsets = offsets_of(wide, width=8.0)
    time = 2.0 * np.arange(1, 13)
    free = run(wide, PulseSequence([EchoPulse(90.0), Delay(12)], dt=2.0), EchoParameters(), offsets)
    assert np.abs(free + 0.5j * np.exp(-1j * np.multiply.outer(time, np.ravel(offsets))).mean(1)).max() < 1e-13


def test_what_cannot_be_simulated_is_refused_with_what_to_write():
    with pytest.raises(ConventionError, match="expected one of power, gaussian"):
        Kernel("cubic")
    with pytest.raises(ConventionError, match="one to three whole numbers"):
        SpinEnsemble((4, 4, 4, 4))
    with pytest.raises(ConventionError, match="records nothing"):
        PulseSequence([EchoPulse(90.0)], dt=2.0)
    with pytest.raises(ConventionError, match="part 2 of the sequence has 0 steps"):
        PulseSequence([EchoPulse(90.0), Delay(0)], dt=2.0)
    with pytest.raises(ParameterError, match="no parameter 'tau'"):
        changes_nothing(challenge(), "tau")
    with pytest.raises(ShapeError, match="one length for all"):
        simulate(challenge(), EchoParameters(alpha=jnp.ones(2), p=jnp.ones(3)), KEY)
