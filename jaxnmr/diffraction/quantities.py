"""Refinable quantities of a histogram: names, units, bounds and typical step sizes, in one table."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np

from ..typing import Numbers, Quantity
from .records import Instrument
from .scattering import dispersion

INF = np.inf


class DescribedPhase(Protocol):
    """Properties of a phase that determine its refinable quantities.

    Attributes:
        name: of the phase.
        textured: whether it has a March-Dollase texture.
        stephens: names of coefficients of anisotropic microstrain.
        texture: names of coefficients of texture in harmonics.
        uniaxial: whether its crystallites have a different size along an axis.
    """

    @property
    def name(self) -> str: ...
    @property
    def textured(self) -> bool: ...
    @property
    def stephens(self) -> tuple[str, ...]: ...
    @property
    def texture(self) -> tuple[str, ...]: ...
    @property
    def uniaxial(self) -> bool: ...


class PhaseKind(NamedTuple):
    """A `DescribedPhase` without reflections."""

    name: str
    textured: bool
    stephens: tuple[str, ...]
    texture: tuple[str, ...] = ()
    uniaxial: bool = False


def histogram_quantities(
    instrument: Instrument,
    plans: Sequence[DescribedPhase],
    background: Mapping[str, Quantity],
    elements: Sequence[str] = (),
) -> dict[str, Quantity]:
    """Return the quantities of a histogram by local name, with values from its instrument (host).

    Args:
        instrument: provides the starting values.
        plans: the phases.
        background: the quantities of the background.
        elements: those with refinable f' and f''.
    """
    i = instrument
    phases = tuple(p.name for p in plans)
    n = len(phases)

    def number(
        value: float, unit: str = "", lower: float = -INF, upper: float = INF, scale: float = 1.0, doc: str = ""
    ) -> Quantity:
        return Quantity(value=np.array(float(value)), unit=unit, lower=lower, upper=upper, scale=scale, doc=doc)

    def per_phase(
        value: float, unit: str = "", lower: float = -INF, upper: float = INF, scale: float = 1.0, doc: str = ""
    ) -> Quantity:
        values = np.full(n, float(value))
        return Quantity(value=values, unit=unit, labels=phases, lower=lower, upper=upper, scale=scale, doc=doc)

    def listed(
        values: Numbers,
        unit: str = "",
        scale: float = 1.0,
        doc: str = "",
        labels: tuple[str, ...] | None = None,
        lower: float = -INF,
    ) -> Quantity:
        array = np.asarray(values, dtype=float)
        labels = tuple(str(k) for k in range(len(array))) if labels is None else labels
        return Quantity(value=array, unit=unit, labels=labels, scale=scale, lower=lower, doc=doc)

    scale = per_phase(1.0, "", 0.0, doc="phase scale, proportional to the number of unit cells")
    table = {
        "scale": replace(scale, intensity=True),
        **background,
        "zero": number(i.zero, "°", -5.0, 5.0, 0.01, "2theta offset"),
        "U": number(i.U, "c°²", scale=1.0, doc="Gaussian variance, tan²(theta) term"),
        "V": number(i.V, "c°²", scale=1.0, doc="Gaussian variance, tan(theta) term"),
        "W": number(i.W, "c°²", scale=1.0, doc="Gaussian variance, constant term"),
        "X": number(i.X, "c°", scale=1.0, doc="Lorentzian FWHM, 1/cos(theta) term"),
        "Y": number(i.Y, "c°", scale=1.0, doc="Lorentzian FWHM, tan(theta) term"),
        "Z": number(i.Z, "c°", scale=1.0, doc="Lorentzian FWHM, constant term"),
        "shl": number(i.shl, "", 0.0, 0.3, 0.01, "axial divergence (S+H)/L"),
        "wavelength": listed(i.wavelengths, "Å", 1e-4, "wavelengths", lower=0.05),
        "size": per_phase(1.0, "µm", 1e-3, 100.0, 0.1, "crystallite size"),
        "size_mix": per_phase(1.0, "", 0.0, 1.0, 0.1, "Lorentzian fraction of the size broadening"),
        "strain": per_phase(1000.0, "10⁻⁶", 0.0, 1e6, 1000.0, "microstrain, 2 Δd/d"),
        "strain_mix": per_phase(1.0, "", 0.0, 1.0, 0.1, "Lorentzian fraction of the strain broadening"),
    }
    if len(i.wavelengths) == 2:
        table["ratio"] = number(i.ratio, "", 0.0, 2.0, 0.05, "intensity of the second wavelength")
    if i.radiation == "xray":
        if i.monochromator_deg is None:
            table["polarization"] = number(i.polarization, "", 0.0, 1.0, 0.1, "polarised fraction")
        else:
            table["monochromator"] = number(i.monochromator_deg, "°", 0.0, 180.0, 1.0, "monochromator 2theta")
    if i.geometry == "bragg-brentano":
        table["displacement"] = number(0.0, "µm", scale=10.0, doc="specimen displacement")
        table["transparency"] = number(0.0, "0.1 mm", scale=0.01, doc="specimen transparency 1/mu")
        table["roughness_a"] = number(1.0, "", 0.0, 1.0, 0.1, "surface roughness, Suortti a")
        table["roughness_b"] = number(0.0, "", 0.0, 10.0, 0.1, "surface roughness, Suortti b")
    else:
        table["displace_x"] = number(0.0, "µm", scale=10.0, doc="capillary displacement across the beam")
        table["displace_y"] = number(0.0, "µm", scale=10.0, doc="capillary displacement along the beam")
        table["absorption"] = number(i.mu_r, "", 0.0, 30.0, 0.1, "capillary absorption, mu R")
    isotropic = np.array([not p.stephens for p in plans])
    if not isotropic.all():  # the other phases have anisotropic strain instead
        table["strain"] = replace(table["strain"], basis=np.eye(n)[:, isotropic])
    if any(p.textured for p in plans):
        textured = np.array([p.textured for p in plans])
        table["march"] = Quantity(
            value=np.ones(n), labels=phases, lower=0.05, upper=20.0, scale=0.1,
            basis=np.eye(n)[:, textured], doc="March-Dollase ratio",
        )  # fmt: skip
    if any(p.uniaxial for p in plans):
        uniaxial = np.array([p.uniaxial for p in plans])
        table["size_along"] = Quantity(
            value=np.ones(n), unit="µm", labels=phases, lower=1e-3, upper=100.0, scale=0.1,
            basis=np.eye(n)[:, uniaxial], doc="crystallite size along the axis; size is that across",
        )  # fmt: skip
    if elements:
        f1, f2 = zip(*(dispersion(element, i.wavelengths[0]) for element in elements), strict=True)
        table["f1"] = listed(f1, "e", 0.5, "anomalous dispersion f'", labels=tuple(elements))
        table["f2"] = listed(f2, "e", 0.5, "anomalous dispersion f''", labels=tuple(elements), lower=0.0)
    for p in plans:
        if p.texture:
            table[f"texture_{p.name}"] = listed(
                np.zeros(len(p.texture)), "", 0.1, "texture in harmonics", labels=p.texture
            )
        if p.stephens:
            table[f"stephens_{p.name}"] = listed(
                np.full(len(p.stephens), 1.0), "10⁻¹²Å⁻⁴", 1.0, "anisotropic microstrain", labels=p.stephens
            )
    return table
