"""Forms of SiO2 as published, for tests that need a handful of structures of one composition.

Quartz, cristobalite: Levien et al. (1980), Dollase (1965); stishovite: Baur & Khan (1971); beta-cristobalite: the ideal
arrangement; keatite: Shropshire et al. (1959); coesite: Levien & Prewitt (1981).
"""

import numpy as np

from jaxnmr.crystal import Crystal

_OF = {
    "quartz": ([4.9134, 4.9134, 5.4052, 90, 90, 120], "P 32 2 1", {
        "Si1": (0.4697, 0, 2 / 3), "O1": (0.4135, 0.2669, 0.1191 + 2 / 3)}),
    "cristobalite": ([4.9717, 4.9717, 6.9223, 90, 90, 90], "P 41 21 2", {
        "Si1": (0.3003, 0.3003, 0), "O1": (0.2392, 0.1044, 0.1787)}),
    "stishovite": ([4.1773, 4.1773, 2.6655, 90, 90, 90], "P 42/m n m", {
        "Si1": (0, 0, 0), "O1": (0.3061, 0.3061, 0)}),
    "beta_cristobalite": ([7.16, 7.16, 7.16, 90, 90, 90], "F d -3 m:2", {
        "Si1": (1 / 8, 1 / 8, 1 / 8), "O1": (0, 0, 0)}),
    "keatite": ([7.464, 7.464, 8.620, 90, 90, 90], "P 43 21 2", {
        "Si1": (0.410, 0.410, 0), "Si2": (0.326, 0.120, 0.248), "O1": (0.445, 0.132, 0.400),
        "O2": (0.117, 0.123, 0.296), "O3": (0.344, 0.297, 0.143)}),
    "coesite": ([7.1356, 12.3692, 7.1736, 90, 120.34, 90], "C 2/c", {
        "Si1": (0.1403, 0.1083, 0.0723), "Si2": (0.5067, 0.1580, 0.5395), "O1": (0, 0, 0), "O2": (0.5, 0.1163, 0.75),
        "O3": (0.2660, 0.1234, 0.9401), "O4": (0.3114, 0.1038, 0.3282), "O5": (0.0172, 0.2117, 0.4784)}),
}  # fmt: skip
FORMS = tuple(_OF)
# formula units in the conventional cell
FORMULA_UNITS = {"quartz": 3, "cristobalite": 4, "stishovite": 2, "beta_cristobalite": 8, "keatite": 12, "coesite": 16}


def silica(form: str) -> Crystal:
    """One of `FORMS`."""
    cell, group, sites = _OF[form]
    return Crystal.create(
        cell=cell,
        spacegroup=group,
        species=[label.rstrip("0123456789") for label in sites],
        labels=list(sites),
        xyz=np.array(list(sites.values())),
        u_iso=0.01,
        name=form,
    )
