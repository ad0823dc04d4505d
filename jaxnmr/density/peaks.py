"""Atoms from a density: maxima, charges within spheres, and the crystal of superposed atoms that fits best (host)."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
from jaxtyping import Complex, Float, Int

from .._arguments import checked
from ..crystal import Crystal, lattice, reciprocal_metric, volume
from ..errors import ConventionError, ParameterError, SymmetryError
from ..io.structures.ase import SYMPREC, from_ase, to_ase
from ..units import EIGHT_PI2
from .grid import Density, frequencies
from .shapes import AtomKind, Gaussians, atom_gaussians

# Å: distance below which two maxima are merged, and the smallest distance of two atoms
_ONE, _TOO_CLOSE = 0.3, 0.7
# Å³ per atom; diamond has 5.7, dense hydrides 3
_LEAST_ROOM = 2.0
_STEPS = 12
# waves of shorter d than this are left out: they take time and add no atoms
_D_MIN = 0.4


class Maxima(NamedTuple):
    """Fractional coordinates ``(n, 3)`` and heights ``(n,)`` in the unit of the values, the highest first."""

    points: Float[np.ndarray, "n 3"]
    heights: Float[np.ndarray, " n"]


def local_maxima(density: Density, most: int = 100) -> Maxima:
    """Find points above all their 26 neighbours, refined to the top of the quadratic through them.

    Valence atoms without a core are hollow: their maxima are not at their centres. :func:`find_atoms` takes this into
    account.

    Args:
        density: density to search.
        most: largest number of maxima.
    """
    grid, shape = np.asarray(density.values, dtype=float), np.array(density.shape)
    top = np.ones(grid.shape, dtype=bool)
    for shift in product((-1, 0, 1), repeat=3):
        if shift > (0, 0, 0):
            back = tuple(-s for s in shift)
            # of equal neighbours the first is the maximum
            top &= (grid > np.roll(grid, shift, (0, 1, 2))) & (grid >= np.roll(grid, back, (0, 1, 2)))
    where = np.argwhere(top)
    where = where[np.argsort(-grid[tuple(where.T)], kind="stable")[: 3 * most]]
    offset, heights = _quadratic(grid, where)
    points = (where + offset) / shape % 1.0
    vectors = lattice(np.asarray(density.cell, dtype=float))
    kept: list[int] = []
    for k in np.argsort(-heights, kind="stable"):
        if len(kept) == most:
            break
        delta = points[kept] - points[k]
        if not len(kept) or np.linalg.norm((delta - np.round(delta)) @ vectors, axis=1).min() >= _ONE:
            kept.append(int(k))
    return Maxima(points[kept].reshape(-1, 3), heights[kept])


def _quadratic(grid: np.ndarray, where: Int[np.ndarray, "n 3"]) -> tuple[np.ndarray, np.ndarray]:
    """Return the offset of the maximum in steps, and its height, from a quadratic form with mixed terms."""
    shape = np.array(grid.shape)
    at = lambda step: grid[tuple(((where + np.array(step)) % shape).T)]
    e = np.eye(3, dtype=int)
    middle, gradient, curvature = at((0, 0, 0)), np.zeros((len(where), 3)), np.zeros((len(where), 3, 3))
    for i in range(3):
        gradient[:, i] = 0.5 * (at(e[i]) - at(-e[i]))
        curvature[:, i, i] = at(e[i]) + at(-e[i]) - 2.0 * middle
    for i, j in combinations(range(3), 2):
        mixed = 0.25 * (at(e[i] + e[j]) + at(-e[i] - e[j]) - at(e[i] - e[j]) - at(e[j] - e[i]))
        curvature[:, i, j] = curvature[:, j, i] = mixed
    values, axes = np.linalg.eigh(curvature)
    values = np.minimum(values, -1e-9 * np.abs(values).max(axis=1, keepdims=True) - 1e-300)
    step = np.einsum("nij,nj->ni", axes, -np.einsum("nij,ni->nj", axes, gradient) / values)
    step = np.clip(step, -0.6, 0.6)
    return step, middle + np.einsum("ni,ni->n", gradient, step) + 0.5 * np.einsum("ni,nij,nj->n", step, curvature, step)


def charge_within(density: Density, points: Float[np.ndarray, "n 3"], radius: float) -> Float[np.ndarray, " n"]:
    """Integrate electrons within spheres, from all waves of the density: exact for any grid, sphere and point.

    Args:
        density: density to integrate.
        points: ``(n, 3)`` fractional coordinates.
        radius: radius of the spheres, Å.

    Raises:
        ParameterError: the radius is not positive.
    """
    if not radius > 0.0:
        raise ParameterError(f"a sphere needs a radius above 0 Å; got {radius}")
    h, waves = _half_waves(density, 0.0)
    cell = np.asarray(density.cell, dtype=float)
    q = 2.0 * np.pi * radius * np.sqrt(np.einsum("mi,ij,mj->m", h, reciprocal_metric(cell), h))
    safe = np.where(q < 1e-2, 1.0, q)
    ball = np.where(q < 1e-2, 1.0 / 3.0 - q * q / 30.0, (np.sin(safe) - safe * np.cos(safe)) / safe**3)
    weight = np.where((h == 0).all(axis=1), 1.0, 2.0) * waves * ball * 4.0 * np.pi * radius**3 / volume(cell)
    return np.array(
        [np.vdot(np.exp(2j * np.pi * h @ x), weight).real for x in np.asarray(points, dtype=float).reshape(-1, 3)]
    )


def _half_waves(density: Density, d_min: float) -> tuple[Int[np.ndarray, "m 3"], Complex[np.ndarray, " m"]]:
    """Return one reflection of every Friedel pair that the grid holds, 0 0 0 first."""
    cell = np.asarray(density.cell, dtype=float)
    axes = [frequencies(n) for n in density.shape]
    h = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    upper = (h[:, 2] > 0) | ((h[:, 2] == 0) & ((h[:, 1] > 0) | ((h[:, 1] == 0) & (h[:, 0] >= 0))))
    inside = upper & (2 * np.abs(h) < np.array(density.shape)).all(axis=1)
    h = h[inside]
    if d_min > 0.0:
        h = h[np.einsum("mi,ij,mj->m", h, reciprocal_metric(cell), h) <= 1.0 / d_min**2]
    h = h[np.argsort((h != 0).any(axis=1), kind="stable")]
    return h, np.asarray(density.replace(values=np.asarray(density.values, dtype=float)).structure_factors(h))


@dataclass(frozen=True)
class FoundAtoms:
    """Atoms found in a density.

    Attributes:
        crystal: structure with the symmetry of its positions, in the standard setting of its space group.
        elements: element of every atom in the cell of the density; ``xyz`` ``(n, 3)`` their positions.
        charges: ``(n,)`` electrons within ``radius`` Å.
        r: ``sqrt(sum |F - F_atoms|²/sum |F|²)`` over the waves used, without F(000).
    """

    crystal: Crystal
    elements: tuple[str, ...]
    xyz: Float[np.ndarray, "n 3"]
    charges: Float[np.ndarray, " n"]
    radius: float
    r: float


@checked
def find_atoms(
    density: Density, composition: Mapping[str, int], atoms: AtomKind = "valence", *, u_iso: float = 0.01, symprec: float | None = 0.02,
    radius: float = 0.8, name: str | None = None, d_min: float = _D_MIN,
) -> FoundAtoms:  # fmt: skip
    """Find the atoms whose superposed densities fit a density best.

    Atoms are placed one by one, each where it explains most of the remaining density with the free-atom density of its
    element: a hollow valence atom is found by its shell. Positions are then refined together (Gauss-Newton on the
    waves), and elements exchanged as long as that improves the fit.

    Args:
        density: on a grid of 0.3 Å or finer.
        composition: number of atoms of each element in the cell of the density.
        atoms: electrons of the density, ``"valence"`` or ``"all-electron"``.
        u_iso: displacement of the atoms in the density, Å²; 0 at rest.
        symprec: largest deviation of atoms from symmetric positions, Å; ``None`` keeps the cell of the density in P1.
        radius: radius in Å of the spheres in which charges are integrated.
        name: name of the crystal; the formula by default.
        d_min: resolution of the density, Å: a density from a pattern has no waves beyond its lines.

    Raises:
        ParameterError: the composition has no atoms.
        ConventionError: an element has no such atom, or the volume has no room for that many atoms.
    """
    counts = {element: int(count) for element, count in composition.items() if int(count) > 0}
    if not counts or any(count < 0 for count in composition.values()):
        raise ParameterError(
            f"composition is {dict(composition)}; expected atoms of each element in the cell, such as {{'Sr': 1, 'O': 3}}"
        )
    if volume(np.asarray(density.cell, dtype=float)) < _LEAST_ROOM * sum(counts.values()):
        raise _no_room(density, sum(counts.values()))
    fit = _Fit.of(density, tuple(counts), atoms, u_iso, d_min)
    xyz, kind = _placed(fit, list(counts.values()))
    xyz = _refined(fit, xyz, kind)
    xyz, kind = _exchanged(fit, xyz, kind)
    elements = tuple(tuple(counts)[k] for k in kind)
    order = sorted(range(len(kind)), key=lambda k: (kind[k], k))
    elements, xyz = tuple(elements[k] for k in order), xyz[order] % 1.0
    left = fit.target - fit.calculated(xyz, kind[order])
    r = float(np.sqrt(np.sum(np.abs(left[1:]) ** 2) / np.sum(np.abs(fit.target[1:]) ** 2)))
    everywhere = Crystal.create(
        cell=np.asarray(density.cell, dtype=float),
        spacegroup=1,
        species=elements,
        xyz=xyz,
        u_iso=u_iso,
        name=name or "found",
    )
    crystal = everywhere
    if symprec is not None:
        crystal = _symmetric(everywhere, symprec, name, u_iso)
    return FoundAtoms(crystal, elements, xyz, charge_within(density, xyz, radius), radius, r)


def _symmetric(crystal: Crystal, symprec: float, name: str | None, u_iso: float) -> Crystal:
    try:
        return from_ase(to_ase(crystal), symprec=symprec, name=name, u_iso=u_iso)
    except SymmetryError:
        return from_ase(to_ase(crystal), symprec=SYMPREC, name=name, u_iso=u_iso)


@dataclass(frozen=True)
class _Fit:
    """Waves of a density and form factors of its elements.

    Attributes:
        density: density as given; ``h`` ``(m, 3)`` one of every Friedel pair; ``target`` ``(m,)`` its waves.
        f: ``(elements, m)`` form factors with their displacement.
    """

    density: Density
    h: np.ndarray
    target: np.ndarray
    f: np.ndarray

    @classmethod
    def of(cls, density: Density, elements: tuple[str, ...], atoms: AtomKind, u_iso: float, d_min: float) -> "_Fit":
        h, target = _half_waves(density, max(d_min, _D_MIN))
        s_sq = np.einsum("mi,ij,mj->m", h, reciprocal_metric(np.asarray(density.cell, dtype=float)), h) / 4.0
        shapes: Gaussians = atom_gaussians(elements, atoms)
        f = np.stack(
            [np.exp(-np.outer(s_sq, b + EIGHT_PI2 * u_iso)) @ a for a, b in zip(shapes.a, shapes.b, strict=True)]
        )
        return cls(density, h, target, f)

    def waves(self, xyz: np.ndarray) -> np.ndarray:
        return np.exp(2j * np.pi * self.h @ xyz.T)

    def calculated(self, xyz: np.ndarray, kind: np.ndarray) -> np.ndarray:
        return np.einsum("nm,mn->m", self.f[kind], self.waves(xyz))

    def misfit(self, xyz: np.ndarray, kind: np.ndarray) -> float:
        return float(np.sum(np.abs(self.target - self.calculated(xyz, kind))[1:] ** 2))

    def crowded(self, xyz: np.ndarray) -> bool:
        """Return whether two atoms are closer than the minimum distance."""
        delta = xyz[:, None] - xyz[None]
        far = np.linalg.norm((delta - np.round(delta)) @ lattice(np.asarray(self.density.cell, dtype=float)), axis=-1)
        return bool((far + 9.0 * np.eye(len(xyz))).min() < 0.98 * _TOO_CLOSE)

    def gain(self, left: np.ndarray, kind: int) -> np.ndarray:
        """Return, on the grid, the decrease of the misfit if an atom of that kind is placed there."""
        shape = self.density.shape
        full = np.zeros(shape, dtype=complex)
        # the mean is independent of positions
        full[tuple((self.h[1:] % np.array(shape)).T)] = (left * self.f[kind])[1:]
        return 2.0 * np.fft.fftn(full).real - float(np.sum(self.f[kind][1:] ** 2))


def _placed(fit: _Fit, counts: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Place atoms one by one, each where the misfit decreases most, interpolated by a quadratic."""
    left_over, xyz, kind = list(counts), np.zeros((0, 3)), np.zeros(0, dtype=int)
    vectors = lattice(np.asarray(fit.density.cell, dtype=float))
    points = np.stack(np.meshgrid(*[np.arange(n) / n for n in fit.density.shape], indexing="ij"), axis=-1)
    free = np.ones(fit.density.shape, dtype=bool)
    while sum(left_over):
        left = fit.target - fit.calculated(xyz, kind) if len(kind) else fit.target.copy()
        best: tuple[float, int, np.ndarray] | None = None
        for k in (k for k, count in enumerate(left_over) if count):
            gain = np.where(free, fit.gain(left, k), -np.inf)
            where = np.array(np.unravel_index(int(gain.argmax()), gain.shape))
            value = float(gain[tuple(where)])
            if np.isfinite(value) and (best is None or value > best[0]):
                best = value, k, where
        if best is None:
            raise _no_room(fit.density, sum(counts))
        _, k, where = best
        offset, _ = _quadratic(fit.gain(left, k), where[None])
        place = (where + offset[0]) / np.array(fit.density.shape)
        xyz, kind = np.concatenate([xyz, place[None]]), np.append(kind, k)
        left_over[k] -= 1
        delta = points - place
        free &= np.linalg.norm((delta - np.round(delta)) @ vectors, axis=-1) > _TOO_CLOSE
    return xyz, kind


