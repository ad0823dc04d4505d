"""Screening: many candidate structures, each refined against the same data, ranked (host)."""

from __future__ import annotations

import os
import platform
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np

from .._arguments import checked, shown
from ..crystal import Crystal
from ..errors import ConventionError, ParameterError, PrecisionError
from ..io import read_crystal
from ..io.structures.ase import from_ase
from ..objective import Parameters
from ..refinement.descent import Descent
from ..refinement.result import RefinementResult
from ..refinement.solvers import LevenbergMarquardt, Solver
from ..refinement.stages import Stage
from .batched import Batches, Ending, together
from .criteria import RANKINGS
from .folder import ScreeningFolder, fingerprint
from .ranking import ScreeningResult, ScreeningRow, described, parameter_record, ranked
from .rooms import Rooms

# the name under which every candidate is handed over: terms find their phase by it, so it is part of compiled programs
CANDIDATE = "candidate"
_POLL_SECONDS = 1.0

Make = Callable[[Crystal], Sequence[Any]]


@checked
def screen(
    candidates: Mapping[str, Any] | Iterable[Any],
    make: Make,
    *,
    folder: str | Path | None = None,
    stages: Sequence[Stage] | None = None,
    solver: Solver | None = None,
    rank: str = "bic",
    callback: Callable[[ScreeningRow], None] | None = None,
    keep: int = 1,
    devices: Sequence[jax.Device] | None = None,
    width: int | None = None,
    process_index: int | None = None,
    process_count: int | None = None,
    wait: bool = True,
    settings: str = "",
) -> ScreeningResult:
    """Refine many candidate structures, each with its own objective, and rank them.

    Candidates of equal shapes share compiled programs and are evaluated together, as starts are in
    :func:`jaxnmr.refine_starts`. A candidate that cannot be set up or refined is a row of the table and stops no other.
    With a folder, every finished candidate is kept there (JSON and CIF) under a digest of its data and settings: a call that
    was interrupted goes on where it stopped, and several processes that are given the same candidates share them out.

    Args:
        candidates: crystals, files of structures or ASE ``Atoms``, in any mixture, or a mapping from names to them.
        make: of a crystal (whose name is always ``"candidate"``) the objective and its parameters, and stages and solver
            if they are to differ from those below: ``(objective, params)`` up to ``(objective, params, stages, solver)``.
        folder: where results are kept; nothing is kept when not given.
        stages, solver: as of :func:`jaxnmr.refine`.
        rank: ``"bic"``, ``"aic"`` (chi², divided by that per degree of freedom of the best candidate where it is above 1, plus
            ``k ln n`` or ``2 k``), ``"chi2"``, ``"rwp"``, or ``"energy"`` per atom, for candidates of one composition whose objective
            has an `EnergyTerm`. The energy stands in the table whatever decides.
        callback: receives a `ScreeningRow` whenever a candidate is done.
        keep: of so many of the best candidates refined here the full results are kept.
        devices, width: as of :func:`jaxnmr.refine_starts`.
        process_index, process_count: which share is this process's to begin with; those of ``jax.distributed`` by default.
            When done with it, a process takes what the others have not begun.
        wait: for candidates that other processes are still refining.
        settings: enters the digest; change it when ``make`` changed in a way that objective and parameters do not show.

    Raises:
        ConventionError: no candidates, two of the same name, an unknown ranking, several processes without a folder.
        PrecisionError: single precision.
    """
    screening = _Screening(candidates, make, folder, stages, solver, callback, keep, Batches(devices, width), settings)
    if rank not in RANKINGS:
        raise ConventionError(f"rank is {rank!r}; expected one of {', '.join(RANKINGS)}")
    count = jax.process_count() if process_count is None else process_count
    index = jax.process_index() if process_index is None else process_index
    if count > 1 and folder is None:
        raise ConventionError(
            f"{count} processes share candidates out in a folder: give folder=, the same for all of them"
        )
    screening.go(index, count, wait)
    rows, figures = ranked(screening.rows.values(), rank)
    return ScreeningResult(
        rows=rows,
        rank=rank,
        figures=figures,
        fits=screening.fits,
        refined=screening.refined,
        resumed=screening.resumed,
        seconds=time.perf_counter() - screening.began,
        compile_seconds=screening.batches.compile_seconds + screening.compile_seconds,
    )


