"""`read_instrument`: instrument parameter files of GSAS (.prm) and GSAS-II (.instprm)."""

import math
import re
from pathlib import Path

from ..._arguments import checked
from ...diffraction.records import Instrument
from ...errors import ConventionError, ParseError
from ..files import decode, read_bytes, split_lines

_SUPPORTED = "PXC (constant-wavelength X-rays) and PNC (neutrons)"
# Positions of the coefficients this package uses in the GSAS constant-wavelength profile functions.
_PROFILES = {
    1: {"U": 0, "V": 1, "W": 2},
    2: {"U": 0, "V": 1, "W": 2, "X": 3, "Y": 4, "P": 8},
    3: {"U": 0, "V": 1, "W": 2, "P": 3, "X": 4, "Y": 5, "S": 6, "H": 7},
    4: {"U": 0, "V": 1, "W": 2, "P": 3, "X": 4, "S": 9, "H": 10},
}
_TUBES = ("crka", "feka", "coka", "cuka", "moka", "agka")


@checked
def read_instrument(path: str | Path, bank: int | None = None) -> Instrument:
    """Read a constant-wavelength instrument parameter file of GSAS (``.prm``) or GSAS-II (``.instprm``).

    Args:
        path: the file.
        bank: number of the bank; may be omitted if there is only one.

    Returns:
        The instrument. Units follow `Instrument`: a GSAS zero in centidegrees becomes degrees, and its Gaussian
        term P/cos² is added to U and W (P/cos² = P tan² + P). Two wavelengths or a laboratory tube imply
        Bragg-Brentano, otherwise Debye-Scherrer. GSAS ``POLA`` is the polarised fraction; with ``IPOLA`` 1 it is
        cos² of the monochromator angle and is converted.

    Raises:
        ParseError: neither format, time of flight, several banks without a choice, or missing or impossible numbers.

    Source: Larson & Von Dreele (2004), GSAS, Los Alamos report LAUR 86-748, instrument parameter file and CW
    profile functions 1 to 4.

    Example:
        >>> jn.read_instrument("INST_XRY.PRM").wavelengths  # doctest: +SKIP
    """
    text = decode(path, read_bytes(path), "instrument parameters")
    lines = split_lines(text)
    if any(line.startswith("INS ") for line in lines):
        return _read_prm(path, lines, bank)
    if any(re.match(r"\s*(Type|Lam1?)\s*:", line) for line in lines):
        return _read_instprm(path, lines, bank)
    raise ParseError(
        path, None, "neither a GSAS file (lines starting with INS) nor a GSAS-II one (Type:PXC, Lam:..., U:...)"
    )


def _read_prm(path: str | Path, lines: list[str], bank: int | None) -> Instrument:
    """Read fixed columns: 12 for the key (4-6 the bank), the rest for values."""
    records: dict[tuple[int | None, str], tuple[int, str]] = {}
    for number, line in enumerate(lines, 1):
        if line.startswith("INS "):
            field, key = line[3:6].strip(), line[6:12].ljust(6)
            key = key if key.startswith("PRCF") else key.strip()
            records[int(field) if field.isascii() and field.isdigit() else None, key] = (number, line[12:])
    stated, kind = records.get((None, "HTYPE"), (None, ""))
    kind = kind.strip().upper()
    if kind[:3] not in ("PXC", "PNC"):
        raise ParseError(path, stated, f"HTYPE is {kind or 'missing'}; expected {_SUPPORTED}")
    bank = _choose(path, sorted({b for b, key in records if b is not None and key == "ICONS"}), bank, "ICONS record")
    number, text = records[bank, "ICONS"]
    wavelength, second, zero, _, polarization, mode, ratio = _icons(path, number, text)
    neutron, values = kind[1] == "N", {}
    if polarization is not None and not neutron:
        values["polarization"] = 1.0 / (1.0 + polarization) if mode == 1 and polarization >= 0 else polarization
    if ratio is not None and second:
        values["ratio"] = ratio
    values["zero"] = (zero or 0.0) / 100.0
    values.update(_prm_profile(path, records, bank))
    irad = records.get((bank, "IRAD"), (0, "0"))[1].strip()
    tube = not neutron and (bool(second) or irad not in ("", "0"))
    return _instrument(path, number, neutron, wavelength, second, tube, values)


def _icons(path: str | Path, line: int, text: str) -> list[float | None]:
    """Return wavelengths 1 and 2, zero, (unused), polarisation, its kind, ratio; blank fields become ``None``."""
    widths = (10, 10, 10, 10, 10, 5, 10)
    starts = [sum(widths[:k]) for k in range(7)]
    fields = [text[a : a + w].strip() for a, w in zip(starts, widths, strict=True)]
    if len(text.split()) == 7:
        fields = text.split()
    try:
        values = [float(field) if field else None for field in fields]
    except ValueError:
        raise ParseError(
            path,
            line,
            f"ICONS is {text.strip()!r}; expected columns of 10, 10, 10, 10, 10, 5 and 10 characters: "
            "wavelength 1, wavelength 2, zero (centidegrees), blank, polarisation, its kind, Kα2/Kα1",
        ) from None
    if not values[0]:
        raise ParseError(path, line, "ICONS gives no wavelength; expected one in Å in the first ten columns")
    return values


