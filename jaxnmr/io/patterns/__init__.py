"""Powder patterns and instruments on disk."""
