"""Derivative checks for user-defined terms: ``jaxnmr.testing.assert_gradients(my_term, state)``.

Example:
    >>> @jn.term("volume", sigma=2.0)
    ... def volume(state):
    ...     return state.crystal.volume() - 113.0
    >>> known = jn.Objective(volume, crystal=quartz)
    >>> jn.testing.assert_gradients(volume, known.state(known.parameters().values))
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .errors import DataError, ParameterError, PrecisionError
from .objective import Term

# A difference quotient approximates a derivative well only for a suitable step: too long a step suffers from curvature,
# too short a one from rounding. A wrong derivative agrees with none of them.
_STEPS = (1e-3, 1e-4, 1e-5, 1e-6)
_COTANGENTS = 3


def assert_gradients(
    function: Term | Callable[[Any], Any], state: Any, *, rtol: float = 1e-5, atol: float = 1e-7, seed: int = 0
) -> None:
    """Check that forward mode, reverse mode and central differences agree, and that all of them are finite.

    Every real number in ``state`` is varied separately. If a term defines its own ``jacobian``, that is checked, too.

    Args:
        function: a term from ``objective.terms``, or any traceable function of ``state`` that returns an array.
        state: point of evaluation: a :class:`~jaxnmr.State`, or any pytree of double-precision arrays.
        rtol: allowed difference, relative to the largest derivative with respect to the same number.
        atol: allowed difference, relative to the largest derivative overall.
        seed: of the three random combinations of residuals on which reverse mode is checked.

    Raises:
        AssertionError: they differ; the message lists the largest differences with the three values.
        PrecisionError: single precision, in which central differences are meaningless.
        ParameterError: ``state`` contains no real number.
        DataError: the function itself is not finite there.

    Numerics: the central differences use steps of 1e-3 to 1e-6 times the value (times 1 for values below 1) and
    each derivative is compared with the closest of the four.
    """
    evaluate = function.residuals if isinstance(function, Term) else function
    paths, treedef = jax.tree_util.tree_flatten_with_path(state)
    leaves = [np.asarray(leaf) for _, leaf in paths]
    real = [k for k, leaf in enumerate(leaves) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    if not real or not sum(leaves[k].size for k in real):
        raise ParameterError("there is nothing to differentiate by: the state holds no real number")
    single = [k for k in real if leaves[k].dtype != np.float64]
    if single or jnp.zeros(0).dtype != jnp.float64:
        where = f" ({jax.tree_util.keystr(paths[single[0]][0])})" if single else ""
        raise PrecisionError(
            f"central differences need double precision{where}: call jaxnmr.enable_x64() before creating arrays"
        )
    names = [name for k in real for name in _element_names(jax.tree_util.keystr(paths[k][0]), leaves[k].shape)]
    x0 = np.concatenate([leaves[k].ravel() for k in real])
    rebuild = _rebuilder(leaves, real, treedef)
    flat = jax.jit(lambda x: jnp.ravel(evaluate(rebuild(x))))
    y0 = np.asarray(flat(x0))
    if not np.isfinite(y0).all():
        raise DataError(f"the function is not finite: value {int(np.flatnonzero(~np.isfinite(y0))[0])} is not a number")

    along = jax.jit(lambda t: jax.jvp(flat, (x0,), (t,))[1])
    identity = np.eye(len(x0))
    forward = np.stack([np.asarray(along(t)) for t in identity], axis=1).reshape(y0.size, x0.size)
    largest = np.abs(forward[np.isfinite(forward)]).max(initial=0.0)
    allowed = rtol * np.abs(forward).max(axis=0, initial=0.0) + atol * largest
    problems = _Problems(names)
    problems.not_finite("forward mode", forward)

    central = _closest_central_differences(flat, x0, forward)
    problems.compare("forward mode", forward, "central differences", central, allowed)

    weights = np.random.default_rng(seed).normal(size=(_COTANGENTS, y0.size))
    pull = jax.jit(lambda w: jax.vjp(flat, x0)[1](w)[0])
    reverse = np.stack([np.asarray(pull(w)) for w in weights])
    problems.not_finite("reverse mode", reverse)
    problems.compare("forward mode", weights @ forward, "reverse mode", reverse, allowed * np.sqrt(y0.size))

    if isinstance(function, Term) and type(function).jacobian is not Term.jacobian:
        own = jax.jit(lambda x: function.jacobian(rebuild(x), jax.vmap(lambda t: _tangent(rebuild, x, t))(identity)))
        problems.compare("forward mode", forward, "the term's own jacobian", np.asarray(own(x0)), allowed)
    problems.report()


def _rebuilder(leaves, real, treedef) -> Callable:
    """Return a function from the vector of all real numbers back to the pytree (traceable)."""
    bounds = np.cumsum([0, *(leaves[k].size for k in real)])

    def rebuild(x):
        parts = list(leaves)
        for k, start, stop in zip(real, bounds, bounds[1:], strict=False):
            parts[k] = jnp.asarray(x)[start:stop].reshape(leaves[k].shape)
        return jax.tree_util.tree_unflatten(treedef, parts)

    return rebuild


def _tangent(rebuild, x, t):
    return jax.jvp(rebuild, (jnp.asarray(x),), (t,))[1]


def _closest_central_differences(flat, x0: np.ndarray, forward: np.ndarray) -> np.ndarray:
    """Return, for each column, the central difference closest to ``forward`` among several steps."""
    best = np.full(forward.shape, np.nan)
    for k, value in enumerate(x0):
        closest = np.inf
        for step in _STEPS:
            h = step * max(1.0, abs(value))
            ends = []
            for sign in (1.0, -1.0):
                moved = x0.copy()
                moved[k] += sign * h
                ends.append(np.asarray(flat(moved)))
            quotient = (ends[0] - ends[1]) / (2.0 * h)
            distance = np.abs(quotient - forward[:, k]).max(initial=0.0)
            if np.isfinite(quotient).all() and (distance < closest or np.isnan(best[:, k]).any()):
                best[:, k], closest = quotient, distance
    return best


class _Problems:
    """Collects disagreements and raises one readable error."""

    def __init__(self, names):
        self.names, self.lines = names, []

    def not_finite(self, what: str, jacobian: np.ndarray) -> None:
        for k in np.flatnonzero(~np.isfinite(jacobian).all(axis=0)):
            self.lines.append(f"{what} is not finite by {self.names[k]}")

    def compare(self, one: str, a: np.ndarray, two: str, b: np.ndarray, allowed: np.ndarray) -> None:
        if a.shape != b.shape:
            self.lines.append(f"{two} has the shape {b.shape}, {one} {a.shape}")
            return
        excess = np.abs(a - b) - allowed
        for k in np.argsort(-excess.max(axis=0, initial=-1.0)):
            if not (excess[:, k] <= 0).all() and np.isfinite(a[:, k]).all():
                row = int(np.argmax(np.where(np.isnan(excess[:, k]), np.inf, excess[:, k])))
                values = f"{one} {a[row, k]:.9g}, {two} {b[row, k]:.9g}"
                self.lines.append(f"by {self.names[k]}: {values} (row {row}, allowed {allowed[k]:.2g})")

    def report(self, most: int = 12) -> None:
        if self.lines:
            more = [f"... and {len(self.lines) - most} more"] if len(self.lines) > most else []
            raise AssertionError("derivatives disagree:\n  " + "\n  ".join([*self.lines[:most], *more]))


def _element_names(path: str, shape: tuple[int, ...]) -> list[str]:
    path = path.removeprefix(".") or "state"
    if not shape:
        return [path]
    return [f"{path}[{', '.join(map(str, index))}]" for index in np.ndindex(*shape)]
