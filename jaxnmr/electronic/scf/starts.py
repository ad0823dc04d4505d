"""Where a self-consistent field starts: densities that pyscf guesses, and those of predicted Kohn-Sham matrices."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import scipy.linalg

from ...errors import ConventionError, DataError, ShapeError
from ..data import HamiltonianData
from ..model import HamiltonianModel
from .calculation import Settings

# functions that are nearer to being dependent than this make orbital energies meaningless
_LEAST_OVERLAP = 1e-7


class Predictor(Protocol):
    """Predicts Kohn-Sham matrices; a function of this kind is one."""

    def __call__(self, numbers: np.ndarray, xyz: np.ndarray, h0: np.ndarray, s: np.ndarray) -> np.ndarray:
        """The Kohn-Sham matrix in hartree, shape ``(nao, nao)``.

        Args:
            numbers: atomic numbers, shape ``(n,)``.
            xyz: positions in angstrom, shape ``(n, 3)``.
            h0: Kohn-Sham matrix of the minao density; zeros for predictors that do not want it.
            s: overlap.
        """
        ...


class Start(Protocol):
    """Makes the density matrix that a calculation starts from."""

    def __call__(self, field: Any) -> np.ndarray:
        """A density matrix for a calculation of pyscf; whatever is built on the way is built by ``field``."""
        ...


def density_of(h: np.ndarray, s: np.ndarray, electrons: int) -> np.ndarray:
    """The density matrix that fills the lowest orbitals of a Kohn-Sham matrix by two electrons each.

    Raises:
        ConventionError: an odd number of electrons, or functions that depend on each other.
        ShapeError, DataError: matrices that do not fit, or are not finite.
    """
    if electrons % 2:
        raise ConventionError(f"{electrons} electrons, an odd number: orbitals are filled by two")
    h, s = np.asarray(h, float), np.asarray(s, float)
    if h.shape != s.shape or h.ndim != 2:
        raise ShapeError(
            f"the Kohn-Sham matrix has the shape {h.shape}, the overlap {s.shape}: is the model of this basis?"
        )
    if not np.isfinite(h).all():
        raise DataError("the predicted Kohn-Sham matrix is not finite")
    least = np.linalg.eigvalsh(s)[0]
    if least < _LEAST_OVERLAP:
        raise ConventionError(
            f"the least eigenvalue of the overlap is {least:.1e}: functions depend on each other; take a smaller basis"
        )
    _, orbitals = scipy.linalg.eigh((h + h.T) / 2, s)
    filled = orbitals[:, : electrons // 2]
    return 2 * filled @ filled.T


@dataclass(frozen=True)
class Predicted:
    """A start from a predicted Kohn-Sham matrix.

    Attributes:
        predictor: what predicts it.
        delta: whether it wants the minao Fock matrix, which is one build.
    """

    predictor: Predictor
    delta: bool = True

    def __call__(self, field: Any) -> np.ndarray:
        mol = field.mol
        xyz = mol.atom_coords(unit="Angstrom")
        s = field.get_ovlp()
        h0 = np.zeros_like(s)
        if self.delta:
            h0 = field.get_hcore() + np.asarray(field.get_veff(mol, field.init_guess_by_minao()))
        return density_of(self.predictor(mol.atom_charges(), xyz, h0, s), s, mol.nelectron)


def _once(numbers: np.ndarray, xyz: np.ndarray, h0: np.ndarray, s: np.ndarray) -> np.ndarray:
    return h0


def _hueckel(field: Any) -> np.ndarray:
    with warnings.catch_warnings():
        # pyscf 2.14 calls a function of its own there that it has deprecated
        warnings.filterwarnings("ignore", category=DeprecationWarning, message="remove_linear_dep_")
        return field.init_guess_by_huckel()


# densities that cost no Fock build, and the one that the minao Fock matrix gives
STARTS: Mapping[str, Start] = {
    "minao": lambda field: field.init_guess_by_minao(),
    "SAP": lambda field: field.init_guess_by_sap(),
    "Hückel": _hueckel,
    "hcore": lambda field: field.init_guess_by_1e(),
    "minao Fock": Predicted(_once),
}


def given(density: np.ndarray) -> Start:
    """A start from a density matrix that is there already."""

    def start(field: Any) -> np.ndarray:
        size = field.mol.nao_nr()
        if np.shape(density) != (size, size):
            raise ShapeError(f"the density matrix has the shape {np.shape(density)}, the basis {size} functions")
        return np.asarray(density, float)

    return start


@dataclass(frozen=True)
class ModelPredictor:
    """A trained network as a predictor."""

    model: HamiltonianModel

    def __call__(self, numbers: np.ndarray, xyz: np.ndarray, h0: np.ndarray, s: np.ndarray) -> np.ndarray:
        """As of :class:`Predictor`."""
        return self.model.hamiltonian(numbers, xyz, h0 if self.model.config.start else None)


def model_start(model: HamiltonianModel, settings: Settings) -> Predicted:
    """The start that a trained network predicts for calculations with these settings.

    Raises:
        ConventionError: the network is of another basis or functional, or adds to another start than minao.
    """
    config = model.config
    for what, ours, its in (
        ("basis", settings.basis, config.basis),
        ("functional", settings.functional, config.functional),
    ):
        if ours.lower() != its.lower():
            raise ConventionError(
                f"the model is of the {what} {its!r}, the calculation of {ours!r}: take a model of the same"
            )
    if config.start not in ("", "minao"):
        raise ConventionError(f"the model adds to the start {config.start!r}; only minao is calculated here")
    return Predicted(ModelPredictor(model), delta=bool(config.start))


def settings_of(data: HamiltonianData) -> Settings:
    """The settings that labelled data were made with, from their metadata."""
    said = data.metadata.get("settings")
    if said:
        return Settings(**said)
    return Settings(functional=data.functional or Settings.functional, basis=data.basis)
