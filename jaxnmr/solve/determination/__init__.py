"""From a pattern and a composition to a refined structure: which cells and groups are tried, what became of it, and whether to believe it."""
