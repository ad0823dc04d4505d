"""Equivariant networks: their configuration, layers and irreps."""
