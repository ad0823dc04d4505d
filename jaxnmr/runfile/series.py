"""Series: one run file refined with many data files in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .._record import telling_name
from ..errors import ConventionError, DataError, JaxnmrError, ParseError
from ..terms import PatternTerm
from .models import by_phase
from .run import HistogramSpec, Run
from .setup import Setup, _crystal, _experiment, _model, _pattern, _place, build
from .spectrum import SpectrumSpec
from .spectrum import term as spectrum_term
from .table import nearest

Data = HistogramSpec | SpectrumSpec


def named_files(files: Sequence[str | Path]) -> dict[str, Path]:
    """Return files by name, or by full path if names repeat.

    Raises:
        ConventionError: there are no files, or one is given twice.
        ParseError: a file does not exist.
    """
    paths = [Path(file) for file in files]
    if not paths:
        raise ConventionError("no files were given; a series needs at least one")
    gone = [path for path in paths if not path.exists()]
    if gone:
        why = "nothing matches this pattern" if any(mark in str(gone[0]) for mark in "*?[") else "no such file"
        more = f" ({len(gone)} files are not there)" if len(gone) > 1 else ""
        raise ParseError(gone[0], None, f"{why}{more}; nothing was refined")
    places = [path.resolve() for path in paths]
    for path, place in zip(paths, places, strict=True):
        if places.count(place) > 1:
            raise ConventionError(f"{path} was given twice; give every file of a series once")
    names = [telling_name(path) for path in paths]
    return {name if names.count(name) == 1 else str(path): path for name, path in zip(names, paths, strict=True)}


def series_of(
    run: Run, files: Mapping[str, Path], data: str | None = None, *, different: bool = False
) -> Callable[[str], Setup]:
    """Return a function from the name of a file to its refinement; all files are read and checked for consistency now.

    Args:
        run: provides structures, start, stages and solver of all rows.
        files: data files by name.
        data: name of the ``[[histogram]]`` or ``[[spectrum]]`` whose file they replace; not needed if there is only
            one.
        different: allow files with points other than those of the first, for which further programs are compiled.

    Raises:
        ParseError: there is no such table, ``data`` is missing with several tables, or weights are to be found by
            refining.
        DataError: files are inconsistent: other points, another wavelength, nucleus or field.
    """
    spec = _replaced(run, data)
    if run.solver["weights"] is not None or isinstance(spec.weight, str):
        raise ParseError(
            run.path,
            None,
            'a series refines with the uncertainties that data state: leave weights, and weight = "residuals", out',
        )
    names = list(files)
    with_file = lambda name: replace(spec, file=files[name])
    setup = build(_with(run, with_file(names[0])))
    own: dict[str, Setup] = {}
    terms: dict[str, Any] = {}
    read = _reader(run)
    (first,) = (term for term in setup.objective.terms if term.name == spec.name)
    for name in names[1:]:
        try:
            with _place(run, _where(spec)):
                term = read(with_file(name))
            terms[name] = first.measuring(term)
        except DataError as err:
            if not different:
                raise DataError(
                    f"{err}; --different-axes refines them all the same, compiling anew for each kind"
                ) from None
            own[name] = build(_with(run, with_file(name)))
        except ParseError as err:
            raise _naming(err, files[name]) from None
    terms[names[0]] = first

    def make(name: str) -> Setup:
        if name in own:
            return own[name]
        exchanged = (terms[name] if term.name == spec.name else term for term in setup.objective.terms)
        return setup._replace(objective=setup.objective.replace(terms=tuple(exchanged)))

    return make


def _replaced(run: Run, data: str | None) -> Data:
    """Return the table whose file is replaced."""
    found: list[Data] = [*run.histograms, *run.spectra]
    tables = {spec.name: spec for spec in found}
    if not tables:
        raise ParseError(
            run.path, None, "no [[histogram]] or [[spectrum]] whose data the files of a series could replace"
        )
    if data is None and len(tables) > 1:
        raise ParseError(
            run.path, None, f"which data do the files replace? Give --data NAME with one of {', '.join(tables)}"
        )
    chosen = data or next(iter(tables))
    if chosen not in tables:
        raise ParseError(
            run.path, None, f"--data: no [[histogram]] or [[spectrum]] {chosen!r}{nearest(chosen, list(tables))}"
        )
    return tables[chosen]


def _with(run: Run, spec: Data) -> Run:
    """Return the run with the table of the same name replaced."""
    exchanged: Any = lambda specs: tuple(spec if of.name == spec.name else of for of in specs)
    return replace(run, histograms=exchanged(run.histograms), spectra=exchanged(run.spectra))


def _where(spec: Data) -> str:
    return f"[[{'histogram' if isinstance(spec, HistogramSpec) else 'spectrum'}]] {spec.name!r}"


def _reader(run: Run) -> Callable[[Any], Any]:
    """Return a function that makes terms with data of other files; structures and models are read only once."""
    known: list[Any] = []

    def read(spec: Data) -> Any:
        if isinstance(spec, HistogramSpec):
            return PatternTerm(_experiment(spec), _pattern(spec, False), name=spec.name)
        if not known:
            crystals = {phase.name: _crystal(run, phase) for phase in run.phases}
            known.extend(
                [
                    crystals,
                    by_phase(run.models, [_model(run, k, of) for k, of in enumerate(run.models)], tuple(crystals)),
                ]
            )
        whole = spectrum_term(spec, *known)
        return getattr(whole, "terms", (whole,))[0]

    return read


def _naming(err: JaxnmrError, file: Path) -> JaxnmrError:
    """Return the error with the file named, unless it already names it."""
    return err if str(file) in str(err) or file.name in str(err) else ParseError(file, None, str(err))
