"""Checks of a found structure against areas, bonds and energies: elements, their order, texture, higher symmetry."""
