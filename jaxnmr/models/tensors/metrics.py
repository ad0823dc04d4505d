"""Accuracy of a model: errors of tensors and of the quantities derived from them (host)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np

from ..._struct import compiled
from ...errors import ConventionError
from ...graph import bucket
from ...nmr import Isotope, haeberlen_from_shielding, isotopes_of, principal_frame
from ...nmr.euler import HALF_TURNS
from ...nmr.quadrupolar import CQ_HZ_PER_AU_BARN
from ...nmr.tensors import maryland_from_shielding
from ...typing import Array
from ..data.batches import Batches
from ..data.labels import labelled_graphs
from ..data.tensor_data import TensorData
from ..networks.irreps import cartesian, components
from .tensor_model import TensorModel

_components = compiled(TensorModel.components, kept=True)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Predicted and true tensors of the labelled atoms of one element.

    Equivalent atoms occur once, with a weight.

    Attributes:
        element: element of the atoms.
        quantity: ``"shielding"`` (ppm) or ``"efg"`` (atomic units).
        predicted, true: ``(n, 3, 3)``.
        weight: ``(n,)`` number of labelled atoms that each represents.
        structure: ``(n,)`` indices of the structures they belong to.
    """

    element: str
    quantity: str
    predicted: np.ndarray
    true: np.ndarray
    weight: np.ndarray
    structure: np.ndarray

    @property
    def isotope(self) -> Isotope | None:
        """Most abundant quadrupolar nucleus of the element; ``None`` if there is none."""
        try:
            return next((n for n in isotopes_of(self.element) if n.is_quadrupolar), None)
        except ConventionError:  # no isotope of the element has a spin
            return None

    def values(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return quantities derived from the tensors, by name, as ``(predicted, true)``, each ``(n,)``.

        Shieldings: ``iso``, ``span``, ``skew``, ``zeta`` (ppm, skew dimensionless), ``eta``. Field gradients: ``vzz``
        (atomic units), ``eta``, and signed ``cq_mhz`` of :attr:`isotope`, if there is one.
        """
        pairs = {name: tuple(both) for name, both in self._read.items() if name != "axes"}
        if "vzz" in pairs and self.isotope is not None:
            mhz = 1e-6 * CQ_HZ_PER_AU_BARN * self.isotope.quadrupole_barn
            pairs["cq_mhz"] = tuple(mhz * v for v in pairs["vzz"])
        return pairs

    def angles_deg(self) -> np.ndarray:
        """Return the errors ``(n,)`` of the orientation of the principal axes, see :func:`orientation_error_deg`."""
        return orientation_error_deg(*self._read["axes"])

    def metrics(self) -> dict[str, float]:
        """Return errors by name; ``_mae`` are means, ``_median`` medians of absolute errors.

        ``tensor``: mean absolute difference of the nine components of the symmetric part. ``rmse_l0_percent`` and so
        on: root mean square error of an irrep relative to its spread. ``iso_offset``: root mean square of the mean
        error of a structure, and ``iso_within``: the error after subtracting this mean, over structures with several
        sites; it is the error of differences of shifts in one structure. ``cq_size``: of ``|C_Q|``; the error of the
        signed value doubles if eta is near 1 and the sign is inverted. ``orientation_deg``: smallest angle of a
        rotation that takes the true principal axes to the predicted ones, over the four equivalent sets.
        """
        mean = lambda values: float(np.average(np.abs(values), weights=self.weight))
        one, two = self._symmetric
        out = {"labels": float(self.weight.sum()), "tensor_mae": mean(np.abs(one - two).mean((1, 2)))}
        for l, irreps in ((0, "0e"), (1, "1e"), (2, "2e")) if self.quantity == "shielding" else ((2, "2e"),):
            mine, theirs = (components(t, irreps) for t in (self.predicted, self.true))
            spread = theirs - (np.average(theirs, axis=0, weights=self.weight) if l == 0 else 0.0)
            size = np.average((spread**2).sum(1), weights=self.weight)
            error = np.average(((mine - theirs) ** 2).sum(1), weights=self.weight)
            if size > 0:
                out[f"rmse_l{l}_percent"] = float(100.0 * np.sqrt(error / size))
        values = self.values()
        for name, (mine, theirs) in values.items():
            key = {"cq_mhz": "cq_mae_mhz"}.get(name, f"{name}_mae")
            out[key] = mean(mine - theirs)
            if name == "iso":
                out["iso_median"] = _median(np.abs(mine - theirs), self.weight)
                out |= self._common(mine - theirs)
        if "cq_mhz" in values:
            mine, theirs = values["cq_mhz"]
            out["cq_size_mae_mhz"] = mean(np.abs(mine) - np.abs(theirs))
        angles = self.angles_deg()
        return out | {"orientation_deg": mean(angles), "orientation_deg_median": _median(angles, self.weight)}

    def _common(self, error: np.ndarray) -> dict[str, float]:
        """Return the common errors of the sites of a structure, and the remaining ones."""
        _, place, count = np.unique(self.structure, return_inverse=True, return_counts=True)
        total = lambda values: np.bincount(place, values)
        mean = total(self.weight * error) / total(self.weight)
        several = count[place] > 1
        out = {"iso_offset_rms": float(np.sqrt(np.mean(mean**2)))}
        if several.any():
            rest = np.abs(error - mean[place])[several]
            out["iso_within_mae"] = float(np.average(rest, weights=self.weight[several]))
        return out

    @property
    def _symmetric(self) -> np.ndarray:
        """Symmetric parts of predicted and true tensors, ``(2, n, 3, 3)``."""
        both = np.stack([self.predicted, self.true])
        return 0.5 * (both + both.swapaxes(2, 3))

    @cached_property
    def _read(self) -> dict[str, np.ndarray]:
        """Quantities derived from predicted and true tensors, each ``(2, n)``, and their ``axes`` ``(2, n, 3, 3)``."""
        flat = self._symmetric.reshape(-1, 3, 3)
        # padded so that similar sizes share a program
        filled = np.concatenate(
            [flat, np.broadcast_to(np.diag([-0.3, -0.7, 1.0]), (bucket(len(flat)) - len(flat), 3, 3))]
        )
        found = (_read_shielding if self.quantity == "shielding" else _read_efg)(filled)
        cut = lambda a: np.asarray(a, dtype=float)[: len(flat)].reshape(2, -1, *np.shape(a)[1:])
        return {name: cut(values) for name, values in found.items()}


@jax.jit
def _read_shielding(tensors: Array) -> dict[str, Array]:
    maryland, haeberlen = maryland_from_shielding(tensors), haeberlen_from_shielding(tensors)
    out = {name: getattr(maryland, name) for name in ("iso", "span", "skew")}
    return out | {"zeta": haeberlen.zeta, "eta": haeberlen.eta, "axes": principal_frame(tensors).axes}


@jax.jit
def _read_efg(tensors: Array) -> dict[str, Array]:
    (x, y, z), axes = (lambda frame: (jnp.moveaxis(frame.values, -1, 0), frame.axes))(principal_frame(tensors, "efg"))
    # a site whose gradient vanishes by symmetry has no asymmetry either
    return {"vzz": z, "eta": (x - y) / jnp.where(z == 0, jnp.inf, z), "axes": axes}


def compare(model: TensorModel, data: TensorData, *, batch: int = 8) -> dict[str, Comparison]:
    """Predict all labelled atoms of a data set, and compare them with their labels by element.

    Raises:
        ConventionError: the model lacks the head, or does not support an element.
    """
    head = model.config.head(data.quantity)
    batches = Batches(labelled_graphs(data, model.config), batch)
    rows: dict[str, list] = {}
    for chosen, graph in batches.epoch(range(len(batches.graphs))):
        predicted = np.asarray(_components(model, graph)[head.name], dtype=float)
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
    """Return the smallest rotation angle ``(n,)`` between two principal frames ``(n, 3, 3)`` (columns, right-handed).

    Axes have no sign: rotating a frame by 180 degrees about one of its axes gives the same tensor, so that four frames
    are compared.
    """
    traces = np.einsum("nij,fjk,nik->nf", predicted, HALF_TURNS, true)
    return np.degrees(np.arccos(np.clip((traces.max(axis=1) - 1.0) / 2.0, -1.0, 1.0)))


def random_orientation_deg(count: int, *, seed: int = 0) -> np.ndarray:
    """Return orientation errors ``(count,)`` of unrelated frames, as expected by chance."""
    quaternions = np.random.default_rng(seed).normal(size=(count, 4))
    # the components of the quaternion belong to the four equivalent frames: the largest gives the smallest rotation
    largest = np.abs(quaternions).max(axis=1) / np.linalg.norm(quaternions, axis=1)
    return np.degrees(2.0 * np.arccos(np.clip(largest, -1.0, 1.0)))


def _median(values: np.ndarray, weight: np.ndarray) -> float:
    order = np.argsort(values)
    share = np.cumsum(weight[order]) / weight.sum()
    return float(values[order][np.searchsorted(share, 0.5)])
