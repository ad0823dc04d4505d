"""NMR spectra, decays and sites on disk."""
