"""``report.html``: a self-contained page with zoomable plots and rotatable structures, usable offline."""

from .write import MISSING, page_possible, write_page

__all__ = ["MISSING", "page_possible", "write_page"]