def _prm_profile(path: str | Path, records: dict, bank: int) -> dict[str, float]:
    """Return U, V, W, X, Y and axial divergence of the first profile function 3, else of the first supported one."""
    sets = {}
    for (owner, key), (number, text) in records.items():
        if owner == bank and (match := re.fullmatch(r"PRCF([ \d]) ", key)):
            words = text.split()
            if not words or not re.fullmatch(r"-?[0-9]{1,3}", words[0]):
                raise ParseError(path, number, f"{key} is {text.strip()!r}; expected function, coefficients, cut-off")
            sets[match[1]] = (int(words[0]), number)
    known = [name for name in sorted(sets) if sets[name][0] in _PROFILES]
    if not known:
        if sets:
            number = min(line for _, line in sets.values())
            raise ParseError(
                path, number, f"no profile function among 1, 2, 3, 4 (found {sorted(f for f, _ in sets.values())})"
            )
        return {}
    chosen = next((name for name in known if sets[name][0] == 3), known[0])
    function, number = sets[chosen]
    coefficients: list[float] = []
    for k in range(1, 10):
        if (bank, f"PRCF{chosen}{k}") in records:
            number, text = records[bank, f"PRCF{chosen}{k}"]
            try:
                coefficients += [
                    float(text[15 * c : 15 * c + 15]) for c in range(4) if text[15 * c : 15 * c + 15].strip()
                ]
            except ValueError:
                raise ParseError(path, number, f"{text.strip()!r}; expected four fields of 15 columns") from None
    if len(coefficients) < 3:
        raise ParseError(
            path, number, f"profile function {function} has {len(coefficients)} coefficients; expected U, V, W"
        )
    at = {name: coefficients[k] for name, k in _PROFILES[function].items() if k < len(coefficients)}
    extra = at.get("P", 0.0)
    profile = {"U": at["U"] + extra, "V": at["V"], "W": at["W"] + extra, "X": at.get("X", 0.0), "Y": at.get("Y", 0.0)}
    if "S" in at and "H" in at:
        profile["shl"] = at["S"] + at["H"]
        if at["S"] > 0.0 and at["H"] > 0.0:
            profile["axial_ratio"] = at["S"] / at["H"]
    return profile


def _read_instprm(path: str | Path, lines: list[str], bank: int | None) -> Instrument:
    """Read ``key:value`` lines, several per line if separated by ``;``; ``#Bank n`` starts another bank."""
    banks: list[dict[str, tuple[int, str]]] = [{}]
    for number, line in enumerate(lines, 1):
        if line.startswith("#"):
            if re.match(r"#\s*Bank\s+\d+", line, re.IGNORECASE) and banks[-1]:
                banks.append({})
            continue
        for item in line.split(";"):
            if not item.strip():
                continue
            key, colon, value = item.partition(":")
            if not colon:
                raise ParseError(path, number, f"{item.strip()[:40]!r}; expected key:value")
            banks[-1][key.strip()] = (number, value.strip())

    def number_of(entries: dict[str, tuple[int, str]], key: str, default: float) -> float:
        if key not in entries:
            return default
        line, value = entries[key]
        try:
            return float(value)
        except ValueError:
            raise ParseError(path, line, f"{key} is {value!r}; expected a number") from None

    numbered = {}
    for k, entries in enumerate(banks):
        name = number_of(entries, "Bank", k + 1)
        if not (math.isfinite(name) and name > 0):
            raise ParseError(path, entries["Bank"][0], f"Bank is {name}; expected a positive number")
        numbered[int(name)] = entries
    entries = numbered[_choose(path, sorted(numbered), bank, "parameter set")]
    stated, kind = entries.get("Type", (None, "missing"))
    if kind[:3] not in ("PXC", "PNC"):
        raise ParseError(path, stated, f"Type is {kind}; expected {_SUPPORTED}")
    wavelength, second = number_of(entries, "Lam1", number_of(entries, "Lam", 0.0)), number_of(entries, "Lam2", 0.0)
    if not wavelength:
        raise ParseError(path, stated, "no wavelength; expected Lam (one) or Lam1 and Lam2 (a Kα doublet), in Å")
    names = {
        "Zero": "zero",
        "SH/L": "shl",
        "I(L2)/I(L1)": "ratio",
        "Polariz.": "polarization",
        "Gonio. radius": "radius_mm",
    }
    names |= {name: name for name in "UVWXYZ"}
    values = {ours: number_of(entries, theirs, math.nan) for theirs, ours in names.items() if theirs in entries}
    if kind[1] == "N":
        values.pop("polarization", None)
    if not second:
        values.pop("ratio", None)
    tube = kind[1] == "X" and (bool(second) or entries.get("Source", (0, ""))[1].lower() in _TUBES)
    return _instrument(path, stated, kind[1] == "N", wavelength, second, tube, values)


def _choose(path: str | Path, banks: list[int], bank: int | None, what: str) -> int:
    listing = ", ".join(map(str, banks))
    if not banks:
        raise ParseError(path, None, f"no {what}; the file is incomplete")
    if bank is None:
        if len(banks) > 1:
            raise ParseError(path, None, f"holds banks {listing}; choose one with bank={banks[0]}")
        return banks[0]
    if bank not in banks:
        raise ParseError(path, None, f"has no bank {bank}; it holds {listing}")
    return bank


def _instrument(path, line, neutron, wavelength, second, tube, values) -> Instrument:
    for name, value in values.items():
        if not math.isfinite(value):
            raise ParseError(path, line, f"{name} is {value}; expected a finite number")
    try:
        return Instrument(
            radiation="neutron" if neutron else "xray",
            wavelengths=(wavelength, second) if second and not neutron else (wavelength,),
            geometry="bragg-brentano" if tube else "debye-scherrer",
            name=Path(path).name,
            **values,
        )
    except ConventionError as error:
        raise ParseError(path, line, str(error)) from error
