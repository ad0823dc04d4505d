"""One step of time: velocity Verlet, Langevin dynamics, and a cell that fluctuates under pressure.

The order of a step is B C A O A B: half a kick, the cell, half a drift, the thermostat, half a drift, half a kick with the
forces of the new configuration. Without C and O it is velocity Verlet; with O it is the integrator of B. Leimkuhler and
C. Matthews, *J. Chem. Phys.* **138**, 174102 (2013), whose averages over configurations are right to fourth order for
harmonic forces.

The cell follows a Langevin equation without inertia in its strain, as of M. Bernetti and G. Bussi, *J. Chem. Phys.* **153**,
114107 (2020), derived here for momenta that are not scaled along. With the strain e of one step, fractional coordinates and
momenta held,

    e = D (N 1 - (W + P V 1)/kT) dt + sqrt(2 D dt) R,     D = kT beta / (V tau)

where W is the derivative of the energy by strain and R a symmetric matrix of random numbers, of variance 1 on the diagonal
and 1/2 beside it. Cells are drawn from the measure V**N exp(-(U + P V)/kT) dV, so that the mean volume of an ideal gas is
(N + 1) kT/P. Of the logarithm of the volume the density is V**(N + 1) exp(...), whose slope is N + 1; that D falls with the
volume takes one of them away again (Ito). The strain multiplies the lattice vectors by exp(e), which needs no further drift.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np

from .._struct import Struct, static
from ..errors import ParameterError
from ..typing import Array
from .state import ACCELERATION, BOLTZMANN, GPA, Forces, State

FIXED, ISOTROPIC, FULL = "fixed", "isotropic", "full"
_CELLS = (ISOTROPIC, FULL)

Acting = Callable[[Array, Array], Forces]


class Ensemble(Struct):
    """How a simulation goes on: made by :meth:`nve`, :meth:`langevin` or :meth:`npt`.

    Attributes:
        timestep_fs: fs.
        temperature_k: K, of the thermostat.
        relaxation_fs: the time in which the thermostat forgets velocities, fs.
        pressure_gpa: GPa.
        cell_relaxation_fs: the time in which the cell finds its size, fs.
        compressibility: 1/GPa, which needs to be right to an order of magnitude only: it scales the relaxation time.
        thermostat: whether there is one.
        cell: ``"fixed"``, ``"isotropic"`` or ``"full"``.
    """

    timestep_fs: Array | float
    temperature_k: Array | float
    relaxation_fs: Array | float
    pressure_gpa: Array | float
    cell_relaxation_fs: Array | float
    compressibility: Array | float
    thermostat: bool = static()
    cell: str = static()

    @classmethod
    def nve(cls, timestep_fs: float = 1.0) -> Self:
        """Constant energy: velocity Verlet.

        Raises:
            ParameterError: a timestep out of range.
        """
        return cls._made(timestep_fs, 300.0, 100.0, thermostat=False)

    @classmethod
    def langevin(cls, temperature_k: float, *, timestep_fs: float = 1.0, relaxation_fs: float = 500.0) -> Self:
        """Constant temperature and cell.

        Raises:
            ParameterError: a temperature or a time out of range.
        """
        return cls._made(timestep_fs, temperature_k, relaxation_fs)

    @classmethod
    def npt(
        cls,
        temperature_k: float,
        *,
        pressure_gpa: float = 1.01325e-4,
        cell: str = FULL,
        timestep_fs: float = 1.0,
        relaxation_fs: float = 500.0,
        cell_relaxation_fs: float = 1000.0,
        compressibility: float = 0.02,
    ) -> Self:
        """Constant temperature and pressure; one atmosphere by default.

        Args:
            temperature_k: K.
            pressure_gpa: hydrostatic pressure, GPa.
            cell: ``"full"``: lengths and angles; ``"isotropic"``: the volume only, which is right for liquids: they do not
                resist shear.
            timestep_fs, relaxation_fs, cell_relaxation_fs, compressibility: see the class.

        Raises:
            ParameterError: a number out of range, or another kind of cell.
        """
        if cell not in _CELLS:
            raise ParameterError(f"cell is {cell!r}; expected one of {', '.join(map(repr, _CELLS))}")
        if not np.isfinite(pressure_gpa):
            raise ParameterError(f"pressure_gpa is {pressure_gpa}; expected a number of GPa, 0 for none")
        for name, value in (("cell_relaxation_fs", cell_relaxation_fs), ("compressibility", compressibility)):
            if not (np.isfinite(value) and value > 0):
                raise ParameterError(f"{name} is {value}; expected a positive number")
        made = cls._made(timestep_fs, temperature_k, relaxation_fs)
        return made.replace(
            pressure_gpa=float(pressure_gpa), cell_relaxation_fs=float(cell_relaxation_fs),
            compressibility=float(compressibility), cell=cell,
        )  # fmt: skip

    @classmethod
    def _made(cls, timestep_fs: float, temperature_k: float, relaxation_fs: float, thermostat: bool = True) -> Self:
        if not (np.isfinite(timestep_fs) and 0 < timestep_fs <= 10):
            raise ParameterError(f"timestep_fs is {timestep_fs}; expected femtoseconds, at most 10")
        if not (np.isfinite(temperature_k) and 0 < temperature_k < 1e5):
            raise ParameterError(f"temperature_k is {temperature_k}; expected a temperature in kelvin, above 0")
        if not (np.isfinite(relaxation_fs) and relaxation_fs > 0):
            raise ParameterError(f"relaxation_fs is {relaxation_fs}; expected a time in fs, such as 500")
        return cls(
            timestep_fs=float(timestep_fs), temperature_k=float(temperature_k), relaxation_fs=float(relaxation_fs),
            pressure_gpa=0.0, cell_relaxation_fs=1000.0, compressibility=0.02, thermostat=thermostat, cell=FIXED,
        )  # fmt: skip

    def advance(self, state: State, masses: Array, acting: Acting) -> State:
        """The state one step later (traceable).

        Args:
            state: now.
            masses: ``(atoms,)`` u.
            acting: energy and forces of positions and lattice vectors.
        """
        dtype = state.positions.dtype
        key, noise, strains = jax.random.split(state.key, 3)
        dt = jnp.asarray(self.timestep_fs, dtype)
        heavy = jnp.asarray(masses, dtype)[:, None]
        positions, vectors = state.positions, state.vectors
        velocities = state.velocities + 0.5 * dt * ACCELERATION * state.acting.forces / heavy
        if self.cell != FIXED:
            positions, vectors, velocities = self._strained(
                positions, vectors, velocities, state.acting.virial, strains
            )
        positions = positions + 0.5 * dt * velocities
        if self.thermostat:
            kept = jnp.exp(-dt / self.relaxation_fs)
            width = jnp.sqrt((1.0 - kept**2) * BOLTZMANN * self.temperature_k * ACCELERATION / heavy)
            velocities = kept * velocities + width * jax.random.normal(noise, velocities.shape, dtype)
        positions = positions + 0.5 * dt * velocities
        then = acting(positions, vectors)
        velocities = velocities + 0.5 * dt * ACCELERATION * then.forces / heavy
        return State(
            positions=positions, vectors=vectors, velocities=velocities, acting=then, key=key, step=state.step + 1
        )

    def _strained(
        self, positions: Array, vectors: Array, velocities: Array, virial: Array, key: Array
    ) -> tuple[Array, Array, Array]:
        dtype = positions.dtype
        one = jnp.eye(3, dtype=dtype)
        kt, volume = BOLTZMANN * jnp.asarray(self.temperature_k, dtype), jnp.linalg.det(vectors)
        rate = kt * self.compressibility * GPA / (volume * self.cell_relaxation_fs) * self.timestep_fs
        pull = len(positions) * one - (virial + self.pressure_gpa / GPA * volume * one) / kt
        drawn = jax.random.normal(key, (3, 3), dtype)
        strain = rate * pull + jnp.sqrt(2.0 * rate) * 0.5 * (drawn + drawn.T)
        if self.cell == ISOTROPIC:
            # the one direction 1/sqrt(3): of unit length among strains
            strain = jnp.trace(strain) / 3.0 * one
        grown = one + strain @ (one + strain @ (one + strain / 3.0) / 2.0)
        if self.cell != FULL:
            return positions @ grown, vectors @ grown, velocities
        # the whole is turned so that the first vector stays along x and the second in the xy plane
        deformed = vectors @ grown
        standing = jnp.linalg.cholesky(deformed @ deformed.T)
        turn = jnp.linalg.solve(deformed, standing)
        return positions @ grown @ turn, standing, velocities @ turn
