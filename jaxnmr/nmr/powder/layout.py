"""Layout of a spectrum on the host: averaging volumes, sidebands, grouping of sites, and warnings about results."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import ceil, floor
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ...errors import ConventionError
from ...typing import Array
from ..isotopes import isotope as isotope_data
from ..sites import Sites
from .distributions import czjzek_nodes, gaussian_nodes
from .kernel import Experiment, Group, coupling_components, reduced
from .neglected import beyond_second_order
from .orientations import Orientations, Volume
from .transitions import coefficients, frequency_tensors, strength
from .transitions import transitions as quantum_numbers

# quantum numbers of a transition
Pair = tuple[float, float]

MOST_SIDEBANDS = 4096
# an angle counts as magic if at most this fraction of an anisotropy remains: 3e-7 for 54.7356°
_MAGIC = 1e-6
# minimum width of a band's pattern in points for integrals over bins to show its position
_NARROW = 2.0
# largest width of a rank-2 pattern, in norms of its components (an axial one has 1.5/1.0, one of asymmetry 1 has 1.73)
_SPREAD = 1.75


class SpectrumWarning(UserWarning):
    """A simulated spectrum that may mislead: clipped, too coarse, or with too few sidebands."""


class _Kind(NamedTuple):
    """Properties shared by the sites and transitions of a group."""

    volume: Volume
    aligned: bool
    sharp: bool
    narrow: bool
    bands: int
    divisions: int
    nodes: str
    shown: tuple[Pair, ...]


def lay_groups(
    experiment: Experiment,
    sites: Sites,
    *,
    transitions: Sequence[Pair],
    equal_weights: bool,
    density: int | None,
    volume: Volume | None,
    sidebands: int | None,
) -> tuple[Group, ...]:
    """Sort sites and transitions into groups that are calculated in the same way.

    Args:
        experiment: field, spinning and grid.
        sites: with the tensors to plan for.
        transitions: quantum numbers, for sites that have none of their own.
        equal_weights: whether all transitions are equally intense, instead of as after a short pulse.
        density: divisions of an octahedron's edge; chosen for every site and transition if ``None``.
        volume: averaging volume; chosen for every site if ``None``.
        sidebands: points per rotor period; chosen for every site and transition if ``None``.

    Raises:
        ConventionError: an octant for tensors that do not share axes, or spinning with too many sidebands.
    """
    magic = abs(float(reduced(experiment.angle_rad)[0][0])) < _MAGIC
    mas = float(experiment.mas_hz)
    together: defaultdict[tuple[_Kind, Pair], list[int]] = defaultdict(list)
    for k in range(len(sites)):
        aligned = share_axes(sites, k)
        if volume == "octant" and not aligned:
            raise ConventionError(
                f"the tensors of {sites.labels[k]} share no principal axes: an octant is wrong for them; leave "
                "volume='auto', or ask for a hemisphere"
            )
        chosen: Volume = volume or ("octant" if aligned else "hemisphere")
        sharp = mas > 0 and magic and not (sites.quadrupolar_hz[k].any() or sites.quadrupolar_spread_hz[k] > 0)
        distribution = _kind_of_distribution(sites, k)
        shown = shown_by(experiment, sites, k, transitions)
        for pair in shown:
            _, rank2, rank4 = _tensors(experiment, sites, k, pair)
            width = _SPREAD * (rank2 + rank4)
            count = 1 if mas == 0 or np.isinf(mas) or width == 0 else sidebands or needed_sidebands(width, mas)
            if count > MOST_SIDEBANDS:
                raise ConventionError(
                    f"{sites.labels[k]} needs {count} sidebands at {mas:g} Hz: simulate it without spinning, or set "
                    "sidebands"
                )
            # the pattern of one node of a distribution need not be smooth
            divisions = density or (36 if distribution else needed_density(experiment, sites, k, pair, sharp))
            band_width = _spread(experiment, sites, k, pair)
            narrow = not (sharp or experiment.broadened) and band_width < _NARROW * float(experiment.grid.step_hz)
            kind = _Kind(chosen, aligned and chosen == "octant", sharp, narrow, count, divisions, distribution, shown)
            together[kind, pair].append(k)
    merged: defaultdict[tuple[_Kind, tuple[int, ...]], list[Pair]] = defaultdict(list)
    for (kind, pair), members in together.items():
        merged[kind, tuple(members)].append(pair)
    spins = [isotope_data(p).spin for p in sites.partners]
    states = (
        np.stack(np.meshgrid(*[np.arange(-s, s + 0.5) for s in spins], indexing="ij"), axis=-1)
        if spins
        else np.zeros(0)
    )
    states = states.reshape(-1, len(spins)) if spins else np.zeros((1, 0))
    intensity = lambda *pair: 1.0 if equal_weights else strength(experiment.spin, *pair)
    powders: dict[tuple[int, Volume, bool], Orientations] = {}
    groups = []
    for (kind, group_members), pairs in merged.items():
        powder = (kind.divisions, kind.volume, kind.bands > 1)
        if powder not in powders:
            powders[powder] = Orientations.plan(kind.divisions, kind.volume, spinning=kind.bands > 1)
        nodes, node_weights = _NODES[kind.nodes]()
        groups.append(
            Group(
                orientations=powders[powder],
                transitions=tuple(pairs),
                coefficients=np.stack([coefficients(experiment.spin, *pair) for pair in pairs]),
                weights=np.array([intensity(*p) for p in pairs]) / sum(intensity(*p) for p in kind.shown),
                nutations=np.array([np.sqrt(strength(experiment.spin, *p)) for p in pairs]),
                partner_states=states,
                nodes=nodes,
                node_weights=node_weights,
                members=group_members,
                count=kind.bands,
                orders=_orders_in_window(experiment, sites, group_members, pairs, kind.bands),
                resting=mas == 0,
                sharp=kind.sharp,
                narrow=kind.narrow,
                aligned=kind.aligned,
                room=0 if kind.sharp else _room(experiment, sites, group_members, pairs, kind.bands),
            )
        )
    return tuple(groups)


_NODES = {
    "": lambda: (np.zeros((1, 3, 3)), np.ones(1)),
    "czjzek": czjzek_nodes,
    "extended": gaussian_nodes,
}


def _kind_of_distribution(sites: Sites, k: int) -> str:
    for spread, tensor in (
        (sites.shielding_spread_ppm, sites.shielding_ppm),
        (sites.quadrupolar_spread_hz, sites.quadrupolar_hz),
    ):
        if spread[k] > 0:
            return "extended" if np.asarray(tensor)[k].any() else "czjzek"
    return ""


def share_axes(sites: Sites, k: int) -> bool:
    """Return whether all anisotropic tensors of a site have common principal axes (host)."""
    tensors = [
        np.asarray(sites.shielding_ppm)[k],
        np.asarray(sites.quadrupolar_hz)[k],
        *np.asarray(sites.couplings_hz)[k],
    ]
    scaled = []
    for tensor in tensors:
        tensor = (tensor + tensor.T) / 2 - np.trace(tensor) / 3 * np.eye(3)
        size = np.linalg.norm(tensor)
        if size > 0:
            scaled.append(tensor / size)
    spreads = (sites.shielding_spread_ppm[k] > 0, sites.quadrupolar_spread_hz[k] > 0)
    if any(spreads):
        # random tensors share axes only with themselves
        others = [t for spread, t in zip(spreads, tensors[:2], strict=True) if not spread] + tensors[2:]
        return not any(np.ptp(np.linalg.eigvalsh((t + t.T) / 2)) > 0 for t in others)
    pairs = ((a, b) for n, a in enumerate(scaled) for b in scaled[:n])
    return all(np.abs(a @ b - b @ a).max() < 1e-7 for a, b in pairs)


def needed_sidebands(width_hz: float, mas_hz: float) -> int:
    """Return the points per rotor period needed for a pattern of this width, a power of two."""
    return 1 << (2 * ceil(1.2 * width_hz / mas_hz) + 8 - 1).bit_length()


def needed_density(experiment: Experiment, sites: Sites, k: int, pair: Pair, sharp: bool) -> int:
    """Return the divisions of an octahedron's edge for an error of about 4e-3, or 1e-3 with sidebands."""
    if sharp:
        return 70
    spinning = 0 < float(experiment.mas_hz) < np.inf
    constant = _error_constant(experiment, _spread(experiment, sites, k, pair), _width(sites, k))
    return int(np.clip(10 * ceil(np.sqrt(constant / (1e-3 if spinning else 4e-3)) / 10), 40, 260))


