"""Which order of aluminium and silicon a cell of gehlenite has: what field gradients tell and X-rays do not.

    JAXNMR_DATA=/path/to/data python benchmarks/solve/gehlenite_orders.py [--orders 60] [--cells 2] --log orders.jsonl

Cells of 288 atoms (Ca48 Al48 Si24 O168) that the shipped model `gehlenite-efg` was neither trained nor calibrated on. For each the 48 pairs
(|C_Q|, eta) of 27Al by DFT stand for a measurement that does not say which site is which. Orders of the same skeleton: the true one, those that
differ by one, two, four and eight exchanges of an Al and a Si, and random ones. The model predicts the pairs of each, pairs are matched as
well as they go, and chi² with the uncertainties that the model states ranks the orders. Three geometries: ``known`` has all atoms where DFT
has them (relaxed in the true order, which favours it), ``average`` has the skeleton that is the mean of all training cells, which X-rays
would show, and ``expected`` this skeleton with shifts that are linear in which tetrahedra around an atom hold Si, learnt from the training
cells: what a relaxation of every order would give, at no cost (what it misses in training cells is added to the uncertainties). Of the orders the R of square
roots of powder areas (Cu, d > 1.4 Å, overlapping ones summed) against the true one is what X-rays have.
"""

import argparse
import json
import os
import time
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import numpy as np
from scipy.optimize import linear_sum_assignment

import jaxnmr as jn
from jaxnmr.diffraction.scattering import scattering_factors
from jaxnmr.models.data.tensor_data import read_magres_folder
from jaxnmr.models.tensors.experiment import structure_mark
from jaxnmr.nmr import quadrupolar_from_efg, quadrupolar_parameters

# small cells along a, b and c
TIMES = np.array([2, 2, 3])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--orders", type=int, default=60)
    parser.add_argument("--cells", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path, default=Path("orders.jsonl"))
    chosen = parser.parse_args()
    jn.enable_x64()
    model = jn.TensorModel.load("gehlenite-efg")
    known = {mark: part for part, marks in model.card.training["structures"].items() for mark in marks}
    data = read_magres_folder(Path(os.environ["JAXNMR_DATA"]) / "gehlenite_efg", "efg")
    marks = [structure_mark(s) for s in data.structures]
    test = [s for s, mark in zip(data.structures, marks, strict=True) if mark not in known]
    training = [s for s, mark in zip(data.structures, marks, strict=True) if known.get(mark) == "train"]
    print(f"{len(test)} cells that the model has not seen: {', '.join(s.name for s in test)}")
    for cell in test[: chosen.cells]:
        for row in ranked(cell, training, model, chosen.orders, chosen.seed):
            with open(chosen.log, "a", encoding="utf-8") as log:
                log.write(json.dumps(row) + "\n")
            print(row, flush=True)


