"""How uncertain predictions are: from the disagreement of an ensemble to intervals that hold what they say.

Per element and irrep the uncertainty of a component is ``sigma^2 = a^2 + (b spread)^2``. The ratio of a and b is that of the
most likely Student t distribution, because errors of learned tensors have heavy tails: a few unusual atoms are off by ten
times what is common. Widths of intervals are then measured rather than assumed: the quantile of ``|error|/sigma`` over atoms
that the model was not trained on, for components and for everything that is read off a tensor (split conformal
prediction; J. Lei et al., J. Am. Stat. Assoc. 113, 1094 (2018)). sigma itself is scaled such that it is the half-width of
the 68 % interval of a component. Coverage is that of an average atom like those of the calibration, not of every single one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ..._struct import compiled
from ...errors import ConventionError, DataError, ShapeError
from ...nmr.tensors import haeberlen_from_shielding, maryland_from_shielding
from ...typing import Array
from ..data.tensor_data import TensorData
from ..networks.config import EFG, SHIELDING, HeadConfig
from ..networks.irreps import cartesian
from .ensemble import Judged, judge, widths

LEVELS = (0.5, 0.68, 0.8, 0.9, 0.95)
UNIT_LEVEL = LEVELS.index(0.68)
# with fewer atoms there is no 95 % quantile
FEWEST_ATOMS = 20
# what people read off the tensors of a head
DERIVED = {SHIELDING: ("iso", "span", "skew"), EFG: ("vzz", "eta_q")}
_NUS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0, 30.0, 1000.0)
# share of the spread in the variance of an atom of median spread
_SHARES = (0.0, 0.003, 0.01, 0.03, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.97, 0.99)
_DIRECTIONS = 32


def calibrate(model, valid: TensorData, *, batch: int = 8):
    """The model with a calibration of its uncertainty in ``model.card.calibration`` (host).

    Args:
        model: single or ensemble. Of a single network sigma follows its novelty, if it has environments, or is the same for
            all atoms of an element.
        valid: labelled structures that were not trained on; elements with fewer than 20 inequivalent atoms are left out.
        batch: structures evaluated at once.

    Raises:
        DataError: no element has enough atoms.
        ConventionError: data that do not fit the network.
    """
    head = model.config.head(valid.quantity)
    found = _calibration(judge(model, valid, batch=batch), head)
    calibration = dict(model.card.calibration) | {head.name: found}
    return model.replace(card=replace(model.card, calibration=calibration))


class CoverageRow(NamedTuple):
    """How many of the atoms of an element are within intervals of 68 and 95 %, and half of the median width of these.

    Half-widths are in ppm (atomic units for ``l2`` and ``vzz`` of field gradients), without unit for ``skew`` and ``eta_q``.
    """

    element: str
    quantity: str
    atoms: int
    within_68: float
    within_95: float
    half_width_68: float
    half_width_95: float


@dataclass(frozen=True)
class Coverage:
    """Coverage by element and quantity; print it."""

    rows: tuple[CoverageRow, ...]

    def __getitem__(self, key: tuple[str, str]) -> CoverageRow:
        for row in self.rows:
            if (row.element, row.quantity) == key:
                return row
        raise ConventionError(f"no coverage of {key}; there is {', '.join(f'{r[0]} {r[1]}' for r in self.rows)}")

    def __str__(self) -> str:
        lines = [f"{'':<4}{'quantity':<10}{'atoms':>6}{'68 %':>8}{'95 %':>8}{'± 68 %':>11}{'± 95 %':>11}"]
        lines += [
            f"{r.element:<4}{r.quantity:<10}{r.atoms:6d}{100 * r.within_68:8.1f}{100 * r.within_95:8.1f}"
            f"{r.half_width_68:11.4g}{r.half_width_95:11.4g}"
            for r in self.rows
        ]
        return "\n".join(lines)


def coverage(model, data: TensorData, *, batch: int = 8) -> Coverage:
    """How often intervals of a calibrated model hold labels that it was neither trained nor calibrated on (host).

    Raises:
        ConventionError: a model without calibration of this quantity, or data that do not fit.
    """
    head = model.config.head(data.quantity)
    if head.name not in model.card.calibration:
        raise ConventionError(f"the model has no calibration of {head.name}: use calibrate(model, valid)")
    judged = judge(model, data, batch=batch)
    return _table([(judged, model.card.calibration[head.name])], head)


def cross_coverage(models: Sequence[Any], folds: Sequence[TensorData], *, batch: int = 8) -> Coverage:
    """Coverage pooled over folds, every atom judged by a model and a calibration that have not seen it (host).

    Args:
        models: one per fold, ensembles or single networks without environments, trained on the other folds.
        folds: structures that the model of the same place was not trained on, at least two. Atoms of one fold are
            calibrated with the errors that the models made in the other folds.
        batch: structures evaluated at once.

    Raises:
        ConventionError: not one fold per model, or models and folds of different kinds.
        DataError: an element has too few atoms.
    """
    if len(models) != len(folds) or len(folds) < 2:
        raise ConventionError(f"{len(models)} models and {len(folds)} folds; expected one model per fold, two at least")
    if any(model.environments and (model.members or 1) == 1 for model in models):
        raise ConventionError(
            "the uncertainty of a single network follows its novelty, which is on a scale of its own: calibrate each model on "
            "a part of its fold and use coverage() on the rest, or give ensembles or models without environments"
        )
    heads = {model.config.head(fold.quantity) for model, fold in zip(models, folds, strict=True)}
    if len(heads) != 1:
        raise ConventionError("models and folds are not all of one quantity and the same elements")
    (head,) = heads
    judged = [judge(model, fold, batch=batch) for model, fold in zip(models, folds, strict=True)]
    pairs = []
    for k, mine in enumerate(judged):
        others = [j for i, j in enumerate(judged) if i != k]
        pooled = {e: _joined([j[e] for j in others if e in j]) for e in sorted({e for j in others for e in j})}
        pairs.append((mine, _calibration(pooled, head)))
    return _table(pairs, head)


def site_sigmas(
    calibration: Mapping[str, Any], elements: Sequence[str], spread: Mapping[str, Array]
) -> dict[str, Array]:
    """By head, the uncertainty of a component of every irrep ``(sites, irreps)``; nan where there is no calibration."""
    out = {}
    for name, values in spread.items():
        of = calibration.get(name, {})
        ab = np.full((2, *np.shape(values)), np.nan)
        for k, element in enumerate(elements):
            if element in of:
                ab[:, k] = of[element]["a"], of[element]["b"]
        a, b = ab.astype(values.dtype)
        out[name] = (a**2 + (b * values) ** 2) ** 0.5
    return out


def site_factors(calibration: Mapping[str, Any], elements: Sequence[str]) -> dict[str, Array]:
    """By quantity, half-widths of intervals in units of the propagated sigma ``(sites, levels)``."""
    names = {q: h for h, of in calibration.items() for found in of.values() for q in found["quantiles"]}
    out: dict[str, Array] = {}
    for quantity, head in names.items():
        none = [math.nan] * len(LEVELS)
        of = [calibration[head].get(element, {"quantiles": {}})["quantiles"] for element in elements]
        out[f"{head}/{quantity}"] = np.array([found.get(quantity, none) for found in of])
    return out


def read_off(quantity: str, tensors: Array) -> Array:
    """``iso``, ``span``, ``skew``, size of the largest principal value ``vzz``, or ``eta_q`` of tensors ``(n, 3, 3)``."""
    if quantity in ("vzz", "eta_q"):
        of = haeberlen_from_shielding(tensors)
        return jnp.abs(of.zeta) if quantity == "vzz" else of.eta
    return getattr(maryland_from_shielding(tensors), quantity)


def propagated(quantity: str, tensors: Array | None, sigmas: Mapping[int, Array]) -> Array:
    """Uncertainty ``(n,)`` of what is read off tensors, to first order, for independent errors of all components.

    With ``e_k`` the principal axes, the span changes by ``(e3 e3 - e1 e1) : dT``, whose two dyads have the norm sqrt2; a
    principal value of the traceless part by a dyad of norm sqrt(2/3), orthogonal to the difference of the other two.

    Args:
        quantity: see :func:`read_off`.
        tensors: ``(n, 3, 3)``; of ``"iso"``, ``"span"`` and ``"vzz"`` they do not matter.
        sigmas: by l, ``(n,)`` of a component.

    Raises:
        ShapeError: no tensors where they do.
    """
    if quantity == "iso":
        return sigmas[0] / math.sqrt(3.0)
    if quantity == "span":
        return math.sqrt(2.0) * sigmas[2]
    if quantity == "vzz":
        return math.sqrt(2.0 / 3.0) * sigmas[2]
    if tensors is None:
        raise ShapeError(f"the uncertainty of {quantity} depends on the tensors; expected (n, 3, 3), got none")
    if quantity == "skew":
        shape = maryland_from_shielding(tensors)
        return sigmas[2] * jnp.sqrt(6.0 + 2.0 * shape.skew**2) / shape.span
    of = haeberlen_from_shielding(tensors)
    return sigmas[2] * jnp.sqrt(2.0 + 2.0 * of.eta**2 / 3.0) / jnp.abs(of.zeta)


_propagated = compiled(propagated, kept=True, static_argnums=0)


def propagated_on_host(quantity: str, tensors: Array | None, sigmas: Mapping[int, Array]) -> np.ndarray:
    """:func:`propagated` of numbers (host)."""
    of = propagated if quantity in ("iso", "span", "vzz") else _propagated
    return np.asarray(of(quantity, tensors, sigmas))


def interval(quantity: str, values: Array, half: Array) -> tuple[Array, Array]:
    """Lower and upper ends of ``values +- half``, within what is possible."""
    low, high = {"span": (0.0, jnp.inf), "vzz": (0.0, jnp.inf), "eta_q": (0.0, 1.0), "skew": (-1.0, 1.0)}.get(
        quantity, (-jnp.inf, jnp.inf)
    )
    return jnp.clip(values - half, low, high), jnp.clip(values + half, low, high)


def _calibration(judged: Mapping[str, Judged], head: HeadConfig) -> dict[str, Any]:
    """By element: a and b per irrep, degrees of freedom, quantiles per quantity; plain values."""
    out = {}
    for element, found in judged.items():
        atoms = len(found.predicted)
        if atoms < FEWEST_ATOMS:
            continue
        a, b, nu = [], [], []
        for k, error in enumerate(_irreps(found.predicted - found.target, head)):
            of = _student(error, found.spread[:, k])
            # what is called sigma is the half-width of the 68 % interval
            unit = float(_quantiles(_along(error) / np.hypot(of[0], of[1] * found.spread[:, k]), atoms)[UNIT_LEVEL])
            a.append(of[0] * unit)
            b.append(of[1] * unit)
            nu.append(of[2])
        entry = {"atoms": atoms, "a": a, "b": b, "nu": nu}
        ratios = {q: r for q, (r, _) in _ratios(found, head, entry).items()}
        out[element] = entry | {"quantiles": {q: _quantiles(r, atoms).tolist() for q, r in ratios.items()}}
    if not out:
        counts = ", ".join(f"{len(j.predicted)} of {e}" for e, j in judged.items())
        raise DataError(
            f"{counts or 'no'} inequivalent labelled atoms; a calibration needs {FEWEST_ATOMS} of an element: hold out more "
            "structures"
        )
    return out


def _ratios(found: Judged, head: HeadConfig, entry: Mapping[str, Any]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By quantity, ``|error|/sigma`` (``(samples, atoms)``) and sigma ``(atoms,)``."""
    sigma = np.hypot(np.array(entry["a"]), np.array(entry["b"]) * found.spread)
    out = {
        f"l{l}": (_along(error) / sigma[:, k], sigma[:, k])
        for k, (l, error) in enumerate(zip(head.ranks, _irreps(found.predicted - found.target, head), strict=True))
    }
    mine, theirs = (cartesian(t, head.irreps) for t in (found.predicted, found.target))
    by_rank = {l: sigma[:, k] for k, l in enumerate(head.ranks)}
    for quantity in DERIVED.get(head.name, ()):
        if (0 if quantity == "iso" else 2) in by_rank:
            size = np.asarray(propagated(quantity, mine, by_rank))
            error = np.asarray(read_off(quantity, mine)) - np.asarray(read_off(quantity, theirs))
            out[quantity] = (np.abs(error) / size, size)
    return out


