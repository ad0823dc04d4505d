"""The model of ethanol that comes with the package, against a calculation by pyscf that it has not seen."""

import json
from pathlib import Path

import numpy as np
import pytest

from jaxnmr.electronic import HamiltonianModel, Orbitals, electronic_structure, shipped_hamiltonians
from jaxnmr.electronic.scf.internal import tree_of
from jaxnmr.electronic.scf.molecules import known
from jaxnmr.errors import ConventionError

REFERENCE = json.loads(
    (Path(__file__).resolve().parents[2] / "reference" / "ethanol_start.json").read_text(encoding="utf-8")
)
EV = 27.211386245988


@pytest.fixture(scope="module")
def model():
    return HamiltonianModel.load("ethanol-pbe-def2svp")


def test_its_card_says_how_it_was_made_and_how_good_it_is(model):
    assert shipped_hamiltonians() == ("ethanol-pbe-def2svp",)
    assert {"script", "data", "licence of the data", "seed", "scores"} <= set(model.card)
    scores = model.card["scores"]
    regressions = [of for name, of in scores.items() if name.startswith("ridge")]
    assert len(regressions) >= 2
    assert scores["network"]["h_mae"] < min(of["h_mae"] for of in regressions)
    with pytest.raises(ConventionError, match="there are ethanol-pbe-def2svp"):
        HamiltonianModel.load("water")


def test_from_one_fock_build_it_comes_to_the_orbitals_and_the_dipole_of_pyscf(model):
    rows = REFERENCE["start"]
    start = np.zeros((len(rows), len(rows)))
    for k, row in enumerate(rows):
        start[k, : k + 1] = start[: k + 1, k] = row
    atoms, xyz, orbitals = REFERENCE["atoms"], np.array(REFERENCE["xyz"]), Orbitals.of(REFERENCE["atoms"])
    # on this geometry pyscf's grids are finer than those of the training
    h = model.hamiltonian(atoms, xyz, start, basis="def2-SVP", functional="PBE")
    found, begun = (electronic_structure(orbitals, of, xyz) for of in (h, start))
    error = lambda of: 1e3 * EV * np.abs(of.energies[:13] - np.array(REFERENCE["occupied"]))
    assert error(found).max() < 30.0 < 0.05 * error(begun).mean()
    apart = lambda of: np.abs(of.dipole - np.array(REFERENCE["dipole"])).max()
    assert apart(found) < 0.03 < 0.3 * apart(begun)


def test_a_hydroxyl_group_that_is_turned_to_cis_is_outside_the_training(model):
    """Nearest atoms hardly change there: of their novelty alone the geometry would pass."""
    numbers, trans = known("ethanol")
    tree = tree_of(numbers, trans)
    coordinates = [(atom, k) for atom, refs in zip(tree.order, tree.references, strict=True) for k in range(len(refs))]
    turn = coordinates.index((3, 2))
    shapes = []
    for angle in (0.0, 60.0, 130.0, 180.0):
        q = tree.measure(trans)
        q[turn] += np.radians(angle)
        shapes.append(tree.place(q))
    found = model.beyond(numbers, np.array(shapes))
    assert found[:2].max() < 1.0 < found[2] < 3.0 < found[3]
