"""`HostState`: a state for planning and reports that also provides uncertainties of its sources (host)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._struct import set_fields
from ..typing import Array
from .source import PhaseSource
from .state import State


class HostState(State, pytree=False):
    """A state for planning (host). Sources are evaluated on demand and provide their uncertainties.

    Not a pytree: compiled functions are passed :meth:`plain`, without predictions. Made by :meth:`Objective.host_state`.
    """

    _given: dict[str, dict[str, Array]]
    _sources: tuple[PhaseSource, ...]
    # results so far, by index of the source
    _values: dict[int, Mapping[str, Array]]
    _predictions: dict[int, Any]

    def __init__(self, state: State, sources: Sequence[PhaseSource] = ()):
        """Add sources to a state of structures and values.

        Args:
            state: structures and values; its ``provided`` holds quantities that no source calculates.
            sources: sources of its phases.
        """
        set_fields(
            self, crystals=state.crystals, values=state.values, provisions=state.provisions, _given=state.provided,
            _sources=tuple(sources), _values={}, _predictions={},
        )  # fmt: skip

    @property  # type: ignore[misc]  # overrides a field: this is not a pytree
    def provided(self) -> dict[str, dict[str, Array]]:
        """Quantities calculated by sources, by phase and name."""
        out = {phase: dict(of) for phase, of in self._given.items()}
        for k, source in enumerate(self._sources):
            if k not in self._values:
                crystal = self.crystals[source.phase]
                if source.predicts and k not in self._predictions:
                    self._predictions[k] = source.prediction(crystal)
                made = self._predictions.get(k)
                # a prediction already contains the values: no second evaluation, no second program
                self._values[k] = source.evaluate(crystal) if made is None else source.values_of(made)
            out.setdefault(source.phase, {}).update(self._values[k])
        return out

    def prediction(self, name: str, phase: str | None = None) -> Any:
        """Return a source's prediction of a quantity with its uncertainty, the `Prediction` of a `TensorModel` (host).

        Raises:
            ParameterError: no source provides it, or its source has no uncertainties.
        """
        phase = self._provision(name, self.phase(phase)).phase
        for k, source in enumerate(self._sources):
            if source.phase == phase and name in (p.name for p in source.provisions):
                if k not in self._predictions:
                    self._predictions[k] = source.prediction(self.crystals[phase])
                return self._predictions[k]
        return super().prediction(name, phase)

    def source(self, name: str, phase: str | None = None) -> PhaseSource:
        """Return the source that provides a quantity of a phase.

        Raises:
            ParameterError: no source does.
        """
        phase = self._provision(name, self.phase(phase)).phase
        return next(s for s in self._sources if s.phase == phase and name in (p.name for p in s.provisions))

    def plain(self) -> State:
        """Return the traceable state, without the data kept on the host."""
        return State(
            crystals=self.crystals, values=self.values, provided=self.provided, provisions=self.provisions
        )  # fmt: skip

    def replace(self, **changes: Any) -> State:  # type: ignore[override]  # changed fields no longer agree with the sources
        """Return a copy of :meth:`plain` with some fields replaced."""
        return self.plain().replace(**changes)

    def _without_notes(self) -> State:  # type: ignore[override]  # compiled functions take the plain state
        return self.plain()._without_notes()

    def predicted(self, index: int) -> Any:
        """Return the prediction of a source by index if it was already evaluated; otherwise ``None``."""
        return self._predictions.get(index)
