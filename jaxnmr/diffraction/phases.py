"""One crystalline phase in one histogram: its reflections and all tabulated properties of them."""

from collections.abc import Mapping
from typing import Literal, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from .._struct import Struct, static
from ..crystal import Crystal
from ..crystal.cell import reciprocal_metric, volume
from ..typing import Array, Numbers
from ..units import CENTIDEG
from . import corrections, widths
from .harmonics import harmonic_texture, highest_order, texture_basis, texture_terms
from .records import Fixed, Instrument
from .reflections import laue_rotations, plan_reflections, stephens_basis
from .structure_factors import StructureFactors, reciprocal_lengths
from .tiles import rounded_up

Intensities = Literal["structure", "lebail", "given"]


class PhasePlan(Struct):
    """The reflections of a phase, padded to a fixed length.

    Attributes:
        hkl: as floats; ``multiplicity``; ``present``, 0 for padding.
        structure: data for the structure factors.
        equivalents: Laue-equivalent hkl; only one if nothing depends on directions.
        march_axis: hkl; ``size_axis``, too.
        harmonics: of the texture, as returned by :func:`~jaxnmr.diffraction.harmonics.texture_terms`; empty without
            texture.
        quartics: Stephens' quartic forms; empty without anisotropic microstrain.
        given: squared structure factors that replace those of the structure (Le Bail, or fixed).
        name: phase name; ``intensities`` the source of |F|²; ``textured``; ``stephens`` and ``texture`` coefficient
            names; ``uniaxial`` whether sizes differ along an axis; ``dispersion`` elements whose f' and f'' are
            parameters.
    """

    hkl: Float[Array, "n 3"]
    multiplicity: Float[Array, " n"]
    present: Float[Array, " n"]
    structure: StructureFactors
    equivalents: Float[Array, "n equivalents 3"]
    march_axis: Float[Array, "3"]
    size_axis: Float[Array, "3"]
    harmonics: Float[Array, "harmonics coefficients"]
    quartics: Float[Array, "n quartics"]
    given: Float[Array, " n"]
    name: str = static()
    intensities: Intensities = static()
    textured: bool = static()
    stephens: tuple[str, ...] = static()
    texture: tuple[str, ...] = static()
    uniaxial: bool = static()
    dispersion: tuple[str, ...] = static()

    @classmethod
    def plan(
        cls,
        crystal: Crystal,
        instrument: Instrument,
        d_min: float,
        *,
        name: str,
        intensities: Intensities = "structure",
        march_axis: Numbers | None = None,
        stephens: bool = False,
        harmonics: int = 0,
        size_axis: Numbers | None = None,
        dispersion: tuple[str, ...] = (),
        reflections: tuple[Int[np.ndarray, "n 3"], Int[np.ndarray, " n"]] | None = None,
        capacity: int = 0,
    ) -> Self:
        """Enumerate and tabulate the reflections (host).

        Args:
            crystal: the phase.
            instrument: for the radiation and wavelength.
            d_min: smallest interplanar distance needed, Å.
            name: phase name.
            intensities: ``"structure"``, ``"lebail"`` or ``"given"``.
            march_axis: hkl of a March-Dollase axis, or ``None``.
            stephens: refine anisotropic microstrain.
            harmonics: highest order of a texture in harmonics, 0 for none.
            size_axis: hkl of the axis of uniaxial crystallites, or ``None``.
            dispersion: elements whose f' and f'' are parameters of the histogram.
            reflections: ``(hkl, multiplicity)`` that replace the enumerated ones.
            capacity: minimum number of rows.
        """
        cell = np.asarray(crystal.cell, dtype=float)
        if reflections is None:
            reflections = plan_reflections(crystal.group, cell, d_min)
        hkl, multiplicity = reflections
        n = len(hkl)
        rows = max(capacity, n if intensities == "given" else rounded_up(1.03 * n + 1, first=32, factor=1.25))
        fill = rows - n
        hkl = np.concatenate([hkl, np.repeat(hkl[-1:], fill, axis=0)])
        quartics = np.zeros((rows, 0))
        names: tuple[str, ...] = ()
        if stephens:
            exponents, coefficients, names = stephens_basis(crystal.group)
            quartics = np.prod(hkl[:, None, :] ** exponents[None], axis=-1) @ coefficients
        textured = march_axis is not None
        directed = textured or harmonics or size_axis is not None
        rotations = laue_rotations(crystal.group) if directed else np.eye(3, dtype=int)[None]
        basis, texture = texture_basis(crystal.group, cell, harmonics) if harmonics else (np.zeros((0, 0)), ())
        return cls(
            hkl=hkl.astype(float),
            multiplicity=np.concatenate([multiplicity, np.ones(fill)]).astype(float),
            present=np.concatenate([np.ones(n), np.zeros(fill)]),
            structure=StructureFactors.plan(crystal, hkl, instrument.radiation, instrument.wavelengths[0], dispersion),
            equivalents=np.einsum("ni,kij->nkj", hkl, rotations).astype(float),
            march_axis=np.array((0, 0, 1) if march_axis is None else march_axis, dtype=float),
            size_axis=np.array((0, 0, 1) if size_axis is None else size_axis, dtype=float),
            harmonics=texture_terms(basis, texture, instrument.geometry),
            quartics=quartics,
            given=np.ones(rows),
            name=name,
            intensities=intensities,
            textured=textured,
            stephens=names,
            texture=texture,
            uniaxial=size_axis is not None,
            dispersion=dispersion,
        )  # fmt: skip

    def relisted(self, crystal: Crystal, instrument: Instrument, d_min: float) -> Self:
        """Return the phase with reflections enumerated again for another cell, keeping shapes if possible (host)."""
        if self.intensities == "given":
            return self
        plan = self.plan(
            crystal,
            instrument,
            d_min,
            name=self.name,
            intensities=self.intensities,
            march_axis=tuple(np.asarray(self.march_axis)) if self.textured else None,
            stephens=bool(self.stephens),
            harmonics=self.highest_harmonic,
            size_axis=tuple(np.asarray(self.size_axis)) if self.uniaxial else None,
            dispersion=self.dispersion,
            capacity=self.hkl.shape[0],
        )
        n = self.n_reflections  # the padding repeats the last reflection
        extracted = {tuple(h): f for h, f in zip(self.hkl[:n].tolist(), np.asarray(self.given)[:n], strict=True)}
        kept = np.array([extracted.get(tuple(h), 1.0) for h in plan.hkl.tolist()])
        return plan.replace(given=kept)

    def f_squared(self, crystal: Crystal, v: Mapping[str, Array] | None = None) -> Float[Array, " n"]:
        """Return calculated or given squared structure factors (traceable); ``v`` as for :func:`phase_peaks`."""
        if self.intensities != "structure":
            return jnp.asarray(self.given)
        return self.structure.squared(crystal, self._d_star_sq(jnp.asarray(crystal.cell)), v)

    def f_squared_and_tangents(
        self, crystal: Crystal, tangents: Crystal, v: Mapping[str, Array], v_tangents: Mapping[str, Array]
    ) -> tuple[Float[Array, " n"], Float[Array, "parameters n"]]:
        """Return :meth:`f_squared` and its derivatives along tangents (leading axis) at the cost of one gradient."""
        if self.intensities != "structure":
            return jnp.asarray(self.given), jnp.zeros((tangents.cell.shape[0], self.given.shape[0]))
        cell = jnp.asarray(crystal.cell)
        d_star_sq, push = jax.linearize(self._d_star_sq, cell)
        by_cell = jax.vmap(push)(jnp.eye(6))
        value, by_d_star_sq, by_atoms = self.structure.gradient(crystal, d_star_sq, v)
        by_cell = by_d_star_sq * by_cell
        if "length" in by_atoms:
            by_cell = by_cell + (by_atoms.pop("length") @ jax.jacfwd(reciprocal_lengths)(cell)).T
        moved = [
            v_tangents[name] @ self.structure.of_element.T if name in ("f1", "f2") else getattr(tangents, name)
            for name in by_atoms
        ]
        # one product for all atomic parameters
        flat = lambda arrays: jnp.concatenate([a.reshape(a.shape[0], -1) for a in arrays], axis=1)
        return value, tangents.cell @ by_cell + flat(moved) @ flat(by_atoms.values()).T

    def _d_star_sq(self, cell: Float[Array, "6"]) -> Float[Array, " n"]:
        return jnp.einsum("ni,ij,nj->n", self.hkl, reciprocal_metric(cell), self.hkl)

    @property
    def highest_harmonic(self) -> int:
        """Highest order of the texture harmonics, 0 without texture."""
        return highest_order(self.harmonics.shape[0])

    @property
    def n_reflections(self) -> int:
        """Number of reflections without the padding (host)."""
        return int(np.asarray(self.present).sum())