def _error_constant(experiment: Experiment, spread_hz: float, width_hz: float) -> float:
    """Return the relative error of a spectrum times the square of the density.

    It was measured on quadrupolar and shielding patterns smoothed over four points: up to 60 for axial tensors whose
    pattern spans 300 points or more, less for narrower patterns and broader lines.
    """
    step = float(experiment.grid.step_hz)
    return 60.0 * min(1.0, (spread_hz / step / 300.0) ** 0.8) * min(1.0, (4.0 * step / max(width_hz, step)) ** 1.5)


def _width(sites: Sites, k: int) -> float:
    return float(sites.gaussian_hz[k]) + float(sites.lorentzian_hz[k])


def _spread(experiment: Experiment, sites: Sites, k: int, pair: Pair) -> float:
    """Return the width of the centre band over all orientations, Hz."""
    _, rank2, rank4 = _tensors(experiment, sites, k, pair)
    if float(experiment.mas_hz) == 0:
        return _SPREAD * (rank2 + rank4)
    d2, d4 = (np.asarray(d) for d in reduced(experiment.angle_rad))
    return _SPREAD * (abs(d2[0]) * rank2 + abs(d4[0]) * rank4)


def shown_by(experiment: Experiment, sites: Sites, k: int, transitions: Sequence[Pair]) -> tuple[Pair, ...]:
    """Return the transitions of a site: its own, or those of the spectrum.

    Raises:
        ConventionError: the site's transitions do not exist.
    """
    own = sites.transitions[k] if sites.transitions else None
    return tuple(transitions) if own is None else quantum_numbers(experiment.spin, own)


