"""`EnergyModel`: a potential with what is known of its errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import jax.numpy as jnp

from .._arguments import checked
from .._struct import static
from .._warn import warn
from ..crystal import Crystal, too_close
from ..errors import ConventionError, ParameterError
from ..objective.source import Source
from ..typing import Array, Scalar
from .equivariant.files import shipped_networks
from .potential import SKIN, Potential
from .prediction import EnergyPrediction, predict
from .source import PhaseEnergy

_CALIBRATION = Path(__file__).with_name("calibration.json")


class EnergyModel(Source):
    """An interatomic potential: energies, forces and stresses of crystals, and a source of ``state.of("energy")``.

    Attributes:
        potential: see `jaxnmr.energy.potential`.
        errors: by element, its typical error as an energy per atom and coordinate, eV, see :meth:`with_errors`; by ``""`` of all
            others. Empty where it is not known.
        displacement: what measured places differ from its minima by for other reasons, Å.
    """

    potential: Any
    errors: tuple[tuple[str, float], ...] = static(note=True, default=())
    displacement: float = static(note=True, default=0.0)

    @classmethod
    def create(cls, potential: Potential) -> Self:
        """A model from a potential of one's own."""
        return cls(potential=potential)

    @classmethod
    @checked
    def load(cls, name: str | Path) -> Self:
        """A model that comes with the package, or that of a file (host).

        Args:
            name: one of :func:`shipped_potentials`, such as ``"chgnet-r2scan"``, or a file: ``.json`` with the parameters of a pair
                potential, ``.safetensors`` of a network potential.

        Raises:
            ConventionError: no model of that name; the message lists those that there are.
            ParseError: a file that does not hold the parameters of a potential.
        """
        path = Path(name)
        if path.suffix == ".json":
            from .pair.potential import PairPotential

            return cls(potential=PairPotential.load(path))
        if path.suffix == ".safetensors" or str(name) in shipped_networks():
            from .equivariant.potential import NetworkPotential

            return cls(potential=NetworkPotential.load(name))
        if str(name) not in _SHIPPED:
            raise ConventionError(
                f"no energy model is called {str(name)!r}; expected one of {', '.join(shipped_potentials())}, a JSON file with the "
                "parameters of a pair potential, or the .safetensors file of a network potential. Models of NMR tensors, such as silica-29si, are those of jn.TensorModel.load"
            )
        known = json.loads(_CALIBRATION.read_text(encoding="utf-8")).get(str(name), {})
        return cls(
            potential=_SHIPPED[str(name)](),
            errors=tuple(sorted(known.get("errors_ev", {}).items())),
            displacement=known.get("displacement", 0.0),
        )

    @checked
    def with_errors(self, errors_ev: float | Mapping[str, float], displacement: float = 0.0) -> Self:
        """The model with other errors, see `jaxnmr.EnergyTerm`.

        With a force constant h, an atom that it holds is uncertain by the root of ``error/h + displacement²`` in every direction.

        Args:
            errors_ev: an energy per atom and coordinate, eV, or several by element with ``""`` for all others.
            displacement: Å.
        """
        errors = dict(errors_ev) if isinstance(errors_ev, Mapping) else {"": errors_ev}
        if "" not in errors or not all(isinstance(e, int | float) and 0 < e < float("inf") for e in errors.values()):
            raise ParameterError(
                f'errors_ev is {errors_ev}; expected a positive energy in eV, or several by element with "" for all others'
            )
        if not 0 <= displacement < float("inf"):
            raise ParameterError(f"displacement is {displacement}; expected a distance in Å, such as 0.01")
        pairs = tuple(sorted((element, float(e)) for element, e in errors.items()))
        return self.replace(errors=pairs, displacement=float(displacement))

    @property
    def name(self) -> str:
        """What reports call it."""
        return str(self.potential.name)

    @property
    def elements(self) -> frozenset[str]:
        """What it has numbers for."""
        return frozenset(self.potential.elements)

    @property
    def card(self) -> Mapping[str, Any]:
        """What is known about it: theory, training data, citation, licence."""
        return dict(self.potential.card)

    @checked
    def plan(self, crystal: Crystal, *, skin: float = SKIN) -> Any:
        """Neighbours of a crystal, for :meth:`energy` (host).

        Raises:
            ConventionError: an element it does not know, partial occupancy, atoms on top of each other, a charged cell.
        """
        return self.potential.plan(crystal, skin=skin)

    def energy(self, crystal: Crystal, plan: Any) -> Scalar:
        """Energy of the conventional cell, eV (traceable)."""
        return self.potential.energy(crystal, plan)

    @checked
    def predict(self, crystal: Crystal, plan: Any = None) -> EnergyPrediction:
        """Energy, forces and stress of a crystal (host).

        Where it is asked for without a plan, it warns of atoms that are far nearer to each other than covalent radii allow.

        Raises:
            ConventionError: as :meth:`plan`.
        """
        if plan is None:
            plan = self.plan(crystal)
            if doubt := too_close(crystal):
                warn(doubt)
        return predict(self.potential, crystal, plan)

    def for_dynamics(self) -> Self:
        """The model with sums as exact as dynamics needs, where its potential has a faster way for that (``for_dynamics``)."""
        faster = getattr(self.potential, "for_dynamics", None)
        return self if faster is None else self.replace(potential=faster())

    def novelty(self, crystal: Crystal, plan: Any) -> Array:
        """How unlike those of its training the surroundings of every site are, ``(sites,)`` (traceable).

        1 is where a hundredth of the atoms lie that were held out of the training; NaN of potentials that cannot tell, such as
        those of pairs.
        """
        of = getattr(self.potential, "novelty", None)
        return jnp.full(len(crystal.labels), jnp.nan) if of is None else of(crystal, plan)

    def for_phase(
        self, phase: str, crystal: Crystal, *, memory_bytes: int | None = None, device: str | None = None
    ) -> PhaseEnergy:
        return PhaseEnergy.create(self.potential, dict(self.errors), self.displacement, phase, crystal)


def shipped_potentials() -> tuple[str, ...]:
    """Names for :meth:`EnergyModel.load`."""
    return (*_SHIPPED, *shipped_networks())


def _chgnet(weights: str) -> Callable[[], Any]:
    def load():
        from .chgnet import CHGNet

        return CHGNet.load(weights)

    return load


def _pair(name: str) -> Callable[[], Any]:
    def load():
        from .pair.potential import PairPotential

        return PairPotential.load(name)

    return load


_SHIPPED: dict[str, Callable[[], Any]] = {
    "chgnet-r2scan": _chgnet("r2scan"),
    "chgnet-0.3.0": _chgnet("0.3.0"),
    "bks": _pair("bks"),
    "chik": _pair("chik"),
}
