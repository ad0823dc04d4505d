"""Reports: everything a refinement leaves on disk, from `result.json` to the pictures."""

from .write import write_report

__all__ = ["write_report"]
