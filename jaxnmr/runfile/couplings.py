"""``[[couplings]]``: couplings between pairs of spins, beside patterns, spectra, peaks and tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..crystal import Crystal
from ..errors import ConventionError
from ..nmr import CouplingCalibration, isotope
from ..objective import Loss
from ..terms import CouplingLaw, CouplingTerm
from .shared import phase_of, plain_name
from .table import Table
from .weights import read_robust, weighted


@dataclass(frozen=True)
class CouplingsSpec:
    """One ``[[couplings]]``; ``options`` are those of `CouplingTerm.dipolar` or `CouplingTerm.across`."""

    name: str
    kind: str
    phase: str
    weight: float
    robust: Loss | None
    atoms: tuple[tuple[str, ...], ...]
    hz: tuple[float, ...]
    sigma: tuple[float, ...]
    options: dict[str, Any]


def read_couplings(table: Table, phases: tuple[str, ...]) -> CouplingsSpec:
    """Check one ``[[couplings]]`` table."""
    name, kind = plain_name(table, "couplings"), table.text("kind", choices=("dipolar", "j"))
    phase = phase_of(table, phases, "couplings follow structures")
    common = table.number("sigma", None, positive=True)
    atoms, hz, sigma = [], [], []
    for pair in table.tables("pairs"):
        labels = pair.texts("atoms")
        if len(labels) not in ((2,) if kind == "dipolar" else (2, 3)):
            raise pair.error(
                f"expected {'2' if kind == 'dipolar' else '2 or 3'} labels of sites, got {list(labels)}", "atoms"
            )
        atoms.append(labels)
        hz.append(pair.number("hz"))
        sigma.append(pair.number("sigma", common, positive=True))
        if sigma[-1] is None:
            raise pair.error("the key 'sigma' is missing, here and in the table above: the uncertainty in Hz")
        pair.done()
    if not atoms:
        raise table.error('there are no pairs: give pairs = [{ atoms = ["Si1", "Si2"], hz = 12.3 }]')
    spec = CouplingsSpec(
        name=name,
        kind=kind,
        phase=phase,
        weight=table.number("weight", 1.0, positive=True),
        robust=read_robust(table),
        atoms=tuple(atoms),
        hz=tuple(hz),
        sigma=tuple(sigma),
        options=_dipolar(table) if kind == "dipolar" else _across(table),
    )
    table.done()
    return spec


def _dipolar(table: Table) -> dict[str, Any]:
    nuclei = table.texts("nuclei")
    if len(nuclei) != 2:
        raise table.error(f"expected two isotopes, got {list(nuclei)}", "nuclei")
    try:
        nuclei = tuple(isotope(of).symbol for of in nuclei)
    except ConventionError as err:
        raise table.error(str(err), "nuclei") from None
    return {"nuclei": nuclei, "signed": table.flag("signed", False), "scale": table.number("slope", 1.0)}


def _across(table: Table) -> dict[str, Any]:
    kind = table.texts("across")
    if len(kind) != 3:
        raise table.error(f'expected three elements such as ["Si", "O", "Si"], got {list(kind)}', "across")
    if not table.has("law"):
        raise table.error("the key 'law' is missing: { form = \"cosine\", offset_hz = ..., slope_hz = ... }")
    inner = table.table("law")
    form = inner.text("form", "cosine", choices=("cosine", "s_character"))
    law = CouplingLaw(inner.number("offset_hz"), inner.number("slope_hz"), form)
    inner.done()
    calibration = None
    if table.has("calibration"):
        inner = table.table("calibration")
        if inner.has("published"):
            try:
                calibration = CouplingCalibration.published(inner.text("published"))
            except ConventionError as err:
                raise inner.error(str(err), "published") from None
        else:
            calibration = CouplingCalibration(
                offset_hz=inner.number("offset_hz", 0.0), slope=inner.number("slope", 1.0)
            )
        inner.done()
    return {"kind": kind, "law": law, "calibration": calibration}


def couplings_term(spec: CouplingsSpec, crystals: Mapping[str, Crystal], models: Mapping[str, list]) -> Any:
    """The weighted term of a ``[[couplings]]``."""
    options = dict(spec.options)
    make, second = (CouplingTerm.dipolar, "nuclei") if spec.kind == "dipolar" else (CouplingTerm.across, "kind")
    arguments = (spec.atoms, spec.hz) if spec.kind == "dipolar" else (spec.hz,)
    if spec.kind != "dipolar":
        options["atoms"] = spec.atoms
    crystal, first = crystals[spec.phase], options.pop(second)
    term = make(crystal, first, *arguments, sigma=spec.sigma, phase=spec.phase, name=spec.name, **options)
    return weighted(term, spec.weight, spec.robust)
