"""CIF items of the whole refinement: software, data, parameters, agreement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..._words import counted

if TYPE_CHECKING:
    from ...io.cif_blocks import CifBlock
    from ...refinement.result import RefinementResult

_ESDS = (
    "Standard uncertainties are those of the refined parameters, from the full covariance matrix with exact derivatives; those of "
    "every pattern and spectrum are multiplied by its goodness of fit. Uncertainties of distances and angles follow from the "
    "covariances of cell and coordinates."
)


def add_refinement(block: CifBlock, fit: RefinementResult, record: dict[str, Any], *, ties: int) -> None:
    """Add the items common to all phases and patterns."""
    version = record["versions"]["jaxnmr"]
    program = f"jaxnmr {version}" if version[:1].isdigit() else "jaxnmr"
    block.items(
        {
            "_audit_creation_date": record["created"][:10],
            "_audit_creation_method": program,
            "_publ_section_title": None,
            "_publ_contact_author_name": None,
            "_publ_contact_author_email": None,
            "_computing_data_collection": None,
            "_computing_structure_solution": None,
            "_computing_structure_refinement": program,
            "_computing_publication_material": program,
            "_refine_special_details": _terms(fit, record["title"]),
            "_refine_ls_structure_factor_coef": "Inet" if fit.patterns else ".",
            "_refine_ls_matrix_type": "full",
            "_refine_ls_weighting_scheme": "sigma",
            "_refine_ls_weighting_details": "w = 1/σ², σ the standard uncertainty of the point" + _weights(fit),
            "_refine_ls_extinction_method": "none",
            "_refine_ls_number_parameters": fit.parameters.n_free,
            "_refine_ls_number_restraints": fit.n_restraints,
            "_refine_ls_number_constraints": ties,
            "_refine_ls_number_reflns": sum(len(r.d) for of in fit.patterns.values() for r in of.reflections.values()),
            "_refine_ls_goodness_of_fit_all": f"{goodness(fit):.4f}",
            "_refine_ls_shift/su_max": f"{last_shift(fit):.3f}",
            "_refine_ls_hydrogen_treatment": "undef",
            "_geom_special_details": _ESDS,
        }
    )


def goodness(fit: RefinementResult) -> float:
    """Return the goodness of fit: that of a single pattern; otherwise from chi² and degrees of freedom of all terms."""
    if len(fit.patterns) == 1 and len(fit.evidence) == 1:
        (s,) = fit.statistics.values()
        return float(getattr(s, "gof", np.nan))
    total = sum(s.weight * s.chi2 for s in fit.statistics.values())
    rows = sum(s.n_observations for s in fit.statistics.values())
    return float(np.sqrt(total / max(rows - fit.parameters.n_free, 1)))


def last_shift(fit: RefinementResult) -> float:
    """Return the largest shift over standard uncertainty of the last accepted step."""
    return next((step.shift_over_esd for step in reversed(fit.steps) if step.accepted), 0.0)


def _weights(fit: RefinementResult) -> str:
    odd = [f"{name} {s.weight:.4g}" for name, s in fit.statistics.items() if s.weight != 1.0]
    return f"; times {', '.join(odd)}" if odd else ""


def _terms(fit: RefinementResult, title: str) -> str:
    """List the terms of the refinement, one per line."""
    lines = [f"{title}: least-squares refinement of one structural model against all of the following."]
    for name, shown in fit.evidence.items():
        s = fit.statistics[name]
        what = "measured" if s.measured else "restraint or prior"
        n = counted(s.n_observations, "value")
        factor = getattr(s, "factor", "")
        agreement = f", {factor} {s.factors[factor]:.3f} %" if factor in s.factors else ""
        lines.append(f"{name} ({shown.what}, {what}): {n}, chi^2^ {s.chi2:.6g}{agreement}")
        if shown.kind != "histogram":
            lines += [f"    {what}: {value}" for what, value in shown.conditions if "{" not in value]
    if not fit.converged:
        lines.append(f"The refinement did not converge ({fit.status}): {fit.message}")
    lines += [f"Warning: {sentence}" for sentence in (*fit.warnings, *fit.null_directions)]
    return "\n".join(lines)
