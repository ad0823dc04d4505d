"""Executables of compiled functions, kept beside JAX's cache so that the next process need not even trace them (host).

JAX's own cache is keyed by the program itself, which must be traced and lowered first: most of the time of a warm
start. The key here is made of everything that determines the program: the function, the structure and shapes of its
arguments, settings, versions, flags, the CPU and the source text of this package. If any of these has no digest, the
function is compiled the ordinary way.

Loading unpickles data and runs code, so files are read only from a folder of the user that nobody else can access.
"""

from __future__ import annotations

import functools
import hashlib
import os
import pickle
import re
import stat
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import jax

from ._cache import executables, processor
from ._compilations import report_ready
from ._digest import Unstable, digest
from ._files import write_atomically
from ._warn import warn

_SUFFIX = ".executable"
# executables unused for this long, or beyond this total size, are deleted
_MOST_BYTES = 2**30
_MOST_SECONDS = 60 * 86400.0
_LIBRARIES = ("jax", "jaxlib", "numpy", "gemmi", "jraph", "e3nn-jax", "flax", "optax", "jaxopt")
_CALLS = re.compile(r"custom_call @([\w.$]+)")
# custom calls that CPU programs can make without further preparation
_PREPARED = ("lapack_", "Sharding", "SPMD", "mhlo.", "chlo.", "stablehlo.")
# settings passed to XLA; settings that affect tracing are in JAX's own trace context. Not all of them always exist:
# that depends on the imported modules
_COMPILER = (
    "jax_disable_most_optimizations", "jax_optimization_level", "jax_exec_time_optimization_effort",
    "jax_memory_fitting_effort", "jax_memory_fitting_level", "jax_xla_profile_version", "jax_compiler_enable_remat_pass",
    "jax_allow_f16_reductions", "jax_use_magma", "jax_use_shardy_partitioner", "jax_embedded_constants_max_bytes",
    "jax_use_simplified_jaxpr_constants", "jax_enable_pgle", "jax_default_matmul_precision", "jax_random_seed_offset",
)  # fmt: skip


class _Stored(NamedTuple):
    """Content of a file: digests of its inputs, the executable, and the structure of its results.

    Attributes:
        text: digest of the source text of this package.
        program: digest of the lowered program; the same program made from another source text is reused unchanged.
        lapack: whether it calls LAPACK.
        executable: as JAX serialises it.
        results: a pickled tree of numbers.
    """

    text: str
    program: str
    lapack: bool
    executable: bytes
    results: bytes


