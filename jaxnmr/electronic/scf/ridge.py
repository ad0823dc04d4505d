"""What a network has to beat: ridge regression of Kohn-Sham matrices in the frame of the molecule, by internal coordinates.

One molecule, its atoms in one order. Features are the changes of bonds and angles from their means and the sines and cosines of
dihedrals, all scaled to unit variance; the regression is of polynomials of them up to a degree, with the kernel (1 + x.y / f)^degree of f
features, and a ridge that the leave-one-out error chooses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import ConventionError, DataError
from ..basis import Orbitals
from ..data import HamiltonianData
from .frame import turned_functions, turning
from .internal import Tree, tree_of

# of the mean of the kernel's diagonal
_RIDGES = 10.0 ** np.arange(-10, 1)
# deviations beyond all of the training by this part of their range are outside the domain
_BEYOND = 0.5


@dataclass(frozen=True)
class RidgeModel:
    """A regression that was fitted. Calling it predicts one matrix, as a predictor of :mod:`.starts`.

    Attributes:
        numbers: atomic numbers of the molecule.
        delta: whether it predicts what is to be added to the minao Fock matrix.
        degree: of the polynomials.
        ridge: chosen, relative to the mean of the kernel's diagonal.
        fitted: arrays of the fit.
    """

    numbers: tuple[int, ...]
    basis: str
    tree: Tree
    delta: bool
    degree: int
    ridge: float
    fitted: dict[str, np.ndarray]

    @property
    def name(self) -> str:
        """Such as ``"ridge, delta, degree 2"``."""
        return f"ridge, {'delta' if self.delta else 'whole'}, degree {self.degree}"

    def __call__(self, numbers: np.ndarray, xyz: np.ndarray, h0: np.ndarray, s: np.ndarray) -> np.ndarray:
        """The Kohn-Sham matrix in hartree, shape ``(nao, nao)``.

        Raises:
            ConventionError: another molecule, or its atoms in another order.
        """
        if tuple(int(z) for z in numbers) != self.numbers:
            raise ConventionError(
                f"the regression is of the atoms {self.numbers} in this order, not {tuple(int(z) for z in numbers)}: fit another"
            )
        features = self.features(np.asarray(xyz)[None])
        kernel = _kernel(features, self.fitted["features"], self.degree)
        found = (self.fitted["mean"] + kernel @ self.fitted["weights"]).reshape(len(h0), len(h0))
        functions = self._functions(np.asarray(xyz))
        turned = functions.T @ found @ functions
        turned = (turned + turned.T) / 2
        return turned + h0 if self.delta else turned

    def features(self, xyz: np.ndarray) -> np.ndarray:
        """Features, shape ``(g, f)``, of positions of shape ``(g, n, 3)``."""
        raw = _raw(self.tree, xyz, self.fitted["middle"])
        return (raw - self.fitted["offset"]) / self.fitted["scale"]

    def outside(self, xyz: np.ndarray) -> np.ndarray:
        """By how much the most extreme feature of each geometry leaves the range of the training, in parts of that range; ``(g,)``."""
        features, known = self.features(xyz), self.fitted["features"]
        low, high = known.min(0), known.max(0)
        return (np.maximum(low - features, features - high) / (high - low)).max(1).clip(0)

    def require_inside(self, xyz: np.ndarray) -> None:
        """Refuse geometries that lie far outside the training.

        Raises:
            DataError: an internal coordinate half its range beyond.
        """
        beyond = self.outside(xyz)
        if beyond.max() > _BEYOND:
            raise DataError(
                f"geometry {int(beyond.argmax())} lies outside the training: a coordinate is {100 * beyond.max():.0f} % of its range beyond "
                "it; train with geometries of this kind"
            )

    def _functions(self, xyz: np.ndarray) -> np.ndarray:
        orbitals = Orbitals.of(self.numbers, self.basis)
        return turned_functions(orbitals, turning(xyz, self.fitted["reference"], np.array(self.numbers, float)))


def fit_ridge(data: HamiltonianData, *, delta: bool = True, degree: int = 2) -> RidgeModel:
    """Fit a regression to all geometries of the data.

    Raises:
        DataError: fewer than five geometries.
        ConventionError: a molecule that has no internal coordinates.
    """
    if len(data) < 5:
        raise DataError(f"{len(data)} geometries, which are too few for a regression")
    numbers = tuple(int(z) for z in data.numbers)
    tree = tree_of(numbers, data.xyz[0])
    reference = data.xyz[0]
    weights = np.array(numbers, float)
    # the mean of all after they were turned to the first
    reference = np.mean([(turning(x, reference, weights) @ (x - x.mean(0)).T).T for x in data.xyz], axis=0)
    middle = _middle(tree, data.xyz)
    raw = _raw(tree, data.xyz, middle)
    offset, scale = raw.mean(0), raw.std(0)
    # what never changes, as the improper dihedrals of three atoms, is left out by an infinite scale
    scale = np.where(scale > 1e-8, scale, np.inf)
    fitted: dict[str, Any] = {"reference": reference, "middle": middle, "offset": offset, "scale": scale}
    model = RidgeModel(numbers, data.basis, tree, delta, degree, 0.0, fitted)
    features = (raw - offset) / scale
    labels = data.h - data.h0 if delta else data.h
    functions = np.array([model._functions(x) for x in data.xyz])
    labels = np.einsum("gij,gjk,glk->gil", functions, labels, functions, optimize=True).reshape(len(data), -1)
    mean = labels.mean(0)
    ridge, coefficients = _fit(_kernel(features, features, degree), labels - mean)
    fitted |= {"features": features, "mean": mean, "weights": coefficients}
    return RidgeModel(numbers, data.basis, tree, delta, degree, ridge, fitted)


def predict_all(model: RidgeModel, data: HamiltonianData) -> np.ndarray:
    """Predicted matrices of all geometries, hartree, shape ``(g, nao, nao)``."""
    rows = zip(data.xyz, data.h0, data.s, strict=True)
    return np.array([model(data.numbers, xyz, h0, s) for xyz, h0, s in rows])


def _fit(kernel: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """The ridge with the least leave-one-out error, and the weights of the training geometries."""
    values, vectors = np.linalg.eigh(kernel)
    turned = vectors.T @ labels
    size, found = np.trace(kernel) / len(kernel), []
    for ridge in _RIDGES:
        inverse = 1 / (values.clip(0) + ridge * size)
        weights = vectors @ (inverse[:, None] * turned)
        left_out = weights / np.einsum("ik,k,ik->i", vectors, inverse, vectors)[:, None]
        found.append((float(np.mean(left_out**2)), float(ridge), weights))
    _, ridge, weights = min(found, key=lambda entry: entry[0])
    return ridge, weights


def _kernel(a: np.ndarray, b: np.ndarray, degree: int) -> np.ndarray:
    return (1 + a @ b.T / a.shape[1]) ** degree


def _middle(tree: Tree, xyz: np.ndarray) -> np.ndarray:
    """Mean coordinates; those of dihedrals on the circle."""
    q = np.array([tree.measure(x) for x in xyz])
    turning_ones = np.array([kind == "dihedral" for kind in tree.kinds])
    return np.where(turning_ones, np.arctan2(np.sin(q).mean(0), np.cos(q).mean(0)), q.mean(0))


def _raw(tree: Tree, xyz: np.ndarray, middle: np.ndarray) -> np.ndarray:
    change = tree.change(np.array([tree.measure(x) for x in xyz]), middle)
    turning_ones = np.array([kind == "dihedral" for kind in tree.kinds])
    far = np.array(tree.torsions)
    sines = np.where(turning_ones, np.sin(change), change)
    return np.concatenate([sines, np.cos(change[:, far])], axis=1)
