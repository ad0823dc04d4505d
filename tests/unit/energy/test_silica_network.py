"""The network potential of silica that comes with the package: numbers of its teacher, its card, its domain."""

import json
from pathlib import Path

import numpy as np
import pytest
from silica_forms import silica

import jaxnmr as jn
from jaxnmr._struct import compiled
from jaxnmr.energy import EnergyModel, shipped_potentials
from jaxnmr.energy.equivariant.files import SHIPPED
from jaxnmr.errors import ConventionError

jn.enable_x64()
ROOT = Path(__file__).resolve().parents[3]
NAME = "silica-r2scan"
# of chgnet-r2scan: eV per atom, eV/Å on the sites, GPa on the diagonal
TEACHER = {
    "quartz": (-9.92991, [[0.1434, 0, 0], [-0.1150, 0.0923, 0.0075]], [-1.970, -1.970, -1.385]),
    "cristobalite": (-9.92890, [[0.0221, 0.0221, 0], [-0.0236, 0.1024, 0.1514]], [-2.791, -2.791, -2.907]),
}


@pytest.fixture(scope="module")
def model():
    return EnergyModel.load(NAME)


@pytest.mark.parametrize("form", TEACHER)
def test_measured_structures_have_the_energies_forces_and_stresses_of_the_teacher(model, form):
    energy, forces, stress = TEACHER[form]
    said = model.predict(silica(form))
    assert said.energy_ev_atom == pytest.approx(energy, abs=0.004)
    np.testing.assert_allclose(said.forces_ev_angstrom, forces, atol=0.08)
    np.testing.assert_allclose(np.diag(said.stress_gpa), stress, atol=0.6)


def test_the_card_says_what_was_measured(model):
    scores = json.loads((ROOT / "benchmarks" / "measured" / "student.json").read_text(encoding="utf-8"))
    card = model.card
    assert card["scores"] == scores["errors"]["student"]
    assert card["teacher"]["name"] == "chgnet-r2scan" and "BSD-3-Clause-LBNL" in card["teacher"]["licence"]
    assert card["temperatures_k"][0] <= 300 and card["temperatures_k"][1] >= 1200
    low, high = card["densities_g_cm3"]
    assert low < 2.2 < high
    assert NAME in shipped_potentials()
    assert (SHIPPED / f"{NAME}.safetensors").stat().st_size < 2_000_000
    # what a student is for
    assert scores["errors"]["student"]["crystals"]["force"] < 80 < scores["errors"]["chik"]["crystals"]["force"]


def test_crystals_that_it_has_not_seen_are_novel_and_other_elements_refused(model):
    of = compiled(lambda model, crystal, plan: model.novelty(crystal, plan))
    novelty = lambda crystal: np.asarray(of(model, crystal, model.plan(crystal)))
    assert novelty(silica("quartz")).max() < 1.0
    # silicon among six
    assert novelty(silica("stishovite")).min() > 1.0
    with pytest.raises(ConventionError, match="never seen"):
        model.plan(silica("quartz").replace(species=("Ge", "O")))
    assert np.isnan(np.asarray(EnergyModel.load("bks").novelty(silica("quartz"), None))).all()
