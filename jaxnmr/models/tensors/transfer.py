"""Transfer learning: a trained network as the start for another quantity, with its features kept and new heads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...errors import ConventionError
from ...typing import Array
from ..networks.config import NetworkConfig
from .tensor_model import TensorModel

# options that must be equal, whatever is trained
_SAME = ("layers", "hidden", "cutoff", "lmax", "radial", "radial_hidden", "neighbours")
# parameters with a leading axis of species
_BY_SPECIES = ("embedding", "own")


def transferred(
    source: TensorModel, config: NetworkConfig, *, key: Array, scale: Mapping[str, Array], shift: Mapping[str, Array]
) -> TensorModel:
    """Return a model with the features of another one and random heads.

    Args:
        source: a single network that supports at least the species of ``config``.
        config: configuration of the new model: heads and species may differ, layers must be the same.
        key: typed PRNG key, for the heads.
        scale, shift: scales and shifts of the new heads, see `TensorModel.create`.

    Raises:
        ConventionError: layers or species do not match, the source is an ensemble, or a head reads other irreps.
    """
    if source.members is not None:
        raise ConventionError("the model to start from is an ensemble: take one of its networks, model.member(0)")
    for name in _SAME:
        theirs, mine = getattr(source.config, name), getattr(config, name)
        if theirs != mine:
            raise ConventionError(
                f"the model to start from has {name} = {theirs}, the new one {mine}; expected the same"
            )
    unknown = sorted(set(config.species) - set(source.config.species))
    if unknown:
        raise ConventionError(
            f"the model to start from has never seen {', '.join(unknown)}; it knows {', '.join(source.config.species)}"
        )
    rows = np.array([source.config.species.index(element) for element in config.species])
    model = TensorModel.create(config, key=key, scale=scale, shift=shift)

    def kept(path, new):
        keys = [part.key for part in path]
        if keys[0].startswith("head_"):
            return new
        old: Any = source.weights
        for part in keys:
            old = old.get(part) if isinstance(old, Mapping) else None
        old = None if old is None else jnp.asarray(old)[rows] if set(keys) & set(_BY_SPECIES) else jnp.asarray(old)
        if old is None or old.shape != new.shape:
            raise ConventionError(
                f"the heads of the two models read other features ({'/'.join(keys)} does not fit): their irreps must be made "
                "of the same l and parities, 0e aside"
            )
        return old

    return model.replace(weights=jax.tree_util.tree_map_with_path(kept, model.weights))
