"""Run files: a whole refinement in one TOML file; ``manual.md`` says what may stand in one."""

from .run import Run, load_run
from .setup import Setup, build, simulate

__all__ = ["Run", "Setup", "build", "load_run", "simulate"]
