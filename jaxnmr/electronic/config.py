"""What a Hamiltonian model is made of, apart from its numbers: validated, hashable, written to its file."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ..errors import ConventionError
from ..models.networks.irreps import SCALAR, Irreps
from .basis import BasisSet

_IRREPS = ("hidden", "sent", "left", "right", "ends", "pair")


@dataclass(frozen=True, kw_only=True)
class HamiltonianConfig:
    """The network and the language of its matrices.

    Attributes:
        elements: it knows.
        basis: name of the basis set.
        functional: of the labels, in words; models are not mixed with another one.
        start: what is added to the prediction, in words: ``"minao"``, one Fock build on the superposed minimal-basis atoms;
            ``""`` where the whole matrix is predicted.
        hidden: irreps of the features of an atom.
        sent: irreps that an atom sends to the others.
        left, right: irreps whose product makes features of more than two bodies; of one multiplicity.
        ends: irreps that each of two atoms gives to the features of their pair.
        pair: irreps of the features of a pair of atoms.
        layers: rounds of messages.
        cutoff: Å, where messages and pair blocks end.
        lmax: of the spherical harmonics in messages; in pairs it is the highest rank of a block.
        radial: number of Bessel functions.
        width: of the networks that make radial functions of them.
        neighbours: mean number of neighbours: sums are divided by its root.
    """

    elements: tuple[str, ...]
    basis: str = "def2-SVP"
    functional: str
    start: str = "minao"
    hidden: str = "48x0e+32x1o+8x1e+24x2e+8x2o+12x3o+4x3e+6x4e"
    sent: str = "24x0e+20x1o+6x1e+16x2e+4x2o+8x3o"
    left: str = "16x0e+16x1o+16x2e"
    right: str = "16x0e+16x1o+16x1e+16x2e+16x2o+16x3o"
    ends: str = "16x0e+12x1o+4x1e+10x2e+4x2o+4x3o"
    pair: str = "48x0e+32x1o+12x1e+24x2e+8x2o+12x3o+4x3e+6x4e"
    layers: int = 2
    cutoff: float = 6.0
    lmax: int = 3
    radial: int = 12
    width: int = 48
    neighbours: float = 8.0

    def __post_init__(self):
        object.__setattr__(self, "elements", tuple(self.elements))
        if not self.elements or len(set(self.elements)) != len(self.elements):
            raise ConventionError(f"elements are {self.elements}; expected different ones")
        basis = BasisSet.load(self.basis)
        for element in self.elements:
            basis.of(element)
        for name in _IRREPS:
            try:
                irreps = Irreps.read(getattr(self, name)).regroup()
            except (ValueError, AttributeError) as error:
                raise ConventionError(
                    f"{name}: {getattr(self, name)!r} is not a valid irreps string; expected one such as '16x0e+8x1o'"
                ) from error
            if SCALAR not in irreps.each:
                raise ConventionError(f"{name} is {str(irreps)!r}; it needs 0e, the scalars that gate everything else")
            object.__setattr__(self, name, str(irreps))
        if len({mul for name in ("left", "right") for mul, _ in Irreps.read(getattr(self, name))}) != 1:
            raise ConventionError(f"left is {self.left}, right is {self.right}; expected one multiplicity in both")
        for name in ("layers", "radial", "width"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ConventionError(f"{name} is {value!r}; expected a whole number from 1")
        for name in ("cutoff", "neighbours"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise ConventionError(f"{name} is {value}; expected a positive number")
        if not isinstance(self.lmax, int) or not 1 <= self.lmax <= 4:
            raise ConventionError(f"lmax is {self.lmax!r}; expected 1 to 4")

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`.

        Raises:
            ConventionError: missing, unknown or impossible entries.
        """
        try:
            return cls(**values)
        except TypeError as error:
            raise ConventionError(f"not the description of a Hamiltonian model: {error}") from error
