"""Patterns at the parameters GSAS-II refined, against the patterns and reflection lists GSAS-II calculated.

The reference folder lies next to the measured data. With GSAS-II's squared structure factors and its node rule for axial
divergence, what is compared is everything else: positions, corrections, widths, profile, background.
"""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxnmr.crystal import Crystal, metric
from jaxnmr.diffraction import Background, Instrument, Pattern, PatternPlan, PowderDiffraction
from jaxnmr.diffraction.pattern_plan import compiled_phase_tables
from jaxnmr.diffraction.structure_factors import StructureFactors

pytestmark = pytest.mark.real_data

GROUPS = {"fap": "P 63/m", "PbSO4": "P n m a", "NAC": "I 21 3", "CaF2": "F m -3 m", "NaNbO2F2": "P 1 21/c 1"}
NAMES = ("fap", "pbso4x", "nac", "nanb")
CELL = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
UIJ = ("AU11", "AU22", "AU33", "AU12", "AU13", "AU23")


@pytest.fixture(scope="session")
def reference(data) -> Path:
    folder = data.parent / "reference" / "gsas"
    if not folder.is_dir():
        pytest.skip(f"the reference calculations are not there: {folder}")
    return folder


class Refined:
    """One GSAS-II refinement: structures, instrument, calculated pattern and reflection lists."""

    def __init__(self, folder: Path, name: str):
        refined = json.loads((folder / "parameters.json").read_text(encoding="utf-8"))[name]
        ((self.histogram, histogram),) = refined["hist"].items()
        sample, low, high = histogram["sample"], *histogram["limits"]
        columns = np.loadtxt(folder / f"{name}_h0_pattern.csv", delimiter=",")
        used = (columns[:, 0] > low - 1e-6) & (columns[:, 0] < high + 1e-6) & (columns[:, 3] != 0) & (columns[:, 2] > 0)
        x, observed, weight, self.calculated, self.background = columns[used].T[:5]
        self.pattern = Pattern.create(x, observed, 1.0 / np.sqrt(weight))
        self.crystals = {phase: self._crystal(phase, k, refined) for k, phase in enumerate(refined["phases"])}
        self.lists = {
            phase: np.loadtxt(folder / f"{name}_h0_{phase}_refl.csv", delimiter=",", usecols=range(12))
            for phase in refined["phases"]
        }
        flat = sample["Type"] == "Bragg-Brentano"
        values = histogram["inst"]
        instrument = Instrument(
            wavelengths=(values["Lam"],) if "Lam" in values else (values["Lam1"], values["Lam2"]),
            ratio=values.get("I(L2)/I(L1)", 0.5),
            geometry="bragg-brentano" if flat else "debye-scherrer",
            radius_mm=sample["Gonio. radius"],
            polarization=values["Polariz."],
            zero=values["Zero"],
            shl=values["SH/L"],
            **{key: values[key] for key in "UVWXYZ"},
        )
        kind, _, terms, *coefficients = histogram["background"][0]
        background = Background.interpolate(terms, "log") if "log" in kind else Background.chebyshev(terms)
        plan = PowderDiffraction(instrument, background, axial_mode="gsas").plan(
            self.crystals,
            like=self.pattern,
            reflections={phase: (r[:, :3].astype(int), r[:, 3], r[:, 9]) for phase, r in self.lists.items()},
        )
        self.values = {key: np.array(quantity.value) for key, quantity in plan.quantities().items()}
        self.values["background"] = np.array(coefficients[:terms])
        for k, phase in enumerate(refined["phases"].values()):
            specimen = phase["HAP"][self.histogram]
            self.values["scale"][k] = specimen["Scale"][0] * sample["Scale"]
            self.values["size"][k] = specimen["Size"][1][0]
            self.values["strain"][k] = specimen["Mustrain"][1][0]
        keys = (
            ("displacement", "Shift", "transparency", "Transparency")
            if flat
            else ("displace_x", "DisplaceX", "displace_y", "DisplaceY")
        )
        for ours, theirs in zip(keys[::2], keys[1::2], strict=True):
            self.values[ours] = np.array(sample[theirs])
        self.plan = plan.laid_out(self.crystals, self.values)

    @staticmethod
    def _crystal(phase: str, index: int, refined: dict) -> Crystal:
        description = refined["phases"][phase]
        atoms, variables = description["atoms"], refined["variables"]
        cell = [description["cell"][key] for key in CELL]
        u_aniso = np.full((len(atoms), 6), np.nan)
        for k, atom in enumerate(atoms):
            if atom["uiso"] is not None:
                continue
            # only the independent U_ij are listed; symmetry supplies the others
            alone = Crystal.create(cell=cell, spacegroup=GROUPS[phase], species=[atom["type"]], xyz=[atom["xyz"]])
            basis = alone.sites()[0].uij_basis(np.linalg.inv(metric(np.asarray(alone.cell))))
            pivots = [int(np.flatnonzero(np.abs(column) > 1e-9)[0]) for column in basis.T]
            u_aniso[k] = basis @ [variables[f"{index}::{UIJ[p]}:{k}"][0] for p in pivots]
        return Crystal.create(
            cell=cell,
            spacegroup=GROUPS[phase],
            species=[atom["type"] for atom in atoms],
            labels=[atom["label"] for atom in atoms],
            xyz=[atom["xyz"] for atom in atoms],
            occupancy=[atom["occ"] for atom in atoms],
            u_iso=[atom["uiso"] or 0.0 for atom in atoms],
            u_aniso=u_aniso,
            name=phase,
        )

    def deviation(self, plan: PatternPlan) -> float:
        """Largest difference of two patterns, relative to the highest point."""
        ours = plan.curve(self.crystals, self.values)
        return float(np.abs(ours - self.calculated).max() / self.calculated.max())

    def structure_factors(self, phase: str) -> StructureFactors:
        hkl = self.lists[phase][:, :3].astype(int)
        return StructureFactors.plan(self.crystals[phase], hkl, "xray", self.plan.instrument.wavelengths[0])

    def squared(self, phase: str, factors=None) -> np.ndarray:
        """Our |F|² of GSAS-II's reflections."""
        plan = self.structure_factors(phase)
        plan = plan if factors is None else plan.replace(factors=factors)
        return np.asarray(evaluated(plan, self.crystals[phase], 1.0 / self.lists[phase][:, 4] ** 2))

    def intensity_error(self, phase: str, squares: np.ndarray) -> np.ndarray:
        """Deviation of every reflection's intensity, relative to the strongest reflection."""
        fc, correction = self.lists[phase][:, 9], self.lists[phase][:, 11]
        return (squares - fc) * correction / (fc * correction).max()


