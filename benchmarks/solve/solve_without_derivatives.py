"""The crystals of `solve_crystals.py` by the same search, in which nothing is minimised: annealing in place of least squares.

    JAXNMR_DATA=/path/to/data python benchmarks/solve/solve_without_derivatives.py development --log annealed.jsonl

What it is for: to see what exact derivatives are worth. Assignments, the order of their prior, hops, tournaments and the cost are
those of `jn.solve.structure`; every minimisation is replaced by a simulated annealing of the same cost (a site or all of them displaced
at random, a site put anywhere, the displacement changed; accepted by N. Metropolis et al., J. Chem. Phys. 21, 1087 (1953)). It is judged twice:
after as many evaluations of the cost as structure solution took of the same entry with the same seed, places that sites were tried at
included, and after as much processor time (the translation of its own program is not counted). In both, the finalists are minimised
with derivatives, as there. Entries come in the order of `solve_with_fox.py`.
"""

import argparse
import json
import math
import random
import time
import warnings
from collections import defaultdict
from functools import partial
from pathlib import Path
from unittest.mock import patch

import gemmi
import jax
import jax.numpy as jnp
import numpy as np
from solve_crystals import HERE, _rows, heavy, interval, load
from solve_with_fox import _ORDER_SEED

import jaxnmr as jn
from jaxnmr.crystal import Crystal
from jaxnmr.solve.direct import scan, search
from jaxnmr.solve.direct.assignments import Assignments
from jaxnmr.solve.direct.candidates import Candidate
from jaxnmr.solve.direct.contents import indistinguishable
from jaxnmr.solve.direct.equivalence import SAME, atoms_of, displacement
from jaxnmr.solve.direct.kernel import _PRIOR_B, Measured, Model, intensities, overlaps
from jaxnmr.solve.direct.problem import Problem, make_problem
from jaxnmr.solve.direct.structure import _finalists
from jaxnmr.typing import Array

# chains in one call, as in the search
_TOGETHER = 32
# R² at which annealing starts and ends
_HOT, _COLD = 3e-3, 1e-4
# Å, the shortest and longest displacement, and Å² of the displacement parameter
_SHORTEST, _LONGEST, _STEP_B = 0.02, 1.0, 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("list", choices=("development", "second"))
    parser.add_argument("--entries", nargs="*", help="only these")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=100.0, help="of processor time for structure solution")
    parser.add_argument("--steps", type=int, default=150, help="of every annealing")
    parser.add_argument("--total", type=float, default=math.inf, help="seconds after which no further entry begins")
    parser.add_argument("--log", type=Path, default=Path("annealed.jsonl"))
    parser.add_argument("--summary", action="store_true")
    chosen = parser.parse_args()
    if not chosen.summary:
        names = list(json.loads((HERE / "lists.json").read_text(encoding="utf-8"))[chosen.list])
        random.Random(_ORDER_SEED).shuffle(names)
        done = {(row["list"], row["name"], row["seed"], row["steps"]) for row in _rows(chosen.log)}
        start = time.monotonic()
        for name in chosen.entries or names:
            crystal = heavy(load(name))
            key = (chosen.list, name, chosen.seed, chosen.steps)
            if crystal is None or key in done or time.monotonic() - start > chosen.total:
                continue
            row = dict(zip(("list", "name", "seed", "steps"), key, strict=True)) | attempt(crystal, chosen)
            with open(chosen.log, "a", encoding="utf-8") as log:
                log.write(json.dumps(row) + "\n")
            print({k: v for k, v in row.items() if k != "list"}, flush=True)
    summary([row for row in _rows(chosen.log) if row["list"] == chosen.list])


