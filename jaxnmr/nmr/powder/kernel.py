"""The signal of one site on one grid: frequencies, sidebands, tents, broadening. Traceable, static shapes."""

from math import log, sqrt

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Complex, Float, Inexact

from ..._arrays import namespace
from ..._struct import Struct, static
from ...typing import Array, Scalar, Values
from ..excitation import Excitation
from ..sites import Sites
from .orientations import Orientations
from .sidebands import intensities, sincos, summed_intensities
from .spherical import from_cartesian
from .tents import BELL, BOX, HAT, bin_bands, bin_lines, bin_tents, collected
from .transitions import frequency_tensors


class Grid(Struct):
    """Grid on which intensity is collected, in Hz from the reference.

    Attributes:
        first_hz, step_hz: the first displayed point, and the spacing of points.
        points: number of displayed points.
        padding: points collected beyond each end; broadening carries their intensity into the window.
    """

    first_hz: Float[Array, ""]
    step_hz: Float[Array, ""]
    points: int = static()
    padding: int = static()

    @property
    def bins(self) -> int:
        """Total number of points."""
        return self.points + 2 * self.padding

    def bin(self, frequency_hz: Values) -> Float[Array, "*n"]:
        """Return the position in bins."""
        return (frequency_hz - self.first_hz) / self.step_hz + self.padding


class Experiment(Struct):
    """Experimental conditions shared by all sites of a spectrum.

    Attributes:
        larmor_hz: Larmor frequency of the bare nucleus.
        reference_hz: frequency of 0 ppm.
        mas_hz: spinning rate; 0 without spinning, infinite if sidebands are neglected.
        angle_rad: angle between rotor and field.
        excitation: excitation profile, or ``None``.
        grid: grid on which intensity is collected.
        spin: I of the observed nucleus.
        broadened: whether lines have a width. Otherwise bins hold integrals, and sharp lines are shared by two bins.
        crystallites: number of crystallites whose sidebands are calculated at once; chosen by type of device.
    """

    larmor_hz: Float[Array, ""]
    reference_hz: Float[Array, ""]
    mas_hz: Scalar
    angle_rad: Float[Array, ""]
    excitation: Excitation | None
    grid: Grid
    spin: float = static()
    broadened: bool = static()
    crystallites: int = static()


class Group(Struct):
    """Sites that are calculated in the same way.

    Attributes:
        orientations: the powder grid.
        coefficients: from :func:`transitions.coefficients`.
        weights: relative intensities.
        nutations: nutation frequencies over that of a spin 1/2.
        partner_states: quantum numbers of the coupled spins in all their states.
        nodes, node_weights: quadrature over a distribution of tensors; a single
            zero without one.
        transitions: quantum numbers of the transitions.
        members: indices of the sites.
        count: points per rotor period; 1 without sidebands.
        orders: sidebands that are calculated.
        resting: whether there is no spinning.
        sharp: whether every band is a single frequency, the same for all orientations.
        narrow: whether bands are so narrow that neighbouring points share them like sharp lines; only without
            broadening.
        aligned: whether all tensors share principal axes (needed for an octant).
        room: bins for the pattern of one band, collected around its own centre and then moved to its place; 0 to
            collect every band in place, for patterns wider than the window and for spectra without broadening.
    """

    orientations: Orientations
    coefficients: Float[Array, "transitions 5"]
    weights: Float[Array, " transitions"]
    nutations: Float[Array, " transitions"]
    partner_states: Float[Array, "states couplings"]
    nodes: Float[Array, "nodes 3 3"]
    node_weights: Float[Array, " nodes"]
    transitions: tuple[tuple[float, float], ...] = static()
    members: tuple[int, ...] = static()
    count: int = static()
    orders: tuple[int, ...] = static()
    resting: bool = static()
    sharp: bool = static()
    narrow: bool = static()
    aligned: bool = static()
    room: int = static()


