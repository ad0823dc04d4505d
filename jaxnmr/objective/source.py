"""`Source`: quantities calculated from a structure for the state: tensors, an energy, a density.

An objective is passed a `Source`. For every phase it becomes a `PhaseSource`, which holds what is planned for that
structure, such as its neighbours. :func:`source` makes a source from a function of a crystal.
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
    """Expected distance between minima of an energy and measured positions; see `jaxnmr.EnergyTerm`.

    Attributes:
        energies: ``(sites,)`` error of the energy per atom and coordinate, eV.
        displacement: error of positions independent of the force constants, Å.
    """

    energies: Array
    displacement: float


class Source(Struct, pytree=False):
    """Base class of calculators of quantities of a crystal: `jaxnmr.TensorModel`, and functions via :func:`source`.

    Example:
        >>> issubclass(jn.TensorModel, jn.Source)
        True
    """

    def for_phase(
        self, phase: str, crystal: Crystal, *, memory_bytes: int | None = None, device: str | None = None
    ) -> PhaseSource:
        """Plan the source for one phase (host).

        Args:
            phase: name of the crystal.
            crystal: its starting structure.
            memory_bytes: approximate memory for derivatives; by default suitable for the device.
            device: kind of device to calculate on; by default JAX's default device.
        """
        raise TypeError(f"{type(self).__name__} does not define for_phase(phase, crystal)")


class PhaseSource(Struct, pytree=False):
    """A source for one phase. Subclasses are pytrees (:class:`jaxnmr.Struct`) and must define :meth:`evaluate`.

    Attributes:
        name: name of the source, for reports.
        phase: name of the crystal.
        provisions: quantities it provides.
    """

    name: str
    phase: str
    provisions: tuple[Provision, ...]

    # -- values and derivatives ----------------------------------------------------------------------------------
    def evaluate(self, crystal: Crystal) -> dict[str, Array]:
        """Return the provided quantities by name (traceable)."""
        raise TypeError(f"{type(self).__name__} does not define evaluate(crystal)")

    def linearised(self, crystal: Crystal, tangents: Crystal) -> tuple[dict[str, Array], dict[str, Array]]:
        """Return values and their derivatives along tangents of the crystal, in forward mode by default (traceable).

        Args:
            crystal: point of linearisation.
            tangents: tangents of its leaves, with a leading axis.

        Returns:
            Values by name as in :meth:`evaluate`, and derivatives with the leading axis of the tangents.
        """
        values, push = jax.linearize(self.evaluate, crystal)
        return values, jax.vmap(push)(tangents)

    def slopes(self, name: str, crystal: Crystal) -> tuple[Array, Array]:
        """Return a scalar quantity and its derivatives by cell and coordinates, ``(6 + 3 sites,)`` (traceable)."""
        return _slopes(self, name, crystal)

    def shapes(self, crystal: Crystal) -> dict[str, jax.ShapeDtypeStruct]:
        """Return the shapes of the provided quantities, by name."""
        return jax.eval_shape(self.evaluate, crystal)

    def differentiated(
        self, columns: Sequence[int] | np.ndarray | None, reads: Sequence[TensorRead] | None
    ) -> PhaseSource:
        """Return this source, differentiated no more than needed (host).

        Args:
            columns: indices of the free parameters that move the cell or atoms of the phase; ``None`` if unknown.
            reads: components that terms read; ``None`` if a term does not declare them.
        """
        return self

    def columns_for(self, columns: np.ndarray) -> np.ndarray:
        """Return the columns of a Jacobian that can be reused for another change of the structure; all by default (host)."""
        return columns

    # -- on the host ---------------------------------------------------------------------------------------------
    def replan(self, crystal: Crystal) -> tuple[PhaseSource, str]:
        """Return this source with outdated plans renewed, and a note on what was renewed (host)."""
        return self, ""

    def outgrown(self, crystal: Crystal) -> Array | bool:
        """Return whether :meth:`replan` or :meth:`outside` has something to report, or must check (traceable).

        By default true everywhere for sources that define one of them.
        """
        return type(self).replan is not PhaseSource.replan or type(self).outside is not PhaseSource.outside

    @property
    def predicts(self) -> bool:
        """Return whether :meth:`prediction` provides values together with their uncertainties at no further cost."""
        return False

    def prediction(self, crystal: Crystal) -> Any:
        """Return values with their uncertainties (host).

        Raises:
            ParameterError: the source has no uncertainties.
        """
        raise ParameterError(f"{self.name!r} does not know how uncertain it is: give sigma_model a number")

    def values_of(self, prediction: Any) -> Mapping[str, Array]:
        """Return the values of a prediction (host)."""
        return prediction.tensors

    def energy_error(self, crystal: Crystal) -> EnergyError:
        """Return the error of a provided energy (host).

        Raises:
            ParameterError: the source has no error estimate.
        """
        raise ParameterError(
            f"{self.name!r} does not know how wrong its energies are: give error_ev a number, such as 0.005"
        )

    def outside(self, crystal: Crystal, prediction: Any = None) -> dict[str, float]:
        """Return the novelty of the sites outside the source's domain, by label; of a prediction if given (host)."""
        return {}

    def warnings(self, crystal: Crystal, prediction: Any = None) -> tuple[str, ...]:
        """Return warnings for the report (host)."""
        return ()

    def note(self) -> str:
        """Describe how derivatives are calculated and why, in one sentence."""
        names = ", ".join(p.name for p in self.provisions)
        return f"Derivatives of {names} of {self.phase}: forward mode along every refined number."

    def record(self) -> dict[str, Any]:
        """Return data for reports: name, phase, quantities with their elements, level of theory, size, scores."""
        return {
            "name": self.name, "phase": self.phase, "predicts": {p.name: [] for p in self.provisions},
            "level_of_theory": "", "members": 1, "parameters": 0, "scores": {}, "derivatives": self.note(),
        }  # fmt: skip


