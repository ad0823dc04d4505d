"""The `Crystal`: an asymmetric unit and a space group, as a pytree."""

import re
from collections.abc import Sequence
from typing import Self

import gemmi
import numpy as np
from jaxtyping import Float

from .._arguments import checked
from .._arrays import namespace
from .._struct import Struct, static
from ..errors import ConventionError, ShapeError, SymmetryError
from ..typing import Array, Numbers, Quantity
from ..units import b_to_u
from . import cell as cells
from .doubts import question_b_values, question_displacements, require_plausible_cell
from .expand import Expansion, FullCell, plan_expansion
from .shared import unite_shared_positions
from .sites import HELD_DISTANCE, SNAP_DISTANCE, Site, analyse_site, cell_basis
from .symmetry import UIJ, SpaceGroup, unvoigt

# A CIF cell is rounded to about 1e-4; a larger contradiction means the wrong group.
_CELL_TOLERANCE = 5e-4


class Crystal(Struct):
    """An asymmetric unit with its space group. Immutable; use :meth:`create` to build one.

    Attributes:
        cell: a, b, c in Å, alpha, beta, gamma in degrees.
        xyz: fractional coordinates.
        occupancy: site occupancies (1 for a full special position).
        u_iso: isotropic mean-square displacement in Å²; 0 for anisotropic sites.
        u_aniso: U11 U22 U33 U12 U13 U23 in Å² (CIF convention); 0 for isotropic sites.
        group: the space group.
        species: per site, the element with an optional charge as CIF type symbols write it: ``"Ca2+"``, ``"F1-"``; an
            isotope with its mass number, ``"7Li"``.
        labels: per site, a unique name.
        anisotropic: per site, whether the anisotropic displacement applies.
        name: name of the phase.

    Example:
        >>> quartz.elements
        ('Si', 'O')
        >>> round(float(quartz.volume()), 2)
        113.13
        >>> quartz.group.number
        154
    """

    cell: Float[Array, "6"]
    xyz: Float[Array, "sites 3"]
    occupancy: Float[Array, " sites"]
    u_iso: Float[Array, " sites"]
    u_aniso: Float[Array, "sites 6"]
    group: SpaceGroup = static()
    species: tuple[str, ...] = static()
    labels: tuple[str, ...] = static()
    anisotropic: tuple[bool, ...] = static()
    name: str = static(note=True)

    @classmethod
    @checked
    def create(
        cls,
        *,
        cell: Numbers,
        spacegroup: str | int | SpaceGroup,
        species: Sequence[str],
        xyz: Numbers,
        labels: Sequence[str] | None = None,
        occupancy: Numbers | None = None,
        u_iso: Numbers | None = None,
        u_aniso: Numbers | None = None,
        b_iso: Numbers | None = None,
        name: str = "crystal",
        snap_distance: float | Sequence[float] = SNAP_DISTANCE,
    ) -> Self:
        """Build and check a crystal.

        Args:
            cell: six numbers, Å and degrees; snapped to the metric the space group requires.
            spacegroup: symbol, number or :class:`SpaceGroup`, see :meth:`SpaceGroup.from_name`.
            species: per site, ``"O"``, ``"Ca2+"``, ``"D"``, ``"7Li"`` ...
            xyz: ``(sites, 3)`` fractional; snapped to the special position that they lie on to rounding.
            labels: unique names; made from the species by default.
            occupancy: ``(sites,)``, 1 by default.
            u_iso: ``(sites,)`` Å², or one number; 0.01 by default.
            u_aniso: ``(sites, 6)`` Å² in the order 11 22 33 12 13 23, NaN rows for isotropic sites.
            b_iso: ``(sites,)`` Debye-Waller B in Å² instead of ``u_iso``.
            name: name of the phase.
            snap_distance: operations that move a site by less than this (Å, one number or ``(sites,)``) are taken to
                belong to its site symmetry.

        Raises:
            ShapeError: array lengths that do not match.
            ConventionError: unknown element, bad occupancy, non-finite number, a cell in pm or nm.
            SymmetryError: the cell or a site contradicts the space group, or two sites coincide.
        """
        given = _finite("cell", cell, (6,))
        group = spacegroup if isinstance(spacegroup, SpaceGroup) else SpaceGroup.from_name(spacegroup, given)
        species = tuple(str(s) for s in species)
        n = len(species)
        if n == 0:
            raise ShapeError("a crystal needs at least one site; got none")
        points = _finite("xyz", xyz, (n, 3))
        occupied = _finite("occupancy", np.ones(n) if occupancy is None else occupancy, (n,))
        labels = _unique_labels(species) if labels is None else tuple(str(label) for label in labels)
        if len(labels) != n or len(set(labels)) != n:
            repeated = sorted({label for label in labels if labels.count(label) > 1})
            raise ShapeError(f"{n} sites need {n} unique labels; got {len(labels)}, repeated: {repeated or 'none'}")
        if u_iso is not None and b_iso is not None:
            raise ConventionError("give u_iso or b_iso, not both (B = 8 pi^2 U)")
        if b_iso is not None:
            u_iso = b_to_u(_numbers("b_iso", b_iso))
        iso = _numbers("u_iso", 0.01 if u_iso is None else u_iso)
        iso = _finite("u_iso", np.full(n, iso) if iso.ndim == 0 else iso, (n,))
        aniso = np.full((n, 6), np.nan) if u_aniso is None else _numbers("u_aniso", u_aniso)
        if aniso.shape != (n, 6):
            raise ShapeError(f"u_aniso has shape {aniso.shape}, expected ({n}, 6): U11 U22 U33 U12 U13 U23 per site")
        is_aniso = ~np.isnan(aniso).all(axis=1)
        for k in np.flatnonzero(is_aniso & ~np.isfinite(aniso).all(axis=1)):
            raise ConventionError(f"u_aniso of {labels[k]} is {aniso[k].tolist()}: give six finite numbers, or six NaN")
        species = tuple(_type_symbol(symbol, label) for label, symbol in zip(labels, species, strict=True))
        if (given[:3] <= 0).any() or (given[3:] <= 0).any() or (given[3:] >= 180).any():
            raise ConventionError(
                f"cell {given.tolist()}: lengths must be positive and angles between 0 and 180 degrees"
            )
        if not np.linalg.det(cells.metric(given)) > 1e-6:
            raise ConventionError(f"cell {given.tolist()} has no volume: these three angles cannot meet in a corner")
        for label, value in zip(labels, occupied, strict=True):
            if not 0.0 <= value <= 1.0 + 1e-6:
                hint = (
                    ""
                    if value < 1.5
                    else ": per cent, a number of atoms, or SHELX's 10 + occupancy? Give 1 for a full site"
                )
                raise ConventionError(f"occupancy of {label} is {value:g}, expected between 0 and 1{hint}")
        if np.shape(snap_distance) not in ((), (n,)) or not np.min(snap_distance) >= 0.0:
            raise ConventionError(
                f"snap_distance is {snap_distance}; expected a length in Å from 0 on, or one for each of {n} sites"
            )
        snapped = _snap_cell(group, given)
        require_plausible_cell(snapped, group, points, occupied)
        g = cells.metric(snapped)
        sites = [
            analyse_site(group, g, x, snap, label, occ)
            for x, snap, label, occ in zip(points, np.broadcast_to(snap_distance, (n,)), labels, occupied, strict=True)
        ]
        points = np.stack([site.xyz for site in sites])
        aniso = np.where(is_aniso[:, None], aniso, 0.0)
        g_star = np.linalg.inv(g)
        for k in np.flatnonzero(is_aniso):
            aniso[k] = _symmetric_displacement(sites[k].uij_projector(g_star), aniso[k], labels[k])
        points, aniso = unite_shared_positions(group, g, points, aniso, occupied, labels)
        u_equivalent = np.where(is_aniso, aniso[:, :3].mean(axis=1), iso)
        question_displacements(str(name), u_equivalent, labels)
        if b_iso is not None:
            question_b_values(str(name), np.where(is_aniso, np.nan, iso), labels)
        return cls(
            cell=snapped,
            xyz=points,
            occupancy=occupied,
            u_iso=np.where(is_aniso, 0.0, iso),
            u_aniso=aniso,
            group=group,
            species=species,
            labels=labels,
            anisotropic=tuple(bool(a) for a in is_aniso),
            name=str(name),
        )

    def __repr__(self) -> str:
        return f"Crystal({self.name!r}, {self.group.name}, {self.n_sites} sites: {' '.join(self.labels)})"

    @property
    def n_sites(self) -> int:
        """Number of sites in the asymmetric unit."""
        return len(self.species)

    @property
    def elements(self) -> tuple[str, ...]:
        """Element symbol per site, without charges."""
        return tuple(element_of(s)[0] for s in self.species)

    def expand(self, plan: Expansion | None = None) -> FullCell:
        """Generate all atoms of the conventional cell; see :func:`plan_expansion`.

        Args:
            plan: a precomputed ``plan_expansion(crystal)``, which makes the call traceable; computed here if
                not given, which needs concrete coordinates.
        """
        return (plan_expansion(self) if plan is None else plan).cell_of(self)

    def sites(self) -> tuple[Site, ...]:
        """Return the site symmetry of every site (host).

        Positions were snapped when the crystal was created, so only operations that fix a site exactly count here: a
        site that a refinement moves near a special position keeps its multiplicity.
        """
        g = cells.metric(np.asarray(self.cell, dtype=float))
        return tuple(
            analyse_site(self.group, g, x, HELD_DISTANCE, label, occupancy=None)
            for x, label in zip(np.asarray(self.xyz, dtype=float), self.labels, strict=True)
        )

    def volume(self) -> Float[Array, ""] | np.floating:
        """Return the cell volume in Å³."""
        return cells.volume(self.cell)

    def lattice(self) -> Float[Array, "3 3"]:
        """Return the lattice vectors as rows, in Å."""
        return cells.lattice(self.cell)

    def cell_mass(self) -> float:
        """Return the mass of the atoms of one unit cell in g/mol, weighted by occupancy (host)."""
        return float(np.sum(self.full_masses() * np.asarray(self.occupancy, dtype=float)))

    def full_masses(self) -> Float[np.ndarray, " sites"]:
        """Return, per site, the mass of all its positions in the cell in g/mol at full occupancy (host)."""
        weight = np.array([mass_number_of(s) or gemmi.Element(element_of(s)[0]).weight for s in self.species])
        return weight * np.array([site.multiplicity for site in self.sites()], dtype=float)

    def u_tensors(self) -> Float[Array, "sites 6"]:
        """Return the displacement of every site as ``U_ij`` (CIF convention) in Å².

        An isotropic U becomes ``U cos(angle*)``: ``U_ij = U g*_ij / (a*_i a*_j)``.
        """
        xp = namespace(self.cell, self.u_iso, self.u_aniso)
        g_star = cells.reciprocal_metric(xp.asarray(self.cell))
        length = xp.sqrt(xp.diag(g_star))
        cosines = xp.stack([g_star[i, j] / (length[i] * length[j]) for i, j in UIJ])
        return self.u_aniso + xp.asarray(self.u_iso)[:, None] * cosines

    def u_equivalent(self) -> Float[Array, " sites"]:
        """Return the equivalent isotropic displacements, a third of the trace of the Cartesian tensor, in Å²."""
        xp = namespace(self.cell, self.u_iso, self.u_aniso)
        length = xp.sqrt(xp.diag(cells.reciprocal_metric(xp.asarray(self.cell))))
        g = cells.metric(xp.asarray(self.cell))
        weights = xp.stack([length[i] * length[j] * g[i, j] * (1.0 if i == j else 2.0) for i, j in UIJ])
        return self.u_tensors() @ weights / 3.0

    def nonpositive_displacements(self) -> tuple[str, ...]:
        """Return the labels of sites whose displacement tensor has a non-positive principal value (host)."""
        lattice = cells.lattice(np.asarray(self.cell, dtype=float))
        length = np.sqrt(np.diag(np.linalg.inv(lattice @ lattice.T)))
        u = unvoigt(np.asarray(self.u_tensors(), dtype=float))
        # U_cart = Aᵀ N U N A with N = diag(a*): the mean-square displacement along Cartesian axes
        cart = np.einsum("ia,i,sij,j,jb->sab", lattice, length, u, length, lattice)
        return tuple(label for label, m in zip(self.labels, cart, strict=True) if np.linalg.eigvalsh(m)[0] <= 0.0)

    def quantities(self) -> dict[str, Quantity]:
        """Return the refinable quantities, with the directions left free by symmetry (host)."""
        sites = self.sites()
        g_star = np.linalg.inv(cells.metric(np.asarray(self.cell, dtype=float)))
        iso = ~np.array(self.anisotropic)
        n = self.n_sites
        u_blocks = [
            s.uij_basis(g_star) if a else np.zeros((6, 0)) for s, a in zip(sites, self.anisotropic, strict=True)
        ]
        axes = ("a", "b", "c", "alpha", "beta", "gamma")
        uij = tuple(f"U{i + 1}{j + 1}" for i, j in UIJ)
        return {
            "cell": Quantity(
                value=np.asarray(self.cell, dtype=float), unit=("Å", "Å", "Å", "°", "°", "°"), labels=axes, scale=0.01,
                basis=cell_basis(self.group, np.asarray(self.cell, dtype=float)), doc="unit cell",
            ),
            "xyz": Quantity(
                value=np.asarray(self.xyz, dtype=float),
                labels=tuple(f"{label}.{axis}" for label in self.labels for axis in "xyz"),
                scale=0.01, basis=block_diagonal([s.xyz_basis() for s in sites]), doc="fractional coordinates",
            ),
            "u_iso": Quantity(
                value=np.asarray(self.u_iso, dtype=float), unit="Å²", labels=self.labels, scale=0.01,
                basis=np.eye(n)[:, iso], instead="u_aniso", doc="isotropic displacement",
            ),
            "u_aniso": Quantity(
                value=np.asarray(self.u_aniso, dtype=float), unit="Å²",
                labels=tuple(f"{label}.{u}" for label in self.labels for u in uij),
                scale=0.01, basis=block_diagonal(u_blocks), instead="u_iso", doc="anisotropic displacement",
            ),
            "occupancy": Quantity(
                value=np.asarray(self.occupancy, dtype=float), labels=self.labels, lower=0.0, upper=1.0, scale=0.1,
                doc="site occupancy",
            ),
        }  # fmt: skip


