"""Spectra of sites: `SpectrumStatic`, `SpectrumMAS`, and the compiled `SpectrumPlan`."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Self, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Complex, Float, Inexact, Int

from ..._arguments import checked, is_whole
from ..._struct import Struct, compiled, static
from ..._tuning import tuning
from ..._warn import warn
from ...errors import ConventionError, DataError
from ...typing import Array, Scalar
from ..excitation import Excitation
from ..isotopes import isotope as isotope_data
from ..isotopes import larmor_hz as larmor_of
from ..isotopes import reference_hz, symbol_of
from ..plausible import check_dead_time, check_larmor, check_rotor_angle, check_speed, check_window
from ..records import Spectrum
from ..sites import Site, Sites
from .kernel import (
    Experiment,
    Grid,
    Group,
    band_table,
    finished,
    pattern_by_shift,
    site_pattern,
    site_signal,
    slides,
)
from .layout import SpectrumWarning, doubts, lay_groups, natural_range
from .orientations import Volume
from .transitions import Transitions, transitions

# largest effect of a parameter: on amplitudes and widths, on shifts too, or on anything
SCALES, MOVES, RESHAPES = 0, 1, 2
# limit of the axis: a larger number is a typing error
MOST_POINTS = 2**24
# placeholder for an experiment whose axis is not yet determined
_NO_GRID = Grid(first_hz=np.zeros(()), step_hz=np.ones(()), points=0, padding=0)
MAGIC_ANGLE_DEG = float(np.degrees(np.arccos(1 / np.sqrt(3))))


class SpectrumPlan(Struct):
    """Layout of a spectrum for certain sites: orientations, sidebands and points. Traceable.

    The tensors, shifts, widths and amplitudes of the sites may change, as may the numbers of ``experiment`` (spinning
    rate, field); the layout has room for moderate changes.

    Attributes:
        experiment: field, spinning, axis.
        groups: sites that are calculated in the same way.
        chunk: number of sites calculated at once.
        dead_time_s: the decay before this time is missing.
    """

    experiment: Experiment
    groups: tuple[Group, ...]
    chunk: int = static()
    dead_time_s: float = static()

    @property
    def frequency_hz(self) -> Float[Array, " points"]:
        """Axis in Hz from the reference."""
        grid = self.experiment.grid
        return grid.first_hz + grid.step_hz * jnp.arange(grid.points)

    def components(self, sites: Sites) -> Float[Array, "sites points"]:
        """Return the absorption of every site; a site inside the window sums to its amplitude."""
        out = jnp.zeros((len(sites), self.experiment.grid.points), sites.shift_ppm.dtype)
        for group in self.groups:
            # a site is in several groups if its transitions are calculated differently
            out = out.at[np.array(group.members)].add(self._shown(self._signals(group, sites)))
        return out

    def spectrum(self, sites: Sites) -> Float[Array, " points"]:
        """Return the absorption at each point, summed over all sites."""
        return self._shown(self._total(sites))

    def complex_spectrum(self, sites: Sites) -> Complex[Array, " points"]:
        """Return absorption + i dispersion, like a phased experimental spectrum."""
        return self._phased(self._total(sites))

    def jacobian(
        self,
        sites: Sites,
        tangents: Sites,
        columns: Int[np.ndarray, "sites most"],
        reach: Sequence[int] | Int[np.ndarray, " parameters"] | None = None,
    ) -> Complex[Array, "points parameters"]:
        """Return the derivative of :meth:`complex_spectrum` along changes of the sites; see :meth:`value_and_jacobian`."""
        return self.value_and_jacobian(sites, tangents, columns, reach)[1]

    def value_and_jacobian(
        self,
        sites: Sites,
        tangents: Sites,
        columns: Int[np.ndarray, "sites most"],
        reach: Sequence[int] | Int[np.ndarray, " parameters"] | None = None,
    ) -> tuple[Complex[Array, " points"], Complex[Array, "points parameters"]]:
        """Return :meth:`complex_spectrum` and its derivative along changes of the sites, each site in its own columns only.

        Args:
            sites: point of evaluation.
            tangents: changes, with a leading axis of parameters in every leaf.
            columns: parameters that each site depends on, on the host; padded with -1.
            reach: largest effect of each parameter: `SCALES` (amplitudes and widths), `MOVES` (these and shifts) or
                `RESHAPES` (anything, the default). The first two are almost free; other parts of their tangents are
                ignored.
        """
        sites, tangents = jax.tree.map(jnp.asarray, (sites, tangents))
        count = jax.tree.leaves(tangents)[0].shape[0]
        reached = np.full(count, RESHAPES) if reach is None else np.asarray(reach)
        site = jax.tree.map(lambda leaf: leaf[self.groups[0].members[0]], sites)
        shape = jax.eval_shape(self._one_signal(self.groups[0]), site)
        value, total = jnp.zeros(shape.shape, shape.dtype), jnp.zeros((count, *shape.shape), shape.dtype)
        for group in self.groups:
            members = np.array(group.members)
            mine = columns[members]
            shaping = _packed(mine, (mine >= 0) & (reached[mine] == RESHAPES))
            others = _packed(mine, (mine >= 0) & (reached[mine] != RESHAPES))
            moving = bool(np.isin(MOVES, reached[others[others >= 0]]))
            push = partial(_push, self.experiment, group, band_table(self.experiment, group), moving)

            def one(
                so_far: tuple[jax.Array, jax.Array],
                item: tuple[Sites, jax.Array, jax.Array, jax.Array],
                push: Callable[..., tuple[Array, Array]] = push,
            ) -> tuple[tuple[jax.Array, jax.Array], None]:
                site, shaping, others, k = item
                which = jnp.concatenate([shaping, others])
                at = lambda c: jax.tree.map(lambda t: jnp.where(c >= 0, t[c, k], jnp.zeros_like(t[0, k])), tangents)
                signal, changes = push(site, jax.vmap(at)(shaping), jax.vmap(at)(others))
                place = jnp.where(which >= 0, which, count)
                return (so_far[0] + signal, so_far[1].at[place].add(changes, mode="drop")), None

            sliced = jax.tree.map(lambda leaf, members=members: leaf[members], sites)
            items = sliced, jnp.asarray(shaping), jnp.asarray(others), jnp.asarray(members)
            (value, total), _ = jax.lax.scan(one, (value, total), items)
        return self._phased(value), self._phased(total).T

    def with_mas(self, mas_hz: Scalar) -> Self:
        """Return this plan at another spinning rate (traceable); far from the planned one, plan again."""
        return self.replace(experiment=self.experiment.replace(mas_hz=mas_hz))

    def with_rotor_angle(self, degrees: Scalar) -> Self:
        """Return this plan at another angle between rotor and field (traceable); far from the planned one, plan again."""
        return self.replace(experiment=self.experiment.replace(angle_rad=jnp.deg2rad(degrees)))

    def _total(self, sites: Sites) -> Inexact[Array, " signal"]:
        return jnp.asarray(sum(self._signals(group, sites).sum(axis=0) for group in self.groups))

    def _signals(self, group: Group, sites: Sites) -> Inexact[Array, "members signal"]:
        """Return the `site_signal` of every member of a group."""
        sliced = jax.tree.map(lambda leaf: jnp.asarray(leaf)[np.array(group.members)], sites)
        return jax.lax.map(self._one_signal(group), sliced, batch_size=None if self.chunk == 1 else self.chunk)

    def _one_signal(self, group: Group) -> Callable[[Sites], Array]:
        return partial(site_signal, self.experiment, group, band_table(self.experiment, group))

    def _shown(self, signal: Inexact[Array, "*n signal"]) -> Float[Array, "*n points"]:
        """Return the points of the window from results of `site_signal` with any leading axes."""
        if self.dead_time_s:
            return jnp.real(self._phased(signal))
        grid = self.experiment.grid
        if self.experiment.broadened:
            signal = jnp.fft.irfft(signal, grid.bins)
        return signal[..., grid.padding : grid.padding + grid.points]

    def _phased(self, signal: Inexact[Array, "*n signal"]) -> Complex[Array, "*n points"]:
        """Return the same with dispersion as imaginary part."""
        grid = self.experiment.grid
        if not self.experiment.broadened:
            signal = jnp.fft.rfft(signal)
        # the one-sided signal of a decay: positive times doubled, negative ones removed
        kept = np.ones(grid.bins // 2 + 1)
        kept[1 : (grid.bins + 1) // 2] = 2.0
        if self.dead_time_s:
            dead = self.dead_time_s * grid.bins * grid.step_hz
            kept = kept * jnp.clip(jnp.arange(len(kept)) - dead + 0.5, 0.0, 1.0)
        return jnp.fft.ifft(signal * kept.astype(signal.real.dtype), grid.bins)[
            ..., grid.padding : grid.padding + grid.points
        ]


def _packed(
    columns: Int[np.ndarray, "sites most"], wanted: Bool[np.ndarray, "sites most"]
) -> Int[np.ndarray, "sites fewer"]:
    """Return the selected columns of every site, padded with -1."""
    rows = [row[keep] for row, keep in zip(columns, wanted, strict=True)]
    most = max(map(len, rows), default=0)
    return np.array([[*row, *[-1] * (most - len(row))] for row in rows], dtype=int).reshape(len(rows), most)


def _push(
    experiment: Experiment,
    group: Group,
    table: Float[Array, "2 bands half"] | None,
    moving: bool,
    site: Sites,
    shaping: Sites,
    others: Sites,
) -> tuple[Inexact[Array, " signal"], Inexact[Array, "parameters signal"]]:
    """Return `site_signal` of one site and its changes along two kinds of tangents.

    Those along general tangents come first, then those of shift, amplitude and widths only, which follow from the
    pattern and its derivative with respect to the shift.
    """
    pattern_of = partial(site_pattern, experiment, group, table, pushed=True)
    easy = moving and slides(experiment, group)
    if moving and not easy:
        by_shift = jax.tree.map(jnp.zeros_like, site).replace(shift_ppm=jnp.ones_like(site.shift_ppm))
        shaping = jax.tree.map(lambda many, one: jnp.concatenate([many, one[None]]), shaping, by_shift)
    if len(shaping.shift_ppm):
        pattern, changes = jax.vmap(lambda t: jax.jvp(pattern_of, (site,), (t,)), out_axes=(None, 0))(shaping)
    else:
        pattern = pattern_of(site)
        changes = jnp.zeros((0, *pattern.shape), pattern.dtype)
    slope = pattern_by_shift(experiment, group, pattern) if easy else jnp.zeros_like(pattern)
    if moving and not easy:
        slope, changes = changes[-1], changes[:-1]
        shaping = jax.tree.map(lambda many: many[:-1], shaping)
    slid = others.shift_ppm[:, None] * slope
    changes = jnp.concatenate([changes, slid])
    scalars = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), shaping, others)
    finish = lambda change, tangent: jax.jvp(partial(finished, experiment), (pattern, site), (change, tangent))
    signal = finished(experiment, pattern, site)
    return signal, jax.vmap(lambda change, tangent: finish(change, tangent)[1])(changes, scalars)


@dataclass(frozen=True)
class _Simulation:
    """Common to both kinds of spectra; see `SpectrumStatic`."""

    isotope: str
    b0_tesla: float | None = None
    larmor_hz: float = None  # type: ignore[assignment]  # by default derived from b0_tesla
    transitions: Transitions = "central"
    transition_weights: Literal["short pulse", "equal"] = "short pulse"
    integration_density: int | Literal["auto"] = "auto"
    volume: Volume | Literal["auto"] = "auto"
    excitation: Excitation | None = None
    dead_time_s: float = 0.0
    chunk: int | None = None
    device: str | None = None

    mas_hz = 0.0
    rotor_angle_deg = MAGIC_ANGLE_DEG
    sidebands = cast(int | Literal["auto"], "auto")

    def __post_init__(self) -> None:
        nucleus = isotope_data(self.isotope)
        spin = nucleus.spin
        object.__setattr__(self, "isotope", nucleus.symbol)
        if self.b0_tesla is None and self.larmor_hz is None:
            raise ConventionError("give b0_tesla or larmor_hz, and not both")
        if self.b0_tesla is not None:
            larmor_hz = reference_hz(self.isotope, self.b0_tesla)
            # dataclasses.replace passes both unchanged
            if self.larmor_hz is not None and not math.isclose(self.larmor_hz, larmor_hz, rel_tol=1e-9):
                raise ConventionError(
                    f"give b0_tesla or larmor_hz, and not both: {self.larmor_hz / 1e6:.6g} MHz is not the frequency of "
                    f"{self.isotope} at {self.b0_tesla:g} T ({larmor_hz / 1e6:.6g} MHz). To change the field or the isotope of a "
                    "simulation, replace larmor_hz by None, too"
                )
            object.__setattr__(self, "larmor_hz", larmor_hz)
        check_larmor(self.isotope, self.larmor_hz)
        if spin.is_integer() and self.transitions == "central":
            object.__setattr__(self, "transitions", "all")
        object.__setattr__(self, "transitions", transitions(spin, self.transitions))
        if self.integration_density != "auto" and not (
            is_whole(self.integration_density) and self.integration_density >= 2
        ):
            raise ConventionError(f"integration_density is {self.integration_density!r}; expected 'auto' or at least 2")
        if self.transition_weights not in ("short pulse", "equal"):
            raise ConventionError(
                f"transition_weights is {self.transition_weights!r}; expected 'short pulse' or 'equal'"
            )
        if not 0 <= self.dead_time_s < np.inf:
            raise ConventionError(f"dead_time_s is {self.dead_time_s:g}; expected a time in s, not negative")
        check_dead_time(self.dead_time_s)
        if self.device is not None:
            tuning(self.device)
        if self.volume not in ("auto", "octant", "hemisphere", "sphere"):
            raise ConventionError(f"volume is {self.volume!r}; expected 'auto', 'octant', 'hemisphere' or 'sphere'")

    @property
    def spin(self) -> float:
        """I of the observed nucleus."""
        return isotope_data(self.isotope).spin

    @property
    def field_tesla(self) -> float:
        """Magnetic field."""
        return self.larmor_hz / reference_hz(self.isotope, 1.0)

    @checked
    def plan(
        self,
        sites: Site | Sequence[Site] | Sites,
        *,
        points: int = 2048,
        width_hz: float | None = None,
        centre_ppm: float | None = None,
        like: Spectrum | None = None,
        broadened: bool | None = None,
        device: str | None = None,
    ) -> SpectrumPlan:
        """Lay out a spectrum of these sites (host).

        Args:
            sites: of this isotope.
            points, width_hz, centre_ppm: the axis, ``points`` from ``centre - width/2``. Values not given are chosen to
                show all intensity.
            like: a spectrum whose axis is used instead; it must have the same frequency of 0 ppm.
            broadened: whether lines have widths (default: if any site has one).
            device: type of device; by default that of the simulation.

        Raises:
            ConventionError: sites of another isotope, an axis without extent, a spectrum of another nucleus or field,
                or an unknown device.
        """
        # on the host, because the layout takes many small steps, each of which would be compiled
        sites = cast(Sites, jax.tree.map(np.asarray, Sites.of(sites)))
        tuned = tuning(self.device if device is None else device)
        if sites.isotope != self.isotope:
            raise ConventionError(f"the sites are of {sites.isotope}, the spectrum of {self.isotope}")
        broadened = bool((sites.gaussian_hz + sites.lorentzian_hz > 0).any()) if broadened is None else broadened
        experiment = Experiment(
            larmor_hz=np.asarray(self.larmor_hz * larmor_of(self.isotope, 1.0) / reference_hz(self.isotope, 1.0)),
            reference_hz=np.asarray(self.larmor_hz),
            mas_hz=np.asarray(float(self.mas_hz)),
            angle_rad=np.asarray(np.radians(self.rotor_angle_deg)),
            excitation=self.excitation,
            grid=_NO_GRID,
            spin=self.spin,
            broadened=broadened,
            crystallites=tuned.crystallites,
        )
        experiment = experiment.replace(grid=self._grid(experiment, sites, points, width_hz, centre_ppm, like))
        groups = lay_groups(
            experiment,
            sites,
            transitions=transitions(self.spin, self.transitions),
            equal_weights=self.transition_weights == "equal",
            density=None if self.integration_density == "auto" else int(self.integration_density),
            volume=None if self.volume == "auto" else self.volume,
            sidebands=None if self.sidebands == "auto" else int(self.sidebands),
        )
        chunk = self.chunk or tuned.sites
        return SpectrumPlan(experiment=experiment, groups=groups, chunk=chunk, dead_time_s=float(self.dead_time_s))

    @checked
    def simulate(self, sites: Site | Sequence[Site] | Sites, **axis: Any) -> Spectrum:
        """Simulate the spectrum of these sites (host); accepts the arguments of :meth:`plan`.

        Warns:
            SpectrumWarning: intensity beyond the calculated sidebands or outside the window, a grid of
                orientations too coarse for the points, or lines narrower than two points.
        """
        sites = Sites.of(sites)
        plan = self.plan(sites, **axis)
        values = np.asarray(_compiled_spectrum(plan, jax.tree.map(jnp.asarray, sites)))
        if not np.isfinite(values).all():
            raise DataError("the spectrum is not finite; tensors that share no axes need volume='hemisphere'")
        for text in doubts(plan.experiment, plan.groups, sites, values):
            warn(text, SpectrumWarning)
        return Spectrum.create(
            np.asarray(plan.frequency_hz), values, larmor_hz=self.larmor_hz, isotope=self.isotope, name="simulated"
        )

    def check_same(self, spectrum: Spectrum) -> None:
        """Check that a spectrum is of this nucleus and was measured within a thousandth of this Larmor frequency.

        Raises:
            ConventionError: otherwise.
        """
        if spectrum.isotope and symbol_of(spectrum.isotope) != self.isotope:
            raise ConventionError(f"{spectrum.name} shows {spectrum.isotope}, the simulation is of {self.isotope}")
        if abs(spectrum.larmor_hz / self.larmor_hz - 1.0) > 1e-3:
            raise ConventionError(
                f"{spectrum.name} was measured at {spectrum.larmor_hz / 1e6:.4f} MHz, the simulation is for "
                f"{self.larmor_hz / 1e6:.4f} MHz: give larmor_hz={spectrum.larmor_hz!r}"
            )

    def _grid(
        self,
        experiment: Experiment,
        sites: Sites,
        points: int,
        width_hz: float | None,
        centre_ppm: float | None,
        like: Spectrum | None,
    ) -> Grid:
        if like is not None:
            self.check_same(like)
            points, step = len(like.frequency_hz), like.step_hz
            first = float(np.asarray(like.frequency_hz)[0])
        else:
            if not 4 <= points <= MOST_POINTS:
                raise ConventionError(f"{points} points; expected from 4 to {MOST_POINTS}, such as 2048")
            low, high = natural_range(experiment, sites, transitions(self.spin, self.transitions))
            centre = (low + high) / 2 if centre_ppm is None else centre_ppm * 1e-6 * self.larmor_hz
            width = 2.2 * max(high - centre, centre - low) if width_hz is None else width_hz
            if not 0 < width < np.inf:
                raise ConventionError(f"a spectrum {width:g} Hz wide; expected a positive width_hz")
            if width_hz is not None:
                check_window(width)
            step = width / points
            first = centre - step * (points // 2)
        return Grid(
            first_hz=np.asarray(first),
            step_hz=np.asarray(step),
            points=points,
            padding=points // 2 if experiment.broadened else 0,
        )


@checked
@dataclass(frozen=True)
class SpectrumStatic(_Simulation):
    """Spectrum of a powder at rest.

    Attributes:
        isotope: observed nucleus.
        b0_tesla: field; or give ``larmor_hz``, the frequency of 0 ppm. Shifts are relative to that frequency; tensors
            act on the Larmor frequency of the bare nucleus, which is a little higher (the reference compound is
            shielded).
        transitions: ``"central"`` (all for integer spins, which have no central one), ``"satellites"``, ``"all"``, or
            pairs of quantum numbers.
        transition_weights: ``"short pulse"`` for intensities after a short pulse, ``I(I+1) - m(m-1)`` (3:4:3 for spin
            3/2), or ``"equal"`` as in mrsimulator. Together they have the site's amplitude.
        integration_density: divisions of an octahedron's edge; ``"auto"`` derives it from pattern and line width for an
            error of 4e-3, or 1e-3 with sidebands. Derivatives need more than spectra: fit lines broader than four points,
            or use 200.
        volume: part of the sphere that is averaged; ``"auto"`` uses an octant if the tensors of a site share
            axes, else a hemisphere.
        excitation: excitation profile, `Pulse` or `GaussianBandwidth`.
        dead_time_s: the decay before this time was not recorded. Phased to time zero, such a spectrum has a rolling
            baseline under its strong lines, which this reproduces.
        chunk: number of sites calculated at once; memory grows with it. Chosen by type of device if not given.
        device: ``"cpu"``, ``"gpu"`` or ``"tpu"``, the type of device; by default the one JAX computes on.

    Example:
        >>> static = jn.SpectrumStatic("29Si", b0_tesla=9.4)
        >>> powder_pattern = static.simulate([jn.Site(isotope="29Si", zeta_ppm=50.0, eta=0.2, gaussian_hz=100.0)])
        >>> powder_pattern.isotope
        '29Si'
    """


@checked
@dataclass(frozen=True)
class SpectrumMAS(_Simulation):
    """Spectrum of a powder spinning about an axis at an angle to the field, the magic angle by default.

    Attributes:
        mas_hz: spinning rate; ``float("inf")`` for one so high that all intensity is in the centre band.
        rotor_angle_deg: angle between rotor and field.
        sidebands: number calculated (points per rotor period); ``"auto"`` uses as many as the tensors need.

    The other attributes are those of `SpectrumStatic`.

    Example:
        >>> fast = jn.SpectrumMAS("27Al", b0_tesla=11.7, mas_hz=float("inf"))
        >>> line = fast.simulate([site])
        >>> line.isotope, bool(line.ppm[line.values.real.argmax()] < 60.0)
        ('27Al', True)
    """

    mas_hz: float = np.inf
    rotor_angle_deg: float = MAGIC_ANGLE_DEG
    sidebands: int | Literal["auto"] = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.mas_hz > 0:
            raise ConventionError(
                f"mas_hz is {self.mas_hz:g}; expected a positive speed in Hz (SpectrumStatic is without spinning)"
            )
        check_speed(self.mas_hz)
        check_rotor_angle(self.rotor_angle_deg)
        if self.sidebands != "auto" and not (is_whole(self.sidebands) and self.sidebands >= 2):
            raise ConventionError(f"sidebands is {self.sidebands!r}; expected 'auto' or at least 2")


@compiled(kept=True)
def _compiled_spectrum(plan: SpectrumPlan, sites: Sites) -> Array:
    return plan.spectrum(sites)
