"""Compiled programs kept for the next process, and nothing said about it."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from jax.experimental.compilation_cache.compilation_cache import reset_cache

import jaxnmr as jn
from jaxnmr import _cache
from jaxnmr._compilations import watch_compilations
from jaxnmr.errors import ConventionError

ROOT = Path(__file__).resolve().parents[2]
# compiles a program without a cache, then one per folder, and prints how many of these were found
PROGRAM = """
import sys
import jax, jax.numpy as jnp
import jaxnmr as jn

hits = []
jax.monitoring.register_event_listener(lambda event, **_: hits.append(event) if event.endswith("/cache_hits") else None)
x = jax.block_until_ready(jnp.ones((8, 8)))
for k, folder in enumerate(sys.argv[1:]):
    jn.enable_cache(folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.block_until_ready(jax.jit(lambda x: jnp.sin(x) @ x + k)(x))
print(len(hits))
"""


@pytest.fixture(autouse=True)
def settings():
    """Keep what is switched on inside the test."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    reset_cache()


def run(*folders, program=PROGRAM, **variables) -> tuple[int, str]:
    """How many programs were found, and what was written to standard error."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "TF_CPP_", "XLA_"))} | variables
    command = [sys.executable, "-c", program, *map(str, folders)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=True)
    return int(done.stdout), done.stderr


def test_a_second_process_loads_what_the_first_compiled_and_neither_says_anything(tmp_path):
    assert run(tmp_path) == (0, "")
    assert run(tmp_path) == (1, "")


def test_the_folder_can_be_changed_on_the_way(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    run(first, second)
    kept = [{p.name for p in folder.iterdir() if p.name.endswith("-cache")} for folder in (first, second)]
    assert [len(names) for names in kept] == [1, 1] and kept[0] != kept[1]


def test_a_folder_of_the_environment_makes_no_noise_in_double_precision_either(tmp_path):
    program = (
        "import jax, jax.numpy as jnp, jaxnmr as jn; jn.enable_x64(); print(int(jax.jit(lambda x: x @ x)(jnp.ones(3))))"
    )
    variables = dict(JAX_COMPILATION_CACHE_DIR=str(tmp_path), JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0")
    for _ in range(2):
        assert run(program=program, **variables) == (3, "")
    assert any(tmp_path.iterdir())


def test_a_log_that_was_asked_for_is_not_silenced(tmp_path):
    assert "Resetting cache" in run(tmp_path, JAX_LOGGING_LEVEL="DEBUG")[1]


def test_the_folder_is_the_one_given_or_that_of_the_environment_or_the_users(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    assert jn.enable_cache() == _cache.default_cache()
    assert _cache.default_cache().parent == tmp_path / "jaxnmr"
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "elsewhere")
    assert jn.enable_cache() == Path("elsewhere")
    assert jn.enable_cache("mine") == Path("mine")
    assert jax.config.jax_compilation_cache_dir == "mine"


def test_the_folder_depends_on_the_processor(monkeypatch):
    folder = _cache.default_cache()
    monkeypatch.setattr(_cache, "processor", lambda: "another processor")
    assert _cache.default_cache() != folder
    assert _cache.default_cache().parent == folder.parent


def test_pythons_loggers_stay_as_they_were(tmp_path, monkeypatch):
    logger = logging.getLogger("jax")
    before = logger.level, list(logger.handlers)
    logger.setLevel(logging.ERROR)
    try:
        jn.enable_cache(tmp_path)
        assert (logger.level, logger.handlers) == (logging.ERROR, before[1])
        assert jax.config.jax_logging_level == "NOTSET"
    finally:
        logger.setLevel(before[0])


def test_a_program_that_is_loaded_counts_as_compiled(tmp_path):
    jn.enable_cache(tmp_path)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    hits = []
    found = lambda event, **_: hits.append(event) if event.endswith("/cache_hits") else None
    x = jnp.ones((7, 7))
    jax.monitoring.register_event_listener(found)
    try:
        for _ in range(2):
            with watch_compilations() as watch:
                jax.jit(lambda x: jnp.cos(x) @ x)(x)
            assert watch.count == 1
    finally:
        jax.monitoring.unregister_event_listener(found)
    assert len(hits) == 1


def test_a_folder_that_cannot_be_made_is_refused_at_once(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ConventionError, match="cannot be kept in"):
        jn.enable_cache(file)
