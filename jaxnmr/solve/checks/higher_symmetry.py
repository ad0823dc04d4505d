"""Detection of a higher symmetry of a structure within a tolerance (host)."""

import numpy as np

from ...crystal import Crystal
from ...errors import JaxnmrError

# Å. A search without a mirror or an inversion centre leaves light atoms half an ångström from where these would have
# them
TOLERANCES = (0.8, 0.5, 0.3, 0.15)


def in_higher_symmetry(crystal: Crystal, *, tolerances: tuple[float, ...] = TOLERANCES) -> tuple[Crystal, ...]:
    """List descriptions of a structure in space groups with more operations, the highest first, to be tested on data.

    Args:
        crystal: a structure.
        tolerances: largest deviations of atoms from positions of the higher symmetry, Å.
    """
    from ...io.structures.ase import from_ase, to_ase

    atoms, u = to_ase(crystal), float(np.mean(np.asarray(crystal.u_iso)))
    found: dict[str, Crystal] = {}
    for tolerance in tolerances:
        try:
            raised = from_ase(atoms, symprec=tolerance, name=crystal.name, u_iso=max(u, 1e-3))
        except JaxnmrError:
            # tolerances of this size merge atoms
            continue
        # the smallest tolerance that finds a group preserves most of the structure
        if _density(raised) > _density(crystal) * (1.0 + 1e-6):
            found[raised.group.name] = raised
    return tuple(sorted(found.values(), key=lambda c: -_density(c)))


def in_standard_setting(crystal: Crystal) -> Crystal:
    """Return the structure in the standard setting of its space group; unchanged if that cannot be determined."""
    from ...io.structures.ase import from_ase, to_ase

    try:
        found = from_ase(to_ase(crystal), name=crystal.name, u_iso=max(float(np.mean(np.asarray(crystal.u_iso))), 1e-3))
    except JaxnmrError:
        return crystal
    return found if np.isclose(_density(found), _density(crystal), rtol=1e-6) else crystal


def _density(crystal: Crystal) -> float:
    """Return operations per volume."""
    return crystal.group.order / float(crystal.volume())
