"""Tables of joint refinements: ``[[model]]``, ``[[peaks]]``, ``[[tensors]]`` beside patterns and spectra, or without them.

Models predict NMR tensors from the structure, and measured shifts and tensors are compared with what they predict. All terms
share the structure and its uncertainty: see "Learned tensors in a refinement" in the conventions.

```toml
[[model]]
path = "silica-29si"                     # a file, or the name of a model that comes with jaxnmr
# phase = "quartz"                       # whose tensors it predicts; those of every phase when left out
# member = 0                             # one network of an ensemble: cheaper, but without uncertainty of its own

[[peaks]]                                # isotropic shifts read off a spectrum
name = "si"                              # its parameters are called si/reference and si/slope; stages may free them
nucleus = "29Si"
shifts_ppm = [-107.4]
sigma = 0.5                              # ppm, one for all or one per peak: where a site of the peak may be
sigma_model = "model"                    # that of predictions in ppm, one for all or one per site; "model": its own
reference = { published = "nmrcryspy/29Si", core_ppm = 838.0 }
# reference = { reference_ppm = 337.3, slope = -1.0 }                  # typed in; the slope is -1 when left out
# reference = "model"                    # the one kept with the model
# assignment = [["Si1"], ["Si2", "Si3"]] # sites of every peak; the assignment of least chi-squared when left out
# counts = [1, 2]                        # instead: how many sites each peak holds, at least one when left out
# sites = ["Si1", "Si2", "Si3"]          # sites the peaks are of, all of the nucleus when left out
# phase = "quartz"                       # when there are several
# weight = 1.0

[[tensors]]                              # tensors measured at sites
name = "efg"                             # its parameters are called efg/slope, and efg/reference of shifts
nucleus = "17O"
sigma = [0.1, 0.05]                      # of every site that has none of its own, in the units of the data
# sigma_model = "model"                  # in the same units; without it the prediction counts as exact
# reference = "model"                    # of shifts, as for peaks; of C_Q there is slope = 1.0
# q_barn = -0.02558                      # quadrupole moment to use
# phase = "quartz"
# weight = 1.0
[[tensors.site]]                         # every site in the same way:
label = "O1"
cq_mhz = 5.2                             # its size, with eta_q; sigma is a pair
eta_q = 0.2
# principal_ppm = [40.0, 10.0, -20.0]    # or principal values of the shift; sigma is a number or three
# tensor_ppm = [[40.0, 1.0, 0.0], [1.0, 10.0, 0.0], [0.0, 0.0, -20.0]]
#                                        # or the whole shift tensor, in the Cartesian frame of the cell (a along x, b in the
#                                        # xy plane); sigma is a number. Of SHIELDING: reference_ppm = 0, slope = 1
# tensor_mhz = [[5.2, 0.0, 0.0], [0.0, -2.0, 0.0], [0.0, 0.0, -3.2]]
#                                        # or the quadrupolar tensor e Q V/h, in the same frame
# sigma = [0.2, 0.1]
# sigma_model = [0.3, 0.1]
```
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..crystal import Crystal
from ..errors import ConventionError
from ..nmr import ShiftReference, isotope
from ..objectives import Loss, PeakListTerm, TensorTerm
from .table import Table
from .weights import read_robust, weighted

if TYPE_CHECKING:
    from ..models import TensorModel

# by the key that a site gives: quantity, kind, how many sigmas it may have, factor to ppm or Hz
_KINDS = {
    "cq_mhz": ("efg", "cq_eta", (2,), 1e6),
    "principal_ppm": ("shielding", "principal", (1, 3), 1.0),
    "tensor_ppm": ("shielding", "tensor", (1,), 1.0),
    "tensor_mhz": ("efg", "tensor", (1,), 1e6),
}
Spread = tuple[float, ...] | str | None


@dataclass(frozen=True)
class ModelSpec:
    """One ``[[model]]``: a file, or the ``name`` of a model that comes with the package."""

    file: Path | None
    name: str | None
    phase: str | None
    member: int | None

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The file it is read from."""
        from ..models.checkpoint import find_checkpoint

        return (find_checkpoint(self.file or self.name),)


