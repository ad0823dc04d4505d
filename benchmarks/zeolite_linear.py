"""What the zeolite data promise: covariances at the truth, without a refinement.

``python benchmarks/zeolite_refinement.py --linear`` prints them. Derivatives of every kind of data by coordinates and nuisances are
calculated once per hidden structure; what combinations of data determine follows from their sums.
"""

import numpy as np
import zeolite_data
from zeolite_problem import NMR, Realisation, expected

TERMS = ("xrd", *NMR, "whole", "distances")
KNOWN = ("xrd", "distances")
# terms; or a term and its weight: uncertainties 5 times smaller, those of a model too, are 25 times the information
COMBINATIONS = {
    "pattern": ("xrd",),
    "pattern, restraints": KNOWN,
    "... and 29Si": (*KNOWN, "nmr"),
    "... and 29Si, 5 times as precise": (*KNOWN, ("nmr", 25.0)),
    "... and whole tensors of 29Si": (*KNOWN, "whole"),
    "... and those 5 times as precise": (*KNOWN, ("whole", 25.0)),
    "... and 17O": (*KNOWN, "oxygen"),
    "... and J": (*KNOWN, "couplings"),
    "everything": (*KNOWN, *NMR),
    "everything without restraints": ("xrd", *NMR),
    "pattern, 29Si": ("xrd", "nmr"),
    "29Si, restraints": ("nmr", "distances"),
    "all NMR, restraints": (*NMR, "distances"),
    "J, restraints": ("couplings", "distances"),
}


def promises(of: Realisation) -> dict[str, dict[str, float]]:
    """By combination of data, the root mean square errors of Si and O to expect, Å."""
    objective, params = of.objective(TERMS, of.hidden)
    kinds = {
        element: label for label, element in reversed(list(zip(of.hidden.labels, of.hidden.elements, strict=True)))
    }
    for element, label in kinds.items():
        params = params.set(f"u_iso[{label}]", zeolite_data.U_ISO[element])
    params = params.set("xrd/background", np.array(zeolite_data.BACKGROUND))
    objective = objective.bind(params)
    jacobian = np.asarray(objective.jacobian(params)) * params.spec.scale[params.spec.free_pivots]
    information = {name: jacobian[rows].T @ jacobian[rows] for name, rows in objective.row_slices(params).items()}
    out = {}
    for name, terms in COMBINATIONS.items():
        weights = [(term, 1.0) if isinstance(term, str) else term for term in terms]
        total = sum(weight * information[term] for term, weight in weights)
        # without the pattern nothing depends on its parameters
        some = np.flatnonzero(np.diag(total) > 0)
        scale = 1.0 / np.sqrt(np.diag(total)[some])
        covariance = scale[:, None] * np.linalg.inv(total[np.ix_(some, some)] * np.outer(scale, scale)) * scale
        transform = params.spec.transform[:, some]
        out[name] = expected(of.hidden, params, transform @ covariance @ transform.T)
    return out


def words(found: list[dict]) -> str:
    """Root mean squares over hidden structures, and how many times better than the pattern alone."""
    mean = {
        name: {element: np.sqrt(np.mean([row[name][element] ** 2 for row in found])) for element in ("Si", "O")}
        for name in COMBINATIONS
    }
    alone = mean["pattern"]["O"]
    lines = [f"{'expected error, Å':<42}{'Si':>9}{'O':>9}{'O, pattern alone by this':>26}"]
    lines += [f"{name:<42}{of['Si']:9.4f}{of['O']:9.4f}{alone / of['O']:26.2f}" for name, of in mean.items()]
    return "\n".join(lines)
