"""Computed tensors as training data: reading, checks, near duplicates, splits."""

from .tensor_data import TensorData, read_magres_folder, read_si_nmr, read_tensor_file

__all__ = [
    "TensorData",
    "read_magres_folder",
    "read_si_nmr",
    "read_tensor_file",
]