def element_of(symbol: str, label: str = "") -> tuple[str, int]:
    """Return element and charge of a type symbol: ``("Ca", 2)`` for ``"Ca2+"`` or ``"Ca+2"``, ``("O", 0)`` for ``"O"``.

    A mass number may precede it (``"7Li"``, ``"62Ni2+"``; ``"2H"`` is ``"D"``) or follow it (``"Li-7"``), see
    :func:`mass_number_of`.

    Raises:
        ConventionError: no such element or isotope.
    """
    match = _matched(symbol)
    letters = match[2].capitalize() if match else ""
    if match is None or gemmi.Element(letters).atomic_number == 0:
        raise ConventionError(
            f"{symbol!r}{f' at site {label}' if label else ''} is no element; write 'O', 'D', '7Li', 'Ca2+' or 'F1-'"
        )
    if match[1] and not _is_isotope(letters, int(match[1])):
        raise ConventionError(f"{symbol!r}{f' at site {label}' if label else ''}: {letters} has no isotope {match[1]}")
    charge = {"-": -1, "+": 1, None: 0}[match[4] or match[5]] * int(match[3] or match[6] or 1)
    if charge < -4:
        raise ConventionError(f"{symbol!r}{f' at site {label}' if label else ''}: no ion has the charge {charge}")
    return "D" if (letters, match[1]) == ("H", "2") else letters, charge