def _table(pairs: Sequence[tuple[Mapping[str, Judged], Mapping[str, Any]]], head: HeadConfig) -> Coverage:
    rows: dict[tuple[str, str], list] = {}
    for judged, calibration in pairs:
        for element in sorted(judged.keys() & calibration.keys()):
            for quantity, (ratio, sigma) in _ratios(judged[element], head, calibration[element]).items():
                factors = np.array(calibration[element]["quantiles"][quantity])[[UNIT_LEVEL, -1]]
                within = [np.atleast_2d(ratio <= f).mean(axis=0) for f in factors]
                rows.setdefault((element, quantity), []).append([*within, *(f * sigma for f in factors)])
    out = []
    for (element, quantity), found in sorted(rows.items()):
        one, two, width_one, width_two = map(np.concatenate, zip(*found, strict=True))
        widths = float(np.median(width_one)), float(np.median(width_two))
        out.append(CoverageRow(element, quantity, len(one), float(one.mean()), float(two.mean()), *widths))
    return Coverage(tuple(out))


def _irreps(components: np.ndarray, head: HeadConfig) -> list[np.ndarray]:
    return np.split(components, np.cumsum(widths(head))[:-1], axis=1)


def _along(error: np.ndarray) -> np.ndarray:
    """Sizes ``(samples, atoms)`` of the components of errors ``(atoms, 2l + 1)`` along random directions.

    In the frame of the cell, symmetry makes many components exactly zero: a crystal turned otherwise would have another
    coverage. Cosines c of random directions have the density ``(1 - c^2)^(l - 1)``.
    """
    size = np.linalg.norm(error, axis=1)
    if error.shape[1] == 1:
        return size[None]
    edges = np.linspace(0.0, 1.0, 1001)
    share = np.cumsum((1.0 - (0.5 * (edges[1:] + edges[:-1])) ** 2) ** ((error.shape[1] - 3) / 2))
    cosines = np.interp((np.arange(_DIRECTIONS) + 0.5) / _DIRECTIONS, np.append(0.0, share / share[-1]), edges)
    return cosines[:, None] * size


