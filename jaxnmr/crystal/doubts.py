"""Detection of values in wrong units: a cell in pm or nm, U given as B or vice versa (host)."""

import numpy as np
from jaxtyping import Float

from .._warn import warn
from ..errors import ConventionError
from . import cell as cells
from .symmetry import SpaceGroup

# Volume per atom in Å³. Solids have 3 (diamond under pressure) to 115 (caesium), open frameworks without their guests and
# hydrogen a few hundred, molecules in a box some ten thousand; the wrong unit is a factor of 10⁶ or 10⁻³.
_LEAST_VOLUME, _MOST_VOLUME = 0.5, 1e6
# U in Å²: room temperature gives 0.003 to 0.1, B = 8π²U 0.2 to 8.
_LARGE_U, _HUGE_U = 0.2, 0.5
# zero-point motion alone is 0.001 to 0.003; a U value taken for B gives U 79 times too small
_SMALL_U = 0.0008


def require_plausible_cell(
    cell: Float[np.ndarray, "6"],
    group: SpaceGroup,
    xyz: Float[np.ndarray, "sites 3"],
    occupancy: Float[np.ndarray, " sites"],
) -> None:
    """Refuse an impossible volume per atom.

    Raises:
        ConventionError: suggests the unit the lengths may be in.
    """
    volume, sites, weight = float(cells.volume(cell)), len(xyz), float(occupancy.sum())
    if _LEAST_VOLUME * group.order * weight < volume < _MOST_VOLUME * sites:
        return  # for general and for special positions
    positions, atoms = _contents(group, xyz, occupancy)
    if _LEAST_VOLUME * atoms < volume < _MOST_VOLUME * positions:
        return
    each = volume / positions
    unit, factor = ("pm", "divide the lengths by 100") if each > 1.0 else ("nm", "multiply the lengths by 10")
    lengths = ", ".join(f"{length:g}" for length in cell[:3])
    raise ConventionError(
        f"a cell of {lengths} Å leaves {each:.3g} Å³ to each of its {positions} atoms; solids have 3 to 300. "
        f"Are these {unit}? Then {factor}"
    )


def question_displacements(name: str, u: Float[np.ndarray, " sites"], labels: tuple[str, ...]) -> None:
    """Warn of displacements as large as B values, for most sites or for single ones."""
    large, huge = u > _LARGE_U, u > _HUGE_U
    if 2 * large.sum() > len(u):
        warn(
            f"{name}: {large.sum()} of {len(u)} sites have U > {_LARGE_U} Å² (median {np.median(u):.3g} Å²), which is 0.45 Å "
            "to either side. Are these B = 8π²U? Then give them as B, or divide by 78.96",
        )
    elif huge.any():
        warn(
            f"{name}: U of {_listed(labels, u, huge)} Å² is more than 0.7 Å to either side. Are some of the displacements B = 8π²U? Divide these by 78.96",
        )


def question_b_values(name: str, u: Float[np.ndarray, " sites"], labels: tuple[str, ...]) -> None:
    """Warn if ``u`` converted from B is as small as if U had been given, for most sites or single ones (NaN: not given)."""
    small, given = (u > 0.0) & (u < _SMALL_U), np.isfinite(u)
    usual = given.any() and float(np.median(u[given])) > 3.0 * _SMALL_U
    if 2 * small.sum() > given.sum() > 0 or (usual and small.any()):
        warn(
            f"{name}: U of {_listed(labels, u, small)} Å² is less than atoms move at absolute zero. Are these U that were given as "
            "B = 8π²U? Then give them as U",
        )


def _listed(labels: tuple[str, ...], u: np.ndarray, which: np.ndarray) -> str:
    chosen = np.flatnonzero(which)
    named = ", ".join(f"{labels[k]} {u[k]:.2g}" for k in chosen[:6])
    return named + (f" and {len(chosen) - 6} more" if len(chosen) > 6 else "")


def _contents(group: SpaceGroup, xyz: np.ndarray, occupancy: np.ndarray) -> tuple[int, float]:
    """Count positions in the cell and atoms on them; with the metric in doubt, coordinates equal to 0.01 coincide."""
    moved = np.einsum("nij,sj->sni", group.rotations, xyz) + group.translations
    moved = np.round(moved * 100.0).astype(int) % 100
    number = np.array([len(np.unique(images, axis=0)) for images in moved])
    return int(number.sum()), float(number @ occupancy)
