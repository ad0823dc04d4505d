"""Reading and writing: structures, powder patterns, instruments, spectra."""

from .ase import from_ase, to_ase
from .csdm import CsdmData, CsdmDimension, read_csdm, write_csdm
from .dmfit import DmfitFit, DmfitLine, read_dmfit
from .instruments import read_instrument
from .magres import (
    Magres,
    magres_from_ase,
    magres_to_ase,
    read_magres,
    read_tensor_frames,
    write_magres,
)
from .mrsimulator import write_mrsimulator
from .nmr_sites import sites_from_magres, sites_from_peaks
from .patterns import read_pattern, write_pattern
from .spectra import read_fid, read_spectrum, write_spectrum
from .structures import read_crystal, read_crystals, write_crystal
from .tensor_data import TensorData, read_magres_folder, read_si_nmr, read_tensor_file
from .topspin import Acquisition, read_topspin_acquisition, read_topspin_processing

__all__ = [
    "Acquisition",
    "CsdmData",
    "CsdmDimension",
    "DmfitFit",
    "DmfitLine",
    "Magres",
    "TensorData",
    "from_ase",
    "magres_from_ase",
    "magres_to_ase",
    "read_crystal",
    "read_crystals",
    "read_csdm",
    "read_dmfit",
    "read_fid",
    "read_instrument",
    "read_magres",
    "read_magres_folder",
    "read_pattern",
    "read_si_nmr",
    "read_spectrum",
    "read_tensor_file",
    "read_tensor_frames",
    "read_topspin_acquisition",
    "read_topspin_processing",
    "sites_from_magres",
    "sites_from_peaks",
    "to_ase",
    "write_crystal",
    "write_csdm",
    "write_magres",
    "write_mrsimulator",
    "write_pattern",
    "write_spectrum",
]
