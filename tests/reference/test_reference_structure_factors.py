"""Structure factors computed by an independent program, reflection by reflection.

The numbers were made with gemmi 0.7.5 (``StructureFactorCalculatorX``: four-Gaussian form factors of International
Tables C, isotropic displacements) and, with anomalous dispersion, by a direct sum over all atoms of the cell with
gemmi's Cromer-Liberman f' and f'' at 1.540593 Å, averaged over the Friedel pair. Structures: silicon (NIST SRM 640d),
halite, quartz (Will, Bellotto, Parrish & Hart, J. Appl. Cryst. 21, 182 (1988); displacements assigned), anglesite and
fluorapatite (refined from the powder data of the GSAS-II tutorials). Only reflections above a thousandth of the
strongest are listed: below that, the ninth digit of a form factor decides.
"""

import gemmi
import numpy as np
import pytest

from jaxnmr.crystal import Crystal, d_spacing
from jaxnmr.diffraction.reflections import laue_rotations, plan_reflections
from jaxnmr.diffraction.structure_factors import StructureFactors

WAVELENGTH = 1.540593

# cell, space group, (label, element, x, y, z, U_iso), (hkl, multiplicity, |F|² without and with dispersion)
REFERENCE = {
    "Si": (
        [5.431179, 5.431179, 5.431179, 90, 90, 90],
        "F d -3 m:2",
        [
            ("Si", "Si", 0.125, 0.125, 0.125, 0.0045),
        ],
        [
            ((1, 1, 1), 8, 3488.7186062, 3662.8579332),
            ((0, 2, 2), 12, 4635.4727182, 4916.9348019),
            ((0, 4, 0), 6, 3280.4935926, 3513.0334272),
            ((1, 5, 1), 24, 1130.2436469, 1224.2861688),
            ((0, 6, 2), 24, 1506.9529386, 1655.9461503),
        ],
    ),
    "NaCl": (
        [5.64009, 5.64009, 5.64009, 90, 90, 90],
        "F m -3 m",
        [
            ("Na", "Na", 0, 0, 0, 0.015),
            ("Cl", "Cl", 0.5, 0.5, 0.5, 0.014),
        ],
        [
            ((1, 1, 1), 8, 310.72460953, 348.07150629),
            ((0, 2, 0), 6, 6787.7449929, 7119.8158928),
            ((2, 2, 2), 8, 3398.762729, 3620.5818527),
            ((2, 4, 2), 24, 1728.7880895, 1873.074083),
            ((0, 6, 0), 6, 1029.1217971, 1130.3570566),
            ((2, 6, 2), 24, 756.5841751, 838.00394976),
        ],
    ),
    "quartz": (
        [4.91239, 4.91239, 5.40385, 90, 90, 120],
        "P 32 2 1",
        [
            ("Si1", "Si", 0.4701, 0, 2 / 3, 0.007),
            ("O1", "O", 0.4139, 0.2674, 0.7856, 0.013),
        ],
        [
            ((1, 0, 0), 6, 259.70576105, 268.89148833),
            ((1, 0, -1), 6, 1505.6982972, 1560.3038819),
            ((1, 0, -3), 6, 176.28311582, 184.55202863),
            ((1, 0, 4), 6, 352.27034876, 371.99628191),
            ((3, 0, -3), 6, 6.7937690105, 6.6496305591),
            ((1, 1, 5), 12, 140.18152374, 151.26100723),
            ((4, 0, 3), 6, 223.03449409, 241.75347736),
            ((3, 2, -3), 12, 2.8064551209, 3.1780060207),
        ],
    ),
    "PbSO4": (
        [8.480297, 5.398574, 6.960012, 90, 90, 90],
        "P n m a",
        [
            ("Pb", "Pb", 0.18754, 0.25, 0.16717, 0.02079),
            ("S", "S", 0.06491, 0.25, 0.68347, 0.00718),
            ("O1", "O", -0.09302, 0.25, 0.59541, 0.02513),
            ("O2", "O", 0.19366, 0.25, 0.54264, 0.01767),
            ("O3", "O", 0.08086, 0.02693, 0.80927, 0.01729),
        ],
        [
            ((1, 0, 1), 4, 684.49842664, 542.51832202),
            ((0, 2, 0), 2, 98927.218973, 91733.997501),
            ((5, 0, 1), 4, 8520.3952684, 7612.3925756),
            ((6, 1, 2), 8, 4319.9354294, 3915.4730833),
            ((1, 3, 5), 8, 2614.5276527, 2160.2808696),
            ((6, 0, 5), 4, 5721.6937435, 4941.1610245),
            ((5, 2, 6), 8, 222.37980019, 246.25955332),
            ((3, 6, 1), 8, 2002.3958947, 1735.6562305),
        ],
    ),
    "FAP": (
        [9.371891, 9.371891, 6.885914, 90, 90, 120],
        "P 63/m",
        [
            ("Ca1", "Ca", 1 / 3, 2 / 3, 0.00202, 0.0084),
            ("Ca2", "Ca", 0.24161, 0.99231, 0.25, 0.00712),
            ("P", "P", 0.39715, 0.36781, 0.25, 0.00719),
            ("F", "F", 0, 0, 0.25, 0.01746),
            ("O1", "O", 0.32546, 0.48503, 0.25, 0.00814),
            ("O2", "O", 0.59033, 0.46939, 0.25, 0.01114),
            ("O3", "O", 0.33975, 0.259, 0.07097, 0.01096),
        ],
        [
            ((0, 1, 0), 6, 277.20949471, 285.50008443),
            ((0, 0, 4), 2, 44137.410535, 46804.222825),
            ((2, 3, 2), 12, 185.1784663, 196.31093351),
            ((2, 4, 3), 12, 3557.2689105, 3778.1954162),
            ((3, 2, 5), 12, 1128.8808563, 1242.665447),
            ((7, 2, 0), 6, 993.44106681, 1131.0535455),
            ((2, 7, 3), 12, 80.266140659, 89.576616273),
            ((9, 1, 0), 6, 288.42593232, 334.04078856),
        ],
    ),
}  # fmt: skip


