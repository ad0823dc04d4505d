"""The typed errors of jaxnmr: each message says what was wrong, where, and how to fix it.

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
    """A file could not be read.

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
    """The space group does not fit the cell or the sites."""


class ConventionError(JaxnmrError):
    """A value is outside the range its convention allows (negative occupancy, unsorted 2theta ...)."""


class PrecisionError(JaxnmrError):
    """Single precision where double precision is needed."""


class ShapeError(JaxnmrError):
    """An array has the wrong shape."""


class ConvergenceError(JaxnmrError):
    """A refinement stopped without reaching a minimum.

    Attributes:
        result: how far it came, a `RefinementResult` or a `StartsResult`.
    """

    result: Any


class ParameterError(JaxnmrError):
    """A parameter name, bound, tie or selection that makes no sense."""


class DataError(JaxnmrError):
    """Measured data that cannot be used (non-finite or negative counts, zero weights, too few points ...)."""


def require_kind(value: object, kind: Any, what: str, hint: str = "") -> None:
    """Refuse an argument of another kind, such as one of two that were swapped.

    Args:
        value: the argument.
        kind: the class, or several.
        what: the argument in words, at the beginning of a sentence.
        hint: how to come by such a thing.

    Raises:
        ParameterError: it is of another kind.
    """
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        expected = " or ".join(_article(of) for of in kinds)
        given = "None" if value is None else _article(type(value))
        raise ParameterError(f"{what} is {given}; expected {expected}{', ' + hint if hint else ''}")


def _article(kind: type) -> str:
    return f"{'an' if kind.__name__[0] in 'AEIOaeio' else 'a'} {kind.__name__}"


def require_path(path: object, what: str) -> None:
    """Refuse what is no path, such as the object to be written where its file should be.

    Args:
        path: a text or path.
        what: the function, ``"write_pattern(pattern, path)"``.

    Raises:
        ParameterError: it is something else.
    """
    if not isinstance(path, str | PathLike):
        given = "None" if path is None else _article(type(path))
        raise ParameterError(f"the path in {what} is {given}; expected a text or pathlib.Path")
