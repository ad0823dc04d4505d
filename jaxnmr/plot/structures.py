"""Projections of a crystal structure along its axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .style import styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..crystal import Crystal

# rotations of ASE's viewer that look down a, b and c, and the axes then in the plane of the figure
_VIEWS = (("a", "-90x,-90y,0z", "b", "c"), ("b", "-90x,0y,0z", "a", "c"), ("c", "0x,0y,0z", "a", "b"))


def atom_style(element: str) -> tuple[str, float]:
    """Return the Jmol colour of an atom as ``"#rrggbb"``, and its covalent radius in Å."""
    from ase.data import atomic_numbers, covalent_radii
    from ase.data.colors import jmol_colors

    number = atomic_numbers["H" if element == "D" else element]
    red, green, blue = (round(255 * float(c)) for c in jmol_colors[number])
    return f"#{red:02x}{green:02x}{blue:02x}", round(float(covalent_radii[number]), 2)


def structure(crystal: Crystal, *, radius: float = 0.45) -> Figure:
    """Plot the atoms of one cell viewed along a, b and c.

    Args:
        crystal: the structure.
        radius: radius of the discs, in covalent radii.
    """
    import matplotlib.pyplot as plt
    from ase.data import atomic_numbers
    from ase.data.colors import jmol_colors
    from ase.visualize.plot import plot_atoms

    from ..io.structures.ase import to_ase

    atoms = to_ase(crystal)
    with styled():
        figure, axes = plt.subplots(1, 3, figsize=(10.5, 4.0), layout="constrained")
        for axis, (along, rotation, right, up) in zip(axes, _VIEWS, strict=True):
            plot_atoms(atoms, axis, rotation=rotation, radii=radius)
            axis.set_title(f"along {along}: {right} →, {up} ↑", loc="left")
            axis.set_axis_off()
        elements = list(dict.fromkeys(atoms.get_chemical_symbols()))
        discs = [
            plt.Line2D([], [], marker="o", linestyle="", markersize=8, color=jmol_colors[atomic_numbers[e]], markeredgecolor="k")
            for e in elements
        ]  # fmt: skip
        cell = np.asarray(crystal.cell, dtype=float)
        lengths = ", ".join(f"{name} {value:.3f}" for name, value in zip("abc", cell[:3], strict=True))
        angles = [
            f"{name} {value:.2f}°" for name, value in zip("αβγ", cell[3:], strict=True) if abs(value - 90.0) > 5e-3
        ]
        figure.legend(discs, elements, loc="outside lower center", ncols=len(elements))
        figure.suptitle(
            f"{crystal.name}, {crystal.group.name}: {lengths} Å{'; ' if angles else ''}{', '.join(angles)}",
            x=0.01,
            ha="left",
        )
        return figure
