"""Detection of atoms that are unphysically close to each other (host)."""

from itertools import combinations_with_replacement

import gemmi
import numpy as np

from .bonds import plan_bonds
from .unit import AsymmetricUnit

# fraction of the sum of covalent radii; the shortest bonds are those of uranyl (1.76 Å, 0.67) and of Nb=O (0.74)
NEAREST = 0.6


def too_close(crystal: AsymmetricUnit) -> str:
    """Describe the two atoms that are much closer than their covalent radii allow; ``""`` if there are none."""
    radii = {element: gemmi.Element(element).covalent_r for element in crystal.elements}
    limits = {(a, b): NEAREST * (radii[a] + radii[b]) for a, b in combinations_with_replacement(radii, 2)}
    found = plan_bonds(crystal, limits).table(crystal)
    if not found:
        return ""
    element_of = dict(zip(crystal.labels, crystal.elements, strict=True))
    share = [bond.distance / sum(radii[element_of[label]] for label in bond.labels) for bond in found]
    worst = int(np.argmin(share))
    first, second = found[worst].labels
    lengths = ", ".join(f"{length:g}" for length in np.round(np.asarray(crystal.cell, dtype=float)[:3], 3))
    return (
        f"{first} and {second} of {crystal.name} are {found[worst].distance:.2f} Å apart, {share[worst]:.2f} of the sum of their "
        f"covalent radii: no energy means anything there. Check the cell ({lengths} Å) and coordinates"
    )
