"""The package pyscf, imported where it is first needed."""

from __future__ import annotations

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
