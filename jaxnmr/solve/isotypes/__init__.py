"""Known structure types with the elements, the cell and the pattern of another crystal: proposals, and a prior of densities made of them."""

from typing import TYPE_CHECKING

from ..._lazy import lazy

if TYPE_CHECKING:
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

__getattr__, __dir__ = lazy(
    __name__,
    names={
        "Mixture": "mixture",
        "Proposal": "proposals",
        "Proposals": "proposals",
        "StructureType": "types",
        "propose": "proposals",
        "refined_proposals": "proposals",
        "structure_types": "types",
    },
)
