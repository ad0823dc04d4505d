"""What of the self-consistent fields needs no pyscf: coordinates, frames, regressions, densities, tables, refusals."""

import json
import sys

import numpy as np
import pytest

from jaxnmr.cli import main
from jaxnmr.electronic.basis import Orbitals
from jaxnmr.electronic.data import HamiltonianData
from jaxnmr.electronic.evaluation import errors_of
from jaxnmr.electronic.integrals import dipole_integrals, overlap
from jaxnmr.electronic.scf.calculation import Settings, molecule
from jaxnmr.electronic.scf.frame import turned_functions, turning
from jaxnmr.electronic.scf.internal import tree_of
from jaxnmr.electronic.scf.molecules import NAMES, known, read_xyz
from jaxnmr.electronic.scf.packages import MissingPackageError
from jaxnmr.electronic.scf.restart import Comparison, Trial
from jaxnmr.electronic.scf.ridge import fit_ridge, predict_all
from jaxnmr.electronic.scf.sampling import BOHR, KELVIN, Reference, harmonic, invariant, rotation
from jaxnmr.electronic.scf.starts import density_of, model_start
from jaxnmr.errors import ConventionError, DataError, JaxnmrError, ParseError, ShapeError


def distances(xyz):
    return np.linalg.norm(xyz[:, None] - xyz[None], axis=-1)


@pytest.mark.parametrize("name", NAMES)
def test_internal_coordinates_lead_back_to_the_same_molecule_and_its_mirror_image_is_another(name):
    numbers, xyz = known(name)
    tree = tree_of(numbers, xyz)
    rng = np.random.default_rng(1)
    xyz = xyz + 0.05 * rng.normal(size=xyz.shape)
    q = tree.measure(xyz)
    assert len(q) == 3 * len(numbers) - 6
    placed = tree.place(q)
    assert distances(placed) == pytest.approx(distances(xyz), abs=1e-12)
    aligned = (placed - placed.mean(0)) @ turning(placed, xyz, np.ones(len(xyz))).T
    assert aligned == pytest.approx(xyz - xyz.mean(0), abs=1e-12)
    if len(numbers) > 3:
        assert abs(tree.change(tree.measure(-xyz), q)).max() > 0.01


def test_one_coordinate_turns_a_methyl_group_and_leaves_its_bonds():
    numbers, xyz = known("ethanol")
    tree = tree_of(numbers, xyz)
    assert sum(tree.torsions) == 2  # of the methyl group and of the hydroxyl group
    carbon = 0
    group = [k for k in range(9) if numbers[k] == 1 and distances(xyz)[k, carbon] < 1.3]
    turns = [k for k, far in enumerate(tree.torsions) if far]
    q = tree.measure(xyz)
    found = []
    for turn in turns:
        changed = q.copy()
        changed[turn] += 0.4
        moved = tree.place(changed)
        inside = [*group, carbon]
        assert distances(moved)[np.ix_(inside, inside)] == pytest.approx(
            distances(xyz)[np.ix_(inside, inside)], abs=1e-12
        )
        found.append(abs(distances(moved) - distances(xyz))[group].max() > 0.1)
    assert sum(found) >= 1


def test_molecules_that_have_no_internal_coordinates_are_refused():
    with pytest.raises(ConventionError, match="not in one piece"):
        tree_of([1, 1], np.array([[0, 0, 0], [0, 0, 5.0]]))
    with pytest.raises(ConventionError, match="on a line"):
        tree_of([6, 6, 1, 1], np.array([[0, 0, 0], [0, 0, 1.2], [0, 0, -1.06], [0, 0, 2.26]]))
    with pytest.raises(ConventionError, match=r"\[14\]"):
        tree_of([14, 1], np.array([[0, 0, 0], [0, 0, 1.4]]))


