"""`ParameterRow`: one row of a table of parameters."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ParameterRow:
    """One physical value, for tables.

    Attributes:
        name: full name, such as ``"xyz[Ca1.x]"``.
        value, unit, lower, upper: in physical units.
        free: whether it is refined, directly or through symmetry or a tie.
        tied_to: name of the parameter it follows, or ``""``.
    """

    name: str
    value: float
    unit: str
    free: bool
    lower: float
    upper: float
    tied_to: str
