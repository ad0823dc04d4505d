"""Calls to spglib, with uniform handling of failures.

Its releases differ in how they fail (``None``, an exception) and warn about the change on every call.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


def _ask(function: str, *args, **kwargs):
    import spglib  # not needed for a structure with known symmetry

    with warnings.catch_warnings(), _silent():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return getattr(spglib, function)(*args, **kwargs)
        except Exception:  # SpglibError derives from Exception and is missing in older releases
            return None


@contextmanager
def _silent() -> Iterator[None]:
    """Suppress the library's own terminal output when a tolerance is too large."""
    before = os.environ.get("SPGLIB_WARNING")
    os.environ["SPGLIB_WARNING"] = "OFF"
    try:
        yield
    finally:
        if before is None:
            del os.environ["SPGLIB_WARNING"]
        else:
            os.environ["SPGLIB_WARNING"] = before


def find_symmetry(lattice: np.ndarray, xyz: np.ndarray, types: list[int], symprec: float):
    """Return the symmetry data set of all atoms of a cell, or ``None``."""
    return _ask("get_symmetry_dataset", (lattice, xyz, types), symprec=symprec)


def hall_symbol(hall_number: int) -> str:
    """Return the Hall symbol of one of spglib's 530 settings."""
    return _ask("get_spacegroup_type", hall_number).hall_symbol


def group_number(rotations: np.ndarray, translations: np.ndarray, lattice: np.ndarray) -> int | None:
    """Return the International Tables number of a list of operations in any setting, or ``None``."""
    found = _ask("get_spacegroup_type_from_symmetry", rotations, translations, lattice=lattice)
    return found.number if found is not None else None
