"""Derivatives of curves with respect to parameters, several at once in forward mode."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Complex, Key

from ..._struct import compiled
from ...errors import ParameterError
from ...typing import Array
from .ensemble import EchoExperiment, EchoParameters
from .evolution import TOGETHER, curve

NAMES = ("alpha", "xi", "p", "gamma", "gamma_1", "width")


def changes_nothing(experiment: EchoExperiment, name: str) -> str:
    """Return the reason why the equations make curves independent of a parameter; empty if they may depend on it.

    Args:
        experiment: spins and pulses.
        name: a field of `EchoParameters`.

    Raises:
        ParameterError: no such field.
    """
    if name not in NAMES:
        raise ParameterError(f"there is no parameter {name!r} of a spin echo; expected one of {', '.join(NAMES)}")
    kernel, line = experiment.ensemble.kernel, experiment.ensemble.line
    if name == "xi" and kernel.family == "power" and kernel.normalised:
        return "the length of a power law cancels when its weights are divided by their sum"
    if name == "xi" and not kernel.has_length:
        return f"a {kernel.family} kernel has no length"
    if name == "p" and not kernel.has_exponent:
        return f"a {kernel.family} kernel has no exponent"
    if name == "width" and line.grid:
        return "frequencies are drawn from a grid, which moves none of them a little"
    return ""


def curve_derivatives(
    experiment: EchoExperiment,
    parameters: EchoParameters,
    key: Key[Array, "*curves"],
    names: Sequence[str] = ("alpha", "xi", "p", "gamma"),
) -> tuple[Complex[Array, "*curves points"], Complex[Array, "*curves names points"]]:
    """Return curves and their derivatives at fixed quantiles of the frequencies; compiled once per shape.

    There is one pass in forward mode with a tangent per name. Derivatives that the equations exclude are exactly 0 at
    no cost.

    Args:
        experiment: spins and pulses.
        parameters: numbers.
        key: of the frequencies, or ``(curves,)`` for several draws.
        names: fields of `EchoParameters`.

    Returns:
        ``(points,)`` and ``(names, points)``, with a leading axis of draws if there are several.

    Raises:
        ParameterError: an unknown name.
    """
    silent = [bool(changes_nothing(experiment, name)) for name in names]
    moving = tuple(name for name, nothing in zip(names, silent, strict=True) if not nothing)
    keys = key[None] if key.ndim == 0 else key
    curves, found = _derived(experiment, parameters, keys, moving)
    rows, none = iter(range(len(moving))), jnp.zeros_like(curves)
    slopes = jnp.stack([none if nothing else found[:, next(rows)] for nothing in silent], axis=1)
    return (curves[0], slopes[0]) if key.ndim == 0 else (curves, slopes)


@compiled(static_argnums=3)
def _derived(
    experiment: EchoExperiment, parameters: EchoParameters, keys: Array, names: tuple[str, ...]
) -> tuple[Array, Array]:
    ensemble = experiment.ensemble

    def one(key: Array) -> tuple[Array, Array]:
        def of(values: Array) -> Array:
            changed = parameters.replace(**{name: values[k] for k, name in enumerate(names)})
            return curve(experiment, changed, ensemble.line.draw(key, ensemble.sizes, changed.width))

        at = jnp.stack([getattr(parameters, name) for name in names])
        along = lambda direction: jax.jvp(of, (at,), (direction,))
        return jax.vmap(along, out_axes=(None, 0))(jnp.eye(len(names), dtype=at.dtype))

    if not names:
        curves = jax.lax.map(
            lambda key: curve(experiment, parameters, ensemble.line.draw(key, ensemble.sizes, parameters.width)), keys
        )
        return curves, curves[:, None][:, :0]
    return jax.lax.map(one, keys, batch_size=min(TOGETHER, keys.shape[0]))