def attempt(crystal: Crystal, chosen: argparse.Namespace) -> dict:
    """Solve a crystal with derivatives, then without them."""
    contents: dict[str, int] = {}
    for species, site in zip(crystal.species, crystal.sites(), strict=True):
        contents[species] = contents.get(species, 0) + site.multiplicity
    same = {b: a for a, b in indistinguishable(tuple(contents))}
    true = atoms_of(crystal, same)

    def right(found: Crystal) -> bool:
        distance = displacement(atoms_of(found, same), true)
        return distance is not None and distance / true.spacing <= SAME

    areas = jn.solve.simulated_intensities(crystal, seed=chosen.seed)
    before, places = time.process_time(), _Places()
    with patch.object(scan.Scan, "place", places.counted):
        found = jn.solve.structure(areas, contents, contents=contents, seed=chosen.seed, seconds=chosen.seconds)
    seconds = time.process_time() - before
    evaluations = found.hops * (search._STEPS + 1) + places.number
    row = {
        "sites": len(crystal.species), "right": right(found.best.crystal), "cpu": round(seconds, 1),
        "evaluations": evaluations, "hops": found.hops,
    }  # fmt: skip

    order = sorted(contents, key=lambda e: -gemmi.Element(e).atomic_number)
    assignments = Assignments(areas.group, areas.cell, {e: contents[e] for e in order})
    problem = make_problem(areas, assignments.positions, assignments.elements)
    state, places = search.Search(problem, assignments, chosen.seed), _Places()
    budget = _Budget(chosen.steps, chosen.seed, places)
    with patch.object(scan.Scan, "place", places.counted), patch.object(search, "minimised", budget.annealed):
        for of, most in (("evaluations", evaluations), ("seconds", seconds)):
            budget.until(of, most)
            state.run(math.inf, 5000)
            spent = budget.spent()
            first = _finalists(state)[0]
            row[f"right with equal {of}"] = right(first.crystal)
            row[f"spent with equal {of}"] = [round(spent, 1), budget.evaluations(), round(first.r_factor, 3)]
            # the finalists are not counted
            budget.begun = time.process_time() - spent
    return row


class _Places:
    """Counts the places that sites are tried at."""

    def __init__(self) -> None:
        self.number = 0
        original = scan.Scan.place

        def counted(of: scan.Scan, candidate: Candidate, u: np.ndarray, site: int) -> np.ndarray:
            self.number += scan._PLACES
            return original(of, candidate, u, site)

        self.counted = counted


