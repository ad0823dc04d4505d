"""Intensities of a cell without a structure: Le Bail fit, Pawley step, extinction symbols, ranking of cells."""