def mass_number_of(symbol: str) -> int | None:
    """Return the mass number of a type symbol, 7 for ``"7Li"``; ``None`` for natural abundance and for ``"D"``."""
    match = _matched(symbol)
    return int(match[1]) if match and match[1] and element_of(symbol)[0] != "D" else None


# mass number, element, charge as 2+ or +2
_SYMBOL = re.compile(r"(\d{1,3})?([A-Za-z]{1,2}) ?(?:(\d?)([+-])|([+-])(\d)|0\+?)?")


def _matched(symbol: str) -> re.Match[str] | None:
    """Split a type symbol; ``Li-7`` and ``Ni-62`` are isotopes, since no anion has more than four charges."""
    return _SYMBOL.fullmatch(re.sub(r"([A-Za-z]{1,2}) ?-(\d{2,3}|[5-9])", r"\2\1", symbol.strip()))


def _is_isotope(element: str, mass_number: int) -> bool:
    """Return whether the isotope is possible: known isotopes lie within a quarter of the mean mass."""
    return mass_number in (1, 2, 3) if element == "H" else abs(mass_number / gemmi.Element(element).weight - 1.0) < 0.26


def _type_symbol(symbol: str, label: str) -> str:
    """Return the canonical spelling of an element with its charge: ``"Ca2+"`` for ``"CA+2"``."""
    element, charge = element_of(symbol, label)
    isotope = f"{mass_number_of(symbol) or ''}{element}"
    return f"{isotope}{abs(charge)}{'-' if charge < 0 else '+'}" if charge else isotope


