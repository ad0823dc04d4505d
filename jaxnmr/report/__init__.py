"""Reports: everything a refinement leaves on disk, from `result.json` to the pictures."""

from .write import rewrite_report, write_report

__all__ = ["rewrite_report", "write_report"]
