"""Chemical formulas (host)."""

import re
from collections.abc import Mapping
from functools import reduce
from math import gcd

import gemmi
import numpy as np

from ...errors import ConventionError

# subscripts may be fractions of a repeated unit: Ca2.5 P1.5 ...
_LARGEST_DENOMINATOR = 12

_TOKEN = re.compile(r"([A-Z][a-z]?)|([(\[{])|([)\]}])|([·.*•])|(\d+(?:\.\d+)?)|(\s+)")

# symbol of one unknown element
UNKNOWN = "X"

_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")

Composition = str | Mapping[str, float | None]
"""A formula, or numbers by element: ``None`` for each where only the elements are known."""


def parse_composition(composition: Composition) -> dict[str, int]:
    """Return the smallest formula unit of whole atoms, including hydrogen.

    Args:
        composition: such as ``"PbSO4"``, ``"Ca5(PO4)3F"``, ``"CuSO4·5H2O"``, or numbers by element, none of them
            ``None``. ``X`` is one unknown element.

    Raises:
        ConventionError: the formula is invalid, or numbers are not ratios of small integers.
    """
    if isinstance(composition, str):
        amounts = _formula(composition)
    else:
        amounts = {element: float("nan") if n is None else float(n) for element, n in composition.items()}
    if not amounts:
        raise ConventionError("the composition is empty; write 'PbSO4' or {'Pb': 1, 'S': 1, 'O': 4}")
    merged: dict[str, float] = {}
    for element, amount in amounts.items():
        known = isinstance(element, str) and gemmi.Element(element)
        # gemmi reads only the leading symbol: 'Pb4' would be lead
        if element != UNKNOWN and (not known or known.atomic_number == 0 or known.name != element):
            raise ConventionError(
                f"{element!r} in the composition is no element; write 'PbSO4' or {{'Pb': 1, 'S': 1, 'O': 4}}"
            )
        if not (np.isfinite(amount) and amount > 0):
            raise ConventionError(f"the composition has {amount} {element}; expected a positive number")
        name = "H" if element == "D" else element
        merged[name] = merged.get(name, 0.0) + amount
    heavy = [amount for element, amount in merged.items() if element != "H"]
    if not heavy:
        raise ConventionError(
            "the composition has hydrogen only, which X-rays do not see beside nothing: nothing can be solved"
        )
    for factor in range(1, _LARGEST_DENOMINATOR + 1):
        whole = {element: amount * factor for element, amount in merged.items()}
        # the amount of hydrogen only affects the density
        if all(abs(n - round(n)) < 1e-6 * factor for element, n in whole.items() if element != "H"):
            counts = {element: max(round(n), 1) for element, n in whole.items()}
            common = reduce(gcd, (n for element, n in counts.items() if element != "H"))
            if common > 1 and counts.get("H", 0) % common == 0:
                counts = {element: n // common for element, n in counts.items()}
            return counts
    raise ConventionError(
        f"the composition {composition!r} is no ratio of small whole numbers: sites that are partly occupied or shared are not "
        "handled. Give the ideal composition"
    )


def _formula(text: str) -> dict[str, float]:
    # CuSO4.5H2O: the point is that of a hydrate
    text = re.sub(r"\.(?=\d*H2O)", "·", text.translate(_SUBSCRIPTS))
    stack: list[dict[str, float]] = [{}]
    total: dict[str, float] = {}
    lead, last, position = 1.0, None, 0

    def close() -> None:
        for element, n in stack[0].items():
            total[element] = total.get(element, 0.0) + lead * n

    while position < len(text):
        match = _TOKEN.match(text, position)
        # a point between digits is a decimal point, any other one that of a hydrate
        if match is None:
            raise ConventionError(f"cannot read the composition {text!r} at {text[position:]!r}; write 'Ca5(PO4)3F'")
        position = match.end()
        element, opening, closing, dot, number, _ = match.groups()
        if element:
            last = {element: 1.0}
        elif opening:
            stack.append({})
            last = None
            continue
        elif closing:
            if len(stack) == 1:
                raise ConventionError(f"a bracket of the composition {text!r} is closed that was not opened")
            last = stack.pop()
        elif dot:
            close()
            stack, lead, last = [{}], 1.0, None
            continue
        elif number:
            if last is None and not stack[-1] and len(stack) == 1:
                lead = float(number)
                continue
            if last is None:
                raise ConventionError(f"the number {number} of the composition {text!r} belongs to nothing")
            for name, n in last.items():
                stack[-1][name] = stack[-1].get(name, 0.0) + (float(number) - 1.0) * n
            last = None
            continue
        else:
            continue
        for name, n in last.items():
            stack[-1][name] = stack[-1].get(name, 0.0) + n
    if len(stack) > 1:
        raise ConventionError(f"a bracket of the composition {text!r} is not closed")
    close()
    return total
