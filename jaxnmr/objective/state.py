"""`State`: all that terms may read at one parameter vector, computed once and shared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from .._struct import Struct, static
from ..crystal import Crystal
from ..errors import ParameterError
from ..nmr import Isotope, ShiftReference, isotope
from ..nmr.isotopes import sites_of
from ..nmr.shift_reference import reference_of
from ..typing import Array

SHIELDING, EFG = "shielding", "efg"


@dataclass(frozen=True)
class Provision:
    """A quantity that a source provides for one phase.

    Attributes:
        phase: name of the crystal.
        name: name of the quantity: ``"shielding"``, ``"efg"``, ``"energy"``.
        trained: per site, whether the model was trained on its element; empty if all values are valid.
        references: references of chemical shifts, ``(element, reference_ppm, slope)``.
    """

    phase: str
    name: str
    trained: tuple[bool, ...] = ()
    references: tuple[tuple[str, float, float], ...] = ()


@dataclass(frozen=True)
class TensorRead:
    """Declaration of the tensor components a term reads, so that only those are differentiated.

    Attributes:
        phase, head: phase and name of the tensors.
        sites: indices of the sites.
        part: ``"isotropic"``, ``"symmetric"`` or ``"all"`` components.
    """

    phase: str
    head: str
    sites: tuple[int, ...]
    part: Literal["isotropic", "symmetric", "all"] = "all"


class State(Struct):
    """All that terms may read at one parameter vector.

    Attributes:
        crystals: structures by phase name.
        values: all physical parameters by full name.
        provided: quantities calculated by sources, by phase and name. Tensors are those of the sites of the asymmetric
            unit: ``(sites, 3, 3)`` in the frame of ``crystal.lattice()``, or ``(sites, dim)``; shieldings in ppm, field
            gradients in atomic units, NaN for elements a model was not trained on. Empty if the objective has no
            source.
        provisions: description of the contents of ``provided``.

    Example:
        >>> state = objective.state(params.values)
        >>> state.crystal.labels
        ('Si1', 'O1')
        >>> float(state.values["xrd/size"][0])
        0.1
    """

    crystals: dict[str, Crystal]
    values: dict[str, Array]
    provided: dict[str, dict[str, Array]] = field(default_factory=dict)
    provisions: tuple[Provision, ...] = static(default=())

    @property
    def crystal(self) -> Crystal:
        """The only structure.

        Raises:
            ParameterError: there is more than one.
        """
        if len(self.crystals) != 1:
            raise ParameterError(
                f"there are {len(self.crystals)} phases: use state.crystals[name], {sorted(self.crystals)}"
            )
        return next(iter(self.crystals.values()))

    def local(self, prefix: str) -> Mapping[str, Array]:
        """Return the parameters below a prefix, by local name."""
        start = prefix + "/"
        return {name.removeprefix(start): v for name, v in self.values.items() if name.startswith(start)}

    # -- what sources provide -----------------------------------------------------------------------------------------
    def phase(self, name: str | None = None) -> str:
        """Return the name of a phase; without an argument, that of the only phase.

        Raises:
            ParameterError: no such phase, or none is named and there are several.
        """
        return only_phase(self.crystals, name)

    def sites(self, nucleus: str | Isotope, phase: str | None = None) -> np.ndarray:
        """Return the indices of a phase's sites with this nucleus, in ascending order.

        Raises:
            ParameterError: there is none.
        """
        crystal = self.crystals[self.phase(phase)]
        return sites_of(crystal.elements, nucleus, crystal.name)

    def of(self, name: str, phase: str | None = None) -> Array:
        """Return a quantity calculated by a source, ``state.of("energy")``, in the shape the source returns (traceable).

        Args:
            name: name of the quantity.
            phase: name of the crystal; needed when there are several.

        Raises:
            ParameterError: no source provides it, or none is named and there are several phases.
        """
        provision = self._provision(name, self.phase(phase))
        return jnp.asarray(self.provided[provision.phase][name])

    def prediction(self, name: str, phase: str | None = None) -> Any:
        """Return a quantity with its uncertainty; only a `HostState` can.

        Raises:
            ParameterError: always; this state is for evaluation at fixed uncertainties.
        """
        raise ParameterError(
            f"the uncertainty of {name!r} is known where a term is bound, not where it is evaluated: "
            "use objective.host_state(params)"
        )

    def tensor(
        self,
        head: str,
        phase: str | None = None,
        *,
        nucleus: str | Isotope | None = None,
        sites: Sequence[int] | np.ndarray | None = None,
    ) -> Array:
        """Return predicted tensors of sites of a phase, ``(sites, 3, 3)`` or ``(sites, dim)`` (traceable).

        Args:
            head: name of the quantity.
            phase: name of the crystal; needed when there are several.
            nucleus: restrict to the sites of this nucleus, see :meth:`sites`.
            sites: restrict to these sites, by index. Without ``nucleus`` and ``sites``, all sites, NaN where the model
                was not trained on the element.

        Raises:
            ParameterError: there is no model, no such quantity or site, or the model was not trained on an element.
        """
        source = self._provision(head, self.phase(phase))
        values = jnp.asarray(self.provided[source.phase][head])
        crystal = self.crystals[source.phase]
        if sites is not None:
            sites = np.asarray(sites, dtype=int)
        elif nucleus is not None:
            sites = sites_of(crystal.elements, nucleus, crystal.name)
        else:
            return values
        missing = [int(k) for k in sites if source.trained and not source.trained[k]]
        if missing:
            elements = sorted({crystal.elements[k] for k in missing})
            raise ParameterError(
                f"the model was not trained on the {head} of {', '.join(elements)}: leave "
                f"{', '.join(crystal.labels[k] for k in missing)} of {source.phase} out of the data (sites=), or give the "
                "objective a model that was"
            )
        return values[sites]

    def shielding(self, phase: str | None = None, *, nucleus: str | Isotope | None = None) -> Array:
        """Return shielding tensors ``(sites, 3, 3)`` in ppm including the antisymmetric part; see :meth:`tensor`."""
        return self.tensor(SHIELDING, phase, nucleus=nucleus)

    def efg(self, phase: str | None = None, *, nucleus: str | Isotope | None = None) -> Array:
        """Return electric field gradients ``(sites, 3, 3)`` in atomic units; see :meth:`tensor`."""
        return self.tensor(EFG, phase, nucleus=nucleus)

    def shift(
        self, nucleus: str | Isotope, reference: ShiftReference | None = None, *, phase: str | None = None
    ) -> Array:
        """Return isotropic chemical shifts of the sites of a nucleus, ppm.

        Args:
            nucleus: isotope, ``"29Si"``.
            reference: chemical-shift reference; the model's own by default.
            phase: name of the crystal; needed when there are several.

        Raises:
            ParameterError: as for :meth:`tensor`.
            ConventionError: there is no reference.
        """
        shielding = self.shielding(phase, nucleus=nucleus)
        if reference is None:
            references = self._provision(SHIELDING, self.phase(phase)).references
            reference = reference_of(isotope(nucleus).element, references)
        return reference.shift(jnp.trace(shielding, axis1=-2, axis2=-1) / 3.0)

    def _provision(self, name: str, phase: str) -> Provision:
        of_phase = {p.name: p for p in self.provisions if p.phase == phase}
        if name in of_phase:
            return of_phase[name]
        if of_phase:
            raise ParameterError(
                f"no model of {phase!r} predicts {name!r}; there is {', '.join(sorted(of_phase))}: give the objective a "
                "model that does, Objective(..., models=[model, other])"
            )
        others = sorted({p.phase for p in self.provisions})
        raise ParameterError(
            f"nothing predicts the {name} of {phase!r}{f', only of {others}' if others else ''}: give the objective a model, "
            "Objective(..., models=model)"
        )


def only_phase(crystals: Mapping[str, Crystal], name: str | None) -> str:
    """Return the name of a phase, of the only one if none is given; see :meth:`State.phase`."""
    if name is None and len(crystals) == 1:
        return next(iter(crystals))
    if name is None or name not in crystals:
        what = "no phase is named" if name is None else f"there is no phase {name!r}"
        raise ParameterError(
            f"{what}: expected phase= one of {', '.join(sorted(crystals)) or 'none, there is no crystal'}"
        )
    return name
