"""Compositions with an unknown element ``X``: several elements are substituted and its electrons refined (host)."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import gemmi

from ..._words import listed
from ...errors import ConventionError, DataError, JaxnmrError
from ..checks.electrons import ElectronCounts, electron_counts
from ..records import Intensities
from .formula import UNKNOWN, Composition, parse_composition
from .solutions import Solutions

# substituted elements, the most usual first: neighbours differ by a factor of two in electrons, and all sizes are
# covered
STAND_INS = ("Si", "Cr", "C", "Zr", "W")
# fraction of the time for each of these
_SHARE = 0.12

Solver = Callable[..., Solutions]


def has_unknown(composition: Composition) -> bool:
    """Return whether a composition contains the unknown element."""
    return UNKNOWN in (parse_composition(composition) if isinstance(composition, str) else composition)


def require_countable(composition: Composition, radiation: str) -> None:
    """Refuse an unknown element whose electrons cannot be determined.

    Raises:
        ConventionError: neutrons are used, or there is no element beside ``X`` to calibrate its electrons.
    """
    amounts = parse_composition(composition) if isinstance(composition, str) else composition
    if not any(element not in (UNKNOWN, "H", "D") for element in amounts):
        raise ConventionError(
            f"the composition has nothing beside {UNKNOWN}: its electrons cannot be told from the scale"
        )
    if radiation != "xray":
        raise ConventionError(f"neutrons do not count electrons: an unknown element {UNKNOWN} needs X-rays")


def structure_with_unknown(
    solve: Solver, intensities: Intensities, composition: Composition, contents: Mapping[str, int] | None, seconds: float, **options: object
) -> Solutions:  # fmt: skip
    """Solve with the element that fits best for ``X``, and list the candidates in the notes.

    Every substitute is searched for a fraction of the time, and the electrons of its site are refined. The best fit
    determines the element used for the rest of the time.

    Args:
        solve: :func:`jaxnmr.solve.structure`; ``options`` its other arguments.
        intensities: X-ray intensities.
        composition, contents: those with ``X``.
        seconds: total CPU time.

    Raises:
        ConventionError: neutrons are used, or there is no element beside ``X`` to calibrate its electrons.
    """
    amounts = dict(parse_composition(composition)) if isinstance(composition, str) else dict(composition)
    others = [element for element in amounts if element not in (UNKNOWN, "H", "D")]
    require_countable(amounts, intensities.instrument.radiation)
    named = lambda of, element: None if of is None else {element if e == UNKNOWN else e: n for e, n in of.items()}
    run = lambda element, seconds: solve(
        intensities, named(amounts, element), contents=named(contents, element), seconds=seconds, **options
    )
    tried: list[tuple[float, ElectronCounts, str, Solutions]] = []
    errors: list[JaxnmrError] = []
    for element in (e for e in STAND_INS if e not in amounts):
        try:
            found = run(element, _SHARE * seconds)
            counted = electron_counts(found.best.crystal, intensities, reference=_reference(found, element))
        except JaxnmrError as err:
            errors.append(err)
            continue
        tried.append((counted.fit.bic, counted, element, found))
        if found.interrupted or found.solved:
            break
    if not tried:
        raise errors[0] if errors else DataError(f"no element could stand in for {UNKNOWN}")
    _, counted, element, found = min(tried, key=lambda one: one[0])
    if not found.interrupted:
        # the dispersion is that of the substitute: the second search decides
        element = counted.candidates(element, without=others)[0]
        left = max(seconds - sum(one[3].seconds for one in tried), 0.3 * seconds)
        again = run(element, left)
        counts = electron_counts(again.best.crystal, intensities, reference=_reference(again, element))
        found, counted = again, counts
    row = counted[element]
    near = counted.candidates(element, without=others)
    words = (
        f"{UNKNOWN}: Z = {row.z:.1f} ± {row.sigma:.1f} ({listed(near[:5], 'or')}), counted by the electrons of {counted.reference}; "
        f"{element} stands for it"
    )
    spent = sum(one[3].seconds for one in tried) + (0.0 if found is tried[-1][3] else found.seconds)
    return replace(found, notes=(words, *found.notes), seconds=spent)


def _reference(found: Solutions, element: str) -> str:
    """Return the known element that scatters most."""
    power = {e: n * gemmi.Element(e).atomic_number ** 2 for e, n in found.contents.items() if e != element}
    return max(power, key=power.__getitem__)