def band_table(experiment: Experiment, group: Group) -> Float[jax.Array, "2 bands half"] | None:
    """Return cosine and sine of the phases that move bands from the centre to their places; the same for all sites."""
    if not (experiment.broadened and (group.sharp or group.room) and group.count > 1):
        return None
    dtype = experiment.grid.step_hz.dtype
    distance = jnp.asarray(group.orders, dtype) * (experiment.mas_hz / experiment.grid.step_hz)
    return jnp.stack(sincos(distance[:, None] * _turns(experiment.grid.bins, dtype))[::-1])


def site_signal(
    experiment: Experiment, group: Group, table: Float[Array, "2 bands half"] | None, site: Sites
) -> Inexact[Array, " signal"]:
    """Calculate the intensity of one site.

    Args:
        experiment: what all sites share.
        group: calculation settings of this site.
        table: from :func:`band_table`.
        site: one site, without a leading axis.

    Returns:
        Without broadening, one real number per bin; with it, the Fourier transform of the broadened intensity,
        ``bins//2 + 1`` complex numbers.
    """
    return finished(experiment, site_pattern(experiment, group, table, site), site)


def finished(experiment: Experiment, pattern: Inexact[Array, " signal"], site: Sites) -> Inexact[Array, " signal"]:
    """Return the result of `site_signal` from the pattern of sharp lines with an amplitude of 1."""
    signal = site.amplitude * pattern
    return signal * _broadening(experiment, site) if experiment.broadened else signal


def slides(experiment: Experiment, group: Group) -> bool:
    """Return whether a change of the shift only moves the pattern, with :func:`pattern_by_shift` as its derivative."""
    moved = experiment.broadened and (group.sharp or group.room) and experiment.excitation is None
    return bool(moved) and len({final - initial for final, initial in group.transitions}) == 1


def pattern_by_shift(experiment: Experiment, group: Group, pattern: Complex[Array, " half"]) -> Complex[Array, " half"]:
    """Return the derivative of `site_pattern` with respect to the shift in ppm, if it `slides`."""
    (final, initial), grid = group.transitions[0], experiment.grid
    bins_per_ppm = (final - initial) * 1e-6 * experiment.reference_hz / grid.step_hz
    return 1j * bins_per_ppm * _turns(grid.bins, pattern.real.dtype) * pattern


def site_pattern(
    experiment: Experiment,
    group: Group,
    table: Float[Array, "2 bands half"] | None,
    site: Sites,
    *,
    pushed: bool = False,
) -> Inexact[Array, " signal"]:
    """`site_signal` with an amplitude of 1 and without broadening; ``pushed`` as for `bin_tents`."""
    dtype = site.shift_ppm.dtype
    constants = (
        group.coefficients,
        group.weights,
        group.nutations,
        group.partner_states,
        group.nodes,
        group.node_weights,
    )
    all_coefficients, weights, nutations, states, nodes, node_weights = (jnp.asarray(c, dtype) for c in constants)

    def line(element: jax.Array) -> Array:
        transition, state, node = element
        coefficients, state = all_coefficients[transition], states[state]
        weight = weights[transition] * node_weights[node] / len(states)
        shielding = site.shielding_ppm + site.shielding_spread_ppm * nodes[node]
        quadrupolar = site.quadrupolar_hz + site.quadrupolar_spread_hz * nodes[node]
        couplings = site.couplings_hz
        if group.sharp and experiment.spin > 0.5:
            # planned for sites without quadrupolar coupling: otherwise a width would silently be lost
            quadrupolar = jnp.where(jnp.any(quadrupolar != 0), jnp.nan, quadrupolar)
        if group.aligned:
            shielding, quadrupolar, couplings = _in_shared_axes(shielding, quadrupolar, couplings)
        rank0, rank2, rank4 = frequency_tensors(
            coefficients,
            experiment.spin,
            experiment.larmor_hz,
            experiment.reference_hz,
            site.shift_ppm,
            shielding,
            quadrupolar,
        )
        if couplings.shape[0]:
            rank0 = rank0 + coefficients[0] * state @ (jnp.trace(couplings, axis1=1, axis2=2) / 3.0)
            rank2 = rank2 + coefficients[0] * state @ coupling_components(couplings)
        of = jnp.asarray(rank0), rank2, rank4, nutations[transition]
        return weight * _transition(experiment, group, table, *of, pushed=pushed)

    counts = (len(weights), len(states), len(nodes))
    elements = jnp.stack([jnp.asarray(k.ravel()) for k in np.indices(counts)], axis=1)
    total = line(elements[0])
    if len(elements) > 1:
        total, _ = jax.lax.scan(lambda so_far, element: (so_far + line(element), None), total, elements[1:])
    if group.sharp or not experiment.broadened:
        return total
    total = total if group.room else jnp.fft.rfft(total)
    return total / collected(experiment.grid.bins, dtype)


