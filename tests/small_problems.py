"""Crystals and simulated patterns that tests of objectives and refinements share; each is made once."""

from collections.abc import Callable
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np

import jaxnmr as jn
from jaxnmr._struct import set_fields, static
from jaxnmr.typing import Quantity

DOUBLET = jn.Instrument(wavelengths=(1.54056, 1.54439), radius_mm=240.0, U=2.0, V=-2.0, W=5.0, shl=0.02)
SYNCHROTRON = jn.Instrument(
    wavelengths=(0.4592,), geometry="debye-scherrer", radius_mm=1000.0, polarization=0.99,
    U=1.2, V=-0.1, W=3.0, X=0.1, shl=0.002, mu_r=0.4,
)  # fmt: skip
NEUTRON = jn.Instrument(
    radiation="neutron",
    wavelengths=(1.9085,),
    geometry="debye-scherrer",
    radius_mm=650.0,
    U=150.0,
    V=-320.0,
    W=380.0,
    shl=0.02,
)


@lru_cache
def rutile() -> jn.Crystal:
    """TiO2: cell with two free lengths, one free coordinate tied along the diagonal."""
    return jn.Crystal.create(
        cell=(4.594, 4.594, 2.959, 90, 90, 90), spacegroup="P 42/m n m", species=["Ti", "O"], labels=["Ti1", "O1"],
        xyz=[[0, 0, 0], [0.305, 0.305, 0]], u_iso=[0.006, 0.008], name="rutile",
    )  # fmt: skip


@lru_cache
def anatase() -> jn.Crystal:
    return jn.Crystal.create(
        cell=(3.784, 3.784, 9.515, 90, 90, 90), spacegroup="I 41/a m d:1", species=["Ti", "O"], labels=["Ti1", "O1"],
        xyz=[[0, 0, 0], [0, 0, 0.2081]], u_iso=[0.006, 0.008], name="anatase",
    )  # fmt: skip


@lru_cache
def monoclinic() -> jn.Crystal:
    """Three atoms in general position of P 21/c; the first displaced anisotropically."""
    nothing = [np.nan] * 6
    return jn.Crystal.create(
        cell=(5.12, 6.83, 5.47, 90, 103.4, 90), spacegroup="P 1 21/c 1", species=["S", "O", "N"], labels=["S1", "O1", "N1"],
        xyz=[[0.21, 0.13, 0.32], [0.43, 0.31, 0.11], [0.68, 0.09, 0.35]], u_iso=0.015,
        u_aniso=[[0.012, 0.015, 0.011, 0.001, 0.002, -0.001], nothing, nothing], name="mono",
    )  # fmt: skip


@lru_cache
def trigonal() -> jn.Crystal:
    """Sites on a threefold axis, a twofold axis, a mirror (x 2x z) and in general position of P -3 m 1."""
    return jn.Crystal.create(
        cell=(6.1, 6.1, 7.3, 90, 90, 120), spacegroup="P -3 m 1", species=["La", "Ni", "O", "F"],
        labels=["La1", "Ni1", "O1", "F1"],
        xyz=[[1 / 3, 2 / 3, 0.21], [0.5, 0, 0], [0.17, 0.34, 0.36], [0.1, 0.43, 0.13]],
        u_aniso=[[0.01, 0.01, 0.012, 0.005, 0, 0], [np.nan] * 6, [0.01, 0.011, 0.012, 0.0055, 0.001, 0.002], [np.nan] * 6],
        name="trigonal",
    )  # fmt: skip


def histogram(crystals, instrument, x, *, name="xrd", background=3, values=None, seed=None, level=50.0, top=5000.0):
    """A simulated histogram: a `PatternTerm` whose data are calculated with ``values``, noise added for a ``seed``.

    Returns:
        term, and the true values of its parameters by local name (scale chosen so that the highest peak is ``top``).
    """
    crystals = {crystals.name: crystals} if isinstance(crystals, jn.Crystal) else crystals
    x = np.asarray(x, dtype=float)
    function = background if isinstance(background, jn.Background) else jn.Background.chebyshev(background)
    start = np.zeros(function.terms)
    start[0] = level
    experiment = jn.PowderDiffraction(instrument, function)
    plan = experiment.plan(crystals, x)
    true = {k: np.array(q.value, dtype=float) for k, q in plan.quantities().items()} | {"background": start}
    for key, value in (values or {}).items():
        true[key] = np.broadcast_to(np.asarray(value, dtype=float), true[key].shape).copy()
    plan = plan.laid_out(crystals, true)
    peaks = plan.curve(crystals, true) - start[0]
    true["scale"] = true["scale"] * top / peaks.max()
    y = plan.curve(crystals, true)
    if seed is not None:
        y = np.random.default_rng(seed).poisson(y).astype(float)
    pattern = jn.Pattern.create(x, y, np.sqrt(np.maximum(y, 1.0)), instrument=instrument, name=name)
    return jn.PatternTerm(experiment, pattern, name=name), true


class Equations(jn.Term):
    """Residuals that are a function of one vector of unknowns, which the term brings along as ``name/x``."""

    start: jax.Array
    function: Callable = static()
    labels: tuple[str, ...] = static()
    name: str = static()

    def __init__(self, function, start, name="problem"):
        start = np.asarray(start, dtype=float)
        set_fields(self, start=start, function=function, labels=tuple("abcdefghijkl"[: start.size]), name=name)

    def quantities(self, crystals):
        return {"x": Quantity(value=np.asarray(self.start), labels=self.labels)}

    def residuals(self, state):
        return self.function(state.local(self.name)["x"])


def at_truth(objective: jn.Objective, **by_term) -> jn.Parameters:
    """The parameters of an objective with the true values of its histograms."""
    params = objective.parameters()
    for name, values in by_term.items():
        for key, value in values.items():
            params = params.set(f"{name}/{key}", value)
    return params


def values_of(params: jn.Parameters):
    return {k: jnp.asarray(v) for k, v in params.values.items()}
