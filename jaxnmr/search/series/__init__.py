"""A series of data sets refined one after the other, each starting from its neighbour."""
