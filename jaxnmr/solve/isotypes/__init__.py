"""Known structure types with the elements, the cell and the pattern of another crystal: proposals, and a prior of densities made of them."""

from .mixture import Mixture
from .proposals import Proposal, Proposals, propose, refined_proposals
from .types import StructureType, structure_types

__all__ = [
    "Mixture",
    "Proposal",
    "Proposals",
    "StructureType",
    "propose",
    "refined_proposals",
    "structure_types",
]