class _Budget:
    """Annealings in place of minimisations, until a number of evaluations or seconds is used up."""

    def __init__(self, steps: int, seed: int, places: _Places):
        self.begun = time.process_time()
        self._steps, self._places, self._made, self._key = steps, places, 0, jax.random.key(seed)
        self._limit, self._translated = ("evaluations", math.inf), set()

    def until(self, of: str, most: float) -> None:
        self._limit = (of, most)

    def spent(self) -> float:
        return time.process_time() - self.begun

    def evaluations(self) -> int:
        return self._made + self._places.number

    def annealed(
        self,
        problem: Problem,
        device: Measured,
        candidates: list[Candidate],
        starts: list[np.ndarray],
        bump: float,
        steps: int,
    ) -> list[tuple[np.ndarray, float, float]]:
        """As `jaxnmr.solve.direct.candidates.minimised`; an interruption ends the search when the budget is used up."""
        (of, most), steps = self._limit, self._steps
        if of == "evaluations":
            # the first turn is shorter where the budget is small
            steps = min(steps, int(most) // len(starts) - 1) if self._made == 0 else steps
            over = self.evaluations() + len(starts) * (steps + 1) > most and self._made > 0
        else:
            over = self.spent() >= most
        if over:
            raise KeyboardInterrupt
        found: list = [None] * len(starts)
        families: dict[tuple[int, int, int], list[int]] = defaultdict(list)
        for k, candidate in enumerate(candidates):
            families[candidate.shape].append(k)
        for shape, members in families.items():
            for first in range(0, len(members), _TOGETHER):
                batch = members[first : first + _TOGETHER]
                rows = np.resize(batch, _TOGETHER)
                models = Model(*(np.stack(arrays) for arrays in zip(*(candidates[k].model for k in rows), strict=True)))
                u, periods = np.zeros((2, _TOGETHER, shape[2] + 1), dtype=np.float32)
                owner, free = np.full(u.shape, -1, dtype=np.int32), np.ones(_TOGETHER, dtype=np.int32)
                for row, k in enumerate(rows):
                    dof = candidates[k].dof
                    u[row, :dof], u[row, -1], periods[row, :dof] = starts[k][:-1], starts[k][-1], candidates[k].periods
                    movable = [columns for columns in candidates[k].columns if columns.stop > columns.start]
                    for site, columns in enumerate(movable):
                        owner[row, columns] = site
                    free[row] = max(len(movable), 1)
                self._key, key = jax.random.split(self._key)
                arguments = (
                    device,
                    models,
                    u,
                    owner,
                    periods,
                    free,
                    jax.random.split(key, _TOGETHER),
                    np.float32(bump),
                )
                if shape not in self._translated:
                    before = time.process_time()
                    jax.block_until_ready(_annealed(*arguments, 1, problem.centric))
                    self._translated.add(shape)
                    self.begun += time.process_time() - before
                best, costs, agreements = map(np.asarray, _annealed(*arguments, steps, problem.centric))
                self._made += len(batch) * (steps + 1)
                for row, k in enumerate(batch):
                    numbers = np.append(best[row, : candidates[k].dof], best[row, -1]).astype(float)
                    found[k] = numbers, float(costs[row]), float(agreements[row])
        return found


@partial(jax.jit, static_argnames=("centric",))
def _annealed(
    measured: Measured, models: Model, starts: Array, owners: Array, periods: Array, free: Array, keys: Array, bump: Array,
    steps: Array, centric: bool,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """The best numbers of every chain, roots of their costs, and R."""

    def one(
        model: Model, u: Array, owner: Array, period: Array, number: Array, key: Array
    ) -> tuple[Array, Array, Array]:
        factor, p = bump * jnp.sqrt(model.share / 2.0)[:, None], len(u)

        # that of `kernel.improved`; what nobody asks for is not calculated
        def cost(u: Array) -> tuple[Array, Array]:
            value, _ = intensities(measured, model, u, centric)
            area = jax.ops.segment_sum(value, measured.member, len(measured.root), indices_are_sorted=True)
            root = jnp.sqrt(area + 1e-12) * (measured.trust > 0)
            agreement = (root @ measured.root) ** 2 / ((root @ root) * (measured.root @ measured.root) + 1e-30)
            y, observed = root * measured.trust, measured.root * measured.trust
            misfit = 1.0 - (y @ observed) ** 2 / ((y @ y + 1e-30) * (observed @ observed))
            gap = factor * overlaps(measured, model, u)[0]
            return misfit + (gap**2).sum() + (_PRIOR_B * u[-1]) ** 2, jnp.sqrt(jnp.maximum(1.0 - agreement, 0.0))

        def step(k: Array, state: tuple) -> tuple:
            u, here, best, lowest, r = state
            lot, size, site, normal, anywhere, chance = jax.random.split(jax.random.fold_in(key, k), 6)
            kind = jax.random.uniform(lot)
            mine = (owner == jax.random.randint(site, (), 0, number)) | ((kind > 0.7) & (kind < 0.8) & (owner >= 0))
            length = _SHORTEST * (_LONGEST / _SHORTEST) ** jax.random.uniform(size)
            noise = jax.random.normal(normal, (p,))
            moved = jnp.where(mine, u + length * noise, u)
            moved = jnp.where((kind > 0.9) & mine, jax.random.uniform(anywhere, (p,)) * period, moved)
            moved = jnp.where(((kind > 0.8) & (kind < 0.9)), u, moved)
            last = (jnp.arange(p) == p - 1) & (kind > 0.6) & (kind < 0.9)
            moved = jnp.where(last, u + _STEP_B * noise, moved)
            there, agreement = cost(moved)
            temperature = _HOT * (_COLD / _HOT) ** (k / steps)
            taken = (there - here) < -temperature * jnp.log(jax.random.uniform(chance, minval=1e-9))
            u, here = jnp.where(taken, moved, u), jnp.where(taken, there, here)
            better = there < lowest
            return (
                u,
                here,
                jnp.where(better, moved, best),
                jnp.where(better, there, lowest),
                jnp.where(better, agreement, r),
            )

        here, agreement = cost(u)
        _, _, best, lowest, r = jax.lax.fori_loop(0, steps, step, (u, here, u, here, agreement))
        return best, jnp.sqrt(jnp.maximum(lowest, 0.0)), r

    return jax.vmap(one)(models, starts, owners, periods, free, keys)


def summary(rows: list[dict]) -> None:
    if not rows:
        return
    for which in ("right", "right with equal evaluations", "right with equal seconds"):
        right = sum(row[which] for row in rows)
        low, high = interval(right, len(rows))
        missed = [row["name"] for row in rows if not row[which]]
        print(
            f"{which}: {right} of {len(rows)} ({right / len(rows):.0%}, 95 % interval {low:.0%} to {high:.0%}); missed: {missed}"
        )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
