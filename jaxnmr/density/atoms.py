"""Crystals as superposed free atoms: structure factors and densities as analytic sums of Gaussians."""

from itertools import product
from typing import Any

import numpy as np
from jaxtyping import Complex, Float, Int

from .._arrays import namespace
from .._struct import Struct, static
from ..crystal import Crystal, Expansion, lattice, plan_expansion, positions, reciprocal_metric, volume
from ..crystal.symmetry import UIJ
from ..errors import ConventionError, ParameterError
from ..typing import Array
from ..units import EIGHT_PI2
from .grid import Density, Shape, frequencies
from .shapes import AtomKind, atom_gaussians

# standard deviations beyond which a Gaussian is neglected: below 1e-9 of its height
_REACH = 6.5
# index of each component of a symmetric matrix among the six
_PLACE = np.array([[0, 3, 4], [3, 1, 5], [4, 5, 2]])


class AtomSum(Struct):
    """Part of a sum over atoms independent of coordinates, displacements, occupancies and cell; see :func:`plan_atoms`.

    Attributes:
        a, b: Gaussians of every site, electrons and Å².
        rotations: rotation of every atom, which applies to its displacement tensor.
        expansion: images of sites that fill the cell.
        anisotropic: per site, which kind of displacement applies.
        at_rest: whether displacements are left out.
    """

    a: Float[Array, "sites gaussians"]
    b: Float[Array, "sites gaussians"]
    rotations: Float[Array, "atoms 3 3"]
    expansion: Expansion
    anisotropic: tuple[bool, ...] = static()
    at_rest: bool = static()

    def structure_factors(self, crystal: Crystal, hkl: Int[np.ndarray, "m 3"]) -> Complex[Array, " m"]:
        """Return ``F(h)`` in electrons per conventional cell (traceable in the crystal).

        Args:
            crystal: structure of the same group and sites.
            hkl: any reflections.
        """
        xp, h = _namespace(crystal), np.asarray(hkl, dtype=float).reshape(-1, 3)
        s_sq = xp.einsum("mi,ij,mj->m", h, reciprocal_metric(xp.asarray(crystal.cell)), h) / 4.0
        places, weights = self._places(crystal, xp), self._weights(crystal, xp)
        total: Any = 0.0
        for site, atoms in enumerate(self._atoms_of()):
            waves = xp.exp(2j * np.pi * (h @ places[atoms].T))
            if self.anisotropic[site] and not self.at_rest:
                waves = waves * self._damping(crystal, xp, site, atoms, [h[:, k, None] for k in range(3)])
            b = xp.asarray(self.b)[site] + self._widening(crystal, xp, site)
            f = xp.exp(-s_sq[:, None] * b) @ xp.asarray(self.a)[site]
            total = total + weights[site] * f * waves.sum(axis=1)
        return total

    def on_grid(self, crystal: Crystal, shape: Shape) -> Density:
        """Return the density of all waves with indices below half the number of points (traceable in the crystal).

        These waves are those of :meth:`structure_factors` to rounding, including their mean, so that no electron is
        lost. Waves beyond the grid are left out rather than folded back: too coarse a grid shows ripples.
        """
        n1, n2, n3 = shape = _checked(shape)
        xp = _namespace(crystal)
        h = [frequencies(n1), frequencies(n2), np.arange(n3 // 2 + 1)]
        inside = [2 * np.abs(indices) < n for indices, n in zip(h, shape, strict=True)]
        g_star = reciprocal_metric(xp.asarray(crystal.cell))
        # with orthogonal reciprocal axes, sums over Gaussians factorise into products along the axes
        separable = xp is np and bool((np.abs(np.asarray(crystal.cell)[3:] - 90.0) < 1e-12).all())
        places, weights = self._places(crystal, xp), self._weights(crystal, xp)
        known: dict[Any, Any] = {}
        total: Any = 0.0
        for site, atoms in enumerate(self._atoms_of()):
            ends = [xp.exp(2j * np.pi * h[k][:, None] * places[atoms, k]) * inside[k][:, None] for k in range(3)]
            if self.anisotropic[site] and not self.at_rest:
                indices = [h[0][:, None, None, None], h[1][:, None, None], h[2][:, None]]
                damping = self._damping(crystal, xp, site, atoms, indices)
                waves = xp.einsum("hn,kn,ln,hkln->hkl", *ends, damping)
            else:
                planes = (ends[0][:, None] * ends[1][None]).reshape(n1 * n2, len(atoms))
                waves = (planes @ ends[2].T).reshape(n1, n2, -1)
            b = xp.asarray(self.b)[site] + self._widening(crystal, xp, site)
            key = (np.asarray(self.a)[site].tobytes(), b.tobytes()) if xp is np else site
            if key not in known:
                known[key] = _form_factor(xp, xp.asarray(self.a)[site], b, h, g_star, separable)
            total = total + weights[site] * known[key] * waves
        values = xp.fft.irfftn(xp.conj(total), s=shape, axes=(0, 1, 2)) * (
            n1 * n2 * n3 / volume(xp.asarray(crystal.cell))
        )
        return Density(values=values, cell=xp.asarray(crystal.cell))

    def at(self, crystal: Crystal, points: Float[np.ndarray, "m 3"]) -> Float[np.ndarray, " m"]:
        """Return the exact density at fractional coordinates, e/Å³: Gaussians of all atoms within reach (host).

        Raises:
            ConventionError: atoms at rest include a point charge among their Gaussians, as X-ray form factors do.
        """
        vectors, x = (
            np.asarray(lattice(np.asarray(crystal.cell, dtype=float))),
            np.asarray(points, dtype=float).reshape(-1, 3),
        )
        places, weights = self._places(crystal, np), self._weights(crystal, np)
        length = np.sqrt(np.diag(reciprocal_metric(np.asarray(crystal.cell, dtype=float))))
        total = np.zeros(len(x))
        for site, atoms in enumerate(self._atoms_of()):
            for atom in atoms:
                motion = self._cartesian(crystal, site, atom, vectors, length)
                spreads = motion + np.asarray(self.b)[site][:, None, None] / EIGHT_PI2 * np.eye(3)
                spreads, amounts = (of[np.asarray(self.a)[site] != 0.0] for of in (spreads, np.asarray(self.a)[site]))
                widths = np.linalg.eigvalsh(spreads)
                if widths.min() <= 1e-9:
                    raise ConventionError(
                        f"{crystal.labels[site]} has a point charge that no displacement spreads: its density has no value there. "
                        "Give it a displacement, take valence atoms, or ask for waves (on_grid)"
                    )
                inverses, limits = np.linalg.inv(spreads), _REACH**2 * widths[:, -1]
                heights = weights[site] * amounts / np.sqrt((2 * np.pi) ** 3 * np.linalg.det(spreads))
                reach = np.ceil(np.sqrt(limits.max()) * length + 0.5).astype(int)
                delta = x - places[atom]
                delta = delta - np.round(delta)
                for shift in product(*(range(-n, n + 1) for n in reach)):
                    r = (delta + shift) @ vectors
                    distance_sq = np.einsum("mi,mi->m", r, r)
                    for height, inverse, limit in zip(heights, inverses, limits, strict=True):
                        near = distance_sq < limit
                        if near.any():
                            total[near] += height * np.exp(-0.5 * np.einsum("mi,ij,mj->m", r[near], inverse, r[near]))
        return total

    def _atoms_of(self) -> list[np.ndarray]:
        site = np.asarray(self.expansion.atoms)[:, 0]
        return [np.flatnonzero(site == k) for k in range(len(self.anisotropic))]

    def _places(self, crystal: Crystal, xp):
        return positions(xp.asarray(crystal.xyz), crystal.group, np.asarray(self.expansion.atoms))

    def _weights(self, crystal: Crystal, xp):
        return xp.asarray(crystal.occupancy)

    def _widening(self, crystal: Crystal, xp, site: int):
        """Return the contribution of an isotropic displacement to the width of every Gaussian, Å²."""
        return 0.0 if self.at_rest or self.anisotropic[site] else EIGHT_PI2 * xp.asarray(crystal.u_iso)[site]

    def _contravariant(self, crystal: Crystal, xp, site: int, atoms: np.ndarray):
        """Return ``R N U N Rᵀ`` with ``N = diag(a*)``: the displacement of every atom, dimensionless."""
        length = xp.sqrt(xp.diag(reciprocal_metric(xp.asarray(crystal.cell))))
        u = xp.asarray(crystal.u_aniso)[site]
        beta = u[_PLACE] * length[:, None] * length
        turned = np.asarray(self.rotations)[atoms]
        return xp.einsum("nij,jk,nlk->nil", turned, beta, turned)

    def _damping(self, crystal: Crystal, xp, site: int, atoms: np.ndarray, h: list):
        beta = self._contravariant(crystal, xp, site, atoms)
        exponent = sum((1.0 if i == j else 2.0) * h[i] * h[j] * beta[:, i, j] for i, j in UIJ)
        return xp.exp(-0.25 * EIGHT_PI2 * exponent)

    def _cartesian(self, crystal: Crystal, site: int, atom: int, vectors: np.ndarray, length: np.ndarray) -> np.ndarray:
        if self.at_rest:
            return np.zeros((3, 3))
        if not self.anisotropic[site]:
            return float(np.asarray(crystal.u_iso)[site]) * np.eye(3)
        return vectors.T @ self._contravariant(crystal, np, site, np.array([atom]))[0] @ vectors


def plan_atoms(crystal: Crystal, atoms: AtomKind = "valence", *, at_rest: bool = False) -> AtomSum:
    """Prepare the sum over the atoms of a crystal (host).

    Args:
        crystal: any lattice and space group; occupancies and isotropic and anisotropic displacements are included.
        atoms: ``"valence"`` or ``"all-electron"``, see :func:`~jaxnmr.density.shapes.atom_gaussians`.
        at_rest: leave displacements out, as in a calculated density.

    Raises:
        ConventionError: an element has no such atom.
        ParameterError: the kind of atoms is unknown.
    """
    gaussians, expansion = atom_gaussians(crystal.species, atoms), plan_expansion(crystal)
    return AtomSum(
        a=gaussians.a,
        b=gaussians.b,
        rotations=crystal.group.rotations[np.asarray(expansion.atoms)[:, 1]].astype(float),
        expansion=expansion,
        anisotropic=crystal.anisotropic,
        at_rest=at_rest,
    )


def superposed(crystal: Crystal, shape: Shape, atoms: AtomKind = "valence", *, at_rest: bool = False) -> Density:
    """Return the density of superposed atoms on a grid, by :func:`plan_atoms` and :meth:`AtomSum.on_grid` (host).

    Args:
        crystal, atoms, at_rest: as of :func:`plan_atoms`.
        shape: points along a, b and c.
    """
    return plan_atoms(crystal, atoms, at_rest=at_rest).on_grid(crystal, shape)


def _form_factor(xp, a, b, h: list[np.ndarray], g_star, separable: bool):
    if separable:
        ends = [np.exp(-0.25 * g_star[k, k] * np.outer(h[k] ** 2, b)) for k in range(3)]
        planes = (ends[0][:, None] * ends[1][None]).reshape(-1, len(b))
        return ((planes * a) @ ends[2].T).reshape(len(h[0]), len(h[1]), -1)
    first, second, third = h[0][:, None, None], h[1][:, None], h[2]
    s_sq = 0.25 * (
        g_star[0, 0] * first**2 + g_star[1, 1] * second**2 + g_star[2, 2] * third**2
        + 2.0 * (g_star[0, 1] * first * second + g_star[0, 2] * first * third + g_star[1, 2] * second * third)
    )  # fmt: skip
    return sum((a[k] * xp.exp(-b[k] * s_sq) for k in range(len(a))), 0.0)


def _namespace(crystal: Crystal):
    return namespace(crystal.cell, crystal.xyz, crystal.occupancy, crystal.u_iso, crystal.u_aniso)


def _checked(shape: Shape) -> Shape:
    numbers = tuple(int(n) for n in shape)
    if len(numbers) != 3 or min(numbers) < 2:
        raise ParameterError(f"shape is {tuple(shape)}; expected three numbers of points, each 2 or more")
    return numbers[0], numbers[1], numbers[2]
