"""Reading and writing: structures, powder patterns, instruments, spectra."""

from .instruments import read_instrument
from .patterns import read_pattern, write_pattern

__all__ = ["read_instrument", "read_pattern", "write_pattern"]
