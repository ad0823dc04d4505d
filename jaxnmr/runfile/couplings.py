"""``[[couplings]]``: couplings between pairs of spins, alongside patterns, spectra, peaks and tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ..crystal import Crystal
from ..errors import ConventionError
from ..nmr import CouplingCalibration, isotope
from ..objective import Loss
from ..terms import CouplingLaw, CouplingTerm
from .keys import Spec, key, part, parts, read, required
from .shared import phase_key, plain_name
from .table import REQUIRED, Table
from .weights import robust_key, weight_key, weighted

Form = Literal["cosine", "s_character"]
Kind = Literal["dipolar", "j"]


@dataclass(frozen=True, kw_only=True)
class PairSpec(Spec):
    """One of the ``pairs``."""

    atoms: tuple[str, ...] = required(
        Table.texts, '["C1", "N1"]',
        help='the shortest distance of two sites, in the order of nuclei; "N1 3_655" picks an image. For J also three, '
        '["Si1", "O3", "Si2 2_655"], where several linkages join two sites',
    )  # fmt: skip
    hz: float = required(Table.number, "905.0", unit="Hz")
    sigma: float | None = key(Table.positive, None, "10.0", unit="Hz")


@dataclass(frozen=True, kw_only=True)
class LawSpec(Spec):
    """``law = { ... }``."""

    form: Form = key(Table.text, "cosine", help="cosine: offset + slope cos(angle)", choices=get_args(Form))
    offset_hz: float = required(Table.number, "-5.0")
    slope_hz: float = required(Table.number, "-25.0")


@dataclass(frozen=True, kw_only=True)
class CalibrationSpec(Spec):
    """``calibration = { ... }`` given in the run file."""

    offset_hz: float = key(Table.number, 0.0)
    slope: float = key(Table.number, 1.0, help="or { published = ... }")


def _nuclei(table: Table, key: str, default: Any = REQUIRED) -> tuple[str, str]:
    nuclei = table.texts(key)
    if len(nuclei) != 2:
        raise table.error(f"expected two isotopes, got {list(nuclei)}", key)
    try:
        first, second = (isotope(of).symbol for of in nuclei)
    except ConventionError as err:
        raise table.error(str(err), key) from None
    return first, second


def _across(table: Table, key: str, default: Any = REQUIRED) -> tuple[str, str, str]:
    kind = table.texts(key)
    if len(kind) != 3:
        raise table.error(f'expected three elements such as ["Si", "O", "Si"], got {list(kind)}', key)
    return kind


def _law(table: Table, key: str, default: Any = REQUIRED, *, of: type[LawSpec]) -> CouplingLaw:
    if not table.has(key):
        raise table.error("the key 'law' is missing: { form = \"cosine\", offset_hz = ..., slope_hz = ... }")
    return CouplingLaw(**vars(part(table, key, of=of)))


def _calibration(table: Table, key: str, default: Any, *, of: type[CalibrationSpec]) -> CouplingCalibration | None:
    if not table.has(key):
        return default
    inner = table.table(key)
    if not inner.has("published"):
        return CouplingCalibration(**vars(read(inner, of)))
    try:
        found = CouplingCalibration.published(inner.text("published"))
    except ConventionError as err:
        raise inner.error(str(err), "published") from None
    inner.done()
    return found


@dataclass(frozen=True, kw_only=True, eq=False)
class CouplingsSpec(Spec):
    """One ``[[couplings]]``."""

    name: str = key(
        plain_name, "couplings", '"redor"', shown=True,
        help="its parameter is called redor/slope, which motion makes smaller than 1; of J redor/offset and "
        "redor/slope",
    )  # fmt: skip
    kind: Kind = required(
        Table.text, '"dipolar"', choices=get_args(Kind),
        help="dipolar couplings measure distances and need no calibration; J couplings across a bridging atom follow a "
        "law of its angle that you state",
    )  # fmt: skip
    phase: str = phase_key("couplings follow structures")
    weight: float = weight_key()
    robust: Loss | None = robust_key()
    nuclei: tuple[str, str] = required(_nuclei, '["13C", "15N"]', kinds=("dipolar",))
    signed: bool = key(
        Table.flag, False, help="signs were measured: negative for gyromagnetic ratios of one sign", kinds=("dipolar",)
    )
    slope: float = key(Table.number, 1.0, help="starting value", kinds=("dipolar",))
    across: tuple[str, str, str] = required(_across, '["Si", "O", "Si"]', kinds=("j",))
    law: CouplingLaw = required(
        _law, '{ form = "cosine", offset_hz = -5.0, slope_hz = -25.0 }', of=LawSpec, kinds=("j",)
    )
    calibration: CouplingCalibration | None = key(
        _calibration, None, '{ published = "nmrcryspy/29Si-O-29Si" }', of=CalibrationSpec, kinds=("j",),
        help="of computed couplings",
    )  # fmt: skip
    sigma: float | None = key(
        Table.positive, None, "20.0", shown=True,
        help="Hz, of every pair that has none of its own; for J of the measurement and of the law",
        unit="Hz",
    )  # fmt: skip
    pairs: tuple[PairSpec, ...] = required(
        parts, '[{ atoms = ["C1", "N1"], hz = 905.0 }, { atoms = ["C2", "N1"], hz = 190.0, sigma = 10.0 }]', of=PairSpec
    )

    def check(self, table: Table) -> None:
        lengths = (2,) if self.kind == "dipolar" else (2, 3)
        for pair, inner in zip(self.pairs, table.tables("pairs"), strict=True):
            if len(pair.atoms) not in lengths:
                wanted = " or ".join(map(str, lengths))
                raise inner.error(f"expected {wanted} labels of sites, got {list(pair.atoms)}", "atoms")
            if pair.sigma is None and self.sigma is None:
                raise inner.error("the key 'sigma' is missing, here and in the table above: the uncertainty in Hz")
        if not self.pairs:
            raise table.error('there are no pairs: give pairs = [{ atoms = ["Si1", "Si2"], hz = 12.3 }]')


def couplings_term(spec: CouplingsSpec, crystals: Mapping[str, Crystal], models: Mapping[str, list]) -> Any:
    """Make the weighted term of a ``[[couplings]]``."""
    crystal, atoms, hz = crystals[spec.phase], tuple(p.atoms for p in spec.pairs), tuple(p.hz for p in spec.pairs)
    sigma = tuple(spec.sigma if p.sigma is None else p.sigma for p in spec.pairs)
    common: dict[str, Any] = {"sigma": sigma, "phase": spec.phase, "name": spec.name}
    if spec.kind == "dipolar":
        term = CouplingTerm.dipolar(crystal, spec.nuclei, atoms, hz, signed=spec.signed, scale=spec.slope, **common)
    else:
        common |= {"law": spec.law, "calibration": spec.calibration}
        term = CouplingTerm.across(crystal, spec.across, hz, atoms=atoms, **common)
    return weighted(term, spec.weight, spec.robust)
