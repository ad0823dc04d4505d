"""`PowderDiffraction`: a powder experiment that plans and simulates patterns of structures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from .._arguments import checked
from .._tuning import tuning
from ..crystal import Crystal
from ..errors import ConventionError, DataError, ParameterError, ShapeError, require_kind
from ..typing import Numbers, Quantity
from . import profiles
from .background import Background
from .background_choice import for_data
from .harmonics import ORDERS, texture_basis
from .pattern_plan import PatternPlan, shortest_d
from .phases import PhasePlan
from .quantities import PhaseKind, histogram_quantities
from .records import Instrument, Pattern
from .reflections import stephens_basis
from .tiles import Tiles

# fraction of a peak's height at which its tail is cut
DEFAULT_CUTOFF = 5e-5
# Å: total scattering extends to about 30 inverse Å, where Bragg peaks are not refined
SHORTEST_D = 0.2
# relative; files round it, and Kα1 may be used for Kα
SAME_WAVELENGTH = 3e-3
# limit for a simulated pattern: far more than any diffractometer records, and still a small array
MOST_POINTS = 5_000_000


@checked
@dataclass(frozen=True)
class PowderDiffraction:
    """A constant-wavelength powder experiment and the settings for calculating its pattern.

    Attributes:
        instrument: the diffractometer; by default that of the measured pattern.
        background: background function; 6 Chebyshev terms by default.
        phases: names of the phases in the specimen; all by default.
        march_axis: by phase, hkl of a March-Dollase texture axis.
        stephens: phases with anisotropic microstrain.
        lebail: phases whose intensities are extracted rather than calculated.
        harmonics: by phase, the highest order (2, 4, 6 or 8) of a texture in symmetrised spherical harmonics.
        size_axis: by phase, hkl of the axis along which crystallites have a different size.
        dispersion: elements whose f' and f'' are parameters, starting from tabulated values.
        axial_mode: ``"gsas"`` copies GSAS-II's quadrature and Kα2 formula, for comparison only.
        cutoff: tails are followed until they fall to this fraction of the peak height.
        device: ``"cpu"``, ``"gpu"`` or ``"tpu"``, the type of device; by default the one JAX computes on.

    Example:
        >>> simulated = jn.PowderDiffraction(tube).simulate(quartz, (20, 60, 0.05), values={"scale": 30.0, "size": 0.1})
        >>> round(float(simulated.x[simulated.y.argmax()]), 2)
        26.65
    """

    instrument: Instrument | None = None
    background: Background = field(default_factory=Background)
    phases: Sequence[str] = ()
    march_axis: Mapping[str, Sequence[float]] | Sequence[tuple[str, Sequence[float]]] = ()
    stephens: Sequence[str] = ()
    lebail: Sequence[str] = ()
    axial_mode: Literal["converged", "gsas"] = "converged"
    cutoff: float = DEFAULT_CUTOFF
    device: str | None = None
    harmonics: Mapping[str, int] | Sequence[tuple[str, int]] = ()
    size_axis: Mapping[str, Sequence[float]] | Sequence[tuple[str, Sequence[float]]] = ()
    dispersion: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.axial_mode not in ("converged", "gsas"):
            raise ConventionError(f"axial_mode is {self.axial_mode!r}; expected 'converged' or 'gsas'")
        if self.device is not None:
            tuning(self.device)
        if not 0 < self.cutoff < 1:
            raise ConventionError(f"cutoff is {self.cutoff!r}; expected a fraction of the peak height, as 5e-5")
        # tuples, because experiments are compared and hashed
        for name in ("march_axis", "size_axis"):
            object.__setattr__(self, name, _axes(name, dict(getattr(self, name))))
        orders = tuple((phase, order) for phase, order in dict(self.harmonics).items())
        for phase, order in orders:
            if order not in ORDERS:
                raise ConventionError(f"harmonics of {phase!r} go to order {order!r}; expected 2, 4, 6 or 8")
            if phase in dict(self.march_axis):
                raise ConventionError(
                    f"{phase!r} has march_axis and harmonics, which describe the same texture; keep one of them"
                )
        object.__setattr__(self, "harmonics", orders)
        for name in ("phases", "stephens", "lebail", "dispersion"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    @checked
    def plan(
        self,
        crystals: Crystal | Mapping[str, Crystal],
        two_theta: tuple[float, float, float] | Numbers | None = None,
        *,
        like: Pattern | None = None,
        reflections: Mapping[str, tuple[Numbers, Numbers, Numbers]] | None = None,
    ) -> PatternPlan:
        """Lay out the pattern of these structures (host).

        Args:
            crystals: one crystal, or several by phase name.
            two_theta: the points in degrees: ``(points,)``, or a tuple ``(first, last, step)``.
            like: a measured pattern whose points are used instead (except excluded regions); it also provides the
                starting background, which is zero otherwise.
            reflections: by phase, ``(hkl, multiplicity, f_squared)`` to use unchanged.

        Raises:
            ConventionError: no points, no wavelength, a wavelength impossible at these angles, or an unknown phase or
                type of device.
            DataError: no reflection in range, points that do not increase.
        """
        pattern = self._points(two_theta, like)
        instrument, x, y = self.measured(pattern)
        background = self.background_of(pattern)
        crystals = self.among(crystals)
        given = dict(reflections or {})
        _require_phases("reflections", given, crystals)
        shortest, axes = shortest_d(x, instrument), dict(self.march_axis)
        orders, sizes = dict(self.harmonics), dict(self.size_axis)
        plans = []
        for name, crystal in crystals.items():
            phase = PhasePlan.plan(
                crystal,
                instrument,
                shortest,
                name=name,
                intensities="given" if name in given else "lebail" if name in self.lebail else "structure",
                march_axis=axes.get(name),
                stephens=name in self.stephens,
                harmonics=orders.get(name, 0),
                size_axis=sizes.get(name),
                dispersion=tuple(self.dispersion),
                reflections=(_whole(given[name][0]), _whole(given[name][1])) if name in given else None,
            )
            if name in given:
                phase = phase.replace(given=np.asarray(given[name][2], dtype=float))
            plans.append(phase)
        low, high = float(x[0]), float(x[-1])
        empty = Tiles(block=np.zeros(0, np.int32), peaks=np.zeros((0, 16), np.int32), used=np.int32(0))
        plan = PatternPlan(
            x=x,
            x_blocks=profiles.block_points(x),
            phases=tuple(plans),
            core=empty,
            tail=empty,
            background=background.basis(x, low, high),
            background_start=background.start(x, y - background.added(x, instrument.wavelengths[0]), low, high),
            background_measured=background.curve(x),
            abscissa=np.zeros((1, 1)),
            weight=np.ones((1, 1)),
            planned_position=np.zeros((instrument.fixed.lines, 0)),
            planned_fwhm=np.zeros(0),
            planned_spread=np.zeros(0),
            planned_cells=np.zeros((len(plans), 6)),
            fixed=instrument.fixed,
            instrument=instrument,
            background_function=background,
            axial_mode=self.axial_mode,
            cutoff=float(self.cutoff),
            tiles_at_once=tuning(self.device).tiles,
            room=tuning(self.device).room,
        )
        return plan.laid_out(crystals, {name: q.value for name, q in plan.quantities().items()})

    @checked
    def simulate(
        self,
        crystals: Crystal | Mapping[str, Crystal],
        two_theta: tuple[float, float, float] | Numbers | None = None,
        *,
        values: Mapping[str, Numbers] | None = None,
        like: Pattern | None = None,
        reflections: Mapping[str, tuple[Numbers, Numbers, Numbers]] | None = None,
    ) -> Pattern:
        """Simulate the pattern of these structures without noise (host); accepts the arguments of :meth:`plan`.

        Args:
            values: values of refinable quantities by local name (``scale``, ``size``, ``background`` ...); the others
                have the instrument's or default starting values. A single number applies to all elements of a quantity.

        Returns:
            Intensities, none below zero, with ``sigma = sqrt(max(y, 1))``.

        Raises:
            ParameterError: a value for a quantity that this experiment does not have, or an impossible value.
            ShapeError: the wrong number of values.
            ConventionError, DataError: as for :meth:`plan`.
        """
        crystals = self.among(crystals)
        plan = self.plan(crystals, two_theta, like=like, reflections=reflections)
        quantities = plan.quantities()
        start = {name: np.asarray(q.value, dtype=float) for name, q in quantities.items()}
        for name, value in (values or {}).items():
            if name not in start:
                raise ParameterError(f"{name!r} is none of the values of this experiment: {', '.join(start)}")
            try:
                start[name] = np.broadcast_to(np.asarray(value, dtype=float), start[name].shape)
            except ValueError:
                shapes = f"{np.shape(value)}; expected {start[name].shape} or one number"
                raise ShapeError(f"{name!r} has values of shape {shapes}") from None
            quantity = quantities[name]
            if not np.all((start[name] >= quantity.lower) & (start[name] <= quantity.upper)):
                raise ParameterError(
                    f"{name!r} is {value}; expected from {quantity.lower:g} to {quantity.upper:g} {quantity.unit}".rstrip()
                )
        plan, _ = plan.refreshed(crystals, start)
        y = np.maximum(plan.curve(crystals, start), 0.0)
        return Pattern.create(np.asarray(plan.x), y, name="simulated", instrument=plan.instrument)

    def quantities(self, crystals: Crystal | Mapping[str, Crystal], like: Pattern) -> dict[str, Quantity]:
        """Return the refinable quantities of a measured pattern besides the structures, by local name (host)."""
        instrument, x, y = self.measured(like)
        axes, orders, sizes = dict(self.march_axis), dict(self.harmonics), dict(self.size_axis)
        kinds = [
            PhaseKind(
                name,
                name in axes,
                stephens_basis(crystal.group)[2] if name in self.stephens else (),
                texture_basis(crystal.group, np.asarray(crystal.cell), orders[name])[1] if name in orders else (),
                name in sizes,
            )
            for name, crystal in self.among(crystals).items()
        ]
        background, low, high = self.background_of(like), float(x[0]), float(x[-1])
        start = background.start(x, y - background.added(x, instrument.wavelengths[0]), low, high)
        return histogram_quantities(instrument, kinds, background.quantities(start, low, high), self.dispersion)

    def background_of(self, pattern: Pattern) -> Background:
        """Return the background with all open settings derived from the data: terms, points, heights (host).

        Raises:
            ConventionError: a point or broad peak outside the fitted range, or a measured background of another
                wavelength.
            DataError: a measured background that does not cover the range.
        """
        instrument, x, y = self.measured(pattern)
        of = self.background.measured
        if of is not None and of.instrument is not None and of.instrument.wavelengths:
            theirs, ours = of.instrument.wavelengths[0], instrument.wavelengths[0]
            if abs(theirs / ours - 1.0) > SAME_WAVELENGTH:
                raise ConventionError(
                    f"{of.name}: this background was measured at {theirs:g} Å, and the pattern at {ours:g} Å; measure both alike"
                )
        sigma = np.asarray(pattern.sigma)[pattern.included()]
        return for_data(self.background, x, y, sigma, instrument.wavelengths[0])

    def among(self, crystals: Crystal | Mapping[str, Crystal]) -> dict[str, Crystal]:
        """Return the phases of this experiment, by name (host).

        Raises:
            ConventionError: the experiment names a missing phase.
        """
        if not isinstance(crystals, Mapping):
            require_kind(crystals, Crystal, "the structure", "as of read_crystal, or several by phase name")
            crystals = {crystals.name: crystals}
        crystals = dict(crystals)
        _require_phases("phases", self.phases, crystals)
        chosen = {name: crystals[name] for name in self.phases} or crystals
        if not chosen:
            raise ConventionError("a powder pattern needs at least one crystal")
        for what in ("stephens", "lebail"):
            _require_phases(what, getattr(self, what), chosen)
        for what in ("march_axis", "harmonics", "size_axis"):
            _require_phases(what, dict(getattr(self, what)), chosen)
        elements = {element for crystal in chosen.values() for element in crystal.elements}
        if unknown := [element for element in self.dispersion if element not in elements]:
            raise ConventionError(
                f"dispersion names {', '.join(unknown)}, but the elements are {', '.join(sorted(elements))}"
            )
        return chosen

    def measured(
        self, pattern: Pattern
    ) -> tuple[Instrument, Float[np.ndarray, " points"], Float[np.ndarray, " points"]]:
        """Return diffractometer, fitted points and intensities of a pattern after checking their consistency (host).

        Raises:
            ConventionError: no wavelength, or one impossible at these angles.
            DataError: fewer than 3 fitted points.
        """
        require_kind(pattern, Pattern, "what was measured", "as of read_pattern")
        instrument = self.instrument or pattern.instrument
        if instrument is None:
            raise ConventionError(
                f"{pattern.name} does not say which wavelength it was measured with: "
                "PowderDiffraction(instrument=Instrument(wavelengths=(1.5406,))) says it, or read_pattern(..., wavelength=1.5406)"
            )
        instrument.require_wavelength()
        if self.dispersion and instrument.radiation != "xray":
            raise ConventionError(
                "dispersion (f' and f'') is that of X-rays, and the radiation is 'neutron'; leave it out"
            )
        included = pattern.included()
        x, y = np.asarray(pattern.x)[included], np.asarray(pattern.y)[included]
        if len(x) < 3:
            raise DataError(f"{pattern.name}: {len(x)} points are left outside the excluded regions; nothing to fit")
        shortest = shortest_d(x, instrument)
        if shortest < SHORTEST_D:
            raise ConventionError(
                f"{pattern.name} would end at d = {shortest:.2g} Å with the wavelength {min(instrument.wavelengths):g} Å; "
                "no diffractometer reaches that: give wavelengths in Å (Cu Kα1 is 1.5406) and 2theta in degrees"
            )
        return instrument, x, y

    def _points(self, two_theta: tuple[float, float, float] | Numbers | None, like: Pattern | None) -> Pattern:
        """Return the pattern that defines the points; its intensities are zero if only points are given."""
        if (two_theta is None) == (like is None):
            raise ConventionError("give two_theta=, or a pattern with the same points as like=, and not both")
        if like is not None:
            return like
        x = two_theta_points(*two_theta) if isinstance(two_theta, tuple) else np.asarray(two_theta, dtype=float)
        return Pattern.create(x, np.zeros(x.shape), name="simulated")


def two_theta_points(first: float, last: float, step: float) -> Float[np.ndarray, " points"]:
    """Return points from ``first`` to ``last`` (included if it is on the grid), degrees.

    Raises:
        ConventionError: a zero step, or one in the wrong direction.
    """
    if not (step > 0 and last > first):
        raise ConventionError(
            f"2theta from {first:g} to {last:g} in steps of {step:g}; expected first < last, step > 0"
        )
    if (last - first) / step > MOST_POINTS:
        raise ConventionError(
            f"2theta from {first:g} to {last:g} in steps of {step:g} are {(last - first) / step:.2g} points, more than "
            f"{MOST_POINTS:.0e}; expected a step in degrees such as 0.02"
        )
    return first + step * np.arange(int(np.floor((last - first) / step + 1e-6)) + 1)


def _whole(numbers: Numbers) -> Int[np.ndarray, "..."]:
    return np.rint(numbers).astype(int)


def _axes(what: str, given: Mapping[str, Sequence[float]]) -> tuple[tuple[str, tuple[float, ...]], ...]:
    axes = tuple((phase, tuple(float(k) for k in hkl)) for phase, hkl in given.items())
    for phase, hkl in axes:
        if len(hkl) != 3 or not np.isfinite(hkl).all() or not any(hkl):
            raise ConventionError(f"{what} of {phase!r} is {hkl}; expected hkl that are not all 0, such as (0, 0, 1)")
    return axes


def _require_phases(what: str, names: Sequence[str] | Mapping[str, object], crystals: Mapping[str, Crystal]) -> None:
    unknown = set(names) - set(crystals)
    if unknown:
        raise ConventionError(f"{what} names {sorted(unknown)}, but the phases are {sorted(crystals)}")
