"""What all tests share: double precision, compiled programs kept between runs, measured data where there are any.

Tests run in double precision, as refinements do. A test that takes the ``precision`` fixture runs in both and gets the
dtype and a tolerance. Tests that switch precision themselves need not switch back.
"""

import gc
import os
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import NamedTuple

import jax
import matplotlib
import numpy as np
import pytest
from annotations import check_annotations

from jaxnmr._cache import default_cache

check_annotations()
matplotlib.use("Agg")


class Precision(NamedTuple):
    """A floating-point precision and how closely results in it can be expected to agree."""

    dtype: type
    rtol: float


# jaxlib 0.10 compiles in little more than half of the time so; later ones do not know the option, and an unknown one ends the
# process. Read when the first array is made, and by programs that tests start.
if version("jaxlib").startswith("0.10."):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_use_fusion_emitters=false".strip()

# Tracing makes many small objects that live on, among which Python looks for cycles again and again: a tenth of the time.
gc.set_threshold(50_000, 10, 10)

_MAPS = Path("/proc/self/maps")
MOST_MAPS = 20_000
_tests = count()

PRECISIONS = {"single": Precision(np.float32, 2e-4), "double": Precision(np.float64, 1e-10)}


def pytest_configure(config):
    jax.config.update("jax_enable_x64", True)
    cache = getattr(config, "cache", None)
    if cache is not None and "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        # most of the time of a first run is compilation; later runs read the programs from pytest's cache folder
        jax.config.update("jax_compilation_cache_dir", str(cache.mkdir("jax") / default_cache().name))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.03)


def pytest_collection_finish():
    # what is imported stays: no need to look at it again
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item):
    # compiling is most of the time of tests on small problems; measured data are refined as users' are, unless that takes longer
    measured = "real_data" in item.path.parts and "compiled_quickly" not in item.keywords
    jax.config.update("jax_disable_most_optimizations", not measured)


@pytest.fixture(autouse=True)
def _double_precision():
    """Every test starts in double precision, whatever the one before did."""
    if not jax.config.jax_enable_x64:
        jax.config.update("jax_enable_x64", True)
    yield
    if not jax.config.jax_enable_x64:
        jax.config.update("jax_enable_x64", True)


@pytest.fixture(autouse=True)
def _few_programs():
    """Compiled programs are dropped before the system's limit of memory maps (65,530 on Linux) would end the process."""
    yield
    # looking takes longer than a small test
    if next(_tests) % 20 == 0 and _MAPS.exists() and _MAPS.read_bytes().count(b"\n") > MOST_MAPS:
        jax.clear_caches()
        # what is part of a cycle has not gone yet
        gc.collect()


@pytest.fixture(params=["single", "double"])
def precision(request) -> Precision:
    """Run the test in single and in double precision."""
    jax.config.update("jax_enable_x64", request.param == "double")
    return PRECISIONS[request.param]


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of measured patterns; skips where the environment variable ``JAXNMR_DATA`` does not name one."""
    folder = os.environ.get("JAXNMR_DATA")
    if not folder:
        pytest.skip("set JAXNMR_DATA to the folder of measured data")
    if not Path(folder).is_dir():
        pytest.fail(f"JAXNMR_DATA is {folder!r}, which is not a folder")
    return Path(folder)
