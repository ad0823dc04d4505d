"""What is looked at beside the structure itself when a search has found one: texture for its refinement, electrons of its atoms (host)."""

from ..crystal import Crystal
from ..errors import JaxnmrError
from .direct.solutions import Solutions
from .electrons import electron_counts
from .preferred_orientation import Texture, texture_of
from .records import Intensities

# sites beyond which fits to areas take long
_MOST_SITES = 60


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
