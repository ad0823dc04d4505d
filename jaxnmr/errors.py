"""The typed errors of jaxnmr: each message says what was wrong, where, and how to fix it."""

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