@dataclass(frozen=True)
class PeaksSpec:
    """One ``[[peaks]]``."""

    name: str
    nucleus: str
    phase: str | None
    weight: float
    robust: Loss | None
    sigma_model: Spread
    reference: dict[str, Any] | str
    sigma: tuple[float, ...]
    shifts_ppm: tuple[float, ...]
    assignment: tuple[tuple[str, ...], ...] | None
    counts: tuple[int, ...] | None
    sites: tuple[str, ...] | None


@dataclass(frozen=True)
class TensorsSpec:
    """One ``[[tensors]]``; ``key`` says what its sites give, ``values`` and uncertainties per site, in ppm, Hz and 1."""

    name: str
    nucleus: str
    phase: str | None
    weight: float
    robust: Loss | None
    sigma_model: Any
    reference: dict[str, Any] | str | None
    key: str
    labels: tuple[str, ...]
    values: np.ndarray
    sigma: np.ndarray
    slope: float
    q_barn: float | None


# -- reading ---------------------------------------------------------------------------------------------------------
def read_model(table: Table, phases: tuple[str, ...]) -> ModelSpec:
    """Check one ``[[model]]`` table."""
    text, file = table.text("path"), table.path("path")
    # a plain word is a name, unless there is a file of that name
    plain = not (Path(text).suffix or os.sep in text or "/" in text or "$" in text)
    named = plain and not file.is_file()
    spec = ModelSpec(
        file=None if named else file,
        name=text if named else None,
        phase=table.text("phase", None, choices=phases),
        member=table.integer("member", None),
    )
    table.done()
    return spec


def read_peaks(table: Table, phases: tuple[str, ...]) -> PeaksSpec:
    """Check one ``[[peaks]]`` table."""
    common = _common(table, "peaks", phases)
    shifts = table.numbers("shifts_ppm")
    if not shifts:
        raise table.error("expected at least one shift", "shifts_ppm")
    sigma = _spread(table, "sigma", (1, len(shifts)))
    if sigma is None:
        raise table.error("the key 'sigma' is missing: how closely a site is expected at its peak, in ppm")
    counts = table.numbers("counts", None, count=len(shifts))
    if counts is not None and any(n != round(n) or n < 1 for n in counts):
        raise table.error(f"expected whole numbers from 1 on, got {table.content['counts']!r}", "counts")
    assignment = _assignment(table, len(shifts))
    for other in ("counts", "sites"):
        if assignment is not None and table.has(other):
            raise table.error(f"an assignment already says it; leave {other} out", other)
    spec = PeaksSpec(
        **common,
        sigma_model=_model_spread(table, None),
        reference=read_reference(table),
        sigma=sigma,
        shifts_ppm=shifts,
        assignment=assignment,
        counts=None if counts is None else tuple(round(n) for n in counts),
        sites=table.texts("sites", None),
    )
    table.done()
    return spec


def read_tensors(table: Table, phases: tuple[str, ...]) -> TensorsSpec:
    """Check one ``[[tensors]]`` table."""
    common = _common(table, "tensors", phases)
    sites = table.tables("site")
    if not sites:
        raise table.error(
            "there is no [[tensors.site]]: give label and cq_mhz, principal_ppm, tensor_ppm or tensor_mhz"
        )
    given = [[key for key in _KINDS if site.has(key)] for site in sites]
    for site, keys in zip(sites, given, strict=True):
        if len(keys) != 1:
            raise site.error(f"give one of {', '.join(_KINDS)}" + (f", not {' and '.join(keys)}" if keys else ""))
        if keys != given[0]:
            raise site.error(f"the sites before it give {given[0][0]}; put {keys[0]} into a [[tensors]] of its own")
    key = given[0][0]
    quantity, _, widths, factor = _KINDS[key]
    units = np.array([factor, 1.0]) if key == "cq_mhz" else factor
    sigma, sigma_model = _spread(table, "sigma", widths), _model_spread(table, widths[:1])
    labels, values, spreads, of_model = [], [], [], []
    for site in sites:
        labels.append(site.text("label"))
        values.append(np.asarray(_values(site, key)) * units)
        own = _spread(site, "sigma", widths) or sigma
        if own is None:
            raise site.error("the key 'sigma' is missing, here and in the table above: the uncertainty of the data")
        size = max(widths)
        spreads.append(np.broadcast_to(own, (size,)) * units)
        if site.has("sigma_model"):
            if isinstance(sigma_model, str):
                raise site.error("the table above says sigma_model = 'model' for all sites", "sigma_model")
            of_model.append(_spread(site, "sigma_model", widths[:1], least=0.0))
        else:
            of_model.append(sigma_model)
        site.done()
    repeated = sorted({label for label in labels if labels.count(label) > 1})
    if repeated:
        raise table.error(f"two sites are called {repeated[0]!r}; every site has one tensor", "site")
    if not isinstance(sigma_model, str):
        sigma_model = None
        if any(of is not None for of in of_model):
            of_model = [np.zeros(1) if of is None else np.asarray(of) for of in of_model]
            sigma_model = np.array([np.broadcast_to(of, (widths[0],)) for of in of_model]) * units
            sigma_model = sigma_model if widths[0] == 2 else sigma_model[:, 0]
    spec = TensorsSpec(
        **common,
        sigma_model=sigma_model,
        reference=read_reference(table) if quantity == "shielding" else None,
        key=key,
        labels=tuple(labels),
        values=np.array(values),
        sigma=np.array(spreads),
        slope=1.0 if quantity == "shielding" else table.number("slope", 1.0),
        q_barn=None if quantity == "shielding" else table.number("q_barn", None),
    )
    table.done()
    return spec


