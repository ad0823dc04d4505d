"""Typed errors of jaxnmr: each message says what was wrong, where, and how to fix it.

Example:
    >>> try:
    ...     jn.read_crystal("missing.cif")
    ... except jn.errors.ParseError as error:
    ...     print(error.reason)
    no such file
"""

from os import PathLike
from pathlib import Path
from typing import Any


class JaxnmrError(Exception):
    """Base class of every error raised on purpose by jaxnmr."""


class ParseError(JaxnmrError):
    """A file that could not be read.

    Args:
        path: the file.
        line: 1-based line number where reading stopped, or ``None`` for the file as a whole.
        message: what was found and what was expected.
    """

    def __init__(self, path: str | Path, line: int | None, message: str):
        self.path, self.line, self.reason = Path(path), line, message
        where = f"{path}, line {line}" if line is not None else f"{path}"
        super().__init__(f"{where}: {message}")


class SymmetryError(JaxnmrError):
    """A space group that does not fit the cell or the sites."""


class ConventionError(JaxnmrError):
    """A value outside the range its convention allows (negative occupancy, unsorted 2theta ...)."""


class PrecisionError(JaxnmrError):
    """Single precision where double precision is needed."""


class ShapeError(JaxnmrError):
    """An array of the wrong shape."""


class ConvergenceError(JaxnmrError):
    """A refinement that stopped without reaching a minimum.

    Attributes:
        result: state reached so far, a `RefinementResult` or a `StartsResult`.
    """

    result: Any


class DynamicsError(JaxnmrError):
    """A simulation that cannot continue: atoms fly apart, or the structure left the validity range of its potential."""


class ParameterError(JaxnmrError):
    """An invalid parameter name, bound, tie or selection."""


class DataError(JaxnmrError):
    """Measured data that cannot be used (non-finite or negative counts, zero weights, too few points ...)."""


def require_kind(value: object, kind: Any, what: str, hint: str = "") -> None:
    """Raise unless an argument has the expected type, for example when two were swapped.

    Args:
        value: the argument.
        kind: the expected class, or several.
        what: the argument in words, at the beginning of a sentence.
        hint: advice on obtaining such an object.

    Raises:
        ParameterError: it is of another type.
    """
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        expected = " or ".join(_article(of) for of in kinds)
        given = "None" if value is None else _article(type(value))
        raise ParameterError(f"{what} is {given}; expected {expected}{', ' + hint if hint else ''}")


def _article(kind: type) -> str:
    return f"{'an' if kind.__name__[0] in 'AEIOaeio' else 'a'} {kind.__name__}"


def require_path(path: object, what: str) -> None:
    """Raise unless an argument is a path, for example when it was swapped with the object to be written.

    Args:
        path: a string or path.
        what: the function, ``"write_pattern(pattern, path)"``.

    Raises:
        ParameterError: it is of another type.
    """
    if not isinstance(path, str | PathLike):
        given = "None" if path is None else _article(type(path))
        raise ParameterError(f"the path in {what} is {given}; expected a text or pathlib.Path")
