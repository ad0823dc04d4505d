"""Run files made from unprocessed data and structures, and advice drawn from a first refinement."""
