"""Refinement of atoms against line areas, and exchange of elements if the fit improves (host)."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Complex, Float

from ..._arguments import checked
from ...crystal import Crystal, metric, plan_expansion, positions, reciprocal_metric
from ...errors import ConventionError, SymmetryError
from ...units import EIGHT_PI2
from ..agreement import SCALE_SPREAD, best_scale, r_factor, root_mean_square
from ..shapes import atom_gaussians
from .lines import LineAreas
from .waves import IndependentWaves

# Å² and Å: expected spread of displacements, and the largest change of a coordinate in one step
_U_SPREAD, _MOVE = 0.02, 0.15
_LEAST_U, _MOST_U = 0.0, 0.2
# relative improvement of the misfit required for an exchange of elements
_BETTER = 0.02


class FittedAtoms(NamedTuple):
    """Atoms refined by least squares on lines.

    Attributes:
        crystal: refined structure; ``start`` the initial one.
        scale: measured areas over calculated ones.
        misfit_before, misfit: root mean square of whitened residuals.
        r_before, r: ``sum |sqrt(I_o) - sqrt(I_c)|/sum sqrt(I_o)``.
        xyz_esd: ``(sites, 3)`` standard uncertainties of coordinates, given the covariance of the lines.
        steps: number of steps taken.
        exchanged: whether elements were exchanged.
    """

    crystal: Crystal
    start: Crystal
    scale: float
    misfit_before: float
    misfit: float
    r_before: float
    r: float
    xyz_esd: Float[np.ndarray, "sites 3"]
    steps: int
    exchanged: bool = False


@checked
def fit_atoms(
    crystal: Crystal, lines: LineAreas, *, displacements: bool = True, exchange: bool = False, steps: int = 40
) -> FittedAtoms:
    """Refine free coordinates of atoms, and isotropic displacements, against areas of lines of an unknown scale.

    Derivatives are exact. Displacements are restrained to the starting values by 0.02 Å², which matters only for few
    lines.

    Args:
        crystal: structure with the cell of the lines, in any space group with the same equivalents.
        lines: areas, which specify the scattering electrons.
        displacements: whether displacements are refined.
        exchange: whether two sites of equal multiplicity may exchange elements if that improves the fit.
        steps: largest number of Gauss-Newton steps.

    Raises:
        ConventionError: the lines have another cell, or an element has no atom of their electrons.
    """
    plan = _Fit.plan(crystal, lines, displacements)
    found = plan.solved(crystal, steps)
    return _exchanged(found, plan, lines, steps) if exchange else found


def _exchanged(found: FittedAtoms, plan: "_Fit", lines: LineAreas, steps: int) -> FittedAtoms:
    seen = {found.crystal.species}
    for _ in range(len(found.crystal.species)):
        best = found
        for other in _swaps(found.crystal.replace(u_iso=found.start.u_iso)):
            if other.species not in seen:
                seen.add(other.species)
                tried = plan.of(other, lines).solved(other, steps)
                if tried.misfit < (1.0 - _BETTER) * best.misfit:
                    best = tried
        if best is found:
            break
        found = best._replace(exchanged=True, start=found.start)
    return found


def _swaps(crystal: Crystal) -> Iterator[Crystal]:
    """Iterate over crystals in which two sites have exchanged elements."""
    counts = [site.multiplicity for site in crystal.sites()]
    for i, j in combinations(range(len(counts)), 2):
        if counts[i] == counts[j] and crystal.species[i] != crystal.species[j]:
            species = list(crystal.species)
            species[i], species[j] = species[j], species[i]
            with suppress(SymmetryError):  # the atoms have come too close
                yield Crystal.create(
                    cell=crystal.cell, spacegroup=crystal.group, species=species, xyz=crystal.xyz, occupancy=crystal.occupancy,
                    u_iso=crystal.u_iso, name=crystal.name,
                )  # fmt: skip


class _Fit(NamedTuple):
    """Arrays that stay constant while atoms move.

    Attributes:
        h: ``(n, 3)`` waves; ``s_sq`` their ``s²``; ``f`` ``(sites, n)`` form factors at rest.
        turned: ``(atoms, n, 3)`` rotated reflections ``h R``; ``site`` of every atom, ``shift`` ``h·t``.
        basis: ``(3 sites, k)`` free directions of coordinates, each of length one ångström.
        summing, observed, whitening, lift, area: arrays of the lines.
        displacements: whether displacements are refined.
    """

    h: np.ndarray
    s_sq: np.ndarray
    f: np.ndarray
    turned: np.ndarray
    shift: np.ndarray
    site: np.ndarray
    basis: np.ndarray
    summing: np.ndarray
    observed: np.ndarray
    whitening: np.ndarray
    lift: float
    area: np.ndarray
    displacements: bool

    @classmethod
    def plan(cls, crystal: Crystal, lines: LineAreas, displacements: bool) -> "_Fit":
        if any(crystal.anisotropic):
            raise ConventionError(
                f"{crystal.name} has anisotropic displacements; atoms on lines have isotropic ones: give u_iso"
            )
        cell = np.asarray(crystal.cell, dtype=float)
        d = 1.0 / np.sqrt(np.einsum("ni,ij,nj->n", lines.hkl, reciprocal_metric(cell), lines.hkl).max())
        waves = IndependentWaves.plan(cell, 0.999 * float(d), crystal.group)
        s_sq = waves.d_star**2 / 4.0
        images = np.asarray(plan_expansion(crystal).atoms)
        operations = images[:, 1]
        turned = np.einsum("ni,aij->anj", waves.hkl, crystal.group.rotations[operations])
        # translation of an image including lattice vectors, which do not change structure factors
        at = positions(np.asarray(crystal.xyz, dtype=float), crystal.group, images)
        plain = np.einsum("aij,aj->ai", crystal.group.rotations[operations], np.asarray(crystal.xyz)[images[:, 0]])
        shift = (at - plain) @ waves.hkl.T
        return cls(
            waves.hkl, s_sq, _form_factors(crystal, lines, s_sq), turned, shift, images[:, 0], _directions(crystal),
            lines.summing(waves), *lines.roots(), lines.area, displacements,
        )  # fmt: skip

    def of(self, crystal: Crystal, lines: LineAreas) -> "_Fit":
        """Return the same positions with other elements."""
        return self._replace(f=_form_factors(crystal, lines, self.s_sq))

    def waves(self, xyz: np.ndarray, u: np.ndarray) -> tuple[Complex[np.ndarray, " n"], Complex[np.ndarray, "n k"]]:
        """Return structure factors, and derivatives along free directions and by displacements."""
        sites = len(self.f)
        damped = self.f * np.exp(-EIGHT_PI2 * u[:, None] * self.s_sq)
        phases = np.exp(2j * np.pi * (np.einsum("anj,aj->an", self.turned, xyz[self.site]) + self.shift))
        each = np.zeros((sites, len(self.h)), dtype=complex)
        slopes = np.zeros((sites, len(self.h), 3), dtype=complex)
        for atom, site in enumerate(self.site):
            each[site] += phases[atom]
            slopes[site] += 2j * np.pi * phases[atom][:, None] * self.turned[atom]
        each *= damped
        slopes *= damped[:, :, None]
        along = slopes.transpose(1, 0, 2).reshape(len(self.h), -1) @ self.basis
        if self.displacements:
            along = np.concatenate([along, (-EIGHT_PI2 * self.s_sq * each).T * _U_SPREAD], axis=1)
        return each.sum(axis=0), along

    def solved(self, crystal: Crystal, steps: int) -> FittedAtoms:
        xyz0, u0 = np.asarray(crystal.xyz, dtype=float), np.asarray(crystal.u_iso, dtype=float)
        k, sites = self.basis.shape[1], len(u0)
        size = k + (sites if self.displacements else 0)
        held = np.concatenate([np.zeros(k), np.ones(size - k), [1.0]])
        begin = best_scale(self.area, self.summing @ np.abs(self.waves(xyz0, u0)[0]) ** 2)

        def place(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            xyz = xyz0 + (self.basis @ z[:k]).reshape(-1, 3)
            return xyz, np.clip(u0 + _U_SPREAD * z[k:size], _LEAST_U, _MOST_U) if self.displacements else u0

        def at(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            f, along = self.waves(*place(z))
            grown = begin * np.exp(SCALE_SPREAD * z[size])
            calculated = grown * (self.summing @ (f.real**2 + f.imag**2))
            root = np.sqrt(calculated + self.lift)
            slope = np.empty((len(self.area), size + 1))
            slope[:, :size] = 2.0 * grown * (self.summing @ (f.conj()[:, None] * along).real)
            slope[:, size] = SCALE_SPREAD * calculated
            return self.whitening @ (root - self.observed), self.whitening @ (slope / (2.0 * root)[:, None])

        z = np.zeros(size + 1)
        residual, jacobian = at(z)
        first, cost, damping, taken = residual, float(residual @ residual), 1e-3, 0
        for _ in range(steps):
            normal = jacobian.T @ jacobian + np.diag(held)
            side = jacobian.T @ residual + held * z
            step = -np.linalg.solve(normal + damping * np.diag(np.diag(normal)) + 1e-9 * np.eye(size + 1), side)
            far = np.abs(step[:k]).max(initial=0.0)
            trial = z + step * min(1.0, _MOVE / max(far, 1e-12))
            tried, slope = at(trial)
            new = float(tried @ tried + held @ trial**2)
            if new < cost:
                gain = cost - new
                z, residual, jacobian, cost, damping, taken = trial, tried, slope, new, damping * 0.2, taken + 1
                if gain < 1e-5 * (1.0 + cost):
                    break
            else:
                damping = max(damping, 1e-3) * 8.0
                if damping > 1e8:
                    break
        xyz, u = place(z)
        covariance = np.linalg.pinv(jacobian.T @ jacobian + np.diag(held))[:k, :k]
        esd = np.sqrt(np.maximum(np.diag(self.basis @ covariance @ self.basis.T), 0.0)).reshape(-1, 3)
        scale = begin * float(np.exp(SCALE_SPREAD * z[size]))
        areas = [self.summing @ np.abs(self.waves(*of)[0]) ** 2 for of in ((xyz0, u0), (xyz, u))]
        return FittedAtoms(
            crystal.replace(xyz=xyz, u_iso=u), crystal, scale, root_mean_square(first), root_mean_square(residual), r_factor(self.area, begin * areas[0]),
            r_factor(self.area, scale * areas[1]), esd, taken,
        )  # fmt: skip


def _form_factors(crystal: Crystal, lines: LineAreas, s_sq: np.ndarray) -> Float[np.ndarray, "sites n"]:
    gaussians = atom_gaussians(crystal.species, "valence" if lines.atoms == "valence" else "all-electron")
    f = np.stack([np.exp(-np.outer(s_sq, b)) @ a for a, b in zip(gaussians.a, gaussians.b, strict=True)])
    return f * np.asarray(crystal.occupancy, dtype=float)[:, None]


def _directions(crystal: Crystal) -> Float[np.ndarray, "xyz k"]:
    """Return the free directions of all coordinates, each of length one ångström."""
    g = np.asarray(metric(np.asarray(crystal.cell, dtype=float)))
    columns = []
    for k, site in enumerate(crystal.sites()):
        basis = site.xyz_basis()
        for column in basis.T:
            wide = np.zeros((len(crystal.species), 3))
            wide[k] = column / np.sqrt(column @ g @ column)
            columns.append(wide.ravel())
    return np.stack(columns, axis=1) if columns else np.zeros((3 * len(crystal.species), 0))
