"""`PairPotential`: charges and a short-range energy of every pair, from a file of parameters."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..._struct import Struct, static
from ...crystal import Crystal
from ...typing import Array
from ..potential import SKIN
from .ewald import ACCURACY, COULOMB, reciprocal_energy, screened
from .files import PairFile, read_pair_file
from .form import Cutoff, buckingham, check_closed
from .plan import PairPlan, plan_pairs


class PairPotential(Struct):
    """Energy of a crystal from its pairs of atoms: ``q q'/r + A exp(-b r) - C/r⁶ + D/r²⁴``; made by :meth:`load`.

    Attributes:
        charges: e, of every element of ``species``.
        coefficients: A, b, C, D of every two elements, in eV and Å.
        species: elements in the order of the file.
        cutoff: how the short-range part ends.
        name: of the potential.
        citation, notes: where it comes from.
    """

    charges: Float[Array, " elements"]
    coefficients: Float[Array, "4 elements elements"]
    species: tuple[str, ...] = static()
    cutoff: Cutoff = static()
    name: str = static(note=True)
    citation: str = static(note=True)
    notes: str = static(note=True)

    @classmethod
    def load(cls, source: str | Path | PairFile) -> "PairPotential":
        """A potential by name (``"bks"``, ``"chik"``: silica), or of a file of yours; `energy/pair/files.py` has the format.

        Raises:
            ParameterError: no such name or file.
            ParseError: the file is not of the format, or says nothing of a pair.
            ConventionError: atoms of a pair that come close would never part.
        """
        file = source if isinstance(source, PairFile) else read_pair_file(source)
        charge = dict(zip(file.elements, file.charges, strict=True))
        table = np.zeros((4, len(charge), len(charge)))
        for (first, second), values in file.pairs.items():
            check_closed(file.name, f"{first}-{second}", charge[first] * charge[second], values, COULOMB)
            i, j = file.elements.index(first), file.elements.index(second)
            table[:, i, j] = table[:, j, i] = [values[key] for key in ("A", "b", "C", "D")]
        return cls(
            charges=np.array(file.charges),
            coefficients=table,
            species=file.elements,
            cutoff=file.cutoff,
            name=file.name,
            citation=file.citation,
            notes=file.notes,
        )

    @property
    def elements(self) -> frozenset[str]:
        """Elements that it has parameters for."""
        return frozenset(self.species)

    @property
    def card(self) -> dict[str, Any]:
        """What it is, for reports: kind, citation, units, elements, cutoff."""
        return {
            "name": self.name,
            "kind": "pair potential with charges (Ewald sum)",
            "citation": self.citation,
            "units": {"energy": "eV", "length": "Å"},
            "elements": list(self.species),
            "cutoff": f"{self.cutoff.radius:g} Å",
            "notes": self.notes,
        }

    def plan(self, crystal: Crystal, *, skin: float = SKIN, accuracy: float = ACCURACY) -> PairPlan:
        """List pairs and reciprocal vectors for a crystal (host).

        Args:
            crystal: neutral, fully occupied, of elements that have parameters.
            skin: Å; as far atoms and cell may move before the plan has to be renewed.
            accuracy: of the sum over charges, eV per atom.

        Raises:
            ConventionError: a crystal that this potential cannot describe: why, and what to do.
        """
        charges = tuple(float(q) for q in np.asarray(self.charges))
        return plan_pairs(
            crystal, species=self.species, charges=charges, cutoff=self.cutoff.radius, skin=skin, accuracy=accuracy
        )

    def energy(self, crystal: Crystal, plan: PairPlan) -> Float[Array, ""]:
        """Energy of the conventional cell in eV, against free ions (traceable, any number of derivatives).

        Derivatives are those of a crystal that keeps its space group: only along directions that it allows do they mean
        something. Forces on single atoms and elastic constants of any strain are those of the crystal in P1.
        """
        points, vectors = plan.placed(crystal)
        points, vectors, kinds = jnp.asarray(points), jnp.asarray(vectors), jnp.asarray(plan.kinds)
        first, second = jnp.asarray(plan.receivers), jnp.asarray(plan.senders)
        q = jnp.asarray(self.charges).astype(points.dtype)[kinds]
        between = points[second] - points[first] + jnp.asarray(plan.shifts).astype(points.dtype) @ vectors
        r = jnp.sqrt(jnp.sum(between**2, axis=-1))
        near = screened(r, jnp.asarray(plan.reciprocal.alpha).astype(points.dtype)) * q[first] * q[second]
        short = self._short(r, kinds[first], kinds[second])
        far = reciprocal_energy(plan.reciprocal, vectors, points, q) + self._tail(vectors, kinds)
        # sites stand for their images, and every pair is met from both ends
        weight = jnp.asarray(plan.weight).astype(points.dtype)
        return jnp.sum(weight * (near + short)) + len(crystal.group.centring) * far

    def _short(self, r: Float[Array, " pairs"], first: Array, second: Array) -> Float[Array, " pairs"]:
        table = jnp.asarray(self.coefficients).astype(r.dtype)
        mine = table[:, first, second]
        u = buckingham(r, *mine)
        if self.cutoff.shift:
            u = u - buckingham(jnp.full_like(table[0], self.cutoff.radius), *table)[first, second]
        return u * self.cutoff.factor(r)

    def _tail(self, lattice: Float[Array, "3 3"], kinds: Array) -> Float[Array, ""]:
        """Dispersion beyond the cutoff, of atoms spread evenly, eV per cell of ``lattice``."""
        missing = self.cutoff.missing_dispersion()
        if not missing:
            return jnp.zeros((), lattice.dtype)
        number = jax.nn.one_hot(kinds, len(self.species), dtype=lattice.dtype).sum(axis=0)
        dispersion = jnp.asarray(self.coefficients).astype(lattice.dtype)[2]
        return -0.5 * missing * (number @ dispersion @ number) / jnp.abs(jnp.linalg.det(lattice))
