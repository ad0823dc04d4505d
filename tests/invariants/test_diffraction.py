"""What a powder pattern cannot depend on: origin, setting, supercell, choice and order of atoms; and what scales it."""

import gemmi
import jax
import numpy as np
import pytest

from jaxnmr.crystal import Crystal, SpaceGroup, cell_from_metric, d_spacing, metric, volume
from jaxnmr.crystal.symmetry import unvoigt, voigt
from jaxnmr.diffraction import Instrument, PatternPlan, PowderDiffraction
from jaxnmr.diffraction.corrections import march_dollase
from jaxnmr.diffraction.pattern_plan import compiled_phase_tables
from jaxnmr.diffraction.reflections import laue_rotations, plan_reflections
from jaxnmr.diffraction.structure_factors import StructureFactors

WAVELENGTH = 1.540593
TUBE = Instrument(wavelengths=(WAVELENGTH, 1.544427), shl=0.02)
NONE = [np.nan] * 6
MONOCLINIC = {
    "cell": [8.0026, 5.40718, 7.62429, 90, 101.91584, 90],
    "spacegroup": "P 1 21/c 1",
    "species": ["Na", "Nb", "O", "F"],
    "xyz": [[0.3666, 0.78, 0.1156], [0.1549, 0.2644, 0.318], [0.1825, 0.1562, 0.071], [0.3769, 0.444, 0.3137]],
    "u_aniso": [[0.012, 0.021, 0.031, 0.004, -0.005, 0.002]] * 2 + [NONE] * 2,
    "u_iso": [0, 0, 0.01, 0.02],
    "occupancy": [0.9, 1.0, 1.0, 0.8],
}
ROCK_SALT = Crystal.create(
    cell=[5.64] * 3 + [90] * 3, spacegroup="F m -3 m", species=["Na1+", "Cl1-"], xyz=[[0, 0, 0], [0.5] * 3]
)


@jax.jit
def squared(plan: StructureFactors, crystal: Crystal, d_star_sq):
    return plan.squared(crystal, d_star_sq)


def lines(crystal: Crystal, d_min: float = 0.9) -> dict[float, float]:
    """Scattering power per volume of every powder line by its spacing, ``multiplicity |F|²/V²``."""
    hkl, multiplicity = plan_reflections(crystal.group, np.asarray(crystal.cell), d_min)
    d = d_spacing(np.asarray(crystal.cell), hkl)
    plan = StructureFactors.plan(crystal, hkl, "xray", WAVELENGTH)
    power = multiplicity * np.asarray(squared(plan, crystal, 1.0 / d**2)) / volume(np.asarray(crystal.cell)) ** 2
    first = np.concatenate([[True], np.diff(d) < -1e-6])  # reflections of one line have one spacing, but for rounding
    total = np.add.reduceat(power, np.flatnonzero(first))
    return {float(s): float(p) for s, p in zip(d[first], total, strict=True) if p > 1e-9 * power.max()}


def assert_same_lines(first: Crystal, second: Crystal, d_min: float = 0.9):
    a, b = lines(first, d_min), lines(second, d_min)
    assert len(a) > 5
    np.testing.assert_allclose(sorted(a), sorted(b), atol=2e-7)
    order = lambda table: np.array([table[spacing] for spacing in sorted(table)])
    np.testing.assert_allclose(order(a), order(b), rtol=1e-7, atol=1e-9 * max(a.values()))


def transformed(crystal: Crystal, matrix: np.ndarray, group: str, shift=(0.0, 0.0, 0.0), repeats=()) -> Crystal:
    """The same structure on the basis ``matrix @ (a, b, c)``, with a copy of every site moved by each of ``repeats``."""
    back = np.linalg.inv(matrix)
    cell = cell_from_metric(matrix @ metric(np.asarray(crystal.cell)) @ matrix.T)
    reciprocal = lambda c: np.sqrt(np.diag(np.linalg.inv(metric(np.asarray(c)))))
    tensor = unvoigt(np.asarray(crystal.u_aniso)) * np.outer(*[reciprocal(crystal.cell)] * 2)
    tensor = voigt(np.einsum("ji,sjk,kl->sil", back, tensor, back) / np.outer(*[reciprocal(cell)] * 2))
    aniso = np.where(np.array(crystal.anisotropic)[:, None], tensor, np.nan)
    moves = [np.zeros(3), *map(np.asarray, repeats)]
    n = len(moves)
    return Crystal.create(
        cell=cell,
        spacegroup=group,
        species=crystal.species * n,
        xyz=np.concatenate([(np.asarray(crystal.xyz) + m - shift) @ back for m in moves]),
        u_aniso=np.tile(aniso, (n, 1)),
        u_iso=np.tile(crystal.u_iso, n),
        occupancy=np.tile(crystal.occupancy, n),
    )


