"""Spins through a pulse sequence: one step after the other, their mean fields by Fourier transforms."""

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
from .ensemble import EchoExperiment, EchoParameters
from .rotation import LARGEST_ANGLE, Vector, rotate
from .sequence import Steps

# curves in flight at once: what they need fits in the cache of a core
_TOGETHER = 8


class _Step(NamedTuple):
    """Numbers of one step, or ``(steps,)`` of all: how long, the pulse, ``exp(2iν0 t)``, what half of it leaves of transverse
    and longitudinal parts, and the factors of the correction."""

    duration: Array
    pulse_x: Array
    pulse_y: Array
    cosine: Array
    sine: Array
    keep: Array
    keep_z: Array
    mixing: Array
    drive: Array


def curve(
    experiment: EchoExperiment, parameters: EchoParameters, offsets: Float[Array, "*sizes"]
) -> Complex[Array, " points"]:
    """The mean ``<I_x> + i <I_y>`` at the points that the sequence records, for these frequencies. Traceable.

    Within a step mean fields are frozen, at the time of its end, and the equation of motion of each spin,
    ``dI/dt = b × I - relaxation``, is solved to 10⁻⁶: a rotation between two halves of the relaxation, with the first term of what both do
    to each other (Euler-Maclaurin).

    Derivatives in reverse mode keep the spins at some 2 √steps steps and calculate the others again: ``12 √steps · 2`` bytes a spin in
    single precision instead of ``12 steps`` and what is between.

    Args:
        experiment: spins and pulses.
        parameters: numbers.
        offsets: of the frequencies from their centre, MHz; as of ``line.draw``.

    Returns:
        the curve; not numbers where a mean field turns spins by more than half a turn within a step.
    """
    ensemble, sequence = experiment.ensemble, experiment.sequence
    kind = parameters.alpha.dtype
    axes = jnp.asarray(ensemble.axes, kind)
    field = ensemble.kernel.transform(ensemble.sizes, parameters.xi, parameters.p)
    with_it = -0.5 * parameters.alpha * (axes[0] + axes[1])
    against = -0.5 * parameters.alpha * (axes[0] - axes[1])
    along = -parameters.alpha * axes[2]
    start = jnp.asarray(ensemble.polarisation, kind)
    wide = ensemble.line.cutoff * sequence.dt > 0.8 * LARGEST_ANGLE
    steps = sequence.steps()

    def step(spins: Vector, now: _Step) -> tuple[Vector, tuple[Array, Array]]:
        mx, my, mz = spins
        transformed = jnp.fft.fftn(jax.lax.complex(mx, my))
        mean = jax.lax.index_in_dim(transformed.ravel(), 0, keepdims=False) / ensemble.spins
        m = jnp.fft.ifftn(transformed * field)
        re, im = jnp.real(m), jnp.imag(m)
        h = now.duration
        x = h * (with_it * re + against * (re * now.cosine + im * now.sine)) + now.pulse_x
        y = h * (with_it * im + against * (re * now.sine - im * now.cosine)) + now.pulse_y
        z = -h * offsets
        if ensemble.axial:
            z = z + h * along * jnp.real(jnp.fft.ifftn(jnp.fft.fftn(mz) * field))
        mx, my, mz = now.keep * mx, now.keep * my, start + (mz - start) * now.keep_z
        mx, my, mz = _mixed((mx, my, mz), x, y, now, 1.0)
        mx, my, mz = rotate((mx, my, mz), (x, y, z), wide)
        mx, my, mz = _mixed((mx, my, mz), x, y, now, -1.0)
        after = now.keep * mx, now.keep * my, start + (mz - start) * now.keep_z
        return after, (jnp.real(mean), jnp.imag(mean))

    each = _each(steps, parameters, ensemble.nu0, start)
    nothing = jnp.zeros(ensemble.sizes, kind)
    spins = nothing, nothing, jnp.broadcast_to(start, ensemble.sizes)
    last, (re, im) = _scanned(step, spins, each, len(steps.duration))
    re, im = jnp.append(re, jnp.mean(last[0])), jnp.append(im, jnp.mean(last[1]))
    # the mean is that before a step
    return jax.lax.complex(re, im)[steps.acquired + 1]


