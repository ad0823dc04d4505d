"""Double precision, switched on by the user and never at import."""

import jax


def enable_x64() -> None:
    """Switch to double precision, which refinements need. Call this before creating any array.

    Example:
        >>> jn.enable_x64()
        >>> jnp.zeros(1).dtype
        dtype('float64')
    """
    jax.config.update("jax_enable_x64", True)
    if jax.config.jax_compilation_cache_dir:  # type: ignore[attr-defined]  # options are added at run time
        # loading kept programs logs pages of messages
        from ._cache import silence

        silence()
