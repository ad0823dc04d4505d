"""What an objective asks of a model that predicts tensors, so that it need know no network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, Self

from ..crystal import Crystal
from ..typing import Array


class TensorModel(Protocol):
    """A model of the tensors of crystals; `jaxnmr.TensorModel` is one.

    Attributes:
        config: heads, species and cutoff.
        card: what is known about it: name, references of shifts, calibration.
        environments: what atoms of its training looked like, by element.
    """

    config: Any
    card: Any
    environments: Mapping[str, Array]

    def plan(self, crystal: Crystal) -> Any:
        """The neighbours of every atom (host)."""

    def tensors(self, crystal: Crystal, plan: Any) -> dict[str, Array]:
        """Predictions for all sites by head (traceable)."""

    def outputs(self, graph: Any) -> Any:
        """Predictions with their spread and novelty, by node (traceable)."""

    def predict(self, crystal: Crystal, plan: Any = None) -> Any:
        """The prediction with its uncertainty (host)."""

    def replace(self, **changes: Any) -> Self:
        """A copy with other fields."""
