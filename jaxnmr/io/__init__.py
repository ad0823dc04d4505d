"""Reading and writing: structures, powder patterns, instruments, spectra."""

from .ase import from_ase, to_ase
from .instruments import read_instrument
from .patterns import read_pattern, write_pattern
from .structures import read_crystal, read_crystals, write_crystal

__all__ = [
    "from_ase",
    "read_crystal",
    "read_crystals",
    "read_instrument",
    "read_pattern",
    "to_ase",
    "write_crystal",
    "write_pattern",
]
