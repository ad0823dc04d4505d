"""Training of a prior on crystals from files (host)."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...crystal import Crystal
from ...density import valence_elements
from ...density.prior.data import LineSet, perovskite_pose
from ...density.prior.model import DensityPrior
from ...density.prior.training import Epoch, Recipe, prepare, train
from ...density.prior.waves import Sample
from ...errors import DataError, JaxnmrError
from .lines import cubic_edge

_LEAST = 20


class _Readable(Protocol):
    def crystal(self) -> Crystal: ...


def samples_of(candidates: Iterable[_Readable]) -> tuple[list[Sample], dict[str, int]]:
    """Transform crystals to the standard pose of a prior; return them, and counts of those left out by reason.

    The functions of a prior are even along b and c, so crystals must be cubic perovskites displaced along one axis.

    Raises:
        DataError: hardly any crystals are left.
    """
    found, left_out = [], Counter[str]()
    known = set(valence_elements())
    for candidate in candidates:
        try:
            crystal = candidate.crystal()
            found.append(_sample(crystal, known))
        except JaxnmrError as error:
            left_out[_kind(error)] += 1
    if len(found) < _LEAST:
        reasons = "; ".join(f"{n}: {reason}" for reason, n in left_out.most_common(3))
        raise DataError(
            f"{len(found)} crystals that a prior can be trained with; expected {_LEAST} or more"
            + (f". Left out were {reasons}" if reasons else "")
        )
    return found, dict(left_out)


def _sample(crystal: Crystal, known: set[str]) -> Sample:
    edge = cubic_edge(np.asarray(crystal.cell), crystal.name)
    full = crystal.expand()
    elements = tuple(crystal.elements[k] for k in np.asarray(full.site))
    strange = sorted(set(elements) - known)
    if strange:
        raise DataError(f"no valence atoms of {', '.join(strange)}")
    if not np.allclose(np.asarray(crystal.occupancy), 1.0):
        raise DataError("partial occupancies")
    xyz = np.asarray(full.fractional, dtype=float) % 1.0
    cell = (edge,) * 3 + (90.0,) * 3
    error: JaxnmrError | None = None
    # axis along which atoms are displaced
    for turned in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        try:
            return perovskite_pose(Sample(cell, elements, xyz[:, turned]))
        except JaxnmrError as err:
            error = err
    assert error is not None
    raise error


def _kind(error: JaxnmrError) -> str:
    text = str(error)
    for words in ("cubic cells", "no perovskite", "columns of", "no valence atoms of", "partial occupancies"):
        if words in text:
            return {
                "cubic cells": "cells that are not cubic",
                "columns of": "no perovskite",
                "no perovskite": "no perovskite",
            }.get(words, text if "no valence" in text else words)
    return "files that cannot be read"


def trained_prior(
    samples: Sequence[Sample],
    recipe: Recipe,
    *,
    held_out: int = 0,
    folder: Path | None = None,
    progress: Callable[[Epoch], None] | None = None,
) -> tuple[DensityPrior, tuple[Epoch, ...], int]:
    """Train a prior on crystals, some of which are held out; resumes an interrupted training in the folder.

    Args:
        samples: result of :func:`samples_of`.
        recipe: training settings.
        held_out: size of the held-out set; one in ten by default.
        folder: folder for a checkpoint after every epoch.
        progress: callback after every epoch.

    Returns:
        The prior, its log, and the number of held-out crystals.

    Raises:
        DataError: there are too few crystals for the number of functions, or for validation.
    """
    count = held_out or max(len(samples) // 10, 4)
    if not 0 < count < len(samples) - 1:
        raise DataError(f"{count} of {len(samples)} crystals held out leave none to train with")
    order = np.random.default_rng((recipe.seed, 7)).permutation(len(samples))
    valid, chosen = [samples[k] for k in order[:count]], [samples[k] for k in order[count:]]
    elements = {e for sample in chosen for e in sample.elements}
    valid = [sample for sample in valid if set(sample.elements) <= elements]
    if not valid:
        raise DataError("all crystals held out have elements that no other has: give more crystals")
    trained = train(chosen, valid, recipe, folder=folder, progress=progress)
    held = prepare(valid, trained.basis, LineSet.within(recipe.lines), trained.elements, recipe.atoms)
    card: dict[str, Any] = {
        "electrons": recipe.atoms,
        "crystals": len(chosen),
        "kind": "cubic perovskites that move along one axis",
    }
    counts = {len(sample.elements) for sample in samples}
    atoms = counts.pop() if len(counts) == 1 else 0
    return DensityPrior.of(trained, recipe, held, atoms=atoms, card=card), trained.log, len(valid)