# neighbours are listed again when less than this fraction of the skin is left, so that the next step has room
_ROOM = 0.5


def is_short(plan: Any, crystal: Crystal) -> Array | bool:
    """Return whether a plan with a ``skin`` and a ``margin(crystal)`` has little margin left (traceable)."""
    return plan.margin(crystal) < _ROOM * plan.skin


def in_time(plan: Any, crystal: Crystal) -> Any:
    """Return a plan of neighbours, renewed if it has little margin left; otherwise the same object (host).

    Raises:
        ConventionError: atoms overlap, and no margin is left.
    """
    margin = float(plan.margin(crystal))
    if not is_short(plan, crystal):
        return plan
    try:
        return plan.renewed(crystal)
    except ConventionError:
        # an intermediate structure may be unphysical; only without any margin is that an error
        if margin > 0:
            return plan
        raise


class FunctionSource(Source):
    """A source made from a function of a crystal; see :func:`source`."""

    function: Callable[[Crystal], Any] = static()
    name: str = static()

    def __call__(self, crystal: Crystal) -> Any:
        """Return the value of the function."""
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
    """A function of a crystal as the source for one phase."""

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
    """Return a function of a structure and its derivatives by cell and coordinates, ``(6 + 3 sites,)`` (traceable)."""
    number = lambda cell, xyz: jnp.reshape(function(crystal.replace(cell=cell, xyz=xyz)), ())
    where = jnp.asarray(crystal.cell), jnp.asarray(crystal.xyz)
    value, (by_cell, by_xyz) = jax.value_and_grad(number, argnums=(0, 1))(*where)
    return value, jnp.concatenate([by_cell, by_xyz.ravel()])


def _function_source(function, name):
    return FunctionSource(function=unpickled_function(function), name=name)


def _phase_function(function, name, phase, provisions):
    return PhaseFunction(function=unpickled_function(function), name=name, phase=phase, provisions=provisions)


def source(name: str = "") -> Callable[[Callable[[Crystal], Any]], FunctionSource]:
    """Turn a function of a crystal into a source whose values terms read with ``state.of(name)``::

        @jn.source("energy")
        def energy(crystal):
            return jnp.sum((jn.crystal.distances(crystal, PAIRS) - 1.6) ** 2)

        objective = jn.Objective(terms, crystal=crystal, models=energy)

    Args:
        name: name of the quantity. A function that returns a dictionary of arrays provides each of them under its own key.

    Raises:
        ParameterError: no name or no function is given.

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
    """Plan sources for all phases (host).

    Args:
        models: ``None``, a source, several that provide different quantities, or either by phase name.
        crystals: structures by phase name.
        memory_bytes, device: see :meth:`Source.for_phase`.

    Raises:
        ParameterError: a phase does not exist, a model is not a source, two provide the same quantity, or the memory
            limit is invalid.
        ConventionError: a model does not apply to a crystal.
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
