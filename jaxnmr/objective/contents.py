"""Sums over occupancies: charge and number of atoms of a cell (host)."""

from __future__ import annotations

from collections.abc import Mapping

from .._arguments import checked
from ..crystal import Crystal
from ..errors import ConventionError


@checked
def cell_charge(crystal: Crystal, oxidation: Mapping[str, float], prefix: str = "") -> dict[str, float]:
    """Return the charge of a cell as a sum over site occupancies, for :meth:`Parameters.constrain_sum`.

    Args:
        crystal: the structure.
        oxidation: oxidation states by site label or by element: ``{"O": -2, "Fe1": 2, "Fe2": 3}``; every site needs one.
        prefix: prefix of the phase's parameters, ``objective.phase_prefix(name)``; needed with several phases.

    Returns:
        Coefficients by parameter name: oxidation state times the number of positions in the cell.

    Raises:
        ConventionError: a name is neither a site nor an element, or a site has no oxidation state.
    """
    _require_known(crystal, oxidation)
    states = [
        oxidation.get(label, oxidation.get(element))
        for label, element in zip(crystal.labels, crystal.elements, strict=True)
    ]
    lacking = [label for label, state in zip(crystal.labels, states, strict=True) if state is None]
    if lacking:
        raise ConventionError(
            f"no oxidation state of {', '.join(lacking)} of {crystal.name}; give one by label or by element: {{O = -2}}"
        )
    positions = [site.multiplicity for site in crystal.sites()]
    return {
        f"{prefix}occupancy[{label}]": float(state) * n
        for label, state, n in zip(crystal.labels, states, positions, strict=True)
        if state
    }


@checked
def cell_atoms(crystal: Crystal, of: str, prefix: str = "") -> dict[str, float]:
    """Count the atoms of an element, or of one site, in the cell; see :func:`cell_charge` for arguments and errors."""
    _require_known(crystal, {of: 1.0})
    chosen = [k for k, label in enumerate(crystal.labels) if label == of]
    chosen = chosen or [k for k, element in enumerate(crystal.elements) if element == of]
    sites = crystal.sites()
    return {f"{prefix}occupancy[{crystal.labels[k]}]": float(sites[k].multiplicity) for k in chosen}


def _require_known(crystal: Crystal, names: Mapping[str, float]) -> None:
    known = {*crystal.labels, *crystal.elements}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConventionError(
            f"{', '.join(unknown)}: no such site or element in {crystal.name}; there are the sites {', '.join(crystal.labels)}"
        )
