"""Two processes of two devices each, joined by jax.distributed: each spreads starts over the devices of its own."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json, sys
import jax
jax.config.update("jax_enable_x64", True)
index, port = int(sys.argv[1]), sys.argv[2]
jax.distributed.initialize(f"localhost:{port}", num_processes=2, process_id=index)
import jax.numpy as jnp
import numpy as np
from small_problems import Equations
import jaxnmr as jn

wells = jn.Objective(Equations(lambda x: jnp.array([10.0 * (x[0] ** 2 - 1.0), x[0] - 1.0, x[1] - x[0]]), [0.8, 0.0]))
params = wells.parameters().free("problem/x")
starts = params.replace(flat=np.stack([[0.5, -0.6, np.nan, 1.4, -1.3], np.linspace(-1, 1, 5)], axis=1))
both = jn.refine_starts(wells, starts)
one = jn.refine_starts(wells, starts, devices=jax.local_devices()[:1])
print(json.dumps({
    "processes": jax.process_count(), "devices": [jax.device_count(), both.devices, one.devices],
    "minima": [row.minimum for row in both.rows], "difference": float(np.nanmax(np.abs(both.parameters.flat - one.parameters.flat))),
    "steps": [[row.steps for row in found.rows] for found in (both, one)],
}))
"""


@pytest.fixture(scope="module")
def outcomes():
    """What either process says."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    tests = Path(__file__).parents[1]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent), os.environ.get("PYTHONPATH", "")]),
        "JAX_NUM_CPU_DEVICES": "2",
        "JAX_PLATFORMS": "cpu",
    }
    running = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(k), str(port)],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for k in range(2)
    ]  # fmt: skip
    said = [process.communicate(timeout=400) for process in running]
    for process, (_, complaint) in zip(running, said, strict=True):
        assert process.returncode == 0, complaint
    return [json.loads(out.splitlines()[-1]) for out, _ in said]


def test_starts_spread_over_two_devices_end_where_they_end_on_one(outcomes):
    for outcome in outcomes:
        assert outcome["devices"] == [4, 2, 1]
        assert outcome["difference"] < 1e-9
        assert outcome["steps"][0] == outcome["steps"][1]
        assert outcome["minima"] == [1, 2, 0, 1, 2]
