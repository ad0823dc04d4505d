"""Files for a paper and its supplement: a CIF with structures and data, and tables."""

from .document import write_publication
from .tables import PaperTable, paper_tables
from .typeset import write_csv, write_latex

__all__ = ["PaperTable", "paper_tables", "write_csv", "write_latex", "write_publication"]
