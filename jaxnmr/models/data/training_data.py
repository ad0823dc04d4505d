"""Preparation of labels for training: reading, selection, checks, split (host)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ...errors import ConventionError, DataError
from .tensor_checks import FrameCheck, SignCheck, check_frames, check_sign, check_unit
from .tensor_data import TensorData, read_magres_folder, read_si_nmr, read_tensor_file

FORMATS = ("si_nmr", "magres", "extxyz")
SPLITS = ("random", "group", "all")
PARTS = ("train", "valid", "test")
# a part with less than this fraction of its target size is refused
_LEAST_SHARE = 0.5


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """Location and selection of labels.

    Attributes:
        format: ``"si_nmr"`` (folder of that data set), ``"magres"`` (folder of files), ``"extxyz"`` (file with ``ms``
            in ppm or ``efg`` in atomic units).
        path: path of the folder or file.
        quantity: ``"shielding"`` or ``"efg"``.
        elements: elements whose labels are used; all by default.
        composition: use only structures of these elements; all by default.
        other_than: exclude structures consisting of these elements alone; they may occur together with others.
        group: for ``"extxyz"``, the info entry whose value is the group of a frame.
        group_pattern: regular expression searched in the name of a structure; its match (or its first parenthesised
            group, if any) is the group.
        exclude: names of structures to exclude.
        level_of_theory: functional, pseudopotentials, program.
    """

    format: str
    path: Path
    quantity: str
    elements: tuple[str, ...] = ()
    composition: tuple[str, ...] = ()
    other_than: tuple[str, ...] = ()
    group: str | None = None
    group_pattern: str | None = None
    exclude: tuple[str, ...] = ()
    level_of_theory: str = ""

    def __post_init__(self):
        if self.format not in FORMATS:
            raise ConventionError(f"format is {self.format!r}; expected one of {', '.join(FORMATS)}")
        if self.format == "si_nmr" and self.quantity != "shielding":
            raise ConventionError(f"si_nmr holds shieldings, not {self.quantity!r}: set quantity = 'shielding'")
        if self.group is not None and self.format != "extxyz":
            raise ConventionError(f"group is an entry of extxyz frames; for {self.format} give group_pattern instead")

    def read(self) -> TensorData:
        """Read the files and select the requested labels.

        Raises:
            ParseError: a file cannot be read.
            DataError: labels are missing or not finite, nothing is left, or a name or element does not exist.
            ConventionError: a pattern is invalid or does not match a name.
        """
        if self.format == "si_nmr":
            data = read_si_nmr(self.path)
        elif self.format == "magres":
            data = read_magres_folder(self.path, self.quantity)
        else:
            data = read_tensor_file(self.path, self.quantity, group=self.group)
        if self.level_of_theory:
            data = replace(data, level_of_theory=self.level_of_theory)
        names = [s.name for s in data.structures]
        missing = sorted(set(self.exclude) - set(names))
        if missing:
            raise DataError(f"exclude names {', '.join(missing)}, but {data.source} has no such structure")
        keep = [
            k
            for k, s in enumerate(data.structures)
            if s.name not in self.exclude
            and (not self.composition or set(s.elements) <= set(self.composition))
            and not set(s.elements) <= set(self.other_than)
        ]
        if not keep:
            wanted = [f"consists of {', '.join(self.composition)} alone"] if self.composition else []
            wanted += [f"contains anything but {', '.join(self.other_than)}"] if self.other_than else []
            raise DataError(f"no structure of {data.source} {' and '.join(wanted) or 'is left'}")
        data = data.take(keep)
        if self.group_pattern is not None:
            data = replace(data, groups=tuple(_group(self.group_pattern, s.name) for s in data.structures))
        return _labels_of(data, self.elements) if self.elements else data


@dataclass(frozen=True, kw_only=True)
class Split:
    """Division of structures into training, validation and test parts.

    Attributes:
        kind: ``"group"`` keeps groups together; ``"random"`` does not, so that near-duplicates leak from training to test;
            ``"all"`` trains on everything, for a model that was evaluated before.
        fractions: of the three parts, summing to 1.
        seed: seed of the shuffling.
    """

    kind: str = "group"
    fractions: tuple[float, ...] = (0.8, 0.1, 0.1)
    seed: int = 0

    def __post_init__(self):
        if self.kind not in SPLITS:
            raise ConventionError(f"the kind of split is {self.kind!r}; expected one of {', '.join(SPLITS)}")
        if len(self.fractions) != 3 or min(self.fractions) <= 0 or abs(sum(self.fractions) - 1.0) > 1e-6:
            raise ConventionError(
                f"fractions are {list(self.fractions)}; expected three positive numbers that sum to 1 (training, validation, "
                "test), or all = true to train on everything"
            )

    def parts(self, data: TensorData) -> dict[str, np.ndarray]:
        """Return the indices of the structures in each part, ``"train"``, ``"valid"``, ``"test"``, or ``"train"`` alone.

        Raises:
            DataError: there are too few groups or structures for three parts, or one group holds most of the data.
        """
        if self.kind == "all":
            return {"train": np.arange(len(data))}
        by_group = self.kind == "group"
        what, count = ("groups", len(set(data.groups))) if by_group else ("structures", len(data))
        if count < len(PARTS):
            more = "; group or group_pattern decide what is alike, kind = 'random' ignores it" if by_group else ""
            raise DataError(
                f"{count} {what} ({len(data)} structures) leave a part of the split empty; expected at least 3: give more "
                f"data, or all = true to train on everything{more}"
            )
        parts = dict(zip(PARTS, data.split(self.fractions, seed=self.seed, by_group=by_group), strict=True))
        for name, fraction in zip(PARTS, self.fractions, strict=True):
            if len(parts[name]) < _LEAST_SHARE * min(fraction * len(data), len(data) - 2):
                largest = max(set(data.groups), key=data.groups.count)
                raise DataError(
                    f"the {name} part got {len(parts[name])} of {len(data)} structures instead of "
                    f"{fraction * len(data):.0f}, because group {largest!r} holds {data.groups.count(largest)}: divide it "
                    "with group or group_pattern, take another seed, or kind = 'random'"
                )
        return parts


@dataclass(frozen=True)
class LabelReport:
    """Results of the checks of labels.

    Attributes:
        frames: symmetry test of every structure, worst first.
        excluded: names of structures excluded because their tensors are in another frame than their atoms.
        sign: trend that determines the sign; ``None`` if the data do not show one.
    """

    frames: tuple[FrameCheck, ...] = field(repr=False)
    excluded: tuple[str, ...]
    sign: SignCheck | None

    def lines(self) -> list[str]:
        """Describe the results, one sentence per line."""
        tested = [check for check in self.frames if check.pairs]
        out = [f"units: as they should be ({len(self.frames)} structures)"]
        if self.sign is None:
            out.append("sign: these structures show no trend that would tell")
        else:
            out.append(f"sign: {self.sign.trend}: {self.sign.value:+.2f} over {self.sign.sites} sites (+1 is right)")
        out.append(f"frame: {len(tested)} structures have symmetry that tests it, {len(self.excluded)} violate it")
        worst = {check.name: check for check in self.frames}
        for name in self.excluded:
            check = worst[name]
            out.append(
                f"  left out {name}: violation {check.violation:.2f} of the anisotropy, {check.largest:.3g} at most"
            )
        if tested and len(tested) > len(self.excluded):
            kept = max((c.violation for c in tested if c.name not in self.excluded), default=0.0)
            out.append(f"  largest violation of the others: {kept:.3f}")
        return out


def check_labels(
    data: TensorData, *, wrong_frame: str = "exclude", wrong_sign: str = "error"
) -> tuple[TensorData, LabelReport]:
    """Check unit, sign and frame of labels; return the data without structures with wrong frames, and a report.

    Args:
        data: labelled structures.
        wrong_frame: ``"exclude"`` structures with tensors in another frame, or raise an ``"error"``.
        wrong_sign: ``"error"``, or ``"ignore"``.

    Raises:
        DataError: wrong unit or sign, wrong frames (if these are an error), or nothing left.
    """
    check_unit(data)
    sign = check_sign(data)
    if sign is not None and sign.is_wrong and wrong_sign == "error":
        raise DataError(
            f"the labels have the other sign: {sign.trend}: {sign.value:+.2f} over {sign.sites} sites, expected near +1. "
            f"{data.quantity} is expected as {'shielding, not shift' if data.quantity == 'shielding' else 'in magres'}: "
            "multiply by -1, or set wrong_sign = 'ignore' if the trend does not hold for these structures"
        )
    frames = check_frames(data)
    wrong = tuple(check.name for check in frames if check.is_wrong)
    if wrong and wrong_frame == "error":
        raise DataError(
            f"tensors of {', '.join(wrong)} violate the symmetry of their own atoms: they are in another frame. Turn them, or "
            "set wrong_frame = 'exclude'"
        )
    if len(wrong) == len(data):
        raise DataError(f"the tensors of all {len(data)} structures violate the symmetry of their own atoms: turn them")
    return data.without(wrong), LabelReport(frames, wrong, sign)


@dataclass(frozen=True, eq=False)
class Prepared:
    """Data ready for training.

    Attributes:
        data: data that passed the checks.
        labels: results of the checks.
        parts: indices of structures by part.
    """

    data: TensorData
    labels: LabelReport
    parts: Mapping[str, np.ndarray]

    def part(self, name: str) -> TensorData:
        """Return the structures of one part; ``"all"`` for all of them.

        Raises:
            DataError: there is no such part.
        """
        return self.data.take(self.indices(name))

    def indices(self, name: str) -> np.ndarray:
        """Return the indices of the structures of a part; errors as for :meth:`part`."""
        if name == "all":
            return np.arange(len(self.data))
        if name not in self.parts:
            raise DataError(
                f"there is no part {name!r}: the split is {', '.join(self.parts)}; expected one of these or all"
            )
        return self.parts[name]

    def require_elements(self) -> None:
        """Require labels of every labelled element in the training part.

        Raises:
            DataError: an element has none.
        """
        unseen = sorted(set(self.data.labelled_elements) - set(self.part("train").labelled_elements))
        if unseen:
            raise DataError(
                f"no label of {', '.join(unseen)} is in the training part: take another seed of the split, or leave it out "
                "with elements"
            )

    def warnings(self) -> list[str]:
        """List reasons to doubt scores of parts other than training."""
        if "train" not in self.parts:
            return []
        known = set(self.part("train").species)
        out = []
        for name in [part for part in self.parts if part != "train"]:
            part = self.part(name)
            strange = sorted(set(part.species) - known)
            if strange:
                count = sum(bool(set(s.elements) & set(strange)) for s in part.structures)
                out.append(
                    f"{count} {name} structures contain {', '.join(strange)}, which no training structure contains"
                )
        return out


def _group(pattern: str, name: str) -> str:
    try:
        found = re.search(pattern, name)
    except re.error as error:
        raise ConventionError(f"group_pattern {pattern!r} is no regular expression: {error}") from error
    if found is None:
        raise ConventionError(f"group_pattern {pattern!r} finds nothing in the name {name!r}")
    return found[1] if found.re.groups and found[1] is not None else found[0]


def _labels_of(data: TensorData, elements: Sequence[str]) -> TensorData:
    """Keep only labels of some elements; structures without any are dropped."""
    missing = sorted(set(elements) - set(data.labelled_elements))
    if missing:
        raise DataError(
            f"{data.source} has no {data.quantity} labels of {', '.join(missing)}; it has those of "
            f"{', '.join(data.labelled_elements)}"
        )
    structures, groups = [], []
    for k, (structure, group) in enumerate(zip(data.structures, data.groups, strict=True)):
        meant = np.isin(np.array(structure.elements), list(elements))
        if (meant & data.mask(k)).any():
            labels = np.where(meant[:, None, None], data.tensors(k), np.nan)
            structures.append(replace(structure, tensors={**structure.tensors, data.key: labels}))
            groups.append(group)
    return replace(data, structures=tuple(structures), groups=tuple(groups))