def _no_room(density: Density, atoms: int) -> ConventionError:
    size = float(volume(np.asarray(density.cell, dtype=float)))
    return ConventionError(
        f"there is no room for {atoms} atoms in a cell of {size:.1f} Å3: give the atoms of each element in the cell of the density"
    )


def _refined(fit: _Fit, xyz: np.ndarray, kind: np.ndarray, steps: int = _STEPS) -> np.ndarray:
    """Refine positions by Gauss-Newton; accept only steps that improve the fit."""
    misfit, damping = fit.misfit(xyz, kind), 1e-4
    turns = 2j * np.pi * fit.h
    for _ in range(steps):
        waves = fit.f[kind] * fit.waves(xyz).T
        left = (fit.target - waves.sum(axis=0))[1:]
        columns = (waves[:, 1:, None] * turns[None, 1:]).transpose(0, 2, 1).reshape(3 * len(xyz), -1)
        normal, right = (columns.conj() @ columns.T).real, (columns.conj() @ left).real
        step = np.linalg.solve(
            normal + damping * np.diag(np.diag(normal)) + 1e-12 * np.trace(normal) * np.eye(len(normal)), right
        )
        moved = xyz + step.reshape(-1, 3)
        then = fit.misfit(moved, kind)
        # two atoms at one position would merge into one with the electrons of both
        if then < misfit and not fit.crowded(moved):
            small = np.abs(step).max() < 1e-6
            xyz, misfit, damping = moved, then, damping * 0.2
            if small:
                break
        else:
            damping *= 20.0
    return xyz


def _exchanged(fit: _Fit, xyz: np.ndarray, kind: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Exchange elements of two positions as long as the misfit decreases."""
    misfit = fit.misfit(xyz, kind)
    for _ in range(len(kind)):
        better = None
        waves = fit.waves(xyz)
        left = fit.target - np.einsum("nm,mn->m", fit.f[kind], waves)
        for i, j in combinations(range(len(kind)), 2):
            if kind[i] != kind[j]:
                change = (fit.f[kind[i]] - fit.f[kind[j]]) * (waves[:, i] - waves[:, j])
                then = float(np.sum(np.abs(left + change)[1:] ** 2))
                if then < misfit * (1.0 - 1e-9) and (better is None or then < better[0]):
                    better = then, i, j
        if better is None:
            break
        _, i, j = better
        kind = kind.copy()
        kind[[i, j]] = kind[[j, i]]
        xyz = _refined(fit, xyz, kind)
        misfit = fit.misfit(xyz, kind)
    return xyz, kind
