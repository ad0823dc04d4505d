"""jaxnmr: differentiable refinement of crystal structures from powder diffraction and solid-state NMR."""

from importlib import import_module as _import_module
from importlib import metadata as _metadata

from . import crystal, errors, plot, testing, units
from ._cache import enable_cache
from ._compat import refuse_bad_jaxlib as _refuse_bad_jaxlib
from ._precision import enable_x64
from ._struct import static, struct
from .crystal import Crystal
from .diffraction import Background, Instrument, Pattern, PowderDiffraction
from .io import (
    read_crystal,
    read_instrument,
    read_magres,
    read_pattern,
    read_spectrum,
    write_crystal,
    write_pattern,
    write_spectrum,
)
from .nmr import CouplingCalibration, ShiftReference, Site, Spectrum, SpectrumMAS, SpectrumStatic
from .objectives import (
    CouplingLaw,
    CouplingTerm,
    Objective,
    Parameters,
    PatternTerm,
    PeakListTerm,
    PredictedSpectrumTerm,
    Prior,
    Restraint,
    SpectrumTerm,
    State,
    TensorTerm,
    Term,
    perturb,
    term,
)
from .refine import (
    GaussNewton,
    LevenbergMarquardt,
    RefinementResult,
    Stage,
    progress,
    refine,
)
from .search import displaced, refine_starts, screen
from .typing import Quantity

_refuse_bad_jaxlib()

__version__ = _metadata.version("jaxnmr")

__all__ = [
    "Background",
    "CouplingCalibration",
    "CouplingLaw",
    "CouplingTerm",
    "Crystal",
    "GaussNewton",
    "Instrument",
    "LevenbergMarquardt",
    "Objective",
    "Parameters",
    "Pattern",
    "PatternTerm",
    "PeakListTerm",
    "PowderDiffraction",
    "PredictedSpectrumTerm",
    "Prior",
    "Quantity",
    "RefinementResult",
    "Restraint",
    "ShiftReference",
    "Site",
    "Spectrum",
    "SpectrumMAS",
    "SpectrumStatic",
    "SpectrumTerm",
    "Stage",
    "State",
    "TensorCalculator",
    "TensorModel",
    "TensorTerm",
    "Term",
    "__version__",
    "build_graph",
    "crystal",
    "displaced",
    "enable_cache",
    "enable_x64",
    "errors",
    "perturb",
    "plot",
    "progress",
    "read_crystal",
    "read_instrument",
    "read_magres",
    "read_pattern",
    "read_spectrum",
    "refine",
    "refine_starts",
    "screen",
    "static",
    "struct",
    "term",
    "testing",
    "units",
    "write_crystal",
    "write_pattern",
    "write_spectrum",
]

# imported when they are asked for: networks take seconds to import
_LAZY = {"TensorCalculator": "models", "TensorModel": "models", "build_graph": "graph"}


def __getattr__(name: str):
    if name in _LAZY:
        globals()[name] = value = getattr(_import_module(f".{_LAZY[name]}", __name__), name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
