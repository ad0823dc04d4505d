"""Equivariant networks: configuration, layers and irreps."""
