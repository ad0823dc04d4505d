"""Files of spin-echo curves."""
