"""Training of network potentials: labels, batches, resuming, novelty, bad input."""

import dataclasses
import json

import jax
import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr.energy import EnergyModel
from jaxnmr.energy.equivariant import loss
from jaxnmr.energy.equivariant.frames import Frames, batches, labelled, steps_of
from jaxnmr.energy.equivariant.potential import NetworkPotential, network_config
from jaxnmr.energy.equivariant.recipe import Recipe
from jaxnmr.energy.equivariant.training import root_mean_squares, train, with_novelty
from jaxnmr.energy.prediction import GPA
from jaxnmr.errors import ConventionError, ConvergenceError, DataError, ParseError, ShapeError

jn.enable_x64()
predicted = jax.jit(loss.predicted)
CONFIG = network_config(
    ("O", "Si"), hidden="4x0e+3x1o", layers=2, cutoff=3.0, lmax=1, radial_hidden=(4,), neighbours=8.0
)
RECIPE = Recipe(epochs=6, batch=2, learning_rate=0.02, every=3, seed=1)
QUARTZ = jn.Crystal.create(
    cell=(4.9137, 4.9137, 5.4047, 90, 90, 120), spacegroup="P 32 2 1", species=["Si", "O"],
    xyz=[[0.4697, 0, 2 / 3], [0.4135, 0.2669, 0.7858]], name="quartz",
)  # fmt: skip


def trajectory(seed: int, count: int) -> Frames:
    """Shaken quartz with what the pair potential of BKS says."""
    teacher, full = EnergyModel.load("bks"), QUARTZ.expand()
    generator = np.random.default_rng(seed)
    crystal = jn.Crystal.create(cell=QUARTZ.cell, spacegroup="P 1", species=full.species, xyz=full.fractional)
    plan = teacher.plan(crystal)
    parts = []
    for _ in range(count):
        now = crystal.replace(xyz=full.fractional + generator.normal(0, 0.008, full.fractional.shape))
        said = teacher.predict(now, plan)
        lattice = np.asarray(now.lattice())
        parts.append((lattice, now.xyz @ lattice, said.energy_ev, said.forces_ev_angstrom, said.stress_gpa / GPA))
    return Frames(tuple(full.species), *(np.array(part) for part in zip(*parts, strict=True)), {"name": f"seed {seed}"})


@pytest.fixture(scope="module")
def training():
    return [trajectory(1, 4), trajectory(2, 1)]


@pytest.fixture(scope="module")
def trained(training):
    told = []
    model = train(CONFIG, RECIPE, training, training[1:], callback=lambda epoch, _: told.append(epoch))
    return model, told


def test_the_loss_falls_and_errors_are_those_of_the_averaged_weights(training, trained):
    model, told = trained
    assert model.card["recipes"] == [dataclasses.asdict(RECIPE)] and model.card["histories"][0][-1] == list(told[-1])
    assert [epoch.epoch for epoch in told] == [1, 2, 3, 4, 5, 6]
    assert told[-1].loss < 0.5 * told[0].loss
    assert told[0].force is None and told[2].force is not None
    # forces by the way of crystals and plans, in double precision
    part = training[1]
    crystal = jn.Crystal.create(
        cell=QUARTZ.cell, spacegroup="P 1", species=part.elements,
        xyz=part.positions[0] @ np.linalg.inv(part.lattices[0]),
    )  # fmt: skip
    said = EnergyModel.create(model).predict(crystal)
    error = 1000 * np.sqrt(np.mean((said.forces_ev_angstrom - part.forces[0]) ** 2))
    assert told[-1].force == pytest.approx(error, rel=1e-4)
    assert told[-1].energy == pytest.approx(1000 * abs(said.energy_ev - part.energies[0]) / 9, rel=0.01, abs=0.1)
    stress = (said.stress_gpa / GPA - part.stresses[0]) * float(crystal.volume()) / 9
    assert told[-1].stress == pytest.approx(1000 * np.sqrt(np.mean(stress**2)), rel=1e-3)


def test_an_interrupted_training_ends_with_the_same_numbers(training, trained, tmp_path):
    state = tmp_path / "state"

    class Stop(Exception):
        pass

    def stop(epoch, _):
        if epoch.epoch == 4:
            raise Stop

    with pytest.raises(Stop):
        train(CONFIG, RECIPE, training, training[1:], state=state, callback=stop)
    told = []
    model = train(
        CONFIG, RECIPE, training, training[1:], state=state, callback=lambda epoch, _: told.append(epoch.epoch)
    )
    assert told == [5, 6]
    for mine, other in zip(jax.tree.leaves(model.weights), jax.tree.leaves(trained[0].weights), strict=True):
        np.testing.assert_array_equal(mine, other)
    with pytest.raises(ParseError, match="another training"):
        train(CONFIG, dataclasses.replace(RECIPE, seed=2), training, state=state)
    state.write_bytes(b"nothing")
    with pytest.raises(ParseError, match="no state"):
        train(CONFIG, RECIPE, training, state=state)


