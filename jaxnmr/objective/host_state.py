"""`HostState`: a state for planning, which knows in addition how uncertain its sources are (host)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._struct import set_fields
from ..typing import Array
from .source import PhaseSource
from .state import State


class HostState(State, pytree=False):
    """A state for planning (host): sources are evaluated when they are asked for, and say how uncertain they are.

    No pytree: what is handed to a compiled function is :meth:`plain`, without predictions. Make it with
    :meth:`Objective.host_state`.
    """

    _given: dict[str, dict[str, Array]]
    _sources: tuple[PhaseSource, ...]
    # by number of the source, what was asked for so far
    _values: dict[int, Mapping[str, Array]]
    _predictions: dict[int, Any]

    def __init__(self, state: State, sources: Sequence[PhaseSource] = ()):
        """Add sources to a state of structures and values.

        Args:
            state: structures and values; what it has ``provided`` stands for what no source is asked for.
            sources: of its phases.
        """
        set_fields(
            self, crystals=state.crystals, values=state.values, provisions=state.provisions, _given=state.provided,
            _sources=tuple(sources), _values={}, _predictions={},
        )  # fmt: skip

    @property  # type: ignore[misc]  # overrides a field: this is no pytree
    def provided(self) -> dict[str, dict[str, Array]]:
        """By phase and name, what sources calculate."""
        out = {phase: dict(of) for phase, of in self._given.items()}
        for k, source in enumerate(self._sources):
            if k not in self._values:
                crystal = self.crystals[source.phase]
                if source.predicts and k not in self._predictions:
                    self._predictions[k] = source.prediction(crystal)
                made = self._predictions.get(k)
                # what comes with an uncertainty need not be calculated twice, nor by a program of its own
                self._values[k] = source.evaluate(crystal) if made is None else source.values_of(made)
            out.setdefault(source.phase, {}).update(self._values[k])
        return out

    def prediction(self, name: str, phase: str | None = None) -> Any:
        """What a source says of a quantity together with its uncertainty, the `Prediction` of a `TensorModel` (host).

        Raises:
            ParameterError: no source provides it, or its source knows no uncertainty.
        """
        phase = self._provision(name, self.phase(phase)).phase
        for k, source in enumerate(self._sources):
            if source.phase == phase and name in (p.name for p in source.provisions):
                if k not in self._predictions:
                    self._predictions[k] = source.prediction(self.crystals[phase])
                return self._predictions[k]
        return super().prediction(name, phase)

    def source(self, name: str, phase: str | None = None) -> PhaseSource:
        """The source that provides a quantity of a phase.

        Raises:
            ParameterError: none does.
        """
        phase = self._provision(name, self.phase(phase)).phase
        return next(s for s in self._sources if s.phase == phase and name in (p.name for p in s.provisions))

    def plain(self) -> State:
        """The state without what only the host knows, to be traced."""
        return State(
            crystals=self.crystals, values=self.values, provided=self.provided, provisions=self.provisions
        )  # fmt: skip

    def replace(self, **changes: Any) -> State:  # type: ignore[override]  # what is changed is no longer what sources say
        """A copy of :meth:`plain` with some fields replaced."""
        return self.plain().replace(**changes)

    def _without_notes(self) -> State:  # type: ignore[override]  # compiled functions take the plain state
        return self.plain()._without_notes()

    def predicted(self, index: int) -> Any:
        """The prediction of one of its sources, by number, where somebody asked for it; otherwise ``None``."""
        return self._predictions.get(index)
