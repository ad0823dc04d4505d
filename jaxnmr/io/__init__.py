"""Reading and writing of structures, powder patterns, instruments and spectra."""

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .echoes.formats import read_echo, write_echo
    from .patterns.formats import read_pattern, write_pattern
    from .patterns.instruments import read_instrument
    from .spectra.csdm import CsdmData, CsdmDimension, read_csdm, write_csdm
    from .spectra.dmfit import DmfitFit, DmfitLine, read_dmfit
    from .spectra.formats import read_fid, read_spectrum, write_spectrum
    from .spectra.mrsimulator import write_mrsimulator
    from .spectra.nmr_sites import sites_from_dmfit, sites_from_magres, sites_from_peaks
    from .spectra.topspin import Acquisition, read_topspin_acquisition, read_topspin_processing
    from .structures.ase import from_ase, to_ase
    from .structures.candidate import Candidate
    from .structures.candidates import Candidates, read_candidates
    from .structures.formats import read_crystal, read_crystals, write_crystal
    from .structures.magres import Magres, magres_from_ase, magres_to_ase, read_magres, read_tensor_frames, write_magres

__all__ = [
    "Acquisition",
    "Candidate",
    "Candidates",
    "CsdmData",
    "CsdmDimension",
    "DmfitFit",
    "DmfitLine",
    "Magres",
    "from_ase",
    "magres_from_ase",
    "magres_to_ase",
    "read_candidates",
    "read_crystal",
    "read_crystals",
    "read_csdm",
    "read_dmfit",
    "read_echo",
    "read_fid",
    "read_instrument",
    "read_magres",
    "read_pattern",
    "read_spectrum",
    "read_tensor_frames",
    "read_topspin_acquisition",
    "read_topspin_processing",
    "sites_from_dmfit",
    "sites_from_magres",
    "sites_from_peaks",
    "to_ase",
    "write_crystal",
    "write_csdm",
    "write_echo",
    "write_magres",
    "write_mrsimulator",
    "write_pattern",
    "write_spectrum",
]

__getattr__, __dir__ = lazy(
    __name__,
    names={
        "Acquisition": "spectra.topspin",
        "Candidate": "structures.candidate",
        "Candidates": "structures.candidates",
        "CsdmData": "spectra.csdm",
        "CsdmDimension": "spectra.csdm",
        "DmfitFit": "spectra.dmfit",
        "DmfitLine": "spectra.dmfit",
        "Magres": "structures.magres",
        "from_ase": "structures.ase",
        "magres_from_ase": "structures.magres",
        "magres_to_ase": "structures.magres",
        "read_candidates": "structures.candidates",
        "read_crystal": "structures.formats",
        "read_crystals": "structures.formats",
        "read_csdm": "spectra.csdm",
        "read_dmfit": "spectra.dmfit",
        "read_echo": "echoes.formats",
        "read_fid": "spectra.formats",
        "read_instrument": "patterns.instruments",
        "read_magres": "structures.magres",
        "read_pattern": "patterns.formats",
        "read_spectrum": "spectra.formats",
        "read_tensor_frames": "structures.magres",
        "read_topspin_acquisition": "spectra.topspin",
        "read_topspin_processing": "spectra.topspin",
        "sites_from_dmfit": "spectra.nmr_sites",
        "sites_from_magres": "spectra.nmr_sites",
        "sites_from_peaks": "spectra.nmr_sites",
        "to_ase": "structures.ase",
        "write_crystal": "structures.formats",
        "write_csdm": "spectra.csdm",
        "write_echo": "echoes.formats",
        "write_magres": "structures.magres",
        "write_mrsimulator": "spectra.mrsimulator",
        "write_pattern": "patterns.formats",
        "write_spectrum": "spectra.formats",
    },
)
