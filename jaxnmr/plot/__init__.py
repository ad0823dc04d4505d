"""Pictures of a refinement: the fitted pattern or spectrum, correlations, convergence, what fixes what.

Every function takes a :class:`~jaxnmr.refinement.result.RefinementResult`, returns a matplotlib ``Figure`` and shows
nothing by itself; ``figure.savefig("fit.png", dpi=200)`` writes it. Colours are those of Okabe and Ito, which people
with any colour vision tell apart, and no information is carried by colour alone. Pictures of learned tensors are in
:mod:`jaxnmr.plot.models`.

Example:
    >>> figure = jn.plot.spectrum(spectrum)
    >>> figure.savefig("27Al.png")
"""

from . import density, models, screening, series, solving
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