def read_restraint(table: Table, phases: tuple[str, ...]) -> dict[str, Any]:
    """Check one ``[[restraint]]`` table."""
    kind = table.text("kind", choices=("bond", "angle", "bonds", "distances", "angles", "prior"))
    spec: dict[str, Any] = {"kind": kind, "weight": table.number("weight", 1.0, positive=True)}
    spec["robust"] = read_robust(table)
    if kind in ("distances", "angles"):
        spec["expected"] = _expected(table.table("expected"), (2, 3) if kind == "distances" else (3,))
    else:
        spec["sigma"] = table.number("sigma", 0.02 if kind == "bonds" else None, positive=True)
        if spec["sigma"] is None:
            raise table.error("the key 'sigma' is missing: how closely the value is to be kept")
    if kind in ("bonds", "distances", "angles"):
        spec["count"] = table.text("count", "distinct", choices=("distinct", "cell"))
    if kind == "prior":
        spec["parameter"] = table.text("parameter")
    else:
        spec["phase"] = phase_of(table, phases, "distances and angles are those of structures")
    if kind in ("bond", "angle"):
        spec["atoms"] = table.texts("atoms")
        wanted = 2 if kind == "bond" else 3
        if len(spec["atoms"]) != wanted:
            raise table.error(f"expected {wanted} site labels, got {list(spec['atoms'])}", "atoms")
    if kind in ("bond", "angle", "prior"):
        spec["value"] = table.number("value")
    table.done()
    return spec


def _expected(table: Table, lengths: tuple[int, ...]) -> dict[tuple[str, ...], tuple[float, float]]:
    """Mean and spread by kind, ``"O-Si-O"`` as a tuple."""
    if not table.content:
        example = '{ "Si-O" = [1.61, 0.01] }' if 2 in lengths else '{ "O-Si-O" = [109.5, 2.0] }'
        raise table.error(f"expected mean and sigma by kind, such as {example}")
    out = {}
    for key in table.content:
        elements = tuple(key.split("-"))
        if len(elements) not in lengths or not all(elements):
            wanted = " or ".join(("Si-O" if n == 2 else "O-Si-O") for n in lengths)
            raise table.error(f"expected elements such as {wanted}", key)
        mean, sigma = table.numbers(key, count=2)
        if not sigma > 0:
            raise table.error(f"expected mean and sigma, a positive number, got {table.content[key]!r}", key)
        out[elements] = (mean, sigma)
    return out


def _common(table: Table, default: str, phases: tuple[str, ...]) -> dict[str, Any]:
    name, phase = plain_name(table, default), phase_of(table, phases, "tensors are predicted for structures")
    nucleus = table.text("nucleus")
    try:
        nucleus = isotope(nucleus).symbol
    except ConventionError as err:
        raise table.error(str(err), "nucleus") from None
    return {
        "name": name,
        "nucleus": nucleus,
        "phase": phase,
        "weight": table.number("weight", 1.0, positive=True),
        "robust": read_robust(table),
    }


