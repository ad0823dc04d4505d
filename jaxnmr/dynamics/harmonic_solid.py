"""Thermal motion of a harmonic solid: modes of a supercell at rest, samples of their displacements, mean squares per site (host).

Modes are those of the supercell at Gamma, which are those of the crystal at all wave vectors that the supercell holds. Longer
waves are missing, and the centre of mass is at rest: mean squares are too small by a share that falls as one over the width.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._struct import compiled
from ..crystal import Crystal
from ..errors import DynamicsError, ParameterError, PrecisionError, require_kind
from ..typing import Array
from .simulation import require_potential
from .state import ACCELERATION, BOLTZMANN, crystal_at
from .supercells import Supercell

# eV fs, exact
HBAR = 0.6582119569509067
# eV/Å: a structure whose atoms are pulled harder is not at rest; Å: atoms of an ideal repetition agree as well
_AT_REST, _REPEATED = 0.02, 1e-6
# THz: a slower mode hardly returns, and at 300 K its classical amplitude is more than 1 Å (u)^(1/2)
_SLOWEST = 0.05
_REFUSE, _LEAVE_OUT = "refuse", "leave out"


@dataclass(frozen=True, repr=False)
class HarmonicSolid:
    """Modes of a supercell, made by :func:`harmonic`.

    Attributes:
        supercell: at rest, what atoms are displaced from.
        frequencies_thz: ``(3 atoms - 3,)`` in rising order; imaginary ones are negative. Translations are not among them.
        modes: ``(3 atoms - 3, atoms, 3)`` orthonormal, of displacements times the root of the mass.
        energy_ev: of the supercell at rest, eV.
        asymmetry: largest difference of force constants that should be equal, over the largest of them.
        drift_thz: frequency of the translations before they were taken out, which should be 0.
    """

    supercell: Supercell
    frequencies_thz: Float[np.ndarray, " modes"]
    modes: Float[np.ndarray, "modes atoms 3"]
    energy_ev: float
    asymmetry: float
    drift_thz: float

    @property
    def left_out(self) -> Float[np.ndarray, " slow"]:
        """Frequencies that samples and mean squares do without, THz: imaginary, or too slow to be harmonic."""
        return self.frequencies_thz[self.frequencies_thz < _SLOWEST]

    def __repr__(self) -> str:
        f, out = self.frequencies_thz, len(self.left_out)
        left = f", {out} left out" if out else ""
        return f"HarmonicSolid({self.supercell!r}, {len(f)} modes of {f[0]:.2f} to {f[-1]:.2f} THz{left})"

    def amplitudes(self, temperature_k: float, *, quantum: bool = True) -> Float[np.ndarray, " modes"]:
        """Root-mean-square coordinate of every mode, Å times the root of u; 0 for those left out.

        Args:
            temperature_k: K; 0 is a temperature of quantum amplitudes.
            quantum: with the motion of the ground state, ``hbar/(2 w) coth(hbar w/(2 kT))``; else ``kT/w²``.

        Raises:
            ParameterError: no temperature.
        """
        if not (np.isfinite(temperature_k) and temperature_k >= 0):
            raise ParameterError(f"temperature_k is {temperature_k}; expected a temperature in kelvin, 0 or more")
        kept = self.frequencies_thz >= _SLOWEST
        omega = 2e-3 * np.pi * np.where(kept, self.frequencies_thz, 1.0)
        kt = BOLTZMANN * temperature_k
        energy = np.full_like(omega, kt)
        if quantum:
            half = 0.5 * HBAR * omega
            energy = half / np.tanh(half / kt) if kt > 0 else half
        return np.where(kept, np.sqrt(energy * ACCELERATION) / omega, 0.0)

    def displacements(self, temperature_k: float, *, quantum: bool = True) -> Float[np.ndarray, "sites 3 3"]:
        """Mean-square displacements of the sites of the parent, Å², Cartesian; averaged over images.

        Args:
            temperature_k, quantum: as of :meth:`amplitudes`.
        """
        spread = self.modes * self.amplitudes(temperature_k, quantum=quantum)[:, None, None]
        atoms = np.einsum("mni,mnj->nij", spread, spread) / self.supercell.masses[:, None, None]
        turn, site = self.supercell.turn, self.supercell.site
        back = np.einsum("nji,njk,nkl->nil", turn, atoms, turn)
        total = np.zeros((self.supercell.parent.n_sites, 3, 3))
        np.add.at(total, site, back)
        return total / np.bincount(site)[:, None, None]

    def crystal(self, temperature_k: float, *, quantum: bool = True) -> Crystal:
        """The parent with anisotropic displacement parameters, CIF convention, to be compared with refined ones.

        Args:
            temperature_k, quantum: as of :meth:`amplitudes`.
        """
        parent = self.supercell.parent
        inverse = np.linalg.inv(np.asarray(parent.lattice(), dtype=float))
        # of x = X L^-1, in units of reciprocal axes: u = sum U_ij a*_i a*_j x_i x_j
        reciprocal = np.linalg.norm(inverse, axis=0)
        u = self.displacements(temperature_k, quantum=quantum)
        u = np.einsum("ki,skl,lj->sij", inverse, u, inverse) / reciprocal[:, None] / reciprocal
        six = u[:, [0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]
        return parent.replace(
            u_iso=np.zeros(parent.n_sites), u_aniso=six, anisotropic=(True,) * parent.n_sites
        )  # fmt: skip

    def sample(
        self, temperature_k: float, count: int, *, quantum: bool = True, seed: int = 0
    ) -> Float[np.ndarray, "count atoms 3"]:
        """Positions of independent configurations, Å; :meth:`placed` makes crystals of them.

        Args:
            temperature_k, quantum: as of :meth:`amplitudes`.
            count: how many.
            seed: of the random numbers.

        Raises:
            ParameterError: a number of configurations that is none.
        """
        if not (isinstance(count, int | np.integer) and count > 0):
            raise ParameterError(f"count is {count!r}; expected a positive number of configurations")
        widths = self.amplitudes(temperature_k, quantum=quantum)
        drawn = np.random.default_rng(seed).normal(size=(count, len(widths))) * widths
        moved = np.tensordot(drawn, self.modes, axes=1) / np.sqrt(self.supercell.masses)[:, None]
        return np.asarray(self.supercell.crystal.xyz, dtype=float) @ self.supercell.vectors + moved

    def placed(self, positions: Float[np.ndarray, "atoms 3"]) -> Crystal:
        """The crystal in P1 with these positions."""
        return crystal_at(self.supercell.crystal, np.asarray(positions), self.supercell.vectors)


def harmonic(
    potential: Any, cell: Supercell, *, step: float | None = None, slow: str = _REFUSE
) -> HarmonicSolid:  # fmt: skip
    """Modes of a supercell whose atoms are at rest.

    Columns of the force constants are calculated one after the other, of the atoms of one cell only: those of its repetitions
    are the same.

    Args:
        potential: an `EnergyModel` or a potential.
        cell: of a relaxed crystal, see `jaxnmr.relax`.
        step: Å; force constants are differences of forces over so far to both sides, which suits networks that are not
            smooth: 0.02 for CHGNet. By default they are second derivatives.
        slow: what to do about modes that are imaginary or nearly so: ``"refuse"``, or ``"leave out"``: they stay in
            ``frequencies_thz`` and ``left_out``, and samples do without them.

    Raises:
        DynamicsError: atoms that are not at rest; modes that are imaginary or slower than 0.05 THz, unless they may be left out.
        ParameterError: arguments that make no sense.
        ConventionError: a crystal that the potential cannot describe.
        PrecisionError: single precision.
    """
    require_potential(potential)
    require_kind(cell, Supercell, "the cell", "such as jn.dynamics.supercell(crystal)")
    if slow not in (_REFUSE, _LEAVE_OUT):
        raise ParameterError(f"slow is {slow!r}; expected {_REFUSE!r} or {_LEAVE_OUT!r}")
    if step is not None and not (np.isfinite(step) and 0 < step < 0.5):
        raise ParameterError(f"step is {step}; expected a distance in Å, such as 0.02, or None for second derivatives")
    if jnp.zeros(1).dtype != np.float64:
        raise PrecisionError("force constants need double precision: call jaxnmr.enable_x64() before anything else")
    crystal, vectors = cell.crystal, cell.vectors
    positions = np.asarray(crystal.xyz, dtype=float) @ vectors
    plan = potential.plan(crystal)
    zero = np.zeros_like(positions)
    energy, slope = map(np.asarray, _slope(potential, plan, crystal, vectors, positions, zero))
    _check_rest(cell, slope)
    unit = np.eye(positions.size).reshape(-1, *positions.shape)[: positions.size // _repetitions(cell)]
    if step is None:
        columns = [np.asarray(_column(potential, plan, crystal, vectors, positions, e)) for e in unit]
    else:
        to = lambda e: np.asarray(_slope(potential, plan, crystal, vectors, positions, e)[1])
        columns = [(to(step * e) - to(-step * e)) / (2.0 * step) for e in unit]
    constants = _repeated(cell, np.array(columns))
    return _solid(cell, constants, float(energy), slow)


def _repetitions(cell: Supercell) -> int:
    """How many cells are exact repetitions of the first."""
    first, repeats = cell.crystal.n_sites // cell.cells, np.asarray(cell.repeats)
    xyz = np.asarray(cell.crystal.xyz, dtype=float).reshape(cell.cells, first, 3)
    away = (xyz - xyz[:1] - _corners(cell)[:, None] / repeats) @ cell.vectors
    return cell.cells if np.abs(away).max() < _REPEATED else 1


def _corners(cell: Supercell) -> np.ndarray:
    return np.stack(np.meshgrid(*map(np.arange, cell.repeats), indexing="ij"), axis=-1).reshape(-1, 3)


def _repeated(cell: Supercell, columns: Float[np.ndarray, "some atoms 3"]) -> Float[np.ndarray, "all all"]:
    """The matrix of force constants from the rows of the first cell."""
    size = 3 * cell.crystal.n_sites
    if len(columns) == size:
        return columns.reshape(size, size)
    corners, repeats = _corners(cell), np.asarray(cell.repeats)
    number = np.ravel_multi_index
    blocks = columns.reshape(len(columns), cell.cells, -1)
    rows = []
    for corner in corners:
        # what the first cell feels from the cell at c - corner, this one feels from the cell at c
        seen = number(tuple(((corners - corner) % repeats).T), tuple(repeats))
        rows.append(blocks[:, seen].reshape(len(columns), size))
    return np.concatenate(rows)


def _check_rest(cell: Supercell, slope: np.ndarray) -> None:
    pulls = np.linalg.norm(slope, axis=1)
    if not np.isfinite(pulls).all() or pulls.max() > _AT_REST:
        worst = int(np.argmax(np.nan_to_num(pulls, nan=np.inf)))
        label = cell.parent.labels[int(cell.site[worst])]
        raise DynamicsError(
            f"{label} of {cell.crystal.name} is pulled with {pulls[worst]:.3g} eV/Å; a harmonic solid is at rest (below "
            f"{_AT_REST:g}): relax the crystal under the same energy first (jn.relax(crystal, model))"
        )


def _solid(cell: Supercell, constants: np.ndarray, energy: float, slow: str) -> HarmonicSolid:
    heavy = np.sqrt(np.repeat(cell.masses, 3))
    asymmetry = float(np.abs(constants - constants.T).max() / np.abs(constants).max())
    dynamical = 0.5 * (constants + constants.T) / heavy[:, None] / heavy
    moves = np.tile(np.eye(3), (cell.crystal.n_sites, 1)) * heavy[:, None] / np.sqrt(np.sum(cell.masses))
    drift = np.linalg.eigvalsh(moves.T @ dynamical @ moves)
    # what is orthogonal to translations
    basis = np.linalg.qr(moves, mode="complete")[0][:, 3:]
    values, vectors = np.linalg.eigh(basis.T @ dynamical @ basis)
    frequencies = _thz(values)
    out = frequencies[frequencies < _SLOWEST]
    if len(out) and slow == _REFUSE:
        shown = ", ".join(f"{f:.2f}" for f in out[:6])
        raise DynamicsError(
            f"{len(out)} of {len(frequencies)} modes of {cell.crystal.name} are imaginary or slower than {_SLOWEST:g} THz "
            f"({shown} THz; negative stands for imaginary): the structure is no minimum of this energy. Relax it with less symmetry, "
            'simulate its dynamics instead, or give slow="leave out" and look at left_out'
        )
    return HarmonicSolid(
        supercell=cell,
        frequencies_thz=frequencies,
        modes=(basis @ vectors).T.reshape(-1, cell.crystal.n_sites, 3),
        energy_ev=energy,
        asymmetry=asymmetry,
        drift_thz=float(np.abs(_thz(drift)).max()),
    )


def _thz(values: np.ndarray) -> np.ndarray:
    return np.sign(values) * np.sqrt(np.abs(values) * ACCELERATION) / (2e-3 * np.pi)


def _energy(potential: Any, plan: Any, crystal: Crystal, vectors: Array, positions: Array) -> Array:
    return jnp.reshape(potential.energy(crystal.replace(xyz=positions @ jnp.linalg.inv(vectors)), plan), ())


@compiled
def _slope(potential, plan, crystal: Crystal, vectors, positions, moved):
    """Energy and its gradient at displaced positions."""
    energy = partial(_energy, potential, plan, crystal, vectors)
    return jax.value_and_grad(energy)(positions + moved)


@compiled
def _column(potential, plan, crystal: Crystal, vectors, positions, along):
    """Second derivatives along a displacement: forward over reverse."""
    slope = jax.grad(partial(_energy, potential, plan, crystal, vectors))
    return jax.jvp(slope, (positions,), (along,))[1]
