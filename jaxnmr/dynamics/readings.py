"""Numbers of spectroscopy read off averaged tensors, with standard errors (host)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ..models.networks.config import EFG
from ..models.tensors.prediction import Prediction
from ..nmr import isotopes_of
from ..nmr.isotopes import Isotope
from ..nmr.quadrupolar import cq_hz_per_au
from ..nmr.shift_reference import reference_of
from .tensors import DESCRIBED, descriptors

# contiguous parts of the trajectory that the jackknife leaves out one by one
BLOCKS = 16


@dataclass(frozen=True)
class Reading:
    """One number of one site.

    Attributes:
        site: its label.
        quantity: ``"shift"`` or ``"shielding"``, ``"span"``, ``"skew"``, ``"CQ"``, ``"eta"``, after the isotope: ``"17O CQ"``.
        unit: of the numbers.
        static: without motion.
        mean: of the averaged tensor.
        error: standard error of the mean, from blocks of the trajectory; the error of the model is not in it.
        snapshots: the mean of what every snapshot would have; no spectrum of a solid in fast motion shows it.
    """

    site: str
    quantity: str
    unit: str
    static: float
    mean: float
    error: float
    snapshots: float


def jackknife(
    head: str, series: Float[np.ndarray, "frames sites 3 3"], blocks: int = BLOCKS
) -> tuple[Float[np.ndarray, "sites k"], Float[np.ndarray, "sites k"]]:
    """Descriptors of the mean tensor, and their standard errors by leaving out one block of the trajectory after another.

    What is read off a tensor is not linear in it: errors of eta near 0 or 1 follow from the blocks, not from derivatives that do
    not exist there.
    """
    count = min(blocks, len(series))
    sums = np.stack([part.sum(axis=0) for part in np.array_split(series, count)])
    sizes = np.array([len(part) for part in np.array_split(np.arange(len(series)), count)])
    total = series.mean(axis=0)
    others = (sums.sum(axis=0) - sums) / (len(series) - sizes)[:, None, None, None]
    of = descriptors(head, others)
    error = np.sqrt((count - 1) / count * ((of - of.mean(axis=0)) ** 2).sum(axis=0))
    return descriptors(head, total), error


def readings_of(static: Prediction, frames: Mapping[str, np.ndarray]) -> tuple[Reading, ...]:
    """All numbers of all sites."""
    found = []
    for head in sorted(DESCRIBED.keys() & frames.keys()):
        means, errors = jackknife(head, frames[head])
        without = descriptors(head, np.asarray(static.tensors[head], dtype=float))
        snapshots = frames[f"{head}/snapshots"].mean(axis=0)
        for k, (label, element) in enumerate(zip(static.labels, static.elements, strict=True)):
            nucleus = _nucleus(element, head)
            if nucleus is None or not np.isfinite(means[k]).all():
                continue
            for c, name in enumerate(DESCRIBED[head]):
                quantity, unit, offset, slope = _scale(name, nucleus, static)
                of = lambda values, offset=offset, slope=slope, k=k, c=c: float(offset + slope * values[k, c])
                found.append(
                    Reading(
                        site=label,
                        quantity=f"{nucleus.symbol} {quantity}",
                        unit=unit,
                        static=of(without),
                        mean=of(means),
                        error=abs(slope) * float(errors[k, c]),
                        snapshots=of(snapshots),
                    )
                )
    order = {label: k for k, label in enumerate(static.labels)}
    return tuple(sorted(found, key=lambda r: order[r.site]))


def running(
    readings: Sequence[Reading], static: Prediction, frames: Mapping[str, np.ndarray]
) -> Float[np.ndarray, "frames readings"]:
    """What every reading would be if the average ended at a frame."""
    columns: dict[tuple[str, str], np.ndarray] = {}
    for head in sorted(DESCRIBED.keys() & frames.keys()):
        series = frames[head]
        means = np.cumsum(series, axis=0) / np.arange(1, len(series) + 1)[:, None, None, None]
        of = descriptors(head, means)
        for k, (label, element) in enumerate(zip(static.labels, static.elements, strict=True)):
            nucleus = _nucleus(element, head)
            if nucleus is None:
                continue
            for c, name in enumerate(DESCRIBED[head]):
                quantity, _, offset, slope = _scale(name, nucleus, static)
                columns[label, f"{nucleus.symbol} {quantity}"] = offset + slope * of[:, k, c]
    return np.stack([columns[r.site, r.quantity] for r in readings], axis=-1)


def _nucleus(element: str, head: str) -> Isotope | None:
    """The isotope that spectra of this element are of."""
    isotopes = isotopes_of(element)
    if head == EFG:
        return next((n for n in isotopes if n.is_quadrupolar and np.isfinite(n.quadrupole_barn)), None)
    return next((n for n in isotopes if not n.is_quadrupolar), next(iter(isotopes), None))


def _scale(name: str, nucleus: Isotope, static: Prediction) -> tuple[str, str, float, float]:
    """Name, unit, and the line from the tensor's own unit."""
    if name == "vzz":
        return "CQ", "MHz", 0.0, float(cq_hz_per_au(nucleus, None)) * 1e-6
    if name != "iso":
        return name, "ppm" if name == "span" else "", 0.0, 1.0
    if nucleus.element not in {element for element, _, _ in static.references}:
        return "shielding", "ppm", 0.0, 1.0
    reference = reference_of(nucleus.element, static.references)
    at = [float(reference.shift(np.asarray(x))) for x in (0.0, 1.0)]
    return "shift", "ppm", at[0], at[1] - at[0]
