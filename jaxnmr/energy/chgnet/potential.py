"""`CHGNet`: a potential for 89 elements with its published weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from jaxtyping import Float

from ..._arrays import namespace
from ..._struct import Struct, static
from ...crystal import Crystal, lattice
from ...errors import ConventionError, ParseError
from ...graph.plan import cartesian_operations
from ...typing import Array
from .network import site_energies
from .plan import BondGraphPlan, plan_bond_graph

WEIGHTS = Path(__file__).parent / "weights"
VERSIONS = ("r2scan", "0.3.0")
_FORMAT = 1
# of 1 eV/Å^3, as CHGNet's authors have it
GPA = 160.21766208


class CHGNet(Struct):
    """Energy of a crystal by CHGNet; see :meth:`load`.

    Attributes:
        weights: arrays by name.
        name: ``"chgnet-r2scan"`` or ``"chgnet-0.3.0"``.
        table: by rows of the weights, elements that it was trained on; empty for others.
        cutoff: of messages between atoms, Å.
        bond_cutoff: of bonds that form angles, Å.
        envelope: exponent of the polynomial at the cutoffs.
    """

    weights: Mapping[str, Array]
    name: str = static(note=True)
    table: tuple[str, ...] = static(note=True)
    cutoff: float = static()
    bond_cutoff: float = static()
    envelope: int = static()

    @classmethod
    def load(cls, version: str = "r2scan") -> CHGNet:
        """One of the sets of weights that come with the package (host).

        Args:
            version: ``"r2scan"``, learned from r2SCAN energies, which has cells and bonds right to half a per cent; ``"0.3.0"``,
                learned from PBE and PBE+U.

        Raises:
            ConventionError: no such version.
            ParseError: a damaged file.
        """
        plain = str(version).removeprefix("chgnet-")
        if plain not in VERSIONS:
            raise ConventionError(f"no weights {version!r} of CHGNet; there are {', '.join(map(repr, VERSIONS))}")
        card, arrays = _read(plain)
        return cls(
            weights=arrays,
            name=card["name"],
            table=tuple(symbol if symbol in card["elements"] else "" for symbol in card["rows"]),
            cutoff=float(card["cutoff"]),
            bond_cutoff=float(card["bond_cutoff"]),
            envelope=int(card["envelope"]),
        )

    @property
    def elements(self) -> frozenset[str]:
        """Elements that it was trained on."""
        return frozenset(filter(None, self.table))

    @property
    def card(self) -> Mapping[str, Any]:
        """Theory, training data, errors, citation, copyright, licence and origin of the weights (host)."""
        return _read(self.name.removeprefix("chgnet-"))[0]

    def plan(self, crystal: Crystal, skin: float = 0.3, *, symmetric: bool = True) -> BondGraphPlan:
        """List bonds and angles (host).

        Args:
            crystal: without partial occupancies.
            skin: how far beyond the cutoffs, Å.
            symmetric: of equivalent bonds only one, for structures that keep the crystal's space group; else all atoms of the
                conventional cell, which may move in any way.

        Raises:
            ConventionError: see :func:`plan_bond_graph`.
        """
        return plan_bond_graph(
            crystal, cutoff=self.cutoff, bond_cutoff=self.bond_cutoff, skin=skin, table=self.table, symmetric=symmetric,
            model=self.name,
        )  # fmt: skip

    def energy(self, crystal: Crystal, plan: BondGraphPlan) -> Float[Array, ""]:
        """Energy of the conventional cell, eV (traceable in cell and coordinates).

        Of a plan that makes use of symmetry, derivatives are right along what the space group leaves free: the directions of
        ``crystal.quantities()``.
        """
        positions, vectors = plan.placed(crystal)
        return self.energy_of(plan, positions, vectors)

    def energy_of(self, plan: BondGraphPlan, positions: Array, vectors: Array) -> Float[Array, ""]:
        """Energy of the conventional cell for positions and lattice of a plan, eV (traceable).

        Args:
            plan: with ``symmetric=False`` where positions shall move in any way.
            positions: ``(atoms, 3)`` in Å, in the order of ``plan.expansion``.
            vectors: ``(3, 3)``, rows, Å.
        """
        positions, vectors = jnp.asarray(positions), jnp.asarray(vectors)
        each = site_energies(self.weights, plan, positions, vectors, envelope=self.envelope)
        return jnp.sum(each * jnp.asarray(plan.atoms.nodes["multiplicity"]).astype(each.dtype))

    def evaluate(self, crystal: Crystal, plan: BondGraphPlan) -> tuple[Array, Array, Array]:
        """Energy, forces and stress (traceable, and differentiable in turn).

        Returns:
            The energy of the conventional cell, eV; forces on the atoms of ``plan.expansion``, ``(atoms, 3)``, eV/Å; the stress,
            ``(3, 3)``, GPa: dE/dε / V for ``lattice (1 + ε)``, so that it is negative where the cell wants to grow.
        """
        positions, vectors = plan.placed(crystal)
        return averaged(crystal, plan, *self.slopes_of(plan, positions, vectors))

    def slopes_of(self, plan: BondGraphPlan, positions: Array, vectors: Array) -> tuple[Array, Array, Array]:
        """:meth:`energy_of` and its derivatives with respect to positions, ``(atoms, 3)``, and strain, ``(3, 3)`` (traceable)."""
        positions, vectors = jnp.asarray(positions), jnp.asarray(vectors)

        def strained(positions: Array, strain: Array) -> Array:
            deformed = jnp.eye(3, dtype=strain.dtype) + strain
            return self.energy_of(plan, positions @ deformed, vectors @ deformed)

        energy, slopes = jax.value_and_grad(strained, (0, 1))(positions, jnp.zeros_like(vectors))
        return (energy, *slopes)


def averaged(
    crystal: Crystal, plan: BondGraphPlan, energy: Array, slope: Array, strain_slope: Array
) -> tuple[Array, Array, Array]:
    """Energy, forces (eV/Å) and stress (GPa) from what :meth:`CHGNet.slopes_of` returns (traceable).

    Of a plan that makes use of symmetry these derivatives are right for what equivalent atoms do together; the averages over
    the group are those of every atom.
    """
    xp = namespace(energy, slope, strain_slope)
    axes = lattice(xp.asarray(crystal.cell))
    stress = strain_slope / xp.linalg.det(axes) * GPA
    if not plan.symmetric:
        return energy, -slope, stress
    group = cartesian_operations(crystal.group, axes)
    atoms = xp.asarray(plan.expansion.atoms)
    turns = group[atoms[:, 1]]
    mine = xp.asarray(atoms[:, 0] == xp.arange(len(plan.projector))[:, None], dtype=axes.dtype)
    together = xp.einsum("sn,nji,nj->si", mine, turns, slope)
    held = xp.einsum("ji,njk,lk->nil", axes, xp.asarray(plan.projector).astype(axes.dtype), xp.linalg.inv(axes))
    share = xp.einsum("nij,nj->ni", held, together) / xp.asarray(plan.atoms.nodes["multiplicity"])[:, None]
    forces = -xp.einsum("nij,nj->ni", turns, share[atoms[:, 0]])
    return energy, forces, xp.mean(xp.einsum("nij,jk,nlk->nil", group, stress, group), axis=0)


@lru_cache
def _read(version: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    path = WEIGHTS / f"chgnet-{version}.safetensors"
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            description = json.loads((file.metadata() or {})["jaxnmr"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, safetensors.SafetensorError, KeyError, ValueError) as error:
        raise ParseError(path, None, f"is missing or damaged ({error}): install jaxnmr again") from error
    digest = hashlib.sha256(b"".join(arrays[name].tobytes() for name in sorted(arrays))).hexdigest()
    if description["format"] != _FORMAT or digest != description["sha256"]:
        raise ParseError(path, None, "numbers differ from those that were converted: install jaxnmr again")
    for array in arrays.values():
        array.flags.writeable = False
    return description["card"], arrays
