"""Run files: a complete refinement in one TOML file; ``manual.md`` documents all keys."""

from .run import Run, load_run
from .setup import Setup, build, simulate

__all__ = ["Run", "Setup", "build", "load_run", "simulate"]
