"""Figures of a refinement: fitted patterns and spectra, correlations, convergence, information by data set.

Every function takes a :class:`~jaxnmr.refinement.result.RefinementResult` and returns a matplotlib ``Figure`` without
showing it; ``figure.savefig("fit.png", dpi=200)`` writes it. Colours are the colour-blind-safe palette of Okabe and
Ito, and no information is carried by colour alone. Figures of learned tensors are in :mod:`jaxnmr.plot.models`.

Example:
    >>> figure = jn.plot.spectrum(spectrum)
    >>> figure.savefig("27Al.png")
"""

from . import density, dynamics, models, screening, series, solving
from .course import convergence, correlation_matrix, correlations
from .curves import curve
from .echoes import echo_fit, sensitivity
from .energies import energy
from .information import information
from .patterns import pattern
from .peaks import peaks
from .spectra import spectrum
from .structures import structure

__all__ = [
    "convergence",
    "correlation_matrix",
    "correlations",
    "curve",
    "density",
    "dynamics",
    "echo_fit",
    "energy",
    "information",
    "models",
    "pattern",
    "peaks",
    "screening",
    "sensitivity",
    "series",
    "solving",
    "spectrum",
    "structure",
]
