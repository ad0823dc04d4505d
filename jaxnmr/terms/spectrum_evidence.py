"""`SpectrumEvidence`: curves and sites of an NMR spectrum, refined or predicted (host)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

import numpy as np

from ..nmr import (
    Sites,
    SpectrumMAS,
    SpectrumStatic,
    haeberlen_from_shielding,
    isotope,
    quadrupolar_parameters,
    quadrupolar_product,
    quadrupolar_shift_ppm,
)
from ..objective.evidence import Condition, Derived, Profile, Table
from ..objective.misfit import Misfit

TENSOR_CONVENTIONS = (
    "Shifts are in ppm from the reference. ζ and η are those of the SHIELDING (Haeberlen, ζ = σ_zz − σ_iso): a positive ζ "
    "moves the unique edge of a pattern to lower shifts. Euler angles orient the shielding tensor, Rz(γ) Ry(β) Rz(α). "
    "Widths are full widths at half maximum; amplitudes are sums over points."
)
# site parameters by key: heading, factor
_COLUMNS = {
    "shift": ("δ / ppm", 1.0),
    "zeta": ("ζ / ppm", 1.0),
    "eta": ("η", 1.0),
    "shielding_spread": ("σ(ζ) / ppm", 1.0),
    "cq": ("C_Q / MHz", 1e-6),
    "eta_q": ("η_Q", 1.0),
    "quadrupolar_spread": ("σ(C_Q) / MHz", 1e-6),
    "gaussian": ("Gaussian / Hz", 1.0),
    "lorentzian": ("Lorentzian / Hz", 1.0),
    "amplitude": ("amplitude", 1.0),
    "share": ("share / %", 1.0),
}
_ANGLES = {"alpha": "α / °", "beta": "β / °", "gamma": "γ / °"}
_DIGITS = {"shift": 2, "zeta": 2, "cq": 4, "share": 1}


@dataclass(frozen=True, kw_only=True)
class SpectrumEvidence(Profile):
    """An NMR spectrum; ``parts`` are its sites.

    Attributes:
        frequency_hz: ``(points,)`` frequencies from the reference.
        isotope, larmor_hz: nucleus and its frequency at 0 ppm.
        mas_hz: spinning speed; 0 for static, infinite for no sidebands.
        central: whether only the central transition is calculated for a nucleus that has others.
        values: site parameters by name, ``(sites,)``, if they are parameters.
        followers: labels of sites that share shift and tensors with another one: its satellites.
        predicted: predictions from the structure, ``(sites,)`` by name: shift and zeta in ppm, cq in Hz, share in per cent.
    """

    frequency_hz: np.ndarray
    isotope: str
    larmor_hz: float
    mas_hz: float = 0.0
    central: bool = False
    values: Mapping[str, np.ndarray] = field(default_factory=dict)
    followers: frozenset[str] = frozenset()
    predicted: Mapping[str, np.ndarray] = field(default_factory=dict)

    kind: ClassVar[str] = "spectrum"
    factor: ClassVar[str] = "Rw"
    lines: ClassVar[str] = "lines"
    check: ClassVar[str] = "shifts, couplings, phase and spinning speed"
    better_sigma: ClassVar[str] = (
        "The noise was not measured beside the signal: name an empty region for it (noise_ppm; noise_region_ppm in a run "
        "file), or give sigma"
    )
    agreement_note: ClassVar[str] = "A goodness of fit of 1 leaves nothing but noise."

    @property
    def ppm(self) -> np.ndarray:
        """Shifts, ``(points,)``."""
        return self.axis.values

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the sites."""
        return tuple(self.parts)

    @property
    def components(self) -> np.ndarray:
        """Contributions of the sites, ``(sites, points)``; with the baseline they sum to ``calculated``."""
        return np.stack(list(self.parts.values()))

    @property
    def region_ppm(self) -> tuple[tuple[float, float], ...]:
        """Fitted regions."""
        return self.regions

    def columns(self) -> dict[str, np.ndarray]:
        curves = super().columns()
        return {"ppm": curves.pop(self.axis.label), "frequency_hz": self.frequency_hz, **curves}

    def _stiff(self, gain: float) -> str:
        return (
            f"The baseline of '{self.name}' does not follow the data between the lines, which makes {100 * gain:.0f} % of chi²: "
            f"refine {self.name}/baseline, or give the spectrum a baseline of more terms; check the phase, too."
        )

    def _incomplete(self) -> str:
        if not self.central:
            return ""
        return (
            "Only the central transition is calculated: satellites that overlap it give the shape intensity that no C_Q, η or "
            'width explains, and couplings that are wrong; transitions "all" calculates them. A second site, or a distribution of '
            "couplings, is the other likely reason."
        )

    def _unexplained(self, found: Misfit) -> str:
        sidebands = self._spaced_by_spinning([line.position for line in found.unexplained])
        if sidebands:
            return (
                f"{sidebands} of these are whole spinning speeds away from what is calculated: spinning sidebands, or satellite "
                "transitions that are not calculated."
            )
        return "A site or a phase that is missing, a site with another coupling, or an impurity."

    def _absent(self, found: Misfit) -> str:
        return "Couplings, linewidths or the spinning speed are not those of the data." if not found.unexplained else ""

    def _spaced_by_spinning(self, positions: Sequence[float]) -> int:
        """Count positions a whole number of spinning speeds away from the highest calculated point (host)."""
        if not 0.0 < self.mas_hz < np.inf:
            return 0
        speed = self.mas_hz / self.larmor_hz * 1e6
        top = self.ppm[int(np.argmax(self.calculated - self.baseline))]
        away = (np.asarray(positions) - top) / speed
        near = np.maximum(3.0 * float(np.median(np.diff(self.ppm))), 0.03 * speed) / speed
        return int(np.sum((np.abs(away - np.rint(away)) < near) & (np.rint(away) != 0)))

    def tables(self) -> tuple[Table, ...]:
        if self.predicted:
            digits = [_DIGITS.get(key, 3) for key in self.predicted]
            rows = tuple(
                (
                    label,
                    *(f"{_COLUMNS[key][1] * v:.{n}f}" for key, v, n in zip(self.predicted, of, digits, strict=True)),
                )
                for label, *of in zip(self.labels, *self.predicted.values(), strict=True)
            )
            header = ("site", *(_COLUMNS[key][0] for key in self.predicted))
            return (Table("sites", header, rows, lead="As the models predict them for the refined structure:"),)
        keys = [key for key in _COLUMNS if key in self.values and np.any(self.values[key] != 0)]
        turned = _ANGLES if np.any(self.values.get("euler", 0.0)) else {}
        rows = tuple(
            (
                label,
                *(f"{{{self.name}/{key}[{label}] × {_COLUMNS[key][1]:g}}}" for key in keys),
                *(f"{{{self.name}/euler[{label}.{angle}] × 1}}" for angle in turned),
            )
            for label in self.labels
        )
        return (Table("sites", ("site", *(_COLUMNS[key][0] for key in keys), *turned.values()), rows),)

    def derived(self) -> tuple[Derived, ...]:
        """Return span and skew, quadrupolar product and shift, and populations of the sites.

        Populations are amplitudes over their sum. The quadrupolar shift is that of the central transition, to second
        order; the centre of gravity is the sum of isotropic and quadrupolar shift.
        """
        if "amplitude" not in self.values:
            return ()  # sites predicted from the structure
        of, spin = self.values, isotope(self.isotope).spin
        # satellites of another site have no separate population
        every = [k for k, label in enumerate(self.labels) if label not in self.followers]
        out: list[Derived] = []

        def add(k, quantity, unit, value, slopes):
            """Append a value with its derivatives by parameters of sites ``(key, site)``."""
            named = {f"{self.name}/{key}[{self.labels[j]}]": float(slope) for (key, j), slope in slopes.items()}
            out.append(Derived(self.labels[k], quantity, unit, float(value), named))

        total = of["amplitude"][every].sum()
        for k in every:
            if len(every) > 1:
                share = of["amplitude"][k] / total
                slopes = {("amplitude", j): 100.0 * ((j == k) - share) / total for j in every}
                add(k, "population", "%", 100.0 * share, slopes)
            if (zeta := of["zeta"][k]) != 0:
                eta, sign = of["eta"][k], np.sign(zeta)
                slopes = {("zeta", k): sign * (3.0 + eta) / 2.0, ("eta", k): abs(zeta) / 2.0}
                add(k, "span Ω", "ppm", abs(zeta) * (3.0 + eta) / 2.0, slopes)
                slopes = {("zeta", k): 0.0, ("eta", k): -12.0 * sign / (3.0 + eta) ** 2}
                add(k, "skew κ", "", sign * 3.0 * (1.0 - eta) / (3.0 + eta), slopes)
            if "cq" in of and (cq := of["cq"][k]) != 0:
                eta, product = of["eta_q"][k], quadrupolar_product(of["cq"][k], of["eta_q"][k])
                slopes = {("cq", k): product / cq, ("eta_q", k): cq**2 * eta / (3.0 * product)}
                add(k, "P_Q", "MHz", 1e-6 * product, {name: 1e-6 * slope for name, slope in slopes.items()})
                if not float(spin).is_integer():
                    # proportional to the square of the product
                    moved = quadrupolar_shift_ppm(cq, eta, spin, self.larmor_hz)
                    slopes = {name: 2.0 * moved / product * slope for name, slope in slopes.items()}
                    add(k, "quadrupolar shift", "ppm", moved, slopes)
                    add(k, "centre of gravity", "ppm", of["shift"][k] + moved, {("shift", k): 1.0} | slopes)
        return tuple(out)

    def record(self) -> dict[str, Any]:
        columns = {key: np.asarray(v, dtype=float).tolist() for key, v in self.predicted.items()}
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return {
            **super().record(),
            "isotope": self.isotope,
            "larmor_hz": self.larmor_hz,
            "region_ppm": self.regions,
            "sites": self.labels,
            "predicted": [{"site": label, **row} for label, row in zip(self.labels, rows, strict=True)] if rows else [],
        }