def without_symmetry(crystal: Crystal) -> Crystal:
    """All atoms of the cell, one by one, in ``P 1``."""
    length = np.sqrt(np.diag(np.linalg.inv(metric(np.asarray(crystal.cell)))))
    rows = []
    for k, site in enumerate(crystal.sites()):
        tensor = unvoigt(np.asarray(crystal.u_aniso)[k]) * np.outer(length, length)
        for image in site.images:
            r, t = crystal.group.rotations[image], crystal.group.translations[image]
            u = voigt(r @ tensor @ r.T / np.outer(length, length)) if crystal.anisotropic[k] else NONE
            rows.append(
                (crystal.species[k], r @ np.asarray(crystal.xyz)[k] + t, u, crystal.u_iso[k], crystal.occupancy[k])
            )
    species, xyz, u_aniso, u_iso, occupancy = zip(*rows, strict=True)
    return Crystal.create(
        cell=crystal.cell, spacegroup="P 1", species=species, xyz=np.array(xyz), u_aniso=np.array(u_aniso),
        u_iso=np.array(u_iso), occupancy=np.array(occupancy),
    )  # fmt: skip


def random_crystal(symbol: str, seed: int) -> Crystal:
    """Three atoms on general positions, one of them anisotropic."""
    group, rng = SpaceGroup.from_name(symbol), np.random.default_rng(seed)
    cell = np.round(cell_from_metric(group.metric_projector(metric(np.array([9.1, 10.3, 11.7, 85, 97, 104.0])))), 6)
    u = rng.normal(size=(3, 3)) * 0.06
    return Crystal.create(
        cell=cell, spacegroup=group, species=["Fe", "S", "O"], xyz=rng.uniform(0.03, 0.97, size=(3, 3)),
        u_aniso=[voigt(u @ u.T), NONE, NONE], u_iso=[0, 0.01, 0.02], occupancy=[0.02] * 3,
    )  # fmt: skip


@pytest.mark.parametrize(
    "symbol", ["P 21", "C 1 2/c 1", "P n a 21", "I -4 2 d", "P 31 2 1", "R -3 c:H", "P 63/m", "P 21 3", "I a -3"]
)
def test_a_crystal_and_all_its_atoms_without_symmetry_scatter_alike(symbol):
    crystal = random_crystal(symbol, seed=sum(map(ord, symbol)))
    assert_same_lines(crystal, without_symmetry(crystal), d_min=2.4)


def test_the_order_of_the_atoms_is_irrelevant():
    order = [2, 0, 3, 1]
    shuffled = {k: ([v[i] for i in order] if len(v) == 4 and k != "cell" else v) for k, v in MONOCLINIC.items()}
    assert_same_lines(Crystal.create(**MONOCLINIC), Crystal.create(**shuffled))


def test_any_image_of_an_atom_stands_for_it():
    crystal = Crystal.create(**MONOCLINIC)
    length = np.sqrt(np.diag(np.linalg.inv(metric(np.asarray(crystal.cell)))))
    for op in range(1, crystal.group.order):
        r, t = crystal.group.rotations[op], crystal.group.translations[op]
        turn = r * (length[None, :] / length[:, None])
        moved = crystal.replace(
            xyz=np.asarray(crystal.xyz) @ r.T + t + [1, -2, 0],
            u_aniso=voigt(turn @ unvoigt(np.asarray(crystal.u_aniso)) @ turn.T),
        )
        assert_same_lines(crystal, moved)


def test_the_setting_of_a_monoclinic_group_is_irrelevant():
    crystal = Crystal.create(**MONOCLINIC)
    assert_same_lines(crystal, transformed(crystal, np.array([[-1, 0, -1], [0, 1, 0], [1, 0, 0]]), "P 1 21/n 1"))
    assert_same_lines(crystal, transformed(crystal, np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]]), "P 1 1 21/a"))