def plain_name(table: Table, default: str) -> str:
    """The name of a term, as part of parameter names."""
    name = table.text("name", default)
    if "/" in name or "[" in name:
        raise table.error(f"{name!r} cannot be part of parameter names; leave out / and [", "name")
    return name


def phase_of(table: Table, phases: tuple[str, ...], why: str) -> str:
    """The phase that a table is about, the only one by default."""
    if not phases:
        raise table.error(f"{why}: a [[phase]] is missing")
    phase = table.text("phase", None, choices=phases)
    if phase is None and len(phases) > 1:
        raise table.error(f"there are {len(phases)} phases: say which with phase = {phases[0]!r}")
    return phase or phases[0]


def _spread(table: Table, key: str, lengths: tuple[int, ...] | None, least: float | None = None) -> Any:
    """Uncertainties: a number where one will do, or as many as ``lengths`` allow; ``None`` when there is no such key."""
    if not table.has(key):
        return None
    if lengths != (1,) and (isinstance(table.content[key], list) or (lengths is not None and 1 not in lengths)):
        values = table.numbers(key, count=lengths)
    else:
        values = (table.number(key),)
    if any(not (v > 0 if least is None else v >= least) or v == float("inf") for v in values):
        what = "positive numbers" if least is None else f"numbers from {least:g} on"
        raise table.error(f"expected {what}, got {table.content[key]!r}", key)
    return values


def _model_spread(table: Table, lengths: tuple[int, ...] | None) -> Any:
    if isinstance(table.content.get("sigma_model"), str):
        return table.text("sigma_model", choices=("model",))
    return _spread(table, "sigma_model", lengths, least=0.0)


def read_reference(table: Table) -> dict[str, Any] | str:
    """The key ``reference`` of shifts."""
    if not table.has("reference"):
        raise table.error(
            'the key \'reference\' is missing: { reference_ppm = ... }, { published = "..." }, or "model" for the one kept '
            "with the model"
        )
    if isinstance(table.content["reference"], str):
        return table.text("reference", choices=("model",))
    inner = table.table("reference")
    if inner.has("published"):
        found = {"published": inner.text("published"), "core_ppm": inner.number("core_ppm", 0.0)}
    else:
        found = {"reference_ppm": inner.number("reference_ppm"), "slope": inner.number("slope", -1.0)}
        if found["slope"] == 0:
            raise inner.error("every site would have the same shift; expected about -1", "slope")
    inner.done()
    return found


def _assignment(table: Table, peaks: int) -> tuple[tuple[str, ...], ...] | None:
    if not table.has("assignment"):
        return None
    value = table.content["assignment"]
    groups = [[of] if isinstance(of, str) else of for of in value] if isinstance(value, list) else [None]
    if any(not isinstance(of, list) or not of or any(not isinstance(x, str) for x in of) for of in groups):
        raise table.error(f'expected the labels of every peak, [["Si1"], ["Si2", "Si3"]], got {value!r}', "assignment")
    if len(groups) != peaks:
        raise table.error(f"{len(groups)} groups of sites for {peaks} peaks; expected one of each", "assignment")
    labels = [label for of in groups for label in of]
    if repeated := sorted({label for label in labels if labels.count(label) > 1}):
        raise table.error(f"{repeated[0]!r} is named twice; a site has one peak", "assignment")
    return tuple(map(tuple, groups))


def _values(site: Table, key: str) -> Any:
    if key == "cq_mhz":
        cq, eta = site.number(key), site.number("eta_q")
        if cq < 0:
            raise site.error(f"expected the size of C_Q, 0 or more, got {cq:g}", key)
        if not 0 <= eta <= 1:
            raise site.error(f"expected a number between 0 and 1, got {eta:g}", "eta_q")
        return (cq, eta)
    if key == "principal_ppm":
        return site.numbers(key, count=3)
    rows = site.content[key]
    if not isinstance(rows, list) or len(rows) != 3 or any(not isinstance(row, list) for row in rows):
        raise site.error(f"expected three rows of three numbers, got {rows!r}", key)
    return [
        Table(site.file, site.where, {f"{key}[{k}]": row}).numbers(f"{key}[{k}]", count=3) for k, row in enumerate(rows)
    ]


# -- building --------------------------------------------------------------------------------------------------------
def load_model(spec: ModelSpec) -> TensorModel:
    """The model of a table."""
    from ..models import TensorModel

    model = TensorModel.load(spec.file or spec.name)
    return model if spec.member is None else model.member(spec.member)


