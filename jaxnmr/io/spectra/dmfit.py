"""DMFit fits (.fxml): the lines of a fitted spectrum, with the errors printed by DMFit."""

import math
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from ...errors import ParseError
from ..files import read_bytes

# DMFit's name, jaxnmr's name, kind of quantity
_QUANTITIES = {
    "amp": ("amplitude", "number"),
    "pos": ("position_ppm", "shift"),
    "wid": ("width_ppm", "shift"),
    "lb": ("width_ppm", "shift"),
    "gl": ("gauss_fraction", "number"),
    "em_au": ("width_hz", "number"),
    "dCS": ("zeta_ppm", "shift"),
    "etaCS": ("eta", "number"),
    "CQ": ("cq_hz", "khz"),
    "etaQ": ("eta_q", "number"),
    "Phi": ("phi_deg", "number"),
    "Chi": ("chi_deg", "number"),
    "Psi": ("psi_deg", "number"),
}
_AMPERSAND = re.compile(rb"&(?!#?\w+;)")


@dataclass(frozen=True)
class DmfitLine:
    """One line of a DMFit fit.

    Attributes:
        model: DMFit's name of the line shape, such as ``"CSA mas"``, ``"int2QUAD"``, ``"Gaus/Lor"``.
        values: quantities by name; those missing in the file are absent:
            ``amplitude`` (height of the line, in a unit of DMFit's choice), ``position_ppm`` (isotropic shift, for
            quadrupolar models without the quadrupolar shift), ``width_ppm`` (full width at half maximum of the
            broadening; ``wid`` or ``lb``), ``gauss_fraction`` (``gl``: 1 Gaussian, 0 Lorentzian, a sum between),
            ``width_hz`` (``em_au``: the broadening in Hz), ``zeta_ppm`` and ``eta`` (``dCS``, ``etaCS``), ``cq_hz``,
            ``eta_q``, and ``phi_deg``, ``chi_deg``, ``psi_deg`` (``Phi``, ``Chi``, ``Psi``: relative orientation of the
            quadrupole and shift tensors, as printed).
        errors: errors of the same quantities as printed by DMFit, if any. That of CQ is in Hz; those of
            positions, widths and ``dCS`` are in a unit not stated in the file (ppm in quadrupolar models; in others
            the numbers only make sense in Hz).
        fitted: names of the quantities marked as free.
        transitions: ``tr`` of quadrupolar models, as printed; ``None`` if absent.
    """

    model: str
    values: dict[str, float]
    errors: dict[str, float]
    fitted: frozenset[str]
    transitions: int | None


@dataclass(frozen=True)
class DmfitFit:
    """A fit of a one-dimensional spectrum.

    Anisotropies follow DMFit's documentation: shifts with ``|d33 - diso| >= |d11 - diso| >= |d22 - diso|``, ``dCS = d33
    - diso`` and ``etaCS = (d22 - d11)/(d33 - diso)``. That is the reduced anisotropy zeta (Haeberlen) of the *shift*,
    of the opposite sign to that of the shielding.

    Attributes:
        isotope: such as ``"19F"``.
        larmor_hz: reference frequency (0 ppm).
        mas_hz: spinning rate of the fit; 0 is static.
        lines: the lines.
        data_file: the fitted spectrum, as named in the file; it need not be the ``1r`` beside it.
    """

    isotope: str
    larmor_hz: float
    mas_hz: float
    lines: tuple[DmfitLine, ...]
    data_file: str


def read_dmfit(path: str | Path) -> DmfitFit:
    """Read the fit of a one-dimensional spectrum saved by DMFit.

    Source: DMFit's documentation of its models and of ``dCS`` (nmr.cemhti.cnrs-orleans.fr/Dmfit); Massiot et al.
    (2002), Magn. Reson. Chem. 40, 70.

    Raises:
        ParseError: not XML (with the line), not a DMFit fit, two dimensions, a value that is not a number, or an
            unknown unit.
    """
    path = Path(path)
    try:
        # DMFit copies file names and titles without escaping ampersands
        root = ElementTree.fromstring(_AMPERSAND.sub(b"&amp;", read_bytes(path)))
    except ElementTree.ParseError as error:
        raise ParseError(path, error.position[0], f"no valid XML: {error}") from None
    except (LookupError, ValueError) as error:  # an encoding unknown to Python
        raise ParseError(path, 1, f"no valid XML: {error}") from None
    dimensions = root.findall("FitParameters/Dimension")
    if root.tag != "NMRFit" or not dimensions:
        raise ParseError(path, None, f"<{root.tag}> without fit parameters; expected a DMFit fit (NMRFit)")
    if len(dimensions) > 1:
        raise ParseError(path, None, f"{len(dimensions)} dimensions; only fits of one-dimensional spectra are read")
    fit = dimensions[0]
    larmor_hz = 1e6 * _number(path, "frequency", fit.findtext("frequency"))
    if not larmor_hz > 0:
        raise ParseError(path, None, f"frequency is {larmor_hz:g} Hz; expected a positive number")
    return DmfitFit(
        isotope=(fit.findtext("nucleus") or "").strip(),
        larmor_hz=larmor_hz,
        mas_hz=_number(path, "spinrate", fit.findtext("spinrate", "0")),
        lines=tuple(_line(path, item, larmor_hz) for item in fit.findall("line")),
        data_file=(root.findtext("DataFile/FileName") or "").strip(),
    )


def _line(path: Path, item: ElementTree.Element, larmor_hz: float) -> DmfitLine:
    values, errors, fitted = {}, {}, set()
    for entry in item:
        if entry.tag not in _QUANTITIES:
            continue
        name, kind = _QUANTITIES[entry.tag]
        factor = 1e3 if kind == "khz" else 1.0
        if kind == "shift":
            unit = entry.get("Unit", "ppm")
            if unit not in ("ppm", "Hz", "kHz"):
                raise ParseError(path, None, f"{entry.tag} is in {unit!r}; expected ppm, Hz or kHz")
            factor = {"ppm": 1.0, "Hz": 1e6 / larmor_hz, "kHz": 1e9 / larmor_hz}[unit]
        values[name] = factor * _number(path, entry.tag, entry.text)
        if "Error" in entry.attrib:
            scale = factor if kind == "khz" else 1.0
            errors[name] = scale * _number(path, f"Error of {entry.tag}", entry.get("Error"))
        if entry.get("Fit") is not None:
            fitted.add(name)
    transitions = item.findtext("tr")
    return DmfitLine(
        model=(item.findtext("ModelName") or "").strip(),
        values=values,
        errors=errors,
        fitted=frozenset(fitted),
        transitions=None if transitions is None else int(_number(path, "tr", transitions)),
    )


def _number(path: Path, name: str, text: str | None) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ParseError(path, None, f"{name} is {text!r}; expected a number")
    return value