def natural_range(experiment: Experiment, sites: Sites, transitions: Sequence[Pair]) -> tuple[float, float]:
    """Return the lowest and highest frequency in Hz at which these sites can have intensity, widths included (host)."""
    fast = np.isinf(float(experiment.mas_hz))
    d2, d4 = (np.asarray(d) for d in reduced(experiment.angle_rad))
    low, high = np.inf, -np.inf
    for k in range(len(sites)):
        tails = 3.0 * float(sites.gaussian_hz[k]) + 10.0 * float(sites.lorentzian_hz[k])
        for pair in shown_by(experiment, sites, k, transitions):
            rank0, rank2, rank4 = _tensors(experiment, sites, k, pair)
            reach = abs(d2[0]) * rank2 + abs(d4[0]) * rank4 if fast else rank2 + rank4
            reach += _splitting(sites, k, pair)
            low, high = min(low, rank0 - reach - tails), max(high, rank0 + reach + tails)
    if 0 < float(experiment.mas_hz) < np.inf:
        low, high = low - float(experiment.mas_hz), high + float(experiment.mas_hz)
    room = max(0.1 * (high - low), 1e-6 * float(experiment.reference_hz))
    return low - room, high + room


def _tensors(experiment: Experiment, sites: Sites, k: int, pair: Pair) -> tuple[float, float, float]:
    """Return the rank-0 frequency, and the sizes of ranks 2 and 4 (anisotropic couplings added), in Hz."""
    # distributions are covered to three sigma
    wide = 3.0 * np.diag([-0.75, -0.25, 1.0])
    site = (
        sites.shift_ppm[k],
        sites.shielding_ppm[k] + sites.shielding_spread_ppm[k] * wide,
        sites.quadrupolar_hz[k] + sites.quadrupolar_spread_hz[k] * wide,
    )
    rank0, rank2, rank4 = frequency_tensors(
        coefficients(experiment.spin, *pair), experiment.spin, experiment.larmor_hz, experiment.reference_hz, *site
    )
    size2 = _size(rank2)
    for partner, tensor in zip(sites.partners, np.asarray(sites.couplings_hz)[k], strict=True):
        size2 += isotope_data(partner).spin * abs(pair[0] - pair[1]) * _size(coupling_components(tensor[None])[0])
    return float(rank0), size2, _size(rank4)


def _splitting(sites: Sites, k: int, pair: Pair) -> float:
    """Return the largest displacement of a line by isotropic couplings, Hz."""
    coupled = zip(sites.partners, np.asarray(sites.couplings_hz)[k], strict=True)
    return abs(pair[0] - pair[1]) * sum(isotope_data(partner).spin * abs(np.trace(t)) / 3 for partner, t in coupled)


def _size(components: Float[Array, " components"]) -> float:
    """Return an upper bound of the frequency of a tensor: the norm of its components, in both signs of m."""
    c = np.asarray(components)
    return float(np.sqrt(c[0] ** 2 + 2 * np.sum(c[1:] ** 2)))


def _room(experiment: Experiment, sites: Sites, members: Iterable[int], pairs: Sequence[Pair], bands: int) -> int:
    """Return the bins for the pattern of a band, which may grow up to fourfold; 0 if it must be collected in place.

    It is at most the number of points of the window: with padding by half a window on either side, moved bands never
    re-enter. Without broadening, a single band is collected in place, and others have room to grow eightfold.
    """
    if not experiment.broadened and bands == 1:
        return 0
    widest = max(_spread(experiment, sites, k, pair) for k in members for pair in pairs) / float(
        experiment.grid.step_hz
    )
    if 2.5 * widest + 64 > experiment.grid.points:
        return 0
    growth = 4.0 if experiment.broadened else 8.0
    return min(1 << ceil(growth * widest + 64.0).bit_length(), experiment.grid.points)