def spring_molecule():
    """Water with springs between its atoms, whose Hessian and energies are known in closed form."""
    numbers, xyz = known("water")
    bohr, n = xyz / BOHR, len(xyz)
    hessian = np.zeros((n, n, 3, 3))
    for a in range(n):
        for b in range(a):
            along = (bohr[a] - bohr[b]) / np.linalg.norm(bohr[a] - bohr[b])
            block = 0.5 * np.outer(along, along)
            hessian[a, a] += block
            hessian[b, b] += block
            hessian[a, b] -= block
            hessian[b, a] -= block
    return Reference(numbers, xyz, 0.0, hessian)


def test_harmonic_geometries_have_the_energy_of_equipartition_and_quantum_ones_more():
    reference = spring_molecule()
    wavenumbers, _ = reference.modes()
    assert len(wavenumbers) == 3 and (wavenumbers > 0).all()
    # H-H, O-H and O-H bonds: the sum of squared frequencies is the trace of the mass-weighted Hessian
    masses = 1822.888486 * np.array([15.9949146, 1.0078250, 1.0078250])
    trace = sum(np.trace(reference.hessian[k, k]) / masses[k] for k in range(3))
    assert np.sum((wavenumbers / 219474.6313632) ** 2) == pytest.approx(trace, rel=1e-6)
    tree = tree_of(reference.numbers, reference.xyz)
    bonds = distances(reference.xyz)[np.triu_indices(3, 1)]

    def energy(xyz):
        return 0.25 * np.sum(((distances(xyz)[np.triu_indices(3, 1)] - bonds) / BOHR) ** 2)

    kelvin = 20.0  # so low that springs are harmonic
    rng = np.random.default_rng(0)
    found = np.array([energy(harmonic(reference, tree, kelvin, rng)) for _ in range(500)])
    wanted = 1.5 * KELVIN * kelvin
    assert found.mean() == pytest.approx(wanted, abs=4 * wanted * np.sqrt(2 / 3 / 500))
    quantum = np.mean([energy(harmonic(reference, tree, kelvin, rng, quantum=True)) for _ in range(50)])
    assert quantum > 20 * wanted


def test_a_hessian_whose_rows_do_not_add_up_is_mended_by_its_diagonal_blocks():
    reference = spring_molecule()
    np.testing.assert_allclose(invariant(reference.hessian), reference.hessian, atol=1e-14)
    noise = np.random.default_rng(3).normal(size=(3, 3, 3))
    upset = reference.hessian.copy()
    for k in range(3):
        upset[k, k] -= 0.3 * (noise[k] + noise[k].T)
    mended = Reference(reference.numbers, reference.xyz, 0.0, invariant(upset))
    np.testing.assert_allclose(mended.modes()[0], reference.modes()[0], rtol=1e-9)
    assert abs(Reference(reference.numbers, reference.xyz, 0.0, upset).modes()[0] - reference.modes()[0]).max() > 50.0


def test_an_imaginary_mode_is_refused():
    reference = spring_molecule()
    upset = Reference(reference.numbers, reference.xyz, 0.0, -reference.hessian)
    with pytest.raises(ConventionError, match="imaginary"):
        harmonic(upset, tree_of(upset.numbers, upset.xyz), 300.0, np.random.default_rng(0))


def test_functions_turn_with_the_molecule():
    numbers, xyz = known("formaldehyde")
    turn = rotation(np.random.default_rng(5))
    assert turn @ turn.T == pytest.approx(np.eye(3), abs=1e-12) and np.linalg.det(turn) == pytest.approx(1.0)
    orbitals = Orbitals.of(numbers)
    functions = turned_functions(orbitals, turn)
    before, after = np.asarray(overlap(orbitals, xyz)), np.asarray(overlap(orbitals, xyz @ turn.T))
    assert functions @ before @ functions.T == pytest.approx(after, abs=2e-6)
    assert functions @ functions.T == pytest.approx(np.eye(len(functions)), abs=1e-12)
    x, y = (np.asarray(dipole_integrals(orbitals, r)) for r in (xyz, xyz @ turn.T))
    assert np.einsum("ab,bij->aij", turn, functions @ x @ functions.T) == pytest.approx(y, abs=1e-5)