def _transition(
    experiment: Experiment,
    group: Group,
    table: Float[Array, "2 bands half"] | None,
    rank0: Float[Array, ""],
    rank2: Float[Array, "5"],
    rank4: Float[Array, "9"],
    nutation: Float[Array, ""],
    *,
    pushed: bool,
) -> Inexact[Array, " signal"]:
    """Return the intensity of one transition, or its Fourier transform if bands are moved to their places."""
    grid, powder = experiment.grid, group.orientations
    in_rotor2, in_rotor4 = powder.rank2 @ rank2, powder.rank4 @ rank4 if experiment.spin > 0.5 else None
    if group.resting:
        frequency = in_rotor2[:, 0] + (0.0 if in_rotor4 is None else in_rotor4[:, 0])
    else:
        d2, d4 = reduced(experiment.angle_rad)
        frequency = d2[0] * in_rotor2[:, 0] + (0.0 if in_rotor4 is None else d4[0] * in_rotor4[:, 0])
    orders = jnp.asarray(group.orders, rank0.dtype)
    spacing = experiment.mas_hz if group.count > 1 else 0.0
    if group.sharp:
        if group.count > 1:
            modulation = _modulation(in_rotor2, None, d2, d4, experiment.mas_hz)
            bands = summed_intensities(modulation, powder.weights, group.count, group.orders, experiment.crystallites)
        else:
            bands = jnp.ones(1, rank0.dtype)
        if experiment.excitation is not None:
            bands = bands * _excited(experiment.excitation, experiment.reference_hz, rank0 + orders * spacing, nutation)
        if experiment.broadened:
            return _moved(experiment, table, rank0, orders * spacing, bands[:, None])
        # a NaN position is in no bin and must not be lost for that reason
        return bin_lines(grid.bin(rank0 + orders * spacing), bands, grid.bins) + 0.0 * rank0
    shares = powder.areas[:, None]
    if group.count > 1:
        modulation = _modulation(in_rotor2, in_rotor4, d2, d4, experiment.mas_hz)
        shares = shares * intensities(modulation, group.count, group.orders, experiment.crystallites)
    if experiment.excitation is not None:
        shares = shares * _excited(
            experiment.excitation, experiment.reference_hz, (rank0 + frequency)[:, None] + orders * spacing, nutation
        )
    if group.room and not experiment.broadened and rank0.dtype == jnp.float64:
        collect = HAT if group.narrow else BOX
        distances = orders * (spacing / grid.step_hz)
        return bin_bands(
            frequency / grid.step_hz, shares, powder.rings, grid.bins, centre=grid.bin(rank0), distances=distances,
            room=group.room, collect=collect, pushed=pushed,
        )  # fmt: skip
    if group.room and experiment.broadened:
        position = frequency / grid.step_hz + group.room // 2
        fits = jnp.all((position > 3) & (position < group.room - 4))
        patterns = bin_tents(position, shares, powder.triangles, powder.rings, group.room, collect=BELL, pushed=pushed)
        transforms = jnp.fft.rfft(jnp.where(fits, patterns, jnp.nan).T, grid.bins)
        return _moved(experiment, table, rank0, orders * spacing, transforms, first=-(group.room // 2))
    position = grid.bin(rank0 + frequency)
    collect = BELL if experiment.broadened else HAT if group.narrow else BOX
    bins = lambda at, share: bin_tents(
        at, share, powder.triangles, powder.rings, grid.bins, collect=collect, pushed=pushed
    )
    add = lambda so_far, band: (so_far + bins(position + band[0], band[1][:, None])[:, 0], None)
    distances_and_shares = (orders * (spacing / grid.step_hz), shares.T)
    return jax.lax.scan(add, jnp.zeros(grid.bins, position.dtype), distances_and_shares)[0]


def _moved(
    experiment: Experiment,
    table: Float[Array, "2 bands half"] | None,
    centre_hz: Scalar,
    distances_hz: Float[Array, " bands"],
    bands: Inexact[Array, "bands half_or_one"],
    first: int = 0,
) -> Complex[Array, " half"]:
    """Return the Fourier transform of the sum of bands at their places, exact between points.

    Args:
        experiment: provides the grid.
        table: from :func:`band_table`; ``None`` for a single band.
        centre_hz: position of the centre band.
        distances_hz: from the centre band.
        bands: transforms of the bands, or intensities of sharp lines.
        first: position of the first bin of a band, relative to the band's own centre.
    """
    grid = experiment.grid
    sin, cos = sincos((grid.bin(centre_hz) + first) * _turns(grid.bins, bands.real.dtype))
    # bands moved beyond the grid re-enter on the other side. Bands are narrower than half the grid (see `room`),
    # so those with their centre inside it re-enter only the padding, and the others do not reach the window
    centres = grid.bin(centre_hz + distances_hz)
    bands = jnp.where(((centres > 0) & (centres < grid.bins - 1))[:, None], bands, 0.0)
    if table is not None and bands.shape[1] == 1:
        joined = jax.lax.complex(bands[:, 0] @ table[0], bands[:, 0] @ table[1])
    elif table is not None:
        joined = jnp.sum(jax.lax.complex(table[0], table[1]) * bands, axis=0)
    else:
        joined = bands[0]
    return jax.lax.complex(cos, sin) * joined


def _turns(bins: int, dtype: DTypeLike) -> Float[jax.Array, " half"]:
    """Return the phase per bin of every point of the Fourier transform, radians."""
    return jnp.asarray(-2 * np.pi / bins * np.arange(bins // 2 + 1), dtype)


def _modulation(
    in_rotor2: Float[Array, "vertices 5"],
    in_rotor4: Float[Array, "vertices 9"] | None,
    d2: Float[Array, "3"],
    d4: Float[Array, "5"],
    mas_hz: Scalar,
) -> Float[Array, "vertices harmonics 2"]:
    """Return the components m = 1, 2 ... over ``m nu_r``."""
    pairs = lambda r: r[:, 1:].reshape(len(r), -1, 2)
    scale = lambda d: (d[1:] / (np.arange(1, len(d)) * mas_hz))[:, None]
    out = pairs(in_rotor2) * scale(d2)
    if in_rotor4 is None:
        return out
    return pairs(in_rotor4) * scale(d4) + jnp.pad(out, ((0, 0), (0, 2), (0, 0)))


def reduced(angle: Scalar) -> tuple[Float[Array, "3"], Float[Array, "5"]]:
    """Return ``d^2_m0`` for m = 0..2 and ``d^4_m0`` for m = 0..4 at an angle."""
    xp = namespace(angle)
    c, s = xp.cos(angle), xp.sin(angle)
    d2 = xp.stack([(3 * c**2 - 1) / 2, -sqrt(3 / 2) * s * c, sqrt(3 / 8) * s**2])
    d4 = xp.stack(
        [
            (35 * c**4 - 30 * c**2 + 3) / 8,
            -sqrt(5) / 4 * (7 * c**3 - 3 * c) * s,
            sqrt(10) / 8 * (7 * c**2 - 1) * s**2,
            -sqrt(35) / 4 * c * s**3,
            sqrt(70) / 16 * s**4,
        ]
    )
    return d2, d4


def _excited(
    excitation: Excitation, reference_hz: Float[Array, ""], frequency_hz: Float[Array, "*n"], nutation: Float[Array, ""]
) -> Float[Array, "*n"]:
    carrier = excitation.carrier_ppm * 1e-6 * reference_hz
    return excitation.weight(frequency_hz - carrier, nutation)


def _broadening(experiment: Experiment, site: Sites) -> Float[Array, " half"]:
    """Return the decay due to Gaussian and Lorentzian broadening of the given widths."""
    bins = experiment.grid.bins
    time = jnp.arange(bins // 2 + 1, dtype=site.gaussian_hz.dtype) / (bins * experiment.grid.step_hz)
    gaussian = (np.pi * site.gaussian_hz * time) ** 2 / (4 * log(2.0))
    return jnp.exp(-gaussian - np.pi * site.lorentzian_hz * time)


def coupling_components(couplings: Float[Array, "couplings 3 3"]) -> Float[Array, "couplings 5"]:
    """Return the rank-2 components of the secular part of coupling tensors."""
    xp = namespace(couplings)
    return sqrt(2 / 3) * xp.einsum("kij,cij->ck", from_cartesian().astype(couplings.dtype), couplings)


def _in_shared_axes(
    shielding: Float[Array, "3 3"], quadrupolar: Float[Array, "3 3"], couplings: Float[Array, "couplings 3 3"]
) -> tuple[Float[Array, "3 3"], Float[Array, "3 3"], Float[Array, "couplings 3 3"]]:
    """Return the diagonals of tensors in their shared principal axes; NaN if they do not share them.

    The axes count as constants: a powder spectrum is invariant under a common rotation, and tilting one tensor against
    another changes it in second order only, so that derivatives with respect to the diagonal elements are complete.
    """
    tensors = jnp.concatenate([shielding[None], quadrupolar[None], couplings])
    tensors = (tensors + tensors.swapaxes(1, 2)) / 2
    tensors = tensors - jnp.trace(tensors, axis1=1, axis2=2)[:, None, None] / 3 * jnp.eye(3, dtype=tensors.dtype)
    fixed = jax.lax.stop_gradient(tensors)
    size = jnp.sqrt(jnp.sum(fixed**2, axis=(1, 2)))
    tiny = jnp.finfo(fixed.dtype).tiny
    # unequal weights, so that the axes stay defined if one tensor is axial
    mixture = jnp.einsum("t,tij->ij", 1.0 / ((1.0 + 0.618 * jnp.arange(len(fixed))) * jnp.maximum(size, tiny)), fixed)
    axes = jnp.linalg.eigh(mixture)[1]
    turned = jnp.einsum("ia,tij,jb->tab", axes, tensors, axes)
    diagonal = jnp.eye(3, dtype=bool)
    tilt = jnp.max(jnp.abs(jax.lax.stop_gradient(jnp.where(diagonal, 0.0, turned))), axis=(1, 2))
    tolerance = 1e-5 if fixed.dtype == jnp.float64 else 2e-3
    shared = jnp.all(tilt <= tolerance * jnp.maximum(size, tiny))
    turned = jnp.where(diagonal & shared, turned, jnp.where(shared, 0.0, jnp.nan))
    isotropic = jnp.trace(couplings, axis1=1, axis2=2)[:, None, None] / 3 * jnp.eye(3, dtype=tensors.dtype)
    return turned[0], turned[1], turned[2:] + isotropic
