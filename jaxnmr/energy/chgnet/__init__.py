"""CHGNet (B. Deng et al., Nat. Mach. Intell. 5, 1031 (2023)): the network in JAX, with its published weights."""

from .plan import BondGraphPlan, plan_bond_graph
from .potential import CHGNet

__all__ = ["BondGraphPlan", "CHGNet", "plan_bond_graph"]
