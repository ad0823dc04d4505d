"""Standard uncertainties of quantities derived from cell and coordinates: volume, bond lengths, angles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax
import numpy as np

from .._struct import compiled
from ..crystal import AnglePlan, BondPlan, plan_angles, plan_bonds, shared_sites, volume
from ..crystal.geometry import angles_from, distances_from

if TYPE_CHECKING:
    from ..crystal import Crystal
    from ..refinement.result import RefinementResult

_ANIONS = frozenset(("N", "O", "F", "S", "Cl", "Se", "Br", "Te", "I"))
# angles at larger coordination polyhedra fill pages with little information
_MOST_NEIGHBOURS_FOR_ANGLES = 6
_CELL = ("a", "b", "c", "alpha", "beta", "gamma")


@dataclass(frozen=True)
class Measured:
    """One distance (Å) or angle (degrees).

    Attributes:
        atoms: site labels, the vertex of an angle in the middle.
        symmetry: symmetry codes of the atoms other than the central one, as in a CIF.
        value, esd: Å or degrees.
        count: number of equivalent ones at the central site.
    """

    atoms: tuple[str, ...]
    symmetry: tuple[str, ...]
    value: float
    esd: float
    count: int


def phase_esds(fit: RefinementResult, name: str) -> dict[str, np.ndarray]:
    """Return standard uncertainties of the structural parameters of a phase, in the shapes of the crystal's arrays."""
    crystal = fit.crystals[name]
    out = {}
    for key in ("cell", "xyz", "u_iso", "u_aniso", "occupancy"):
        shape = np.shape(getattr(crystal, key))
        esd = fit.esds.get(key if len(fit.crystals) == 1 else f"{name}/{key}")
        out[key] = np.zeros(shape) if esd is None else np.asarray(esd, dtype=float).reshape(shape)
    return out


def phase_covariance(fit: RefinementResult, name: str) -> np.ndarray:
    """Return the covariance of ``(a, b, c, alpha, beta, gamma, x1, y1, z1, x2 ...)``, ``(6 + 3 sites,)`` squared."""
    crystal = fit.crystals[name]
    prefix = "" if len(fit.crystals) == 1 else f"{name}/"
    wanted = [f"{prefix}cell[{axis}]" for axis in _CELL]
    wanted += [f"{prefix}xyz[{label}.{axis}]" for label in crystal.labels for axis in "xyz"]
    place = {label: k for k, label in enumerate(fit.parameters.labels)}
    rows = np.array([place.get(label, -1) for label in wanted])
    known = rows >= 0
    out = np.zeros((len(wanted), len(wanted)))
    out[np.ix_(known, known)] = np.asarray(fit.covariance, dtype=float)[np.ix_(rows[known], rows[known])]
    return out


def volume_esd(crystal: Crystal, covariance: np.ndarray) -> float:
    """Return the standard uncertainty of the cell volume in Å³."""
    gradient = _volume_slopes(np.asarray(crystal.cell, dtype=float))
    return float(_propagate(np.asarray(gradient, dtype=float)[None], covariance[:6, :6])[0])


@dataclass(frozen=True)
class Geometry:
    """Bonds and angles of a phase with their standard uncertainties in the order of the plans (Å, degrees)."""

    crystal: Crystal
    bond_plan: BondPlan
    bond_esds: np.ndarray
    angle_plan: AnglePlan
    angle_esds: np.ndarray

    @classmethod
    def of(cls, crystal: Crystal, covariance: np.ndarray) -> Geometry:
        """Find bonds and angles in a crystal; ``covariance`` as from :func:`phase_covariance`.

        Angles are kept at sites with up to six neighbours; neighbours that share a position count once.
        """
        bond_plan, every = plan_bonds(crystal), plan_angles(crystal)
        others = [site for _, *rest in shared_sites(crystal) for site in rest]
        positions = np.where(np.isin(bond_plan.pairs[:, 1, 0], others), 0, bond_plan.multiplicity)
        coordination = np.bincount(bond_plan.pairs[:, 0, 0], positions, minlength=crystal.n_sites)
        small = coordination[every.triplets[:, 1, 0]] <= _MOST_NEIGHBOURS_FOR_ANGLES
        angle_plan = AnglePlan(every.triplets[small], every.multiplicity[small])
        return cls(
            crystal=crystal,
            bond_plan=bond_plan,
            bond_esds=_esds(crystal, covariance, _distance_slopes, bond_plan.pairs),
            angle_plan=angle_plan,
            angle_esds=_esds(crystal, covariance, _angle_slopes, angle_plan.triplets),
        )

    def bonds(self) -> list[Measured]:
        """List bond lengths, each once, from the less electronegative end."""
        plan, elements = self.bond_plan, self.crystal.elements
        is_anion = [elements[first[0]] in _ANIONS for first, _ in plan.pairs]
        chosen: dict[int, int] = {}
        for k, orbit in enumerate(plan.orbit.tolist()):
            if orbit not in chosen or (is_anion[chosen[orbit]] and not is_anion[k]):
                chosen[orbit] = k
        rows = plan.table(self.crystal)
        return [
            Measured(
                rows[k].labels, (rows[k].symmetry,), rows[k].distance, float(self.bond_esds[k]), rows[k].multiplicity
            )
            for k in sorted(chosen.values())
        ]

    def angles(self) -> list[Measured]:
        """List bond angles."""
        return [
            Measured(row.labels, row.symmetry, row.angle, float(esd), row.multiplicity)
            for row, esd in zip(self.angle_plan.table(self.crystal), self.angle_esds, strict=True)
        ]


@compiled(kept=True)
def _volume_slopes(cell):
    return jax.grad(volume)(cell)


@compiled(kept=True, static_argnums=2)
def _distance_slopes(cell, xyz, group, pairs):
    return jax.jacfwd(distances_from, argnums=(0, 1))(cell, xyz, group, pairs)


@compiled(kept=True, static_argnums=2)
def _angle_slopes(cell, xyz, group, triplets):
    return jax.jacfwd(angles_from, argnums=(0, 1))(cell, xyz, group, triplets)


def _esds(crystal: Crystal, covariance: np.ndarray, slopes, atoms: np.ndarray) -> np.ndarray:
    if not len(atoms):
        return np.zeros(0)
    cell, xyz = (np.asarray(a, dtype=float) for a in (crystal.cell, crystal.xyz))
    by_cell, by_xyz = slopes(cell, xyz, crystal.group, np.asarray(atoms))
    jacobian = np.concatenate([np.asarray(by_cell), np.asarray(by_xyz).reshape(len(atoms), -1)], axis=1)
    return _propagate(jacobian.astype(float), covariance)


def _propagate(jacobian: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    esd = np.sqrt(np.maximum(np.einsum("mi,ij,mj->m", jacobian, covariance, jacobian), 0.0))
    return np.where(esd < 1e-8, 0.0, esd)  # rounding errors of values fixed by symmetry
