"""`Stage`: groups of parameters that a refinement frees one after the other (host)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from .._arguments import is_whole, shown
from ..errors import ParameterError
from ..objective import Parameters


@dataclass(frozen=True)
class Stage:
    """One stage of a refinement, with the parameters it frees; stages are cumulative.

    Attributes:
        free: names or patterns to free from this stage on.
        fix: names or patterns to fix again.
        name: name for reports.
        max_steps: maximum number of steps in this stage; the solver's limit by default.

    Example:
        >>> stages = [jn.Stage(("xrd/scale", "xrd/background")), jn.Stage("cell", name="cell"), jn.Stage(("xyz", "u_iso"), max_steps=20)]
        >>> stages[1].free
        ('cell',)
    """

    free: tuple[str, ...] = ()
    fix: tuple[str, ...] = ()
    name: str = ""
    max_steps: int | None = None

    def __post_init__(self):
        for what in ("free", "fix"):
            value = getattr(self, what)
            texts = [value] if isinstance(value, str) else list(value) if isinstance(value, Iterable) else [value]
            strange = [text for text in texts if not isinstance(text, str)]
            if strange:
                raise ParameterError(
                    f'{what} of a stage holds {shown(strange[0])}; expected names of parameters: ("cell", "xyz")'
                )
            object.__setattr__(self, what, (value,) if isinstance(value, str) else tuple(value))
        if self.max_steps is not None and not (is_whole(self.max_steps) and self.max_steps >= 1):
            raise ParameterError(f"max_steps of a stage is {self.max_steps}; expected a whole number from 1 on")


def masked(params: Parameters, stages: Sequence[Stage]) -> tuple[Parameters, list[np.ndarray]]:
    """Return parameters with everything free that any stage frees, and for each stage a mask of what moves.

    Raises:
        ParameterError: nothing is free, or nothing in one of the stages.
    """
    flags, current = [], params
    for stage in stages:
        current = current.free(*stage.free).fix(*stage.fix)
        flags.append(current.spec.free.copy())
    if flags:
        union = np.any(flags, axis=0)
        # parameters moved off a point of symmetry when freed keep their new values
        spec = params.spec.changed(free=union, notes=current.spec.notes)
        params, masks = current.replace(spec=spec), [flag[union] for flag in flags]
    else:
        masks = [np.ones(params.n_free, dtype=bool)]
    if params.n_free == 0:
        raise ParameterError("all parameters are fixed: free some, e.g. params.free('cell', 'xyz')")
    for index, (stage, mask) in enumerate(zip(stages, masks, strict=False)):
        if not mask.any():
            raise ParameterError(f"stage {stage.name or index + 1!r} frees nothing")
    return params, masks
