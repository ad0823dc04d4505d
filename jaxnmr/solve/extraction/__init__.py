"""Intensities of a cell without a structure: Le Bail fit, Pawley step, extinction symbols, cells ranked by the pattern."""