def test_hexagonal_and_rhombohedral_axes_describe_one_crystal():
    calcite = Crystal.create(
        cell=[4.99, 4.99, 17.06, 90, 90, 120], spacegroup="R -3 c:H", species=["Ca", "C", "O"],
        xyz=[[0, 0, 0], [0, 0, 0.25], [0.257, 0, 0.25]], u_aniso=[NONE, NONE, [0.01, 0.02, 0.03, 0.01, -0.002, -0.004]],
        u_iso=[0.008, 0.007, 0],
    )  # fmt: skip
    assert_same_lines(calcite, transformed(calcite, np.array([[2, 1, 1], [-1, 1, 1], [-1, -2, 1]]) / 3, "R -3 c:R"))


def test_the_choice_of_origin_is_irrelevant():
    spinel = Crystal.create(
        cell=[8.0848] * 3 + [90] * 3, spacegroup="F d -3 m:2", species=["Mg", "Al", "O"],
        xyz=[[0.125] * 3, [0.5] * 3, [0.2624] * 3],
    )  # fmt: skip
    assert_same_lines(spinel, transformed(spinel, np.eye(3), "F d -3 m:1", shift=[-0.125] * 3))
    polar = random_crystal("P n a 21", seed=4)
    assert_same_lines(polar, polar.replace(xyz=np.asarray(polar.xyz) + np.array([0, 0, 0.217])))
    nowhere = without_symmetry(Crystal.create(**MONOCLINIC))
    assert_same_lines(nowhere, nowhere.replace(xyz=np.asarray(nowhere.xyz) + np.array([0.1, -0.27, 0.33])))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_supercell_has_the_lines_of_the_cell(axis):
    single = without_symmetry(Crystal.create(**MONOCLINIC))
    matrix = np.eye(3)
    matrix[axis, axis] = 2.0
    assert_same_lines(single, transformed(single, matrix, "P 1", repeats=[np.eye(3)[axis]]))


def test_a_sheared_basis_of_the_same_lattice_is_irrelevant():
    single = without_symmetry(Crystal.create(**MONOCLINIC))
    assert_same_lines(single, transformed(single, np.array([[1, 1, 0], [0, 1, -1], [0, 0, 1]]), "P 1"))


def test_an_inverted_or_mirrored_structure_has_the_same_powder_pattern():
    acentric = random_crystal("P 21", seed=8)
    assert_same_lines(acentric, acentric.replace(xyz=-np.asarray(acentric.xyz)))


def test_the_texture_axis_may_be_any_equivalent_direction():
    group = SpaceGroup.from_name("P 6/m m m")
    rotations, g_star = laue_rotations(group), np.linalg.inv(metric(np.array([5.0, 5.0, 8.0, 90, 90, 120.0])))
    hkl = np.array([[1, 0, 0], [1, 0, 2], [2, 1, 1]])
    equivalents = np.einsum("ni,kij->nkj", hkl, rotations).astype(float)
    reference = march_dollase(equivalents, np.array([1.0, 0, 0]), g_star, 0.6)
    assert np.ptp(np.asarray(reference)) > 0.1
    for axis in ([0, 1, 0], [-1, 1, 0], [2, 0, 0]):
        np.testing.assert_allclose(march_dollase(equivalents, np.array(axis, dtype=float), g_star, 0.6), reference)


# ---- whole patterns

X = np.linspace(20.0, 80.0, 3001)


def planned(crystal: Crystal, x=X, instrument=TUBE, reflections=None, **options) -> PatternPlan:
    return PowderDiffraction(instrument, **options).plan(crystal, x, reflections=reflections)


def values_of(plan: PatternPlan, **changes) -> dict:
    values = {name: np.array(q.value) for name, q in plan.quantities().items()}
    values["background"] = np.zeros_like(values["background"])
    return values | {
        name: np.broadcast_to(np.asarray(v, dtype=float), values[name].shape) for name, v in changes.items()
    }


def curve(plan, crystal, values) -> np.ndarray:
    return plan.curve({crystal.name: crystal}, values)


@pytest.fixture(scope="module")
def plan() -> PatternPlan:
    return planned(ROCK_SALT)


