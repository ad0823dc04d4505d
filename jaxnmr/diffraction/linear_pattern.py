"""Derivatives of a powder pattern: its Jacobian, and products of its columns without storing it.

Positions and widths of peaks depend only on the cells and a few instrument parameters, however many parameters are
refined; atoms change only areas. Derivatives at the points are therefore taken along area directions and with respect
to the few numbers, and a small matrix combines the latter into the columns of all parameters.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Float

from ..crystal import Crystal
from ..typing import Array
from . import background_parts, corrections, profiles
from .pattern_plan import PatternPlan
from .phases import area_factor, line_values, phase_lines

# from a total, the index of the first point, calculated points and their rows of the Jacobian, compute the new total
Visit = Callable[[Any, jax.Array, jax.Array, jax.Array], Any]


class LinearPattern(NamedTuple):
    """A pattern and its derivatives with respect to parameters, available stretch by stretch.

    Attributes:
        columns: derivatives of the sum of peaks; first those along area directions, the last of which are the areas
            themselves.
        mix: derivatives with respect to the parameters of the numbers, axial divergence, line ratios, background
            coefficients and the arguments of the additional background parts.
        background: at the points.
        basis: derivatives of the background with respect to the background coefficients and arguments above.
        shared: whether parameters share numbers; otherwise every parameter has its own.
    """

    plan: PatternPlan
    columns: profiles.ProfileColumns
    mix: Float[jax.Array, "numbers parameters"]
    background: Float[jax.Array, " points"]
    basis: Float[jax.Array, "points terms"]
    shared: bool

    def fold(self, visit: Visit, start: Any) -> Any:
        """Fold ``visit(total, first, calculated, jacobian)`` over stretches of points starting at ``first``.

        Rows beyond the last point are padding.
        """
        plan, n = self.plan, self.mix.shape[1]
        slit = jnp.asarray(corrections.automatic_slit(plan.x)) if plan.fixed.divergence_slit == "automatic" else None

        def stretch(total: Any, first: jax.Array, columns: jax.Array) -> Any:
            if slit is not None:
                columns = (
                    columns * slit.at[first + jnp.arange(columns.shape[0])].get(mode="fill", fill_value=0.0)[:, None]
                )
            here = first + jnp.arange(columns.shape[0])
            basis = self.basis.at[here].get(mode="fill", fill_value=0.0)
            background = self.background.at[here].get(mode="fill", fill_value=0.0)
            direct, calculated, few = columns[:, :n], columns[:, n], columns[:, n + 1 :]
            if not self.shared:
                direct, few = direct + few[:, :n], few[:, n:]
            jacobian = direct + jnp.concatenate([few, basis], axis=1) @ self.mix
            return visit(total, first, calculated + background, jacobian)

        return self.columns.fold(plan.core, plan.tail, plan.tiles_at_once, stretch, start)


def linear_pattern(
    plan: PatternPlan,
    crystals: Mapping[str, Crystal],
    values: Mapping[str, Array],
    crystal_tangents: Mapping[str, Crystal],
    value_tangents: Mapping[str, Array],
) -> LinearPattern:
    """Calculate a pattern with its derivatives (traceable).

    Args:
        plan: of the pattern.
        crystals, values: point of evaluation.
        crystal_tangents, value_tangents: their derivatives, every leaf with a leading parameter axis.
    """
    names, gsas = plan.phase_names, plan.axial_mode == "gsas"
    crystals, crystal_tangents = ({name: of[name] for name in names} for of in (crystals, crystal_tangents))
    cells, cell_tangents = ([of[name].cell for name in names] for of in (crystals, crystal_tangents))

    def lines(cells: list[Array], v: Mapping[str, Array]) -> jax.Array:
        found = [phase_lines(p, cells[k], plan.fixed, v, k, gsas=gsas) for k, p in enumerate(plan.phases)]
        return jnp.concatenate([jnp.stack([of.fwhm, of.eta, *of.position]) for of in found], axis=1)

    def factors(cells: list[Array], v: Mapping[str, Array]) -> jax.Array:
        of_lines = line_values(v)
        angles = [
            phase_lines(p, cells[k], plan.fixed, of_lines, k, gsas=gsas).two_theta for k, p in enumerate(plan.phases)
        ]
        return jnp.concatenate([
            area_factor(p, cells[k], angles[k], plan.fixed, v, k) for k, p in enumerate(plan.phases)
        ])  # fmt: skip

    pairs = [
        p.f_squared_and_tangents(crystals[p.name], crystal_tangents[p.name], values, value_tangents)
        for p in plan.phases
    ]
    f_squared, f_tangents = (jnp.concatenate(of, axis=-1) for of in zip(*pairs, strict=True))
    of_intensity = lambda v: {
        name: value for name, value in v.items() if not name.startswith("background") and name not in ("f1", "f2")
    }
    factor, by_few, spread = _by_few(
        factors, (cells, of_intensity(values)), (cell_tangents, of_intensity(value_tangents))
    )
    area = factor * f_squared
    area_tangents = factor * f_tangents + f_squared * _along(by_few, spread)

    (fwhm, eta, *position), by_few, spread = _by_few(
        lines, (cells, line_values(values)), (cell_tangents, line_values(value_tangents))
    )
    table = plan.table_of(jnp.stack(position), area, fwhm, eta, values)
    dummy = lambda t: jnp.concatenate([t, jnp.zeros_like(t[..., :1])], axis=-1)
    columns = profiles.ProfileColumns(
        x_blocks=plan.x_blocks,
        peaks=table.peaks,
        nodes=plan._nodes(table.peaks),
        by_area=jnp.concatenate([dummy(area_tangents), table.peaks.area[None]]).T,
        by_line=jnp.moveaxis(dummy(by_few), 0, -1),
    )
    n = area_tangents.shape[0]
    ratio = jnp.zeros((n, 1)) if plan.fixed.lines == 1 else jnp.stack([jnp.zeros(n), value_tangents["ratio"]], axis=1)
    mix = [value_tangents["shl"][None], ratio.T, value_tangents["background"].T]
    basis, own = jnp.asarray(plan.background), background_parts.numbers(values)
    if own:
        basis = jnp.concatenate([basis, background_parts.slopes(plan.x, own, plan.background_measured)], axis=1)
        mix.append(jax.vmap(lambda t: ravel_pytree(t)[0])(background_parts.numbers(value_tangents)).T)
    if spread is not None:
        mix = [spread.T, *mix]
    return LinearPattern(
        plan, columns, jnp.concatenate(mix), jnp.asarray(table.background), basis, shared=spread is not None
    )


def _by_few(
    function: Callable[..., jax.Array], at: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[jax.Array, jax.Array, Float[jax.Array, "parameters numbers"] | None]:
    """Differentiate a function of few numbers: its value, derivatives by the numbers, and of the numbers by parameters.

    With fewer parameters than numbers: derivatives with respect to the parameters, and ``None``.
    """
    numbers, rebuild = ravel_pytree(at)
    spread = jax.vmap(lambda t: ravel_pytree(t)[0])(tangents)
    value, push = jax.linearize(lambda z: function(*rebuild(z)), numbers)
    if spread.shape[0] <= numbers.size:
        return value, jax.vmap(push)(spread), None
    return value, jax.vmap(push)(jnp.eye(numbers.size)), spread


def _along(
    by_few: jax.Array, spread: Float[jax.Array, "parameters numbers"] | None
) -> Float[jax.Array, "parameters n"]:
    return by_few if spread is None else spread @ by_few
