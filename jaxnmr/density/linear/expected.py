"""What is known of a density before its lines: the superposed atoms of a crystal whose places are uncertain (host)."""

import numpy as np
from jaxtyping import Float

from ..._arguments import checked
from ...crystal import Crystal, metric, reciprocal_metric
from ...errors import ParameterError
from ..atoms import plan_atoms
from ..shapes import AtomKind, atom_gaussians
from .model import LinearDensity
from .waves import IndependentWaves

# crystals drawn at once
_SAMPLES = 300
# of the variance of what was drawn, what is left to noise
_LEAST = 1e-4
_LEAST_U = 1e-4


@checked
def expected_density(
    crystal: Crystal,
    d_min: float,
    *,
    position: float = 0.1,
    displacement: float = 0.005,
    deformation: float = 0.02,
    atoms: AtomKind = "all-electron",
    symmetric: bool = True,
    samples: int = _SAMPLES,
    seed: int = 0,
) -> LinearDensity:
    """A normal distribution of densities with the first two moments of those of crystals around one.

    Crystals are drawn with coordinates moved within their symmetry and other displacements. What their superposed atoms have in
    common, with its covariance, is the larger part; that atoms are not free ones is the smaller part: every wave is uncertain by itself,
    by a share of what atoms at random places give, so that it falls with the form factors: the density is as smooth as atoms are.

    Args:
        crystal: a model, or a solution of a structure.
        d_min: Å, of the waves: not above that of the lines; below it atoms say what the density is.
        position: standard deviation of coordinates, Å.
        displacement: of isotropic displacements, Å².
        deformation: share of the waves of atoms at random places by which each is uncertain.
        atoms: of which electrons; all scatter X-rays.
        symmetric: whether the space group of the crystal is imposed; otherwise atoms move in P1, and so do waves.
        samples: crystals drawn.
        seed: of all that is random.

    Raises:
        ParameterError: deviations below 0, or all 0.
        ConventionError: an element without atoms of this kind.
    """
    if min(position, displacement, deformation) < 0.0 or position + displacement + deformation == 0.0 or samples < 2:
        raise ParameterError(
            f"position {position}, displacement {displacement}, deformation {deformation}, samples {samples}: expected deviations from 0 "
            "on, not all 0, and two samples or more"
        )
    if not symmetric:
        crystal = in_p1(crystal)
    waves = IndependentWaves.plan(crystal.cell, d_min, crystal.group)
    plan = plan_atoms(crystal, atoms)
    rng = np.random.default_rng(seed)
    drawn = (
        [plan.structure_factors(moved(crystal, rng, position, displacement), waves.hkl) for _ in range(samples)]
        if position + displacement > 0.0
        else [plan.structure_factors(crystal, waves.hkl)]
    )
    f = np.stack(drawn)
    mean = f.mean(axis=0)
    apart = waves.numbers(f - mean) / np.sqrt(max(len(f) - 1, 1))
    _, size, directions = np.linalg.svd(apart, full_matrices=False)
    kept = size**2 > _LEAST * (size**2).sum() / max(len(size), 1) if size.sum() > 0.0 else np.zeros(len(size), bool)
    functions = [waves.structure_factors(size[kept, None] * directions[kept]).T]
    if deformation > 0.0:
        functions.append(_single(waves, deformation * np.sqrt(_random_waves(crystal, waves, atoms))))
    electrons = float(np.real(plan.structure_factors(crystal, np.zeros((1, 3), dtype=int))[0]))
    return LinearDensity(waves, mean, np.concatenate(functions, axis=1), electrons, atoms)


def moved(crystal: Crystal, rng: np.random.Generator, position: float, displacement: float) -> Crystal:
    """A crystal with coordinates moved within their symmetry, by ``position`` Å along every free direction, and other displacements."""
    g = np.asarray(metric(np.asarray(crystal.cell, dtype=float)))
    xyz = np.array(crystal.xyz, dtype=float)
    for k, site in enumerate(crystal.sites()):
        basis = site.xyz_basis()
        if basis.shape[1]:
            factor = np.linalg.cholesky(np.linalg.inv(basis.T @ g @ basis))
            xyz[k] += basis @ factor @ rng.normal(size=basis.shape[1]) * position
    u = np.maximum(np.asarray(crystal.u_iso, dtype=float) + displacement * rng.normal(size=len(xyz)), _LEAST_U)
    return crystal.replace(xyz=xyz, u_iso=u)


def in_p1(crystal: Crystal) -> Crystal:
    """All atoms of the cell, free of the space group; displacements are the equivalent isotropic ones."""
    full = crystal.expand()
    site = np.asarray(full.site, dtype=int)
    return Crystal.create(
        cell=np.asarray(crystal.cell, dtype=float), spacegroup=1, species=[crystal.species[k] for k in site],
        xyz=np.asarray(full.fractional, dtype=float) % 1.0, occupancy=np.asarray(crystal.occupancy, dtype=float)[site],
        u_iso=np.asarray(crystal.u_equivalent(), dtype=float)[site], name=crystal.name,
    )  # fmt: skip


def _random_waves(crystal: Crystal, waves: IndependentWaves, atoms: AtomKind) -> Float[np.ndarray, " n"]:
    """``<|F|²>`` of the atoms at random places, electrons²."""
    gaussians = atom_gaussians(crystal.species, atoms)
    cell = np.asarray(crystal.cell, dtype=float)
    s_sq = np.einsum("ni,ij,nj->n", waves.hkl, reciprocal_metric(cell), waves.hkl) / 4.0
    amounts = np.bincount(np.asarray(crystal.expand().site, dtype=int), minlength=len(crystal.species))
    amounts = amounts * np.asarray(crystal.occupancy, dtype=float) ** 2
    f = np.stack([np.exp(-np.outer(s_sq, b)) @ a for a, b in zip(gaussians.a, gaussians.b, strict=True)])
    same = sum((waves.hkl @ rotation == waves.hkl).all(axis=1).astype(float) for rotation in waves.group.rotations)
    return same * (amounts @ f**2)


def _single(waves: IndependentWaves, spread: Float[np.ndarray, " n"]) -> np.ndarray:
    """A function for every free number of the waves, with ``<|F|²> = spread²``."""
    numbers = len(waves) + int((~waves.centric).sum())
    deviation = np.where(waves.centric, spread, spread / np.sqrt(2.0))
    each = np.concatenate([deviation, deviation[~waves.centric]])
    return waves.structure_factors(np.diag(each)[:, :numbers]).T
