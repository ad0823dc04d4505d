"""A series of data sets refined one after the other, each from its neighbour."""
