"""jaxnmr: differentiable refinement of crystal structures from powder diffraction and solid-state NMR."""

from typing import TYPE_CHECKING

from ._compat import refuse_bad_jaxlib as _refuse_bad_jaxlib
from ._lazy import lazy as _lazy

if TYPE_CHECKING:
    from . import campaign as campaign
    from . import cli as cli
    from . import crystal, errors, plot, testing, units
    from . import density as density
    from . import diffraction as diffraction
    from . import dynamics as dynamics
    from . import electronic as electronic
    from . import energy as energy
    from . import graph as graph
    from . import inference as inference
    from . import io as io
    from . import models as models
    from . import nmr as nmr
    from . import objective as objective
    from . import proposal as proposal
    from . import refinement as refinement
    from . import report as report
    from . import runfile as runfile
    from . import search as search
    from . import solve as solve
    from . import terms as terms
    from . import typing as typing
    from ._cache import enable_cache
    from ._precision import enable_x64
    from ._struct import Struct, static
    from ._version import __version__
    from .crystal import Crystal
    from .diffraction import Background, Instrument, Pattern, PowderDiffraction
    from .energy import EnergyModel
    from .graph import build_graph
    from .io import (
        read_crystal,
        read_echo,
        read_instrument,
        read_magres,
        read_pattern,
        read_spectrum,
        write_crystal,
        write_echo,
        write_pattern,
        write_spectrum,
    )
    from .models import TensorCalculator, TensorModel
    from .nmr import CouplingCalibration, ShiftReference, Site, Spectrum, SpectrumMAS, SpectrumStatic
    from .objective import Objective, Parameters, Source, State, Term, perturb
    from .objective.source import source
    from .objective.term import term
    from .refinement import GaussNewton, LevenbergMarquardt, RefinementResult, Stage, refine
    from .refinement.progress import progress
    from .search import displaced, refine_series, refine_starts, relax, screen
    from .terms import (
        CouplingLaw,
        CouplingTerm,
        EchoTerm,
        EnergyTerm,
        ModelErrors,
        Particles,
        PatternTerm,
        PeakListTerm,
        PredictedSpectrumTerm,
        Prior,
        Quantification,
        Restraint,
        SpectrumTerm,
        TensorTerm,
    )
    from .typing import Quantity

__all__ = [
    "Background",
    "CouplingCalibration",
    "CouplingLaw",
    "CouplingTerm",
    "Crystal",
    "EchoTerm",
    "EnergyModel",
    "EnergyTerm",
    "GaussNewton",
    "Instrument",
    "LevenbergMarquardt",
    "ModelErrors",
    "Objective",
    "Parameters",
    "Particles",
    "Pattern",
    "PatternTerm",
    "PeakListTerm",
    "PowderDiffraction",
    "PredictedSpectrumTerm",
    "Prior",
    "Quantification",
    "Quantity",
    "RefinementResult",
    "Restraint",
    "ShiftReference",
    "Site",
    "Source",
    "Spectrum",
    "SpectrumMAS",
    "SpectrumStatic",
    "SpectrumTerm",
    "Stage",
    "State",
    "Struct",
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
    "read_echo",
    "read_instrument",
    "read_magres",
    "read_pattern",
    "read_spectrum",
    "refine",
    "refine_series",
    "refine_starts",
    "relax",
    "screen",
    "source",
    "static",
    "term",
    "testing",
    "units",
    "write_crystal",
    "write_echo",
    "write_pattern",
    "write_spectrum",
]

_refuse_bad_jaxlib()

# imported on first use: a script pays only for what it uses, and the command line starts quickly
__getattr__, __dir__ = _lazy(
    __name__,
    modules=("crystal", "errors", "plot", "testing", "units"),
    rooms=(
        "campaign",
        "cli",
        "density",
        "diffraction",
        "dynamics",
        "electronic",
        "energy",
        "graph",
        "inference",
        "io",
        "models",
        "nmr",
        "objective",
        "proposal",
        "refinement",
        "report",
        "runfile",
        "search",
        "solve",
        "terms",
        "typing",
    ),
    names={
        "Background": "diffraction",
        "CouplingCalibration": "nmr",
        "CouplingLaw": "terms",
        "CouplingTerm": "terms",
        "EchoTerm": "terms",
        "EnergyModel": "energy",
        "EnergyTerm": "terms",
        "Crystal": "crystal",
        "GaussNewton": "refinement",
        "Instrument": "diffraction",
        "LevenbergMarquardt": "refinement",
        "ModelErrors": "terms",
        "Objective": "objective",
        "Parameters": "objective",
        "Pattern": "diffraction",
        "Particles": "terms",
        "PatternTerm": "terms",
        "PeakListTerm": "terms",
        "PowderDiffraction": "diffraction",
        "PredictedSpectrumTerm": "terms",
        "Prior": "terms",
        "Quantification": "terms",
        "Quantity": "typing",
        "RefinementResult": "refinement",
        "Restraint": "terms",
        "ShiftReference": "nmr",
        "Site": "nmr",
        "Source": "objective",
        "Spectrum": "nmr",
        "SpectrumMAS": "nmr",
        "SpectrumStatic": "nmr",
        "SpectrumTerm": "terms",
        "Stage": "refinement",
        "State": "objective",
        "Struct": "_struct",
        "TensorCalculator": "models",
        "TensorModel": "models",
        "TensorTerm": "terms",
        "Term": "objective",
        "__version__": "_version",
        "build_graph": "graph",
        "displaced": "search",
        "enable_cache": "_cache",
        "enable_x64": "_precision",
        "perturb": "objective",
        "progress": "refinement.progress",
        "read_crystal": "io",
        "read_echo": "io",
        "read_instrument": "io",
        "read_magres": "io",
        "read_pattern": "io",
        "read_spectrum": "io",
        "refine": "refinement",
        "refine_series": "search",
        "refine_starts": "search",
        "relax": "search",
        "screen": "search",
        "source": "objective.source",
        "static": "_struct",
        "term": "objective.term",
        "write_crystal": "io",
        "write_echo": "io",
        "write_pattern": "io",
        "write_spectrum": "io",
    },
)
