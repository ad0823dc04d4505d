"""Known structure types with the elements, cell and pattern of another crystal: proposals, and density priors."""

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
