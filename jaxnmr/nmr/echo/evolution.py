"""Evolution of spins through a pulse sequence, step by step, with mean fields by Fourier transform."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Complex, Float, Key

from ..._struct import compiled
from ...errors import ShapeError
from ...typing import Array
from .ensemble import EchoExperiment, EchoParameters, SpinEnsemble
from .rotation import LARGEST_ANGLE, Vector, rotate
from .sequence import Steps

Spins = tuple[Array, Array]
# number of curves simulated simultaneously, whose data fit in the cache of a core
TOGETHER = 8


class _Step(NamedTuple):
    """Numbers of one step, or ``(steps,)`` of all, arranged to leave few operations per spin.

    Attributes:
        duration: in units of 1/γ.
        pulse_x, pulse_y: rotation angles of the pulse.
        xx, xy, yy: rotation by mean fields about x and y.
        grow, rise: changes of z before the rotation; ``lose``, ``lose_z`` and ``rise_after`` changes of all components
            after it. Changes are stored rather than factors near 1, from which single precision would lose a tenth of a
            slow rate.
        mixing, drive: commutator terms of relaxation and rotation.
    """

    duration: Array
    pulse_x: Array
    pulse_y: Array
    xx: Array
    xy: Array
    yy: Array
    grow: Array
    rise: Array
    lose: Array
    lose_z: Array
    rise_after: Array
    mixing: Array
    drive: Array


def curve(
    experiment: EchoExperiment, parameters: EchoParameters, offsets: Float[Array, "*sizes"]
) -> Complex[Array, " points"]:
    """Return the mean ``<I_x> + i <I_y>`` at the recorded points of the sequence for these frequencies. Traceable.

    Within a step, mean fields are frozen, with the phase of the rotating frame at its end, and the equation of motion
    of each spin, ``dI/dt = b × I - relaxation``, is solved to 10⁻⁶: a rotation between two halves of the relaxation,
    with the first term of their commutator (Euler-Maclaurin).

    Reverse-mode derivatives store the spins at about 2 √steps steps and recompute the others: ``12 √steps · 2`` bytes
    per spin in single precision instead of ``12 steps`` and intermediate values.

    Args:
        experiment: spins and pulses.
        parameters: numbers.
        offsets: of the frequencies from their centre, MHz; as returned by ``line.draw``.

    Returns:
        The curve; NaN if a mean field rotates spins by more than half a turn within a step.
    """
    ensemble, sequence = experiment.ensemble, experiment.sequence
    kind = parameters.alpha.dtype
    weights = ensemble.kernel.transform(ensemble.sizes, parameters.xi, parameters.p)
    along = -parameters.alpha * jnp.asarray(ensemble.axes, kind)[2]
    wide = ensemble.line.cutoff * sequence.dt > 0.8 * LARGEST_ANGLE
    steps = sequence.steps()

    sizes = ensemble.sizes
    # long loops over all spins are faster than loops over rows
    offsets, weights = offsets.reshape(-1), weights.reshape(-1)

    def back(transformed: Array) -> Array:
        """Return the mean fields from the transform of the spins."""
        if ensemble.kernel.directional:
            found = transformed * weights
        else:
            found = jax.lax.complex(jnp.real(transformed) * weights, jnp.imag(transformed) * weights)
        return jnp.fft.ifftn(found.reshape(sizes)).reshape(-1)

    def step(spins: Spins, now: _Step) -> tuple[Spins, Array]:
        plane, mz = spins
        transformed = jnp.fft.fftn(plane.reshape(sizes)).reshape(-1)
        field = back(transformed)
        re, im = jnp.real(field), jnp.imag(field)
        x = now.xx * re + now.xy * im + now.pulse_x
        y = now.xy * re + now.yy * im + now.pulse_y
        z = -now.duration * offsets
        if ensemble.axial:
            z = z + now.duration * along * jnp.real(back(jnp.fft.fftn(mz.reshape(sizes)).reshape(-1)))
        v = _mixed((jnp.real(plane), jnp.imag(plane), mz + (now.grow * mz + now.rise)), x, y, now.mixing, now.drive)
        mx, my, mz = _mixed(rotate(v, (x, y, z), wide), x, y, -now.mixing, -now.drive)
        # one complex number, so that common parts are calculated once
        after = jax.lax.complex(mx + now.lose * mx, my + now.lose * my), mz + (now.lose_z * mz + now.rise_after)
        # the sum before the step
        return after, transformed[0]

    each = _each(ensemble, parameters, steps)
    nothing = jnp.zeros(ensemble.spins, kind)
    start = jax.lax.complex(nothing, nothing), nothing + jnp.asarray(ensemble.polarisation, kind)
    (last, _), sums = _scanned(step, start, each, len(steps.duration))
    return jnp.append(sums, jnp.sum(last))[steps.acquired + 1] / ensemble.spins


def _mixed(v: Vector, x: Array, y: Array, mixing: Array, drive: Array) -> Vector:
    """Apply the commutator of relaxation and rotation within half a step: ``(h/12) [D, Ω]`` of the rates D."""
    mx, my, mz = v
    both = mixing * mz - drive
    return mx + both * y, my - both * x, mz + mixing * (y * mx - x * my)


def _each(ensemble: SpinEnsemble, parameters: EchoParameters, steps: Steps) -> _Step:
    kind = parameters.alpha.dtype
    h, pulse = jnp.asarray(steps.duration, kind), jnp.asarray(steps.pulse, kind)
    axes = jnp.asarray(ensemble.axes, kind)
    # in double precision, because of thousands of turns
    phase = 2.0 * ensemble.nu0 * steps.time
    cosine, sine = jnp.asarray(np.cos(phase), kind), jnp.asarray(np.sin(phase), kind)
    with_it = -0.5 * parameters.alpha * (axes[0] + axes[1])
    against = -0.5 * parameters.alpha * (axes[0] - axes[1])
    longitudinal = parameters.gamma_1
    transverse = 0.5 * (parameters.gamma + longitudinal)
    rest = jnp.asarray(ensemble.polarisation, kind)
    # losses common to all components commute with rotations and are applied afterwards
    half, lost_z = jnp.exp(-0.5 * transverse * h), -jnp.expm1(-0.5 * longitudinal * h)
    return _Step(
        duration=h,
        pulse_x=pulse[:, 0],
        pulse_y=pulse[:, 1],
        xx=h * (with_it + against * cosine),
        xy=h * against * sine,
        yy=h * (with_it - against * cosine),
        grow=jnp.expm1(0.5 * (transverse - longitudinal) * h),
        rise=rest * lost_z / half,
        lose=jnp.expm1(-transverse * h),
        lose_z=jnp.expm1(-0.5 * (transverse + longitudinal) * h),
        rise_after=rest * lost_z,
        mixing=(longitudinal - transverse) * h / 12.0,
        drive=longitudinal * rest * h / 12.0 / half,
    )


def _scanned(step: Callable, spins: Spins, each: _Step, count: int) -> tuple[Spins, Array]:
    """Scan in blocks, of which reverse-mode derivatives keep only the beginnings."""
    root = int(np.ceil(np.sqrt(count)))
    inner = min(range(max(root // 2, 1), 2 * root + 1), key=lambda n: (-count % n, abs(n - root)))
    blocks = -(-count // inner)
    # padding steps have no duration
    rest = blocks * inner - count
    padded = _Step(*(jnp.append(a, jnp.zeros(rest, a.dtype)).reshape(blocks, inner) for a in each))
    one = jax.checkpoint(step, prevent_cse=False)
    block = jax.checkpoint(lambda spins, part: jax.lax.scan(one, spins, part), prevent_cse=False)
    last, means = jax.lax.scan(block, spins, padded)
    return last, means.reshape(-1)[:count]


@compiled
def _simulated(experiment: EchoExperiment, parameters: EchoParameters, keys: Array) -> Array:
    ensemble = experiment.ensemble

    def one(of: tuple[EchoParameters, Array]) -> Array:
        values, key = of
        return curve(experiment, values, ensemble.line.draw(key, ensemble.sizes, values.width))

    return jax.lax.map(one, (parameters, keys), batch_size=min(TOGETHER, keys.shape[0]))


def simulate(
    experiment: EchoExperiment, parameters: EchoParameters, key: Key[Array, ""]
) -> Complex[Array, "*curves points"]:
    """Simulate curves, each with independently drawn frequencies; compiled once per shape.

    Args:
        experiment: spins and pulses.
        parameters: numbers for one curve, or ``(curves,)``; single numbers apply to all curves.
        key: of ``jax.random``.

    Returns:
        ``(points,)``, or ``(curves, points)``.

    Raises:
        ShapeError: parameters for different numbers of curves.
    """
    shapes = {a.shape for a in jax.tree.leaves(parameters)} - {()}
    if len(shapes) > 1 or any(len(shape) != 1 for shape in shapes):
        raise ShapeError(f"parameters have the shapes {sorted(shapes)}; expected numbers, or one length for all")
    (count,) = shapes.pop() if (several := bool(shapes)) else (1,)
    all_of = jax.tree.map(lambda a: jnp.broadcast_to(a, (count,)), parameters)
    found = _simulated(experiment, all_of, jax.random.split(key, count))
    return found if several else found[0]