@jax.jit
def evaluated(plan: StructureFactors, crystal: Crystal, d_star_sq):
    return plan.squared(crystal, d_star_sq)


LOADED: dict[str, Refined] = {}


@pytest.fixture
def refined(request, reference) -> Refined:
    if request.param not in LOADED:
        LOADED[request.param] = Refined(reference, request.param)
    return LOADED[request.param]


def of(*names):
    return pytest.mark.parametrize("refined", names, indirect=True)


@of(*NAMES)
def test_positions_widths_and_areas_are_those_of_gsas_ii(refined):
    tables = compiled_phase_tables(refined.plan, refined.crystals, refined.values)
    for table, reflections in zip(tables, refined.lists.values(), strict=True):
        np.testing.assert_allclose(table.position[0], reflections[:, 5], atol=6e-6)  # printed with eight digits
        np.testing.assert_allclose(table.lorentzian, reflections[:, 7], rtol=1e-5)
        np.testing.assert_allclose(table.area, 0.01 * reflections[:, 11] * reflections[:, 9], rtol=2e-7)


@of(*NAMES)
def test_backgrounds_are_those_of_gsas_ii(refined):
    ours = np.asarray(refined.plan.background) @ refined.values["background"]
    assert np.abs(ours - refined.background).max() < 2e-5 * refined.calculated.max()


# The peaks of the synchrotron pattern are so sharp that the last digit of GSAS-II's arc cosines shows.
@pytest.mark.parametrize(
    ("refined", "limit"), [("fap", 1e-4), ("pbso4x", 1e-4), ("nanb", 1e-4), ("nac", 4e-4)], indirect=["refined"]
)
def test_patterns_with_the_structure_factors_of_gsas_ii_agree_to_its_single_precision(refined, limit):
    assert refined.deviation(refined.plan) < limit


