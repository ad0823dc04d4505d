"""What areas, bonds and energies say of a structure that was found: its elements, their order, texture, a higher symmetry."""
