"""Self-consistent fields by pyscf on water: counted builds, starts, states that are wrong, data that go on."""

import json

import numpy as np
import pytest

pytest.importorskip("pyscf", reason="Kohn-Sham calculations need pyscf, which the extra electronic installs")

from jaxnmr.cli import main
from jaxnmr.electronic.basis import Orbitals
from jaxnmr.electronic.data import HamiltonianData
from jaxnmr.electronic.scf.calculation import SCFError, Settings, check, kohn_sham, molecule, solve
from jaxnmr.electronic.scf.generate import Plan, collect, generate, minimum_of
from jaxnmr.electronic.scf.molecules import known
from jaxnmr.electronic.scf.restart import compare, restart
from jaxnmr.electronic.scf.starts import STARTS, Predicted, given
from jaxnmr.errors import ShapeError

SETTINGS = Settings(grid=0, tolerance=1e-9)


@pytest.fixture(scope="module")
def water():
    numbers, xyz = known("water")
    xyz = xyz + 0.04 * np.random.default_rng(0).normal(size=xyz.shape)
    return numbers, xyz, solve(numbers, xyz, SETTINGS)[0]


@pytest.fixture(scope="module")
def minimum(tmp_path_factory):
    """A file with the minimum of water: the same for all plans whose grids are of the level 1 or 2."""
    numbers, xyz = known("water")
    folder = tmp_path_factory.mktemp("minimum")
    minimum_of(Plan("water", numbers, tuple(tuple(map(float, row)) for row in xyz)), folder)
    return folder / "minimum.npz"


def test_what_is_kept_of_a_calculation_solves_its_own_equations(water):
    numbers, xyz, kept = water
    field = kohn_sham(molecule(numbers, xyz, SETTINGS), SETTINGS)
    field.kernel()
    assert kept.e_tot == pytest.approx(field.e_tot, abs=1e-10)
    assert kept.h == pytest.approx(field.get_fock(), abs=1e-9)
    assert kept.h0 == pytest.approx(field.get_fock(dm=field.init_guess_by_minao()), abs=1e-10)
    assert kept.eps == pytest.approx(field.mo_energy, abs=1e-5)
    assert kept.commutator < 1e-4
    shells = [shell.l for _, _, shell in Orbitals.of(numbers).shells]
    assert shells == [field.mol.bas_angular(k) for k in range(field.mol.nbas)]
    data = HamiltonianData(
        numbers=np.array(numbers), xyz=xyz[None], h=kept.h[None], h0=kept.h0[None], s=kept.s[None],
        e_tot=np.array([kept.e_tot]), eps=kept.eps[None],
    )  # fmt: skip
    assert data.pairs == 5


def test_builds_are_counted_as_pyscf_makes_them(water):
    """A DIIS calculation builds at its start, in each iteration, and to make sure; the second-order solver builds responses."""
    numbers, xyz, kept = water
    plain, _ = restart(numbers, xyz, STARTS["minao"], settings=SETTINGS)
    assert plain.fock == plain.macro + 2 and plain.response == 0
    once, _ = restart(numbers, xyz, STARTS["minao Fock"], settings=SETTINGS)
    assert once.fock == once.macro + 3
    newton, _ = restart(numbers, xyz, STARTS["minao"], solver="Newton", settings=SETTINGS)
    assert newton.response > newton.macro and newton.fock > newton.macro
    for trial in (plain, once, newton):
        assert trial.converged and trial.energy == pytest.approx(kept.e_tot, abs=1e-8)


def test_the_solution_as_a_start_saves_nearly_everything(water):
    numbers, xyz, kept = water
    perfect = Predicted(lambda *_: kept.h, delta=False)
    found = compare(
        numbers, [xyz], {"minao": STARTS["minao"], "perfect": perfect}, settings=SETTINGS, energies=[kept.e_tot]
    )
    for solver in ("DIIS", "Newton"):
        (row,) = [row for row in found.rows() if (row["solver"], row["start"]) == (solver, "perfect")]
        assert row["macro"] <= 2 and row["macro_percent"] < -50 and row["builds_percent"] < -50
        assert row["ground"] == 1 and abs(row["largest_above"]) < 1e-8