class PhaseLines(NamedTuple):
    """Positions and widths of the peaks of a phase; widths and corrections are evaluated at ``two_theta``."""

    position: Float[Array, "lines n"]
    fwhm: Float[Array, " n"]
    eta: Float[Array, " n"]
    lorentzian: Float[Array, " n"]
    two_theta: Float[Array, " n"]
    d_spacing: Float[Array, " n"]


class PhasePeaks(NamedTuple):
    """Calculated peaks of one phase."""

    position: Float[Array, "lines n"]
    area: Float[Array, " n"]
    fwhm: Float[Array, " n"]
    eta: Float[Array, " n"]
    f_squared: Float[Array, " n"]
    d_spacing: Float[Array, " n"]
    lorentzian: Float[Array, " n"]


def phase_peaks(
    plan: PhasePlan, crystal: Crystal, fixed: Fixed, v: Mapping[str, Array], index: int, *, gsas: bool
) -> PhasePeaks:
    """Calculate positions, areas and widths of a phase's reflections (traceable).

    Args:
        plan: the phase.
        crystal: its current structure.
        fixed: geometry of the instrument.
        v: the histogram's parameters by local name.
        index: index of this phase in the per-phase parameters.
        gsas: follow GSAS-II: shift the second line by ``tan(theta) Δlambda/lambda``, and evaluate widths and intensity
            corrections at the apparent peak angle, offsets included, instead of the Bragg angle.
    """
    cell = jnp.asarray(crystal.cell)
    lines = phase_lines(plan, cell, fixed, line_values(v), index, gsas=gsas)
    f_squared = plan.f_squared(crystal, v)
    area = f_squared * area_factor(plan, cell, lines.two_theta, fixed, v, index)
    return PhasePeaks(lines.position, area, lines.fwhm, lines.eta, f_squared, lines.d_spacing, lines.lorentzian)


