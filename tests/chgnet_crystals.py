"""Crystals that CHGNet is compared on: rounded textbook structures of many bonding types, groups, centrings and site symmetries.

What matters is that both programs see the same numbers; that some forces are not small is wanted.
"""

import numpy as np

from jaxnmr.crystal import Crystal

QUARTZ = {"Si": ("Si", 0.47, 0.0, 2 / 3), "O": ("O", 0.413, 0.267, 0.786)}
# name: space group, cell, sites
TYPED: dict[str, tuple[str, tuple[float, ...], dict[str, tuple]]] = {
    "quartz": ("P 32 2 1", (4.913, 4.913, 5.405, 90, 90, 120), QUARTZ),
    "cristobalite": ("P 41 21 2", (4.972, 4.972, 6.922, 90, 90, 90), {"Si": ("Si", 0.3, 0.3, 0), "O": ("O", 0.239, 0.104, 0.179)}),
    "ideal cristobalite": ("F d -3 m:1", (7.166,) * 3 + (90,) * 3, {"Si": ("Si", 0, 0, 0), "O": ("O", 0.125, 0.125, 0.125)}),
    "coesite": (
        "C 1 2/c 1",
        (7.136, 12.369, 7.174, 90, 120.3, 90),
        {
            "Si1": ("Si", 0.1403, 0.1083, 0.0723), "Si2": ("Si", 0.5068, 0.158, 0.5408), "O1": ("O", 0, 0, 0),
            "O2": ("O", 0.5, 0.1163, 0.75), "O3": ("O", 0.266, 0.1234, 0.9401), "O4": ("O", 0.3114, 0.1038, 0.3282),
            "O5": ("O", 0.0172, 0.2117, 0.4782),
        },
    ),
    "stishovite": ("P 42/m n m", (4.179, 4.179, 2.665, 90, 90, 90), {"Si": ("Si", 0, 0, 0), "O": ("O", 0.306, 0.306, 0)}),
    "anglesite": (
        "P n m a",
        (8.48, 5.398, 6.958, 90, 90, 90),
        {
            "Pb": ("Pb", 0.188, 0.25, 0.167), "S": ("S", 0.063, 0.25, 0.686), "O1": ("O", -0.095, 0.25, 0.6),
            "O2": ("O", 0.181, 0.25, 0.543), "O3": ("O", 0.085, 0.026, 0.806),
        },
    ),
    "corundum": ("R -3 c:H", (4.759, 4.759, 12.991, 90, 90, 120), {"Al": ("Al", 0, 0, 0.352), "O": ("O", 0.306, 0, 0.25)}),
    "NaNbO2F2": (
        "P 1 21/c 1",
        (8.003, 5.407, 7.624, 90, 101.92, 90),
        {
            "Na": ("Na", 0.3666, 0.78, 0.1156), "Nb": ("Nb", 0.1549, 0.2644, 0.318), "O1": ("O", 0.1825, 0.1562, 0.071),
            "O2": ("O", 0.0425, 0.5439, 0.2117), "F1": ("F", 0.3769, 0.444, 0.3137), "F2": ("F", 0.3104, 0.9766, 0.3783),
        },
    ),
    "SrTiO3": ("P m -3 m", (3.905,) * 3 + (90,) * 3, {"Sr": ("Sr", 0.5, 0.5, 0.5), "Ti": ("Ti", 0, 0, 0), "O": ("O", 0.5, 0, 0)}),
    "CaTiO3": (
        "P b n m",
        (5.38, 5.44, 7.64, 90, 90, 90),
        {
            "Ca": ("Ca", 0.993, 0.033, 0.25), "Ti": ("Ti", 0, 0.5, 0), "O1": ("O", 0.072, 0.489, 0.25),
            "O2": ("O", 0.717, 0.284, 0.035),
        },
    ),
    "aluminium": ("F m -3 m", (4.05,) * 3 + (90,) * 3, {"Al": ("Al", 0, 0, 0)}),
    "iron": ("I m -3 m", (2.866,) * 3 + (90,) * 3, {"Fe": ("Fe", 0, 0, 0)}),
    "rock salt": ("F m -3 m", (5.64,) * 3 + (90,) * 3, {"Na": ("Na", 0, 0, 0), "Cl": ("Cl", 0.5, 0, 0)}),
    "rutile": ("P 42/m n m", (4.594, 4.594, 2.959, 90, 90, 90), {"Ti": ("Ti", 0, 0, 0), "O": ("O", 0.305, 0.305, 0)}),
    "fluorite": ("F m -3 m", (5.463,) * 3 + (90,) * 3, {"Ca": ("Ca", 0, 0, 0), "F": ("F", 0.25, 0.25, 0.25)}),
    "calcite": (
        "R -3 c:H",
        (4.99, 4.99, 17.06, 90, 90, 120),
        {"Ca": ("Ca", 0, 0, 0), "C": ("C", 0, 0, 0.25), "O": ("O", 0.257, 0, 0.25)},
    ),
    "zincite": ("P 63 m c", (3.25, 3.25, 5.207, 90, 90, 120), {"Zn": ("Zn", 1 / 3, 2 / 3, 0), "O": ("O", 1 / 3, 2 / 3, 0.382)}),
    "gypsum": (
        "I 1 2/c 1",
        (5.68, 15.214, 6.53, 90, 118.48, 90),
        {
            "Ca": ("Ca", 0.5, 0.0787, 0.25), "S": ("S", 0, 0.0775, 0.75), "O1": ("O", 0.965, 0.1326, 0.5519),
            "O2": ("O", 0.7572, 0.0229, 0.6674), "O3": ("O", 0.3808, 0.1826, 0.4569), "H1": ("H", 0.255, 0.162, 0.502),
            "H2": ("H", 0.406, 0.243, 0.49),
        },
    ),
    "LiFePO4": (
        "P n m a",
        (10.33, 6.01, 4.69, 90, 90, 90),
        {
            "Li": ("Li", 0, 0, 0), "Fe": ("Fe", 0.282, 0.25, 0.975), "P": ("P", 0.095, 0.25, 0.418), "O1": ("O", 0.097, 0.25, 0.743),
            "O2": ("O", 0.457, 0.25, 0.206), "O3": ("O", 0.166, 0.046, 0.285),
        },
    ),
}  # fmt: skip


def shaken_quartz() -> Crystal:
    """Quartz in P1 with a strained triclinic cell and every atom moved by some 0.1 Å, always the same."""
    group, cell, sites = TYPED["quartz"]
    quartz = Crystal.create(cell=cell, spacegroup=group, species=["Si", "O"], xyz=[site[1:] for site in sites.values()])
    full = quartz.expand()
    moves = 0.02 * np.sin(np.arange(27.0) ** 2).reshape(9, 3)
    return Crystal.create(
        cell=(5.01, 4.85, 5.49, 88.5, 91.7, 118.6),
        spacegroup="P 1",
        species=full.species,
        xyz=np.asarray(full.fractional) + moves,
    )


def crystals() -> dict[str, Crystal]:
    """Twenty crystals by name."""
    found = {
        name: Crystal.create(
            cell=cell,
            spacegroup=group,
            species=[site[0] for site in sites.values()],
            xyz=[site[1:] for site in sites.values()],
            labels=list(sites),
        )
        for name, (group, cell, sites) in TYPED.items()
    }
    return found | {"shaken quartz": shaken_quartz()}
