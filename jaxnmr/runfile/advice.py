"""Error messages in the terms of run files: advice about Python arguments rewritten as advice about TOML keys."""

from __future__ import annotations

import re
from collections.abc import Callable

# applied before the general rule for arguments: Python phrases with a different equivalent in run files
_PHRASES: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (
        r"PowderDiffraction\(instrument=Instrument\(wavelengths=\(([\d.]+),\)\)\) says it, or read_pattern\([^)]*\)",
        r"wavelength = \1 in its [[histogram]] says it",
    ),
    (r"free some, e\.g\. params\.free\([^)]*\)", 'free some in a [[stage]], free = ["cell", "xyz"]'),
    (
        r"params\.free\(([^)]*)\)",
        lambda found: f"free = [{found[1]}] in a [[stage]]".replace("'", '"'),
    ),
    (r"give the objective a model( that does)?, Objective\(\.\.\., models=[^)]*\)", r"give the run a [[model]]\1"),
    (r"give the objective a model", "give the run a [[model]]"),
    (r"the objective has no crystal: give it crystal=", "the run has no [[phase]]: give it one"),
    (r"give the objective crystal=, too", "give the run a [[phase]], too"),
    (r"models=\{phase: model\}, in a run file phase =", "phase ="),
    (r"bank=(\d+) \.\.\. (?:bank=)?(\d+)", r"bank = \1 ... \2"),
    (r"larmor_hz=([\d.e+]+)", lambda found: f"larmor_mhz = {float(found[1]) / 1e6:.9g}"),
    (r"larmor_hz\b", "larmor_mhz"),
    (r"\bdead_time_s is ([\d.e+-]+) s\b", lambda found: f"dead_time_us is {float(found[1]) * 1e6:.9g} µs"),
    (r"\blength_s is ([\d.e+-]+) s\b", lambda found: f"length_us is {float(found[1]) * 1e6:.9g} µs"),
    (r"\bwidth_hz is ([\d.e+-]+) Hz\b", lambda found: f"width_khz is {float(found[1]) / 1e3:.9g} kHz"),
    (r"\bdead_time_s\b", "dead_time_us"),
    (r"\blength_s\b", "length_us"),
    (r"\bwidth_hz\b", "width_khz"),
    (r"reference=ShiftReference\(ppm\), such as one fitted with ShiftReference\.fit[^,;]*", "reference = ..."),
    (r"\bblock=", "entry="),
    (r"\(sites=\)", "(sites)"),
    (r"use jaxnmr\.models\.calibrate", "a training run file with a part to validate calibrates it"),
    (r"call jaxnmr\.enable_x64\(\) before anything else", "that is an error of jaxnmr, please report it"),
    (r", such as Instrument\(wavelengths=\([^)]*\)\)", ""),
)
# arguments inside calls, and quoted content of files, are left alone
_ARGUMENT = re.compile(r"(?<![\w\[{(.'\"-])([a-z]\w*)=(?!=)('[^']*'|\"[^\"]*\"|True|False|None)?")
_CONVERTED = (
    "python -c \"from jaxnmr.io import *; write_magres(read_magres('OLD.magres', assume_units=True), 'NEW.magres')\""
)
_VALUES = {"True": "true", "False": "false", "None": "nothing"}


def in_keys(message: str) -> str:
    """Rewrite a message whose advice names arguments of Python functions in terms of run-file keys.

    Keys are named like the arguments, unless a phrase says otherwise: ``bank=2`` becomes ``bank = 2``.
    """
    for phrase, told in _PHRASES:
        message = re.sub(phrase, told, message)
    message = _ARGUMENT.sub(_as_key, message)
    return message.replace("read such a file with assume_units = true", f"write it again with them, {_CONVERTED}")


def _as_key(found: re.Match[str]) -> str:
    value = found[2] or ""
    if value:
        return f'{found[1]} = "{value[1:-1]}"' if value[0] in "'\"" else f"{found[1]} = {_VALUES[value]}"
    # a bare name, or one with a value that is not a bare word
    follows = found.string[found.end() : found.end() + 1]
    return found[1] if follows in ("", " ", ",", ";", ".", ")") else f"{found[1]} = "
