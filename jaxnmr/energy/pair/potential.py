"""`PairPotential`: charges and a short-range energy of every pair, from a file of parameters."""

from pathlib import Path
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..._struct import Struct, static
from ...crystal import Crystal
from ...errors import ParameterError
from ...typing import Array
from ..potential import SKIN
from .ewald import ACCURACY, COULOMB, screened
from .files import PairFile, read_pair_file
from .form import Cutoff, buckingham, check_closed
from .plan import PairPlan, plan_pairs

# eV/Å, rms: forces of a solid at room temperature are of the order of 1 eV/Å
FORCE_ERROR = 2e-5


class PairPotential(Struct):
    """Energy of a crystal from its pairs of atoms: ``q q'/r + A exp(-b r) - C/r⁶ + D/r²⁴``; made by :meth:`load`.

    Attributes:
        charges: e, of every element of ``species``.
        coefficients: A, b, C, D of every two elements, in eV and Å.
        species: elements in the order of the file.
        cutoff: how the short-range part ends.
        name: of the potential.
        citation, notes: where it comes from.
        force_error: rms error of forces that the sum over charges may have, eV/Å, see :meth:`for_dynamics`; 0: as exact as ``plan``
            is asked for.
    """

    charges: Float[Array, " elements"]
    coefficients: Float[Array, "4 elements elements"]
    species: tuple[str, ...] = static()
    cutoff: Cutoff = static()
    name: str = static(note=True)
    citation: str = static(note=True)
    notes: str = static(note=True)
    force_error: float = static(default=0.0)

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
            crystal,
            species=self.species,
            charges=charges,
            cutoff=self.cutoff.radius,
            skin=skin,
            accuracy=accuracy,
            force_error=self.force_error,
        )

    def for_dynamics(self, force_error: float = FORCE_ERROR) -> Self:
        """A copy whose charges are summed on a mesh, as exactly as dynamics needs and many times faster in large cells.

        Forces are the derivatives of the energy that it calculates, so that dynamics conserves it: CHIK, 192 atoms of cristobalite
        at 1,000 K, 0.02 meV per atom in 4 ps. With the default, forces of disordered silica are 0.3 to 0.7e-5 eV/Å (rms) off those of
        the exact sum (`benchmarks/dynamics/charges_on_a_mesh.py`).

        Args:
            force_error: rms, eV/Å.
        """
        if not (np.isfinite(force_error) and force_error > 0):
            raise ParameterError(
                f"force_error is {force_error}; expected a positive number of eV/Å, such as {FORCE_ERROR:g}"
            )
        if not np.asarray(self.charges).any():
            return self
        return self.replace(force_error=float(force_error))

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
        far = plan.reciprocal.energy(vectors, points, q) + self._tail(vectors, kinds)
        # sites stand for their images, and pairs are met from one end or from both
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
