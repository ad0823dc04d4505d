"""Electron density from areas and the phases of a structure, and structures completed from it."""
