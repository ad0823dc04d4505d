"""`LineAreas`: measured areas of groups of reflections with their covariance, from any instrument (host)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from jaxtyping import Float, Int

from ...crystal import SpaceGroup, reciprocal_metric
from ...diffraction.reflections import laue_rotations
from ...errors import ConventionError, DataError, ParameterError, ShapeError
from ...typing import Numbers
from .waves import IndependentWaves


@dataclass(frozen=True)
class LineAreas:
    """Areas: ``area[g] = scale · sum of weight[k] |F(k)|²`` over the reflections k of group g.

    Attributes:
        cell: ``(6,)`` Å and degrees; ``group`` defines the equivalents of the reflections.
        hkl: ``(n, 3)`` one reflection of each set of equivalents.
        weight: ``(n,)`` multiplicity times angular factors.
        members: ``(n,)`` index of the group of each reflection.
        area: ``(groups,)``; ``covariance`` ``(groups, groups)`` of the areas.
        atoms: scattering electrons: ``"all-electron"`` or ``"valence"``.
        name: name of the pattern.
    """

    cell: Float[np.ndarray, "6"]
    group: SpaceGroup
    hkl: Int[np.ndarray, "n 3"]
    weight: Float[np.ndarray, " n"]
    members: Int[np.ndarray, " n"]
    area: Float[np.ndarray, " groups"]
    covariance: Float[np.ndarray, "groups groups"]
    atoms: str = "all-electron"
    name: str = "lines"

    @classmethod
    def create(
        cls,
        cell: Numbers,
        hkl: Numbers,
        weight: Numbers,
        area: Numbers,
        *,
        sigma: Numbers | None = None,
        covariance: Numbers | None = None,
        members: Sequence[int] | np.ndarray | None = None,
        group: SpaceGroup | None = None,
        atoms: str = "all-electron",
        name: str = "lines",
    ) -> Self:
        """Check and store areas.

        Args:
            cell, hkl, weight, area, members, group, atoms, name: as of the class; by default P1 and one group per
                reflection.
            sigma: standard deviations of the areas, alternatively their ``covariance``.

        Raises:
            ShapeError: shapes do not match.
            DataError: areas are negative, not finite or all zero, or the covariance is invalid.
            ParameterError: neither or both of ``sigma`` and ``covariance`` are given, or the kind of electrons is
                unknown.
        """
        h = np.asarray(hkl)
        if h.ndim != 2 or h.shape[1] != 3 or np.any(h != np.round(h)):
            raise ShapeError(f"reflections of shape {h.shape}; expected (n, 3) whole numbers")
        values, w = np.asarray(area, dtype=float), np.asarray(weight, dtype=float)
        places = np.arange(len(h)) if members is None else np.asarray(members, dtype=int)
        if w.shape != (len(h),) or places.shape != (len(h),) or values.shape != (int(places.max(initial=-1)) + 1,):
            raise ShapeError(
                f"{len(h)} reflections with weights of {w.shape} in {int(places.max(initial=-1)) + 1} groups and areas of {values.shape}; "
                "expected a weight for each reflection and an area for each group"
            )
        if (sigma is None) == (covariance is None):
            raise ParameterError("areas need sigma= or covariance=, one of them")
        if covariance is None:
            deviations = np.broadcast_to(np.asarray(sigma, dtype=float), values.shape)
            if not (np.isfinite(deviations).all() and (deviations > 0.0).all()):
                raise DataError("standard deviations of areas must be finite and positive")
            matrix = np.diag(deviations**2)
        else:
            matrix = np.asarray(covariance, dtype=float)
        if matrix.shape != (len(values), len(values)):
            raise ShapeError(f"a covariance of {matrix.shape} for {len(values)} areas")
        if not np.isfinite(matrix).all() or np.diag(matrix).min(initial=1.0) <= 0.0:
            raise DataError("the covariance of areas must be finite, with variances above 0")
        if not np.isfinite(values).all() or (values < 0.0).any():
            bad = int(np.flatnonzero(~np.isfinite(values) | (values < 0.0))[0])
            raise DataError(
                f"the area of group {bad} is {values[bad]:g}; areas are not negative: set those that noise has made so to zero, with their "
                "deviation"
            )
        if not values.size or values.max() <= 0.0:
            raise DataError("no line has an area: there is no pattern")
        if atoms not in ("all-electron", "valence"):
            raise ParameterError(f"atoms is {atoms!r}; expected 'all-electron' or 'valence'")
        return cls(
            np.asarray(cell, dtype=float), SpaceGroup.from_name(1) if group is None else group, h.astype(int), w, places, values, matrix,
            atoms, name,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.area)

    @property
    def sigma(self) -> Float[np.ndarray, " groups"]:
        """Standard deviations of the areas."""
        return np.sqrt(np.diag(self.covariance))

    def with_model_error(self, relative: float) -> Self:
        """Return the same areas with a relative error added to the covariance, for deficiencies of a model.

        Raises:
            ParameterError: the number is negative.
        """
        if not 0.0 <= relative < np.inf:
            raise ParameterError(f"the relative error is {relative}; expected a number from 0 on")
        return replace(self, covariance=self.covariance + np.diag((relative * self.area) ** 2))

    def summing(self, waves: IndependentWaves) -> Float[np.ndarray, "groups waves"]:
        """Return the matrix of ``area = scale · summing @ |F|²`` with the structure factors of waves.

        For a density of lower symmetry than the reflections, every equivalent has its own structure factor.

        Raises:
            ConventionError: the waves have another cell, or lack some of the reflections.
        """
        if np.abs(self.cell / waves.cell - 1.0).max() > 2e-3:
            raise ConventionError(
                f"areas of the cell {np.round(self.cell, 4).tolist()} and waves of {np.round(waves.cell, 4).tolist()}: give one cell"
            )
        rotations = laue_rotations(self.group)
        images = np.einsum("ni,kij->nkj", self.hkl, rotations)
        where = waves.find(images.reshape(-1, 3)).reshape(len(self.hkl), len(rotations))
        lost = np.flatnonzero((where < 0).all(axis=1))
        d_star = np.sqrt(np.einsum("ni,ij,nj->n", self.hkl, reciprocal_metric(waves.cell), self.hkl))
        beyond = lost[d_star[lost] > 1.001 * waves.d_star.max()]
        if len(beyond):
            k = int(beyond[0])
            raise ConventionError(
                f"{self.name} has the reflection {' '.join(map(str, self.hkl[k]))} at d = {1.0 / d_star[k]:.4f} Å, the density ends at "
                f"{1.0 / waves.d_star.max():.4f} Å: give it a smaller d_min, or end the pattern earlier"
            )
        # each image of a reflection has the same share of its weight, however often it occurs
        found = np.zeros((len(self), len(waves)))
        row, column = np.nonzero(where >= 0)
        np.add.at(found, (self.members[row], where[row, column]), self.weight[row] / len(rotations))
        return found

    def roots(self) -> tuple[Float[np.ndarray, " groups"], Float[np.ndarray, "groups groups"], float]:
        """Return the compared ``sqrt(area + lift)``, the inverse of a root of its covariance, and ``lift``.

        Square roots are nearly linear in structure factors; the lift bounds their slope for absent lines to what the
        noise warrants.
        """
        lift = float(self.sigma.min())
        observed = np.sqrt(self.area + lift)
        covariance = self.covariance / (4.0 * observed * observed[:, None])
        size = np.sqrt(np.diag(covariance))
        try:
            factor = np.linalg.cholesky(covariance / (size * size[:, None]))
        except np.linalg.LinAlgError as error:
            raise DataError(f"the covariance of the areas of {self.name} has directions without variance") from error
        return observed, np.linalg.inv(factor) / size, lift