def _mixed(v: Vector, x: Array, y: Array, now: _Step, sign: float) -> Vector:
    """What relaxation and rotation do to each other within half a step: ``(h/12) [D, Ω]``, D with the rates, applied to the spins."""
    mx, my, mz = v
    e, both = sign * now.mixing, sign * (now.mixing * mz - now.drive)
    return mx + both * y, my - both * x, mz + e * (y * mx - x * my)


def _each(steps: Steps, parameters: EchoParameters, nu0: float, equilibrium: Array) -> _Step:
    kind = parameters.alpha.dtype
    h, pulse = jnp.asarray(steps.duration, kind), jnp.asarray(steps.pulse, kind)
    # in double precision: thousands of turns
    phase = 2.0 * nu0 * steps.time
    longitudinal = parameters.gamma_1
    transverse = 0.5 * (parameters.gamma + longitudinal)
    return _Step(
        duration=h,
        pulse_x=pulse[:, 0],
        pulse_y=pulse[:, 1],
        cosine=jnp.asarray(np.cos(phase), kind),
        sine=jnp.asarray(np.sin(phase), kind),
        keep=jnp.exp(-0.5 * transverse * h),
        keep_z=jnp.exp(-0.5 * longitudinal * h),
        mixing=(longitudinal - transverse) * h / 12.0,
        drive=longitudinal * equilibrium * h / 12.0,
    )


def _scanned(step: Callable, spins: Vector, each: _Step, count: int) -> tuple[Vector, tuple[Array, Array]]:
    """A scan in blocks, of which derivatives in reverse mode keep the beginnings only."""
    root = int(np.ceil(np.sqrt(count)))
    inner = min(range(max(root // 2, 1), 2 * root + 1), key=lambda n: (-count % n, abs(n - root)))
    blocks = -(-count // inner)
    # what is added has no duration
    rest = blocks * inner - count
    neutral = [1.0 if name.startswith("keep") else 0.0 for name in _Step._fields]
    padded = _Step(
        *(
            jnp.append(a, jnp.full(rest, fill, a.dtype)).reshape(blocks, inner)
            for a, fill in zip(each, neutral, strict=True)
        )
    )
    one = jax.checkpoint(step, prevent_cse=False)
    block = jax.checkpoint(lambda spins, part: jax.lax.scan(one, spins, part), prevent_cse=False)
    last, (re, im) = jax.lax.scan(block, spins, padded)
    return last, (re.reshape(-1)[:count], im.reshape(-1)[:count])


@compiled
def _simulated(experiment: EchoExperiment, parameters: EchoParameters, keys: Array) -> Array:
    ensemble = experiment.ensemble

    def one(of: tuple[EchoParameters, Array]) -> Array:
        values, key = of
        return curve(experiment, values, ensemble.line.draw(key, ensemble.sizes, values.width))

    return jax.lax.map(one, (parameters, keys), batch_size=min(_TOGETHER, keys.shape[0]))


def simulate(
    experiment: EchoExperiment, parameters: EchoParameters, key: Key[Array, ""]
) -> Complex[Array, "*curves points"]:
    """Curves with frequencies drawn afresh for each; compiled once per shape.

    Args:
        experiment: spins and pulses.
        parameters: numbers for one curve, or ``(curves,)``; numbers among them are those of all curves.
        key: of ``jax.random``.

    Returns:
        ``(points,)``, or ``(curves, points)``.

    Raises:
        ShapeError: parameters of different numbers of curves.
    """
    shapes = {a.shape for a in jax.tree.leaves(parameters)} - {()}
    if len(shapes) > 1 or any(len(shape) != 1 for shape in shapes):
        raise ShapeError(f"parameters have the shapes {sorted(shapes)}; expected numbers, or one length for all")
    (count,) = shapes.pop() if (several := bool(shapes)) else (1,)
    all_of = jax.tree.map(lambda a: jnp.broadcast_to(a, (count,)), parameters)
    found = _simulated(experiment, all_of, jax.random.split(key, count))
    return found if several else found[0]
