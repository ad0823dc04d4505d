"""Array namespaces (NumPy or JAX), and whether values are concrete or traced."""

from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np


def namespace(*arrays: object) -> ModuleType:
    """Return ``jax.numpy`` if any of the arrays is a JAX array, traced or not, else ``numpy``."""
    return jnp if any(isinstance(x, jax.Array) for x in arrays) else np


def is_concrete(*values: object) -> bool:
    """Return whether all values are concrete, that is, outside ``jit``, ``vmap`` and ``grad``."""
    return not any(isinstance(value, jax.core.Tracer) for value in values)
