"""Calibrated uncertainties of predictions, from the disagreement of an ensemble to intervals with the stated coverage.

For each element and irrep the uncertainty of a component is ``sigma^2 = a^2 + (b spread)^2``. The ratio of a and b is
that of the most likely Student t distribution, because errors of learned tensors have heavy tails: a few unusual atoms
are off by ten times the usual error. Widths of intervals are then measured rather than assumed: the quantile of
``|error|/sigma`` over atoms that the model was not trained on, for components and for all quantities derived from a
tensor (split conformal prediction; J. Lei et al., J. Am. Stat. Assoc. 113, 1094 (2018)). sigma itself is scaled such
that it is the half-width of the 68 % interval of a component. Coverage is that of an average atom like those of the
calibration set, not of every single one.

If the data have enough structures, errors are calibrated in two parts (:mod:`.two_parts`): a and b are those of the
independent error of each site, ``common`` is the error shared by all sites of a structure. Intervals of single sites
include both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ..._arrays import is_concrete
from ...errors import ConventionError, DataError
from ...typing import Array
from ..data.tensor_data import TensorData
from ..networks.config import EFG, SHIELDING, HeadConfig
from ..networks.irreps import cartesian
from .ensemble import Judged, judge, widths
from .propagation import propagated, read_off
from .two_parts import FEWEST_STRUCTURES, Errors, Parts, common_part, common_sigma, direction, own_part, take_apart

LEVELS = (0.5, 0.68, 0.8, 0.9, 0.95)
UNIT_LEVEL = LEVELS.index(0.68)
# a 95 % quantile needs at least this many atoms
FEWEST_ATOMS = 20
# quantities derived from the tensors of a head
DERIVED = {SHIELDING: ("iso", "span", "skew"), EFG: ("vzz", "eta_q")}
_NUS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0, 30.0, 1000.0)
# candidates for the fraction of the spread in the variance of an atom of median spread
_SHARES = (0.0, 0.003, 0.01, 0.03, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.97, 0.99)
_DIRECTIONS = 32
# quantiles of the normal distribution at all levels, for common parts of few structures
_NORMAL = (0.674, 0.994, 1.282, 1.645, 1.960)
OWN, COMMON = "own", "common"


def calibrate(model, valid: TensorData, *, batch: int = 8):
    """Return the model with a calibration of its uncertainty in ``model.card.calibration`` (host).

    Args:
        model: single or ensemble. For a single network sigma depends on its novelty, if it has environments, or is the
            same for all atoms of an element.
        valid: labelled structures that were not trained on; elements with fewer than 20 inequivalent atoms are left out.
        batch: number of structures evaluated at once.

    Raises:
        DataError: no element has enough atoms.
        ConventionError: the data do not match the network.
    """
    head = model.config.head(valid.quantity)
    found = _calibration(judge(model, valid, batch=batch), head)
    calibration = dict(model.card.calibration) | {head.name: found}
    return model.replace(card=replace(model.card, calibration=calibration))


class CoverageRow(NamedTuple):
    """Fraction of atoms of an element within 68 and 95 % intervals, and median half-widths of these.

    Half-widths are in ppm (atomic units for ``l2`` and ``vzz`` of field gradients), dimensionless for ``skew`` and
    ``eta_q``. Rows of the quantity ``iso/own`` refer to the remaining errors within a structure; for ``l0/common`` and
    ``l2/common`` ``atoms`` is the number of structures, and half-widths are those of the isotropic value, or ratios of
    the tensor.
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
    """Coverage by element and quantity; prints as a table."""

    rows: tuple[CoverageRow, ...]

    def __getitem__(self, key: tuple[str, str]) -> CoverageRow:
        for row in self.rows:
            if (row.element, row.quantity) == key:
                return row
        raise ConventionError(f"no coverage of {key}; there is {', '.join(f'{r[0]} {r[1]}' for r in self.rows)}")

    def __str__(self) -> str:
        lines = [f"{'':<4}{'quantity':<11}{'atoms':>6}{'68 %':>8}{'95 %':>8}{'± 68 %':>11}{'± 95 %':>11}"]
        lines += [
            f"{r.element:<4}{r.quantity:<11}{r.atoms:6d}{100 * r.within_68:8.1f}{100 * r.within_95:8.1f}"
            f"{r.half_width_68:11.4g}{r.half_width_95:11.4g}"
            for r in self.rows
        ]
        return "\n".join(lines)


