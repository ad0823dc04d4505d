"""The package pyscf, imported where it is first needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from ...errors import JaxnmrError


class MissingPackageError(JaxnmrError):
    """A package that an extra of jaxnmr installs is not there."""


def pyscf() -> ModuleType:
    """The package pyscf with the modules that are used here.

    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        import pyscf
        import pyscf.dft
        import pyscf.gto
        import pyscf.hessian
        import pyscf.scf
    except ImportError as err:
        raise MissingPackageError(
            f"solving Kohn-Sham equations needs the package pyscf: pip install 'jaxnmr[electronic]' ({err})"
        ) from err
    return pyscf


@contextmanager
def without_files() -> Iterator[None]:
    """Calculations of pyscf that are begun inside write no checkpoint files, which it would leave open."""
    field = pyscf().scf.hf
    before = getattr(field, "MUTE_CHKFILE", False)
    field.MUTE_CHKFILE = True
    try:
        yield
    finally:
        field.MUTE_CHKFILE = before
