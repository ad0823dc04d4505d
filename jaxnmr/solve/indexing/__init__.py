"""From the positions of peaks to unit cells."""
