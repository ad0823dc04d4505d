"""What follows from the parameters of a spectrum's sites: other conventions, populations, with uncertainties; and files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..io import write_spectrum
from ..nmr import (
    Spectrum,
    haeberlen_from_shielding,
    isotope,
    quadrupolar_parameters,
    quadrupolar_product,
    quadrupolar_shift_ppm,
)
from ..terms import PredictedSpectrumTerm

if TYPE_CHECKING:
    from ..refinement.result import FittedSpectrum, RefinementResult

_INPUTS = ("shift", "zeta", "eta", "cq", "eta_q")


class Derived(NamedTuple):
    """One number that follows from refined ones."""

    site: str
    quantity: str
    value: float
    esd: float
    unit: str


def derived_sites(fit: RefinementResult, name: str) -> list[Derived]:
    """Span and skew, quadrupolar product and shift, and populations of the sites of a spectrum.

    Populations are amplitudes over their sum. The quadrupolar shift is the one of the central transition, to second
    order; the centre of gravity is the isotropic shift with it.
    """
    data = fit.spectra[name]
    place = {label: k for k, label in enumerate(fit.parameters.labels)}
    flat = np.asarray(fit.parameters.flat, dtype=float)
    covariance = np.asarray(fit.covariance, dtype=float)
    spin = isotope(data.isotope).spin
    out = []

    def add(site, quantity, unit, function, rows):
        rows = np.array(rows)
        slopes = np.asarray(jax.grad(function)(jnp.asarray(flat[rows])))
        variance = slopes @ covariance[np.ix_(rows, rows)] @ slopes
        out.append(Derived(site, quantity, float(function(flat[rows])), float(np.sqrt(max(variance, 0.0))), unit))

    if not all(f"{name}/amplitude[{label}]" in place for label in data.labels):
        return []  # sites that follow from the structure
    amplitudes = [place[f"{name}/amplitude[{label}]"] for label in data.labels]
    for k, label in enumerate(data.labels):
        of = {key: place[full] for key in _INPUTS if (full := f"{name}/{key}[{label}]") in place}
        if len(data.labels) > 1:
            add(label, "population", "%", lambda v, k=k: 100.0 * v[k] / v.sum(), amplitudes)
        if flat[of["zeta"]] != 0:
            tensor = [of["zeta"], of["eta"]]
            add(label, "span Ω", "ppm", lambda v: jnp.abs(v[0]) * (3.0 + v[1]) / 2.0, tensor)
            add(label, "skew κ", "", lambda v: jnp.sign(v[0]) * 3.0 * (1.0 - v[1]) / (3.0 + v[1]), tensor)
        if "cq" in of and flat[of["cq"]] != 0:
            add(label, "P_Q", "Hz", lambda v: quadrupolar_product(v[0], v[1]), [of["cq"], of["eta_q"]])
            if not float(spin).is_integer():
                moved = lambda v: quadrupolar_shift_ppm(v[0], v[1], spin, data.larmor_hz)
                add(label, "quadrupolar shift", "ppm", moved, [of["cq"], of["eta_q"]])
                rows = [of["shift"], of["cq"], of["eta_q"]]
                add(label, "centre of gravity", "ppm", lambda v, moved=moved: v[0] + moved(v[1:]), rows)
    return out


def predicted_sites(fit: RefinementResult, name: str) -> list[dict[str, float | str]]:
    """What a model predicts for the sites of a spectrum at the refined structure; empty where they are parameters.

    Shifts and zeta in ppm, C_Q in Hz, shares of the intensity in per cent.
    """
    term = next((t for t in getattr(fit.objective, "terms", ()) if t.name == name), None)
    if not isinstance(term, PredictedSpectrumTerm):
        return []
    values = {k: jnp.asarray(v) for k, v in fit.parameters.values.items()}
    sites = term.sites_at(fit.objective.state(values))
    shielding = haeberlen_from_shielding(sites.shielding_ppm)
    columns = {"shift": sites.shift_ppm}
    if np.any(np.asarray(sites.shielding_ppm) != 0):
        # a spectrum without sidebands has no anisotropy to show, and none is predicted
        columns |= {"zeta": shielding.zeta, "eta": shielding.eta}
    if float(isotope(sites.isotope).spin) > 0.5:
        columns["cq"], columns["eta_q"] = quadrupolar_parameters(sites.quadrupolar_hz)
    columns["share"] = 100.0 * sites.amplitude / jnp.sum(sites.amplitude)
    rows = zip(*(np.asarray(c, dtype=float).tolist() for c in columns.values()), strict=True)
    labels = fit.spectra[name].labels
    return [{"site": label, **dict(zip(columns, row, strict=True))} for label, row in zip(labels, rows, strict=True)]


def write_csdm_files(data: FittedSpectrum, folder: Path, stem: str) -> list[Path]:
    """Write the calculated spectrum as CSDM, one file per fitted region."""
    paths = []
    for k, (low, high) in enumerate(data.region_ppm):
        inside = (data.ppm >= low) & (data.ppm <= high)
        part = Spectrum.create(
            data.frequency_hz[inside], data.calculated[inside], larmor_hz=data.larmor_hz, isotope=data.isotope,
            name=f"{data.name} calculated",
        )  # fmt: skip
        number = f"_{k + 1}" if len(data.region_ppm) > 1 else ""
        paths.append(write_spectrum(part, folder / f"{stem}{number}.csdf"))
    return paths
