"""Rietveld refinement of a solved structure (host)."""

from collections.abc import Sequence
from typing import cast

from .._arguments import checked
from ..crystal import Crystal
from ..diffraction import Background, Pattern, PowderDiffraction
from ..objective import Objective, ProfileStatistics, Source, Term
from ..refinement import RefinementResult, Stage, refine
from ..refinement.descent import Callback
from ..terms import PatternTerm, Prior
from .checks.preferred_orientation import Texture
from .extraction.records import Extraction

_HISTOGRAM = "xrd"
# Å²: displacements of inorganic and molecular crystals at room temperature, which a poor pattern does not determine
_U, _U_SIGMA = 0.012, 0.01


@checked
def refine_solution(
    crystal: Crystal,
    extraction: Extraction,
    pattern: Pattern,
    *,
    terms: Sequence[Term] = (),
    models: Source | None = None,
    texture: Texture | None = None,
    callback: Callback | None = None,
) -> RefinementResult:
    """Refine a structure against the whole pattern, starting with the cell, background and profile of its Le Bail fit.

    Atoms are refined first, then displacements, finally everything together. Displacements have a wide prior, 0.012(10)
    Å².

    Args:
        crystal: solved structure, in any setting.
        extraction: Le Bail fit of its cell.
        pattern: pattern of the Le Bail fit.
        terms: further knowledge, such as an `EnergyTerm` or `Restraint` terms; ``models`` their models, as of
            `Objective`.
        texture: preferred orientation to refine, in the setting of ``crystal``; as of :func:`jaxnmr.solve.texture_of`.
        callback: receives a `StepInfo` after every step.

    Returns:
        The result, converged or not.
    """
    background = Background.chebyshev(len(extraction.values["background"]))
    march = {} if texture is None else {crystal.name: texture.axis}
    experiment = PowderDiffraction(instrument=extraction.instrument, background=background, march_axis=march)
    histogram = PatternTerm(experiment, pattern, name=_HISTOGRAM)
    total = sum(terms, start=histogram + Prior("u_iso", _U, _U_SIGMA))
    objective = Objective(total, crystal=crystal, models=models)
    parameters = objective.parameters()
    known = {name.split("[")[0] for name in parameters.values}
    for name, value in extraction.values.items():
        if name != "scale" and f"{_HISTOGRAM}/{name}" in known:
            parameters = parameters.set(f"{_HISTOGRAM}/{name}", value)
    stages = _stages(crystal, extraction)
    if texture is not None:
        parameters = parameters.set(f"{_HISTOGRAM}/march[{crystal.name}]", texture.ratio)
        stages[0] = Stage(free=(*stages[0].free, f"{_HISTOGRAM}/march"), name="scale, texture and background")
    return refine(objective, parameters, stages=stages, callback=callback, throw=False)


def _stages(crystal: Crystal, extraction: Extraction) -> list[Stage]:
    """Make the stages; a structure without free coordinates has no stage for them."""
    here = lambda *names: tuple(f"{_HISTOGRAM}/{name}" for name in names)
    shift = "displacement" if extraction.instrument.geometry == "bragg-brentano" else "zero"
    stages = [Stage(free=here("scale", "background"), name="scale and background")]
    if any(site.xyz_basis().shape[1] for site in crystal.sites()):
        stages.append(Stage(free=("xyz",), name="atoms"))
    stages.append(Stage(free=("u_iso",), name="displacements"))
    stages.append(Stage(free=("cell", *here(shift, "size", "strain")), name="cell and profile"))
    stages.append(Stage(free=here("U", "V", "W"), name="instrumental widths"))
    stages.append(Stage(free=here("shl"), name="axial divergence"))
    return stages


@checked
def profile_factor(fit: RefinementResult) -> float:
    """Return Rwp of the pattern, per cent; NaN if there is none."""
    return (
        float(cast(ProfileStatistics, fit.statistics[_HISTOGRAM]).rwp) if _HISTOGRAM in fit.statistics else float("nan")
    )
