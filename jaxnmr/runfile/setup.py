"""Construction of the objects of a refinement from a checked run file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from .._warn import warn
from ..crystal import Crystal, element_of
from ..diffraction import Instrument, Pattern, PowderDiffraction
from ..diffraction.powder import two_theta_points
from ..errors import ConventionError, JaxnmrError, ParseError
from ..io import read_crystal, read_instrument, read_pattern
from ..objective import Objective, Parameters, TermSum
from ..objective.source import plan_sources
from ..refinement import GaussNewton, LevenbergMarquardt, Stage
from ..terms import PatternTerm, PredictedSpectrumTerm, Quantification, SpectrumTerm
from .advice import in_keys
from .background import background_of
from .constraints import constrained
from .couplings import couplings_term
from .echo_term import echo_term, usual_echo_stages
from .energy import energies_by_phase, energy_term
from .existing import require_files
from .models import ModelSpec, by_phase, load_model
from .peaks import peaks_term
from .restraints import restraint_term
from .run import HistogramSpec, PhaseSpec, Run
from .spectrum import SpectrumSpec, sharing
from .spectrum import term as spectrum_term
from .tensors import tensors_term
from .weights import weighted

_SOLVERS = {"levenberg-marquardt": LevenbergMarquardt, "gauss-newton": GaussNewton}


class Setup(NamedTuple):
    """Result of :func:`build`, in the order of the arguments of :func:`jaxnmr.refine`."""

    objective: Any
    parameters: Any
    stages: Any
    solver: Any


def build(run: Run, *, simulation: bool = False, structures: Mapping[str, Crystal] | None = None) -> Setup:
    """Read the files of a run and build the arguments of :func:`jaxnmr.refine`.

    Args:
        run: the checked run file.
        simulation: histograms need no measured pattern.
        structures: structures that replace those of the run file, by phase name.

    Raises:
        JaxnmrError: a file, structure, pattern or parameter name is invalid; the message names the place in the run
            file if known.
    """
    given = dict(structures or {})
    require_files(run, given)
    crystals = {phase.name: given.get(phase.name) or _crystal(run, phase) for phase in run.phases}
    models = by_phase(run.models, [_model(run, k, spec) for k, spec in enumerate(run.models)], tuple(crystals))
    with _place(run, "[[model]]"):
        plan_sources(models or None, crystals)
    terms = [_term(run, histogram, crystals, simulation) for histogram in run.histograms]
    if simulation and not terms:
        raise ParseError(
            run.path, None, "no [[histogram]] to simulate; for a [[spectrum]] use jaxnmr simulate-spectrum"
        )
    with _place(run, "[[spectrum]]"):
        spectra = sharing(run.spectra)
    terms += [] if simulation else [_spectrum(run, spec, crystals, models) for spec in spectra]
    kinds: tuple[tuple[str, Sequence[Any], Callable[..., Any]], ...] = (
        ("peaks", run.peaks, peaks_term),
        ("tensors", run.tensors, tensors_term),
        ("couplings", run.couplings, couplings_term),
        ("echo", run.echoes, echo_term),
    )
    for kind, specs, make in kinds:
        for spec in specs:
            with _place(run, f"[[{kind}]] {spec.name!r}"):
                terms.append(make(spec, crystals, models))
    terms += [_restraint(run, k, crystals) for k in range(len(run.restraints))]
    with _place(run, "[[energy]]"):
        terms += [energy_term(spec) for spec in run.energies]
        sources = energies_by_phase(run.energies, models)
        plan_sources(sources or None, crystals)
    only = next(iter(crystals.values())) if len(crystals) == 1 else None
    total = TermSum()
    for term in terms:
        total = total + term
    objective = _objective(run, total, crystals, sources, simulation)
    parameters = objective.parameters()
    for name, value in run.start.items():
        with _place(run, f"[start] {name!r}"):
            parameters = parameters.set(name, value)
    if run.solver["positive_u"]:
        parameters = parameters.bound("u_iso" if only is not None else "*/u_iso", lower=0.0)
    for name, (low, high) in run.bounds.items():
        with _place(run, f"[bounds] {name!r}"):
            parameters = parameters.bound(name, lower=low, upper=high)
    for spec in () if simulation else spectra:
        if spec.sites_of is not None:
            (term,) = (of for of in objective.terms if of.name == spec.name)
            with _place(run, f"[[spectrum]] {spec.name!r}"):
                parameters = cast(SpectrumTerm, term).sharing(parameters, spec.sites_of)
    tied: dict[str, str] = {}
    for tie in run.ties:
        with _place(run, f"[[tie]] {tie['target']!r}"):
            for label in (parameters.labels[k] for k in parameters.spec.match(tie["target"])):
                if tied.setdefault(label, tie["source"]) != tie["source"]:
                    raise ConventionError(
                        f"{label} is tied to {tied[label]!r} and to {tie['source']!r}; keep one of them"
                    )
            parameters = parameters.tie(tie["target"], tie["source"], factor=tie["factor"], offset=tie["offset"])
    prefix = {phase: objective.phase_prefix(phase) for phase in crystals}
    for k, constraint in enumerate(run.constraints, 1):
        with _place(run, f"[[constraint]] number {k}"):
            parameters = constrained(parameters, constraint, crystals, prefix)
    check = parameters
    for stage in run.stages:
        with _place(run, f"[[stage]] {stage.name!r}"):
            check = check.free(*stage.free).fix(*stage.fix)
    _say_what_stays(run, crystals, check)
    for spec in run.spectra:
        parameters = _leaving_zero(spec.name, parameters, check)
    stages = _stages(run)
    if stages is None and (run.spectra or run.echoes) and not run.histograms:
        stages = _usual_stages(objective, parameters, [spec.name for spec in run.spectra])
        stages += usual_echo_stages(run.echoes)
    return Setup(objective, _off_symmetry(parameters, stages or ()), stages, _solver(run))


def simulate(run: Run, *, counts: float | None = None, seed: int = 0) -> dict[str, Pattern]:
    """Calculate patterns from the starting values of a run.

    Args:
        run: the run; histograms may have a ``range`` instead of a file.
        counts: height of the highest point of every pattern, with Poisson counts drawn; ``None`` for the smooth curve.
        seed: seed of the noise.

    Returns:
        Patterns by histogram name, with ``sigma = sqrt(max(counts, 1))``.
    """
    setup = build(run, simulation=True)
    objective = setup.objective.replan(setup.parameters).objective
    state = objective.state(setup.parameters.values)
    random = np.random.default_rng(seed)
    out = {}
    histograms = {spec.name for spec in run.histograms}
    for term in objective.terms:
        if term.name in histograms:
            y = np.maximum(term.model.curve(state.crystals, state.local(term.name)), 0.0)
            if counts is not None:
                y = random.poisson(y * (counts / y.max())).astype(float)
            out[term.name] = Pattern.create(np.asarray(term.model.x), y, name=term.name)
    return out


@contextmanager
def _place(run: Run, where: str) -> Iterator[None]:
    """Prefix errors with the place in the run file."""
    try:
        yield
    except ParseError:
        raise
    except JaxnmrError as err:
        message = str(err).removeprefix(f"{where.rpartition(' ')[2]}: ")  # terms already name themselves
        raise ParseError(run.path, None, f"{where}: {in_keys(message)}") from err


def _crystal(run: Run, phase: PhaseSpec) -> Crystal:
    with _place(run, f"[[phase]] {phase.name!r}"):
        if phase.inline is not None:
            crystal = Crystal.create(**phase.inline, name=phase.name)
        else:
            crystal = read_crystal(
                cast(Path, phase.file), block=phase.entry, name=phase.name, spacegroup=phase.spacegroup
            )
        if not phase.species:
            return crystal
        unknown = [label for label in phase.species if label not in crystal.labels]
        if unknown:
            raise ConventionError(f"species names {unknown}, but the sites are {list(crystal.labels)}")
        for label, symbol in phase.species.items():
            element_of(symbol, label)
        species = (phase.species.get(label, old) for label, old in zip(crystal.labels, crystal.species, strict=True))
        return crystal.replace(species=tuple(species))


def _say_what_stays(run: Run, crystals: Mapping[str, Crystal], parameters: Parameters) -> None:
    """Warn if displacements of some sites are refined, but others, being of the other kind, are not."""
    for phase, crystal in crystals.items():
        prefix = f"{phase}/" if len(crystals) > 1 else ""
        free = lambda name, prefix=prefix: any(moved.startswith(f"{prefix}{name}[") for moved in parameters.free_names)
        held = [label for label, anisotropic in zip(crystal.labels, crystal.anisotropic, strict=True) if anisotropic]
        if held and free("u_iso") and not free("u_aniso"):
            warn(
                f"{run.path}: u_iso does not move {', '.join(held)} of {phase}, which are anisotropic; free "
                f"{prefix + 'u_aniso'!r}, too, or they keep their displacements",
            )


def _term(run: Run, spec: HistogramSpec, crystals: Mapping[str, Crystal], simulation: bool) -> Any:
    with _place(run, f"[[histogram]] {spec.name!r}"):
        pattern = _pattern(spec, simulation)
        experiment = _experiment(spec)
        phases = tuple(experiment.among(crystals))  # report wrong phase names here
        known = _quantification(run, phases)
        term = PatternTerm(experiment, pattern, name=spec.name, quantification=known)
        known.require(phases, spec.lebail, experiment.measured(pattern)[0])
        return weighted(term, spec.weight, spec.robust)


def _quantification(run: Run, phases: Collection[str]) -> Quantification:
    """Return the quantification for a pattern of these phases; empty for one without the standard."""
    spec = run.quantification
    grains = {phase: of.made for phase, of in spec.particles.items() if phase in phases}
    if spec.standard is not None and spec.standard not in phases:
        return Quantification(particles=grains)
    return Quantification(spec.standard or "", spec.weight_fraction, grains)


# file formats of diffractometers with X-ray tubes
_OF_TUBES = {".xrdml", ".brml", ".ras", ".rasx"}


def _experiment(spec: HistogramSpec) -> PowderDiffraction:
    return PowderDiffraction(
        background=background_of(spec.background, spec.instrument.get("wavelengths")),
        phases=spec.phases,
        march_axis=spec.march_axis,
        stephens=spec.stephens,
        harmonics=spec.harmonics,
        size_axis=spec.size_axis,
        dispersion=spec.dispersion,
        lebail=spec.lebail,
        axial_mode=spec.axial_mode,
        cutoff=spec.cutoff,
    )


def _pattern(spec: HistogramSpec, simulation: bool) -> Pattern:
    known = read_instrument(spec.instrument_file, bank=spec.bank) if spec.instrument_file is not None else None
    if spec.range is not None:
        if not simulation:
            raise ConventionError("range makes a simulation only; give the file of a measured pattern to refine")
        x = two_theta_points(*spec.range)
        pattern = Pattern.create(x, np.ones(len(x)), name=spec.name)
    else:
        # an axis in Q or d is converted to 2theta with the wavelength used in the calculation
        wavelength = spec.instrument.get("wavelengths")
        pattern = read_pattern(
            cast(Path, spec.file), format=spec.format, bank=spec.bank, instrument=known, wavelength=wavelength
        )
    stated = pattern.instrument or known or Instrument(name=spec.name)
    radiation = spec.instrument.get("radiation", stated.radiation)
    if radiation != stated.radiation and (known is not None or (spec.file and spec.file.suffix.lower() in _OF_TUBES)):
        raise ConventionError(
            f"radiation is {radiation!r}, and {stated.name} describes a diffractometer with {stated.radiation!r}: correct it, or "
            "leave it out"
        )
    instrument = stated.replace(**spec.instrument)
    if spec.limits is not None:
        pattern = pattern.limited(*spec.limits)
    if isinstance(spec.zoom, tuple) and not np.any((pattern.x >= spec.zoom[0]) & (pattern.x <= spec.zoom[1])):
        raise ConventionError(
            f"plot.zoom {list(spec.zoom)} lies outside the data, {pattern.x[0]:g} to {pattern.x[-1]:g} degrees"
        )
    notes = pattern.notes
    if {"monochromator_deg", "polarization"} & set(spec.instrument):  # the run file gives what these notes ask for
        notes = tuple(note for note in notes if "monochromator_deg" not in note)
    return pattern.excluding(*spec.excluded).replace(instrument=instrument, notes=notes)


def _objective(run: Run, total: TermSum, crystals: Mapping[str, Crystal], models: Any, simulation: bool) -> Objective:
    with _place(run, "[[restraint]]"):
        try:
            return Objective(total, crystal=crystals, models=models or None)
        except JaxnmrError:
            for spec in run.histograms:
                with _place(run, f"[[histogram]] {spec.name!r}"):
                    _experiment(spec).plan(crystals, like=_pattern(spec, simulation))
            # only parameter names in priors can still be wrong
            raise


def _restraint(run: Run, index: int, crystals: Mapping[str, Crystal]) -> Any:
    with _place(run, f"[[restraint]] number {index + 1}"):
        return restraint_term(run.restraints[index], index + 1, crystals)


def _model(run: Run, index: int, spec: ModelSpec) -> Any:
    with _place(run, f"[[model]] number {index + 1}"):
        return load_model(spec)


def _spectrum(run: Run, spec: SpectrumSpec, crystals: Mapping[str, Crystal], models: Mapping[str, list]) -> Any:
    with _place(run, f"[[spectrum]] {spec.name!r}"):
        return spectrum_term(spec, crystals, models)


def _leaving_zero(name: str, parameters: Parameters, freed: Parameters) -> Parameters:
    """Start refined asymmetries at 0.1 instead of 0, where their derivative vanishes."""
    for full in freed.free_names:
        if full.startswith((f"{name}/eta[", f"{name}/eta_q[")) and parameters[full] == 0:
            parameters = parameters.set(full, 0.1)
    return parameters


def _off_symmetry(parameters: Parameters, stages: Sequence[Stage]) -> Parameters:
    """Shift starting values off symmetric points, so that everything a stage frees can move."""
    freed = parameters
    for stage in stages:
        freed = freed.free(*stage.free).fix(*stage.fix)
    return freed.replace(spec=parameters.spec.changed(notes=freed.spec.notes))


def _usual_stages(objective: Objective, parameters: Parameters, spectra: Collection[str]) -> list[Stage]:
    """Return the default stages of spectra alone, without tied parameters."""
    tied = [tie.target for tie in parameters.spec.ties]
    free: dict[str, tuple[str, ...]] = {}
    for term in objective.terms:
        if term.name in spectra:
            for name, patterns in cast(SpectrumTerm | PredictedSpectrumTerm, term).stages(
                objective.crystals, objective.phase_prefix
            ):
                own = tuple(p for p in patterns if not np.isin(parameters.spec.match(p), tied).all())
                free[name] = tuple(dict.fromkeys(free.get(name, ()) + own))
    return [Stage(name=name, free=patterns) for name, patterns in free.items() if patterns]


def _stages(run: Run) -> list[Stage] | None:
    if not run.stages:
        return None
    stages = []
    for spec in run.stages:
        steps = {} if spec.max_steps is None else {"max_steps": spec.max_steps}
        stages.append(Stage(free=spec.free, fix=spec.fix, name=spec.name, **steps))
    return stages


def _solver(run: Run) -> Any:
    options = {key: run.solver[key] for key in ("max_steps", "tolerance") if run.solver[key] is not None}
    return _SOLVERS[run.solver["kind"]](**options)
