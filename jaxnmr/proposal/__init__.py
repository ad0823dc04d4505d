"""From data and structures that nobody has described yet to a run file, and from its refinement to what to do next."""
