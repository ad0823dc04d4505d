"""Powder spectra: transition frequencies, orientation averages, sidebands, simulation."""
