"""The higher symmetry that a structure has within a tolerance (host)."""

import numpy as np

from ...crystal import Crystal
from ...errors import JaxnmrError

# Å. A search without a mirror or an inversion centre leaves light atoms half an ångström from where these would have them
TOLERANCES = (0.8, 0.5, 0.3, 0.15)


def in_higher_symmetry(crystal: Crystal, *, tolerances: tuple[float, ...] = TOLERANCES) -> tuple[Crystal, ...]:
    """The same structure in space groups with more operations, the highest first; whether they are right is for the data to say.

    Args:
        crystal: a structure.
        tolerances: in Å, by which atoms may be away from the positions of the higher symmetry.
    """
    from ...io.structures.ase import from_ase, to_ase

    atoms, u = to_ase(crystal), float(np.mean(np.asarray(crystal.u_iso)))
    found: dict[str, Crystal] = {}
    for tolerance in tolerances:
        try:
            raised = from_ase(atoms, symprec=tolerance, name=crystal.name, u_iso=max(u, 1e-3))
        except JaxnmrError:
            # atoms that tolerances of this size take for one
            continue
        # the tightest tolerance that finds a group keeps most of what the search found
        if _density(raised) > _density(crystal) * (1.0 + 1e-6):
            found[raised.group.name] = raised
    return tuple(sorted(found.values(), key=lambda c: -_density(c)))


def in_standard_setting(crystal: Crystal) -> Crystal:
    """The same structure in the standard setting of its space group; as it is where that cannot be told."""
    from ...io.structures.ase import from_ase, to_ase

    try:
        found = from_ase(to_ase(crystal), name=crystal.name, u_iso=max(float(np.mean(np.asarray(crystal.u_iso))), 1e-3))
    except JaxnmrError:
        return crystal
    return found if np.isclose(_density(found), _density(crystal), rtol=1e-6) else crystal


def _density(crystal: Crystal) -> float:
    """Operations per volume."""
    return crystal.group.order / float(crystal.volume())
