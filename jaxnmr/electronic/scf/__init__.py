"""Self-consistent fields by pyscf: training data, starts and what they save."""
