"""Atoms in motion: molecular dynamics, harmonic samples, and what NMR averages over them."""