class Reference:
    """One structure with its table."""

    def __init__(self, cell, spacegroup, sites, table):
        labels, elements, *xyz, u_iso = zip(*sites, strict=True)
        self.crystal = Crystal.create(
            cell=cell, spacegroup=spacegroup, species=elements, labels=labels, xyz=np.array(xyz).T, u_iso=u_iso
        )
        hkl, multiplicity, without, dispersed = zip(*table, strict=True)
        self.hkl, self.multiplicity = np.array(hkl), np.array(multiplicity)
        self.without, self.dispersed = np.array(without), np.array(dispersed)
        self.d = d_spacing(np.asarray(self.crystal.cell), self.hkl)
        self.plan = StructureFactors.plan(self.crystal, self.hkl, "xray", WAVELENGTH)

    def squared(self, *, dispersion: bool) -> np.ndarray:
        factors = self.plan.factors
        if not dispersion:
            factors = factors.replace(f1=0.0 * factors.f1, f2=0.0 * factors.f2)
        return np.asarray(self.plan.replace(factors=factors).squared(self.crystal, 1.0 / self.d**2))


@pytest.fixture(params=REFERENCE)
def reference(request) -> Reference:
    return Reference(*REFERENCE[request.param])


def test_structure_factors_without_dispersion_are_those_of_gemmi(reference):
    np.testing.assert_allclose(reference.squared(dispersion=False), reference.without, rtol=1e-6)


def test_structure_factors_with_dispersion_are_those_of_an_independent_sum(reference):
    np.testing.assert_allclose(reference.squared(dispersion=True), reference.dispersed, rtol=1e-6)


def test_what_remains_is_the_single_precision_of_the_reference_form_factors(reference):
    # gemmi evaluates form factors in single precision: 1e-7 of each, more of a |F|² in which they cancel
    for k, d in enumerate(reference.d):
        one = StructureFactors.plan(reference.crystal, reference.hkl[k : k + 1], "xray", WAVELENGTH)
        single = [gemmi.Element(e).it92.calculate_sf(0.25 / d**2) for e in reference.crystal.elements]
        factors = one.factors.replace(a=0.0 * one.factors.a, c=np.array(single))
        value = one.replace(factors=factors).squared(reference.crystal, np.array([1.0 / d**2])).item()
        assert value == pytest.approx(reference.dispersed[k], rel=1e-8)


def test_multiplicities_are_those_of_the_reference(reference):
    hkl, multiplicity = plan_reflections(reference.crystal.group, reference.crystal.cell, reference.d.min() - 1e-6)
    listed = dict(zip(map(tuple, hkl.tolist()), multiplicity.tolist(), strict=True))
    for h, m in zip(reference.hkl, reference.multiplicity, strict=True):
        star = {tuple((h @ rotation).tolist()) for rotation in laue_rotations(reference.crystal.group)}
        assert [listed[image] for image in star if image in listed] == [m]