# histogram parameters that move or broaden peaks; the others change only areas and background
_OF_LINES = (
    "wavelength", "zero", "displacement", "transparency", "displace_x", "displace_y",
    "U", "V", "W", "X", "Y", "Z", "size", "size_along", "size_mix", "strain", "strain_mix",
)  # fmt: skip


def line_values(v: Mapping[str, Array]) -> dict[str, Array]:
    """Select the histogram parameters on which :func:`phase_lines` depends."""
    return {name: value for name, value in v.items() if name in _OF_LINES or name.startswith("stephens_")}


def phase_lines(
    plan: PhasePlan, cell: Float[Array, "6"], fixed: Fixed, v: Mapping[str, Array], index: int, *, gsas: bool
) -> PhaseLines:
    """Calculate positions and widths, which depend on the cell and few parameters; arguments as for :func:`phase_peaks`."""
    d_star = jnp.sqrt(plan._d_star_sq(cell))
    wavelength = v["wavelength"]
    bragg = [corrections.bragg_two_theta(d_star, wavelength[k]) for k in range(fixed.lines)]
    if fixed.geometry == "bragg-brentano":
        shift = lambda t: corrections.bragg_brentano_shift(t, v["displacement"], v["transparency"], fixed.radius_mm)
    else:
        shift = lambda t: corrections.debye_scherrer_shift(t, v["displace_x"], v["displace_y"], fixed.radius_mm)
    position = [t + v["zero"] + shift(t) for t in bragg]
    two_theta = jnp.minimum(position[0] if gsas else bragg[0], 179.99)
    if gsas and len(position) == 2:
        tan = jnp.tan(0.5 * np.pi / 180.0 * two_theta)
        position[1] = position[0] + 360.0 / np.pi * (wavelength[1] / wavelength[0] - 1.0) * tan

    variance = widths.caglioti_variance(two_theta, v["U"], v["V"], v["W"])
    gamma = widths.lorentzian_width(two_theta, v["X"], v["Y"], v["Z"])
    microstrain = (
        widths.stephens_microstrain(plan.quartics, v[f"stephens_{plan.name}"], 1.0 / d_star)
        if plan.stephens
        else v["strain"][index]
    )
    size = v["size"][index]
    if plan.uniaxial:
        cos2 = corrections.squared_cosines(plan.equivalents, plan.size_axis, reciprocal_metric(cell))
        size = widths.uniaxial_size(size, v["size_along"][index], cos2)
    for width, mixing in (
        (widths.size_width(two_theta, size, wavelength[0]), v["size_mix"][index]),
        (widths.strain_width(two_theta, microstrain), v["strain_mix"][index]),
    ):
        lorentzian, gaussian = widths.split_width(width, mixing)
        gamma, variance = gamma + lorentzian, variance + gaussian
    fwhm, eta = widths.thompson_cox_hastings(variance, gamma)
    return PhaseLines(jnp.stack(position), fwhm, eta, gamma, two_theta, 1.0 / d_star)


def area_factor(
    plan: PhasePlan,
    cell: Float[Array, "6"],
    two_theta: Float[Array, " n"],
    fixed: Fixed,
    v: Mapping[str, Array],
    index: int,
) -> Float[Array, " n"]:
    """Return the area of a peak over its squared structure factor; arguments as for :func:`phase_peaks`."""
    # the factor 0.01 makes scales comparable with those of programs that measure areas in counts x centidegree
    area = CENTIDEG * v["scale"][index] * plan.present * plan.multiplicity / volume(cell)
    area = area * corrections.lorentz_factor(two_theta)
    if fixed.radiation == "xray":
        if fixed.monochromator:
            area = area * corrections.monochromator_polarization(two_theta, v["monochromator"])
        else:
            area = area * corrections.polarization_factor(two_theta, v["polarization"])
    if fixed.geometry == "bragg-brentano":
        area = area * corrections.surface_roughness(two_theta, v["roughness_a"], v["roughness_b"])
    else:
        area = area * corrections.cylinder_absorption(two_theta, v["absorption"])
    if plan.textured:
        area = area * corrections.march_dollase(
            plan.equivalents, plan.march_axis, reciprocal_metric(cell), v["march"][index]
        )
    if plan.texture:
        area = area * harmonic_texture(plan.equivalents, plan.harmonics, cell, v[f"texture_{plan.name}"])
    return area
