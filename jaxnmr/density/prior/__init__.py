"""Prior of electron densities learned from crystals, and its refinement against a powder pattern."""