@pytest.mark.parametrize(("refined", "limit"), [("fap", 3e-4), ("nanb", 1e-3), ("pbso4x", 6e-3)], indirect=["refined"])
def test_patterns_with_our_own_structure_factors_agree(refined, limit):
    phases = tuple(phase.replace(given=refined.squared(phase.name)) for phase in refined.plan.phases)
    assert refined.deviation(refined.plan.replace(phases=phases)) < limit


@pytest.mark.parametrize(
    ("refined", "phase", "heavy", "shift"),
    [("pbso4x", "PbSO4", "Pb", -0.1298), ("nanb", "NaNbO2F2", "Nb", -0.0129), ("fap", "fap", "Ca", -0.0012)],
    indirect=["refined"],
)
def test_what_remains_is_one_constant_in_the_anomalous_scattering_of_the_heaviest_atom(refined, phase, heavy, shift):
    # The relativistic correction of f' does not depend on the wavelength. Cromer & Liberman took it from the total
    # energy of the atom, which Kissel & Pratt (1990) showed to be too large: that of lead by 0.13 electrons.
    factors = refined.structure_factors(phase).factors
    is_heavy = np.array([element == heavy for element in refined.crystals[phase].elements])
    before = np.abs(refined.intensity_error(phase, refined.squared(phase))).max()
    older = refined.squared(phase, factors.replace(f1=factors.f1 + shift * is_heavy))
    after = np.abs(refined.intensity_error(phase, older)).max()
    assert after < 3e-5
    assert after < 0.3 * before


def friedel_mates(refined: Refined, phase: str) -> tuple[np.ndarray, np.ndarray]:
    """|F(+h)|² and |F(-h)|² by a plain sum over the atoms."""
    crystal, factors = refined.crystals[phase], refined.structure_factors(phase).factors
    hkl = refined.lists[phase][:, :3]
    s_sq = 0.25 / refined.lists[phase][:, 4] ** 2
    u, length = np.asarray(crystal.u_tensors()), np.sqrt(np.diag(np.linalg.inv(metric(np.asarray(crystal.cell)))))
    plus, minus = np.zeros((2, len(hkl)), dtype=complex)
    for k, site in enumerate(crystal.sites()):
        f0 = np.exp(-np.outer(s_sq, factors.b[k])) @ factors.a[k] + factors.c[k]
        f = f0 + factors.f1[k] + 1j * factors.f2[k]
        for image in site.images:
            rotation, translation = crystal.group.rotations[image], crystal.group.translations[image]
            h = (hkl @ rotation) * length
            quadratic = sum(
                (1 if i == j else 2) * h[:, i] * h[:, j] * u[k, n]
                for n, (i, j) in enumerate(((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)))
            )
            angle = 2 * np.pi * (hkl @ (rotation @ np.asarray(crystal.xyz)[k] + translation))
            wave = np.exp(-2 * np.pi**2 * quadratic) * np.exp(1j * angle)
            plus += f * wave
            minus += f * wave.conj()
    return np.abs(plus) ** 2, np.abs(minus) ** 2


@of("nac")
def test_gsas_ii_takes_one_friedel_mate_of_an_acentric_crystal_where_a_powder_shows_the_mean(refined):
    plus, minus = friedel_mates(refined, "NAC")
    ours = refined.squared("NAC")
    np.testing.assert_allclose(ours, 0.5 * (plus + minus), rtol=1e-9)
    # reflection by reflection: GSAS-II's value is |F(+h)|², not |F(-h)|², not the mean
    assert np.abs(refined.intensity_error("NAC", plus)).max() < 2e-4
    assert np.abs(refined.intensity_error("NAC", minus)).max() > 5e-3
    assert np.abs(refined.intensity_error("NAC", ours)).max() == pytest.approx(4.6e-3, rel=0.05)
    # and the distance of its value from the mean is half the difference of the mates
    half = refined.intensity_error("NAC", ours + 0.5 * (plus - minus)) - refined.intensity_error("NAC", ours)
    distance = -refined.intensity_error("NAC", ours)
    assert half @ distance / (half @ half) == pytest.approx(1.0, abs=0.02)
    assert np.corrcoef(half, distance)[0, 1] > 0.99
    # the second phase has a centre of symmetry: there is nothing to choose
    assert np.abs(refined.intensity_error("CaF2", refined.squared("CaF2"))).max() < 3e-4