def test_the_area_under_a_peak_is_its_integrated_intensity_whatever_its_shape():
    # one line of a doublet structure, followed far into its tails
    given = {ROCK_SALT.name: (np.array([[2, 0, 0]]), np.array([6]), np.array([5000.0]))}
    x = np.unique(np.concatenate([np.arange(2.0, 160.0, 0.05), np.arange(30.0, 34.0, 0.002)]))
    one = planned(ROCK_SALT, x, reflections=given, cutoff=1e-7)
    for changes in (
        {},
        {"size": 0.03},
        {"size": 0.05, "size_mix": 0.0},
        {"shl": 0.06},
        {"strain": 8000.0},
        {"ratio": 0.0},
    ):
        values = values_of(one, scale=7.0, **changes)
        wide = one.laid_out({ROCK_SALT.name: ROCK_SALT}, values)
        (table,) = compiled_phase_tables(wide, {ROCK_SALT.name: ROCK_SALT}, values)
        expected = float(table.area[0]) * (1.0 + float(values["ratio"]))
        found = np.trapezoid(curve(wide, ROCK_SALT, values), x)
        lorentzian = float(table.eta[0] * table.fwhm[0])
        cut = 0.32 * lorentzian * (1 / 30 + 1 / 128)  # area of the tails beyond the pattern
        assert found == pytest.approx(expected, rel=2e-4 + 1.1 * cut)


def test_a_zero_offset_translates_the_pattern(plan):
    shift = 0.05
    values = values_of(plan, scale=10.0)
    moved = values | {"zero": np.array(shift)}
    there = planned(ROCK_SALT, X + shift).laid_out({ROCK_SALT.name: ROCK_SALT}, moved)
    here = curve(plan, ROCK_SALT, values)
    # widths and areas are exactly the same; the asymmetry is evaluated at the angle on the scale
    np.testing.assert_allclose(curve(there, ROCK_SALT, moved), here, atol=2e-4 * here.max())


def test_intensity_is_proportional_to_the_scale(plan):
    once, thrice = (curve(plan, ROCK_SALT, values_of(plan, scale=s)) for s in (2.0, 6.0))
    np.testing.assert_allclose(thrice, 3.0 * once, rtol=1e-12)


def test_the_scale_counts_unit_cells_so_that_scale_times_mass_is_weight(plan):
    # the primitive cell holds a quarter of the atoms: four times as many cells, the same weight
    primitive = transformed(ROCK_SALT, np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2, "R -3 m:R")
    assert primitive.cell_mass() == pytest.approx(ROCK_SALT.cell_mass() / 4)
    conventional = curve(plan, ROCK_SALT, values_of(plan, scale=3.0))
    small = planned(primitive)
    np.testing.assert_allclose(
        curve(small, primitive, values_of(small, scale=12.0)), conventional, atol=1e-6 * conventional.max()
    )


def test_scaling_lengths_and_wavelengths_together_moves_no_line(plan):
    factor = 1.3
    larger = ROCK_SALT.replace(cell=np.asarray(ROCK_SALT.cell) * np.array([factor] * 3 + [1.0] * 3))
    instrument = TUBE.replace(wavelengths=tuple(factor * w for w in TUBE.wavelengths))
    other = planned(larger, instrument=instrument)
    tables = [compiled_phase_tables(p, {c.name: c}, values_of(p))[0] for p, c in ((plan, ROCK_SALT), (other, larger))]
    np.testing.assert_allclose(tables[0].position, tables[1].position, atol=1e-9)
    np.testing.assert_allclose(tables[1].d_spacing, factor * np.asarray(tables[0].d_spacing))


def test_multiplicities_of_random_groups_tile_the_sphere():
    rng = np.random.default_rng(11)
    for _ in range(6):
        setting = list(gemmi.spacegroup_table())[int(rng.integers(0, 560))]
        group = SpaceGroup(setting.xhm(), setting.operations())
        cell = cell_from_metric(group.metric_projector(metric(np.array([6.1, 6.9, 7.7, 85, 97, 104.0]))))
        hkl, multiplicity = plan_reflections(group, cell, 1.3)
        everything = gemmi.make_miller_array(gemmi.UnitCell(*cell), gemmi.SpaceGroup("P 1"), 1.3).tolist()
        present = [h for h in everything if not setting.operations().is_systematically_absent(h)]
        assert multiplicity.sum() == 2 * len(present)
        assert len(hkl) <= len(present)
