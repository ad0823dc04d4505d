"""Direct-space solution: atoms on Wyckoff positions, moved until integrated intensities agree."""
