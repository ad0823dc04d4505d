"""The diffractometer described in a pdCIF."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

import gemmi
import numpy as np

from ...diffraction.records import Instrument
from ...errors import ConventionError, ParseError
from .optics import monochromator, monochromator_deg

_LENGTHS = ("_diffrn_radiation_wavelength", "_diffrn_radiation_wavelength_value")
_WEIGHTS = ("_diffrn_radiation_wavelength_wt", "_diffrn_radiation_wavelength_weight")
_PROBE = ("_diffrn_radiation_probe", "_diffrn_radiation_type", "_diffrn_radiation_xray_symbol")
_SOURCE = (*_PROBE, "_diffrn_source", "_diffrn_source_type", "_diffrn_radiation_source")
_MODE = ("_pd_spec_mount_mode",)
_PLACE = ("_pd_instr_geometry", "_pd_spec_mounting")
_SHAPE = ("_pd_spec_shape",)
_SLIT = ("_pd_instr_cons_illum_flag",)
_CRYSTALS = ("_pd_instr_monochr_pre_spec", "_pd_instr_monochr_post_spec", "_diffrn_radiation_monochromator")
_MONOCHROMATORS = ("_pd_instr_2theta_monochr_post", "_pd_instr_2theta_monochr_pre")


class _Items(Protocol):
    def column(self, tag: str) -> list[str]: ...

    def text(self, tags: Sequence[str]) -> str: ...


def instrument_of(path: str | Path, blocks: Sequence[_Items]) -> Instrument | None:
    """Read wavelengths, radiation and geometry; ``None`` without a wavelength.

    The geometry is that stated in the file: reflection or transmission, its name, a cylinder. If none of these
    is stated, two wavelengths imply Bragg-Brentano and one Debye-Scherrer.

    Args:
        path: for error messages.
        blocks: the block of the pattern first; missing items are taken from the first other block that has them.

    Raises:
        ParseError: an impossible wavelength.
    """

    def stated(tags: Sequence[str]) -> str:
        return next((text for block in blocks if (text := block.text(tags))), "")

    def numbers(tags: Sequence[str]) -> list[float]:
        found = ([gemmi.cif.as_number(w) for w in block.column(tag)] for block in blocks for tag in tags)
        return next((values for values in found if np.isfinite(values).any()), [])

    lengths, weights = numbers(_LENGTHS), numbers(_WEIGHTS)
    if not lengths:
        lengths, weights = [v for v in numbers(["_pd_proc_wavelength"]) if np.isfinite(v)], []
        lengths = lengths if len(lengths) < 3 else []
    pairs = [
        (length, weights[k] if k < len(weights) else np.nan) for k, length in enumerate(lengths) if np.isfinite(length)
    ][:2]
    if not pairs:
        return None
    doublet = len(pairs) == 2
    if doublet and 1.0 < pairs[0][0] / pairs[1][0] < 1.02:
        pairs.reverse()  # Kα1, the shorter of such a pair, comes first
    known = doublet and all(np.isfinite(w) and w > 0 for _, w in pairs)
    ratio = float(pairs[1][1] / pairs[0][1]) if known else 0.5
    if doublet and pairs[0][0] < pairs[1][0] < 1.02 * pairs[0][0]:
        ratio = min(ratio, 1.0 / ratio)  # and is the stronger
    neutron = "neutron" in stated(_PROBE)
    geometry = _geometry(stated(_MODE), stated(_PLACE), stated(_SHAPE), doublet)
    # theta-compensated slits, which irradiate a constant length
    automatic = geometry == "bragg-brentano" and stated(_SLIT).startswith("y")
    crystals = [monochromator(text) for tag in _CRYSTALS if (text := stated((tag,)))]
    try:
        return Instrument(
            radiation="neutron" if neutron else "xray",
            wavelengths=tuple(float(length) for length, _ in pairs),
            ratio=ratio,
            geometry=geometry,
            monochromator_deg=None
            if neutron
            else _monochromator(
                numbers(_MONOCHROMATORS), monochromator_deg(crystals[:1], pairs[0][0]), stated(_SOURCE)
            ),
            divergence_slit="automatic" if automatic else None,
            name=Path(path).name,
        )
    except ConventionError as error:
        raise ParseError(path, None, f"_diffrn_radiation: {error}") from error


def _geometry(mode: str, place: str, shape: str, doublet: bool) -> Literal["bragg-brentano", "debye-scherrer"]:
    for text in (mode, place):
        through = re.search(r"transmission|debye|scherrer|guinier|capillar", text)
        if through or re.search(r"reflection|bragg|brentano", text):
            return "debye-scherrer" if through else "bragg-brentano"
    if "cylind" in shape:
        return "debye-scherrer"
    return "bragg-brentano" if doublet else "debye-scherrer"


def _monochromator(angles: list[float], of_crystal: float | None, source: str) -> float | None:
    """Return 2theta of a monochromator at an X-ray tube; at a synchrotron it does not determine the polarisation."""
    tube = re.search(r"tube|anode|sealed|laborator|k\s*\\?a|kalpha|kα|k-l", source) and "synchrotron" not in source
    stated = [angle for angle in angles if np.isfinite(angle) and 0.0 < angle < 90.0]
    return None if not tube else float(stated[0]) if stated else of_crystal
