"""One line of a table of parameters."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ParameterRow:
    """One physical value, for tables.

    Attributes:
        name: full name such as ``"xyz[Ca1.x]"``.
        value, unit, lower, upper: in physical units.
        free: whether a refinement moves it, directly or through symmetry or a tie.
        tied_to: the name it follows, or ``""``.
    """

    name: str
    value: float
    unit: str
    free: bool
    lower: float
    upper: float
    tied_to: str