class _Screening:
    """State of one call."""

    def __init__(self, candidates, make, folder, stages, solver, callback, keep, batches, settings):
        if jax.numpy.zeros(1).dtype != np.float64:
            raise PrecisionError("screening needs double precision: call jaxnmr.enable_x64() before anything else")
        self.began = time.perf_counter()
        self.candidates = _named(candidates)
        self.make, self.stages, self.solver = make, stages, solver or LevenbergMarquardt()
        self.folder = None if folder is None else ScreeningFolder(folder)
        self.callback, self.keep, self.batches, self.settings = callback, keep, batches, settings
        self.rows: dict[str, ScreeningRow] = {}
        self.fits: dict[str, RefinementResult] = {}
        self.refined = self.resumed = 0
        self.compile_seconds = 0.0
        self.places: dict[str, tuple[str, str]] = {}
        self.doubts: dict[str, tuple[str, ...]] = {}
        self.started: list[tuple[str, Parameters]] = []
        self.interrupted, self.rooms = False, Rooms()

    def go(self, index: int, count: int, wait: bool) -> None:
        names = list(self.candidates)
        # one's own share first; what the others have not begun by then is anybody's
        waiting = [n for k, n in enumerate(names) if k % count == index]
        waiting += [n for k, n in enumerate(names) if k % count != index]
        while waiting:
            before, self.started = len(self.rows), []
            for ending in together(self._descents(waiting), self.batches):
                self._end(ending)
            if self.interrupted:
                raise KeyboardInterrupt
            waiting = [n for n in waiting if n not in self.rows]
            if waiting and not wait:
                for name in waiting:
                    self.rows[name] = ScreeningRow(name, "elsewhere", "Another process is refining this candidate.")
                return
            if waiting and len(self.rows) == before:
                time.sleep(_POLL_SECONDS)
        self.rows = {name: self.rows[name] for name in names}

    # -- one candidate -------------------------------------------------------------------------------------------
    def _descents(self, names: list[str]) -> Iterator[Descent]:
        """Refinements of candidates that are neither done nor somebody else's, made when there is room for them."""
        for name in names:
            try:
                if name in self.places and not self._taken(name):
                    continue
                setup: Any = self._setup(name)
                setup += [None] * (4 - len(setup))
                objective, params, stages, solver = setup
                stages, solver = stages or self.stages, solver or self.solver
                if self.folder is not None and name not in self.places:
                    key = fingerprint(objective, params, stages, solver, self.settings)
                    self.places[name] = (key, self.folder.stem(name, key))
                    if not self._taken(name):
                        continue
                descent = Descent(self.rooms.fitted(objective, params), params, solver, stages)
            except Exception as err:
                self._done(self._failed(name, err))
                continue
            self.started.append((name, params))
            yield descent

    def _setup(self, name: str) -> list:
        """What ``make`` gives for a candidate; warnings on the way belong to its row."""
        with warnings.catch_warnings(record=True) as doubts:
            warnings.simplefilter("always", UserWarning)
            crystal = self._crystal(name)
            setup = list(self.make(crystal.replace(name=CANDIDATE)))
        self.doubts[name] = tuple(dict.fromkeys(str(d.message) for d in doubts if issubclass(d.category, UserWarning)))
        return setup

    def _taken(self, name: str) -> bool:
        """Claim a candidate, unless it is done or somebody else's."""
        stem, folder = self.places[name][1], cast(ScreeningFolder, self.folder)
        if self._known(name) or not folder.claim(stem):
            return False
        # it may have been finished between the look and the claim
        if self._known(name):
            folder.release(stem)
            return False
        return True

    def _crystal(self, name: str) -> Crystal:
        given = self.candidates[name]
        if isinstance(given, Crystal):
            return given
        return read_crystal(given) if isinstance(given, str | Path) else from_ase(given)

    def _known(self, name: str) -> bool:
        """Whether a candidate's record is in the folder, and if so taken over."""
        # only what is kept in a folder has a place
        record = cast(ScreeningFolder, self.folder).read(self.places[name][1])
        if record is None:
            return False
        known = {f: record[f] for f in ScreeningRow.__dataclass_fields__ if f in record}
        numbers = {f: float("nan") if known[f] is None else known[f] for f in ("chi2", "gof", "moved", "strain")}
        self.resumed += 1
        self._done(ScreeningRow(**known | numbers | {"name": name, "flags": tuple(known["flags"])}))
        return True

    def _failed(self, name: str, err: Exception) -> ScreeningRow:
        key, stem = self.places.get(name, ("", ""))
        row = ScreeningRow(name, "error", f"{type(err).__name__}: {err}", key=key, file=stem)
        if self.folder is not None:
            row = replace(row, file=stem or self.folder.stem(name, "not-set-up"))
            self.folder.write(row.file, name, asdict(row))
            self.folder.release(row.file)
        return row

    def _end(self, ending: Ending) -> None:
        name, start = self.started[ending.index]
        key, stem = self.places.get(name, ("", ""))
        self.compile_seconds += ending.descent.compile_seconds
        if ending.status == "interrupted":
            self.interrupted = True
            if self.folder is not None:
                self.folder.release(stem)
            return
        if ending.error is not None:
            self._done(self._failed(name, ending.error))
            return
        try:
            fit = ending.descent.result(ending.status, ending.message)
            row = described(name, start, fit)
            row = replace(row, key=key, file=stem, flags=(*self.doubts.get(name, ()), *row.flags))
            if self.folder is not None:
                self.folder.write_structures(stem, name, fit.crystals, fit.esds)
                process = {"host": platform.node(), "process": os.getpid(), "index": jax.process_index()}
                self.folder.write(
                    stem, name, asdict(row) | {"parameters": parameter_record(fit), "refined_by": process}
                )
                self.folder.release(stem)
        except Exception as err:
            self._done(self._failed(name, err))
            return
        self.refined += 1
        self.fits[name] = fit
        self._done(row)
        if len(self.fits) > self.keep:
            of_fits = [self.rows[n] for n in self.fits]
            del self.fits[ranked(of_fits, "bic")[0][-1].name]

    def _done(self, row: ScreeningRow) -> None:
        self.rows[row.name] = row
        if self.callback is not None:
            self.callback(row)


def _named(candidates) -> dict[str, Any]:
    if isinstance(candidates, Mapping):
        named = {str(name): candidate for name, candidate in candidates.items()}
    else:
        named = {}
        for candidate in candidates:
            if isinstance(candidate, Crystal):
                name = candidate.name
            elif isinstance(candidate, str | Path):
                name = Path(candidate).stem
            elif hasattr(candidate, "get_chemical_formula"):
                name = candidate.get_chemical_formula(empirical=True)
            else:
                raise ParameterError(
                    f"one of the candidates is {shown(candidate)}; expected a Crystal, a file or ASE's Atoms, or any of them by name"
                )
            if name in named:
                raise ConventionError(
                    f"two candidates are called {name!r}: give them by name, screen({{'first': ..., 'second': ...}}, ...)"
                )
            named[name] = candidate
    if not named:
        raise ConventionError("no candidates were given")
    return named
