"""CHGNet in JAX: the numbers of its authors' program, symmetry, smoothness and derivatives where angles are straight."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from chgnet_crystals import crystals

from jaxnmr._struct import compiled
from jaxnmr.crystal import Crystal, transformed
from jaxnmr.energy.chgnet import CHGNet, plan_bond_graph
from jaxnmr.energy.chgnet.network import _in_pieces
from jaxnmr.energy.chgnet.potential import VERSIONS, averaged
from jaxnmr.errors import ConventionError
from jaxnmr.testing import assert_gradients

# by tools/chgnet_reference.py: the authors' program in double precision
NUMBERS = json.loads((Path(__file__).parents[2] / "reference" / "chgnet_numbers.json").read_text())
CRYSTALS = crystals()
# all plans of this file are padded to these, so that one program is compiled
SIZES, ATOMS, SITES = (128, 480, 800, 176, 1100), 32, 12

_slopes = compiled(lambda model, plan, positions, vectors: model.slopes_of(plan, positions, vectors))
_curvature = compiled(
    lambda model, plan, positions, vectors, along: jax.jvp(
        lambda x: model.slopes_of(plan, x, vectors)[1], (positions,), (along,)
    )[1]
)


def plan_of(model, crystal, **settings):
    """A plan and what is common to plans of this file of it."""
    plan = plan_bond_graph(
        crystal, cutoff=model.cutoff, bond_cutoff=model.bond_cutoff, table=model.table, least=SIZES, **settings
    )
    assert plan.sizes == SIZES
    nodes = {name: np.pad(array, (0, SITES - len(array))) for name, array in plan.atoms.nodes.items()}
    bare = plan.replace(
        reference=None, expansion=None, projector=None, symmetric=True, skin=0.0, atoms=plan.atoms._replace(nodes=nodes)
    )
    return plan, bare


def placed(plan, crystal):
    positions, vectors = (np.asarray(a) for a in plan.placed(crystal))
    return np.pad(positions, ((0, ATOMS - len(positions)), (0, 0))), vectors


def evaluated(model, crystal, at=None, **settings):
    """Energy, forces on one atom of every site, stress; ``at`` another place of the same plan."""
    plan, bare = plan_of(model, crystal, **settings)
    place = crystal if at is None else at
    energy, slope, strain = (np.asarray(a) for a in _slopes(model, bare, *placed(plan, place)))
    atoms = len(plan.expansion.atoms)
    energy, forces, stress = averaged(place, plan, energy, slope[:atoms], strain)
    return float(energy), forces[plan.expansion.asymmetric], stress


@pytest.mark.parametrize("version", VERSIONS)
def test_energies_forces_and_stresses_of_twenty_crystals_are_those_of_the_authors_program(version):
    model = CHGNet.load(version)
    off = {}
    for name, crystal in CRYSTALS.items():
        energy, forces, stress = evaluated(model, crystal, skin=0.1)
        per_atom, on_sites, pressure = (np.array(part) for part in NUMBERS[f"{name} {version}"])
        atoms = sum(site.multiplicity for site in crystal.sites())
        off[name] = abs(energy / atoms - per_atom), abs(forces - on_sites).max(), abs(stress - pressure).max()
    # the numbers are kept to eight decimals
    assert {name: errors for name, errors in off.items() if (np.array(errors) > 2e-8).any()} == {}


@pytest.mark.parametrize("name", ["quartz", "calcite", "SrTiO3"])
def test_all_atoms_by_themselves_have_the_energy_forces_and_stress_that_symmetry_gives(name):
    model, crystal = CHGNet.load("r2scan"), CRYSTALS[name]
    small = rhombohedral(crystal) if name == "calcite" else crystal
    by_symmetry = evaluated(model, small, skin=0.0)
    alone = evaluated(model, small, skin=0.0, symmetric=False)
    for one, other in zip(by_symmetry, alone, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-11)


def rhombohedral(crystal):
    return transformed(crystal, [[2 / 3, 1 / 3, 1 / 3], [-1 / 3, 1 / 3, 1 / 3], [-1 / 3, -2 / 3, 1 / 3]])


def test_a_doubled_cell_has_twice_the_energy():
    model, quartz = CHGNet.load("r2scan"), CRYSTALS["quartz"]
    once, twice = (evaluated(model, c, skin=0.1) for c in (quartz, transformed(quartz, np.diag([1, 1, 2]))))
    assert twice[0] == pytest.approx(2 * once[0], abs=1e-10)
    np.testing.assert_allclose(once[2], twice[2], atol=1e-10)


def test_bonds_within_the_skin_weigh_nothing_and_those_that_come_in_are_there():
    """Atoms move by up to 0.1 Å: bonds cross 3 and 6 Å, and a new list has the energy and forces of the old one."""
    model, quartz = CHGNet.load("r2scan"), CRYSTALS["quartz"]
    moved = quartz.replace(
        xyz=quartz.xyz + np.array([[0.012, 0, 0], [0.01, -0.012, 0.008]]),
        cell=quartz.cell * [1.01, 1.01, 0.99, 1, 1, 1],
    )
    old = evaluated(model, quartz, at=moved, skin=0.5)
    new = evaluated(model, moved, skin=0.0)
    for one, other in zip(old, new, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-11)
    plan = model.plan(quartz, skin=0.5)
    assert 0.0 < float(plan.margin(moved)) < float(plan.margin(quartz)) == pytest.approx(0.5)


def test_forces_and_stress_are_slopes_of_the_energy():
    model, crystal = CHGNet.load("r2scan"), CRYSTALS["shaken quartz"]
    plan, bare = plan_of(model, crystal)
    positions, vectors = placed(plan, crystal)
    _, slope, strain_slope = (np.asarray(a) for a in _slopes(model, bare, positions, vectors))
    rng = np.random.default_rng(0)
    move, strain, h = rng.normal(size=positions.shape), rng.normal(size=(3, 3)), 1e-5
    move[len(plan.expansion.atoms) :] = 0.0
    energy = lambda x, v: float(_slopes(model, bare, x, v)[0])
    by_moves = (energy(positions + h * move, vectors) - energy(positions - h * move, vectors)) / (2 * h)
    assert by_moves == pytest.approx(float((slope * move).sum()), rel=1e-6)
    one = np.eye(3)
    by_strain = [energy(positions @ (one + s * strain), vectors @ (one + s * strain)) for s in (h, -h)]
    assert (by_strain[0] - by_strain[1]) / (2 * h) == pytest.approx(float((strain_slope * strain).sum()), rel=1e-6)


@pytest.mark.parametrize("name", ["SrTiO3", "rutile", "stishovite", "shaken quartz"])
def test_second_derivatives_exist_where_angles_are_straight(name):
    model, crystal = CHGNet.load("r2scan"), CRYSTALS[name]
    plan, bare = plan_of(model, crystal, skin=0.0, symmetric=False)
    positions, vectors = placed(plan, crystal)
    along = np.random.default_rng(1).normal(size=positions.shape)
    along[len(plan.expansion.atoms) :] = 0.0
    curvature = np.asarray(_curvature(model, bare, positions, vectors, along))
    h = 2e-5
    there, back = (np.asarray(_slopes(model, bare, positions + s * h * along, vectors)[1]) for s in (1, -1))
    np.testing.assert_allclose(curvature, (there - back) / (2 * h), atol=2e-4 * abs(curvature).max())


def test_the_energy_of_a_crystal_has_equal_derivatives_each_way_along_what_its_group_leaves_free():
    model, quartz = CHGNet.load("r2scan"), CRYSTALS["quartz"]
    plan, bases = model.plan(quartz), {name: quartz.quantities()[name].basis for name in ("cell", "xyz")}

    def energy(free):
        cell = quartz.cell + bases["cell"] @ free["cell"]
        xyz = quartz.xyz + (bases["xyz"] @ free["xyz"]).reshape(-1, 3)
        return model.energy(quartz.replace(cell=cell, xyz=xyz), plan)[None]

    assert_gradients(energy, {name: np.zeros(basis.shape[1]) for name, basis in bases.items()}, rtol=1e-6)


def test_single_precision_is_close(precision):
    model, quartz = CHGNet.load("r2scan"), CRYSTALS["quartz"]
    small = quartz.replace(cell=precision.dtype(quartz.cell), xyz=precision.dtype(quartz.xyz))
    energy = jax.jit(model.energy)(small, model.plan(small))
    assert energy.dtype == precision.dtype
    assert float(energy) / 9 == pytest.approx(NUMBERS["quartz r2scan"][0], abs=1e-5)


def test_the_card_says_whose_weights_these_are_and_which_elements_they_know():
    r2scan, pbe = CHGNet.load("r2scan"), CHGNet.load("chgnet-0.3.0")
    assert (len(r2scan.elements), len(pbe.elements)) == (88, 89)
    assert pbe.elements - r2scan.elements == {"Yb"} and not {"Po", "At", "Rn", "Fr", "Ra"} & pbe.elements
    for model in (r2scan, pbe):
        assert "Regents of the University of California" in model.card["copyright"]
        assert {"theory", "training", "licence", "citation", "origin", "origin_sha256"} <= model.card.keys()
    with pytest.raises(ConventionError, match=r"no weights 'scan' of CHGNet; there are 'r2scan', '0\.3\.0'"):
        CHGNet.load("scan")


def cube(species, xyz, edge=4.0, **more):
    return Crystal.create(cell=[edge] * 3 + [90] * 3, spacegroup="P 1", species=species, xyz=xyz, **more)


@pytest.mark.parametrize(
    "crystal, message",
    [
        (cube(["Yb3+"], [[0, 0, 0]], labels=["Yb7"]), r"chgnet-r2scan has not seen the elements of Yb7 \(Yb\)"),
        (
            cube(["Na"], [[0, 0, 0]], labels=["Na2"], occupancy=[0.5]),
            r"partly occupied: Na2 \(0.5\).*order the structure",
        ),
        (
            cube(["Si", "Al"], [[0, 0, 0]] * 2, labels=["Si1", "Al1"], occupancy=[0.75, 0.25]),
            r"partly occupied: Si1 \(0.75\), Al1 \(0.25\)",
        ),
        (
            cube(["O", "H"], [[0, 0, 0], [0.11, 0, 0]], labels=["O4", "H4"]),
            r"atoms (O4 and H4|H4 and O4) are 0.440 Å apart",
        ),
        (cube(["Ar", "Ar"], [[0, 0, 0], [0.5, 0.5, 0.5]], 40.0, labels=["A", "B"]), "A, B: no other atom within 6 Å"),
    ],
)
def test_what_has_no_energy_is_refused_by_the_names_of_its_sites(crystal, message):
    with pytest.raises(ConventionError, match=message):
        CHGNet.load("r2scan").plan(crystal)


def test_a_negative_skin_is_refused():
    with pytest.raises(ConventionError, match=r"the skin is -0\.1"):
        CHGNet.load("r2scan").plan(CRYSTALS["quartz"], skin=-0.1)


def test_many_rows_in_pieces_are_what_they_are_at_once():
    """And their derivatives, which are calculated again."""
    rows = np.random.default_rng(2).normal(size=(2, 2560, 4))
    function = lambda a, b: jax.nn.silu(a) * b
    total = lambda rows: (_in_pieces(function, *rows) ** 2).sum()
    assert "scan" in str(jax.make_jaxpr(total)(rows))
    assert "scan" not in str(jax.make_jaxpr(total)(rows[:, :2000]))
    value, slope = jax.value_and_grad(total)(rows)
    expected, expected_slope = jax.value_and_grad(lambda rows: (function(*rows) ** 2).sum())(rows)
    assert float(value) == pytest.approx(float(expected), rel=1e-12)
    np.testing.assert_allclose(slope, expected_slope, rtol=1e-12, atol=1e-14)
