"""Extinction symbols of a lattice: space groups of its system, in all axis settings, by forbidden reflections (host).

Settings are those tabulated by gemmi (International Tables A): permuted axes of orthorhombic cells, unique axes and
cell choices of monoclinic ones. A powder shows one intensity for all reflections equivalent under the lattice: it is
seen as absent only if all of these are forbidden.
"""

from dataclasses import dataclass
from functools import lru_cache

import gemmi
import numpy as np
from jaxtyping import Bool, Float, Int

from ...crystal import SpaceGroup
from ...diffraction.reflections import laue_rotations
from ...errors import SymmetryError
from .starts import fits_metric

# glide planes and screw axes show below these indices already, including 6-fold screws and d glides
_LARGEST = 6
_SYSTEMS = {
    "triclinic": ("triclinic",), "monoclinic": ("monoclinic",), "orthorhombic": ("orthorhombic",), "tetragonal": ("tetragonal",),
    "trigonal": ("trigonal",), "hexagonal": ("trigonal", "hexagonal"), "cubic": ("cubic",),
}  # fmt: skip


@dataclass(frozen=True)
class ExtinctionClass:
    """Space groups, in the given axes, that forbid the same reflections.

    Attributes:
        symbol: extinction symbol such as ``"P n - a"``: for every direction the detectable screw axes and glide planes.
        groups: groups with this symbol, the highest Laue class first.
        absent: forbidden reflections of hkl within ±6 (a fixed list); for comparisons only.
    """

    symbol: str
    groups: tuple[SpaceGroup, ...]
    absent: bytes

    @property
    def laue(self) -> tuple[str, ...]:
        """Laue class of every group."""
        return tuple(gemmi.find_spacegroup_by_ops(g.gemmi_ops).laue_str() for g in self.groups)


def forbidden(group: SpaceGroup, hkl: Int[np.ndarray, "n 3"], lattice: SpaceGroup) -> Bool[np.ndarray, " n"]:
    """Return the reflections that vanish in a powder, because all equivalents under the lattice are forbidden."""
    return _forbidden(*_own(group), hkl, lattice)


def _forbidden(
    rotations: Int[np.ndarray, "k 3 3"],
    translations: Float[np.ndarray, "k 3"],
    hkl: Int[np.ndarray, "n 3"],
    lattice: SpaceGroup,
) -> Bool[np.ndarray, " n"]:
    out = np.ones(len(hkl), dtype=bool)
    for image in _images(lattice):
        h = hkl @ image
        same = (np.einsum("ni,kij->knj", h, rotations) == h).all(axis=2)
        shift = translations @ h.T
        out &= (same & (np.abs(shift - np.round(shift)) > 1e-6)).any(axis=0)
    return out


def _own(group: SpaceGroup) -> tuple[Int[np.ndarray, "k 3 3"], Float[np.ndarray, "k 3"]]:
    """Return operations without the centring, whose extinctions are common to all groups of a lattice."""
    ops = group.gemmi_ops.sym_ops
    den = gemmi.Op.DEN
    return np.array([op.rot for op in ops]) // den, np.array([op.tran for op in ops]) / den


def _images(lattice: SpaceGroup) -> Int[np.ndarray, "k 3 3"]:
    return laue_rotations(lattice)


