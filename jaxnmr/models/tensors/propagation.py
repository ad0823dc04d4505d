"""Quantities derived from tensors and their uncertainties, propagated to first order from own and common errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..._struct import compiled
from ...errors import ShapeError
from ...nmr.tensors import haeberlen_from_shielding, maryland_from_shielding
from ...typing import Array


def read_off(quantity: str, tensors: Array) -> Array:
    """Return ``iso``, ``span``, ``skew``, ``vzz`` (its absolute value) or ``eta_q`` of tensors ``(n, 3, 3)``."""
    if quantity in ("vzz", "eta_q"):
        of = haeberlen_from_shielding(tensors)
        return jnp.abs(of.zeta) if quantity == "vzz" else of.eta
    return getattr(maryland_from_shielding(tensors), quantity)


def propagated(
    quantity: str, tensors: Array | None, sigmas: Mapping[int, Array], commons: Mapping[int, Array] | None = None
) -> Array:
    """Return the uncertainty ``(n,)`` of derived quantities to first order, for independent errors of all components.

    With ``e_k`` the principal axes, the span changes by ``(e3 e3 - e1 e1) : dT``, whose two dyads have the norm sqrt2;
    a principal value of the traceless part by a dyad of norm sqrt(2/3), orthogonal to the difference of the other two.
    A common factor of all components changes span and principal values proportionally, but neither skew nor asymmetry.

    Args:
        quantity: see :func:`read_off`.
        tensors: ``(n, 3, 3)``; not needed for ``"iso"``, nor for ``"span"`` and ``"vzz"`` without a common part.
        sigmas: ``(n,)`` uncertainty of a component, by l.
        commons: ``(n,)`` uncertainty of the common part by l, see :func:`site_commons`; none by default.

    Raises:
        ShapeError: tensors are needed but missing.
    """
    if quantity == "iso":
        return (sigmas[0] if commons is None else (sigmas[0] ** 2 + commons[0] ** 2) ** 0.5) / math.sqrt(3.0)
    if quantity in ("span", "vzz"):
        own = math.sqrt(2.0 if quantity == "span" else 2.0 / 3.0) * sigmas[2]
        if commons is None:
            return own
        return (own**2 + (commons[2] * _known(quantity, read_off, tensors)) ** 2) ** 0.5
    if quantity == "skew":
        shape = _known(quantity, lambda _, t: maryland_from_shielding(t), tensors)
        return sigmas[2] * jnp.sqrt(6.0 + 2.0 * shape.skew**2) / shape.span
    of = _known(quantity, lambda _, t: haeberlen_from_shielding(t), tensors)
    return sigmas[2] * jnp.sqrt(2.0 + 2.0 * of.eta**2 / 3.0) / jnp.abs(of.zeta)


def _known(quantity: str, read: Callable[[str, Array], Any], tensors: Array | None) -> Any:
    if tensors is None:
        raise ShapeError(f"the uncertainty of {quantity} depends on the tensors; expected (n, 3, 3), got none")
    return read(quantity, tensors)


_propagated = compiled(propagated, kept=True, static_argnums=0)


def propagated_on_host(
    quantity: str, tensors: Array | None, sigmas: Mapping[int, Array], commons: Mapping[int, Array] | None = None
) -> np.ndarray:
    """Evaluate :func:`propagated` for known numbers (host)."""
    if commons is not None and not any(np.nan_to_num(np.asarray(c)).any() for c in commons.values()):
        commons = None
    # without tensors there is nothing to compile
    bare = quantity == "iso" or (quantity in ("span", "vzz") and commons is None)
    return np.asarray((propagated if bare else _propagated)(quantity, tensors, sigmas, commons))


def interval(quantity: str, values: Array, half: Array) -> tuple[Array, Array]:
    """Return the lower and upper ends of ``values +- half``, within the possible range."""
    low, high = {"span": (0.0, jnp.inf), "vzz": (0.0, jnp.inf), "eta_q": (0.0, 1.0), "skew": (-1.0, 1.0)}.get(
        quantity, (-jnp.inf, jnp.inf)
    )
    return jnp.clip(values - half, low, high), jnp.clip(values + half, low, high)