def coverage(model, data: TensorData, *, batch: int = 8) -> Coverage:
    """Measure the coverage of a calibrated model on labels used neither for training nor for calibration (host).

    Raises:
        ConventionError: the model has no calibration of this quantity, or the data do not match it.
    """
    head = model.config.head(data.quantity)
    if head.name not in model.card.calibration:
        raise ConventionError(f"the model has no calibration of {head.name}: use calibrate(model, valid)")
    judged = judge(model, data, batch=batch)
    return _table([(judged, model.card.calibration[head.name])], head)


def cross_coverage(models: Sequence[Any], folds: Sequence[TensorData], *, batch: int = 8) -> Coverage:
    """Return the coverage pooled over folds, each judged by a model and a calibration that have not seen it (host).

    Args:
        models: one per fold, ensembles or single networks without environments, trained on the other folds.
        folds: at least two sets of structures on which the corresponding models were not trained. Atoms of a fold are
            calibrated with the errors in the other folds.
        batch: number of structures evaluated at once.

    Raises:
        ConventionError: the numbers of models and folds differ, or their quantities or elements do.
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
    """Return by head the own uncertainty of a component of every irrep ``(sites, irreps)``; NaN without calibration."""
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


def site_commons(
    calibration: Mapping[str, Any],
    elements: Sequence[str],
    spread: Mapping[str, Array],
    components: Mapping[str, Array],
    heads: Sequence[HeadConfig],
    weight: Array,
) -> dict[str, Array]:
    """Return by head the common uncertainty of all sites of an element ``(sites, irreps)``, the same at each of them.

    For l = 0 it is that of a component, for others the common relative error; 0 if errors were calibrated in a single
    part, NaN without calibration.

    Args:
        calibration: calibration of all heads.
        elements, weight: elements of all sites of the structure, and numbers of equivalent atoms.
        spread, components: by head, ``(sites, irreps)`` and ``(sites, dim)``.
        heads: heads of the model.
    """
    xp = np if is_concrete(weight, *spread.values(), *components.values()) else jnp
    out = {}
    for head in heads:
        of, values = calibration.get(head.name, {}), spread[head.name]
        irreps = np.cumsum(widths(head))[:-1]
        columns = []
        for k, (rank, part) in enumerate(zip(head.ranks, xp.split(components[head.name], irreps, axis=1), strict=True)):
            column = xp.full(len(elements), np.nan, dtype=values.dtype)
            for element in sorted(set(elements) & of.keys()):
                chosen = np.array([e == element for e in elements])
                rows = np.flatnonzero(chosen)
                along = None if rank == 0 else part[rows]
                found = common_sigma(of[element], k, values[rows, k], along, xp.asarray(weight)[rows])
                column = xp.where(chosen, found, column)
            columns.append(column)
        out[head.name] = xp.stack(columns, axis=1)
    return out


def site_factors(calibration: Mapping[str, Any], elements: Sequence[str]) -> dict[str, Array]:
    """Return by quantity the half-widths of intervals in units of the propagated sigma ``(sites, levels)``."""
    names = {q: h for h, of in calibration.items() for found in of.values() for q in found["quantiles"]}
    out: dict[str, Array] = {}
    for quantity, head in names.items():
        none = [math.nan] * len(LEVELS)
        of = [calibration[head].get(element, {"quantiles": {}})["quantiles"] for element in elements]
        out[f"{head}/{quantity}"] = np.array([found.get(quantity, none) for found in of])
    return out


def _calibration(judged: Mapping[str, Judged], head: HeadConfig) -> dict[str, Any]:
    """Return plain values by element: a and b per irrep, degrees of freedom, common part, quantiles per quantity."""
    out = {}
    for element, found in judged.items():
        atoms = len(found.predicted)
        if atoms < FEWEST_ATOMS:
            continue
        errors = _errors(found, head)
        own = [own_part(e, _student) for e in errors] if _has_parts(errors[0]) else None
        a, b, nu, rms = [], [], [], []
        for k, of in enumerate(errors):
            error, spread = of.error, of.spread
            fitted = _student(error, spread) if own is None else own[k][1]
            if own is not None:
                parts = own[k][0]
                error, spread = parts.own[parts.several], spread[parts.several]
            # sigma is the half-width of the 68 % interval
            size = _along(error) / np.hypot(fitted[0], fitted[1] * spread)
            unit = float(_quantiles(size, len(error))[UNIT_LEVEL])
            a.append(fitted[0] * unit)
            b.append(fitted[1] * unit)
            nu.append(fitted[2])
            rms.append(float(np.sqrt(np.mean(size**2))) / unit)
        entry: dict[str, Any] = {"atoms": atoms, "a": a, "b": b, "nu": nu}
        if own is not None:
            entry["common"] = {"structures": errors[0].structures, "a": [], "b": [], "own_rms": rms}
            for k, of in enumerate(errors):
                parts = take_apart(of, a[k] ** 2 + (b[k] * of.spread) ** 2)
                found_ab = common_part(parts.common, rms[k] ** 2 / parts.precision, of.structure_spread())
                for name, value in zip("ab", found_ab, strict=True):
                    entry["common"][name].append(value)
        ratios = _ratios(found, head, entry)
        out[element] = entry | {"quantiles": {q: _factors(q, r) for q, (r, _) in ratios.items()}}
    if not out:
        counts = ", ".join(f"{len(j.predicted)} of {e}" for e, j in judged.items())
        raise DataError(
            f"{counts or 'no'} inequivalent labelled atoms; a calibration needs {FEWEST_ATOMS} of an element: hold out more "
            "structures"
        )
    return out


def _errors(found: Judged, head: HeadConfig) -> list[Errors]:
    """Return the errors of every irrep of an element, by structure."""
    atoms = len(found.predicted)
    numbers = np.arange(atoms) if found.structure is None else np.unique(found.structure, return_inverse=True)[1]
    weight = np.ones(atoms) if found.weight is None else found.weight
    pairs = zip(_irreps(found.predicted, head), _irreps(found.target, head), head.ranks, strict=True)
    return [
        Errors(mine - theirs, direction(mine, rank), found.spread[:, k], weight, numbers)
        for k, (mine, theirs, rank) in enumerate(pairs)
    ]


def _has_parts(errors: Errors) -> bool:
    """Return whether there are enough structures with several sites to determine the common part."""
    sites = np.bincount(errors.structure)
    return len(sites) >= FEWEST_STRUCTURES and sites[sites > 1].sum() >= FEWEST_ATOMS


def _factors(quantity: str, ratios: np.ndarray) -> list[float]:
    """Return quantiles at all levels; those of a normal distribution if there are too few samples."""
    count = ratios.shape[-1]
    if quantity.endswith(f"/{COMMON}") and count < FEWEST_ATOMS:
        return list(_NORMAL)
    return _quantiles(ratios, count).tolist()


def _ratios(found: Judged, head: HeadConfig, entry: Mapping[str, Any]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return by quantity ``|error|/sigma`` (``(samples, atoms)``) and sigma ``(atoms,)``."""
    own = np.hypot(np.array(entry["a"]), np.array(entry["b"]) * found.spread)
    errors, ranks = _errors(found, head), dict(enumerate(head.ranks))
    out: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    if COMMON not in entry:
        for k, l in ranks.items():
            out[f"l{l}"] = (_along(errors[k].error) / own[:, k], own[:, k])
        return out | _read_ratios(
            found.predicted, found.target, head, {l: own[:, k] for k, l in ranks.items()}, None, ""
        )
    of = entry[COMMON]
    # common part by structure
    shared = [np.hypot(of["a"][k], of["b"][k] * errors[k].structure_spread()) for k in ranks]
    parts = [take_apart(errors[k], own[:, k] ** 2) for k in ranks]
    at_site = np.stack([shared[k][errors[k].structure] for k in ranks], axis=1)
    for k, l in ranks.items():
        along = np.sqrt(np.mean(errors[k].along ** 2, axis=1))
        total = np.hypot(own[:, k], at_site[:, k] * along)
        out[f"l{l}"] = (_along(errors[k].error) / total, total)
        some = parts[k].several
        out[f"l{l}/{OWN}"] = (_along(parts[k].own[some]) / own[some, k], own[some, k])
        both = np.hypot(shared[k], of["own_rms"][k] / np.sqrt(parts[k].precision))
        unit = 1.0 / math.sqrt(3.0) if l == 0 else 1.0
        out[f"l{l}/{COMMON}"] = (np.abs(parts[k].common) / both, unit * both)
    by_rank, common = ({l: values[:, k] for k, l in ranks.items()} for values in (own, at_site))
    out |= _read_ratios(found.predicted, found.target, head, by_rank, common, "")
    return out | _own_ratios(found, head, parts, by_rank)


