"""The order of aluminium and silicon in a cell that a shipped model has not seen, by field gradients of aluminium."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

import jaxnmr as jn
from jaxnmr.io import read_magres
from jaxnmr.models.tensors.experiment import structure_mark
from jaxnmr.nmr import quadrupolar_from_efg, quadrupolar_parameters

pytestmark = pytest.mark.real_data


def pairs(tensors):
    found = quadrupolar_parameters(quadrupolar_from_efg(tensors, "27Al"))
    return np.column_stack([np.abs(np.asarray(found.cq_hz)) * 1e-6, np.asarray(found.eta)])


def test_the_order_of_an_unseen_gehlenite_fits_better_than_any_exchange_of_an_aluminium_and_a_silicon(data):
    model = jn.TensorModel.load("gehlenite-efg")
    cell = read_magres(data / "gehlenite_efg" / "low" / "T1Si1e.magres")
    seen = {mark for marks in model.card.training["structures"].values() for mark in marks}
    assert structure_mark(cell) not in seen
    crystal, true = cell.crystal(), np.array(cell.elements)
    wanted, rng = pairs(cell.tensors["efg"][true == "Al"]), np.random.default_rng(1)
    chi2 = []
    for k in range(5):
        elements = true.copy()
        if k:
            elements[rng.choice(np.flatnonzero(true == "Al"))], elements[rng.choice(np.flatnonzero(true == "Si"))] = (
                "Si",
                "Al",
            )
        one = jn.Crystal.create(cell=crystal.cell, spacegroup="P 1", species=elements.tolist(), xyz=crystal.xyz)
        found = model.predict(one)
        sigma = np.column_stack(
            [np.asarray(found.sigma("cq", "27Al")) * 1e-6, np.asarray(found.sigma("eta_q", "27Al"))]
        )
        values = pairs(np.asarray(found.tensors["efg"])[elements == "Al"])
        # which site is which no spectrum says
        cost = (((values[:, None] - wanted) / sigma[:, None]) ** 2).sum(axis=-1)
        chi2.append(cost[linear_sum_assignment(cost)].mean())
    # for two numbers of a site an expectation of 2, less since the best matching is taken
    assert chi2[0] < 2.0 and min(chi2[1:]) > 2.0 * chi2[0]