def test_a_wrong_state_is_detected_and_said(water):
    """From a density that fills the wrong orbitals of the same molecule, the second-order solver finds a saddle point."""
    numbers, xyz, kept = water
    levels, orbitals = np.linalg.eigh(kept.s)
    root = orbitals @ np.diag(levels**-0.5) @ orbitals.T
    _, turned = np.linalg.eigh(root @ kept.h @ root)
    filled = (root @ turned)[:, [0, 1, 2, 3, 6]]
    upset = 2 * filled @ filled.T
    found = compare(
        numbers, [xyz], {"minao": STARTS["minao"], "upset": held(upset)}, solvers=("DIIS",), settings=SETTINGS
    )
    (trial,) = found.of("upset", "DIIS")
    assert trial.state in ("unstable", "higher", "not converged") and len(found.doubts()) == 1
    assert all(trial.state == "ground" for trial in found.of("minao", "DIIS"))


def held(density):
    """A start that keeps its occupation: the orbitals of largest overlap with it are filled in every iteration."""

    def start(field):
        s = field.get_ovlp()

        def get_occ(energies=None, orbitals=None):
            share = np.einsum("ik,ij,jk->k", orbitals, s @ density @ s, orbitals)
            occupied = np.zeros(len(share))
            occupied[np.argsort(share)[-field.mol.nelectron // 2 :]] = 2.0
            return occupied

        field.get_occ = get_occ
        return density

    return start


def test_calculations_that_end_badly_raise(water):
    numbers, xyz, _ = water
    with pytest.raises(SCFError, match="did not converge in 2"):
        solve(numbers, xyz, Settings(grid=0, cycles=2))
    field = kohn_sham(molecule(numbers, xyz, SETTINGS), SETTINGS)
    field.kernel()
    field.mo_energy = np.zeros_like(field.mo_energy)
    with pytest.raises(SCFError, match="gap"):
        check(field)
    with pytest.raises(ShapeError, match="24 functions"):
        restart(numbers, xyz, given(np.eye(3)), settings=SETTINGS)


def test_data_go_on_where_they_stopped_and_do_not_depend_on_it(minimum, tmp_path):
    numbers, xyz = known("water")
    start = tuple(tuple(map(float, row)) for row in xyz)
    plan = Plan("water", numbers, start, settings=Settings(grid=1), stability=2)
    seen = []
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "minimum.npz").write_bytes(minimum.read_bytes())
    generate(plan, 1, tmp_path / "a", lambda k, _: seen.append(k))
    generate(plan, 3, tmp_path / "a", lambda k, found: seen.append((k, "stable" in found)))
    assert seen == [0, (1, False), (2, True)]
    generate(plan, 3, tmp_path / "b")
    one, two = (HamiltonianData.read(collect(tmp_path / name)) for name in "ab")
    assert np.array_equal(one.xyz, two.xyz)
    # threads add in any order
    np.testing.assert_allclose(one.h, two.h, rtol=0.0, atol=1e-11)
    assert one.metadata["start"] == "minao" and one.metadata["sampling"] == "modes"
    # PBE/def2-SVP of water: bend and stretches, 1/cm
    with np.load(tmp_path / "a" / "minimum.npz") as kept:
        bond = np.linalg.norm(kept["xyz"][0] - kept["xyz"][1])
    assert bond == pytest.approx(0.97, abs=0.01)
    assert np.ptp(one.e_tot) > 1e-4


def test_the_command_makes_data_and_compares_starts(minimum, tmp_path):
    out = tmp_path / "water"
    out.mkdir()
    (out / "minimum.npz").write_bytes(minimum.read_bytes())
    assert main(["hamiltonian", "data", "water", "--count", "6", "--out", str(out), "--quiet"]) == 0
    assert json.loads((out / "result.json").read_text())["result"]["geometries"] == 6
    asked = ["hamiltonian", "scf", str(tmp_path / "water.npz"), "--train", "5", "--test", "1"]
    assert main([*asked, "--geometries", "1", "--out", str(tmp_path / "no")]) == 2
    asked = [
        "hamiltonian",
        "scf",
        str(tmp_path / "water.npz"),
        "--no-ridge",
        "--train",
        "4",
        "--test",
        "1",
        "--geometries",
        "1",
    ]
    asked += [word for name in ("hcore", "SAP", "Hückel") for word in ("--start", name)]
    assert main([*asked, "--solver", "DIIS", "--out", str(tmp_path / "scf"), "--quiet", "--no-cache"]) == 0
    record = json.loads((tmp_path / "scf" / "result.json").read_text())
    assert [row["start"] for row in record["result"]["rows"]] == ["minao", "SAP", "Hückel", "hcore"]
    assert (tmp_path / "scf" / "iterations.png").stat().st_size > 5000
    assert "Hückel" in (tmp_path / "scf" / "table.txt").read_text(encoding="utf-8")