def _quantiles(ratios: np.ndarray, atoms: int) -> np.ndarray:
    """Quantiles at all levels, inflated for the number of atoms such that fresh ones are covered."""
    levels = np.minimum(np.ceil((atoms + 1) * np.array(LEVELS)) / atoms, 1.0)
    return np.quantile(ratios, levels, method="inverted_cdf")


def _student(error: np.ndarray, spread: np.ndarray) -> tuple[float, float, float]:
    """a, b and degrees of freedom of the most likely multivariate t distribution of scale ``sqrt(a^2 + (b spread)^2)``.

    Args:
        error: ``(atoms, dim)``.
        spread: ``(atoms,)``.
    """
    atoms, dim = error.shape
    squared = np.maximum((error**2).sum(axis=1), 1e-24)
    typical = float(np.median(spread))
    best = (-np.inf, 1.0, 0.0, 2.0)
    for share in _SHARES if typical > 0 else (0.0,):
        u = (1.0 - share) + (share * (spread / typical) ** 2 if typical > 0 else 0.0)
        for nu in _NUS:
            scaled = squared / u / dim
            scale = float(np.median(scaled))
            for _ in range(50):  # expectation maximisation
                before, scale = scale, float(np.mean((nu + dim) / (nu + dim * scaled / scale) * scaled))
                if abs(scale - before) < 1e-4 * scale:
                    break
            log = math.lgamma(0.5 * (nu + dim)) - math.lgamma(0.5 * nu) - 0.5 * dim * math.log(nu * scale)
            total = atoms * log - float(
                np.sum(0.5 * dim * np.log(u) + 0.5 * (nu + dim) * np.log1p(dim * scaled / scale / nu))
            )
            if total > best[0]:
                best = (total, scale, share, nu)
    _, scale, share, nu = best
    b = math.sqrt(scale * share) / typical if share else 0.0
    return math.sqrt(scale * (1.0 - share)), b, nu


def _joined(parts: Sequence[Judged]) -> Judged:
    return Judged(*map(np.concatenate, zip(*parts, strict=True)))
