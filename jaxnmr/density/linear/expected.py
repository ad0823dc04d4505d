"""Prior distribution of a density before its lines: superposed atoms of a crystal with uncertain positions (host)."""

import numpy as np
from jaxtyping import Float

from ..._arguments import checked
from ...crystal import Crystal, metric, reciprocal_metric
from ...errors import ParameterError
from ..atoms import plan_atoms
from ..shapes import AtomKind, atom_gaussians
from .model import LinearDensity
from .waves import IndependentWaves

# number of crystals drawn
_SAMPLES = 300
# fraction of the mean variance below which components are dropped
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
    """Return a normal distribution of densities with the first two moments of those of crystals near a given one.

    Crystals are drawn with coordinates displaced within their symmetry and varied displacement parameters. The mean and
    covariance of their superposed atoms form the larger part. The smaller part accounts for bonding: every wave has an
    independent uncertainty, a fraction of the wave of atoms at random positions. It decreases with the form factors, so
    that the densities are as smooth as atoms.

    Args:
        crystal: a model, or a solution of a structure.
        d_min: resolution of the waves in Å, not above that of the lines; beyond the lines the atoms determine the
            density.
        position: standard deviation of coordinates, Å.
        displacement: standard deviation of isotropic displacements, Å².
        deformation: independent uncertainty of each wave, as a fraction of the wave of atoms at random positions.
        atoms: electrons of the density; X-rays are scattered by all.
        symmetric: whether to impose the space group of the crystal; otherwise atoms and waves have P1.
        samples: number of crystals drawn.
        seed: random seed.

    Raises:
        ParameterError: a deviation is negative, or all are 0.
        ConventionError: an element has no atom of this kind.
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
    """Return a crystal with random displacements: ``position`` Å along every free direction, and varied ``u_iso``."""
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
    """Return all atoms of the cell without the space group, with equivalent isotropic displacements."""
    full = crystal.expand()
    site = np.asarray(full.site, dtype=int)
    return Crystal.create(
        cell=np.asarray(crystal.cell, dtype=float), spacegroup=1, species=[crystal.species[k] for k in site],
        xyz=np.asarray(full.fractional, dtype=float) % 1.0, occupancy=np.asarray(crystal.occupancy, dtype=float)[site],
        u_iso=np.asarray(crystal.u_equivalent(), dtype=float)[site], name=crystal.name,
    )  # fmt: skip


def _random_waves(crystal: Crystal, waves: IndependentWaves, atoms: AtomKind) -> Float[np.ndarray, " n"]:
    """Return ``<|F|²>`` of the atoms at random positions, electrons²."""
    gaussians = atom_gaussians(crystal.species, atoms)
    cell = np.asarray(crystal.cell, dtype=float)
    s_sq = np.einsum("ni,ij,nj->n", waves.hkl, reciprocal_metric(cell), waves.hkl) / 4.0
    amounts = np.bincount(np.asarray(crystal.expand().site, dtype=int), minlength=len(crystal.species))
    amounts = amounts * np.asarray(crystal.occupancy, dtype=float) ** 2
    f = np.stack([np.exp(-np.outer(s_sq, b)) @ a for a, b in zip(gaussians.a, gaussians.b, strict=True)])
    same = sum((waves.hkl @ rotation == waves.hkl).all(axis=1).astype(float) for rotation in waves.group.rotations)
    return same * (amounts @ f**2)


def _single(waves: IndependentWaves, spread: Float[np.ndarray, " n"]) -> np.ndarray:
    """Return one function per free number of the waves, with ``<|F|²> = spread²``."""
    numbers = len(waves) + int((~waves.centric).sum())
    deviation = np.where(waves.centric, spread, spread / np.sqrt(2.0))
    each = np.concatenate([deviation, deviation[~waves.centric]])
    return waves.structure_factors(np.diag(each)[:, :numbers]).T
