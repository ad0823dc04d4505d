"""Training data of a prior: crystals in a standard pose, their powder lines, fractions of their elements (host)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ...crystal import element_of
from ...errors import ConventionError, ParameterError
from ..shapes import electrons_of
from .waves import Sample, WaveSet

# coordinates closer than this to 0 or 1/2 are special
_SPECIAL = 1e-2
RELATIVE_NOISE, FLOOR = 0.03, 0.002
_ANIONS = frozenset("H N O F P S Cl Se Br Te I".split())


class LineNoise(NamedTuple):
    """Noise of a line: ``sigma² = (relative · area)² + (floor · largest area)²``."""

    relative: float = RELATIVE_NOISE
    floor: float = FLOOR

    def sigma(self, areas: Float[np.ndarray, "*n lines"]) -> Float[np.ndarray, "*n lines"]:
        """Return the standard deviations."""
        least = self.floor * areas.max(axis=-1, keepdims=True)
        return np.sqrt((self.relative * areas) ** 2 + least**2)

    def applied(self, areas: Float[np.ndarray, "*n lines"], rng: np.random.Generator) -> Float[np.ndarray, "*n lines"]:
        """Return areas with noise, none of them negative."""
        return np.maximum(areas + self.sigma(areas) * rng.normal(size=areas.shape), 0.0)


class LineSet(NamedTuple):
    """Lines of cubic cells: reflections of one ``h² + k² + l²`` are one line.

    Attributes:
        squares: ``h² + k² + l²`` of the lines, increasing.
        largest: largest of the squares.
    """

    squares: np.ndarray
    largest: int

    @classmethod
    def within(cls, largest: int) -> "LineSet":
        """List all lines with ``0 < h² + k² + l² <= largest``."""
        found = np.unique(WaveSet.within(largest).squares)
        return cls(found[found > 0], largest)

    def rows(self, waves: WaveSet) -> tuple[np.ndarray, np.ndarray]:
        """Return the waves that belong to a line, and the indices of their lines."""
        inside = np.flatnonzero((waves.squares > 0) & (waves.squares <= self.largest))
        return inside, np.searchsorted(self.squares, waves.squares[inside])

    def areas(self, vectors: Float[np.ndarray, "*n 2m"], waves: WaveSet) -> Float[np.ndarray, "*n lines"]:
        """Return ``sum of |F/V|²`` of every line, e²/Å⁶."""
        inside, line = self.rows(waves)
        squares = vectors[..., inside] ** 2 + vectors[..., inside + len(waves.hkl)] ** 2
        summing = np.zeros((len(inside), len(self.squares)))
        summing[np.arange(len(inside)), line] = 1.0
        return squares @ summing


def perovskite_pose(sample: Sample) -> Sample:
    """Return the standard pose of a perovskite ABX3 displaced along a, among poses that a powder cannot distinguish.

    Columns of atoms along a are at y, z = 0 or 1/2. That of two atoms is moved to (1/2, 1/2), the heavier of the
    adjacent ones to (1/2, 0). Along a the valence electrons are centred on multiples of 1/2, the single atom opposite
    the pair is near 0, and X is displaced upwards relative to A and B. Sites have one order: the single atom, those
    beside the pair from (0, 1/2) on, X and B of the pair.

    Raises:
        ParameterError: the crystal is not of this type.
    """
    xyz, electrons = np.asarray(sample.xyz, dtype=float), np.array([electrons_of(e) for e in sample.elements])
    column = np.round(2.0 * xyz[:, 1:]).astype(int)
    if len(xyz) != 5 or np.abs(xyz[:, 1:] - column / 2.0).max() > _SPECIAL:
        raise ParameterError(
            f"{' '.join(sample.elements)} is no perovskite that moves along a only: expected five atoms with y and z of 0 or 1/2"
        )
    column %= 2
    numbers = column @ [2, 1]
    counts = np.bincount(numbers, minlength=4)
    if sorted(counts) != [1, 1, 1, 2]:
        raise ParameterError(
            f"{' '.join(sample.elements)} has columns of {counts.tolist()} atoms; expected 1, 1, 1 and 2"
        )
    pair = int(counts.argmax())
    # to (1/2, 1/2): then 3 is the pair, 0 the atom opposite, 1 and 2 adjacent
    column = (column + np.array([1 - pair // 2, 1 - pair % 2])) % 2
    numbers = column @ [2, 1]
    across, two, one = (int(np.flatnonzero(numbers == k)[0]) for k in (0, 2, 1))
    first = [across, *np.delete(np.arange(5), across)]
    x = np.empty(5)
    x[first] = centred(xyz[first], electrons[first])[:, 0]
    moved = x - np.round(2.0 * x) / 2.0
    anion = np.isin(np.arange(5), [two, one])
    # of the pair, X is the atom at the height of A
    pair_atoms = np.flatnonzero(column.sum(axis=1) == 2)
    anion[pair_atoms[np.argmin(np.cos(2.0 * np.pi * (x[pair_atoms] + 0.5)))]] = True
    if moved[anion].mean() < moved[~anion].mean():
        x = -x
    if (electrons[one], x[one] % 1.0) > (electrons[two], x[two] % 1.0):
        column, two, one = column[:, ::-1], one, two
    height = np.cos(2.0 * np.pi * x[pair_atoms])
    metal = np.array([sample.elements[k] not in _ANIONS for k in pair_atoms])
    order = [across, one, two, *pair_atoms[np.lexsort((-height, metal))]]
    placed = np.column_stack([x % 1.0, column / 2.0])
    return Sample(sample.cell, tuple(sample.elements[k] for k in order), placed[order])


def centred(
    xyz: Float[np.ndarray, "*n sites 3"], electrons: Float[np.ndarray, "*n sites"]
) -> Float[np.ndarray, "*n sites 3"]:
    """Shift crystals along a until their electrons are centred on multiples of 1/2 and the first site is near 0."""
    found = np.array(xyz, dtype=float)
    phase = np.angle((electrons * np.exp(4j * np.pi * found[..., 0])).sum(axis=-1, keepdims=True))
    found[..., 0] -= phase / (4.0 * np.pi)
    found[..., 0] -= np.round(2.0 * found[..., :1, 0]) / 2.0
    return found


def fractions(composition: dict[str, float], elements: Sequence[str], atoms: int = 0) -> Float[np.ndarray, " elements"]:
    """Return atom fractions by element.

    Args:
        composition: atoms or fractions by element, in any normalisation.
        elements: elements of the prior.
        atoms: number of atoms per cell, whose reciprocal the fractions must be multiples of; 0 for any fractions.

    Raises:
        ParameterError: the composition is empty, an amount is invalid, or fractions do not give whole atoms.
        ConventionError: an element is unknown to the prior.
    """
    amounts = {symbol: float(n) for symbol, n in composition.items()}
    if not amounts or not all(np.isfinite(n) and n > 0.0 for n in amounts.values()):
        raise ParameterError(
            f"the composition {composition} names no elements, or amounts that are not positive numbers"
        )
    found = np.zeros(len(elements))
    for symbol, amount in amounts.items():
        element = element_of(symbol)[0]
        if element not in elements:
            raise ConventionError(
                f"{symbol} was in none of the crystals the prior was trained with, which had: {' '.join(elements)}"
            )
        found[list(elements).index(element)] += amount
    found /= found.sum()
    if atoms and np.abs(found * atoms - np.round(found * atoms)).max() > 0.02:
        raise ParameterError(
            f"the composition {composition} cannot be that of a cell of {atoms} atoms, which the prior is of; give whole atoms"
        )
    return found


def fractions_of(samples: Sequence[Sample], elements: Sequence[str]) -> Float[np.ndarray, "n elements"]:
    """Return atom fractions of crystals."""
    found, place = np.zeros((len(samples), len(elements))), {e: k for k, e in enumerate(elements)}
    for row, sample in zip(found, samples, strict=True):
        for element in sample.elements:
            if element not in place:
                raise ConventionError(f"{element} is not among the elements of the prior: {' '.join(elements)}")
            row[place[element]] += 1.0 / len(sample.elements)
    return found
