"""Structures at rest: published minima, pressure, starts that are far off, what is said of the outcome."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr import cli
from jaxnmr._struct import Struct
from jaxnmr.crystal import transformed
from jaxnmr.energy import EnergyModel
from jaxnmr.energy.prediction import GPA
from jaxnmr.errors import ConventionError, ParameterError
from jaxnmr.search.curvature import lowest_curvature
from jaxnmr.search.free_space import FreeSpace
from jaxnmr.search.trust_region import TrustRegion

BKS, CHIK = EnergyModel.load("bks"), EnergyModel.load("chik")


def quartz(
    xyz=((0.4697, 0, 2 / 3), (0.4133, 0.2672, 0.7856)), cell=(4.9137, 4.9137, 5.4047, 90, 90, 120), group="P 32 2 1"
):
    return jn.Crystal.create(cell=cell, spacegroup=group, species=["Si", "O"], xyz=xyz, name="quartz")


@pytest.fixture(scope="module")
def free():
    return jn.relax(quartz(), BKS, cell="free")


def test_quartz_comes_to_rest_in_the_published_cell(free):
    """van Beest et al. (1990): 4.941 and 5.449 Å."""
    assert free.converged and free.steps < 20
    np.testing.assert_allclose(np.asarray(free.crystal.cell), [4.941, 4.941, 5.449, 90, 90, 120], atol=5e-4)
    assert free.max_force < 1e-3 and np.abs(free.stress).max() < 0.01 and free.energy < free.energy_start
    assert free.message.startswith(f"Converged after {free.steps} steps: the largest force is")
    assert free.crystal.group is free.start.group and free.crystal.labels == free.start.labels and free.notes == ()


def test_forces_and_stress_are_those_of_the_model(free):
    said = BKS.predict(free.crystal)
    np.testing.assert_allclose(free.forces, said.forces_ev_angstrom, atol=1e-9)
    np.testing.assert_allclose(free.stress, said.stress_gpa, atol=1e-6)
    assert free.energy == pytest.approx(said.energy_ev, abs=1e-8)


def test_how_far_atoms_moved_is_said_per_site_and_as_a_mean_over_atoms(free):
    before, after = free.start, free.crystal
    lattice = np.asarray(after.lattice())
    moved = np.linalg.norm((np.asarray(after.xyz) - np.asarray(before.xyz)) @ lattice, axis=1)
    np.testing.assert_allclose(free.moved, moved, atol=1e-10)
    assert free.atoms == 9
    assert free.rms_moved == pytest.approx(np.sqrt((3 * moved[0] ** 2 + 6 * moved[1] ** 2) / 9))


def test_a_fixed_cell_stays_and_steps_are_told():
    told = []
    result = jn.relax(quartz(), BKS, callback=told.append)
    assert result.converged and list(result.crystal.cell) == list(result.start.cell)
    # the cell is smaller than that of BKS, so that it pushes outwards
    assert np.trace(result.stress) < -1.0 and "stress" not in result.message
    assert [step.number for step in told] == list(range(len(told))) and tuple(told) == result.history
    assert told[0].energy == result.energy_start and told[-1].energy == result.energy
    # a special position of Si keeps to its axis
    assert np.asarray(result.crystal.xyz)[0, 1] == 0.0 and np.asarray(result.crystal.xyz)[0, 2] == pytest.approx(2 / 3)


def test_without_symmetry_the_same_rest_is_found():
    """In P1 there are 27 coordinates, of which the space group leaves four."""
    with_symmetry = jn.relax(quartz(), CHIK, force=1e-4)
    p1 = jn.relax(transformed(quartz(), np.eye(3), spacegroup="P 1"), CHIK, force=1e-4)
    assert p1.converged and p1.energy == pytest.approx(with_symmetry.energy, abs=1e-6)
    assert p1.rms_moved == pytest.approx(with_symmetry.rms_moved, abs=1e-3)


def test_under_pressure_the_stress_balances_it(free):
    result = jn.relax(quartz(), BKS, cell="free", pressure_gpa=5.0)
    assert result.converged
    np.testing.assert_allclose(result.stress, -5.0 * np.eye(3), atol=0.01)
    # enthalpies: that of rest without pressure is higher by the work, less the elastic energy
    volume = float(result.crystal.volume())
    assert volume < float(free.crystal.volume())
    enthalpy = free.energy + 5.0 / GPA * float(free.crystal.volume())
    assert BKS.predict(result.crystal).energy_ev + 5.0 / GPA * volume == pytest.approx(result.energy, abs=1e-8)
    assert result.energy < enthalpy


def test_from_a_saddle_the_way_leads_down_and_it_is_said():
    """beta quartz, with O pushed off its twofold axis by next to nothing, becomes alpha quartz."""
    cell = (4.96, 4.96, 5.45, 90, 90, 120)
    result = jn.relax(quartz(xyz=((0.5, 0, 2 / 3), (0.4157, 0.2079, 0.8333)), cell=cell), BKS, cell="free")
    assert result.converged
    np.testing.assert_allclose(np.asarray(result.crystal.cell)[[0, 2]], [4.941, 5.449], atol=1e-3)
    assert any("forces had vanished on a saddle" in note for note in result.notes)


def test_atoms_that_are_far_too_close_are_pushed_apart():
    result = jn.relax(quartz(xyz=((0.4697, 0, 2 / 3), (0.43, 0.12, 0.72))), BKS)
    assert result.converged and result.energy == pytest.approx(jn.relax(quartz(), BKS).energy, abs=1e-4)
    assert any("atoms were far too close" in note for note in result.notes)
    assert not any("At its end" in note for note in result.notes)


def test_a_cell_that_leaves_atoms_no_room_is_named_at_the_end():
    half = quartz(cell=(2.46, 2.46, 2.7, 90, 90, 120))
    (note,) = [note for note in jn.relax(half, BKS, max_steps=3).notes if note.startswith("At its end")]
    assert (
        "of the sum of their covalent radii: no energy means anything there. Check the cell (2.46, 2.46, 2.7 Å)" in note
    )


def test_what_does_not_come_to_rest_in_time_is_said(free):
    result = jn.relax(quartz(), BKS, cell="free", max_steps=2)
    assert not result.converged and result.steps <= 2
    assert (
        result.message.startswith("Not converged after 2 steps: the largest force is")
        and "more steps" in result.message
    )
    assert free.energy < result.energy < result.energy_start


def test_symmetry_may_leave_nothing_to_relax():
    crystal = jn.Crystal.create(
        cell=[7.16] * 3 + [90] * 3, spacegroup="F d -3 m:2", species=["Si", "O"], xyz=[[1 / 8] * 3, [0] * 3]
    )
    result = jn.relax(crystal, CHIK)
    assert result.converged and result.steps == 0 and result.message.startswith("Symmetry leaves nothing to relax")
    assert np.abs(result.forces).max() < 1e-9


def test_where_no_coordinate_is_free_the_cell_finds_its_minimum():
    crystal = jn.Crystal.create(
        cell=[7.16] * 3 + [90] * 3, spacegroup="F d -3 m:2", species=["Si", "O"], xyz=[[1 / 8] * 3, [0] * 3]
    )
    result = jn.relax(crystal, CHIK, cell="free")
    assert result.converged
    edge = float(result.crystal.cell[0])
    energies = []
    for change in (-0.01, 0.0, 0.01):
        other = crystal.replace(cell=np.array([edge + change] * 3 + [90.0] * 3))
        energies.append(CHIK.predict(other).energy_ev)
    assert energies[1] < min(energies[0], energies[2])
    # the vertex of the parabola through the three
    vertex = 0.005 * (energies[0] - energies[2]) / (energies[0] + energies[2] - 2.0 * energies[1])
    assert abs(vertex) < 1e-3


def test_arguments_that_make_no_sense_are_refused():
    with pytest.raises(ParameterError, match="cell is 'loose'; expected one of 'fixed', 'free'"):
        jn.relax(quartz(), BKS, cell="loose")
    with pytest.raises(ParameterError, match="does nothing to a fixed cell"):
        jn.relax(quartz(), BKS, pressure_gpa=1.0)
    with pytest.raises(ParameterError, match="force is 0; expected a positive number"):
        jn.relax(quartz(), BKS, force=0)
    with pytest.raises(ParameterError, match="the crystal to relax is a str"):
        jn.relax("quartz.cif", BKS)
    titanium = quartz().replace(species=("Ti", "O"))
    with pytest.raises(ConventionError, match="is Ti, which this potential has no parameters for"):
        jn.relax(titanium, BKS)


def test_strains_are_those_that_the_point_group_allows():
    for group, cell, number in (
        ("P 32 2 1", (5, 5, 6, 90, 90, 120), 2), ("P 1", (5, 6, 7, 80, 95, 100), 6), ("P 1 21/c 1", (5, 6, 7, 90, 95, 90), 4),
        ("F m -3 m", (5, 5, 5, 90, 90, 90), 1), ("R -3 c", (5, 5, 5, 70, 70, 70), 2),
    ):  # fmt: skip
        crystal = jn.Crystal.create(cell=cell, spacegroup=group, species=["O"], xyz=[[0.1, 0.2, 0.3]])
        space = FreeSpace(crystal, cell=True)
        gram = np.einsum("kij,lij->kl", space.strains, space.strains)
        assert len(space.strains) == number
        np.testing.assert_allclose(gram, np.eye(number), atol=1e-12)
        # a cell strained by a lot is still one of the group, and has the volume that is said
        w = np.r_[np.zeros(space.n_sites), 0.1 * np.arange(1, number + 1) / number]
        strained = space.at(w)
        again = jn.Crystal.create(cell=strained.cell, spacegroup=group, species=["O"], xyz=strained.xyz)
        np.testing.assert_allclose(np.asarray(again.cell), np.asarray(strained.cell), atol=1e-9)
        assert float(strained.volume()) == pytest.approx(space.volume(w)[0])


def test_the_minimiser_finds_the_bottom_of_a_winding_valley():
    """Rosenbrock's function from its usual start; eight steps along a straight way would not do."""
    f = lambda x: 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2
    g = lambda x: np.array([-400 * x[0] * (x[1] - x[0] ** 2) - 2 * (1 - x[0]), 200 * (x[1] - x[0] ** 2)])
    region, x = TrustRegion(np.eye(2), np.eye(2), 0.5, 2.0), np.array([-1.2, 1.0])
    steps = 0
    for _ in range(100):
        steps += 1
        step, promised, held = region.step(g(x))
        assert np.linalg.norm(step) <= region.radius * (1 + 1e-6) and promised > 0.0
        there = x + step
        good = region.judge(f(x) - f(there), promised, held)
        region.learn(step, g(there) - g(x))
        x = there if good else x
        if np.linalg.norm(g(x)) < 1e-8:
            break
    assert steps < 60
    np.testing.assert_allclose(x, [1.0, 1.0], atol=1e-7)


