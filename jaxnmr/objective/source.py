"""`Source`: what fills the state, whatever it calculates of a structure: tensors, an energy, a density.

A `Source` is what people hand to an objective. For every phase it becomes a `PhaseSource`, which holds what is planned for that
structure, its neighbours say. A function of a crystal is a source as it is; see :func:`source`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._arguments import shown
from .._functions import pickled_function, unpickled_function
from .._struct import Struct, compiled, static
from ..crystal import Crystal
from ..errors import ConventionError, ParameterError
from ..typing import Array
from .state import Provision, TensorRead, only_phase


class EnergyError(NamedTuple):
    """How far minima of an energy are from measured places; see `jaxnmr.EnergyTerm`.

    Attributes:
        energies: ``(sites,)`` an energy per atom and coordinate, eV.
        displacement: Å, whatever the force constants.
    """

    energies: Array
    displacement: float


class Source(Struct, pytree=False):
    """Base class of what calculates quantities of a crystal; `jaxnmr.TensorModel` is one, :func:`source` makes others.

    Example:
        >>> issubclass(jn.TensorModel, jn.Source)
        True
    """

    def for_phase(
        self, phase: str, crystal: Crystal, *, memory_bytes: int | None = None, device: str | None = None
    ) -> PhaseSource:
        """Plan for one phase (host).

        Args:
            phase: name of the crystal.
            crystal: its starting structure.
            memory_bytes: about how much derivatives may take at once; what suits the device by default.
            device: kind of device to calculate on; by default the one JAX computes on.
        """
        raise TypeError(f"{type(self).__name__} does not define for_phase(phase, crystal)")


class PhaseSource(Struct, pytree=False):
    """A source for one phase. Subclasses are pytrees (:class:`jaxnmr.Struct`) and define :meth:`evaluate`; the rest has defaults.

    Attributes:
        name: of the source, for reports.
        phase: name of the crystal.
        provisions: what it provides.
    """

    name: str
    phase: str
    provisions: tuple[Provision, ...]

    # -- values and derivatives ----------------------------------------------------------------------------------
    def evaluate(self, crystal: Crystal) -> dict[str, Array]:
        """What is provided, by name (traceable)."""
        raise TypeError(f"{type(self).__name__} does not define evaluate(crystal)")

    def linearised(self, crystal: Crystal, tangents: Crystal) -> tuple[dict[str, Array], dict[str, Array]]:
        """Values and their derivatives along tangents of the crystal (traceable); by default in forward mode.

        Args:
            crystal: where.
            tangents: of its numbers, with a leading axis.

        Returns:
            By name, values as :meth:`evaluate`, and derivatives with the leading axis of the tangents.
        """
        values, push = jax.linearize(self.evaluate, crystal)
        return values, jax.vmap(push)(tangents)

    def slopes(self, name: str, crystal: Crystal) -> tuple[Array, Array]:
        """A number that is provided and its derivatives by cell and coordinates, ``(6 + 3 sites,)`` (traceable)."""
        return _slopes(self, name, crystal)

    def shapes(self, crystal: Crystal) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes of what is provided, by name."""
        return jax.eval_shape(self.evaluate, crystal)

    def differentiated(
        self, columns: Sequence[int] | np.ndarray | None, reads: Sequence[TensorRead] | None
    ) -> PhaseSource:
        """This source, differentiated no more than needed (host).

        Args:
            columns: numbers of the refined numbers that move the cell or the atoms of the phase; ``None`` when that is not
                known.
            reads: what terms read; ``None`` when some of them do not say.
        """
        return self

    def columns_for(self, columns: np.ndarray) -> np.ndarray:
        """Which of the columns of a Jacobian may stand for another change of the structure; all by default (host)."""
        return columns

    # -- on the host ---------------------------------------------------------------------------------------------
    def replan(self, crystal: Crystal) -> tuple[PhaseSource, str]:
        """This source with what the structure has outgrown planned again, and what that was (host)."""
        return self, ""

    def outgrown(self, crystal: Crystal) -> Array | bool:
        """Whether :meth:`replan` or :meth:`outside` has something to say here, or has to look (traceable).

        By default that is everywhere for sources that define one of them.
        """
        return type(self).replan is not PhaseSource.replan or type(self).outside is not PhaseSource.outside

    @property
    def predicts(self) -> bool:
        """Whether values come with their uncertainties at no further cost, so that :meth:`prediction` serves for both."""
        return False

    def prediction(self, crystal: Crystal) -> Any:
        """Values together with their uncertainties (host).

        Raises:
            ParameterError: the source knows no uncertainties.
        """
        raise ParameterError(f"{self.name!r} does not know how uncertain it is: give sigma_model a number")

    def values_of(self, prediction: Any) -> Mapping[str, Array]:
        """The values that a prediction holds (host)."""
        return prediction.tensors

    def energy_error(self, crystal: Crystal) -> EnergyError:
        """How wrong an energy is that it provides (host).

        Raises:
            ParameterError: the source does not know.
        """
        raise ParameterError(
            f"{self.name!r} does not know how wrong its energies are: give error_ev a number, such as 0.005"
        )

    def outside(self, crystal: Crystal, prediction: Any = None) -> dict[str, float]:
        """By label, novelty of the sites outside the domain of the source; of a prediction where there is one (host)."""
        return {}

    def warnings(self, crystal: Crystal, prediction: Any = None) -> tuple[str, ...]:
        """Sentences for the report (host)."""
        return ()

    def note(self) -> str:
        """How derivatives are calculated and why, in a sentence."""
        names = ", ".join(p.name for p in self.provisions)
        return f"Derivatives of {names} of {self.phase}: forward mode along every refined number."

    def record(self) -> dict[str, Any]:
        """What reports say of it: name, phase, quantities with the elements they are of, theory, size, scores."""
        return {
            "name": self.name, "phase": self.phase, "predicts": {p.name: [] for p in self.provisions},
            "level_of_theory": "", "members": 1, "parameters": 0, "scores": {}, "derivatives": self.note(),
        }  # fmt: skip


