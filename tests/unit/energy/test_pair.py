"""Pair potentials of silica, against published cells and elastic constants, other cells of a crystal, central differences."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr._struct import compiled
from jaxnmr.crystal import cell_from_metric, transformed
from jaxnmr.energy.pair import PairPotential, read_pair_file, shipped
from jaxnmr.energy.pair.ewald import COULOMB
from jaxnmr.energy.pair.form import buckingham
from jaxnmr.errors import ConventionError, ParameterError, ParseError

BKS, CHIK = PairPotential.load("bks"), PairPotential.load("chik")
GPA = 160.21766208  # eV/Å3


def quartz(cell=(4.9137, 4.9137, 5.4047, 90, 90, 120), **changes):
    """L. Levien, C. T. Prewitt & D. J. Weidner, Am. Mineral. 65, 920 (1980), at room pressure."""
    values = {"species": ["Si", "O"], "xyz": [[0.4697, 0, 2 / 3], [0.4133, 0.2672, 0.7856]], "name": "quartz"} | changes
    return jn.Crystal.create(cell=cell, spacegroup="P 32 2 1", **values)


def cristobalite():
    """The ideal cubic one, centred, with Si and O on special positions."""
    return jn.Crystal.create(
        cell=[7.16, 7.16, 7.16, 90, 90, 90], spacegroup="F d -3 m:2", species=["Si", "O"], xyz=[[1 / 8] * 3, [0, 0, 0]]
    )


def in_p1(crystal, matrix=None):
    return transformed(crystal, np.eye(3) if matrix is None else matrix, spacegroup="P 1")


@compiled
def energy_of(potential, crystal, plan):
    return potential.energy(crystal, plan)


@compiled
def energy_and_forces(potential, crystal, plan):
    energy = lambda cell, xyz: potential.energy(crystal.replace(cell=cell, xyz=xyz), plan)
    return jax.value_and_grad(energy, argnums=(0, 1))(crystal.cell, crystal.xyz)


@compiled
def free_derivatives(potential, crystal, plan, v):
    """Energy, gradient and Hessian of quartz in what its space group leaves free: four coordinates, a and c."""
    basis = jnp.asarray(FREE)

    def energy(v):
        step = basis @ v
        return potential.energy(
            crystal.replace(cell=crystal.cell + step[:6], xyz=crystal.xyz + step[6:].reshape(-1, 3)), plan
        )

    return energy(v), jax.grad(energy)(v), jax.hessian(energy)(v)


_quantities = quartz().quantities()
FREE = np.zeros((12, 6))
FREE[:6, :2], FREE[6:, 2:] = _quantities["cell"].basis, _quantities["xyz"].basis


@pytest.fixture(scope="module")
def published():
    """BKS as its authors used it, short-range terms that end at 10 Å, and quartz at rest in it."""
    potential = BKS.replace(cutoff=dataclasses.replace(BKS.cutoff, width=None))
    crystal = quartz(cell=(4.941, 4.941, 5.449, 90, 90, 120), xyz=[[0.465, 0, 2 / 3], [0.427, 0.272, 0.791]])
    plan, v = potential.plan(crystal), np.zeros(6)
    for _ in range(5):
        _, gradient, hessian = free_derivatives(potential, crystal, plan, v)
        v = v - np.linalg.solve(hessian, gradient)
    assert np.abs(free_derivatives(potential, crystal, plan, v)[1]).max() < 1e-6
    step = FREE @ v
    return potential, crystal.replace(cell=crystal.cell + step[:6], xyz=crystal.xyz + step[6:].reshape(-1, 3))


def test_quartz_has_the_published_cell(published):
    """van Beest et al. (1990): 4.941 and 5.449 Å."""
    np.testing.assert_allclose(published[1].cell[[0, 2]], [4.941, 5.449], atol=5e-4)


@compiled
def derivatives_in_p1(potential, crystal, plan):
    """Gradient and Hessian by six strains (Voigt's order) and Cartesian positions."""
    lattice = jnp.asarray(crystal.lattice())

    def energy(v):
        e = v[:6] / jnp.array([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])
        f = jnp.eye(3) + jnp.array([[e[0], e[5], e[4]], [e[5], e[1], e[3]], [e[4], e[3], e[2]]])
        moved = crystal.xyz + v[6:].reshape(-1, 3) @ jnp.linalg.inv(lattice)
        return potential.energy(crystal.replace(cell=cell_from_metric(lattice @ f @ f.T @ lattice.T), xyz=moved), plan)

    hessian, gradient = jax.jacfwd(lambda v: (jax.grad(energy)(v),) * 2, has_aux=True)(jnp.zeros(33))
    return gradient, hessian


def test_quartz_has_the_published_elastic_constants(published):
    """van Beest et al. (1990), in GPa: c11 90.6, c12 8.1, c13 15.2, c33 107.0, c44 50.2, c66 41.2, |c14| 17.6."""
    potential, crystal = published
    p1 = in_p1(crystal)
    h = np.asarray(derivatives_in_p1(potential, p1, potential.plan(p1))[1])
    # atoms relax in the strained cell
    c = (h[:6, :6] - h[:6, 6:] @ np.linalg.pinv(h[6:, 6:], rcond=1e-8) @ h[6:, :6]) / float(p1.volume()) * GPA
    found = [c[0, 0], c[0, 1], c[0, 2], c[2, 2], c[3, 3], c[5, 5], abs(c[0, 3])]
    np.testing.assert_allclose(found, [90.6, 8.1, 15.2, 107.0, 50.2, 41.2, 17.6], atol=0.1)
    assert c[5, 5] == pytest.approx((c[0, 0] - c[0, 1]) / 2, abs=1e-3)


def test_derivatives_along_free_directions_are_those_without_symmetry(published):
    """In P1 every atom is moved as the space group moves it; coordinates are linear in what is free."""
    potential, crystal = published[0], quartz(cell=published[1].cell)
    p1, moved = (
        in_p1(crystal),
        [in_p1(crystal.replace(xyz=crystal.xyz + FREE[6:, k].reshape(-1, 3) * 1e-3)) for k in range(2, 6)],
    )
    mine = np.asarray(free_derivatives(potential, crystal, potential.plan(crystal), np.zeros(6))[1])
    assert np.abs(mine).max() > 1.0
    gradient, lattice = np.asarray(derivatives_in_p1(potential, p1, potential.plan(p1))[0]), np.asarray(p1.lattice())
    by_coordinate = [np.sum(gradient[6:].reshape(-1, 3) * ((m.xyz - p1.xyz) @ lattice)) / 1e-3 for m in moved]
    by_cell = [(gradient[0] + gradient[1]) / crystal.cell[0], gradient[2] / crystal.cell[2]]
    np.testing.assert_allclose(mine, [*by_cell, *by_coordinate], atol=1e-7)


@pytest.mark.parametrize("name", shipped())
def test_atoms_that_come_close_are_pushed_apart(name):
    file = read_pair_file(name)
    charge = dict(zip(file.elements, file.charges, strict=True))
    r = jnp.linspace(0.4, 2.0, 400)
    for (first, second), p in file.pairs.items():
        coulomb = COULOMB * charge[first] * charge[second] / r
        closed, open_ = (np.asarray(buckingham(r, p["A"], p["b"], p["C"], d) + coulomb) for d in (p["D"], 0.0))
        well = int(np.argmin(closed))
        assert (np.diff(closed[: well + 1]) < 0).all() and closed[0] > 100.0
        # what closes the hole is nothing at the distances of real structures, 1.5 Å between Si and O, 2.2 and 2.6 Å
        real = {("Si", "O"): 1.5, ("O", "O"): 2.2, ("Si", "Si"): 2.6}[first, second]
        far = slice(int(np.searchsorted(np.asarray(r), min(real, 1.99))), None)
        assert np.abs(closed - open_)[far].max() < 0.02


def test_the_hole_is_refused_with_what_closes_it(tmp_path):
    file = read_pair_file("bks")
    file.pairs["Si", "O"]["D"] = 10.0
    with pytest.raises(ConventionError, match=r"bks, Si-O: the attraction wins.*A core D of at least 15.3 eV"):
        PairPotential.load(file)


def test_energy_is_that_of_any_cell_of_the_crystal():
    crystal = quartz()
    energy = float(energy_of(CHIK, crystal, CHIK.plan(crystal)))
    p1, double = in_p1(crystal), in_p1(crystal, np.diag([1, 1, 2]))
    assert float(energy_of(CHIK, p1, CHIK.plan(p1))) == pytest.approx(energy, abs=1e-8)
    assert float(energy_of(CHIK, double, CHIK.plan(double))) == pytest.approx(2 * energy, abs=1e-8)


def test_energy_of_a_centred_crystal_is_that_of_all_its_atoms():
    crystal = cristobalite()
    p1 = in_p1(crystal)
    assert p1.n_sites == 24
    energy = float(energy_of(CHIK, crystal, CHIK.plan(crystal)))
    assert float(energy_of(CHIK, p1, CHIK.plan(p1))) == pytest.approx(energy, abs=1e-8)
    turned = transformed(crystal, [[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    assert float(energy_of(CHIK, turned, CHIK.plan(turned))) == pytest.approx(energy / 4, abs=1e-8)


def test_forces_and_stress_are_those_of_central_differences():
    rng = np.random.default_rng(1)
    crystal = in_p1(quartz())
    crystal = crystal.replace(
        cell=crystal.cell + np.array([0.02, -0.03, 0.01, 0.3, -0.4, 0.2]),
        xyz=crystal.xyz + rng.uniform(-0.01, 0.01, crystal.xyz.shape),
    )
    plan = CHIK.plan(crystal)
    at = lambda cell, xyz: energy_and_forces(CHIK, crystal.replace(cell=cell, xyz=xyz), plan)
    energy = lambda cell, xyz: at(cell, xyz)[0]
    by_cell, by_xyz = at(crystal.cell, crystal.xyz)[1]
    h = 1e-5
    for k in range(6):
        step = np.eye(6)[k] * h * (1.0 if k < 3 else 50.0)
        difference = (energy(crystal.cell + step, crystal.xyz) - energy(crystal.cell - step, crystal.xyz)) / (
            2 * step[k]
        )
        assert float(by_cell[k]) == pytest.approx(float(difference), abs=2e-6)
    for atom, axis in ((0, 0), (3, 1), (8, 2)):
        step = np.zeros_like(crystal.xyz)
        step[atom, axis] = h
        difference = (energy(crystal.cell, crystal.xyz + step) - energy(crystal.cell, crystal.xyz - step)) / (2 * h)
        assert float(by_xyz[atom, axis]) == pytest.approx(float(difference), abs=2e-5)
    # nothing pulls on the whole
    np.testing.assert_allclose(np.asarray(by_xyz).sum(axis=0), 0.0, atol=1e-9)


def test_a_plan_holds_while_its_margin_is_positive():
    crystal = quartz()
    plan = BKS.plan(crystal, skin=0.3)
    assert float(plan.margin(crystal)) == pytest.approx(0.3)
    for factor in (0.99, 1.015):
        other = crystal.replace(
            cell=crystal.cell * [factor, factor, 1, 1, 1, 1], xyz=crystal.xyz + np.array([[0.002, 0, 0], [0, 0.004, 0]])
        )
        assert 0.0 < float(plan.margin(other)) < 0.3
        renewed = plan.renewed(other)
        assert float(renewed.margin(other)) == pytest.approx(0.3)
        assert float(energy_of(BKS, other, plan)) == pytest.approx(float(energy_of(BKS, other, renewed)), abs=1e-8)
    for factor in (0.96, 1.04):
        assert float(plan.margin(crystal.replace(cell=crystal.cell * [factor, factor, factor, 1, 1, 1]))) < 0.0


def test_a_crystal_that_the_potential_cannot_describe_is_refused():
    with pytest.raises(
        ConventionError, match="site Al1 of quartz is Al, which this potential has no parameters for; it knows Si, O"
    ):
        BKS.plan(quartz(species=["Al", "O"]))
    with pytest.raises(
        ConventionError, match=r"site O2 of quartz has the occupancy 0\.5: an energy needs to know which atoms"
    ):
        BKS.plan(quartz(occupancy=[1.0, 0.5], labels=["Si1", "O2"]))
    hydride = quartz(species=["Si", "Si"])
    with pytest.raises(ConventionError, match=r"primitive cell of quartz has the charge \+21.6 e"):
        BKS.plan(hydride)
    double = in_p1(quartz())
    xyz = double.xyz.copy()
    xyz[4] = xyz[5] + [0.0, 0.01, 0.0]
    with pytest.raises(ConventionError, match=r"quartz: atoms O\w+ and O\w+ are 0.049 Å apart.*remove duplicates"):
        BKS.plan(double.replace(xyz=xyz))
    with pytest.raises(ConventionError, match="a plan needs numbers"):
        jax.jit(lambda xyz: BKS.energy(double, BKS.plan(double.replace(xyz=xyz))))(double.xyz)


SALT = {
    "format": "jaxnmr pair potential 1",
    "name": "salt",
    "citation": "charges and a wall",
    "units": {"energy": "eV", "length": "Å", "charge": "e"},
    "charges": {"Na": 1.0, "Cl": -1.0},
    "pairs": {
        "Na-Cl": {"A": 1000.0, "b": 3.0, "C": 0.0, "D": 0.0},
        "Na-Na": {"A": 0.0, "b": 1.0, "C": 0.0, "D": 0.0},
        "Cl-Cl": {"A": 0.0, "b": 1.0, "C": 0.0, "D": 0.0},
    },
    "cutoff": {"form": "sharp", "radius": 7.0},
}


def of_file(tmp_path, **changes):
    path = tmp_path / "salt.json"
    path.write_text(json.dumps(SALT | changes), encoding="utf-8")
    return PairPotential.load(path)


def test_a_file_of_ones_own_is_a_potential(tmp_path):
    salt = of_file(tmp_path)
    crystal = jn.Crystal.create(
        cell=[5.64] * 3 + [90] * 3, spacegroup="F m -3 m", species=["Na+", "Cl-"], xyz=[[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    energy = float(energy_of(salt, crystal, salt.plan(crystal)))
    # distances of unlike neighbours in halves of the edge: 1, sqrt 3, sqrt 5 (6.31 Å), and how many there are
    wall = sum(n * 1000.0 * np.exp(-3.0 * 2.82 * np.sqrt(m)) for n, m in ((6, 1), (8, 3), (24, 5)))
    assert energy == pytest.approx(4 * (-1.74756459463318219 * COULOMB / 2.82 + wall), abs=1e-8)
    assert salt.elements == {"Na", "Cl"} and salt.card["citation"] == "charges and a wall" and salt.name == "salt"


WITHOUT_CHLORINE = {key: value for key, value in SALT["pairs"].items() if key != "Cl-Cl"}
WRONG = {
    "another format": ({"format": "1"}, 'expected an object with "format"'),
    "no source": ({"citation": ""}, "'citation' is missing"),
    "other units": ({"units": {"energy": "kJ/mol"}}, "1 kJ/mol is 0.0103643 eV"),
    "no such element": ({"charges": {"Qq": 1.0}}, "charges: 'Qq' is no element"),
    "an ion": ({"charges": {"Na+": 1.0}}, "charges: 'Na.' is no plain element; write 'Na'"),
    "a pair is missing": ({"pairs": WITHOUT_CHLORINE}, "Cl-Cl is missing; give zeros"),
    "a pair twice": ({"pairs": SALT["pairs"] | {"Cl-Na": SALT["pairs"]["Na-Na"]}}, "'Cl-Na' is there twice"),
    "a pair of others": ({"pairs": {"Na-K": {}}}, "'Na-K' are not two of Na, Cl"),
    "no D": ({"pairs": {"Na-Cl": {"A": 1.0, "b": 1.0, "C": 0.0}}}, r"Na-Cl: expected the numbers A \(eV\)"),
    "a negative C": ({"pairs": {"Na-Cl": {"A": 1.0, "b": 1.0, "C": -2.0, "D": 0.0}}}, "not negative"),
    "no number": (
        {"pairs": {"Na-Cl": {"A": "1", "b": 1.0, "C": 2.0, "D": 0.0}}},
        "Na-Cl, A is '1'; expected a finite number",
    ),
    "no such cutoff": (
        {"cutoff": {"form": "soft", "radius": 7.0}},
        "the form is 'soft'; expected one of switch, smooth, sharp",
    ),
    "a key too many": ({"cutoff": {"form": "sharp", "radius": 7.0, "width": 1.0}}, "sharp takes radius"),
    "the start beyond": ({"cutoff": {"form": "switch", "radius": 7.0, "start": 8.0}}, "start below the radius"),
    "shifted with a tail": (
        {"cutoff": {"form": "sharp", "radius": 7.0, "shift": True, "tail": True}},
        "take one of them",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_file_is_said(name, tmp_path):
    changes, message = WRONG[name]
    with pytest.raises(ParseError, match=message):
        of_file(tmp_path, **changes)


def test_no_such_file(tmp_path):
    with pytest.raises(
        ParameterError, match="there is no pair potential 'bkz': give a path to a file, or one of bks, chik"
    ):
        PairPotential.load("bkz")
    (tmp_path / "salt.json").write_text('{"format": 1,,}', encoding="utf-8")
    with pytest.raises(ParseError, match="line 1: this is no JSON"):
        PairPotential.load(tmp_path / "salt.json")


def test_dispersion_beyond_the_cutoff_makes_up_for_what_is_cut_off():
    """With a tail the energy hardly depends on where the sum ends; without, it does."""
    crystal = quartz()
    energy = []
    for radius, tail in ((9.0, True), (13.0, True), (9.0, False)):
        cutoff = dataclasses.replace(BKS.cutoff, width=None, shift=False, start=radius - 2.0, radius=radius, tail=tail)
        potential = BKS.replace(cutoff=cutoff)
        energy.append(float(energy_of(potential, crystal, potential.plan(crystal))))
    assert abs(energy[0] - energy[1]) < 0.01
    assert abs(energy[2] - energy[1]) > 0.3
