"""``[quantification]``: knowledge of a mixture besides its pattern."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import ConventionError
from ..terms import Particles
from .keys import EMPTY, Spec, by_name, key, read, required
from .table import REQUIRED, Table, nearest


@dataclass(frozen=True, kw_only=True)
class ParticlesSpec(Spec):
    """Particles of a phase."""

    diameter_um: float = required(Table.positive, "5.0", "of the grains, not of the crystallites, in µm")
    mu: float | None = key(
        Table.number, None, "142.0", "linear absorption coefficient, 1/cm; else from f″ (X-rays)", unit="1/cm"
    )
    mass_attenuation: float | None = key(Table.number, None, "63.7", "or this, cm²/g", unit="cm²/g")

    @property
    def made(self) -> Particles:
        """The same as an argument of terms."""
        return Particles(self.diameter_um, self.mu, self.mass_attenuation)

    def check(self, table: Table) -> None:
        try:
            _ = self.made
        except ConventionError as err:
            raise table.error(str(err)) from None


def _grains(table: Table, phase: str) -> ParticlesSpec:
    if phase not in table.phases:
        raise table.error(f"no phase {phase!r}{nearest(phase, table.phases)}")
    return read(table.table(phase), ParticlesSpec)


def _fraction(table: Table, name: str, default: Any = REQUIRED) -> float | None:
    value = table.number(name, default)
    if value is not None and not 0.0 < value < 1.0:
        hint = f"; {value:g} % is {value / 100.0:g}" if 1.0 <= value < 100.0 else ""
        raise table.error(f"expected a fraction between 0 and 1, got {value:g}{hint}", name)
    return value


def _phase(table: Table, name: str, default: Any = REQUIRED) -> str | None:
    return table.text(name, default, choices=table.phases)


@dataclass(frozen=True, kw_only=True)
class QuantificationSpec(Spec):
    """The table ``[quantification]``."""

    standard: str | None = key(
        _phase, None, '"FAP"', "phase that was weighed in: what is not crystalline follows, with its esd"
    )
    weight_fraction: float | None = key(_fraction, None, "0.2", "of the standard in the specimen")
    particles: dict[str, ParticlesSpec] = key(
        by_name, EMPTY, "{ FAP = { diameter_um = 5.0 } }", each=_grains,
        help="grains of every phase, for microabsorption (Brindley, 1945); also mu in 1/cm or mass_attenuation in cm²/g, else "
        "absorption follows from f″",
    )  # fmt: skip

    def check(self, table: Table) -> None:
        if (self.standard is None) != (self.weight_fraction is None):
            missing = "weight_fraction" if self.weight_fraction is None else "standard"
            raise table.error(f"the key {missing!r} is missing: a standard and its weight_fraction belong together")
