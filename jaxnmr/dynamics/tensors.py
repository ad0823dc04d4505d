"""Tensors along a trajectory, predicted by models for every frame (host)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from ..crystal import Crystal
from ..errors import ConventionError, ParameterError
from ..models.networks.config import EFG, SHIELDING
from ..models.tensors.prediction import Prediction
from ..models.tensors.tensor_model import TensorModel
from ..nmr import ShiftReference
from ..nmr.tensors import haeberlen_from_shielding, maryland_from_shielding
from ..typing import Array
from .pooling import mean_of_images, pooled_tensors
from .supercells import Supercell

# Å: with neighbours listed so far, thermal motion seldom asks for a new list
_SKIN = 1.0
# what descriptors() reads off, by head
DESCRIBED = {SHIELDING: ("iso", "span", "skew"), EFG: ("vzz", "eta")}


class FrameTensors:
    """Predicts the tensors of frames and pools them over the images of every site.

    Args:
        models: tensor models, each of one or several heads.
        cell: the supercell.
        references: by element, of chemical shifts, in place of those of the models.

    Raises:
        ConventionError: no model knows any element of the crystal, or two models predict the same of the same element.
    """

    def __init__(
        self, models: Sequence[TensorModel], cell: Supercell, references: Mapping[str, ShiftReference] | None = None
    ):
        if not models:
            raise ParameterError(
                'no tensor model was given; expected one or several, such as TensorModel.load("silica-efg")'
            )
        self.models, self.cell, self.references = tuple(models), cell, dict(references or {})
        self.plans: list[Any] = [model.plan(cell.crystal, skin=_SKIN) for model in models]
        self.chosen = [_elements(model, cell) for model in models]
        claimed: set[tuple[str, str]] = set()
        for of in self.chosen:
            both = sorted(claimed & {(head, e) for head, elements in of.items() for e in elements})
            if both:
                raise ConventionError(f"two models predict {both[0][0]} of {both[0][1]}: leave one of them out")
            claimed |= {(head, e) for head, elements in of.items() for e in elements}
        if not claimed:
            raise ConventionError(
                f"no model knows the elements of {cell.crystal.name}: {', '.join(sorted(set(cell.crystal.elements)))}"
            )
        self.heads = tuple(sorted({head for head, _ in claimed}))

    def at(self, crystal: Crystal, vectors: Float[np.ndarray, "3 3"]) -> dict[str, np.ndarray]:
        """What a frame says of every site of the parent.

        Returns:
            By head ``(sites, 3, 3)``, NaN where no model predicts; by ``head/snapshots`` ``(sites, k)``, the mean over images of
            what :func:`descriptors` says of each; and ``novelty``, ``(atoms,)``, the largest of the models.
        """
        out: dict[str, np.ndarray] = {}
        elements = np.array(self.cell.crystal.elements)
        novelty = np.full(len(elements), np.nan)
        for k, (model, chosen) in enumerate(zip(self.models, self.chosen, strict=True)):
            if float(self.plans[k].margin(crystal)) <= 0:
                self.plans[k] = self.plans[k].renewed(crystal)
            found = model.predict(crystal, self.plans[k])
            for head, of in chosen.items():
                meant = np.isin(elements, of)
                tensors = np.asarray(found.tensors[head], dtype=float)
                rows = out.setdefault(head, np.full((len(elements), 3, 3), np.nan))
                rows[meant] = tensors[meant]
                if found.novelty is not None:
                    novelty[meant] = np.fmax(novelty[meant], np.asarray(found.novelty)[meant])
        pooled: dict[str, np.ndarray] = {"novelty": novelty}
        for head, rows in out.items():
            pooled[head] = pooled_tensors(self.cell, vectors, rows)
            if head in DESCRIBED:
                pooled[f"{head}/snapshots"] = mean_of_images(self.cell, descriptors(head, rows))
        return pooled

    def prediction(self, crystal: Crystal) -> Prediction:
        """All that the models say of the sites of a crystal: of the parent, or of one of the same sites."""
        found = [model.predict(crystal) for model in self.models]
        merged = found[0]
        elements = np.array(merged.elements)
        tensors: dict[str, np.ndarray] = {}
        for chosen, of in zip(self.chosen, found, strict=True):
            for head, known in chosen.items():
                rows = tensors.setdefault(head, np.full((len(elements), 3, 3), np.nan))
                meant = np.isin(elements, known)
                rows[meant] = np.asarray(of.tensors[head], dtype=float)[meant]
        by_head = lambda name: {head: values for of in found for head, values in getattr(of, name).items()}
        return merged.replace(
            tensors=tensors,
            spread=by_head("spread"),
            sigmas=by_head("sigmas"),
            commons=by_head("commons"),
            factors=by_head("factors"),
            references=tuple(pair for of in found for pair in of.references if pair[0] not in self.references)
            + tuple((e, float(r.reference_ppm), float(r.slope)) for e, r in sorted(self.references.items())),
        )


def descriptors(head: str, tensors: Float[np.ndarray, "... 3 3"]) -> Float[np.ndarray, "... k"]:
    """What is read off a tensor: isotropic value, span and skew of shieldings, V_zz and eta of field gradients; NaN of NaN."""
    known = np.isfinite(tensors).all(axis=(-2, -1))
    if head == SHIELDING:
        of = maryland_from_shielding(tensors[known])
        columns: tuple[Array, ...] = (of.iso, of.span, of.skew)
    else:
        found = haeberlen_from_shielding(tensors[known])
        columns = (found.zeta, found.eta)
    out = np.full((*known.shape, len(columns)), np.nan)
    out[known] = np.stack([np.asarray(c) for c in columns], axis=-1)
    return out


def _elements(model: TensorModel, cell: Supercell) -> dict[str, list[str]]:
    """By head, the elements of the crystal that a model was trained on."""
    present = set(cell.crystal.elements)
    found = {head.name: sorted(present & set(head.elements)) for head in model.config.heads if head.is_tensor}
    return {head: elements for head, elements in found.items() if elements}