class Keeper:
    """The executables of one function, in memory and on disk.

    Args:
        function: defined at the top level of a module of this package.
        static_argnums, static_argnames: as for ``jax.jit``; keywords are static.
    """

    def __init__(self, function: Callable, static_argnums: int | Sequence[int] = (), static_argnames: Any = ()) -> None:
        if not function.__module__.startswith("jaxnmr.") or "<" in function.__qualname__:
            raise TypeError(
                f"{function.__module__}.{function.__qualname__}: kept are programs of functions at the top level of modules of "
                "this package, which another process finds by the same name"
            )
        self.function = function
        self._static = {static_argnums} if isinstance(static_argnums, int) else set(static_argnums)
        # None: no key that holds in other processes
        self._ready: dict[Hashable, Callable | None] = {}

    def ready(self, arguments: tuple, settings: Mapping[str, Any]) -> Callable[[], Any] | None:
        """Return a call of the executable for these arguments; ``None`` if the function must be compiled as usual."""
        if executables() is None:
            return None
        dynamic = tuple(value for k, value in enumerate(arguments) if k not in self._static)
        static = tuple(value for k, value in enumerate(arguments) if k in self._static)
        leaves, tree = jax.tree.flatten(dynamic)
        if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
            return None
        device, context = _device(), _context()
        if device is None or context is None or not all(_is_on(leaf, device) for leaf in leaves):
            return None
        key = (tree, static, tuple(sorted(settings.items())), tuple(map(jax.typeof, leaves)), context)
        if key not in self._ready:
            self._ready[key] = self._made(arguments, settings, leaves, tree, static, device, context)
        run = self._ready[key]
        return None if run is None else functools.partial(run, leaves)

    def _made(self, arguments, settings, leaves, tree, static, device, context) -> Callable | None:
        avals = [(a.shape, str(a.dtype), a.weak_type) for a in map(jax.typeof, leaves)]
        name = f"{self.function.__module__}:{self.function.__qualname__}"
        try:
            key = digest(
                name, tree, static, dict(sorted(settings.items())), avals, _plain(context), *_surroundings(device)
            )
        except Unstable:
            return None
        path = _Path(f"{self.function.__name__}-{key[:40]}{_SUFFIX}")
        results: Any = None
        stored = path.read()
        if stored is not None and stored.text == _text():
            try:
                return _loaded(stored, self.function.__name__, len(leaves), device)
            except Exception:  # the file is complete but JAX cannot load it, now or next time
                return None

        @functools.wraps(self.function)
        def flat(*leaves):
            nonlocal results
            dynamic = iter(jax.tree.unflatten(tree, leaves))
            given = [value if k in self._static else next(dynamic) for k, value in enumerate(arguments)]
            found, results = jax.tree.flatten(self.function(*given, **settings))
            return found

        del flat.__wrapped__
        lowered = jax.jit(flat).lower(*leaves)
        text = lowered.as_text()
        program, calls = hashlib.sha256(text.encode()).hexdigest(), set(_CALLS.findall(text))
        if stored is not None and stored.program == program:
            with suppress(Exception):
                run = _loaded(stored, self.function.__name__, len(leaves), device)
                path.write(stored._replace(text=_text()))
                return run
        with _without_cache():
            compiled = lowered.compile()
        lapack = any(name.startswith("lapack_") for name in calls)
        if device.platform == "cpu" and not all(name.startswith(_PREPARED) for name in calls):
            return lambda leaves: jax.tree.unflatten(results, compiled(*leaves))
        with suppress(Exception):  # programs that cannot be serialised still run
            from jax.experimental.serialize_executable import serialize

            numbered = pickle.dumps(jax.tree.unflatten(results, range(results.num_leaves)))
            path.write(_Stored(_text(), program, lapack, serialize(compiled)[0], numbered))
        return lambda leaves: jax.tree.unflatten(results, compiled(*leaves))


def _loaded(stored: _Stored, name: str, count: int, device: jax.Device) -> Callable:
    from jax.experimental.serialize_executable import deserialize_and_load

    began = time.perf_counter()
    if stored.lapack:
        _prepare_lapack()
    results: Any = jax.tree.structure(pickle.loads(stored.results))
    trees = jax.tree.structure(((0,) * count, {})), jax.tree.structure([0] * results.num_leaves)
    run = deserialize_and_load(stored.executable, *trees, backend=device.client, execution_devices=[device])
    report_ready(name, time.perf_counter() - began)
    return lambda leaves: jax.tree.unflatten(results, run(*leaves))


@functools.cache
def _prepare_lapack() -> None:
    # jaxlib locates LAPACK when it first lowers a program that calls it; an executable loaded before that would crash
    jax.jit(jax.lax.linalg.cholesky).lower(jax.ShapeDtypeStruct((1, 1), jax.numpy.float32))


# -- what determines a program besides function and arguments -----------------------------------------------------------
def _device() -> jax.Device | None:
    """Return the default device if it is the first one of a single process, else ``None``."""
    first, chosen = jax.local_devices()[0], jax.config.jax_default_device  # type: ignore[attr-defined]  # made at run time
    return first if chosen in (None, first) and jax.process_count() == 1 else None


def _is_on(leaf: Any, device: jax.Device) -> bool:
    return not isinstance(leaf, jax.Array) or leaf.sharding.device_set == {device}


def _context() -> tuple | None:
    """Settings of JAX active in this thread that affect programs; ``None`` if they rule out stored executables."""
    config: Any = jax.config
    if config.jax_disable_jit or config.jax_debug_nans or config.jax_debug_infs:
        return None
    try:
        from jax._src.config import trace_context
    except ImportError:  # this JAX has no trace context, so that settings could be missed
        return None
    return trace_context()


