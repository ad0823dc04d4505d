"""`Parameters`: all values of an objective, the free ones among them, and their relations by symmetry and ties.

All physical values form one vector. A refinement moves ``theta``, one number per free direction, and
``vector = offset + transform @ theta`` (symmetry, ties and scaling in one small matrix), so that standard uncertainties and
correlations of all physical values follow from the same matrix.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import jax
import numpy as np

from .._arguments import checked, shown
from .._struct import Struct, static
from .._tables import plain
from .._words import counted
from ..errors import ParameterError
from ..typing import Array, Numbers, Quantity
from .parameter_row import ParameterRow
from .parameter_spec import ParameterSpec
from .tying import require_within_bounds, summed, tied


class Parameters(Struct):
    """All values of an objective and which of them are refined. Immutable; every method returns a copy.

    As a pytree its only leaf is the vector of physical values, so it can be differentiated, mapped and compiled.

    Attributes:
        flat: ``(values,)`` physical values, in the order of ``spec.labels``.
        spec: names, free flags, bounds and ties.

    Example:
        >>> moved = params.set("cell[a]", 4.92).free("cell", "xyz").fix("xyz[O1.z]")
        >>> moved["cell[a]"]
        np.float64(4.92)
        >>> moved.n_free - params.n_free
        5
    """

    flat: Array
    spec: ParameterSpec = static()

    @classmethod
    @checked
    def create(cls, quantities: Mapping[str, Quantity]) -> Parameters:
        """Make parameters of all quantities, none free."""
        if not quantities:
            raise ParameterError("there are no quantities to make parameters of")
        return cls(
            flat=np.concatenate([np.ravel(np.asarray(q.value, dtype=float)) for q in quantities.values()]),
            spec=ParameterSpec(quantities),
        )

    # -- reading -------------------------------------------------------------------------------------------------
    @property
    def values(self) -> dict[str, Array]:
        """Physical values by name."""
        return self.spec.layout.unflatten(self.flat)

    def __getitem__(self, name: str) -> Array:
        """Return an array (``"xyz"``) or a single value (``"xyz[Ca1.x]"``)."""
        if isinstance(name, str) and name in (values := self.values):
            return values[name]
        return self.flat[_single(self.spec, name)]

    @property
    def labels(self) -> tuple[str, ...]:
        """Full names of all elements of the vector."""
        return self.spec.labels

    @property
    def n_free(self) -> int:
        """Number of free parameters."""
        return int(self.spec.free.sum())

    @property
    def free_names(self) -> tuple[str, ...]:
        """Full names of the free parameters, in the order of ``theta``."""
        return tuple(self.labels[k] for k in self.spec.free_pivots)

    @property
    def moved_names(self) -> tuple[str, ...]:
        """Full names of all values that a refinement moves, including those that follow others."""
        return tuple(self.labels[k] for k in np.flatnonzero(self.spec.transform.any(axis=1)))

    def rows(self) -> list[ParameterRow]:
        """Return a row for every physical value, for tables."""
        spec = self.spec
        moved = np.abs(spec.transform).max(axis=1, initial=0.0) > 0
        followed = {t.target: t.written(self.labels) for t in spec.ties}
        flat = np.asarray(self.flat)
        return [
            ParameterRow(
                label,
                float(flat[k]),
                spec.units[k],
                bool(moved[k]),
                float(spec.lower[k]),
                float(spec.upper[k]),
                followed.get(k, ""),
            )
            for k, label in enumerate(self.labels)
        ]

    def __repr__(self) -> str:
        if not isinstance(self.flat, np.ndarray) or self.flat.ndim != 1:
            return f"Parameters({len(self.labels)} values, {self.n_free} free)"
        rows = []
        for row in self.rows():
            bounds = "" if np.isinf([row.lower, row.upper]).all() else f"[{row.lower:g}, {row.upper:g}]"
            tie = f"  = {row.tied_to}" if row.tied_to else ""
            rows.append((row.name, f"{row.value:.7g}", row.unit, "yes" if row.free else "", f"{bounds}{tie}".strip()))
        table = plain(("parameter", "value", "unit", "free", "bounds"), rows)
        return "\n".join([table, f"{self.n_free} refined numbers"])

    # -- the map theta -> values ---------------------------------------------------------------------------------
    @property
    def theta(self) -> np.ndarray:
        """Scaled free parameters, ``(n_free,)`` (host)."""
        pivots = self.spec.free_pivots
        return np.asarray(self.flat)[pivots] / self.spec.scale[pivots]

    def offset(self) -> np.ndarray:
        """Return the part of the vector that ``theta`` does not move (host)."""
        return self.spec.tied(self.flat) - self.spec.transform @ self.theta

    def constrain(self, theta) -> dict[str, Array]:
        """Return physical values by name at ``theta`` (traceable)."""
        return self.spec.layout.unflatten(self.offset() + self.spec.transform @ self._refined(theta))

    def at(self, theta) -> Parameters:
        """Return a copy at another ``theta`` (traceable)."""
        return self.replace(flat=self.offset() + self.spec.transform @ self._refined(theta))

    def _refined(self, theta) -> Array:
        theta = theta if isinstance(theta, jax.core.Tracer) else np.asarray(theta)
        if theta.dtype.kind not in "iuf" or theta.shape != (self.n_free,):
            raise ParameterError(
                f"theta is {shown(theta)}; expected {counted(self.n_free, 'number')}, one for each of params.free_names"
            )
        return theta

    def theta_bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return bounds of ``theta``, including those of values that follow through symmetry or a tie (host).

        A bound on a value that depends on several components of ``theta`` is not a box constraint and is left out.
        """
        spec, offset = self.spec, self.offset()
        lower, upper = np.full(self.n_free, -np.inf), np.full(self.n_free, np.inf)
        bounded = np.isfinite(spec.lower) | np.isfinite(spec.upper)
        alone = (spec.transform != 0).sum(axis=1) == 1
        for row in np.flatnonzero(bounded & alone):
            k = int(np.flatnonzero(spec.transform[row])[0])
            ends = (np.array([spec.lower[row], spec.upper[row]]) - offset[row]) / spec.transform[row, k]
            lower[k], upper[k] = max(lower[k], ends.min()), min(upper[k], ends.max())
        # rounding must not put a starting value on its bound outside it
        theta = self.theta
        near = lambda bound: np.isfinite(bound) & (np.abs(theta - bound) <= 1e-12 * np.maximum(np.abs(bound), 1.0))
        return np.where(near(lower), np.minimum(lower, theta), lower), np.where(
            near(upper), np.maximum(upper, theta), upper
        )

    # -- choosing ------------------------------------------------------------------------------------------------
    def free(self, *patterns: str) -> Parameters:
        """Refine the values with these names: ``free("cell", "xyz[O*]", "xrd/*")``.

        Values that symmetry fixes stay fixed; naming a single value that cannot move is an error.
        """
        return self._flag(patterns, True)

    def fix(self, *patterns: str) -> Parameters:
        """Stop refining these values."""
        return self._flag(patterns, False)

    def _flag(self, patterns, value: bool) -> Parameters:
        spec, free = self.spec, self.spec.free.copy()
        ties = {t.target: t for t in spec.ties}
        idle: list[tuple[str, tuple[str, ...]]] = []
        for pattern in patterns:
            hits = spec.match(pattern)
            if value and (instead := self._instead(hits)):
                idle.append((pattern, instead))
                continue
            chosen = np.isin(spec.pivots, hits) & ~np.isin(spec.pivots, list(ties))
            if _explicit(pattern, hits) and not chosen.any():
                moved_by = spec.pivots[(np.abs(spec.directions[hits]) > 1e-9).any(axis=0)]
                others = [self.labels[p] for p in moved_by if p not in ties and p not in hits]
                if others:
                    raise ParameterError(
                        f"{pattern!r} follows {', '.join(others)} by symmetry: free or fix that instead"
                    )
                if (tie := ties.get(int(hits[0]))) and tie.total and tie.sources:
                    raise ParameterError(
                        f"{pattern!r} follows {', '.join(self.labels[s] for s in tie.sources)}, so that {tie.total}: free or fix "
                        "those instead"
                    )
                if value:
                    why = "it is tied to another parameter" if moved_by.size else "symmetry fixes it"
                    raise ParameterError(f"{pattern!r} cannot be refined on its own: {why}")
            free[chosen] = value
        for pattern, instead in idle:
            if not any(free[np.isin(spec.pivots, spec.match(name))].any() for name in instead):
                raise ParameterError(f"{pattern!r} has nothing to refine here; free {', '.join(instead)} instead")
        freed = self.replace(spec=spec.changed(free=free))
        return freed._off_symmetry(free & ~spec.free) if value and np.ndim(self.flat) == 1 else freed

    def _off_symmetry(self, freed: np.ndarray) -> Parameters:
        """Return a copy moved off symmetry points where directions were freed; the reasons are in ``spec.notes``."""
        spec, flat, start = self.spec, np.array(self.flat, dtype=float), 0
        moving = np.isin(np.arange(flat.size), spec.pivots[freed])
        for quantity in spec.quantities.values():
            size = np.size(quantity.value)
            place, start = slice(start, start + size), start + size
            if quantity.leave is not None and moving[place].any():
                shape = np.shape(quantity.value)
                flat[place] = np.ravel(quantity.leave(flat[place].reshape(shape), moving[place].reshape(shape)))
        flat = spec.tied(np.clip(flat, spec.lower, spec.upper))
        notes = {
            self.labels[
                k
            ]: f"{self.labels[k]} started at {flat[k]:g} instead of {self.flat[k]:g}, where by symmetry nothing "
            "depends on it to first order and it could not have left."
            for k in np.flatnonzero(moving & (flat != np.asarray(self.flat)))
        }
        return self.replace(flat=flat, spec=spec.changed(notes=spec.notes | notes)) if notes else self

    def _instead(self, hits: np.ndarray) -> tuple[str, ...]:
        """Return the quantities to refine in place of these values if none of them can move; empty if there are none."""
        names = dict.fromkeys(self.spec.parts[k][0] for k in hits)
        others = [(*name.rpartition("/")[:2], self.spec.quantities[name].instead) for name in names]
        if (np.abs(self.spec.directions[hits]) > 1e-9).any() or not all(other for *_, other in others):
            return ()
        return tuple("".join(parts) for parts in others)

    @checked
    def set(self, pattern: str, value: Numbers) -> Parameters:
        """Set the values that match a name or pattern: one number for all, or one per value.

        Values that depend on others through symmetry or ties follow them, and values that symmetry fixes do not change.

        Raises:
            ParameterError: the number of values is wrong, a value is out of bounds, or a single value cannot be chosen
                freely.
        """
        spec, hits = self.spec, self.spec.match(pattern)
        new = np.ravel(np.asarray(value, dtype=float))
        if new.size not in (1, len(hits)):
            raise ParameterError(f"{pattern!r} stands for {len(hits)} values; got {new.size}")
        if not np.isfinite(new).all():
            raise ParameterError(f"{pattern!r} cannot be set to {value}: not finite")
        old = np.array(self.flat, dtype=float)
        wanted = old.copy()
        wanted[hits] = new
        flat = old + spec.directions @ (wanted - old)[spec.pivots]
        flat[spec.pivots] = wanted[spec.pivots]  # exactly
        flat = spec.tied(flat)
        if _explicit(pattern, hits) and len(hits) == 1 and abs(flat[hits[0]] - new[0]) > 1e-9 * max(abs(new[0]), 1.0):
            raise ParameterError(
                f"{pattern!r} cannot be set to {new[0]:g}: symmetry or a tie makes it {flat[hits[0]]:g}; "
                "set the value that it follows"
            )
        low, high = self.spec.lower[hits], self.spec.upper[hits]
        outside = (flat[hits] < low) | (flat[hits] > high)
        if outside.any():
            k = int(np.flatnonzero(outside)[0])
            raise ParameterError(
                f"{self.labels[hits[k]]} = {flat[hits[k]]:g} is outside its bounds [{low[k]:g}, {high[k]:g}]"
            )
        require_within_bounds(spec, flat)
        chosen = {self.labels[k] for k in hits} & spec.notes.keys()
        if chosen:
            spec = spec.changed(notes={k: note for k, note in spec.notes.items() if k not in chosen})
        return self.replace(flat=flat, spec=spec)

    @checked
    def bound(self, pattern: str, lower: float | None = None, upper: float | None = None) -> Parameters:
        """Set bounds; ``None`` leaves a bound unchanged. Values that symmetry fixes are skipped.

        Raises:
            ParameterError: the bounds cross, or exclude the current value.
        """
        hits = self.spec.match(pattern)
        hits = hits[np.abs(self.spec.directions[hits]).max(axis=1, initial=0.0) > 1e-9]
        low, high = self.spec.lower.copy(), self.spec.upper.copy()
        low[hits] = low[hits] if lower is None else lower
        high[hits] = high[hits] if upper is None else upper
        flat = np.asarray(self.flat)
        for k in hits:
            if not low[k] < high[k]:
                raise ParameterError(f"bounds of {self.labels[k]} cross: [{low[k]:g}, {high[k]:g}]")
            if not low[k] <= flat[k] <= high[k]:
                raise ParameterError(
                    f"{self.labels[k]} = {flat[k]:g} lies outside the bounds [{low[k]:g}, {high[k]:g}]; set it first"
                )
        return self.replace(spec=self.spec.changed(lower=low, upper=high))

    @checked
    def tie(
        self, target: str, source: str | Mapping[str, float], factor: float = 1.0, offset: float = 0.0
    ) -> Parameters:
        """Make ``target = factor * source + offset``, element by element.

        Each of several sources has its own factor: ``tie("u_iso[O3]", {"u_iso[O1]": 0.5, "u_iso[O2]": 0.5})`` is their
        mean.

        Raises:
            ParameterError: a name is unknown, numbers of values differ, a source is itself tied, or symmetry
                prescribes another relation.
        """
        if not isinstance(source, str) and (factor != 1.0 or not source):
            raise ParameterError(f'several sources of {target!r} have a factor each: source={{"u_iso[O1]": 0.5, ...}}')
        sources = {source: factor} if isinstance(source, str) else source
        spec, flat = tied(self.spec, self.flat, target, sources, offset)
        return self.replace(flat=flat, spec=spec)

    @checked
    def constrain_sum(self, coefficients: Mapping[str, float], equals: float) -> Parameters:
        """Keep a sum of values constant: ``constrain_sum({"occupancy[Ca1]": 1.0, "occupancy[Sr1]": 1.0}, equals=1.0)``.

        The last named value that can move follows the others, now and during refinement, whether or not it is freed.
        Its bounds are enforced if it follows a single free parameter; otherwise the result reports when it ended
        outside.

        Args:
            coefficients: coefficients by name; all values that match a pattern have its coefficient.
            equals: the value of the sum.

        Raises:
            ParameterError: a name is unknown, the sum contradicts or repeats other constraints or symmetry, or
                a value would start outside its bounds.
        """
        spec, flat = summed(self.spec, self.flat, coefficients, equals)
        return self.replace(flat=flat, spec=spec)

    def untie(self, pattern: str) -> Parameters:
        """Remove the ties of these values and the sums they satisfy; the values are unchanged and fixed until freed."""
        hits = set(self.spec.match(pattern).tolist())
        return self.replace(spec=self.spec.changed(ties=tuple(t for t in self.spec.ties if t.target not in hits)))


def _explicit(pattern: str, hits: np.ndarray) -> bool:
    return not re.search(r"[*?]", pattern) and ("[" in pattern or len(hits) == 1)


def _single(spec: ParameterSpec, name: str) -> int:
    hits = spec.match(name)
    if len(hits) != 1:
        raise ParameterError(f"{name!r} stands for {len(hits)} values; name one, e.g. {spec.labels[hits[0]]!r}")
    return int(hits[0])


def renamed(prefix: str, quantities: Mapping[str, Quantity]) -> dict[str, Quantity]:
    """Prefix the names of quantities."""
    return {f"{prefix}/{name}": replace(q) for name, q in quantities.items()}
