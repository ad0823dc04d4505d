"""Self-consistent fields from one start after the other, with what each costs and where it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..._tables import plain
from ...errors import ParameterError
from .calculation import Settings, kohn_sham, molecule
from .counting import Counter
from .packages import without_files
from .starts import Start

SOLVERS = ("DIIS", "Newton")
# energies that lie further (hartree) above the lowest are those of another state
SAME_STATE = 1e-6


@dataclass(frozen=True)
class Trial:
    """One calculation from one start.

    Attributes:
        geometry: number of the geometry.
        start, solver: their names.
        macro: macro-iterations.
        fock: Fock matrices built, those that made the start included.
        response: responses to changes of the density, built by second-order solvers.
        cpu, wall: seconds, those that made the start included.
        converged: whether it did.
        energy: total energy in hartree.
        gap: between the highest occupied and lowest empty orbital, hartree.
        stable: whether it is stable against real rotations of its orbitals; none where it was not tested.
        above: energy above the lowest that was found for this geometry, hartree.
    """

    geometry: int
    start: str
    solver: str
    macro: int
    fock: int
    response: int
    cpu: float
    wall: float
    converged: bool
    energy: float
    gap: float
    stable: bool | None = None
    above: float = 0.0

    @property
    def builds(self) -> int:
        """Fock matrices and responses."""
        return self.fock + self.response

    @property
    def state(self) -> str:
        """``"ground"``, ``"not converged"``, ``"unstable"`` or ``"higher"``, the last two of a wrong state."""
        if not self.converged:
            return "not converged"
        if self.stable is False:
            return "unstable"
        return "higher" if self.above > SAME_STATE else "ground"

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"builds": self.builds, "state": self.state}


def restart(
    numbers: Sequence[int], xyz: np.ndarray, start: Start, *, solver: str = "DIIS", settings: Settings | None = None,
    name: str = "", geometry: int = 0, test_stability: bool = False,
) -> tuple[Trial, Any]:  # fmt: skip
    """Solve from a start and count. A calculation that does not converge is no error here: the trial says so.

    Args:
        numbers: atomic numbers.
        xyz: positions in angstrom.
        solver: ``"DIIS"`` or ``"Newton"`` (second order, augmented Hessian).
        test_stability: analyse the solution's stability, at the cost of some calculations more, which are not counted.

    Returns:
        The trial, and pyscf's calculation.
    """
    if solver not in SOLVERS:
        raise ParameterError(f"solver is {solver!r}; expected one of {', '.join(SOLVERS)}")
    settings = settings or Settings()
    mol = molecule(numbers, xyz, settings)
    field = kohn_sham(mol, settings)
    # grids and two-electron integrals are there before any start, so that no start pays for them
    field.grids.build()
    if field._eri is None and field._is_mem_enough():
        field._eri = mol.intor("int2e", aosym="s8")
    counter, macro = Counter(field), [0]
    cpu, wall = time.process_time(), time.monotonic()
    with without_files():
        # some guesses calculate atoms
        density = start(field)
    running = field.newton() if solver == "Newton" else field
    running.verbose = 0
    running.callback = lambda _: macro.__setitem__(0, macro[0] + 1)
    running.kernel(dm0=density)
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    fock, response = counter.fock, counter.response
    filled = np.asarray(running.mo_occ) > 0
    gap = float(running.mo_energy[~filled].min() - running.mo_energy[filled].max())
    stable = stability(running) if test_stability and running.converged else None
    trial = Trial(
        geometry,
        name,
        solver,
        macro[0],
        fock,
        response,
        cpu,
        wall,
        bool(running.converged),
        float(running.e_tot),
        gap,
        stable,
    )
    return trial, running


def stability(field: Any) -> bool:
    """Whether a converged calculation is a minimum against real rotations of its orbitals."""
    _, _, internal, _ = field.stability(internal=True, external=False, return_status=True, verbose=0)
    return bool(internal)


@dataclass(frozen=True)
class Comparison:
    """Trials of the same geometries from several starts.

    Attributes:
        trials: all of them.
        baseline: the start that others are compared with.
    """

    trials: tuple[Trial, ...]
    baseline: str = "minao"

    def of(self, start: str, solver: str) -> list[Trial]:
        """The trials of one start and solver."""
        return [trial for trial in self.trials if (trial.start, trial.solver) == (start, solver)]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Solvers and starts, in the order of the table."""
        return list(
            dict.fromkeys(
                (solver, trial.start) for solver in SOLVERS for trial in self.trials if trial.solver == solver
            )
        )

    def rows(self) -> list[dict[str, Any]]:
        """Means for each start and solver, and changes in percent against the baseline of the same geometries."""
        found = []
        for solver, start in self.pairs:
            mine = self.of(start, solver)
            base = {trial.geometry: trial for trial in self.of(self.baseline, solver)}
            both = [(trial, base[trial.geometry]) for trial in mine if trial.geometry in base]
            row: dict[str, Any] = {"solver": solver, "start": start, "geometries": len(mine)}
            for what in ("macro", "fock", "response", "builds", "cpu", "wall"):
                row[what] = float(np.mean([getattr(trial, what) for trial in mine]))
                if both and what != "response":
                    ours, theirs = (sum(getattr(pair[k], what) for pair in both) for k in (0, 1))
                    row[f"{what}_percent"] = 100.0 * (ours / theirs - 1)
            right = [trial for trial in mine if trial.state == "ground"]
            row["ground"] = len(right)
            row["largest_above"] = max((trial.above for trial in right), default=None)
            found.append(row)
        return found

    def doubts(self) -> list[str]:
        """What went wrong, one line per trial that did not end in the ground state."""
        words = {
            "not converged": "did not converge",
            "unstable": "ended in a state that is not stable against rotations of its orbitals",
            "higher": "ended in a higher state",
        }
        return [
            f"geometry {trial.geometry}, {trial.solver} from {trial.start}: {words[trial.state]}"
            + (
                f", {trial.above:.2e} hartree above the lowest found"
                if trial.converged
                else f" in {trial.macro} macro-iterations"
            )
            for trial in self.trials
            if trial.state != "ground"
        ]

    def cells(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """The header of a table, and its rows."""
        header = (
            "solver", "start", "geometries", "macro", "%", "Fock", "response", "builds", "%", "CPU s", "%", "wall s", "ground", "max ΔE / Eh",
        )  # fmt: skip
        body: list[tuple[str, ...]] = []
        for row in self.rows():
            percent = lambda what, row=row: f"{row[f'{what}_percent']:+.0f}" if f"{what}_percent" in row else "-"
            above = "-" if row["largest_above"] is None else f"{row['largest_above']:.0e}"
            body.append((
                row["solver"], row["start"], str(row["geometries"]), f"{row['macro']:.2f}", percent("macro"), f"{row['fock']:.2f}",
                f"{row['response']:.2f}", f"{row['builds']:.2f}", percent("builds"), f"{row['cpu']:.2f}", percent("cpu"),
                f"{row['wall']:.2f}", f"{row['ground']}/{row['geometries']}", above,
            ))  # fmt: skip
        return header, body

    def table(self) -> str:
        """The table as plain text, and a line for every trial that went wrong."""
        return "\n".join([plain(*self.cells()), *self.doubts()])

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "baseline": self.baseline, "rows": self.rows(), "doubts": self.doubts(), "trials": [t.as_dict() for t in self.trials],
        }  # fmt: skip


