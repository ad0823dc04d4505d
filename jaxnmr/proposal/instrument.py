"""Instrument of a powder pattern, from files, headers or generic values (host)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..diffraction import Instrument, Pattern
from ..diffraction.records import TUBES
from ..errors import JaxnmrError
from ..io import read_instrument, read_pattern

# axial divergence (S + H)/L: Soller slits of 2 to 3 degrees; neutron cameras; analyser crystals
_SHL_TUBE, _SHL_NEUTRON, _SHL_SYNCHROTRON = 0.03, 0.02, 0.003
# degree of polarisation of a synchrotron beam in the plane of the ring
_POLARISED = 0.99
# a wavelength is assigned to an X-ray tube if it agrees with an emission line to this fraction
_SAME = 3e-4
_WORDS = {"bragg-brentano": "flat specimen (Bragg-Brentano)", "debye-scherrer": "capillary (Debye-Scherrer)"}


@dataclass(frozen=True)
class Chosen:
    """An instrument, and how it was chosen.

    Attributes:
        instrument: the complete instrument.
        keys: values that the run file must add to those of the files, by key.
        said: sentences about the origin of the values.
        generic: whether nothing describes its resolution, so that its widths should be refined.
        file: instrument file, if one was given.
    """

    instrument: Instrument
    keys: dict[str, Any]
    said: tuple[str, ...]
    generic: bool
    file: Path | None = None


def choose_instrument(
    path: Path,
    *,
    file: Path | None = None,
    wavelength: Sequence[float] | None = None,
    tube: str | None = None,
    radiation: str | None = None,
    geometry: str | None = None,
) -> tuple[Pattern, Chosen]:
    """Read a pattern with its instrument: from a parameter file, from the header of the pattern, or generic.

    Args:
        path: file of the pattern.
        file: file of instrument parameters.
        wavelength, tube: Å, or the anode, if no file provides it; they override values of files.
        radiation, geometry: as of `Instrument`, if no file provides them.

    Raises:
        JaxnmrError: the wavelength is unknown, or a file cannot be read.
    """
    given = tuple(wavelength or ()) or (TUBES[tube][::2] if tube else ())
    pattern = read_pattern(path, instrument=read_instrument(file) if file else None, wavelength=given or None)
    device = pattern.instrument
    if device is None or not device.wavelengths:
        raise JaxnmrError(
            f"{path} does not say which wavelength it was measured with: give --tube Cu for an X-ray tube, --wavelength 1.5406 (in Å, two "
            "for Kα1 and Kα2), or --instrument FILE"
        )
    keys: dict[str, Any] = {}
    if given:
        keys["wavelength"] = list(given) if len(given) > 1 else given[0]
    if radiation and radiation != device.radiation:
        keys["radiation"] = radiation
    neutron = (radiation or device.radiation) == "neutron"
    tube_line = any(abs(device.wavelengths[0] / line - 1.0) < _SAME for lines in TUBES.values() for line in lines)
    # a header or a parameter file defines the geometry, a wavelength alone does not
    if geometry is None and file is None and given:
        geometry = "bragg-brentano" if tube_line and not neutron else "debye-scherrer"
    if geometry and geometry != device.geometry:
        keys["geometry"] = geometry
    changes = {key: value for key, value in keys.items() if key != "wavelength"}
    if "wavelength" in keys:
        changes["wavelengths"] = given
    device = device.replace(**changes)
    generic = file is None
    said = [_where(device, file, bool(given), tube)]
    if generic:
        added, sentence = _usual(device, neutron, tube_line)
        keys |= added
        device = device.replace(**added)
        said.append(sentence)
    return pattern.replace(instrument=device), Chosen(device, keys, tuple(said), generic, file)


def _where(device: Instrument, file: Path | None, given: bool, tube: str | None) -> str:
    lines = " and ".join(f"{length:.6g}" for length in device.wavelengths)
    source = (
        f"the {tube} tube you named" if tube else "you" if given else file.name if file else "the header of the data"
    )
    what = "neutrons" if device.radiation == "neutron" else "X-rays"
    return f"{what}, {lines} Å (from {source}), {_WORDS[device.geometry]}, radius {device.radius_mm:g} mm"


def _usual(device: Instrument, neutron: bool, tube_line: bool) -> tuple[dict[str, Any], str]:
    """Return values for what a header leaves open, and a sentence about them."""
    if neutron:
        return {"shl": _SHL_NEUTRON}, (
            "No file describes the resolution of this neutron diffractometer: its widths start from those of the peaks and are refined."
        )
    if tube_line:
        keys = {"shl": _SHL_TUBE}
        mono = (
            "a monochromator as the header says"
            if device.monochromator_deg is not None
            else "no monochromator (with a graphite one in the diffracted beam add monochromator_deg = 26.6)"
        )
        return keys, (
            "No file describes its resolution: a generic laboratory instrument is taken, with axial divergence (S + H)/L "
            f"{_SHL_TUBE:g} and {mono}; U, V, W, X, Y start from the widths of the peaks and are refined."
        )
    keys = {"shl": _SHL_SYNCHROTRON}
    if device.polarization == Instrument.polarization and device.monochromator_deg is None:
        keys["polarization"] = _POLARISED
    return keys, (
        f"{device.wavelengths[0]:g} Å is no line of an X-ray tube: a synchrotron is taken (polarisation {_POLARISED:g}, axial divergence "
        f"{_SHL_SYNCHROTRON:g}); with neutrons, give --radiation neutron. Its widths start from those of the peaks and are refined."
    )
