"""``[[energy]]``: the energy of a phase in an interatomic potential, as prior knowledge of its atomic positions."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConventionError
from ..objective import Loss
from ..terms import EnergyTerm
from .keys import Spec, either, key, required
from .shared import phase_of, plain_name
from .table import REQUIRED, Table
from .weights import robust_key, weight_key, weighted

if TYPE_CHECKING:
    from ..energy import EnergyModel


def file_or_name(table: Table, key: str, default: Any = REQUIRED) -> Path | str:
    """The name of a potential, or a file of parameters."""
    text = table.text(key)
    return table.path(key) if text.endswith((".json", ".safetensors")) or os.sep in text or "/" in text else text


def _one_error(table: Table, key: str, default: Any = REQUIRED) -> dict[str, float]:
    return {"": table.positive(key)} if table.has(key) else default


def _errors(table: Table, key: str, default: Any = REQUIRED) -> dict[str, float]:
    inner = table.table(key)
    if "others" not in inner.content:
        raise inner.error("the key 'others' is missing: the error of elements that are not named")
    return {("" if element == "others" else element): inner.positive(element) for element in inner.content}


@dataclass(frozen=True, kw_only=True)
class EnergySpec(Spec):
    """One ``[[energy]]``."""

    name: str = key(plain_name, "energy")
    model: Path | str = required(
        file_or_name, '"chgnet-r2scan"', 'also "chgnet-0.3.0", "bks", "chik", or a JSON file of a pair potential'
    )
    phase: str = key(phase_of, None, '"quartz"', help="when there are several", why="energies are those of structures")
    error_ev: dict[str, float] | None = key(
        either(dict, _errors, _one_error), None, "0.004",
        help="how wrong it is, eV per atom and coordinate, or { Si = 0.002, others = 0.004 }; when left out that of the model, "
        "which chgnet has and bks, chik and files have not",
    )  # fmt: skip
    displacement: float | None = key(
        Table.number,
        None,
        "0.01",
        "what measured places differ from a minimum by for other reasons, thermal motion first, Å",
        unit="Å",
    )
    weight: float = weight_key()
    robust: Loss | None = robust_key()

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Model file."""
        return (self.model,) if isinstance(self.model, Path) else ()


def energy_model(spec: EnergySpec) -> EnergyModel:
    """Load the model of a table."""
    from ..energy import EnergyModel

    return EnergyModel.load(spec.model)


def energy_term(spec: EnergySpec) -> Any:
    """Make the weighted term of a table."""
    term = EnergyTerm(error_ev=spec.error_ev, displacement=spec.displacement, phase=spec.phase, name=spec.name)
    return weighted(term, spec.weight, spec.robust)


def energies_by_phase(specs: tuple[EnergySpec, ...], models: Mapping[str, list]) -> dict[str, list]:
    """Add the models of energies to models by phase, as an objective takes them."""
    found = {phase: list(of) for phase, of in models.items()}
    for spec in specs:
        model = energy_model(spec)
        if spec.error_ev is None and not model.errors:
            raise ConventionError(
                f"{spec.name!r}: nobody has measured how wrong {model.name} is: give error_ev, an energy per atom and coordinate in "
                "eV, such as 0.01"
            )
        if [other.phase for other in specs].count(spec.phase) > 1:
            raise ConventionError(f"several energies of {spec.phase!r}: keep one of them")
        found.setdefault(spec.phase, []).append(model)
    return found
