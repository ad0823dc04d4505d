"""`AsymmetricUnit`: what the functions of this package need of a `Crystal`."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float

from ..typing import Array
from .sites import Site
from .symmetry import SpaceGroup


@runtime_checkable
class AsymmetricUnit(Protocol):
    """A cell, sites in it and a space group; see :class:`~jaxnmr.Crystal`."""

    @property
    def cell(self) -> Float[Array, "6"]: ...
    @property
    def xyz(self) -> Float[Array, "sites 3"]: ...
    @property
    def occupancy(self) -> Float[Array, " sites"]: ...
    @property
    def group(self) -> SpaceGroup: ...
    @property
    def species(self) -> tuple[str, ...]: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def name(self) -> str: ...
    @property
    def n_sites(self) -> int: ...
    @property
    def elements(self) -> tuple[str, ...]: ...
    def sites(self) -> tuple[Site, ...]: ...