def by_phase(specs: tuple[ModelSpec, ...], models: list[TensorModel], phases: tuple[str, ...]) -> dict[str, list]:
    """Models by phase, as an objective takes them."""
    pairs = list(zip(specs, models, strict=True))
    found = {phase: [model for spec, model in pairs if spec.phase in (None, phase)] for phase in phases}
    return {phase: of for phase, of in found.items() if of}


def peaks_term(spec: PeaksSpec, crystals: Mapping[str, Crystal], models: Mapping[str, list]) -> Any:
    """The weighted term of a ``[[peaks]]``."""
    model = model_of(spec.phase, spec.nucleus, "shielding", models, spec.sigma_model)
    term = PeakListTerm(
        spec.nucleus,
        spec.shifts_ppm,
        sigma=_squeezed(spec.sigma),
        reference=shift_reference(spec.reference, spec.nucleus, model),
        sigma_model=_squeezed(spec.sigma_model),
        assignment=spec.assignment,
        counts=spec.counts,
        sites=spec.sites,
        phase=spec.phase,
        name=spec.name,
    )
    # labels and numbers of sites are wrong here rather than in the middle of a refinement
    term.quantities(crystals)
    return weighted(term, spec.weight, spec.robust)


def tensors_term(spec: TensorsSpec, crystals: Mapping[str, Crystal], models: Mapping[str, list]) -> Any:
    """The weighted term of a ``[[tensors]]``."""
    quantity, kind, _, _ = _KINDS[spec.key]
    model = model_of(spec.phase, spec.nucleus, quantity, models, spec.sigma_model)
    term = TensorTerm(
        spec.nucleus,
        spec.values,
        sigma=spec.sigma[:, 0] if kind == "tensor" else spec.sigma,
        reference=None if spec.reference is None else shift_reference(spec.reference, spec.nucleus, model),
        sigma_model=spec.sigma_model,
        quantity=quantity,
        kind=kind,
        sites=spec.labels,
        slope=spec.slope,
        q_barn=spec.q_barn,
        phase=spec.phase,
        name=spec.name,
    )
    # labels and numbers of sites are wrong here rather than in the middle of a refinement
    term.quantities(crystals)
    return weighted(term, spec.weight, spec.robust)


def _squeezed(values: Any) -> Any:
    return values[0] if isinstance(values, tuple) and len(values) == 1 else values


def model_of(phase: str, nucleus: str, head: str, models: Mapping[str, list], sigma_model: Any = None) -> TensorModel:
    """The model that a term reads."""
    of_phase = models.get(phase, [])
    if not of_phase:
        raise ConventionError(f"no [[model]] predicts tensors of {phase!r}: add one, path = a file or a name")
    model = next((m for m in of_phase if head in [h.name for h in m.config.heads]), None)
    if model is None:
        known = ", ".join(h.name for m in of_phase for h in m.config.heads)
        raise ConventionError(f"no [[model]] predicts the {head} of {phase!r}, only its {known}: add one that does")
    element = isotope(nucleus).element
    trained = model.config.head(head).elements
    if element not in trained:
        raise ConventionError(
            f"the model {model.card.name!r} was not trained on the {head} of {element}, but of {', '.join(trained)}: take "
            "one that was, or leave these data out (a [[spectrum]] does without shieldings where shifts_ppm are given)"
        )
    if isinstance(sigma_model, str) and element not in model.card.calibration.get(head, {}):
        raise ConventionError(
            f"sigma_model = 'model', but the uncertainty of the model {model.card.name!r} is not calibrated for the {head} "
            f"of {element} (one member of an ensemble never is): give sigma_model a number"
        )
    return model


def shift_reference(reference: dict[str, Any] | str, nucleus: str, model: TensorModel) -> ShiftReference:
    """The reference that a table gives."""
    if reference == "model":
        element, known = isotope(nucleus).element, model.card.references
        if element not in known:
            raise ConventionError(
                f"reference = 'model', but the model {model.card.name!r} has none of {element}: type it in, "
                "reference = { reference_ppm = ..., slope = -1.0 }"
            )
        return ShiftReference(*known[element])
    if "published" in reference:
        return ShiftReference.published(reference["published"], core_ppm=reference["core_ppm"])
    return ShiftReference(**reference)
