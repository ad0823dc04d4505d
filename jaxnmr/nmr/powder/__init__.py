"""Spectra of powders: frequencies of transitions, averages over orientations, sidebands, the simulation."""