def test_the_lowest_curvature_is_found_among_many():
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(60, 60)))[0]
    guess = turn @ np.diag(np.geomspace(1.0, 1e3, 60)) @ turn.T
    relative = np.linalg.qr(rng.normal(size=(60, 60)))[0]
    root = np.linalg.cholesky(guess)
    hessian = root @ relative @ np.diag([-0.2, *np.linspace(0.3, 3.0, 59)]) @ relative.T @ root.T
    value, p = lowest_curvature(lambda v: hessian @ v, guess)
    assert value == pytest.approx(-0.2, abs=0.02)
    assert p @ guess @ p == pytest.approx(1.0) and p @ hessian @ p == pytest.approx(value)


class Kink(Struct):
    """An energy with a kink beside quartz; neighbours are those of BKS."""

    name = "kink"

    def plan(self, crystal, *, skin):
        return BKS.plan(crystal, skin=skin)

    def energy(self, crystal, plan):
        return 3.0 + 5.0 * jnp.abs(crystal.xyz[1, 2] - 0.78561)


def test_an_energy_that_does_not_go_down_is_said():
    result = jn.relax(quartz(), Kink())
    assert (
        not result.converged
        and "does not go down any further" in result.message
        and result.energy < result.energy_start
    )


CIF = """data_quartz
_cell_length_a 4.9137
_cell_length_b 4.9137
_cell_length_c 5.4047
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 120
_space_group_name_H-M_alt 'P 32 2 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_U_iso_or_equiv
Si1 Si 0.4697 0 0.666667 0.006
O1 O 0.4133 0.2672 0.7856 0.01
"""


