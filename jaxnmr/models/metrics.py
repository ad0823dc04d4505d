"""How good a model is: errors of tensors and of what people read from them (host)."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np

from ..io.tensor_data import TensorData
from ..nmr import haeberlen_from_shielding, isotopes_of, principal_frame
from ..nmr.quadrupolar import CQ_HZ_PER_AU_BARN
from ..nmr.tensors import maryland_from_shielding
from .irreps import cartesian, components
from .labels import Batches, labelled_graphs
from .tensor_model import ModelCard, TensorModel

_NO_CARD = ModelCard()
_components = jax.jit(TensorModel.components)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Predicted and true tensors of the labelled atoms of one element.

    Equivalent atoms count as one, with a weight.

    Attributes:
        element: of the atoms.
        quantity: ``"shielding"`` (ppm) or ``"efg"`` (atomic units).
        predicted, true: ``(n, 3, 3)``.
        weight: ``(n,)`` how many labelled atoms each stands for.
        structure: ``(n,)`` numbers of the structures they belong to.
    """

    element: str
    quantity: str
    predicted: np.ndarray
    true: np.ndarray
    weight: np.ndarray
    structure: np.ndarray

    def metrics(self) -> dict[str, float]:
        """Errors by name; ``_mae`` are means, ``_median`` medians of absolute errors.

        ``tensor``: mean of ``|T_ij|`` differences over the nine components of the symmetric part. ``rmse_l0_percent`` and
        so on: root mean square of the error of an irrep relative to its spread. ``cq_size``: of ``|C_Q|``; the signed one
        counts double where eta is near 1 and the sign turns over. ``orientation_deg``: smallest angle of a
        rotation that takes the true principal axes to the predicted ones, over the four equivalent sets.
        """
        mean = lambda values: float(np.average(np.abs(values), weights=self.weight))
        symmetric = [0.5 * (t + t.swapaxes(1, 2)) for t in (self.predicted, self.true)]
        out = {"labels": float(self.weight.sum()), "tensor_mae": mean(np.abs(symmetric[0] - symmetric[1]).mean((1, 2)))}
        for l, irreps in ((0, "0e"), (1, "1e"), (2, "2e")) if self.quantity == "shielding" else ((2, "2e"),):
            mine, theirs = (components(t, irreps) for t in (self.predicted, self.true))
            spread = theirs - (np.average(theirs, axis=0, weights=self.weight) if l == 0 else 0.0)
            size = np.average((spread**2).sum(1), weights=self.weight)
            error = np.average(((mine - theirs) ** 2).sum(1), weights=self.weight)
            if size > 0:
                out[f"rmse_l{l}_percent"] = float(100.0 * np.sqrt(error / size))
        if self.quantity == "shielding":
            mine, theirs = (maryland_from_shielding(t) for t in symmetric)
            zetas = [haeberlen_from_shielding(t) for t in symmetric]
            iso = np.asarray(mine.iso - theirs.iso)
            out |= {
                "iso_mae": mean(iso),
                "iso_median": _median(np.abs(iso), self.weight),
                "span_mae": mean(np.asarray(mine.span - theirs.span)),
                "skew_mae": mean(np.asarray(mine.skew - theirs.skew)),
                "zeta_mae": mean(np.asarray(zetas[0].zeta - zetas[1].zeta)),
                "eta_mae": mean(np.asarray(zetas[0].eta - zetas[1].eta)),
            }
            order = "haeberlen"
        else:
            frames = [principal_frame(t, "efg") for t in symmetric]
            vzz = [np.asarray(f.values)[:, 2] for f in frames]
            etas = [np.asarray((f.values[:, 0] - f.values[:, 1]) / f.values[:, 2]) for f in frames]
            out |= {"vzz_mae": mean(vzz[0] - vzz[1]), "eta_mae": mean(etas[0] - etas[1])}
            moment = next((n.quadrupole_barn for n in isotopes_of(self.element) if n.is_quadrupolar), np.nan)
            if np.isfinite(moment):
                mhz = 1e-6 * CQ_HZ_PER_AU_BARN * abs(moment)
                sizes = np.abs(vzz[0]) - np.abs(vzz[1])
                out |= {"cq_mae_mhz": mhz * out["vzz_mae"], "cq_size_mae_mhz": mhz * mean(sizes)}
            order = "efg"
        axes = [np.asarray(principal_frame(t, order).axes) for t in symmetric]
        angles = orientation_error_deg(*axes)
        return out | {"orientation_deg": mean(angles), "orientation_deg_median": _median(angles, self.weight)}


def compare(model: TensorModel, data: TensorData, *, batch: int = 8) -> dict[str, Comparison]:
    """Predict all labelled atoms of a data set, by element.

    Raises:
        ConventionError: a model without the head, or elements it does not know.
    """
    head = model.config.head(data.quantity)
    batches = Batches(labelled_graphs(data, model.config), batch)
    rows: dict[str, list] = {}
    for chosen, graph in batches.epoch(range(len(batches.graphs))):
        predicted = np.asarray(_components(model.replace(card=_NO_CARD), graph)[head.name], dtype=float)
        nodes = graph.nodes
        structure = np.repeat([*chosen, *[-1] * (len(graph.n_node) - len(chosen))], graph.n_node)
        for k in np.flatnonzero(nodes["weight"]):
            element = model.config.species[nodes["species"][k]]
            row = (predicted[k], np.asarray(nodes["target"][k], dtype=float), float(nodes["weight"][k]), structure[k])
            rows.setdefault(element, []).append(row)
    tensors = lambda values: np.asarray(cartesian(np.array(values), head.irreps))
    return {
        element: Comparison(element, data.quantity, tensors(mine), tensors(theirs), np.array(weight), np.array(where))
        for element, (mine, theirs, weight, where) in ((e, zip(*r, strict=True)) for e, r in sorted(rows.items()))
    }


def orientation_error_deg(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Angle ``(n,)`` of the smallest rotation between two principal frames ``(n, 3, 3)`` (columns, right-handed).

    Axes have no sign: turning a frame by 180 degrees about one of its axes gives the same tensor, so that four frames
    are compared.
    """
    flips = np.array([np.diag(d) for d in ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))], dtype=float)
    traces = np.einsum("nij,fjk,nik->nf", predicted, flips, true)
    return np.degrees(np.arccos(np.clip((traces.max(axis=1) - 1.0) / 2.0, -1.0, 1.0)))


def _median(values: np.ndarray, weight: np.ndarray) -> float:
    order = np.argsort(values)
    share = np.cumsum(weight[order]) / weight.sum()
    return float(values[order][np.searchsorted(share, 0.5)])
