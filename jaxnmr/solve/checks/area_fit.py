"""Fit of a structure to integrated intensities with their full covariance, in double precision (host).

The search compares square roots of areas with equal weights, in thousands of small fits. Here one structure is fitted
to the areas themselves, so that additional parameters (numbers of electrons, a texture) have reliable uncertainties.
All derivatives are exact.

Model errors beyond the uncertainties of the areas (neutral atoms, isotropic displacements, extinction) are taken as a
constant fraction of every area, determined such that chi² equals its degrees of freedom.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from ...crystal import Crystal, lattice
from ...crystal.cell import reciprocal_metric
from ...diffraction.between_elements import HEAVIEST, FormFactors
from ...diffraction.reflections import laue_rotations
from ...diffraction.scattering import scattering_factors
from ...errors import ConventionError, DataError
from ...units import EIGHT_PI2
from ..records import Intensities, require_areas

# Å², as in the refinement against the pattern; Å, for coordinates that areas leave open; of the logarithm of a March
# coefficient
U_PRIOR, U_SIGMA = 0.012, 0.01
_XYZ_SIGMA, _MARCH_SIGMA = 0.3, 0.5
# relative model error of areas before the fit, its minimum and its maximum
_FIRST_MISS, _LEAST_MISS, _MOST_MISS = 0.05, 1e-4, 2.0
_ROUNDS, _STEPS = 6, 20
# Å, Å², electrons, logarithms: the longest step of each kind
_LONGEST = {"scale": 1.0, "z": 8.0, "xyz": 0.3, "u": 0.02, "march": 0.3}

# within the tabulated range
_ELECTRONS = (0.2, HEAVIEST - 0.2)


@dataclass(frozen=True)
class AreaFit:
    """Result of a fit of a structure to areas.

    Attributes:
        crystal: structure with fitted coordinates and displacements; ``species`` as given.
        z: ``(sites,)`` numbers of electrons; ``march`` the March coefficient, 1 without an axis.
        numbers: ``(p,)`` parameters of the fit; ``covariance`` ``(p, p)``; ``kinds`` the kind of each: scale, z, xyz, u
            or march.
        miss: relative model error of areas beyond their uncertainties.
        deviance: -2 times the log likelihood at the best ``miss``, up to a constant of the areas.
        r_factor: R of square roots of areas, as in a search.
        areas: ``(groups,)`` calculated areas.
    """

    crystal: Crystal
    z: Float[np.ndarray, " sites"]
    march: float
    numbers: Float[np.ndarray, " p"]
    covariance: Float[np.ndarray, "p p"]
    kinds: tuple[str, ...]
    miss: float
    deviance: float
    r_factor: float
    areas: Float[np.ndarray, " groups"]

    def of(self, kind: str) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
        """Return the parameters of a kind and their standard uncertainties."""
        at = [k for k, name in enumerate(self.kinds) if name == kind]
        return self.numbers[at], np.sqrt(np.diag(self.covariance)[at])

    @property
    def bic(self) -> float:
        """Bayesian information criterion."""
        return self.deviance + len(self.numbers) * float(np.log(len(self.areas)))


def fit_areas(
    crystal: Crystal,
    areas: Intensities,
    *,
    free_z: Sequence[Sequence[int]] = (),
    start: Sequence[float] = (),
    axis: tuple[int, int, int] | None = None,
) -> AreaFit:
    """Fit scale, free coordinates, one displacement per site, and the requested parameters.

    Args:
        crystal: structure, in the cell of the areas.
        areas: areas with their covariance.
        free_z: groups of sites with one free number of electrons per group; other sites keep those of their elements.
        start: initial numbers of electrons; by default those of the elements.
        axis: hkl of a March-Dollase texture with free coefficient.

    Raises:
        ConventionError: neutrons were used and electrons are requested.
        DataError: there are fewer areas than parameters, or some are not finite.
    """
    require_areas(areas)
    if free_z and areas.instrument.radiation != "xray":
        raise ConventionError("neutrons do not see electrons: numbers of electrons need intensities of X-rays")
    model = _Model(crystal, areas, [list(group) for group in free_z], axis)
    x = model.start(start)
    n, p = len(areas), len(x)
    if n <= p:
        raise DataError(f"{n} areas of {areas.name} are too few for {p} numbers of {crystal.name} to be fitted to them")
    area, covariance = np.asarray(areas.area, dtype=float), np.asarray(areas.covariance, dtype=float)
    size = float(area.max())
    area, covariance = area / size, covariance / size**2 + 1e-12 * np.eye(n)
    miss = _FIRST_MISS
    for _ in range(_ROUNDS):
        x = _descended(model, x, area, covariance, miss)
        calculated, _ = model(x)
        before, miss = miss, _miss(area - calculated, covariance, calculated, n - p)
        if abs(miss - before) < 0.02 * before:
            break
    calculated, slope = model(x)
    factor = np.linalg.cholesky(covariance + np.diag((miss * calculated) ** 2))
    white = _white(factor, area - calculated, slope)
    normal = white[:, 1:].T @ white[:, 1:] + np.diag(1.0 / model.sigma**2)
    size_of = np.sqrt(np.maximum(np.diag(normal), 1e-12))
    inverse = np.linalg.pinv(normal / size_of / size_of[:, None], hermitian=True) / size_of / size_of[:, None]
    deviance = float(white[:, 0] @ white[:, 0] + 2.0 * np.log(np.diag(factor)).sum())
    root, seen = np.sqrt(np.maximum(calculated, 0.0)), np.sqrt(np.maximum(area, 0.0))
    agreement = (root @ seen) ** 2 / ((root @ root) * (seen @ seen))
    return AreaFit(
        crystal=model.crystal_at(x), z=model.electrons(x), march=model.march(x), numbers=x, covariance=inverse, kinds=model.kinds,
        miss=miss, deviance=deviance, r_factor=float(np.sqrt(max(1.0 - agreement, 0.0))), areas=calculated * size,
    )  # fmt: skip


def promise_of_texture(fit: AreaFit, areas: Intensities, axis: tuple[int, int, int]) -> float:
    """Predict the decrease of chi² by a small texture along an axis (score test).

    Args:
        fit: fit without texture; ``areas`` its areas.
        axis: hkl.
    """
    model = _Model(fit.crystal, areas, [], axis)
    calculated, slope = model(model.start())
    size = float(np.max(areas.area))
    area, covariance = np.asarray(areas.area) / size, np.asarray(areas.covariance) / size**2
    factor = np.linalg.cholesky(covariance + np.diag((fit.miss * calculated) ** 2) + 1e-12 * np.eye(len(area)))
    white = _white(factor, area - calculated, slope)
    others = white[:, 1:-1]
    normal = others.T @ others + np.diag(1.0 / model.sigma[:-1] ** 2)
    left = white[:, -1] - others @ np.linalg.lstsq(normal, others.T @ white[:, -1], rcond=None)[0]
    return float((left @ white[:, 0]) ** 2 / max(left @ left, 1e-30))


def _descended(
    model: "_Model", x: Float[np.ndarray, " p"], area: Float[np.ndarray, " n"], covariance: Float[np.ndarray, "n n"], miss: float
) -> Float[np.ndarray, " p"]:  # fmt: skip
    """Minimise by damped least squares with fixed weights."""
    weights = np.maximum(model(x)[0], 0.02 * area.clip(0.0))
    factor = np.linalg.cholesky(covariance + np.diag((miss * weights) ** 2))
    longest = np.array([_LONGEST[kind] for kind in model.kinds])
    electrons = np.array([kind == "z" for kind in model.kinds])

    def at(x: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        value, slope = model(x)
        white = _white(factor, area - value, slope)
        away = (x - model.prior) / model.sigma
        r, j = white[:, 0], white[:, 1:]
        return float(r @ r + away @ away), j.T @ r - away / model.sigma, j.T @ j + np.diag(1.0 / model.sigma**2)

    cost, push, normal = at(x)
    damping = 1e-3
    for _ in range(_STEPS):
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-12), push)
        step = step / max(1.0, float(np.max(np.abs(step) / longest)))
        there = np.where(electrons, np.clip(x + step, *_ELECTRONS), x + step)
        trial = at(there)
        if trial[0] < cost:
            gain, x, damping = cost - trial[0], there, max(damping * 0.2, 1e-9)
            cost, push, normal = trial
            if gain < 1e-4:
                break
        else:
            damping = min(damping * 8.0, 1e8)
    return x


def _white(
    factor: Float[np.ndarray, "n n"], residual: Float[np.ndarray, " n"], slope: Float[np.ndarray, "n p"]
) -> Float[np.ndarray, "n p1"]:
    """Return residuals and derivatives side by side, whitened to unit covariance."""
    # deferred: importing the package must not load it
    from scipy.linalg import solve_triangular

    return np.asarray(solve_triangular(factor, np.column_stack([residual, slope]), lower=True))


def _miss(
    residual: Float[np.ndarray, " n"], covariance: Float[np.ndarray, "n n"], calculated: Float[np.ndarray, " n"], dof: int
) -> float:  # fmt: skip
    """Return the relative model error for which chi² equals its degrees of freedom."""

    def chi2(miss: float) -> float:
        return float(residual @ np.linalg.solve(covariance + np.diag((miss * calculated) ** 2), residual))

    low, high = np.log(_LEAST_MISS), np.log(_MOST_MISS)
    if chi2(_LEAST_MISS) <= dof:
        return _LEAST_MISS
    for _ in range(24):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if chi2(float(np.exp(middle))) > dof else (low, middle)
    return float(np.exp(0.5 * (low + high)))


class _Model:
    """Areas as a function of all parameters, with derivatives."""

    def __init__(
        self, crystal: Crystal, areas: Intensities, free_z: list[list[int]], axis: tuple[int, int, int] | None
    ):
        self.crystal, self.free_z = crystal, free_z
        cell = np.asarray(areas.cell, dtype=float)
        g_star = reciprocal_metric(cell)
        hkl = np.asarray(areas.hkl, dtype=float)
        self._s_sq = np.einsum("ni,ij,nj->n", hkl, g_star, hkl) / 4.0
        self._weight, self._member, self._groups = np.asarray(areas.weight), np.asarray(areas.members), len(areas)
        sites, group = crystal.sites(), crystal.group
        self._h = [np.einsum("ni,kij->nkj", hkl, group.rotations[site.images]) for site in sites]
        self._shift = [hkl @ group.translations[site.images].T for site in sites]
        self._xyz = np.asarray(crystal.xyz, dtype=float)
        self._occupancy = np.asarray(crystal.occupancy, dtype=float)
        basis = np.asarray(lattice(cell))
        # each column has a length of 1 Å
        self._basis = [(b := site.xyz_basis()) / np.linalg.norm(basis.T @ b, axis=0) for site in sites]
        instrument = areas.instrument
        factors = scattering_factors(crystal.species, instrument.radiation, instrument.wavelengths[0])
        self._f1, self._f2 = np.asarray(factors.f1), np.asarray(factors.f2)
        given = scattering_factors(crystal.elements, instrument.radiation, instrument.wavelengths[0])
        # a site with free electrons starts as the neutral atom of its element
        free = np.isin(np.arange(len(sites)), [k for members in free_z for k in members])
        electrons = lambda of: (of.a * np.exp(-of.b * self._s_sq[:, None, None])).sum(axis=-1) + of.c
        self._between = FormFactors(self._s_sq)
        self._tabulated = np.where(free, electrons(given), electrons(factors))
        self._z = np.array([atomic_number(element) for element in crystal.elements], dtype=float)
        self._cos2 = None
        if axis is not None:
            images = np.einsum("ni,kij->nkj", hkl, laue_rotations(group).astype(float))
            along = np.asarray(axis, dtype=float)
            self._cos2 = np.einsum("nki,ij,j->nk", images, g_star, along) ** 2 / (
                np.einsum("nki,ij,nkj->nk", images, g_star, images) * (along @ g_star @ along)
            )
        widths = [b.shape[1] for b in self._basis]
        self.kinds = (
            "scale", *["z"] * len(free_z), *["xyz"] * sum(widths), *["u"] * len(sites), *["march"] * (axis is not None),
        )  # fmt: skip
        spread = {"scale": np.inf, "z": np.inf, "xyz": _XYZ_SIGMA, "u": U_SIGMA, "march": _MARCH_SIGMA}
        self.sigma = np.array([spread[kind] for kind in self.kinds])
        self.prior = np.array([U_PRIOR if kind == "u" else 0.0 for kind in self.kinds])
        first = 1 + len(free_z)
        self._columns = [slice(first + sum(widths[:k]), first + sum(widths[: k + 1])) for k in range(len(sites))]
        self._u = slice(first + sum(widths), first + sum(widths) + len(sites))
        self._area = np.asarray(areas.area, dtype=float) / float(np.max(areas.area))
        self._scale = 1.0

    def start(self, electrons: Sequence[float] = ()) -> Float[np.ndarray, " p"]:
        """Return the starting parameters; the scale is from least squares."""
        x = np.zeros(len(self.kinds))
        x[1 : 1 + len(self.free_z)] = electrons or [self._z[group[0]] for group in self.free_z]
        x[self._u] = np.clip(np.asarray(self.crystal.u_equivalent(), dtype=float), 0.002, 0.05)
        value, _ = self(x)
        self._scale = float(value @ self._area / (value @ value))
        return x

    def electrons(self, x: Float[np.ndarray, " p"]) -> Float[np.ndarray, " sites"]:
        z = self._z.copy()
        for k, group in enumerate(self.free_z):
            z[group] = x[1 + k]
        return z

    def march(self, x: Float[np.ndarray, " p"]) -> float:
        return 1.0 if self._cos2 is None else float(np.exp(x[-1]))

    def crystal_at(self, x: Float[np.ndarray, " p"]) -> Crystal:
        """Return the structure for these parameters, with positive displacements."""
        xyz = self._xyz + np.array([b @ x[c] for b, c in zip(self._basis, self._columns, strict=True)])
        return self.crystal.replace(
            xyz=xyz, u_iso=np.maximum(x[self._u], 1e-4), u_aniso=np.zeros_like(np.asarray(self.crystal.u_aniso)),
            anisotropic=(False,) * len(self._z),
        )  # fmt: skip

    def __call__(
        self, x: Float[np.ndarray, " p"]
    ) -> tuple[Float[np.ndarray, " groups"], Float[np.ndarray, "groups p"]]:
        s_sq, n, sites = self._s_sq, len(self._s_sq), len(self._z)
        f, slope_z = self._form(x)
        f = f + self._f1
        damped = self._occupancy * np.exp(-EIGHT_PI2 * x[self._u] * s_sq[:, None])
        cos, sin = np.empty((n, sites)), np.empty((n, sites))
        by_cos, by_sin = [], []
        for k, (h, shift) in enumerate(zip(self._h, self._shift, strict=True)):
            xyz = self._xyz[k] + self._basis[k] @ x[self._columns[k]]
            phase = 2.0 * np.pi * (h @ xyz + shift)
            c, s = np.cos(phase), np.sin(phase)
            cos[:, k], sin[:, k] = c.sum(axis=1), s.sum(axis=1)
            along = 2.0 * np.pi * (h @ self._basis[k])
            by_cos.append(-(s[..., None] * along).sum(axis=1))
            by_sin.append((c[..., None] * along).sum(axis=1))
        real, imaginary = (f * damped * cos).sum(axis=1), (f * damped * sin).sum(axis=1)
        second, fourth = damped * cos @ self._f2, damped * sin @ self._f2
        value = real**2 + imaginary**2 + second**2 + fourth**2
        # derivatives by the cosine and the sine of each site
        by_a = 2.0 * damped * (real[:, None] * f + second[:, None] * self._f2)
        by_b = 2.0 * damped * (imaginary[:, None] * f + fourth[:, None] * self._f2)
        slope = np.zeros((n, len(x)))
        for k, group in enumerate(self.free_z):
            each = 2.0 * damped * (real[:, None] * cos + imaginary[:, None] * sin) * slope_z[:, k : k + 1]
            slope[:, 1 + k] = each[:, group].sum(axis=1)
        for k, columns in enumerate(self._columns):
            slope[:, columns] = by_a[:, k : k + 1] * by_cos[k] + by_b[:, k : k + 1] * by_sin[k]
        slope[:, self._u] = -EIGHT_PI2 * s_sq[:, None] * (by_a * cos + by_b * sin)
        weight = self._weight * self._scale * np.exp(x[0])
        if self._cos2 is not None:
            r = np.exp(x[-1])
            inner = r**2 * self._cos2 + (1.0 - self._cos2) / r
            texture = (inner**-1.5).mean(axis=1)
            change = (-1.5 * inner**-2.5 * (2.0 * r**2 * self._cos2 - (1.0 - self._cos2) / r)).mean(axis=1)
            slope = slope * texture[:, None]
            slope[:, -1] = value * change
            value = value * texture
        slope[:, 0] = value
        total: Float[np.ndarray, "groups p1"] = np.zeros((self._groups, 1 + len(x)))
        np.add.at(total, self._member, weight[:, None] * np.column_stack([value, slope]))
        return total[:, 0], total[:, 1:]

    def _form(self, x: Float[np.ndarray, " p"]) -> tuple[Float[np.ndarray, "n sites"], Float[np.ndarray, "n k"]]:
        """Return form factors of the sites, and derivatives by the free numbers of electrons."""
        if not self.free_z:
            return self._tabulated, np.zeros((len(self._s_sq), 0))
        f, slopes = self._tabulated.copy(), np.zeros((len(self._s_sq), len(self.free_z)))
        for k, group in enumerate(self.free_z):
            free, slopes[:, k] = self._between(float(x[1 + k]))
            f[:, group] = free[:, None]
        return f, slopes


def atomic_number(element: str) -> int:
    """Return the atomic number of an element symbol."""
    import gemmi

    return int(gemmi.Element("H" if element == "D" else element).atomic_number)


def without_texture(areas: Intensities, axis: tuple[int, int, int], ratio: float) -> Intensities:
    """Return the areas with a March-Dollase texture included in the angular factors, for texture-free comparison."""
    from ...diffraction.corrections import march_dollase

    images: Int[np.ndarray, "n k 3"] = np.einsum("ni,kij->nkj", areas.hkl, laue_rotations(areas.group))
    texture = march_dollase(images.astype(float), np.array(axis, dtype=float), reciprocal_metric(areas.cell), ratio)
    return replace(areas, weight=np.asarray(areas.weight) * np.asarray(texture, dtype=float))
