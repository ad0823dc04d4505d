"""``report.html``: one page with plots to zoom into and structures to turn, which needs neither network nor other files."""

from .write import MISSING, page_possible, write_page

__all__ = ["MISSING", "page_possible", "write_page"]