# neighbours are listed again when less than this part of the skin is left, so that the next step has room
_ROOM = 0.5


def is_short(plan: Any, crystal: Crystal) -> Array | bool:
    """Whether a plan with a ``skin`` and a ``margin(crystal)`` has little room left (traceable)."""
    return plan.margin(crystal) < _ROOM * plan.skin


def in_time(plan: Any, crystal: Crystal) -> Any:
    """A plan of neighbours, made anew where it has little room left; else the very same (host).

    Raises:
        ConventionError: atoms on top of each other, and no room at all.
    """
    margin = float(plan.margin(crystal))
    if not is_short(plan, crystal):
        return plan
    try:
        return plan.renewed(crystal)
    except ConventionError:
        # on the way to somewhere else; without any margin there is no going on
        if margin > 0:
            return plan
        raise


class FunctionSource(Source):
    """A source made from a function of a crystal; see :func:`source`."""

    function: Callable[[Crystal], Any] = static()
    name: str = static()

    def __call__(self, crystal: Crystal) -> Any:
        """What the function returns."""
        return self.function(crystal)

    def for_phase(
        self, phase: str, crystal: Crystal, *, memory_bytes: int | None = None, device: str | None = None
    ) -> PhaseSource:
        shapes = jax.eval_shape(self.function, crystal)
        names = tuple(shapes) if isinstance(shapes, Mapping) else (self.name,)
        provisions = tuple(Provision(phase, name) for name in names)
        return PhaseFunction(function=self.function, name=self.name, phase=phase, provisions=provisions)

    def __reduce__(self):
        function = pickled_function(self.function, f"source {self.name!r}")
        return _function_source, (function, self.name)


class PhaseFunction(PhaseSource):
    """A function of a crystal, for one phase."""

    function: Callable[[Crystal], Any] = static()
    name: str = static()
    phase: str = static()
    provisions: tuple[Provision, ...] = static()

    def evaluate(self, crystal: Crystal) -> dict[str, Array]:
        return _values(self, crystal)

    def __reduce__(self):
        function = pickled_function(self.function, f"source {self.name!r}")
        return _phase_function, (function, self.name, self.phase, self.provisions)


@compiled
def _values(source: PhaseFunction, crystal: Crystal) -> dict[str, Array]:
    made = source.function(crystal)
    made = made if isinstance(made, Mapping) else {source.name: made}
    return {name: jnp.asarray(value) for name, value in made.items()}


@compiled(static_argnums=1)
def _slopes(source: PhaseSource, name: str, crystal: Crystal) -> tuple[Array, Array]:
    return slopes_of(lambda crystal: source.evaluate(crystal)[name], crystal)


