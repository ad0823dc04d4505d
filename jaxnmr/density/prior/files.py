"""Files of priors: large arrays in half precision, everything else in the header (host)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from ..._files import write_atomically
from ..._model_file import find_shipped, shipped_names
from ...errors import DataError, ParseError
from ..intervals import Intervals
from .basis import Basis
from .data import LineSet
from .isotypes import Isotypes
from .model import DensityPrior
from .network import CoefficientNetwork
from .waves import WaveSet

FORMAT = 2
SHIPPED = Path(__file__).parent / "shipped"
_KEY = "jaxnmr-density-prior"
# size above which an array is stored in half precision
_LARGE = 5000
# quantisation steps of coordinates per cell
_STEPS = 1 << 16


def shipped_priors() -> tuple[str, ...]:
    """List the names of the priors that come with the package."""
    return shipped_names(SHIPPED)


def save_prior(prior: DensityPrior, path: str | Path) -> Path:
    """Write a prior and its card.

    Raises:
        DataError: numbers exceed half precision.
    """
    variables = {
        "network/" + "/".join(str(getattr(part, "key", part)) for part in way): np.asarray(leaf)
        for way, leaf in jax.tree_util.tree_flatten_with_path(prior.variables)[0]
    }
    # vectors of even functions are real, of odd ones imaginary: half of the components are zero
    m = len(prior.basis.waves.hkl)
    even = prior.basis.poses[1] > 0
    halves = np.where(even, prior.basis.vectors[:m], prior.basis.vectors[m:])
    arrays = {**variables, "vectors": halves, "mean": prior.basis.mean[:m], "poses": prior.basis.poses.astype(np.int8), "scale": prior.basis.scale,
        "centre": prior.centre, "spread": prior.spread}  # fmt: skip
    if prior.isotypes is not None:
        of = prior.isotypes
        places = (np.round(of.xyz * _STEPS).astype(np.int64) % _STEPS).astype(np.uint16)
        arrays |= {"isotypes/xyz": places, "isotypes/frequency": of.frequency, "isotypes/logs": of.logs}
    kept = {name: _small(name, array) for name, array in arrays.items()}
    said = {
        "format": FORMAT, "waves": int(prior.basis.waves.squares.max()), "lines": int(prior.lines.largest), "explained": prior.basis.explained,
        "network": [prior.network.size, prior.network.rank, prior.network.width, prior.network.depth], "unit": prior.unit,
        "elements": prior.elements, "atoms": prior.atoms, "temperature": dict(prior.temperature), "card": dict(prior.card),
        "electrons": prior.isotypes.atoms if prior.isotypes else None, "intervals": {mode: list(of) for mode, of in prior.intervals.items()},
    }  # fmt: skip
    return write_atomically(Path(path), safetensors.numpy.save(kept, metadata={_KEY: json.dumps(said)}))


def load_prior(path: str | Path) -> DensityPrior:
    """Read a prior.

    Args:
        path: path of a file, or the name of a prior that comes with the package: see `shipped_priors`.

    Raises:
        ConventionError: a name without a suffix is not that of a shipped prior.
        ParseError: the file does not exist, is of another kind or version, or is damaged.
    """
    path = find_shipped(path, SHIPPED, "prior")
    if not path.is_file():
        raise ParseError(path, None, "no such file; expected a prior of densities written by a training")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            said = json.loads((file.metadata() or {})[_KEY])
            arrays = {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, safetensors.SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ParseError(path, None, f"is no prior of densities, or damaged: {error}") from error
    if said.get("format") != FORMAT:
        raise ParseError(path, None, f"is of format {said.get('format')}; this version reads {FORMAT}")
    waves, poses = WaveSet.within(said["waves"]), arrays["poses"].astype(float)
    halves = arrays["vectors"].astype(float)
    even = poses[1] > 0
    vectors = np.concatenate([halves * even, halves * ~even])
    mean = np.concatenate([arrays["mean"], np.zeros(len(waves.hkl))]).astype(float)
    scale = arrays["scale"].astype(float)
    basis = Basis(waves, mean, vectors, poses, scale, said["explained"])
    isotypes, lines = None, LineSet.within(said["lines"])
    if "isotypes/xyz" in arrays:
        xyz, frequency, logs = (arrays[f"isotypes/{part}"].astype(float) for part in ("xyz", "frequency", "logs"))
        isotypes = Isotypes(tuple(said["elements"]), frequency, xyz / _STEPS, logs, lines, said["electrons"])
    variables: dict[str, Any] = {}
    for name, array in arrays.items():
        if name.startswith("network/"):
            *way, last = name.split("/")[1:]
            at = variables
            for part in way:
                at = at.setdefault(part, {})
            at[last] = jnp.asarray(array, jnp.float32)
    return DensityPrior(
        basis, lines, CoefficientNetwork(*said["network"]), variables, arrays["centre"], arrays["spread"],
        said["unit"], tuple(said["elements"]), said["atoms"], said["temperature"], said["card"], isotypes,
        {mode: Intervals(*of) for mode, of in said.get("intervals", {}).items()},
    )  # fmt: skip


def _small(name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind in "iu":
        return np.ascontiguousarray(array)
    kept = np.ascontiguousarray(array, np.float16 if array.size >= _LARGE else np.float32)
    if not np.isfinite(kept).all():
        raise DataError(f"{name} is not finite: the training has diverged")
    return kept
