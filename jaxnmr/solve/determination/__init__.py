"""Structure determination from a pattern and a composition: choice of cells and groups, outcome, and verdict."""
