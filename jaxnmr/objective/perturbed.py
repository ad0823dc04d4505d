"""`perturb`: copies of parameters with noise; checks of PRNG keys."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from .._arguments import checked, shown
from ..errors import ParameterError
from .parameters import Parameters


@checked
def perturb(params: Parameters, key, *, n: int, sigma: float = 1.0) -> Parameters:
    """Return ``n`` copies whose free parameters are shifted by Gaussian noise, stacked along a leading axis.

    Args:
        params: mean of the copies.
        key: typed PRNG key.
        n: number of copies.
        sigma: standard deviation in units of each parameter's typical change (its ``scale``).

    Returns:
        Parameters with ``flat`` of shape ``(n, values)``, for ``jax.vmap``.

    Raises:
        ParameterError: the key is invalid, ``n`` is below 1, or ``sigma`` is negative.

    Example:
        >>> jn.perturb(params, jax.random.key(0), n=4, sigma=0.1).flat.shape[0]
        4
    """
    require_key(key, "perturb")
    require_copies(n, sigma, "sigma")
    theta = jnp.asarray(params.theta)
    lower, upper = params.theta_bounds()
    noisy = jnp.clip(theta + sigma * jax.random.normal(key, (n, theta.size)), lower, upper)
    return params.replace(flat=params.offset() + noisy @ params.spec.transform.T)


def require_key(key: Any, function: str) -> None:
    """Refuse anything but a PRNG key, such as the seed itself.

    Raises:
        ParameterError: see above.
    """
    dtype = getattr(key, "dtype", None)
    typed = dtype is not None and jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key)
    if not typed and (dtype is None or str(dtype) != "uint32" or key.shape != (2,)):
        raise ParameterError(f"key of {function} is {shown(key)}; expected a key of random numbers: jax.random.key(0)")


def require_copies(n: int, size: float, name: str) -> None:
    """Refuse fewer copies than one, and noise of negative size.

    Raises:
        ParameterError: see above.
    """
    if n < 1:
        raise ParameterError(f"n is {n}; expected a whole number from 1 on, that of the copies")
    if not 0 <= size < float("inf"):
        raise ParameterError(f"{name} is {size:g}; expected a number from 0 on")