def block_diagonal(blocks: Sequence[Float[np.ndarray, "_ _"]]) -> Float[np.ndarray, "_ _"]:
    """Assemble a block-diagonal matrix from rectangular blocks (a block without columns only adds rows)."""
    out = np.zeros((sum(b.shape[0] for b in blocks), sum(b.shape[1] for b in blocks)))
    row = column = 0
    for block in blocks:
        out[row : row + block.shape[0], column : column + block.shape[1]] = block
        row, column = row + block.shape[0], column + block.shape[1]
    return out


def _numbers(name: str, value: Numbers) -> np.ndarray:
    try:
        return np.array(value, dtype=float)
    except (TypeError, ValueError) as err:
        raise ShapeError(f"{name} is no array of numbers: {err}") from err


def _finite(name: str, value: Numbers, shape: tuple[int, ...]) -> np.ndarray:
    array = _numbers(name, value)
    if array.shape != shape:
        raise ShapeError(f"{name} has shape {array.shape}, expected {shape}")
    if not np.isfinite(array).all():
        raise ConventionError(f"{name} has non-finite entries at {np.argwhere(~np.isfinite(array)).tolist()[:5]}")
    return array


def _unique_labels(species: tuple[str, ...]) -> tuple[str, ...]:
    counts: dict[str, int] = {}
    labels = []
    for symbol in species:
        element = element_of(symbol)[0]
        counts[element] = counts.get(element, 0) + 1
        labels.append(f"{element}{counts[element]}")
    return tuple(labels)


