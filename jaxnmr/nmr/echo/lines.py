"""The distribution of the spins' frequencies."""

from __future__ import annotations

from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Key

from ..._arguments import checked
from ..._struct import Struct, set_fields, static
from ...errors import ConventionError
from ...typing import Array, Scalar

Shape = Literal["lorentzian", "gaussian", "box"]
_SIGMA = float(1.0 / np.sqrt(8.0 * np.log(2.0)))


class Line(Struct):
    """Frequencies about the centre of the line: its shape and cutoff.

    Attributes:
        shape: shape of the distribution.
        cutoff: frequencies lie within ± this, in MHz.
        grid: number of equally spaced frequencies to draw from, ends included; 0 for a continuous distribution.
    """

    shape: Shape = static()
    cutoff: float = static()
    grid: int = static()

    @checked
    def __init__(self, shape: Shape = "lorentzian", *, cutoff: float = 0.25, grid: int = 0):
        if shape not in get_args(Shape):
            raise ConventionError(f"the line is {shape!r}; expected one of {', '.join(get_args(Shape))}")
        if not cutoff > 0.0:
            raise ConventionError(f"the cutoff of a line is {cutoff:g}; expected a positive number of MHz")
        if grid and grid < 2:
            raise ConventionError(f"the grid of a line has {grid} frequencies; expected 2 or more, or 0 for no grid")
        set_fields(self, shape=shape, cutoff=float(cutoff), grid=int(grid))

    def quantile(self, u: Float[Array, "*n"], width: Scalar) -> Float[Array, "*n"]:
        """Return offsets from the centre, in MHz, below which the fraction ``u`` of the truncated line lies.

        Args:
            u: between 0 and 1.
            width: full width at half maximum in MHz (for a box: its full width).
        """
        kind = jnp.asarray(u).dtype
        width = jnp.asarray(width, kind)
        if self.grid:
            x = np.linspace(-self.cutoff, self.cutoff, self.grid)
            total = jnp.cumsum(self._density(jnp.asarray(x, kind), width))
            return jnp.asarray(x, kind)[jnp.minimum(jnp.searchsorted(total / total[-1], u), self.grid - 1)]
        if self.shape == "lorentzian":
            half = 0.5 * width
            return half * jnp.tan((2.0 * u - 1.0) * jnp.arctan(self.cutoff / half))
        if self.shape == "gaussian":
            end = self.cutoff / (_SIGMA * width)
            return (
                _SIGMA
                * width
                * float(np.sqrt(2.0))
                * jax.lax.erf_inv((2.0 * u - 1.0) * jax.lax.erf(end / float(np.sqrt(2.0))))
            )
        return (2.0 * u - 1.0) * jnp.minimum(0.5 * width, self.cutoff)

    def draw(self, key: Key[Array, ""], sizes: tuple[int, ...], width: Scalar) -> Float[Array, "*sizes"]:
        """Draw independent frequencies of spins, as offsets from the centre in MHz; equal keys give equal quantiles."""
        kind = jnp.asarray(width).dtype
        return self.quantile(jax.random.uniform(key, sizes, kind), width)

    def _density(self, x: Array, width: Array) -> Array:
        if self.shape == "lorentzian":
            return 1.0 / (x**2 + (0.5 * width) ** 2)
        if self.shape == "gaussian":
            return jnp.exp(-0.5 * (x / (_SIGMA * width)) ** 2)
        return jnp.where(jnp.abs(x) <= 0.5 * width * (1.0 + 1e-6), 1.0, 0.0)