def test_padding_and_neighbours_in_a_batch_have_no_effect(training):
    model = NetworkPotential.initial(CONFIG, scale=1.0, reference=0.0, seed=5)
    frames = labelled(training, cutoff=CONFIG.cutoff, species=CONFIG.species)
    assert steps_of(frames, 2) == 3
    together = list(batches(frames, 2))
    assert [int((batch["atoms"] > 0).sum()) for batch in together] == [2, 2, 1]
    for batch, rows in zip(together, (range(2), range(2, 4), range(4, 5)), strict=True):
        energies, forces, strained = predicted(model, batch["graph"])
        for place, row in enumerate(rows):
            (alone,) = batches(frames[row : row + 1], 1)
            energy, force, strain = predicted(model, alone["graph"])
            np.testing.assert_allclose(energies[place], energy[0], atol=1e-10)
            np.testing.assert_allclose(forces[9 * place : 9 * place + 9], force[:9], atol=1e-10)
            np.testing.assert_allclose(strained[place], strain[0], atol=1e-10)
    shuffled = [batch["energy"] for batch in batches(frames, 2, np.random.default_rng(0))]
    assert sorted(np.concatenate(shuffled)) == sorted(np.concatenate([batch["energy"] for batch in together]))


def test_atoms_of_the_training_are_known_and_others_novel(training):
    model = with_novelty(
        NetworkPotential.initial(CONFIG, scale=1.0, reference=0.0, seed=5), training, [trajectory(3, 1)]
    )
    part = training[0]
    crystal = jn.Crystal.create(
        cell=QUARTZ.cell, spacegroup="P 1", species=part.elements,
        xyz=part.positions[0] @ np.linalg.inv(part.lattices[0]),
    )  # fmt: skip
    plan = model.plan(crystal)
    assert np.asarray(model.novelty(crystal, plan)).max() < 0.01  # scalars were remembered in single precision
    squeezed = crystal.replace(cell=np.asarray(crystal.cell) * ([0.85] * 3 + [1] * 3))
    assert np.asarray(model.novelty(squeezed, plan.renewed(squeezed))).min() > 1.0
    with pytest.raises(DataError, match="novelty"):
        with_novelty(model, training, [])


def test_a_file_of_labels_is_read_and_others_are_refused(training, tmp_path):
    part, file = training[0], tmp_path / "a.npz"
    about = {"elements": part.elements, "split": "train"}
    arrays = {"energy": part.energies, "forces": part.forces, "stress": part.stresses}
    xyz = part.positions @ np.linalg.inv(part.lattices)
    np.savez(file, cell=np.tile(np.asarray(QUARTZ.cell), (4, 1)), xyz=xyz, about=json.dumps(about), **arrays)
    again = Frames.read(file)
    assert again.elements == part.elements and again.about == {"split": "train"} and len(again) == 4
    np.testing.assert_allclose(again.positions, part.positions, atol=1e-12)
    np.savez(file, cell=xyz)
    with pytest.raises(ParseError, match="no trajectory with labels"):
        Frames.read(file)
    with pytest.raises(ShapeError, match="forces have the shape"):
        dataclasses.replace(part, forces=part.forces[:, :3])
    with pytest.raises(DataError, match="no number"):
        dataclasses.replace(part, energies=part.energies * np.nan)


def test_trainings_that_cannot_be_are_refused(training):
    with pytest.raises(DataError, match="no frames"):
        train(CONFIG, RECIPE, [])
    other = network_config(("O", "Si"), hidden="4x0e", layers=1, cutoff=3.0)
    with pytest.raises(ConventionError, match="another network"):
        train(CONFIG, RECIPE, training, start=NetworkPotential.initial(other, scale=1.0, reference=0.0))
    with pytest.raises(ConventionError, match="learning_rate"):
        Recipe(learning_rate=-1.0)
    with pytest.raises(ConventionError, match="ema"):
        Recipe(ema=1.0)
    with pytest.raises(ConvergenceError, match="no number"):
        train(CONFIG, dataclasses.replace(RECIPE, learning_rate=1e30), training)


def test_root_mean_squares_of_the_labels_themselves_are_zero(training):
    """Labels that the potential itself has given."""
    model = NetworkPotential.initial(CONFIG, scale=0.3, reference=[-3.0, -7.0], seed=8)
    frames = labelled(training, cutoff=CONFIG.cutoff, species=CONFIG.species)
    own = []
    for frame in frames:
        (batch,) = batches([frame], 1)
        energies, forces, strained = (np.asarray(part, dtype=float) for part in predicted(model, batch["graph"]))
        nodes = frame.graph.nodes | {"forces": forces[:9]}
        volume = abs(np.linalg.det(frame.graph.globals["lattice"][0]))
        own.append(dataclasses.replace(
            frame, graph=frame.graph._replace(nodes=nodes), energy=energies[0], stress=strained[0] / volume
        ))  # fmt: skip
    assert max(root_mean_squares(model, own, 2)) < 0.01