def ranked(cell, training, model, count, seed):
    """What each geometry says of the orders of a cell."""
    crystal = cell.crystal()
    elements = np.array(crystal.elements)
    sites = np.flatnonzero((elements == "Al") | (elements == "Si"))
    orders = sampled(elements, sites, count, np.random.default_rng(seed))
    wanted = pairs_of(cell.tensors["efg"][elements == "Al"])
    skeleton = Skeleton(cell, training)
    mean = skeleton.average(cell)
    more = geometry_error(training[:: len(training) // 3][:3], skeleton, model)
    exact = np.asarray(crystal.xyz, dtype=float)
    for geometry in ("known", "average", "expected"):
        start = time.process_time()
        chi2, powder, off = [], [], []
        for one in orders:
            xyz = {"known": exact, "average": mean}[geometry] if geometry != "expected" else skeleton.shifted(cell, one)
            values, sigma = predicted(model, crystal, xyz, one)
            chi2.append(misfit((values, np.hypot(sigma, more) if geometry == "expected" else sigma), wanted))
            powder.append(areas(xyz, one, np.asarray(cell.lattice)))
            off.append(float(np.sqrt(np.mean(((xyz - exact - np.round(xyz - exact)) @ cell.lattice) ** 2) * 3.0)))
        order = np.argsort(chi2)
        exchanges = np.array([int((one[sites] != elements[sites]).sum() // 2) for one in orders])
        root = np.sqrt(np.array(powder))
        r = np.linalg.norm(root - root[0] * (root @ root[0] / (root[0] @ root[0]))[:, None], axis=1) / np.linalg.norm(
            root[0]
        )
        yield {
            "cell": cell.name, "geometry": geometry, "orders": len(orders), "rank_of_true": int(np.flatnonzero(order == 0)[0]) + 1,
            "chi2_true": round(chi2[0], 1), "chi2_first_wrong": round(min(chi2[1:]), 1),
            "median_by_exchanges": {int(n): round(float(np.median(np.array(chi2)[exchanges == n])), 1) for n in np.unique(exchanges)},
            "better_than_true_by_exchanges": {int(n): int((np.array(chi2)[exchanges == n] < chi2[0]).sum()) for n in np.unique(exchanges)},
            "of": {int(n): int((exchanges == n).sum()) for n in np.unique(exchanges)},
            "powder_r": {int(n): round(float(np.median(r[exchanges == n])), 4) for n in np.unique(exchanges)},
            "sigma_of_geometry": more.round(3).tolist() if geometry == "expected" else None, "atoms_off": round(off[0], 3), "cpu": round(time.process_time() - start, 1),
        }  # fmt: skip


def sampled(elements, sites, count, rng):
    """The true order, and others by the number of exchanges."""
    found = [elements.copy()]
    while len(found) < count:
        size = (1, 1, 1, 2, 4, 8, 24)[len(found) % 7]
        one = elements.copy()
        al, si = (rng.choice(sites[elements[sites] == e], size, replace=False) for e in ("Al", "Si"))
        one[al], one[si] = "Si", "Al"
        if not any((one == other).all() for other in found):
            found.append(one)
    return found


def predicted(model, crystal, xyz, elements):
    """|C_Q| in MHz, eta and their uncertainties of 27Al."""
    one = jn.Crystal.create(cell=crystal.cell, spacegroup="P 1", species=elements.tolist(), xyz=xyz)
    found = model.predict(one)
    al = np.array(one.elements) == "Al"
    values = pairs_of(np.asarray(found.tensors["efg"])[al])
    sigma = np.column_stack([np.asarray(found.sigma("cq", "27Al")) * 1e-6, np.asarray(found.sigma("eta_q", "27Al"))])
    return values, sigma


def pairs_of(tensors):
    """|C_Q| in MHz and eta of 27Al."""
    found = quadrupolar_parameters(quadrupolar_from_efg(tensors, "27Al"))
    return np.column_stack([np.abs(np.asarray(found.cq_hz)) * 1e-6, np.asarray(found.eta)])


def geometry_error(cells, skeleton, model):
    """Root mean square of what expected geometries miss of |C_Q| and eta in training cells, site by site."""
    off = []
    for cell in cells:
        elements = np.array(cell.elements)
        values, _ = predicted(model, cell.crystal(), skeleton.shifted(cell, elements), elements)
        off.append(values - pairs_of(cell.tensors["efg"][elements == "Al"]))
    return np.sqrt(np.mean(np.concatenate(off) ** 2, axis=0))


def misfit(prediction, wanted):
    """chi² for the number of pairs, of the matching that makes it smallest."""
    values, sigma = prediction
    cost = (((values[:, None] - wanted) / sigma[:, None]) ** 2).sum(axis=-1)
    return float(cost[linear_sum_assignment(cost)].sum() / cost.shape[0])


class Skeleton:
    """Places of the small cell, in which aluminium and silicon are one, and how atoms of training cells are shifted from them.

    Shifts are linear in which of the tetrahedra around are Si, by ridge regression: the geometry of any order without its calculation.
    """

    reach, ridge = 6.0, 3.0

    def __init__(self, cell, training):
        self.box = cell.lattice.diagonal() / TIMES
        first, kinds = self._small(cell), self._kinds(cell)
        places: list[int] = []
        for k in range(len(first)):
            near = [
                p for p in places if kinds[p] == kinds[k] and np.linalg.norm(_away(first[k], first[p]) * self.box) < 0.9
            ]
            if not near:
                places.append(k)
        self.kinds, self.places = kinds[places], first[places] % 1.0
        for _ in range(3):
            total, number = np.zeros((len(places), 3)), np.zeros(len(places))
            for s in training:
                place, _, shift = self._located(s)
                np.add.at(total, place, shift)
                np.add.at(number, place, 1.0)
            self.places = self.places + total / number[:, None]
        self.tetrahedral = np.flatnonzero(self.kinds == "T")
        self._around = [self._neighbours(p) for p in range(len(places))]
        # corrections of the places, and slopes by neighbours
        self._slopes = []
        seen = [(*self._located(s), self._silicon(s, np.array(s.elements))) for s in training]
        for p, around in enumerate(self._around):
            x = np.concatenate([self._features(around, copy[place == p], silicon) for place, copy, _, silicon in seen])
            y = np.concatenate([shift[place == p] * self.box for place, _, shift, _ in seen])
            middle = x.mean(axis=0)
            slope = np.linalg.solve((x - middle).T @ (x - middle) + self.ridge * np.eye(x.shape[1]), (x - middle).T @ y)
            self._slopes.append((middle, slope, y.mean(axis=0)))

    def average(self, cell):
        """Fractional coordinates of the atoms of a cell at their places."""
        _, _, shift = self._located(cell)
        return cell.positions @ np.linalg.inv(cell.lattice) - shift / TIMES

    def shifted(self, cell, elements):
        """Those of another order, with the shifts that it is expected to have."""
        place, copy, _ = self._located(cell)
        silicon = self._silicon(cell, elements)
        shift = np.zeros((len(place), 3))
        for p, (middle, slope, mean) in enumerate(self._slopes):
            at = place == p
            shift[at] = (self._features(self._around[p], copy[at], silicon) - middle) @ slope + mean
        return self.average(cell) + shift / self.box / TIMES

    def _small(self, s):
        return s.positions @ np.linalg.inv(s.lattice) * TIMES

    def _kinds(self, s):
        return np.array(["T" if e in ("Al", "Si") else e for e in s.elements])

    def _located(self, s):
        """Place, small cell and shift (in small cells) of every atom."""
        x, kinds = self._small(s), self._kinds(s)
        delta = _away(x[:, None], self.places)
        place = (np.linalg.norm(delta * self.box, axis=-1) + 9.0 * (kinds[:, None] != self.kinds)).argmin(axis=1)
        shift = delta[np.arange(len(x)), place]
        return place, np.rint(x - shift - self.places[place]).astype(int) % TIMES, shift

    def _silicon(self, s, elements):
        """Whether there is Si, ``(places, 2, 2, 3)``."""
        place, copy, _ = self._located(s)
        found = np.zeros((len(self.places), *TIMES))
        found[(place, *copy.T)] = elements == "Si"
        return found

    def _neighbours(self, p):
        cells = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
        found = []
        for t in self.tetrahedral:
            distance = np.linalg.norm((self.places[t] + cells - self.places[p]) * self.box, axis=1)
            found += [(t, cells[k]) for k in np.flatnonzero(distance < self.reach)]
        return found

    def _features(self, around, copies, silicon):
        columns = [silicon[(np.full(len(copies), t), *((copies + shift) % TIMES).T)] for t, shift in around]
        return np.array(columns).reshape(len(around), len(copies)).T


def _away(a, b):
    return a - b - np.round(a - b)


def areas(xyz, elements, lattice, d_min=1.4):
    """Powder areas, those within 0.06 degrees summed."""
    limit = np.floor(np.linalg.norm(lattice, axis=1) / d_min).astype(int)
    hkl = np.stack(np.meshgrid(*[np.arange(-m, m + 1) for m in limit], indexing="ij"), axis=-1).reshape(-1, 3)
    s = np.linalg.norm(hkl @ np.linalg.inv(lattice).T, axis=1)
    keep = (s > 1e-9) & (s <= 1.0 / d_min) & ((hkl @ np.array([10**6, 10**3, 1])) > 0)
    hkl, s = hkl[keep], s[keep]
    order = np.argsort(s)
    hkl, s = hkl[order], s[order]
    names = sorted(set(elements.tolist()))
    f = scattering_factors(tuple(names), "xray", 1.540593)
    total = np.zeros(len(hkl), dtype=complex)
    for k, name in enumerate(names):
        form = (f.a[k] * np.exp(-f.b[k] * s[:, None] ** 2 / 4.0)).sum(axis=1) + f.c[k] + f.f1[k] + 1j * f.f2[k]
        total += form * np.exp(2j * np.pi * (hkl @ xyz[elements == name].T)).sum(axis=1)
    theta = np.arcsin(1.540593 * s / 2.0)
    weight = (1.0 + np.cos(2.0 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta)) * np.exp(-0.7 * s**2 / 2.0)
    members = np.concatenate([[0], np.cumsum(np.diff(np.degrees(2.0 * theta)) > 0.06)])
    return np.bincount(members, weight * np.abs(total) ** 2)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
