"""Periodic structures as graphs: neighbours, edge vectors as functions of positions and cell, padding."""

from .batching import batch_graphs, bucket, pad_graph
from .neighbours import Neighbours, plan_neighbours
from .plan import GraphPlan, build_graph, plan_graph
from .structure import edge_vectors, structure_graph

__all__ = [
    "GraphPlan",
    "Neighbours",
    "batch_graphs",
    "bucket",
    "build_graph",
    "edge_vectors",
    "pad_graph",
    "plan_graph",
    "plan_neighbours",
    "structure_graph",
]
