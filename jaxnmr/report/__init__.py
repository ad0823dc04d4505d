"""Reports: all files of results, from `result.json` to the figures."""

from .write import rewrite_report, write_report

__all__ = ["rewrite_report", "write_report"]
