"""Indexing: from positions of peaks to unit cells."""
