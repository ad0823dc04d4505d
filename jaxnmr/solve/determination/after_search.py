"""What is looked at beside the structure itself when a search has found one: texture for its refinement, electrons of its atoms, atoms that it lacks (host)."""

from ...crystal import Crystal
from ...errors import JaxnmrError
from ..checks.electrons import electron_counts
from ..checks.other_setting import areas_in_setting
from ..checks.preferred_orientation import Texture, texture_of
from ..direct.solutions import Solutions
from ..fourier.maps import difference_map
from ..records import Intensities

# sites beyond which fits to areas take long
_MOST_SITES = 60
# root mean squares of a difference map by which a maximum must rise, this many Å away from all atoms, to be one that is missing: of measured
# anglesite the highest has 3.1, and 9.3 where an oxygen was left out of the formula
_ATOM, _AWAY = 6.0, 0.9


def texture_for(crystal: Crystal, areas: Intensities, solutions: Solutions) -> Texture | None:
    """The texture with which a structure is to be refined, in its own setting; nothing where the search saw none.

    Args:
        crystal: a structure to be refined, in any setting.
        areas: that were searched; ``solutions`` what was found.
    """
    if solutions.texture is None:
        return None
    try:
        return texture_of(crystal, areas)
    except JaxnmrError:
        return None


def electron_notes(crystal: Crystal, areas: Intensities, texture: Texture | None = None) -> tuple[str, ...]:
    """Elements whose numbers of electrons the areas contradict, in words.

    Args:
        crystal: a structure that was found, in the setting of the areas.
        areas: integrated intensities of X-rays; of neutrons nothing is said.
        texture: that they have.
    """
    if areas.instrument.radiation != "xray" or len(crystal.species) > _MOST_SITES:
        return ()
    try:
        return electron_counts(crystal, areas if texture is None else texture.corrected(areas)).notes
    except JaxnmrError:
        # a single element, or too few areas to count by
        return ()


def missing_notes(crystal: Crystal, areas: Intensities, solutions: Solutions) -> tuple[str, ...]:
    """Where the areas see an atom that a structure does not have, in words.

    Args:
        crystal: a refined structure, in any setting.
        areas: that were searched; ``solutions`` what was found.
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
