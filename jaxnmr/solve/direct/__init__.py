"""Direct space: atoms on Wyckoff positions, moved until integrated intensities agree."""
