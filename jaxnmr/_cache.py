"""Compiled programs kept between processes, switched on by the user and never at import."""

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

# keeping what compiles faster than this costs more than it saves
_LEAST_SECONDS = 0.3
# what was switched on in this process
_folder: Path | None = None


@checked
def enable_cache(folder: str | Path | None = None) -> Path:
    """Keep compiled programs in a folder, so that later processes load what this one compiles.

    Works at any time, also after JAX compiled something: what is compiled from here on is kept. Several processes can share the
    folder. What JAX's compiled part logs, other than fatal errors, is silenced unless ``jax_logging_level`` is set.

    Args:
        folder: where; by default what ``JAX_COMPILATION_CACHE_DIR`` says, else one in the user's cache folder for this jaxlib and
            kind of processor.

    Returns:
        The folder.

    Raises:
        ConventionError: a folder that was named cannot be made.

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
    # JAX decides once per process whether and where it keeps programs, when it compiles the first
    reset_cache()
    silence()
    return folder


def cache_in_use() -> str | None:
    """The folder in which this process keeps compiled programs; ``None`` where it keeps none."""
    config: Any = jax.config
    return config.jax_compilation_cache_dir


def share_cache(folder: str | None) -> None:
    """Keep compiled programs where another process does, see :func:`cache_in_use`."""
    if folder is not None and cache_in_use() != folder:
        enable_cache(folder)


def default_cache() -> Path:
    """Folder of compiled programs in the user's cache folder, one per jaxlib and kind of processor.

    A program compiled for one processor can crash another one that shares the home directory.
    """
    mark = hashlib.sha256(processor().encode()).hexdigest()[:8]
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "jaxnmr" / f"jaxlib-{metadata.version('jaxlib')}-{platform.machine()}-{mark}"


def executables() -> Path | None:
    """Folder of executables (`_kept`), in that of compiled programs; ``None`` where nothing is kept."""
    config: Any = jax.config
    on = (
        _folder is not None and config.jax_compilation_cache_dir == str(_folder) and config.jax_enable_compilation_cache
    )
    return _folder / "executables" if on and _folder is not None else None


def processor() -> str:
    """Model and instruction sets of the processor, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return "".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))


def silence() -> None:
    """Silence the log of JAX's compiled part.

    For every program that it loads, jaxlib 0.10 logs pages of errors about preferences of the compiler that it takes for
    instructions the processor lacks. The environment variable ``TF_CPP_MIN_LOG_LEVEL`` is read when jaxlib is imported; this
    option works later, too. Set back to "NOTSET" it leaves the compiled part silent and Python's loggers as they were.
    """
    if jax.config.jax_logging_level != "NOTSET":  # type: ignore[attr-defined]  # options are added at run time
        return
    loggers = [logging.getLogger(name) for name in ("jax", "jaxlib")]
    levels = [logger.level for logger in loggers]
    jax.config.update("jax_logging_level", "CRITICAL")
    jax.config.update("jax_logging_level", "NOTSET")
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
