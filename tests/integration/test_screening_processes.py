"""Two processes of two devices each, joined by jax.distributed, share candidates out and spread starts over devices."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = """
import json, sys
import jax
jax.config.update("jax_enable_x64", True)
index, port, folder = int(sys.argv[1]), sys.argv[2], sys.argv[3]
jax.distributed.initialize(f"localhost:{port}", num_processes=2, process_id=index)
import jax.numpy as jnp
import numpy as np
from small_problems import Equations, rutile
import jaxnmr as jn

@jn.term("seen", sigma=1e-3)
def seen(state):
    crystal = state.crystal
    return jnp.stack([crystal.cell[0] - 4.594, crystal.cell[2] - 2.959, crystal.xyz[1, 0] - 0.305])

def make(crystal):
    objective = jn.Objective(seen, crystal=crystal)
    return objective, objective.parameters().free("cell")

places = [0.305 + 0.001 * k for k in range(6)]
candidates = {f"x {x:.3f}": rutile().replace(xyz=np.array([[0, 0, 0], [x, x, 0]])) for x in places}
done = []
result = jn.screen(candidates, make, folder=folder, callback=lambda row: done.append(row.name))

wells = jn.Objective(Equations(lambda x: jnp.array([10.0 * (x[0] ** 2 - 1.0), x[0] - 1.0, x[1] - x[0]]), [0.8, 0.0]))
params = wells.parameters().free("problem/x")
starts = params.replace(flat=np.stack([[0.5, -0.6, np.nan, 1.4, -1.3], np.linspace(-1, 1, 5)], axis=1))
both = jn.refine_starts(wells, starts)
one = jn.refine_starts(wells, starts, devices=jax.local_devices()[:1])
print(json.dumps({
    "processes": jax.process_count(), "devices": [jax.device_count(), both.devices, one.devices],
    "rows": [[row.name, row.chi2] for row in result.rows], "refined": result.refined, "resumed": result.resumed,
    "minima": [row.minimum for row in both.rows], "difference": float(np.nanmax(np.abs(both.parameters.flat - one.parameters.flat))),
    "steps": [[row.steps for row in found.rows] for found in (both, one)],
}))
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What either process says."""
    folder = tmp_path_factory.mktemp("processes")
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
            [sys.executable, "-c", SCRIPT, str(k), str(port), str(folder)],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for k in range(2)
    ]  # fmt: skip
    said = [process.communicate(timeout=400) for process in running]
    for process, (_, complaint) in zip(running, said, strict=True):
        assert process.returncode == 0, complaint
    return [json.loads(out.splitlines()[-1]) for out, _ in said], folder


def test_every_candidate_is_refined_once_and_both_processes_know_all_of_them(outcomes):
    (first, second), folder = outcomes
    assert first["processes"] == second["processes"] == 2
    assert first["refined"] + second["refined"] == 6
    assert first["resumed"] == second["refined"] and second["resumed"] == first["refined"]
    assert len(list(folder.glob("*.json"))) == len(list(folder.glob("*.cif"))) == 6
    assert first["rows"] == second["rows"] and not list(folder.glob("*.claim"))
    assert [name for name, _ in first["rows"]] == [f"x {0.305 + 0.001 * k:.3f}" for k in range(6)]
    np.testing.assert_allclose([chi2 for _, chi2 in first["rows"]], np.arange(6.0) ** 2, atol=1e-6)


def test_starts_spread_over_two_devices_end_where_they_end_on_one(outcomes):
    for outcome in outcomes[0]:
        assert outcome["devices"] == [4, 2, 1]
        assert outcome["difference"] < 1e-9
        assert outcome["steps"][0] == outcome["steps"][1]
        assert outcome["minima"] == [1, 2, 0, 1, 2]