def slopes_of(function: Callable[[Crystal], Any], crystal: Crystal) -> tuple[Array, Array]:
    """A number that follows from a structure and its derivatives by cell and coordinates, ``(6 + 3 sites,)`` (traceable)."""
    number = lambda cell, xyz: jnp.reshape(function(crystal.replace(cell=cell, xyz=xyz)), ())
    where = jnp.asarray(crystal.cell), jnp.asarray(crystal.xyz)
    value, (by_cell, by_xyz) = jax.value_and_grad(number, argnums=(0, 1))(*where)
    return value, jnp.concatenate([by_cell, by_xyz.ravel()])


def _function_source(function, name):
    return FunctionSource(function=unpickled_function(function), name=name)


def _phase_function(function, name, phase, provisions):
    return PhaseFunction(function=unpickled_function(function), name=name, phase=phase, provisions=provisions)


def source(name: str = "") -> Callable[[Callable[[Crystal], Any]], FunctionSource]:
    """Turn a function of a crystal into a source, whose values terms read with ``state.of(name)``::

        @jn.source("energy")
        def energy(crystal):
            return jnp.sum((jn.crystal.distances(crystal, PAIRS) - 1.6) ** 2)

        objective = jn.Objective(terms, crystal=crystal, models=energy)

    Args:
        name: the quantity. A function that returns a dictionary of arrays provides each of them by its own name.

    Raises:
        ParameterError: no name, or no function.

    Example:
        >>> pair = jn.crystal.plan_pairs(quartz, [("Si1", "O1")])
        >>> @jn.source("springs")
        ... def springs(crystal):
        ...     return 10.0 * jnp.sum((jn.crystal.distances(crystal, pair) - 1.6) ** 2)
        >>> @jn.term("stable", sigma=0.05)
        ... def stable(state):
        ...     return state.of("springs")
        >>> held = jn.Objective(stable, crystal=quartz, models=springs)
        >>> held.residuals(held.parameters()).shape
        (1,)
    """
    if not isinstance(name, str) or not name:
        given = f"the function {name.__name__!r} itself" if inspect.isfunction(name) else repr(name)
        raise ParameterError(f'the name of a source is {given}; expected a text, as in @jn.source("energy")')

    def made(function: Callable[[Crystal], Any]) -> FunctionSource:
        if not callable(function):
            raise ParameterError(f"source {name!r} is made from {shown(function)}; expected a function of a crystal")
        return FunctionSource(function=function, name=name)

    return made


def plan_sources(
    models: Any, crystals: Mapping[str, Crystal], memory_bytes: int | None = None, device: str | None = None
) -> tuple[PhaseSource, ...]:
    """Sources of phases (host).

    Args:
        models: ``None``, a source, several that provide different quantities, or either by phase name.
        crystals: by phase name.
        memory_bytes, device: see :meth:`Source.for_phase`.

    Raises:
        ParameterError: no such phase, no source, two that provide the same, or a budget that is no number of bytes.
        ConventionError: a crystal that a model cannot take.
    """
    if models is None:
        return ()
    if memory_bytes is not None and not memory_bytes >= 1:
        raise ParameterError(f"memory_bytes is {memory_bytes}; expected a number of bytes, such as {2**30} for 1 GiB")
    if not crystals:
        raise ParameterError("models calculate what they do of crystals: give the objective crystal=, too")
    by_phase = models if isinstance(models, Mapping) else dict.fromkeys(crystals, models)
    out: list[PhaseSource] = []
    for phase, given in by_phase.items():
        phase = only_phase(crystals, phase)
        of_phase = list(given) if isinstance(given, list | tuple) else [given]
        strange = next((model for model in of_phase if not isinstance(model, Source)), None)
        if strange is not None:
            raise ParameterError(
                f"models: {strange!r} is no model; expected TensorModel.load(name or path), or a function of a crystal with "
                "@jn.source"
            )
        planned = [
            model.for_phase(phase, crystals[phase], memory_bytes=memory_bytes, device=device) for model in of_phase
        ]
        names = [p.name for of in planned for p in of.provisions]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            networks = (
                "" if repeated == ["energy"] else ", or join networks of one architecture with TensorModel.ensemble"
            )
            raise ParameterError(
                f"several models of {phase!r} predict {', '.join(repeated)}: choose one of them{networks}"
            )
        out += planned
    return tuple(out)