def _plain(context: tuple) -> list[str]:
    # left out: the device of the program, and that nothing is being traced
    return [repr(value) for value in context if not isinstance(value, jax.Device) and type(value).__name__ != "AxisEnv"]


def _surroundings(device: jax.Device) -> tuple[Any, ...]:
    settings = [repr(jax.config.values.get(name)) for name in _COMPILER]
    flags = [os.environ.get(name, "") for name in ("XLA_FLAGS", "LIBTPU_INIT_ARGS")]
    kind = (device.platform, device.device_kind, device.client.platform_version, jax.local_device_count())
    return settings, flags, kind, _installed()


@functools.cache
def _installed() -> tuple[str, ...]:
    """Type of CPU and package versions."""
    versions = [f"{name} {metadata.version(name)}" for name in _LIBRARIES]
    return (processor(), sys.version, *versions)


@functools.cache
def _text() -> str:
    """Digest of the source text of this package."""
    root = Path(__file__).parent
    made = hashlib.sha256()
    for path in sorted((*root.rglob("*.py"), *root.rglob("*.csv"))):
        made.update(f"{path.relative_to(root)}".encode() + path.read_bytes())
    return made.hexdigest()


_compiling = threading.Lock()


# JAX serialises executables from its own cache differently from those it compiled: results are no longer identical bit
# by bit
@contextmanager
def _without_cache() -> Iterator[None]:
    from jax.experimental.compilation_cache.compilation_cache import reset_cache

    with _compiling:
        before = jax.config.jax_enable_compilation_cache  # type: ignore[attr-defined]  # options are added at run time
        jax.config.update("jax_enable_compilation_cache", False)
        reset_cache()
        try:
            yield
        finally:
            jax.config.update("jax_enable_compilation_cache", before)
            reset_cache()


# -- files ------------------------------------------------------------------------------------------------------------------
class _Path:
    """A file in the folder of executables, preceded by the digest of its content."""

    def __init__(self, name: str) -> None:
        self.name = name

    def read(self) -> _Stored | None:
        """Return its content; ``None`` if it is missing, incomplete or not to be trusted."""
        folder = _trusted_folder()
        if folder is None:
            return None
        try:
            content = (folder / self.name).read_bytes()
            if hashlib.sha256(content[32:]).digest() != content[:32]:
                return None
            stored = _Stored(*pickle.loads(content[32:]))
            os.utime(folder / self.name)
        except Exception:  # whatever is wrong with it, it is rebuilt
            return None
        return stored

    def write(self, stored: _Stored) -> None:
        folder = _trusted_folder()
        if folder is not None:
            content = pickle.dumps(tuple(stored))
            write_atomically(folder / self.name, hashlib.sha256(content).digest() + content)
            _make_room(folder)


_refused: set[Path] = set()


def _trusted_folder() -> Path | None:
    """Return the folder of executables, created if missing; ``None``, with one warning, if others could write to it."""
    folder = executables()
    if folder is None or not hasattr(os, "geteuid"):
        return None
    try:
        # JAX creates the parent folder when it first writes there itself
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
    except OSError:
        return None
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077:
        return folder
    if folder not in _refused:
        _refused.add(folder)
        warn(
            f"executables are neither kept in {folder} nor loaded from it, since others might have put some there: make it a "
            f"folder of your own that only you can enter (chmod 700 {folder}), or choose another one for compiled programs",
        )
    return None


def _make_room(folder: Path) -> None:
    """Delete executables unused for a long time and, beyond the size limit, the least recently used ones."""
    files = []
    for path in folder.glob(f"*{_SUFFIX}"):
        with suppress(OSError):  # another process may have removed it
            files.append((path.stat().st_mtime, path.stat().st_size, path))
    total, now = 0, time.time()
    for used, size, path in sorted(files, reverse=True, key=lambda file: file[0]):
        total += size
        if total > _MOST_BYTES or now - used > _MOST_SECONDS:
            path.unlink(missing_ok=True)
