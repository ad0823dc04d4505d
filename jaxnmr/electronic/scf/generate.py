"""Training data: many geometries of one molecule, each solved and kept in a file of its own, so that a run goes on where it stopped.

A folder holds ``plan.json`` (what was asked for), ``minimum.npz``, and ``geometries/00000.npz`` and so on; :func:`collect` makes the one
file of them that training reads. Geometry ``k`` depends on the plan, its seed and ``k`` alone, never on those before it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError, JaxnmrError
from .calculation import SCFError, Settings, solve
from .internal import Tree, tree_of
from .packages import pyscf
from .restart import stability
from .sampling import Reference, find_minimum, harmonic, trajectory

ARRAYS = ("xyz", "h", "h0", "s", "e_tot", "eps", "dipole")
# geometries of a trajectory that are kept, and steps between them
_FRAMES, _EVERY = 5, 8
# a drawn geometry that cannot be calculated is drawn again, this often
_TRIES = 5


@dataclass(frozen=True)
class Plan:
    """What data are made of.

    Attributes:
        name: of the molecule.
        numbers: atomic numbers.
        start: geometry in angstrom from which the minimum is searched, as nested tuples.
        sampling: ``"modes"`` (classical harmonic), ``"quantum"`` (quantum harmonic) or ``"md"`` (short trajectories).
        temperatures: the lowest and highest, in kelvin; one is drawn for each geometry or trajectory.
        seed: of everything random.
        stability: every how many geometries the solution is tested for stability; 0 for never.
        settings: of the calculations.
    """

    name: str
    numbers: tuple[int, ...]
    start: tuple[tuple[float, float, float], ...]
    sampling: str = "modes"
    temperatures: tuple[float, float] = (300.0, 1000.0)
    seed: int = 0
    stability: int = 50
    settings: Settings = field(default_factory=Settings)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as they come back from JSON."""
        return json.loads(json.dumps(asdict(self)))


def generate(
    plan: Plan, count: int, folder: Path, callback: Callable[[int, dict[str, Any]], None] | None = None
) -> Path:
    """Make what is missing of the first ``count`` geometries; the folder.

    Args:
        callback: called with the index and what was found, after each new geometry.

    Raises:
        JaxnmrError: the folder holds data of another plan.
        SCFError: five geometries in a row that could not be calculated.
    """
    said = folder / "plan.json"
    wanted = plan.as_dict()
    if said.exists():
        there = json.loads(said.read_text(encoding="utf-8"))
        differing = sorted(key for key in wanted.keys() | there.keys() if wanted.get(key) != there.get(key))
        if differing:
            raise JaxnmrError(
                f"{folder}: holds data of another plan (other {', '.join(differing)}): name another folder"
            )
    (folder / "geometries").mkdir(parents=True, exist_ok=True)
    said.write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")
    reference = minimum_of(plan, folder)
    tree = tree_of(plan.numbers, reference.xyz)
    for index in range(count):
        file = folder / "geometries" / f"{index:05d}.npz"
        if file.exists():
            continue
        began = time.process_time()
        xyz, found = _solved(plan, reference, tree, index, folder)
        found |= {"xyz": xyz, "cpu": np.array(time.process_time() - began)}
        _save(file, found)
        if callback is not None:
            callback(index, found)
    return folder


def minimum_of(plan: Plan, folder: Path) -> Reference:
    """The minimum of a plan's molecule, kept in the folder."""
    file = folder / "minimum.npz"
    if file.exists():
        with np.load(file) as kept:
            return Reference(plan.numbers, kept["xyz"], float(kept["energy"]), kept["hessian"])
    # a coarser grid moves the minimum by less than the thermal displacements by far
    coarse = Settings(
        plan.settings.functional, plan.settings.basis, max(plan.settings.grid - 1, 1), 1e-8, plan.settings.cycles
    )
    found = find_minimum(plan.numbers, np.array(plan.start), coarse)
    _save(file, {"xyz": found.xyz, "energy": np.array(found.energy), "hessian": found.hessian})
    return found