def _symmetric_displacement(
    projector: Float[np.ndarray, "6 6"], u: Float[np.ndarray, "6"], label: str
) -> Float[np.ndarray, "6"]:
    """Return the nearest ``U_ij`` allowed by the site symmetry; raise if it is not close."""
    allowed = projector @ u
    if np.abs(allowed - u).max() > 0.002 + 0.25 * np.abs(u).max():
        raise SymmetryError(
            f"u_aniso of {label} is {u.tolist()}, its site symmetry requires {np.round(allowed, 5).tolist()}: "
            "expected the order U11 U22 U33 U12 U13 U23, in the axes of the cell"
        )
    return allowed


def _snap_cell(group: SpaceGroup, cell: Float[np.ndarray, "6"]) -> Float[np.ndarray, "6"]:
    """Return the nearest cell allowed by the group; raise if it is not close."""
    allowed = cells.cell_from_metric(group.metric_projector(cells.metric(cell)))
    off = np.abs(allowed - cell) / np.array([*cell[:3], 90.0, 90.0, 90.0])
    if off.max() > _CELL_TOLERANCE:
        raise SymmetryError(
            f"cell {np.round(cell, 5).tolist()} contradicts {group.name}, which requires "
            f"{np.round(allowed, 5).tolist()}: wrong space group, setting or axis order"
        )
    return np.round(allowed, 12)
