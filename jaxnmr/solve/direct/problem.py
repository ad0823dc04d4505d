"""Conversion of intensities and Wyckoff assignments to the padded arrays of the kernel (host)."""

from dataclasses import dataclass

import gemmi
import numpy as np
from jaxtyping import Bool, Float, Int

from ...crystal import lattice
from ...crystal.cell import reciprocal_metric
from ...diffraction.scattering import scattering_factors
from ..epsilon import epsilon_factors
from ..records import Intensities
from .kernel import Measured, Model
from .wyckoff import Positions, inversion_in_origin

# sizes that programs are compiled for: atoms, sites, parameters, reflections, groups of reflections
ATOMS = (8, 16, 24, 48, 96, 192)
SITES = (4, 8, 16, 32, 64)
NUMBERS = (8, 20, 36, 72, 144)
REFLECTIONS = (64, 128, 192, 256, 384)
ELEMENTS = (4, 8)
# Å², initial displacement of atoms
EXPECTED_B = 0.7
NONMETALS = frozenset("C N O F P S Cl As Se Br Te I".split())
# relative uncertainty of an area beyond the accuracy of models
_FLOOR = 0.03

# for each element the indices of the Wyckoff positions of its sites
Assignment = tuple[tuple[int, ...], ...]


def bucket(size: int, sizes: tuple[int, ...]) -> int:
    """Return the smallest sufficient size, or a multiple of the largest."""
    return next((s for s in sizes if size <= s), -(-size // sizes[-1]) * sizes[-1])


@dataclass(frozen=True)
class Problem:
    """Intensities of a powder, and the contents of its cell.

    Attributes:
        intensities: measured intensities.
        positions: Wyckoff positions of the group.
        elements: elements in the order of the assignments.
        measured: arrays of the kernel.
        centric: whether structure factors are real.
        scale: divisor of the areas.
        used: ``(groups,)`` whether groups of reflections are compared.
        noise: R that the uncertainties of the areas explain.
    """

    intensities: Intensities
    positions: Positions
    elements: tuple[str, ...]
    measured: Measured
    centric: bool
    scale: float
    used: Bool[np.ndarray, " groups"]
    noise: float

    @property
    def count(self) -> int:
        """Number of groups of reflections compared."""
        return int(self.used.sum())

    def model(
        self, assignment: Assignment, contents: Float[np.ndarray, " elements"] | None = None
    ) -> tuple[Model, int, int]:
        """Return unpadded arrays of an assignment, and its numbers of parameters and sites.

        Args:
            assignment: positions of the elements.
            contents: atoms of each element in the conventional cell, for an incomplete assignment.
        """
        g = np.asarray(lattice(np.asarray(self.intensities.cell, dtype=float)))
        matrices, offsets, elements, copies, first, share = [], [], [], [], [], []
        total = sum(self.positions[k].dof for sites in assignment for k in sites)
        column = atoms = 0
        for element, sites in enumerate(assignment):
            for k in sites:
                site = self.positions[k]
                block = np.zeros((len(site.reduced), 3, total + 1))
                unit = site.matrices[site.reduced] / np.linalg.norm(site.matrices[0].T @ g, axis=1)
                block[:, :, column : column + site.dof] = unit
                matrices.append(block)
                offsets.append(site.shifts[site.reduced])
                elements.append(np.full(len(site.reduced), element))
                copies.append(site.weight)
                first.append(atoms)
                share.append(site.multiplicity)
                column, atoms = column + site.dof, atoms + len(site.reduced)
        fractions = np.array(share, dtype=float) / sum(share)
        absent = np.zeros(self.measured.form.shape[1])
        if contents is not None:
            there = [sum(self.positions[k].multiplicity for k in sites) for sites in assignment]
            absent[: len(there)] = (contents - np.array(there)) / len(self.positions.group.centring)
        model = Model(
            np.concatenate(matrices), np.concatenate(offsets), np.concatenate(elements), np.concatenate(copies), np.array(first), fractions,
            absent,
        )  # fmt: skip
        return model, total, len(first)

    def periods(self, assignment: Assignment) -> Float[np.ndarray, " dof"]:
        """Return the period of each coordinate, Å."""
        g = np.asarray(lattice(np.asarray(self.intensities.cell, dtype=float)))
        rows = [np.linalg.norm(self.positions[k].matrices[0].T @ g, axis=1) for sites in assignment for k in sites]
        return np.concatenate([*rows, np.zeros(0)])


def padded(model: Model, atoms: int, sites: int, numbers: int, dtype: type = np.float32) -> Model:
    """Pad a model to these numbers of atoms, sites and parameters (the displacement stays the last)."""
    n, _, p = model.matrix.shape
    more, s = atoms - n, sites - len(model.first)
    matrix: np.ndarray = np.zeros((atoms, 3, numbers + 1), dtype=dtype)
    matrix[:n, :, : p - 1] = model.matrix[:, :, :-1]
    return Model(
        matrix,
        np.pad(model.offset, ((0, more), (0, 0))).astype(dtype),
        np.pad(model.element, (0, more)).astype(np.int32),
        np.pad(model.copies, (0, more)).astype(dtype),
        np.pad(model.first, (0, s)).astype(np.int32),
        np.pad(model.share, (0, s)).astype(dtype),
        model.absent.astype(dtype),
    )


def make_problem(
    intensities: Intensities, positions: Positions, elements: tuple[str, ...], dtype: type = np.float32
) -> Problem:
    """Make the arrays of the kernel from intensities; of more than 384 reflections those of the longest d."""
    count = np.bincount(intensities.members, minlength=len(intensities.area))
    # complete groups, as long as there is room
    order = np.argsort(np.array([intensities.two_theta[intensities.members == g].min() for g in range(len(count))]))
    fits = np.cumsum(count[order]) <= max(REFLECTIONS[-1], count[order[0]])
    used = np.zeros(len(count), dtype=bool)
    used[order[fits]] = True
    area, sigma = intensities.area[used], intensities.sigma[used]
    chosen = used[intensities.members]
    place = np.cumsum(used) - 1
    member = place[intensities.members[chosen]]
    rows = np.flatnonzero(chosen)[np.argsort(member, kind="stable")]
    scale = float(area.max())
    area, sigma = area / scale, sigma / scale
    measured = _measured(intensities, elements, rows, np.sort(member), area, sigma, dtype)
    root = np.sqrt(np.maximum(area, 0.0))
    noise = float(np.sqrt(np.sum(uncertainty_of_root(root, sigma) ** 2) / np.sum(root**2)))
    return Problem(
        intensities, positions, elements, measured, inversion_in_origin(intensities.group), scale, used, noise
    )


def _measured(
    intensities: Intensities, elements: tuple[str, ...], rows: Int[np.ndarray, " n"], member: Int[np.ndarray, " n"],
    area: Float[np.ndarray, " groups"], sigma: Float[np.ndarray, " groups"], dtype: type,
) -> Measured:  # fmt: skip
    hkl = intensities.hkl[rows]
    s_sq = np.einsum("ni,ij,nj->n", hkl, reciprocal_metric(np.asarray(intensities.cell, dtype=float)), hkl) / 4.0
    instrument = intensities.instrument
    factors = scattering_factors(elements, instrument.radiation, instrument.wavelengths[0])
    damping = np.exp(-EXPECTED_B * s_sq)
    waves = np.exp(-factors.b[None] * s_sq[:, None, None])
    form = ((factors.a * waves).sum(axis=-1) + factors.c + factors.f1) * damping[:, None]
    size = np.abs(form).max()
    root = np.sqrt(np.maximum(area, 0.0))
    weight = intensities.weight[rows] / intensities.weight[rows].max()
    h, g = bucket(len(hkl), REFLECTIONS), bucket(len(area) + 1, REFLECTIONS)
    group = intensities.group
    signs = (1.0, -1.0) if inversion_in_origin(group) else (1.0,)
    images = [(sign, shift) for sign in signs for shift in group.centring]
    pad = lambda array, n, axis=0: np.pad(
        array, [(0, n - array.shape[axis] if k == axis else 0) for k in range(array.ndim)]
    )
    e = bucket(len(elements), ELEMENTS)
    fields = Measured(
        hkl=pad(hkl.astype(float), h), form=pad(pad(form / size, h), e, 1), dispersion=pad(factors.f2 / size, e), damping=pad(damping, h),
        s_sq=pad(s_sq, h), weight=pad(weight, h), member=np.pad(member, (0, h - len(member)), constant_values=g - 1),
        root=pad(root, g), trust=pad(trust(root, sigma), g), lattice=np.asarray(lattice(np.asarray(intensities.cell, dtype=float))),
        shortest=pad(pad(shortest_distances(elements), e), e, 1),
        sign=np.array([sign for sign, _ in images]), shift=np.array([shift for _, shift in images]),
        special=pad(epsilon_factors(group, hkl).epsilon / len(group.centring), h),
    )  # fmt: skip
    return Measured(*(np.asarray(a, dtype=dtype if a.dtype.kind == "f" else np.int32) for a in fields))


def uncertainty_of_root(root: Float[np.ndarray, " n"], sigma: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return standard uncertainties of square roots of areas, also of those below their own uncertainty."""
    return sigma / (2.0 * np.maximum(root, np.sqrt(np.maximum(sigma, 1e-12))))


def trust(root: Float[np.ndarray, " n"], sigma: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return roots of the weights of square roots of areas: equal, but less for areas less certain than the others."""
    uncertainty = uncertainty_of_root(root, sigma)
    typical = np.maximum(np.median(uncertainty), _FLOOR * np.sqrt(np.mean(root**2)))
    return 1.0 / np.sqrt(1.0 + (uncertainty / (2.0 * typical)) ** 2)


def shortest_distances(elements: tuple[str, ...]) -> Float[np.ndarray, "E E"]:
    """Return distances in Å below which atoms overlap: fractions of sums of covalent radii (those of gemmi)."""
    found = np.zeros((len(elements), len(elements)))
    for i, one in enumerate(elements):
        for j, other in enumerate(elements):
            a, b = gemmi.Element(one).covalent_r, gemmi.Element(other).covalent_r
            kinds = (one in NONMETALS) + (other in NONMETALS)
            if {one, other} <= {"O", "F"}:
                distance = 2.1
            elif kinds == 1 or "C" in (one, other):
                distance = 0.8 * (a + b)
            elif kinds == 2:
                distance = 0.75 * (a + b)
            else:
                distance = 2.2 if max(a, b) > 1.0 else 1.3
            found[i, j] = distance
    return found