def _solved(
    plan: Plan, reference: Reference, tree: Tree, index: int, folder: Path
) -> tuple[np.ndarray, dict[str, Any]]:
    for attempt in range(_TRIES):
        try:
            xyz, kelvin = _drawn(plan, reference, tree, index, attempt, folder)
            kept, calculation = solve(plan.numbers, xyz, plan.settings)
            tested = bool(plan.stability) and index % plan.stability == 0
            if tested and not stability(calculation):
                raise SCFError("the solution is not stable against rotations of its orbitals")
        except JaxnmrError as err:
            last = err
            continue
        found: dict[str, Any] = {name: np.array(value) for name, value in vars(kept).items()}
        found |= {"temperature": np.array(kelvin), "attempt": np.array(attempt)}
        if tested:
            found["stable"] = np.array(True)
        return xyz, found
    raise SCFError(
        f"geometry {index}: {_TRIES} draws in a row could not be calculated; lower the temperature. The last: {last}"
    )


def _drawn(
    plan: Plan, reference: Reference, tree: Tree, index: int, attempt: int, folder: Path
) -> tuple[np.ndarray, float]:  # fmt: skip
    if plan.sampling != "md":
        rng = np.random.default_rng([plan.seed, index, attempt])
        kelvin = rng.uniform(*plan.temperatures)
        return harmonic(reference, tree, kelvin, rng, quantum=plan.sampling == "quantum"), kelvin
    run, frame = divmod(index, _FRAMES)
    rng = np.random.default_rng([plan.seed, run, attempt])
    kelvin = rng.uniform(*plan.temperatures)
    file = folder / f"trajectory-{run:04d}-{attempt}.npz"
    if not file.exists():
        frames = trajectory(reference, tree, kelvin, rng, plan.settings, geometries=_FRAMES, every=_EVERY)
        _save(file, {"xyz": np.array(frames)})
    with np.load(file) as kept:
        return kept["xyz"][frame], kelvin


def geometries(folder: Path) -> Iterator[tuple[int, Path]]:
    """The indices and files that are there, in order."""
    for file in sorted((folder / "geometries").glob("*.npz")):
        yield int(file.stem), file


def collect(folder: Path, file: Path | None = None) -> Path:
    """Put the geometries of a folder into one file, beside the folder by default.

    Arrays of the file: ``numbers`` (n,), ``index`` (g,), ``xyz`` (g, n, 3) in angstrom, ``h``, ``h0``, ``s`` (g, nao, nao) in hartree,
    ``e_tot`` (g,), ``eps`` (g, nao), ``dipole`` (g, 3) in e bohr, ``temperature`` (g,); ``metadata`` is JSON.

    Raises:
        DataError: nothing there.
    """
    said = folder / "plan.json"
    there = list(geometries(folder))
    if not said.exists() or not there:
        raise DataError(f"{folder}: no geometries; jaxnmr hamiltonian data makes them")
    plan = json.loads(said.read_text(encoding="utf-8"))
    found: dict[str, list[np.ndarray]] = {name: [] for name in (*ARRAYS, "temperature", "commutator", "cpu")}
    for _, path in there:
        with np.load(path) as kept:
            for name, values in found.items():
                values.append(kept[name])
    settings = plan["settings"]
    metadata = {
        "molecule": plan["name"], "basis": settings["basis"], "functional": settings["functional"], "settings": settings,
        "start": "minao", "order": "pyscf, cart=False", "pyscf": pyscf().__version__, "seed": plan["seed"],
        "sampling": plan["sampling"], "temperatures": plan["temperatures"], "units": "hartree, angstrom",
    }  # fmt: skip
    file = file or folder.with_suffix(".npz")
    arrays = {name: np.array(values) for name, values in found.items()}
    _save(
        file,
        {
            "numbers": np.array(plan["numbers"]),
            "index": np.array([k for k, _ in there]),
            "metadata": np.array(json.dumps(metadata)),
            **arrays,
        },
    )
    return file


def _save(file: Path, arrays: dict[str, Any]) -> None:
    """Write a file that is either whole or not there."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    with part.open("wb") as stream:
        np.savez(stream, **arrays)
    part.replace(file)
