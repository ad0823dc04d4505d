"""Potentials of the equivariant network: invariances, derivatives, symmetry, padding, files, bad input."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr._struct import compiled
from jaxnmr.energy import EnergyModel
from jaxnmr.energy.equivariant.plan import plan_network
from jaxnmr.energy.equivariant.potential import NetworkPotential, network_config
from jaxnmr.energy.prediction import predict, slopes_of_energy
from jaxnmr.errors import ConventionError, DataError, ParseError

jn.enable_x64()
CONFIG = network_config(("O", "Si"), hidden="6x0e+4x1o+3x2e", layers=2, cutoff=3.6, radial_hidden=(6,), neighbours=12.0)
POTENTIAL = NetworkPotential.initial(CONFIG, scale=0.7, reference=[-5.0, -8.0], seed=3)
QUARTZ = jn.Crystal.create(
    cell=(4.9137, 4.9137, 5.4047, 90, 90, 120), spacegroup="P 32 2 1", species=["Si", "O"],
    xyz=[[0.4697, 0, 2 / 3], [0.4135, 0.2669, 0.7858]], name="quartz",
)  # fmt: skip
energy_of = compiled(lambda potential, crystal, plan: potential.energy(crystal, plan))


def plain(cell, species, xyz):
    return jn.Crystal.create(cell=cell, spacegroup="P 1", species=species, xyz=xyz, name="plain")


@pytest.fixture(scope="module")
def moved():
    """Quartz without symmetry, sheared, atoms moved."""
    full = QUARTZ.expand()
    noise = np.random.default_rng(1).normal(0, 0.012, full.fractional.shape)
    return plain((4.95, 4.88, 5.43, 89, 91.5, 119), full.species, full.fractional + noise)


@pytest.fixture(scope="module")
def found(moved):
    return predict(POTENTIAL, moved, POTENTIAL.plan(moved))


def test_order_and_origin_and_choice_of_the_cell_do_not_matter(moved, found):
    order = np.random.default_rng(0).permutation(9)
    # another basis of the same lattice, a' = a + b: the axes of the crystal turn with it
    lattice = np.asarray(moved.lattice(), dtype=float)
    change = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1]])
    other = change @ lattice
    lengths = np.linalg.norm(other, axis=1)
    unit = other / lengths[:, None]
    angles = np.degrees(np.arccos([unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]]))
    xyz = (np.asarray(moved.xyz) + np.array([0.31, -0.12, 0.77])) @ np.linalg.inv(change)
    again = plain((*lengths, *angles), [moved.species[k] for k in order], xyz[order])
    twin = predict(POTENTIAL, again, POTENTIAL.plan(again))
    assert twin.energy_ev == pytest.approx(found.energy_ev, abs=1e-10)
    turn = np.linalg.solve(np.asarray(again.lattice(), dtype=float), other)
    np.testing.assert_allclose(twin.forces_ev_angstrom @ turn, found.forces_ev_angstrom[order], atol=1e-9)
    np.testing.assert_allclose(turn.T @ twin.stress_gpa @ turn, found.stress_gpa, atol=1e-8)


def test_a_doubled_cell_has_twice_the_energy_and_a_mirrored_one_the_same(moved, found):
    a, b, c, *angles = np.asarray(moved.cell)
    xyz = np.asarray(moved.xyz)
    twice = np.concatenate([xyz, xyz + np.array([0, 0, 1])]) / [1, 1, 2]
    doubled = plain((a, b, 2 * c, *angles), moved.species * 2, twice)
    assert float(energy_of(POTENTIAL, doubled, POTENTIAL.plan(doubled))) == pytest.approx(2 * found.energy_ev, abs=1e-9)
    mirrored = plain(moved.cell, moved.species, -xyz)
    assert float(energy_of(POTENTIAL, mirrored, POTENTIAL.plan(mirrored))) == pytest.approx(found.energy_ev, abs=1e-10)


def test_forces_and_stress_are_the_derivatives(moved, found):
    plan = POTENTIAL.plan(moved)
    at = lambda crystal: float(energy_of(POTENTIAL, crystal, plan))
    lattice, xyz, step = np.asarray(moved.lattice(), dtype=float), np.asarray(moved.xyz), 1e-4
    for atom, axis in ((0, 0), (4, 1), (7, 2)):
        shift = np.zeros_like(xyz)
        shift[atom] = step * np.eye(3)[axis] @ np.linalg.inv(lattice)
        slope = (at(moved.replace(xyz=xyz + shift)) - at(moved.replace(xyz=xyz - shift))) / (2 * step)
        assert found.forces_ev_angstrom[atom, axis] == pytest.approx(-slope, abs=1e-6)
    # strains as changes of the six numbers of the cell
    slopes = np.asarray(slopes_of_energy(POTENTIAL, moved, plan)[1])[:6]
    for k, small in enumerate([1e-4] * 3 + [1e-3] * 3):
        change = small * np.eye(6)[k]
        higher, lower = (at(moved.replace(cell=np.asarray(moved.cell) + sign * change)) for sign in (1, -1))
        assert slopes[k] == pytest.approx((higher - lower) / (2 * small), abs=1e-6)
    volume = float(moved.volume())
    cells = [np.asarray(moved.cell) * ([1 + e] * 3 + [1] * 3) for e in (1e-5, -1e-5)]
    by_size = (at(moved.replace(cell=cells[0])) - at(moved.replace(cell=cells[1]))) / 2e-5
    assert np.trace(found.stress_gpa) * volume / 160.2176634 == pytest.approx(by_size, abs=1e-5)


def test_a_crystal_with_symmetry_is_the_same_without_it():
    full = QUARTZ.expand()
    bare = plain(QUARTZ.cell, full.species, full.fractional)
    symmetric, every = (predict(POTENTIAL, crystal, POTENTIAL.plan(crystal)) for crystal in (QUARTZ, bare))
    assert symmetric.energy_ev == pytest.approx(every.energy_ev, abs=1e-10)
    first = [list(full.site).index(k) for k in range(2)]
    np.testing.assert_allclose(symmetric.forces_ev_angstrom, every.forces_ev_angstrom[first], atol=1e-9)
    np.testing.assert_allclose(symmetric.stress_gpa, every.stress_gpa, atol=1e-8)


def test_padding_and_skin_change_nothing_and_lists_made_again_keep_their_length(moved, found):
    settings = {"cutoff": CONFIG.cutoff, "skin": 0.6, "species": CONFIG.species}
    padded = plan_network(moved, least=1000, **settings)
    assert padded.edges == 1000
    value, slopes = slopes_of_energy(POTENTIAL, moved, padded)
    assert float(value) == pytest.approx(found.energy_ev, abs=1e-10)
    np.testing.assert_allclose(slopes, slopes_of_energy(POTENTIAL, moved, POTENTIAL.plan(moved))[1], atol=1e-9)
    denser = moved.replace(cell=np.asarray(moved.cell) * ([0.99] * 3 + [1] * 3))
    again = padded.renewed(denser)
    assert again.edges == 1000 and again.skin == 0.6
    assert 0 < float(padded.margin(denser)) < float(again.margin(denser)) == pytest.approx(0.6)


def test_single_precision_is_the_same_to_its_digits(moved, found):
    single = jax.tree.map(lambda a: jnp.asarray(a, np.float32) if np.asarray(a).dtype == np.float64 else a, moved)
    value = energy_of(POTENTIAL, single, POTENTIAL.plan(moved))
    assert value.dtype == np.float32
    assert float(value) == pytest.approx(found.energy_ev, abs=1e-3)


def test_a_file_holds_all_of_it(moved, tmp_path):
    environments = {"O": {"mean": np.zeros(6), "projection": np.eye(6)[:, :2], "points": np.zeros((1, 2))}}
    kept = POTENTIAL.replace(environments=environments).with_card({"name": "small", "theory": "none"})
    model = EnergyModel.load(kept.save(tmp_path / "small.safetensors"))
    assert (model.name, model.elements) == ("small", {"O", "Si"})
    plan = model.plan(moved)
    assert float(model.energy(moved, plan)) == float(POTENTIAL.energy(moved, plan))
    novelty = np.asarray(model.novelty(moved, plan))
    scalars = np.asarray(POTENTIAL.scalars(plan.graph(moved)))
    oxygen = np.array(moved.elements) == "O"
    np.testing.assert_allclose(novelty[oxygen], np.linalg.norm(scalars[oxygen, :2], axis=1), rtol=1e-6)
    assert np.isnan(novelty[~oxygen]).all()


def test_files_that_are_no_potential_are_refused(tmp_path):
    file = POTENTIAL.save(tmp_path / "a.safetensors")
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    (tmp_path / "b.safetensors").write_bytes(content)
    with pytest.raises(ParseError, match="damaged"):
        NetworkPotential.load(tmp_path / "b.safetensors")
    with pytest.raises(ParseError, match="no such file"):
        NetworkPotential.load(tmp_path / "c.safetensors")
    with pytest.raises(ConventionError, match="silica-teacher"):
        EnergyModel.load("silica-teacher")
    broken = POTENTIAL.replace(scale=np.float32(np.nan))
    with pytest.raises(DataError, match="scale"):
        broken.save(tmp_path / "d.safetensors")
    assert json.loads(POTENTIAL.about) == {}


def test_crystals_that_it_cannot_take_are_refused(moved):
    aluminium = plain(moved.cell, ["Al", *moved.species[1:]], moved.xyz)
    with pytest.raises(ConventionError, match="contains Al, which this model has never seen"):
        POTENTIAL.plan(aluminium)
    with pytest.raises(ConventionError, match=r"occupancy 0\.5"):
        POTENTIAL.plan(moved.replace(occupancy=np.array([0.5] + [1.0] * 8)))
    with pytest.raises(ConventionError, match="Å apart"):
        POTENTIAL.plan(moved.replace(xyz=np.concatenate([moved.xyz[:1] + 0.01, moved.xyz[:1], moved.xyz[2:]])))
    with pytest.raises(ConventionError, match="no other atom within"):
        POTENTIAL.plan(plain((30, 30, 30, 90, 90, 90), ["O"], [[0, 0, 0]]))
    with pytest.raises(ConventionError, match="skin"):
        POTENTIAL.plan(moved, skin=-1.0)
    with pytest.raises(ConventionError, match="remembers no atoms"):
        POTENTIAL.novelty(moved, POTENTIAL.plan(moved))
