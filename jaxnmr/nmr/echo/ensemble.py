"""The spins of an echo, their couplings and relaxation, and the experiment performed on them."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from ..._arguments import checked, is_whole
from ..._struct import Struct, set_fields, static
from ...errors import ConventionError
from ...typing import Array
from .kernels import Kernel
from .lines import Line
from .sequence import PulseSequence


class EchoParameters(Struct):
    """Parameters of a curve; numbers, or ``(curves,)`` for many. Their precision is that of the simulation.

    Attributes:
        alpha: strength of the coupling, MHz.
        xi: its length in lattice constants.
        p: its exponent.
        gamma: Γ of the jump operator ``√Γ I_z``, in units of γ: transverse magnetisation decays with ``Γ/2``.
        gamma_1: 1/T1 in units of γ; transverse magnetisation additionally decays with half of it.
        width: full width of the line at half maximum, MHz.
    """

    alpha: Array
    xi: Array
    p: Array
    gamma: Array
    gamma_1: Array
    width: Array

    def __init__(
        self,
        *,
        alpha: ArrayLike = 0.0,
        xi: ArrayLike = 1.0,
        p: ArrayLike = 3.0,
        gamma: ArrayLike = 0.0,
        gamma_1: ArrayLike = 0.0,
        width: ArrayLike = 0.05,
    ):
        values = {"alpha": alpha, "xi": xi, "p": p, "gamma": gamma, "gamma_1": gamma_1, "width": width}
        # Python numbers and integers take the precision of those that have one
        kinds = [jnp.result_type(a) for a in values.values() if hasattr(a, "dtype")]
        kinds = [kind for kind in kinds if jnp.issubdtype(kind, jnp.floating)]
        kind = jnp.result_type(*kinds) if kinds else jnp.zeros(()).dtype
        found = {name: jnp.asarray(value) for name, value in values.items()}
        set_fields(self, **{name: a.astype(kind) for name, a in found.items()})


class SpinEnsemble(Struct):
    """Spins ½ on a periodic lattice, each in the mean field of all others.

    ``H_i = -(ν_i - ν0) I_z - α Σ_k a_k M_k I_k`` in the laboratory frame for k = x, y, z with the mean field ``M_i = Σ_j w_ij <I_j>``, seen from
    the frame that rotates with ν0. Counter-rotating terms, which occur if ``a_x`` and ``a_y`` differ, are kept.

    Attributes:
        kernel: w.
        axes: ``(3,)`` a: (0, 1, 0) couples y with y, (1, 1, 1) is isotropic.
        polarisation: initial ``<I_z>``, which is also its equilibrium value under T1 relaxation.
        line: distribution of ν.
        sizes: of the lattice, in one to three dimensions.
        nu0: centre of the line, MHz.
        axial: whether z components couple.
    """

    kernel: Kernel
    axes: Array
    polarisation: Array
    line: Line
    sizes: tuple[int, ...] = static()
    nu0: float = static()
    axial: bool = static()

    @checked
    def __init__(
        self,
        sizes: Sequence[int] = (50, 50),
        *,
        kernel: Kernel | None = None,
        line: Line | None = None,
        axes: Sequence[float] = (0.0, 1.0, 0.0),
        nu0: float = 10.0,
        polarisation: float = 0.5,
    ):
        sizes = tuple(sizes)
        if not 1 <= len(sizes) <= 3 or not all(is_whole(n) and n >= 2 for n in sizes):
            raise ConventionError(
                f"the sizes of the lattice are {sizes}; expected one to three whole numbers from 2 on"
            )
        a = np.asarray(axes, dtype=float)
        if a.shape != (3,):
            raise ConventionError(f"axes has the shape {a.shape}; expected three numbers, of x, y and z")
        if not 0.0 < abs(polarisation) <= 0.5:
            raise ConventionError(
                f"the polarisation is {polarisation:g}; expected <I_z> of spins ½, at most 0.5 and not 0"
            )
        set_fields(
            self,
            kernel=Kernel() if kernel is None else kernel,
            axes=a,
            polarisation=np.asarray(float(polarisation)),
            line=Line() if line is None else line,
            sizes=tuple(int(n) for n in sizes),
            nu0=float(nu0),
            axial=bool(a[2] != 0.0),
        )

    @property
    def spins(self) -> int:
        """Number of spins."""
        return int(np.prod(self.sizes))


class EchoExperiment(Struct):
    """Spins and the pulses applied to them.

    Attributes:
        ensemble: the spins.
        sequence: the pulses.
    """

    ensemble: SpinEnsemble
    sequence: PulseSequence
