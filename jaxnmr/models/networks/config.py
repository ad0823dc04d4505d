"""Configuration of a tensor model, without its parameters: validated, hashable, written to checkpoints."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ...errors import ConventionError
from ...graph.structure import species_numbers
from .irreps import SCALAR, Irrep, Irreps

# irreps, unit and sign of quantities that the package can use; other heads define their own
SHIELDING = "shielding"
EFG = "efg"
KNOWN_HEADS = {
    SHIELDING: ("0e+1e+2e", "ppm", "shielding"),
    EFG: ("2e", "au", "second derivative of the potential"),
}


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """Configuration of one predicted quantity per atom.

    Attributes:
        name: ``"shielding"``, ``"efg"``, or any other.
        irreps: behaviour under rotations: ``"0e+1e+2e"`` a tensor, ``"0e+2e"`` a symmetric one, ``"2e"`` a symmetric
            traceless one, anything else a list of components.
        unit: unit of the values.
        sign: sign convention of the values, in words.
        elements: elements it was trained on; predictions for others are NaN.
    """

    name: str
    irreps: str = ""
    unit: str = ""
    sign: str = ""
    elements: tuple[str, ...]

    def __post_init__(self):
        irreps, unit, sign = KNOWN_HEADS.get(self.name, ("", "", ""))
        for field, default in (("irreps", irreps), ("unit", unit), ("sign", sign)):
            if not getattr(self, field):
                if not default:
                    raise ConventionError(f"head {self.name!r} needs {field}: it has no known meaning")
                object.__setattr__(self, field, default)
            elif default and field != "irreps" and getattr(self, field) != default:
                raise ConventionError(
                    f"head {self.name!r} is in {getattr(self, field)!r}; expected {default!r}: convert the labels, or choose "
                    "another name"
                )
        object.__setattr__(self, "irreps", str(_irreps(self.irreps, f"head {self.name!r}").simplify()))
        object.__setattr__(self, "elements", tuple(self.elements))
        if not self.elements:
            raise ConventionError(f"head {self.name!r} names no element that it was trained on")

    @property
    def ranks(self) -> tuple[int, ...]:
        """Degrees l of all irreps, repeated ones included, in order."""
        return tuple(ir.l for ir in Irreps.read(self.irreps).each)

    @property
    def is_tensor(self) -> bool:
        """Return whether the components are those of one Cartesian tensor."""
        return self.irreps in {"1x0e+1x1e+1x2e", "1x0e+1x2e", "1x2e"}


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Configuration of the equivariant message-passing network.

    Attributes:
        species: supported elements, in the order of its parameters.
        heads: predicted quantities.
        hidden: irreps of the features of an atom; 1e is needed to predict an antisymmetric part.
        layers: number of message-passing layers.
        cutoff: cutoff radius, Å.
        lmax: largest degree of the spherical harmonics of an edge.
        radial: number of Bessel functions.
        radial_hidden: widths of the network that makes radial functions from them.
        neighbours: mean number of neighbours in the training data: messages are divided by its square root.
    """

    species: tuple[str, ...]
    heads: tuple[HeadConfig, ...]
    hidden: str = "16x0e+16x1o+8x1e+8x2e"
    layers: int = 2
    cutoff: float = 5.0
    lmax: int = 2
    radial: int = 8
    radial_hidden: tuple[int, ...] = (32,)
    neighbours: float = 35.0

    def __post_init__(self):
        object.__setattr__(self, "species", tuple(self.species))
        object.__setattr__(self, "heads", tuple(self.heads))
        object.__setattr__(self, "radial_hidden", tuple(int(width) for width in self.radial_hidden))
        hidden = _irreps(self.hidden, "hidden").regroup()
        object.__setattr__(self, "hidden", str(hidden))
        if not self.species or len(set(self.species)) != len(self.species):
            raise ConventionError(f"species are {self.species}; expected different elements")
        species_numbers(self.species, self.species)
        names = [head.name for head in self.heads]
        if not names or len(set(names)) != len(names):
            raise ConventionError(f"heads are {names}; expected at least one, with different names")
        for name, least in (("layers", 1), ("lmax", 0), ("radial", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ConventionError(f"{name} is {value!r}; expected a whole number from {least}")
        for name in ("cutoff", "neighbours"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise ConventionError(f"{name} is {value}; expected a positive number")
        if not any(ir == SCALAR for _, ir in hidden):
            raise ConventionError(f"hidden is {hidden}; it needs 0e, the scalars that gate everything else")
        for head in self.heads:
            species_numbers(head.elements, self.species)
            missing = [str(ir) for _, ir in Irreps.read(head.irreps) if all(ir != other for _, other in hidden)]
            if missing:
                raise ConventionError(
                    f"head {head.name!r} needs {'+'.join(missing)}, which hidden = {hidden} does not contain: add it"
                )
            missing = [str(ir) for _, ir in Irreps.read(head.irreps) if ir not in self._reached(hidden)]
            if missing:
                raise ConventionError(
                    f"head {head.name!r} needs {'+'.join(missing)}, which {self.layers} layers with lmax = {self.lmax} cannot "
                    "make of scalars and directions: it would always be zero; add layers"
                )

    def _reached(self, hidden: Irreps) -> set[Irrep]:
        """Return the irreps reached by products of features with spherical harmonics, layer by layer."""
        harmonics = [Irrep(l, (-1) ** l) for l in range(self.lmax + 1)]
        reached = {SCALAR}
        for _ in range(self.layers):
            products = {out for ir in reached for other in harmonics for out in ir.times(other)}
            reached = products & {ir for _, ir in hidden}
        return reached

    def head(self, name: str) -> HeadConfig:
        """Return the head of that name.

        Raises:
            ConventionError: there is none.
        """
        for head in self.heads:
            if head.name == name:
                return head
        raise ConventionError(
            f"the model does not predict {name!r}; it predicts {', '.join(h.name for h in self.heads)}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Make a configuration from the result of :meth:`to_dict`.

        Raises:
            ConventionError: an entry is missing, unknown or invalid.
        """
        try:
            heads = tuple(HeadConfig(**head) for head in values["heads"])
            return cls(**(values | {"heads": heads}))
        except (KeyError, TypeError, AttributeError) as error:
            raise ConventionError(f"not the description of a network: {type(error).__name__} {error}") from error


def _irreps(text: str, where: str) -> Irreps:
    try:
        irreps = Irreps.read(text)
    except (ValueError, AttributeError) as error:
        raise ConventionError(
            f"{where}: {text!r} is not a valid irreps string; expected one such as '16x0e+8x1o'"
        ) from error
    if not irreps.each:
        raise ConventionError(f"{where}: {text!r} holds no irreps")
    return irreps