def _own_ratios(
    found: Judged, head: HeadConfig, parts: Sequence[Parts], own: Mapping[int, np.ndarray]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Do as :func:`_ratios` for derived quantities with independent errors only, for structures with several sites."""
    some = np.all([p.several for p in parts], axis=0)
    if not some.any():
        return {}
    target = found.target[some]
    mine = target + np.concatenate([p.own[some] for p in parts], axis=1)
    return _read_ratios(mine, target, head, {l: s[some] for l, s in own.items()}, None, f"/{OWN}")


def _read_ratios(
    mine: np.ndarray,
    theirs: np.ndarray,
    head: HeadConfig,
    own: Mapping[int, np.ndarray],
    common: Mapping[int, np.ndarray] | None,
    part: str,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    out = {}
    one, two = (cartesian(t, head.irreps) for t in (mine, theirs))
    for quantity in DERIVED.get(head.name, ()):
        if (0 if quantity == "iso" else 2) in own:
            size = np.asarray(propagated(quantity, one, own, common))
            error = np.asarray(read_off(quantity, one)) - np.asarray(read_off(quantity, two))
            out[quantity + part] = (np.abs(error) / size, size)
    return out


def _table(pairs: Sequence[tuple[Mapping[str, Judged], Mapping[str, Any]]], head: HeadConfig) -> Coverage:
    rows: dict[tuple[str, str], list] = {}
    for judged, calibration in pairs:
        for element in sorted(judged.keys() & calibration.keys()):
            quantiles = calibration[element]["quantiles"]
            for quantity, (ratio, sigma) in _ratios(judged[element], head, calibration[element]).items():
                if quantity not in quantiles:
                    continue
                factors = np.array(quantiles[quantity])[[UNIT_LEVEL, -1]]
                within = [np.atleast_2d(ratio <= f).mean(axis=0) for f in factors]
                rows.setdefault((element, quantity), []).append([*within, *(f * sigma for f in factors)])
    out = []
    for (element, quantity), found in sorted(rows.items()):
        one, two, width_one, width_two = map(np.concatenate, zip(*found, strict=True))
        if not len(one):
            continue
        widths = float(np.median(width_one)), float(np.median(width_two))
        out.append(CoverageRow(element, quantity, len(one), float(one.mean()), float(two.mean()), *widths))
    return Coverage(tuple(out))


def _irreps(components: np.ndarray, head: HeadConfig) -> list[np.ndarray]:
    return np.split(components, np.cumsum(widths(head))[:-1], axis=1)


def _along(error: np.ndarray) -> np.ndarray:
    """Return the absolute components ``(samples, atoms)`` of errors ``(atoms, 2l + 1)`` along random directions.

    In the frame of the cell, symmetry makes many components exactly zero, and coverage would depend on the orientation
    of the crystal. Cosines c of random directions have the density ``(1 - c^2)^(l - 1)``.
    """
    size = np.linalg.norm(error, axis=1)
    if error.shape[1] == 1:
        return size[None]
    edges = np.linspace(0.0, 1.0, 1001)
    share = np.cumsum((1.0 - (0.5 * (edges[1:] + edges[:-1])) ** 2) ** ((error.shape[1] - 3) / 2))
    cosines = np.interp((np.arange(_DIRECTIONS) + 0.5) / _DIRECTIONS, np.append(0.0, share / share[-1]), edges)
    return cosines[:, None] * size


def _quantiles(ratios: np.ndarray, atoms: int) -> np.ndarray:
    """Return quantiles at all levels, with the finite-sample correction for coverage of new atoms."""
    levels = np.minimum(np.ceil((atoms + 1) * np.array(LEVELS)) / atoms, 1.0)
    return np.quantile(ratios, levels, method="inverted_cdf")


def _student(error: np.ndarray, spread: np.ndarray) -> tuple[float, float, float]:
    """Fit a, b and degrees of freedom of a multivariate t distribution of scale ``sqrt(a^2 + (b spread)^2)``.

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
    """Join several sets; structures remain distinct."""
    start, out = 0, []
    for part in parts:
        structure = np.arange(len(part.predicted)) if part.structure is None else part.structure
        weight = np.ones(len(structure)) if part.weight is None else part.weight
        out.append(part._replace(structure=structure + start, weight=weight))
        start += int(structure.max(initial=-1)) + 1
    return Judged(*map(np.concatenate, zip(*out, strict=True)))
