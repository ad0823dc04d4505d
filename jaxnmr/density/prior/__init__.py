"""A prior of electron densities learned from crystals, and its correction by a powder pattern."""