def _orders_in_window(
    experiment: Experiment, sites: Sites, members: Iterable[int], pairs: Sequence[Pair], count: int
) -> tuple[int, ...]:
    """Return the bands that reach the window, allowing sites to move by a twelfth of it and the rate to change by a tenth.

    Widths carry a band a little further; what reaches the window from beyond is the far tail of a Lorentzian.
    """
    if count == 1:
        return (0,)
    grid, mas = experiment.grid, float(experiment.mas_hz)
    width = float(grid.step_hz) * grid.points
    d2, d4 = (np.asarray(d) for d in reduced(experiment.angle_rad))
    lowest, highest = count, -count
    for k in members:
        room = width / 12 + 4.0 * float(sites.gaussian_hz[k]) + 10.0 * float(sites.lorentzian_hz[k])
        for pair in pairs:
            rank0, rank2, rank4 = _tensors(experiment, sites, k, pair)
            reach = abs(d2[0]) * rank2 + abs(d4[0]) * rank4 + _splitting(sites, k, pair) + room
            first, last = float(grid.first_hz) - rank0 - reach, float(grid.first_hz) + width - rank0 + reach
            lowest = min(lowest, *(ceil(first / (speed * mas)) for speed in (0.9, 1.1)))
            highest = max(highest, *(floor(last / (speed * mas)) for speed in (0.9, 1.1)))
    lowest, highest = max(lowest, -(count // 2)), min(highest, count - count // 2 - 1)
    return tuple(range(lowest, highest + 1)) if lowest <= highest else (0,)


def doubts(
    experiment: Experiment, groups: tuple[Group, ...], sites: Sites, values: Float[np.ndarray, " points"]
) -> list[str]:
    """Return sentences about a simulated spectrum that its reader should know (host)."""
    grid, out = experiment.grid, []
    step = float(grid.step_hz)
    expected = float(np.sum(np.asarray(sites.amplitude)))
    missing = 1.0 - float(values.sum()) / expected if expected > 0 and experiment.excitation is None else 0.0
    if missing > 0.01:
        out.append(
            f"{100 * missing:.1f} % of the intensity lies outside the window of {step * grid.points:.6g} Hz: the spectrum "
            "is clipped there, not folded; increase width_hz, or ignore this if clipping is intended"
        )
    fwhm = np.asarray(sites.gaussian_hz) + np.asarray(sites.lorentzian_hz)
    if experiment.broadened and (fwhm < 2 * step).any():
        k = int(np.argmin(fwhm))
        out.append(
            f"{sites.labels[k]} is {fwhm[k]:.3g} Hz wide, less than two points of {step:.3g} Hz: it shows truncation "
            "wiggles; take more points or a broader line"
        )
    pairs = tuple(dict.fromkeys(pair for group in groups for pair in group.transitions))
    out += beyond_second_order(experiment.spin, float(experiment.larmor_hz), sites, pairs, step)
    for group in groups:
        lines = [(k, pair) for k in group.members for pair in group.transitions]
        widest = max(sum(_tensors(experiment, sites, k, pair)[1:]) for k, pair in lines)
        needed = needed_sidebands(_SPREAD * widest, float(experiment.mas_hz)) if group.count > 1 else 1
        if group.count < needed // 2:
            lost = _folded(widest, float(experiment.mas_hz), group.count)
            if lost > 1e-3:
                out.append(
                    f"{group.count} sidebands are too few at {float(experiment.mas_hz):g} Hz: about {100 * lost:.2g} % of "
                    f"the intensity is folded; take {needed}"
                )
        if not group.sharp:
            error = (
                max(
                    _error_constant(experiment, _spread(experiment, sites, k, pair), _width(sites, k))
                    for k, pair in lines
                )
                / (density := group.orientations.density) ** 2
            )
            if error > 2e-2:
                out.append(
                    f"integration_density={density} is coarse for a pattern this wide (an error of up to "
                    f"{100 * error:.0f} %): take {int(density * np.sqrt(error / 5e-3)) + 1}"
                )
    return out


def _folded(width_hz: float, mas_hz: float, count: int) -> float:
    """Return the intensity beyond ``count`` sidebands of an axial tensor of this width, at the magic angle."""
    beta = np.linspace(0.0, np.pi / 2, 41)
    more = 1 << (8 * max(count, ceil(width_hz / mas_hz))).bit_length()
    turn = 2 * np.pi * np.arange(more) / more
    first = np.sqrt(2.0) / 2 * np.sin(2 * beta)[:, None] * np.sin(turn)
    second = np.sin(beta)[:, None] ** 2 / 4 * np.sin(2 * turn)
    bands = np.abs(np.fft.fft(np.exp(1j * width_hz / mas_hz * (first + second)), axis=1) / more) ** 2
    order = np.abs(np.fft.fftfreq(more, 1 / more))
    weight = np.sin(beta) / np.sin(beta).sum()
    return float(weight @ bands[:, order >= count / 2].sum(axis=1))