def test_the_command_writes_structure_numbers_and_report(tmp_path, capsys, free):
    path, out = tmp_path / "quartz.cif", tmp_path / "out"
    path.write_text(CIF, encoding="utf-8")
    command = ["relax", str(path), "--model", "bks", "--cell", "free", "--no-cache", "--out", str(out)]
    assert cli.main(command) == 0
    said = capsys.readouterr().err
    assert "quartz in bks, P 32 2 1, cell free" in said and "Converged after" in said and "meV per atom" in said
    relaxed = jn.read_crystal(out / "relaxed.cif")
    np.testing.assert_allclose(np.asarray(relaxed.cell), np.asarray(free.crystal.cell), atol=1e-3)
    assert "Calculated: positions and cell at rest in the energy bks" in (out / "relaxed.cif").read_text(
        encoding="utf-8"
    )
    record = json.loads((out / "result.json").read_text(encoding="utf-8"))
    assert (
        record["kind"] == "relaxation"
        and record["result"]["converged"]
        and record["inputs"][0]["file"].endswith("quartz.cif")
    )
    assert (
        record["result"]["energy_ev"] == pytest.approx(free.energy, abs=1e-4)
        and "van Beest" in record["result"]["card"]["citation"]
    )
    assert [site["label"] for site in record["result"]["sites"]] == ["Si1", "O1"]
    report = (out / "report.md").read_text(encoding="utf-8")
    assert "| V / Å³" in report and "Stress (xx, yy" in report
    assert cli.main([*command, "--max-steps", "1"]) == 3
    assert json.loads((out / "result.json").read_text(encoding="utf-8"))["result"]["converged"] is False


def test_the_command_says_what_is_wrong_with_its_input(tmp_path, capsys):
    path = tmp_path / "quartz.cif"
    path.write_text(CIF.replace("Si1 Si", "Ge1 Ge"), encoding="utf-8")
    assert cli.main(["relax", str(path), "--model", "bks", "--no-cache", "--out", str(tmp_path / "out")]) == 2
    assert "site Ge1 of quartz is Ge" in capsys.readouterr().err and not (tmp_path / "out").exists()
    assert cli.main(["relax", str(path), "--model", "bks", "--pressure-gpa", "2"]) == 2
    assert "give --cell free, too" in capsys.readouterr().err
    assert cli.main(["relax", str(path), "--model", "bksx", "--no-cache"]) == 2
    assert "no energy model is called 'bksx'" in capsys.readouterr().err
