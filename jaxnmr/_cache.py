"""Persistent cache of compiled programs, switched on by the user and never at import."""

import hashlib
import logging
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
from jax.experimental.compilation_cache.compilation_cache import reset_cache

from ._arguments import checked
from .errors import ConventionError

# caching programs that compile faster than this costs more than it saves
_LEAST_SECONDS = 0.3
# cache folder enabled in this process
_folder: Path | None = None


@checked
def enable_cache(folder: str | Path | None = None) -> Path:
    """Keep compiled programs in a folder, so that later processes load them instead of compiling again.

    This may be called at any time, also after JAX has compiled something; programs compiled from then on are kept.
    Several processes can share the folder. Log output of JAX's compiled part, other than fatal errors, is silenced
    unless ``jax_logging_level`` is set.

    Args:
        folder: where to keep them; by default ``JAX_COMPILATION_CACHE_DIR`` if set, else a folder in the user's cache
            for this jaxlib and type of CPU.

    Returns:
        The folder.

    Raises:
        ConventionError: the given folder cannot be created.

    Example:
        >>> jn.enable_cache("programs")  # doctest: +SKIP
    """
    named = folder or os.environ.get("JAX_COMPILATION_CACHE_DIR")
    folder = Path(named or default_cache())
    if named:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as err:
            raise ConventionError(
                f"compiled programs cannot be kept in {folder} ({err.strerror}): name a folder that can be written to"
            ) from None
    global _folder
    _folder = folder
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _LEAST_SECONDS)
    # JAX decides once per process, at its first compilation, whether and where it keeps programs
    reset_cache()
    silence()
    return folder


def cache_in_use() -> str | None:
    """Return the folder in which this process keeps compiled programs; ``None`` if it keeps none."""
    config: Any = jax.config
    return config.jax_compilation_cache_dir


def share_cache(folder: str | None) -> None:
    """Keep compiled programs in the folder another process uses, see :func:`cache_in_use`."""
    if folder is not None and cache_in_use() != folder:
        enable_cache(folder)


def default_cache() -> Path:
    """Return the folder for compiled programs in the user's cache, one per jaxlib and type of CPU.

    A program compiled for one CPU can crash on another that shares the home directory.
    """
    mark = hashlib.sha256(processor().encode()).hexdigest()[:8]
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "jaxnmr" / f"jaxlib-{metadata.version('jaxlib')}-{platform.machine()}-{mark}"


def executables() -> Path | None:
    """Return the folder of executables (`_kept`) inside the program cache; ``None`` if nothing is kept."""
    config: Any = jax.config
    on = (
        _folder is not None and config.jax_compilation_cache_dir == str(_folder) and config.jax_enable_compilation_cache
    )
    return _folder / "executables" if on and _folder is not None else None


def processor() -> str:
    """Return model and instruction sets of the CPU, as far as the system reports them."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return "".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))


def silence() -> None:
    """Silence the log of JAX's compiled part.

    For every program that it loads, jaxlib 0.10 logs pages of errors about compiler preferences that it mistakes for
    instructions missing from the CPU. The environment variable ``TF_CPP_MIN_LOG_LEVEL`` is read when jaxlib is
    imported; this option also works later. Resetting it to "NOTSET" leaves the compiled part silent and Python's
    loggers unchanged.
    """
    if jax.config.jax_logging_level != "NOTSET":  # type: ignore[attr-defined]  # options are added at run time
        return
    loggers = [logging.getLogger(name) for name in ("jax", "jaxlib")]
    levels = [logger.level for logger in loggers]
    jax.config.update("jax_logging_level", "CRITICAL")
    jax.config.update("jax_logging_level", "NOTSET")
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
