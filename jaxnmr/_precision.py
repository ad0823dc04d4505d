"""Double precision, switched on by the user and never at import."""

import jax


def enable_x64() -> None:
    """Compute in double precision from here on; refinements need it. Call it before creating any array.

    Example:
        >>> jn.enable_x64()
        >>> jnp.zeros(1).dtype
        dtype('float64')
    """
    jax.config.update("jax_enable_x64", True)
    if jax.config.jax_compilation_cache_dir:  # type: ignore[attr-defined]  # options are added at run time
        # kept programs are loaded, which logs pages
        from ._cache import silence

        silence()
