"""Preferred orientation determined from the best structures of a search, and included in the comparison (host)."""

from collections.abc import Sequence

from ...errors import JaxnmrError
from ..checks.preferred_orientation import Texture, texture_of
from .search import Search
from .solutions import Solution

# number of structures examined, and R above which an examination is pointless
_ASKED, _HOPELESS = 3, 0.45
# ratio to the R that uncertainties explain, up to which texture does not matter; and R below which nothing is examined
_AS_GOOD, _FINE = 1.25, 0.04
# number of sites beyond which fits take long
_MOST_SITES = 40


def texture_of_finalists(search: Search, finalists: Sequence[Solution]) -> Texture | None:
    """Return the texture that fits one of the best structures best, if any, and apply it to the search.

    Args:
        search: finished search.
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
            # too few areas to decide
            continue
        if texture is not None and texture.r_factor < best.r_factor:
            found.append(texture)
    if not found:
        return None
    texture = min(found, key=lambda one: one.r_factor)
    search.compare_with(texture.corrected(intensities))
    return texture