def predicted_columns(sites: Sites) -> dict[str, np.ndarray]:
    """Return predicted parameters of sites, ``(sites,)`` each.

    Shifts and zeta are in ppm, C_Q in Hz, shares of the intensity in per cent.
    """
    columns = {"shift": sites.shift_ppm}
    if np.any(np.asarray(sites.shielding_ppm) != 0):
        # without sidebands the anisotropy is not observable, and none is predicted
        shielding = haeberlen_from_shielding(sites.shielding_ppm)
        columns |= {"zeta": shielding.zeta, "eta": shielding.eta}
    if float(isotope(sites.isotope).spin) > 0.5:
        columns["cq"], columns["eta_q"] = quadrupolar_parameters(sites.quadrupolar_hz)
    columns["share"] = 100.0 * sites.amplitude / sites.amplitude.sum()
    return {key: np.asarray(column, dtype=float) for key, column in columns.items()}


def spectrum_conditions(simulation: SpectrumStatic | SpectrumMAS) -> tuple[Condition, ...]:
    """Describe the measurement and calculation of a spectrum in words."""
    # names of transitions have been resolved
    transitions = cast("tuple[tuple[float, float], ...]", simulation.transitions)
    spinning = "none" if simulation.mas_hz == 0 else f"{simulation.mas_hz:g} Hz at {simulation.rotor_angle_deg:.4f}°"
    return (
        ("nucleus", f"{simulation.isotope} at {simulation.larmor_hz / 1e6:.6g} MHz"),
        ("spinning", spinning.replace("inf Hz", "infinitely fast")),
        ("transitions", ", ".join(f"{f:+g} ↔ {i:+g}" for f, i in transitions)),
    )
