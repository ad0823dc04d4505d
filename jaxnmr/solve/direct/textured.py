"""A preferred orientation found in the best structures of a search, and taken into what all of them are compared with (host)."""

from collections.abc import Sequence

from ...errors import JaxnmrError
from ..checks.preferred_orientation import Texture, texture_of
from .search import Search
from .solutions import Solution

# structures that are asked, and R from which none of them is worth it
_ASKED, _HOPELESS = 3, 0.45
# of the R that uncertainties explain: a structure that fits as well has no texture that matters; and R below which nothing is asked
_AS_GOOD, _FINE = 1.25, 0.04
# sites beyond which fits take long
_MOST_SITES = 40


def texture_of_finalists(search: Search, finalists: Sequence[Solution]) -> Texture | None:
    """The texture with which one of the best structures fits best, if any; the search compares with it from here on.

    Args:
        search: that is over.
        finalists: its structures, the best first.
    """
    best, intensities = finalists[0], search.problem.intensities
    if not max(_AS_GOOD * search.problem.noise, _FINE) < best.r_factor < _HOPELESS:
        return None
    found = []
    for one in finalists[:_ASKED]:
        if len(one.crystal.species) > _MOST_SITES:
            continue
        try:
            texture = texture_of(one.crystal, intensities)
        except JaxnmrError:
            # too few areas to tell
            continue
        if texture is not None and texture.r_factor < best.r_factor:
            found.append(texture)
    if not found:
        return None
    texture = min(found, key=lambda one: one.r_factor)
    search.compare_with(texture.corrected(intensities))
    return texture
