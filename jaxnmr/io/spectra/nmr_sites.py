"""Sites of a spectrum from a peak list, from the lines of a DMFit fit, and from computed tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..._warn import warn
from ...errors import ConventionError, DataError, ShapeError
from ...nmr import ShiftReference, Site, Sites, isotope, quadrupolar_from_efg
from ...nmr.isotopes import contradict
from ..structures.magres import Magres
from .dmfit import DmfitFit, DmfitLine

# tolerances for the trace of a field gradient, from the digits in magres files and rounding in ASE and other programs
_TRACE, _TRACE_AU = 1e-2, 1e-3
# quadrupolar couplings of equivalent atoms differ by less than this fraction of the largest
_ALIKE, _ALIKE_HZ = 5e-3, 1e3

# DMFit line shapes described by one tensor of each kind, by the start of their names
_MODELS = ("gaus/lor", "csa", "int2quad", "quad", "q mas")


def sites_from_peaks(
    nucleus: str,
    shifts_ppm: Sequence[float],
    intensities: Sequence[float] | None = None,
    *,
    gaussian_hz: float = 0.0,
    lorentzian_hz: float = 0.0,
    labels: Sequence[str] = (),
) -> list[Site]:
    """Create one isotropic site per peak, as the start of a fit.

    Asymmetries are 0.1, so that they can be refined once a site has an anisotropy.

    Args:
        nucleus: isotope such as ``"19F"``.
        shifts_ppm: positions of the peaks.
        intensities: relative areas; equal by default.
        gaussian_hz, lorentzian_hz: common widths.
        labels: one per peak; ``F1``, ``F2`` ... by default.

    Raises:
        ShapeError: lists of different lengths, or empty ones.
        ConventionError: an unknown isotope, values that are not finite, or negative intensities or widths.
    """
    shifts = np.asarray(shifts_ppm, dtype=float)
    areas = np.ones(len(shifts)) if intensities is None else np.asarray(intensities, dtype=float)
    element = isotope(nucleus).element
    labels = tuple(labels) or tuple(f"{element}{k + 1}" for k in range(len(shifts)))
    if shifts.ndim != 1 or not len(shifts) or shifts.shape != areas.shape or len(labels) != len(shifts):
        raise ShapeError(
            f"{len(shifts)} peaks, {len(areas)} intensities and {len(labels)} labels; expected at least one peak, and one "
            "of each per peak"
        )
    eta_q = 0.1 if isotope(nucleus).spin >= 1 else 0.0
    return [
        Site(
            isotope=nucleus, shift_ppm=float(s), amplitude=float(a), label=label, eta=0.1, eta_q=eta_q,
            gaussian_hz=gaussian_hz, lorentzian_hz=lorentzian_hz,
        )
        for s, a, label in zip(shifts, areas, labels, strict=True)
    ]  # fmt: skip


def sites_from_dmfit(fit: DmfitFit, nucleus: str = "", *, larmor_hz: float | None = None) -> list[Site]:
    """Convert the lines of a DMFit fit to sites, as a start or for simulation.

    DMFit's ``dCS`` is the reduced anisotropy of the shift, a site's ``zeta_ppm`` that of the shielding: the sign is
    reversed; the asymmetry is the same. A sum of Gaussian and Lorentzian becomes the convolution of the same width and
    mixture (Thompson, Cox & Hastings, J. Appl. Cryst. 20, 79 (1987), eq. 10). DMFit's amplitudes are heights: if
    all lines are Gaussian or Lorentzian the amplitudes are their areas, else 1. Relative orientations of shift and
    quadrupole tensors are not converted, with a warning.

    Args:
        fit: from `read_dmfit`.
        nucleus: the observed isotope, if the fit does not state it.
        larmor_hz: frequency of 0 ppm of the spectrum, for widths; that of the fit by default.

    Raises:
        ConventionError: another nucleus, no lines, or a line shape that is not one site (a distribution, say).
    """
    if contradict(nucleus, fit.isotope):
        raise ConventionError(f"the DMFit fit is of {fit.isotope}, isotope is {nucleus!r}: correct it")
    nucleus = isotope(nucleus or fit.isotope).symbol
    if not fit.lines:
        raise ConventionError("the DMFit fit has no lines")
    areas = all(line.model.lower().startswith("gaus/lor") for line in fit.lines)
    if not areas and len(fit.lines) > 1:
        warn("DMFit's amplitudes are heights of lines of its own; all sites get the amplitude 1")
    return [
        _site_of_line(line, nucleus, f"{isotope(nucleus).element}{k + 1}", larmor_hz or fit.larmor_hz, areas)
        for k, line in enumerate(fit.lines)
    ]


def _site_of_line(line: DmfitLine, nucleus: str, label: str, larmor_hz: float, areas: bool) -> Site:
    if not line.model.lower().startswith(_MODELS):
        raise ConventionError(
            f"line {label} of the DMFit fit is {line.model!r}, which is no single site: describe it yourself"
        )
    values = {name: 0.0 for name in ("position_ppm", "zeta_ppm", "eta", "cq_hz", "eta_q")} | line.values
    width_hz = 1e-6 * larmor_hz * values["width_ppm"] if "width_ppm" in values else values.get("width_hz", 0.0)
    gaussian = min(max(values.get("gauss_fraction", 1.0), 0.0), 1.0)
    mixture = 1.0 - gaussian
    turned = [values.get(name, 0.0) for name in ("phi_deg", "chi_deg", "psi_deg")]
    if values["zeta_ppm"] and values["cq_hz"] and any(turned):
        warn(
            f"line {label}: DMFit's Phi, Chi, Psi ({', '.join(f'{a:g}°' for a in turned)}) are not taken over; shift and "
            "quadrupole have the same axes: set euler_deg",
        )
    # a Gaussian of unit height and width has this area, a Lorentzian pi/2
    shape = gaussian * np.sqrt(np.pi / np.log(16.0)) + mixture * np.pi / 2
    return Site(
        isotope=nucleus,
        label=label,
        shift_ppm=values["position_ppm"],
        zeta_ppm=-values["zeta_ppm"] or 0.0,
        eta=values["eta"],
        cq_hz=values["cq_hz"],
        eta_q=values["eta_q"],
        amplitude=float(values.get("amplitude", 1.0) * width_hz * shape) if areas and width_hz else 1.0,
        gaussian_hz=width_hz
        * float(np.sqrt(max(1 - 0.74417 * mixture - 0.24781 * mixture**2 - 0.00810 * mixture**3, 0.0))),
        lorentzian_hz=width_hz * (0.72928 * mixture + 0.19289 * mixture**2 + 0.07783 * mixture**3),
    )


def sites_from_magres(
    structure: Magres,
    nucleus: str,
    reference: ShiftReference,
    *,
    gaussian_hz: float = 0.0,
    lorentzian_hz: float = 0.0,
    quadrupolar: bool = True,
    q_barn: float | None = None,
    merge_ppm: float = 0.2,
) -> Sites:
    """Create sites with the computed tensors of a structure, Cartesian, in the structure's own frame.

    The symmetric part of the shielding is kept and scaled by the reference's slope like the shifts. `SpectrumTerm`
    converts the tensors to Haeberlen parameters and relative Euler angles. For a structure with field gradients only,
    all shifts are ``reference_ppm``, with a warning.

    Args:
        structure: from `read_magres` or `magres_from_ase`.
        nucleus: isotope such as ``"27Al"``.
        reference: conversion from shieldings to shifts.
        gaussian_hz, lorentzian_hz: common widths.
        quadrupolar: whether to use the field gradients of a nucleus with a quadrupole moment.
        q_barn: quadrupole moment to use; an effective one (`jaxnmr.nmr.EffectiveQuadrupole`) corrects the calculation.
        merge_ppm: sites whose principal values agree within this (couplings within half a per cent), such as those
            equivalent by symmetry, become one with their number as amplitude and the label of the first; 0 for no
            merging.

    Raises:
        ConventionError: no such element.
        DataError: no shieldings (nor field gradients of a quadrupolar nucleus), or shieldings without field gradients.
    """
    part = structure.select(isotope(nucleus).element)
    name = structure.name or "the structure"
    shielding = part.shielding_ppm
    wants_efg = isotope(nucleus).spin >= 1 and quadrupolar
    unshifted = wants_efg and part.efg_au is not None and (shielding is None or not np.isfinite(shielding).any())
    if unshifted:
        warn(
            f"{name} has field gradients and no shieldings of {isotope(nucleus).element}: all shifts are "
            f"{float(reference.reference_ppm):g} ppm, the reference",
        )
        shielding = np.zeros((len(part), 3, 3))
    if shielding is None or not np.isfinite(shielding).all():
        raise DataError(
            f"{name} has no shielding tensors (ms) of {isotope(nucleus).element}: compute them, or use sites"
        )
    shielding = (shielding + shielding.swapaxes(1, 2)) / 2
    iso = np.trace(shielding, axis1=1, axis2=2) / 3
    shift = np.asarray(reference.shift(iso), dtype=float)
    anisotropy = -float(reference.slope) * (shielding - iso[:, None, None] * np.eye(3))
    coupling = np.zeros_like(anisotropy)
    if wants_efg:
        coupling = _coupling(part, nucleus, name, q_barn)
    groups = _alike(shift, anisotropy, coupling, merge_ppm) if merge_ppm > 0 else [[k] for k in range(len(part))]
    first = [members[0] for members in groups]
    return Sites.create(
        nucleus,
        shift[first],
        shielding_ppm=None if unshifted else anisotropy[first],
        quadrupolar_hz=coupling[first] if coupling.any() else None,
        amplitude=[float(len(members)) for members in groups],
        gaussian_hz=gaussian_hz,
        lorentzian_hz=lorentzian_hz,
        labels=[part.labels[k] for k in first],
    )


def _coupling(part: Magres, nucleus: str, name: str, q_barn: float | None) -> np.ndarray:
    efg = part.efg_au
    if efg is None or not np.isfinite(efg).all():
        raise DataError(
            f"{name} has no field gradients (efg) of {isotope(nucleus).element}, which {nucleus} needs: compute them, or "
            "pass quadrupolar=False for a spectrum without"
        )
    efg = (efg + efg.swapaxes(1, 2)) / 2
    trace = np.trace(efg, axis1=1, axis2=2)
    if (np.abs(trace) > np.maximum(_TRACE * np.abs(efg).max(axis=(1, 2)), _TRACE_AU)).any():
        raise ConventionError(f"{name}: a field gradient is not traceless; check the order of its nine numbers")
    traceless = efg - trace[:, None, None] / 3 * np.eye(3)
    return np.asarray(quadrupolar_from_efg(traceless, nucleus, q_barn=q_barn), dtype=float)


def _alike(shift: np.ndarray, shielding: np.ndarray, coupling: np.ndarray, tolerance_ppm: float) -> list[list[int]]:
    """Group sites that a powder spectrum cannot distinguish.

    They have the same principal values and relative orientation of both tensors, mirror images included.
    """
    size = lambda tensors: np.maximum(np.linalg.norm(tensors, axis=(1, 2)), 1e-300)[:, None, None]
    s, q = shielding / size(shielding), coupling / size(coupling)
    cross = np.stack([np.trace(p, axis1=1, axis2=2) for p in (s @ q, s @ s @ q, s @ q @ q)], axis=1)
    marks = np.concatenate(
        [
            shift[:, None] / tolerance_ppm,
            np.linalg.eigvalsh(shielding) / tolerance_ppm,
            np.linalg.eigvalsh(coupling) / max(_ALIKE * np.abs(coupling).max(), _ALIKE_HZ),
            # the orientation of a small tensor is noise
            cross / (2 * (_ALIKE + tolerance_ppm / size(shielding)[:, 0] + _ALIKE_HZ / size(coupling)[:, 0])),
        ],
        axis=1,
    )
    groups: list[list[int]] = []
    for k in range(len(shift)):
        for members in groups:
            if np.abs(marks[k] - marks[members[0]]).max() <= 1.0:
                members.append(k)
                break
        else:
            groups.append([k])
    return groups
