"""Digest of all inputs of a refinement (host)."""

from __future__ import annotations

import hashlib
import re
from importlib import metadata

import jax
import numpy as np

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def fingerprint(objective, params, stages, solver, settings: str = "") -> str:
    """Return a digest of all inputs of a refinement: data, structure, plans, values, bounds, stages and solver.

    User-defined functions count by name, not by content; ``settings`` may add to that.
    """
    digest = hashlib.sha256()
    leaves, tree = jax.tree.flatten((objective, params.flat))
    spec = params.spec
    for leaf in (*leaves, spec.free, spec.lower, spec.upper, spec.scale, spec.directions):
        array = np.ascontiguousarray(np.asarray(leaf))
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(array.tobytes())
    words = (tree, spec.labels, spec.ties, tuple(stages or ()), solver, settings, metadata.version("jaxnmr"))
    digest.update(_ADDRESS.sub("", repr(words)).encode())
    return digest.hexdigest()
