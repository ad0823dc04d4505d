"""CIF items of one pattern: instrument, model, agreement, points and reflections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ...diffraction.records import TUBES
from ...units import format_esd
from ..asked import Asked
from ..text import filled

if TYPE_CHECKING:
    from ...diffraction import Instrument
    from ...io.cif_blocks import CifBlock
    from ...objective import ProfileStatistics
    from ...refinement.result import RefinementResult
    from ...terms import PatternEvidence
    from ...terms.pattern_evidence import Reflections

Rows = Mapping[str, dict[str, Any]]
# a wavelength is assigned to an X-ray tube if it agrees with an emission line to this fraction
_NEAR = 3e-4
_STATED = (
    ("U", "V", "W", "X", "Y", "Z", "shl"),
    ("size", "size_along", "size_mix", "strain", "strain_mix"),
)
_OF_POSITIONS = ("zero", "displacement", "transparency", "displace_x", "displace_y")
_OF_INTENSITIES = ("ratio", "polarization", "monochromator", "roughness_a", "roughness_b", "absorption")
# parameters with a neutral value other than zero
_NEUTRAL = ("roughness_a",)
_WORDS = {
    "shl": "(S+H)/L", "size": "size / µm", "size_along": "size along the axis / µm", "size_mix": "Lorentzian part of size", "strain": "strain / 1e-6",
    "strain_mix": "Lorentzian part of strain", "zero": "zero / °", "displacement": "specimen displacement / µm",
    "transparency": "transparency / 0.1 mm", "displace_x": "displacement across the beam / µm",
    "displace_y": "displacement along the beam / µm", "monochromator": "2θ of the monochromator / °", "absorption": "µR",
    "polarization": "polarised fraction", "ratio": "intensity of the second wavelength",
}  # fmt: skip


def add_pattern(
    block: CifBlock,
    fit: RefinementResult,
    name: str,
    rows: Rows,
    record: dict[str, Any],
    asked: Asked,
    *,
    of_phases: Mapping[str, str] | None,
) -> None:
    """Add a pattern.

    Args:
        block: block to write to.
        fit, name: the result, and the name of the histogram.
        rows: rows of parameters by name.
        record: record of the result.
        asked: report settings, for the name of the data file.
        of_phases: ``_pd_block_id`` of every phase, if phases have separate blocks.
    """
    data, s = fit.patterns[name], cast("ProfileStatistics", fit.statistics[name])
    i = data.experiment.instrument
    file = next((curve.file for curve in asked.histograms if curve.name == name), "")
    block.items(_instrument(i, rows, name))
    block.loop(_wavelengths(i, rows, name))
    block.items(_specimen(i, rows, name))
    block.items(_range(data, file, record["created"]))
    block.items(_model(data, rows, name))
    block.items(
        {
            "_pd_proc_ls_prof_R_factor": f"{0.01 * s.rp:.5f}",
            "_pd_proc_ls_prof_wR_factor": f"{0.01 * s.rwp:.5f}",
            "_pd_proc_ls_prof_wR_expected": f"{0.01 * s.rexp:.5f}",
        }
    )
    if of_phases is not None:
        block.items({"_refine_ls_goodness_of_fit_all": f"{s.gof:.4f}"})
    if len(data.reflections) == 1:
        (only,) = data.reflections.values()
        block.items(
            {
                "_refine_ls_R_I_factor": f"{0.01 * only.r_bragg:.5f}",
                "_refine_ls_R_factor_all": f"{r_factor(only):.5f}",
                "_refine_ls_number_reflns": len(only.d),
            }
        )
    if of_phases is not None:
        block.loop(_phases(fit, data, of_phases))
    block.loop(_points(data))
    block.loop(_reflections(data, of_phases))


def r_factor(r: Reflections) -> float:
    """Return ``Σ m ||F_obs| − |F_calc|| / Σ m |F_obs|`` over reflections."""
    observed, calculated = (np.sqrt(np.maximum(f2, 0.0)) for f2 in (r.f2_obs, r.f2_calc))
    total = float(np.sum(r.multiplicity * observed))
    return float(np.sum(r.multiplicity * np.abs(observed - calculated))) / total if total > 0 else float("nan")


def wavelengths_of(i: Instrument, rows: Rows, name: str) -> list[str]:
    """List wavelengths in Å, with uncertainties if refined."""
    out = []
    for k, length in enumerate(i.wavelengths):
        row = rows.get(f"{name}/wavelength[{k}]", {"value": length, "esd": None})
        out.append(format_esd(row["value"], row["esd"], digits=6))
    return out


def radiation_of(i: Instrument) -> str | None:
    """Return ``"Cu Kα"`` and similar; ``None`` if the wavelengths are of no common tube."""
    if i.radiation == "neutron":
        return "neutron"
    first = i.wavelengths[0] if i.wavelengths else 0.0
    for anode, lines in TUBES.items():
        if any(abs(first / line - 1.0) < _NEAR for line in lines):
            return f"{anode} K\\a"
    return None


def _instrument(i: Instrument, rows: Rows, name: str) -> dict[str, Any]:
    refined = _listed(rows, name, _OF_INTENSITIES)
    said = [f"{i.geometry}, radius {i.radius_mm:g} mm"]
    said += [f"{i.divergence_slit} divergence slit"] if i.divergence_slit else []
    said += (
        [f"polarised by a crystal monochromator at 2θ = {i.monochromator_deg:g}°"]
        if i.monochromator_deg is not None
        else []
    )
    said += list(i.optics)
    return {
        "_diffrn_radiation_probe": "neutron" if i.radiation == "neutron" else "x-ray",
        "_diffrn_radiation_type": radiation_of(i),
        "_diffrn_source": None,
        "_diffrn_measurement_device_type": None,
        "_diffrn_detector": None,
        "_pd_instr_location": None,
        "_pd_instr_geometry": i.geometry,
        "_pd_instr_dist_spec/detc": f"{i.radius_mm:g}",
        "_pd_instr_cons_illum_flag": "yes" if i.divergence_slit == "automatic" else "no",
        "_pd_instr_special_details": "\n".join(["; ".join(said), *refined]),
        "_pd_calibration_special_details": None,
    }


def _wavelengths(i: Instrument, rows: Rows, name: str) -> dict[str, list[Any]]:
    lengths = wavelengths_of(i, rows, name)
    if len(lengths) < 2:
        return {"_diffrn_radiation_wavelength": lengths}
    ratio = rows.get(f"{name}/ratio", {"value": i.ratio, "esd": None})
    weights = ["1", format_esd(ratio["value"], ratio["esd"])]
    return {
        "_diffrn_radiation_wavelength_id": ["1", "2"],
        "_diffrn_radiation_wavelength": lengths,
        "_diffrn_radiation_wavelength_wt": weights,
    }


def _specimen(i: Instrument, rows: Rows, name: str) -> dict[str, Any]:
    flat = i.geometry == "bragg-brentano"
    absorption = rows.get(f"{name}/absorption", {"value": 0.0})["value"]
    return {
        "_pd_spec_mounting": None,
        "_pd_spec_mount_mode": "reflection" if flat else "transmission",
        "_pd_spec_shape": "flat_sheet" if flat else "cylinder",
        "_pd_spec_size_axial": None,
        "_pd_spec_size_equat": None,
        "_pd_spec_size_thick": None,
        "_pd_char_colour": None,
        "_pd_char_particle_morphology": None,
        "_pd_prep_temperature": None,
        "_pd_prep_pressure": None,
        "_pd_prep_cool_rate": None,
        "_exptl_absorpt_correction_type": "cylinder" if absorption else "none",
    }


def _range(data: PatternEvidence, file: str, created: str) -> dict[str, Any]:
    steps = np.diff(data.x)
    step = float(np.median(steps))
    even = bool(np.all(np.abs(steps - step) < 1e-3 * step))
    excluded = "; ".join(f"{low:g} to {high:g}°" for low, high in data.excluded)
    if excluded:
        excluded = f"2θ {excluded}. Points in them are not listed."
    return {
        "_pd_meas_scan_method": None,
        "_pd_proc_info_datetime": created,
        "_pd_proc_info_data_reduction": f"none; data file {file}" if file else "none",
        "_pd_proc_info_excluded_regions": excluded or "none",
        "_pd_meas_2theta_range_min": f"{data.x[0]:.8g}",
        "_pd_meas_2theta_range_max": f"{data.x[-1]:.8g}",
        "_pd_meas_2theta_range_inc": f"{step:.6g}" if even else ".",
        "_pd_proc_2theta_range_min": f"{data.x[0]:.8g}",
        "_pd_proc_2theta_range_max": f"{data.x[-1]:.8g}",
        "_pd_proc_2theta_range_inc": f"{step:.6g}" if even else ".",
        "_pd_proc_number_of_points": len(data.x),
    }


def _model(data: PatternEvidence, rows: Rows, name: str) -> dict[str, Any]:
    of = data.experiment
    function = of.background
    coefficients = [row for key, row in rows.items() if key.startswith(f"{name}/background[")]
    numbers = ", ".join(format_esd(row["value"], row["esd"], digits=5) for row in coefficients)
    knots = [f"at {', '.join(f'{k:g}' for k in function.knots)}°"] if function.knots else []
    background = [filled(value, rows) for what, value in data.conditions if what == "background"]
    texture = []
    for phase, axis in of.textures.items():
        row = rows.get(f"{name}/march[{phase}]", {"value": 1.0, "esd": None})
        axis_text = " ".join(map(str, axis))
        texture.append(
            f"{phase}: March-Dollase function, axis [{axis_text}], r = {format_esd(row['value'], row['esd'])}"
        )
    for phase, (names, values) in data.textures.items():
        own = [
            rows.get(f"{name}/texture_{phase}[{of_one}]", {"value": v, "esd": None})
            for of_one, v in zip(names, values, strict=True)
        ]
        numbers_of = ", ".join(
            f"{of_one} {format_esd(row['value'], row['esd'])}" for of_one, row in zip(names, own, strict=True)
        )
        texture.append(f"{phase}: symmetrised spherical harmonics, {numbers_of}")
    positions = "; ".join(_listed(rows, name, _OF_POSITIONS)) or "no corrections"
    shared = (
        "F^2^ observed is shared out among overlapping reflections as calculated (Rietveld), multiplicity not included."
    )
    free = (
        [f"Intensities of {', '.join(of.extracted)} are no structure's: extracted after Le Bail."]
        if of.extracted
        else []
    )
    by_phase = [
        f"R~Bragg~ of {phase}: {0.01 * r.r_bragg:.5f}, R~F~ {r_factor(r):.5f}, {len(r.d)} reflections"
        for phase, r in data.reflections.items()
    ]
    return {
        "_pd_calc_method": "Rietveld refinement",
        "_pd_proc_ls_profile_function": "\n".join(
            [
                "Pseudo-Voigt function (Thompson, Cox & Hastings, 1987) with axial divergence (Finger, Cox & Jephcoat, 1994). Gaussian "
                "variance U tan^2^θ + V tanθ + W in 0.0001°^2^; Lorentzian FWHM X/cosθ + Y tanθ + Z in 0.01°; crystallite size and "
                "microstrain add to them.",
                *("; ".join(_listed(rows, name, keys)) for keys in _STATED),
            ]
        ),
        "_pd_proc_ls_background_function": "\n".join([*background, *knots, *([numbers] if numbers else [])]),
        "_pd_proc_ls_pref_orient_corr": "\n".join(texture) or "none",
        "_pd_proc_ls_peak_cutoff": f"{of.cutoff:.2g}" if of.cutoff else None,
        "_pd_proc_ls_special_details": "\n".join(
            [f"Corrections of positions: {positions}. Listed angles are as measured.", *free, *by_phase, shared]
        ),
    }


def _listed(rows: Rows, name: str, keys: Iterable[str]) -> list[str]:
    """List values of parameters of a histogram, single or by phase, that are refined or nonzero."""
    out = []
    for key in keys:
        for full, row in rows.items():
            plain, _, label = full.partition("[")
            if plain == f"{name}/{key}" and (row["free"] or (row["value"] != 0.0 and key not in _NEUTRAL)):
                of = f" of {label[:-1]}" if label else ""
                value = format_esd(row["value"], row["esd"], digits=5)
                out.append(f"{_WORDS.get(key, key)}{of} = {value}{'' if row['free'] else ' (not refined)'}")
    return out


def _phases(fit: RefinementResult, data: PatternEvidence, of_phases: Mapping[str, str]) -> dict[str, list[Any]]:
    weights = {
        of.part: format_esd(of.value, esd, digits=3) for of, esd in fit.derived(data.name) if of.quantity == "weight"
    }
    phases = list(data.reflections)
    columns: dict[str, list[Any]] = {
        "_pd_phase_id": [str(k + 1) for k in range(len(phases))],
        "_pd_phase_name": [fit.crystals[p].name for p in phases],
        "_pd_phase_block_id": [of_phases[p] for p in phases],
    }
    if weights:
        columns["_pd_phase_mass_%"] = [weights.get(p, "?") for p in phases]
    return columns


def _points(data: PatternEvidence) -> dict[str, np.ndarray]:
    counts = np.array_equal(data.observed, np.round(data.observed)) and np.allclose(
        data.sigma**2, np.maximum(data.observed, 1.0), rtol=1e-9
    )
    columns = {
        "_pd_meas_2theta_scan": data.x,
        f"_pd_meas_{'counts' if counts else 'intensity'}_total": data.observed,
        "_pd_calc_intensity_total": np.array([f"{v:.8g}" for v in data.calculated]),
        "_pd_proc_intensity_bkg_calc": np.array([f"{v:.8g}" for v in data.background]),
        "_pd_proc_ls_weight": 1.0 / data.sigma**2,
    }
    return columns


def _reflections(data: PatternEvidence, of_phases: Mapping[str, str] | None) -> dict[str, list[Any]]:
    tables = list(data.reflections.values())
    joined = lambda key: np.concatenate([getattr(r, key) for r in tables]) if tables else np.zeros(0)
    texts = lambda values, digits: [f"{v:.{digits}g}" for v in values]
    hkl = joined("hkl").reshape(-1, 3).astype(int)
    columns: dict[str, list[Any]] = {f"_refln_index_{x}": hkl[:, k].tolist() for k, x in enumerate("hkl")}
    if len(tables) > 1:
        columns["_pd_refln_phase_id"] = [str(k + 1) for k, r in enumerate(tables) for _ in r.d]
    columns["_refln_symmetry_multiplicity"] = joined("multiplicity").astype(int).tolist()
    columns["_refln_d_spacing"] = texts(joined("d"), 7)
    columns["_refln_F_squared_meas"] = texts(joined("f2_obs"), 6)
    columns["_refln_F_squared_calc"] = texts(joined("f2_calc"), 6)
    return columns
