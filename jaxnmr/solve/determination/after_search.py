"""Checks after a search: texture for the refinement, electrons of the atoms, missing atoms (host)."""

from ...crystal import Crystal
from ...errors import JaxnmrError
from ..checks.electrons import electron_counts
from ..checks.other_setting import areas_in_setting
from ..checks.preferred_orientation import Texture, texture_of
from ..direct.solutions import Solutions
from ..fourier.maps import difference_map
from ..records import Intensities

# number of sites beyond which fits to areas take long
_MOST_SITES = 60
# height of a maximum in root mean squares of a difference map, at this distance in Å from all atoms, that indicates a
# missing atom: the highest of measured anglesite has 3.1, and 9.3 with an oxygen omitted from the formula
_ATOM, _AWAY = 6.0, 0.9


def texture_for(crystal: Crystal, areas: Intensities, solutions: Solutions) -> Texture | None:
    """Return the texture for refining a structure, in its setting; ``None`` if the search found none.

    Args:
        crystal: structure to be refined, in any setting.
        areas: areas used in the search; ``solutions`` its result.
    """
    if solutions.texture is None:
        return None
    try:
        return texture_of(crystal, areas)
    except JaxnmrError:
        return None


def electron_notes(crystal: Crystal, areas: Intensities, texture: Texture | None = None) -> tuple[str, ...]:
    """List elements whose numbers of electrons contradict the areas, in words.

    Args:
        crystal: solved structure, in the setting of the areas.
        areas: integrated X-ray intensities; nothing is reported for neutrons.
        texture: texture of the areas.
    """
    if areas.instrument.radiation != "xray" or len(crystal.species) > _MOST_SITES:
        return ()
    try:
        return electron_counts(crystal, areas if texture is None else texture.corrected(areas)).notes
    except JaxnmrError:
        # a single element, or too few areas for a count
        return ()


def missing_notes(crystal: Crystal, areas: Intensities, solutions: Solutions) -> tuple[str, ...]:
    """List positions where the areas show an atom missing in a structure, in words.

    Args:
        crystal: refined structure, in any setting.
        areas: areas used in the search; ``solutions`` its result.
    """
    try:
        here, texture = areas_in_setting(areas, crystal), texture_for(crystal, areas, solutions)
        found = difference_map(crystal, here if texture is None else texture.corrected(here))
    except JaxnmrError:
        return ()
    for peak in found.peaks:
        if peak.height >= _ATOM * found.sigma and peak.distance >= _AWAY:
            return (
                f"the difference map has a maximum of {peak.height:.1f} {'e' if areas.instrument.radiation == 'xray' else 'fm'}/Å³, "
                f"{peak.height / found.sigma:.1f} times its root mean square, at {' '.join(f'{x:.3f}' for x in peak.xyz)}, {peak.distance:.2f} Å "
                f"from {peak.nearest}: an atom may be missing ({peak.multiplicity} in the cell), and the composition be wrong",
            )
    return ()
