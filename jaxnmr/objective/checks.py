"""Checks of user-defined terms when an objective is made, with messages about terms rather than about JAX (host)."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import ParameterError, ShapeError

_LIBRARIES = tuple(module.__path__[0] for module in (jax, np))
_OURS = str(Path(__file__).parents[1])


@contextmanager
def tracing(name: str) -> Iterator[None]:
    """Turn tracing errors of JAX into errors that name the term, the line and the remedy."""
    try:
        yield
    except jax.errors.TracerArrayConversionError as err:
        raise ParameterError(
            f"term {name!r} hands a traced value to NumPy{_place(err)}: write jnp in place of np; what has to be "
            "an array of numbers is made outside of the function"
        ) from err
    except jax.errors.TracerBoolConversionError as err:
        raise ParameterError(
            f"term {name!r} decides by a traced value (if, while, and, or, max, min){_place(err)}: use jnp.where, "
            "jnp.maximum, jnp.minimum; a decision by numbers that do not change belongs outside of the function"
        ) from err
    except (jax.errors.TracerIntegerConversionError, jax.errors.ConcretizationTypeError) as err:
        raise ParameterError(
            f"term {name!r} makes a plain number of a traced value (int, float, range, a size){_place(err)}: keep arrays, and "
            "work out sizes outside of the function"
        ) from err


def _place(err: Exception) -> str:
    """Return the last line of the traceback that belongs neither to this package nor to JAX or NumPy."""
    frames = traceback.extract_tb(err.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith((*_LIBRARIES, _OURS))]
    return f" ({Path(own[-1].filename).name}, line {own[-1].lineno}: {own[-1].line})" if own and own[-1].line else ""


def named(terms: Iterable[Any]) -> list[str]:
    """List the names of terms.

    Raises:
        ParameterError: a term has no name.
    """
    names = []
    for term in terms:
        name = getattr(term, "name", None)
        if not isinstance(name, str) or not name:
            raise ParameterError(
                f"a term of the class {type(term).__name__} has the name {name!r}; expected a text, as in the field "
                "name: str = jn.static()"
            )
        names.append(name)
    return names


def check_residuals(term: Any, state: Callable[[], Any]) -> None:
    """Trace the residuals of a term without evaluating them.

    Args:
        term: the bound term.
        state: returns a state, of arrays or of their shapes.

    Raises:
        ParameterError: there are no residuals, or they cannot be traced.
        ShapeError: residuals are not a one-dimensional array of real numbers.
    """
    with tracing(term.name):
        found = jax.eval_shape(term.residuals, state())
    shape, kind = getattr(found, "shape", None), getattr(found, "dtype", None)
    if shape is None or kind is None:
        raise ShapeError(
            f"residuals of term {term.name!r} are a {type(found).__name__}; expected an array of one dimension"
        )
    if len(shape) != 1:
        raise ShapeError(
            f"residuals of term {term.name!r} have the shape {shape}; expected one dimension: return jnp.ravel(...) of them"
        )
    if not jnp.issubdtype(kind, jnp.floating):
        raise ShapeError(
            f"residuals of term {term.name!r} are {kind}; expected real numbers, as jnp.real(...) or 1.0 * ..."
        )
