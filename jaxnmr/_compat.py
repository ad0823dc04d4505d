"""Refuse jaxlib builds that are known to compute wrong numbers."""

import jaxlib

# jit(vmap(...)) of a matrix product returns wrong values beyond 16,384 float64 rows on these CPU builds
# (jax-ml/jax#39103); a refinement would converge to a wrong structure without any warning.
_WRONG_NUMBERS = frozenset({"0.10.2", "0.11.0", "0.11.1"})


def refuse_bad_jaxlib(version: str | None = None) -> None:
    """Raise ``ImportError`` when the installed jaxlib is one of the builds that compute wrong numbers."""
    version = jaxlib.__version__ if version is None else version
    if version in _WRONG_NUMBERS:
        raise ImportError(
            f"jaxlib {version} computes wrong numbers on CPU (jax-ml/jax#39103); "
            'install another one: pip install "jax!=0.10.2,!=0.11.0,!=0.11.1" "jaxlib!=0.10.2,!=0.11.0,!=0.11.1"'
        )