def compare(
    numbers: Sequence[int], xyz: Iterable[np.ndarray], starts: Mapping[str, Start], *, solvers: Sequence[str] = SOLVERS,
    settings: Settings | None = None, energies: Sequence[float] | np.ndarray | None = None, stability_every: int = 0,
    callback: Callable[[Trial], None] | None = None, baseline: str = "minao",
) -> Comparison:  # fmt: skip
    """Solve geometries from each start by each solver.

    Args:
        numbers: atomic numbers.
        xyz: geometries in angstrom.
        starts: by name; what they build is counted.
        energies: what is known already of the energies of these geometries by the same settings.
        stability_every: every how many geometries all solutions are tested for stability; 0 tests only those that lie higher than
            the lowest.
        callback: called with each trial.

    Returns:
        All trials; of a comparison that is interrupted (``KeyboardInterrupt``), those of the geometries that are done, if there are any.
    """
    found: list[Trial] = []
    try:
        for index, position in enumerate(xyz):
            mine: list[tuple[Trial, Any]] = []
            for solver in solvers:
                for name, start in starts.items():
                    trial, field = restart(
                        numbers, position, start, solver=solver, settings=settings, name=name, geometry=index,
                        test_stability=bool(stability_every) and index % stability_every == 0,
                    )  # fmt: skip
                    mine.append((trial, field))
                    if callback is not None:
                        callback(trial)
            found += _judged(mine, None if energies is None else float(energies[index]))
    except KeyboardInterrupt:
        if not found:
            raise
    return Comparison(tuple(found), baseline)


def _judged(mine: Sequence[tuple[Trial, Any]], known: float | None) -> list[Trial]:
    """Trials of one geometry with their energies above the lowest, those that lie higher tested for stability."""
    reached = [trial.energy for trial, _ in mine if trial.converged]
    lowest = min([*reached, *([] if known is None else [known])], default=np.nan)
    found = []
    for trial, field in mine:
        values = asdict(trial) | {"above": trial.energy - lowest}
        if trial.converged and trial.stable is None and values["above"] > SAME_STATE:
            values["stable"] = stability(field)
        found.append(Trial(**values))
    return found
