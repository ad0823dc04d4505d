"""Kinds of arrays: NumPy's or JAX's, with numbers that can be looked at or traced."""

from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np


def namespace(*arrays: object) -> ModuleType:
    """``jax.numpy`` when any of the arrays is a JAX array, traced or not, else ``numpy``."""
    return jnp if any(isinstance(x, jax.Array) for x in arrays) else np


def is_concrete(*values: object) -> bool:
    """Whether all the numbers can be looked at: outside ``jit``, ``vmap`` and ``grad``."""
    return not any(isinstance(value, jax.core.Tracer) for value in values)
