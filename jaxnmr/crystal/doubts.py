"""Numbers in other units than they are taken for: a cell in pm or nm, U that is B (host)."""

import warnings

import numpy as np
from jaxtyping import Float

from ..errors import ConventionError
from . import cell as cells
from .symmetry import SpaceGroup

# Volume per atom in Å³. Solids have 3 (diamond under pressure) to 115 (caesium), open frameworks without their guests and
# hydrogen a few hundred, molecules in a box up to some ten thousand; the wrong unit is a factor of 10⁶ or 10³.
_LEAST_VOLUME, _MOST_VOLUME = 0.5, 1e5
# U in Å²: room temperature gives 0.003 to 0.1, B = 8π²U 0.2 to 8.
_LARGE_U = 0.2


def require_plausible_cell(
    cell: Float[np.ndarray, "6"],
    group: SpaceGroup,
    xyz: Float[np.ndarray, "sites 3"],
    occupancy: Float[np.ndarray, " sites"],
) -> None:
    """Refuse a volume per atom that no matter has.

    Raises:
        ConventionError: with the unit that the lengths may be in.
    """
    volume = float(cells.volume(cell))
    order, smallest = group.order, float(occupancy.sum())
    if smallest <= 0.0 or _LEAST_VOLUME * order * smallest < volume < _MOST_VOLUME * smallest:
        return  # for general and for special positions
    atoms = _atoms(group, xyz, occupancy)
    each = volume / atoms
    if _LEAST_VOLUME < each < _MOST_VOLUME:
        return
    unit, factor = ("pm", "divide the lengths by 100") if each > 1.0 else ("nm", "multiply the lengths by 10")
    lengths = ", ".join(f"{length:g}" for length in cell[:3])
    raise ConventionError(
        f"a cell of {lengths} Å leaves {each:.3g} Å³ to each of its {atoms:.4g} atoms; solids have 3 to 300. "
        f"Are these {unit}? Then {factor}"
    )


def question_displacements(name: str, u: Float[np.ndarray, " sites"]) -> None:
    """Warn of displacements of which most are as large as B values."""
    large = int((u > _LARGE_U).sum())
    if 2 * large > len(u):
        warnings.warn(
            f"{name}: {large} of {len(u)} sites have U > {_LARGE_U} Å² (median {np.median(u):.3g} Å²), which is 0.45 Å "
            "to either side. Are these B = 8π²U? Then give them as B, or divide by 78.96",
            stacklevel=4,
        )


def _atoms(group: SpaceGroup, xyz: np.ndarray, occupancy: np.ndarray) -> float:
    """Atoms of the cell; the metric is in doubt, so that coordinates equal to 0.01 make one position."""
    number = 0.0
    for point, share in zip(xyz, occupancy, strict=True):
        moved = np.round((group.rotations @ point + group.translations) * 100.0).astype(int) % 100
        number += share * len(np.unique(moved, axis=0))
    return number
