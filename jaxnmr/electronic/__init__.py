"""Kohn-Sham matrices of molecules: predicted, and solved from."""