def made_up_data(count=40, seed=0):
    """Water whose matrix is a smooth function of the overlap: covariant, and cheap."""
    numbers, reference = known("water")
    rng = np.random.default_rng(seed)
    tree = tree_of(numbers, reference)
    middle = tree.measure(reference)
    xyz = np.array(
        [tree.place(middle + rng.normal(size=3) * [0.03, 0.03, 0.1]) @ rotation(rng).T for _ in range(count)]
    )
    orbitals = Orbitals.of(numbers)
    s = np.array([np.asarray(overlap(orbitals, x), float) for x in xyz])
    s = (s + s.transpose(0, 2, 1)) / 2
    diagonal = -1.0 - 0.1 * np.arange(orbitals.size // 2)
    levels = np.zeros(orbitals.size)
    for _, start, shell in orbitals.shells:
        levels[start : start + shell.size] = diagonal[start % len(diagonal)]
    h = 0.875 * s * (levels[:, None] + levels[None])
    h0 = h + 0.05 * s
    eps = np.array(
        [
            np.linalg.eigvalsh(np.linalg.inv(np.linalg.cholesky(b)) @ a @ np.linalg.inv(np.linalg.cholesky(b)).T)
            for a, b in zip(h, s, strict=True)
        ]
    )
    return HamiltonianData(
        numbers=np.array(numbers), xyz=xyz, h=h, h0=h0, s=s, e_tot=np.zeros(count), eps=eps,
        metadata={"basis": "def2-svp", "functional": "pbe", "start": "minao"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def made_up():
    return made_up_data()


def test_regression_predicts_in_any_orientation_and_more_degrees_do_better(made_up):
    training, test = made_up.subset(slice(0, 30)), made_up.subset(slice(30, 40))
    errors = {}
    for degree in (1, 2):
        for delta in (True, False):
            model = fit_ridge(training, delta=delta, degree=degree)
            errors[degree, delta] = errors_of(predict_all(model, test), test).h_mae
    assert errors[2, True] < 0.5 * errors[1, True]
    # the start has most of the matrix in it already
    assert errors[2, True] < 0.2 * errors[2, False]
    model = fit_ridge(training)
    turn = rotation(np.random.default_rng(9))
    functions = turned_functions(made_up.orbitals, turn)
    one = model(made_up.numbers, test.xyz[0], test.h0[0], test.s[0])
    other = model(made_up.numbers, test.xyz[0] @ turn.T, functions @ test.h0[0] @ functions.T, test.s[0])
    assert functions @ one @ functions.T == pytest.approx(other, abs=1e-10)


def test_regression_refuses_other_molecules_and_geometries_outside_its_training(made_up):
    model = fit_ridge(made_up)
    with pytest.raises(ConventionError, match="in this order"):
        model(made_up.numbers[::-1], made_up.xyz[0], made_up.h0[0], made_up.s[0])
    model.require_inside(made_up.xyz)
    with pytest.raises(DataError, match="outside the training"):
        model.require_inside(1.3 * made_up.xyz[:1])
    with pytest.raises(DataError, match="too few"):
        fit_ridge(made_up.subset(slice(0, 4)))


def test_a_density_holds_the_electrons_and_fills_the_lowest_orbitals(made_up):
    h, s = made_up.h[0], made_up.s[0]
    density = density_of(h, s, 10)
    assert np.trace(density @ s) == pytest.approx(10.0)
    assert density @ s @ density == pytest.approx(2 * density, abs=1e-10)
    assert np.trace(density @ h) == pytest.approx(2 * made_up.eps[0, :5].sum())


def test_densities_of_what_makes_no_sense_are_refused(made_up):
    h, s = made_up.h[0], made_up.s[0]
    with pytest.raises(ConventionError, match="odd number"):
        density_of(h, s, 9)
    with pytest.raises(ShapeError, match="of this basis"):
        density_of(h[:-1, :-1], s, 10)
    with pytest.raises(DataError, match="not finite"):
        density_of(np.full_like(h, np.nan), s, 10)
    dependent = s.copy()
    dependent[1], dependent[:, 1] = dependent[0], dependent[:, 0]
    with pytest.raises(ConventionError, match="depend on each other"):
        density_of(h, dependent, 10)


def test_a_model_of_another_functional_or_basis_is_refused():
    from types import SimpleNamespace

    model = SimpleNamespace(config=SimpleNamespace(basis="def2-SVP", functional="pbe", start="minao"))
    assert model_start(model, Settings()).delta
    with pytest.raises(ConventionError, match="functional 'pbe', the calculation of 'b3lyp'"):
        model_start(model, Settings(functional="b3lyp"))
    with pytest.raises(ConventionError, match="basis"):
        model_start(model, Settings(basis="sto-3g"))


@pytest.mark.parametrize(
    ("numbers", "xyz", "said"),
    [
        ([26, 8], [[0, 0, 0], [0, 0, 1.6]], "26"),
        ([8, 1], [[0, 0, 0], [0, 0, 0.97]], "odd number"),
        ([1, 1], [[0, 0, 0], [0, 0, 0.1]], "angstrom"),
        ([1, 1], [[0, 0, 0], [0, 0, np.nan]], "not finite"),
    ],
)
def test_molecules_that_cannot_be_calculated_are_refused_before_anything_is(numbers, xyz, said):
    with pytest.raises(ConventionError, match=said):
        molecule(numbers, np.array(xyz), Settings())


def test_without_pyscf_the_error_names_the_extra(monkeypatch, tmp_path, capsys):
    for name in [name for name in sys.modules if name.split(".")[0] == "pyscf"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyscf", None)
    numbers, xyz = known("water")
    with pytest.raises(MissingPackageError, match=r"pip install 'jaxnmr\[electronic\]'"):
        molecule(numbers, xyz, Settings())
    assert main(["hamiltonian", "data", "water", "--out", str(tmp_path / "water")]) == 2
    assert "jaxnmr[electronic]" in capsys.readouterr().err


def trials():
    made = lambda geometry, start, macro, fock, **more: Trial(
        geometry, start, "DIIS", macro, fock, 0, 1.0, 1.0, True, -1.0, 0.3, **more
    )
    return (
        made(0, "minao", 10, 12), made(1, "minao", 10, 12), made(0, "ours", 5, 8), made(1, "ours", 7, 10),
        made(0, "bad", 5, 8, above=0.1, stable=False), Trial(1, "bad", "DIIS", 60, 62, 0, 1.0, 1.0, False, 0.0, 0.0),
    )  # fmt: skip


def test_a_table_has_changes_against_the_same_geometries_and_says_what_went_wrong():
    found = Comparison(trials())
    rows = {row["start"]: row for row in found.rows()}
    assert rows["ours"]["macro"] == 6.0 and rows["ours"]["macro_percent"] == pytest.approx(-40.0)
    assert rows["ours"]["fock_percent"] == pytest.approx(-25.0)
    assert rows["ours"]["ground"] == 2 and rows["bad"]["ground"] == 0
    assert [trial.state for trial in found.of("bad", "DIIS")] == ["unstable", "not converged"]
    assert len(found.doubts()) == 2 and "1.00e-01 hartree above" in found.doubts()[0]
    assert all(word in found.table() for word in ("minao", "ours", "-40", "2/2", "did not converge"))
    json.dumps(found.as_dict())


def test_an_interrupted_comparison_is_of_the_geometries_that_are_done(monkeypatch):
    from jaxnmr.electronic.scf import restart as module

    done = []

    def stopping(numbers, position, start, *, solver, name, geometry, **_):
        if len(done) == 5:
            raise KeyboardInterrupt
        done.append(name)
        return Trial(geometry, name, solver, 9, 11, 0, 1.0, 1.0, True, -1.0 + 1e-9 * len(done), 0.3), None

    monkeypatch.setattr(module, "restart", stopping)
    asked = ((8, 1, 1), np.zeros((4, 3, 3)), {"minao": None, "ours": None})
    found = module.compare(*asked, solvers=("DIIS",))
    assert [(trial.geometry, trial.start) for trial in found.trials] == [
        (0, "minao"), (0, "ours"), (1, "minao"), (1, "ours"),
    ]  # fmt: skip
    assert found.trials[1].above == pytest.approx(1e-9, rel=1e-6)
    done[1:] = [""] * 4
    with pytest.raises(KeyboardInterrupt):
        module.compare(*asked, solvers=("DIIS",))


def test_xyz_files_are_read_and_errors_name_the_line(tmp_path):
    file = tmp_path / "two.xyz"
    frame = "3\nwater\nO 0 0 0\nH 0 0 0.96\nH 0.93 0 -0.24\n"
    file.write_text(frame + frame.replace("0.96", "0.98"))
    numbers, xyz = read_xyz(file)
    assert numbers == (8, 1, 1) and xyz.shape == (2, 3, 3) and xyz[1, 1, 2] == 0.98
    for text, said in (
        (frame.replace("H 0 0 0.96", "Fe 0 0 1.6"), "line 4: unknown element 'Fe'"),
        (frame.replace("0.96", "x"), "line 4: expected three coordinates"),
        (frame[:20], "of 3 atoms"),
        ("", "no geometry"),
        (frame + frame.replace("O 0", "C 0"), "line 6: this frame has other atoms"),
    ):
        file.write_text(text)
        with pytest.raises(ParseError, match=said):
            read_xyz(file)


def saved(data, file):
    metadata = json.dumps(data.metadata)
    arrays = {name: getattr(data, name) for name in ("numbers", "xyz", "h", "h0", "s", "e_tot", "eps")}
    np.savez(file, metadata=np.array(metadata), **arrays)
    return file


def test_the_command_judges_regressions_and_writes_report_record_and_pictures(made_up, tmp_path):
    file = saved(made_up, tmp_path / "water.npz")
    out = tmp_path / "errors"
    asked = [
        "hamiltonian",
        "evaluate",
        str(file),
        "--train",
        "30",
        "--test",
        "10",
        "--out",
        str(out),
        "--quiet",
        "--no-cache",
    ]
    assert main(asked) == 0
    record = json.loads((out / "result.json").read_text())
    assert record["kind"] == "hamiltonian-evaluation"
    errors = record["result"]["errors"]
    start = errors_of(made_up.h0[30:], made_up.subset(slice(30, 40))).h_mae
    assert errors["minao Fock"]["h_mae"] == pytest.approx(start)
    best = min((name for name in errors if "delta" in name), key=lambda name: errors[name]["h_mae"])
    assert errors[best]["h_mae"] < 0.1 * start
    for picture in ("blocks.png", "orbitals.png"):
        assert (out / picture).stat().st_size > 5000
        assert f"({picture})" in (out / "report.md").read_text()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["evaluate", "FILE", "--train", "39", "--test", "10"], "there are 40"),
        (["evaluate", "FILE", "FILE"], "takes one data file"),
        (["evaluate", "FILE", "--no-ridge"], "nothing to judge"),
        (["evaluate", "nothing.npz"], "no such file"),
        (["train", "FILE", "--epochs", "0"], "--epochs is 0"),
        (["data", "caffeine"], "caffeine"),
        (["data", "water", "--temperatures", "900", "300"], "--temperatures"),
    ],
)
def test_wrong_questions_are_answered_with_what_was_wrong(asked, said, made_up, tmp_path, capsys):
    file = saved(made_up, tmp_path / "water.npz")
    words = [str(file) if word == "FILE" else word for word in asked]
    assert main(["hamiltonian", *words, "--out", str(tmp_path / "out"), "--no-cache"]) == 2
    assert said in capsys.readouterr().err


def test_data_of_another_plan_are_not_mixed(tmp_path):
    from jaxnmr.electronic.scf.generate import Plan, generate

    plan = Plan("water", (8, 1, 1), ((0, 0, 0), (0, 0, 0.96), (0.93, 0, -0.24)))
    (tmp_path / "plan.json").write_text(json.dumps(plan.as_dict() | {"seed": 7}))
    with pytest.raises(JaxnmrError, match="other seed"):
        generate(plan, 1, tmp_path)