def _centred(group: SpaceGroup, hkl: Int[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
    """Return which reflections the centring allows."""
    shift = hkl @ group.centring.T
    return (np.abs(shift - np.round(shift)) < 1e-6).all(axis=1)


def _standard(lattice: SpaceGroup) -> Int[np.ndarray, "n 3"]:
    """Return the reflections that can reveal glide planes and screw axes, one per set equivalent under the lattice."""
    axis = np.arange(-_LARGEST, _LARGEST + 1)
    hkl = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    hkl = hkl[np.any(hkl != 0, axis=1) & _centred(lattice, hkl)]
    images = np.einsum("ni,kij->kni", hkl, _images(lattice))
    key = np.array([400, 20, 1])
    values = images @ key
    hkl = hkl[(hkl @ key) == values.max(axis=0)]
    special = (np.einsum("ni,kij->kni", hkl, _images(lattice)) == hkl).all(axis=2).sum(axis=0) > 1
    return hkl[special]


def classes_of(lattice: SpaceGroup, cell: Float[np.ndarray, "6"]) -> tuple[ExtinctionClass, ...]:
    """List all extinction symbols of a lattice in its axes, the one without extinctions first.

    Args:
        lattice: group of highest symmetry without extinctions other than the centring.
        cell: ``(6,)`` Å and degrees.

    Raises:
        SymmetryError: the operations of the group are not in the tables.
    """
    return _classes(lattice, tuple(round(float(v), 6) for v in cell))


@lru_cache(maxsize=32)
def _classes(lattice: SpaceGroup, cell: tuple[float, ...]) -> tuple[ExtinctionClass, ...]:
    known = gemmi.find_spacegroup_by_ops(lattice.gemmi_ops)
    if known is None:
        raise SymmetryError(
            f"{lattice.name} is in no table of space groups; extinction symbols need a setting of International Tables A"
        )
    systems = _SYSTEMS[known.crystal_system_str()]
    centring = {tuple(np.round(v, 6)) for v in lattice.centring}
    hkl = _standard(lattice)
    found: dict[bytes, list[SpaceGroup]] = {}
    seen: set[tuple[int, bytes, bytes]] = set()
    for setting in gemmi.spacegroup_table():
        if setting.crystal_system_str() not in systems or setting.ext == "1":
            continue
        group = SpaceGroup(setting.xhm(), setting.operations())
        if {tuple(np.round(v, 6)) for v in group.centring} != centring or not fits_metric(group, np.array(cell)):
            continue
        absent = np.packbits(forbidden(group, hkl, lattice)).tobytes()
        # the same group again in the same axes, with another origin
        key = setting.number, np.unique(group.rotations.reshape(-1, 9), axis=0).tobytes(), absent
        if key in seen:
            continue
        seen.add(key)
        found.setdefault(absent, []).append(group)
    out = []
    for absent, groups in found.items():
        ordered = sorted(groups, key=lambda g: (-len(laue_rotations(g)), -g.order, g.number or 0))
        out.append(ExtinctionClass(extinction_symbol(ordered[0], lattice), tuple(ordered), absent))
    return tuple(sorted(out, key=lambda c: (sum(map(int.bit_count, c.absent)), c.symbol)))


def extinction_symbol(group: SpaceGroup, lattice: SpaceGroup) -> str:
    """Return the lattice letter and, for every direction of a group's symbol, its elements that forbid reflections.

    A screw axis is named only if no glide plane forbids its reflections already. Source of the convention:
    International Tables A (2016), section 1.6.4.
    """
    known = gemmi.find_spacegroup_by_ops(group.gemmi_ops)
    letter, *parts = known.hm.split()
    system = known.crystal_system_str()
    if system == "triclinic":
        return f"{letter} -"
    if system == "monoclinic" and len(parts) == 1:
        parts = ["1", parts[0], "1"]
    parts = (parts + ["-"] * 3)[:3] if letter != "R" else (parts + ["-"] * 2)[:2]
    return " ".join([letter, *(_shown(part, k, system, group, lattice) for k, part in enumerate(parts))])


def _shown(part: str, place: int, system: str, group: SpaceGroup, lattice: SpaceGroup) -> str:
    """Return the detectable part of a symbol: ``"21"`` of ``"21/m"``, ``"-"`` of ``"m"``; monoclinic ``"1"`` stay."""
    if part == "1":
        return "1" if system == "monoclinic" else "-"
    axis, _, plane = part.partition("/")
    if not plane and axis[0] in "abcdemn":
        axis, plane = "", axis
    screw = ""
    if len(axis) == 2 and axis[1].isdigit():
        along = np.zeros((_LARGEST * 4, 3), dtype=int)
        along[:, place if system in ("monoclinic", "orthorhombic") else 2 - 2 * min(place, 1)] = 1 + np.arange(
            _LARGEST * 4
        )
        rotations, translations = _own(group)
        # reflections are operations that leave a plane fixed
        planes = np.trace(rotations, axis1=1, axis2=2) == 1
        planes &= np.round(np.linalg.det(rotations)) < 0
        by_planes = _forbidden(rotations[planes], translations[planes], along, lattice)
        whole = _forbidden(rotations, translations, along, lattice)
        # of enantiomorphs the one with the smaller number represents both
        screw = "" if np.array_equal(by_planes, whole) else axis[0] + min(axis[1], str(int(axis[0]) - int(axis[1])))
    return "/".join(p for p in (screw, "" if plane == "m" else plane) if p) or "-"
