"""Potentials made of this package's equivariant network, trained on what a teacher says."""
