"""`Site`: one site by its conventional NMR parameters. `Sites`: several, as Cartesian tensors, for the simulators."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._arguments import checked
from .._struct import Struct, static
from ..errors import ConventionError, ShapeError
from ..typing import Array, Numbers
from .euler import rotation
from .isotopes import isotope as isotope_data
from .plausible import check_coupling, check_degrees, check_ppm, check_spin_coupling, check_width
from .tensors import shielding_from_haeberlen

_TRANSITIONS = ("central", "satellites", "all")
_NOT_NEGATIVE = ("amplitude", "gaussian_hz", "lorentzian_hz", "shielding_spread_ppm", "quadrupolar_spread_hz")


@checked
@dataclass(frozen=True, kw_only=True)
class Coupling:
    """A weak coupling to another spin: the partner's 2S + 1 states split the line.

    Attributes:
        partner: isotope of the other spin, such as ``"1H"``.
        j_hz: isotropic J coupling.
        dipolar_hz: dipolar coupling constant d, signed (the tensor's principal values are 2d, -d, -d).
        euler_deg: orientation (alpha, beta, gamma) of the dipolar tensor in the common frame.
        zeta_j_hz, eta_j: anisotropy of J (Haeberlen).
        euler_j_deg: orientation of the J tensor.
    """

    partner: str
    j_hz: float = 0.0
    dipolar_hz: float = 0.0
    euler_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    zeta_j_hz: float = 0.0
    eta_j: float = 0.0
    euler_j_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "partner", isotope_data(self.partner).symbol)
        _check_asymmetry("eta_j", self.eta_j)
        for name in ("j_hz", "dipolar_hz", "zeta_j_hz"):
            check_spin_coupling(name, getattr(self, name), dipolar=name == "dipolar_hz")
        for name in ("euler_deg", "euler_j_deg"):
            _check_euler(name, getattr(self, name))

    def tensor_hz(self) -> Float[np.ndarray, "3 3"]:
        """Return the coupling tensor M of the energy ``h I M S``."""
        dipolar = _turned(np.diag([-1.0, -1.0, 2.0]) * self.dipolar_hz, self.euler_deg)
        return dipolar + _turned(_haeberlen(self.j_hz, self.zeta_j_hz, self.eta_j), self.euler_j_deg)


@checked
@dataclass(frozen=True, kw_only=True)
class Site:
    """A site by its isotropic shift, shielding and quadrupolar parameters.

    Attributes:
        isotope: the nucleus, such as ``"27Al"``.
        shift_ppm: isotropic chemical shift.
        zeta_ppm: reduced anisotropy of the SHIELDING, ``sigma_zz - sigma_iso`` (Haeberlen): a positive value moves the
            unique edge of the pattern to lower shifts.
        eta: asymmetry of the shielding, 0 to 1.
        cq_hz: quadrupolar coupling constant C_Q, signed.
        eta_q: asymmetry of the quadrupolar tensor, 0 to 1.
        euler_deg: orientation (alpha, beta, gamma) of the shielding tensor in the common frame,
            ``R diag R^T`` with ``R = Rz(gamma) Ry(beta) Rz(alpha)``. As in mrsimulator and SIMPSON the principal axes of
            both tensors are in Haeberlen's order, ``|zz| >= |xx| >= |yy|`` (many texts swap x and y for the EFG).
        euler_q_deg: orientation of the quadrupolar tensor; if left at zero, the common frame is its principal frame.
        shielding_spread_ppm, quadrupolar_spread_hz: sigma of an (extended) Czjzek distribution of zeta or C_Q; see
            :mod:`jaxnmr.nmr.powder.distributions`. Not both at once.
        amplitude: relative intensity (abundance, population).
        gaussian_hz, lorentzian_hz: full widths at half maximum of the broadening.
        couplings: weak couplings to other spins.
        transitions: ``"central"``, ``"satellites"``, ``"all"`` or pairs of quantum numbers, if they differ from those
            of the spectrum. The amplitude is that of all of them together.
        like: label of the site whose shift, tensors and couplings this one shares, overriding the values given here;
            for example for the satellites of a site with an amplitude and widths of their own.
        label: shown in reports; parameters are named after it.

    Example:
        >>> jn.Site(isotope="27Al", shift_ppm=60.0, cq_hz=3e6, eta_q=0.3, gaussian_hz=200.0, label="Al1").cq_hz
        3000000.0
    """

    isotope: str
    shift_ppm: float = 0.0
    zeta_ppm: float = 0.0
    eta: float = 0.0
    cq_hz: float = 0.0
    eta_q: float = 0.0
    euler_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    euler_q_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    shielding_spread_ppm: float = 0.0
    quadrupolar_spread_hz: float = 0.0
    amplitude: float = 1.0
    gaussian_hz: float = 0.0
    lorentzian_hz: float = 0.0
    couplings: tuple[Coupling, ...] = field(default=())
    transitions: str | tuple[tuple[float, float], ...] | None = None
    like: str = ""
    label: str = ""

    def __post_init__(self) -> None:
        nucleus = isotope_data(self.isotope)
        spin = nucleus.spin
        object.__setattr__(self, "isotope", nucleus.symbol)
        for name in ("shift_ppm", "zeta_ppm", "eta", "cq_hz", "eta_q", *_NOT_NEGATIVE):
            if not np.isfinite(getattr(self, name)):
                raise ConventionError(f"site {self.name}: {name} is {getattr(self, name)}")
        _check_asymmetry(f"site {self.name}: eta", self.eta)
        _check_asymmetry(f"site {self.name}: eta_q", self.eta_q)
        if (self.cq_hz or self.quadrupolar_spread_hz) and spin < 1:
            raise ConventionError(f"site {self.name}: {self.isotope} has spin 1/2 and no quadrupolar coupling")
        for name in _NOT_NEGATIVE:
            if getattr(self, name) < 0:
                raise ConventionError(f"site {self.name}: {name} is {getattr(self, name):g}; it cannot be negative")
        for name in ("shift_ppm", "zeta_ppm", "shielding_spread_ppm"):
            check_ppm(f"site {self.name}: {name}", getattr(self, name))
        for name in ("cq_hz", "quadrupolar_spread_hz"):
            check_coupling(f"site {self.name}: {name}", getattr(self, name), nucleus.symbol)
        for name in ("gaussian_hz", "lorentzian_hz"):
            check_width(f"site {self.name}: {name}", getattr(self, name))
        for name in ("euler_deg", "euler_q_deg"):
            _check_euler(f"site {self.name}: {name}", getattr(self, name))
        if isinstance(self.transitions, str) and self.transitions not in _TRANSITIONS:
            raise ConventionError(
                f"site {self.name}: transitions is {self.transitions!r}; expected {', '.join(map(repr, _TRANSITIONS))}, or pairs of "
                "quantum numbers"
            )
        object.__setattr__(self, "couplings", tuple(self.couplings))

    @property
    def name(self) -> str:
        """The label, or the isotope and shift."""
        return self.label or f"{self.isotope} at {self.shift_ppm:g} ppm"

    def replace(self, **changes: Any) -> "Site":
        """Return a checked copy with some values changed."""
        return replace(self, **changes)


class Sites(Struct):
    """Sites of one isotope as Cartesian tensors, each in its common frame; the input of simulators.

    Attributes:
        shift_ppm: isotropic shifts.
        shielding_ppm: shielding anisotropy; the trace and an antisymmetric part have no effect.
        quadrupolar_hz: quadrupolar tensors eQV/h, traceless, largest principal value C_Q.
        couplings_hz: coupling tensors, J and dipolar together.
        shielding_spread_ppm, quadrupolar_spread_hz: sigma of a distribution of the tensor.
        amplitude: relative intensities.
        gaussian_hz, lorentzian_hz: full widths at half maximum.
        isotope: the nucleus.
        labels: one per site.
        partners: isotopes the sites are coupled to, one per coupling; the same for all sites.
        transitions: transitions shown by each site, ``None`` for those of the spectrum; empty if that holds for all.
        leaders: index of the site whose shift and tensors each site shares; empty if every site has its own.
    """

    shift_ppm: Float[Array, " sites"]
    shielding_ppm: Float[Array, "sites 3 3"]
    quadrupolar_hz: Float[Array, "sites 3 3"]
    couplings_hz: Float[Array, "sites couplings 3 3"]
    shielding_spread_ppm: Float[Array, " sites"]
    quadrupolar_spread_hz: Float[Array, " sites"]
    amplitude: Float[Array, " sites"]
    gaussian_hz: Float[Array, " sites"]
    lorentzian_hz: Float[Array, " sites"]
    isotope: str = static()
    labels: tuple[str, ...] = static()
    partners: tuple[str, ...] = static()
    transitions: tuple[Any, ...] = static(default=())
    leaders: tuple[int, ...] = static(default=())

    @classmethod
    @checked
    def create(
        cls,
        isotope: str,
        shift_ppm: Numbers,
        *,
        shielding_ppm: Numbers | None = None,
        quadrupolar_hz: Numbers | None = None,
        couplings_hz: Numbers | None = None,
        partners: Sequence[str] = (),
        shielding_spread_ppm: Numbers = 0.0,
        quadrupolar_spread_hz: Numbers = 0.0,
        amplitude: Numbers = 1.0,
        gaussian_hz: Numbers = 0.0,
        lorentzian_hz: Numbers = 0.0,
        labels: Sequence[str] = (),
    ) -> Self:
        """Build and check sites from tensors (host).

        Raises:
            ShapeError: tensors that are not ``(sites, 3, 3)``.
            ConventionError: values that are not finite, negative widths, a quadrupolar tensor that is not symmetric and
                traceless, or one of a spin 1/2.
        """
        shift = np.atleast_1d(np.asarray(shift_ppm, dtype=float))
        n = len(shift)
        tensor = lambda value, name: _tensors(value, n, name)
        scalar = lambda value: np.broadcast_to(np.asarray(value, dtype=float), (n,)).copy()
        labels = tuple(labels) or tuple(f"{isotope}-{k + 1}" for k in range(n))
        if len(labels) != n or len(set(labels)) != n:
            raise ShapeError(f"{n} sites need {n} different labels, got {list(labels)}")
        couplings = np.zeros((n, 0, 3, 3)) if couplings_hz is None else np.asarray(couplings_hz, dtype=float)
        if couplings.shape != (n, len(partners), 3, 3):
            raise ShapeError(
                f"couplings have the shape {couplings.shape}; expected {(n, len(partners), 3, 3)} for {n} sites and "
                f"{len(partners)} partners"
            )
        for partner in partners:
            isotope_data(partner)
        quadrupolar = tensor(quadrupolar_hz, "quadrupolar tensor")
        spread_q = scalar(quadrupolar_spread_hz)
        if (quadrupolar.any() or spread_q.any()) and isotope_data(isotope).spin < 1:
            raise ConventionError(f"{isotope} has spin 1/2 and no quadrupolar coupling")
        # below a microhertz, rounding of numbers close to zero dominates and nothing is observable
        size = np.abs(quadrupolar).max(axis=(1, 2), initial=1e-6)
        skewed = np.abs(quadrupolar - quadrupolar.swapaxes(1, 2)).max(axis=(1, 2), initial=0.0) > 1e-6 * size
        trace = np.abs(np.trace(quadrupolar, axis1=1, axis2=2)) > 1e-3 * size
        for wrong, what in ((skewed, "symmetric"), (trace, "traceless")):
            if wrong.any():
                raise ConventionError(
                    f"the quadrupolar tensor of {labels[int(np.argmax(wrong))]} is not {what}; an EFG always is: "
                    "check units and the order of its nine numbers"
                )
        out = cls(
            shift_ppm=shift,
            shielding_ppm=tensor(shielding_ppm, "shielding tensor"),
            quadrupolar_hz=quadrupolar,
            couplings_hz=couplings,
            shielding_spread_ppm=scalar(shielding_spread_ppm),
            quadrupolar_spread_hz=spread_q,
            amplitude=scalar(amplitude),
            gaussian_hz=scalar(gaussian_hz),
            lorentzian_hz=scalar(lorentzian_hz),
            isotope=isotope,
            labels=labels,
            partners=tuple(partners),
        )
        for name in ("shift_ppm", "shielding_ppm", "couplings_hz", *_NOT_NEGATIVE):
            if not np.isfinite(getattr(out, name)).all():
                raise ConventionError(f"{name} of the {isotope} sites is not finite")
        for name in _NOT_NEGATIVE:
            if (getattr(out, name) < 0).any():
                raise ConventionError(f"{name} of {labels[int(np.argmin(getattr(out, name)))]} is negative")
        both = (out.shielding_spread_ppm > 0) & (spread_q > 0)
        if both.any():
            raise ConventionError(
                f"{labels[int(np.argmax(both))]} has distributions of shielding and of quadrupolar coupling: their joint "
                "distribution is not defined; describe one of them, or give many sites"
            )
        return out

    @classmethod
    def traced(
        cls,
        isotope: str,
        labels: tuple[str, ...],
        shift_ppm: Float[Array, " sites"],
        *,
        shielding_ppm: Float[Array, "sites 3 3"] | None = None,
        quadrupolar_hz: Float[Array, "sites 3 3"] | None = None,
        amplitude: Numbers = 1.0,
        gaussian_hz: Numbers = 0.0,
        lorentzian_hz: Numbers = 0.0,
        dtype: Any = None,
    ) -> Self:
        """Build sites without couplings and distributions from arrays that may be traced, without checks.

        Args:
            isotope, labels: as in the record.
            shielding_ppm, quadrupolar_hz: zero by default.
            amplitude, gaussian_hz, lorentzian_hz: a number or ``(sites,)``.
            dtype: of all but the shifts and the given tensors; that of the shifts by default.
        """
        count, dtype = len(labels), shift_ppm.dtype if dtype is None else dtype
        column = lambda value: jnp.broadcast_to(jnp.asarray(value, dtype=dtype), (count,))
        zero = jnp.zeros((count, 3, 3), dtype)
        return cls(
            shift_ppm=shift_ppm,
            shielding_ppm=zero if shielding_ppm is None else shielding_ppm,
            quadrupolar_hz=zero if quadrupolar_hz is None else quadrupolar_hz,
            couplings_hz=jnp.zeros((count, 0, 3, 3), dtype),
            shielding_spread_ppm=column(0.0),
            quadrupolar_spread_hz=column(0.0),
            amplitude=column(amplitude),
            gaussian_hz=column(gaussian_hz),
            lorentzian_hz=column(lorentzian_hz),
            isotope=isotope,
            labels=labels,
            partners=(),
        )

    @classmethod
    def of(cls, sites: "Site | Sequence[Site] | Sites") -> "Sites":
        """Build from `Site` records (host). Sites with fewer couplings than others get zero couplings to partners.

        Raises:
            ConventionError: no site, sites of several isotopes, or a ``like`` that refers to a missing site.
        """
        if isinstance(sites, Sites):
            return sites
        sites = resolved([sites] if isinstance(sites, Site) else list(sites))
        isotopes = {s.isotope for s in sites}
        if len(isotopes) != 1:
            raise ConventionError(f"a spectrum shows one isotope; the sites are of {sorted(isotopes) or 'none'}")
        (isotope,) = isotopes
        partners = max((tuple(c.partner for c in s.couplings) for s in sites), key=len)
        for s in sites:
            mine = tuple(c.partner for c in s.couplings)
            if mine != partners[: len(mine)]:
                raise ConventionError(
                    f"site {s.name} is coupled to {mine}, another to {partners}: list partners in the same order"
                )
        couplings = np.zeros((len(sites), len(partners), 3, 3))
        for k, s in enumerate(sites):
            for j, coupling in enumerate(s.couplings):
                couplings[k, j] = coupling.tensor_hz()
        quadrupolar = [_turned(_haeberlen(0.0, s.cq_hz, s.eta_q), s.euler_q_deg) for s in sites]
        column = lambda name: [getattr(s, name) for s in sites]
        made = cls.create(
            isotope,
            column("shift_ppm"),
            shielding_ppm=[_turned(_haeberlen(0.0, s.zeta_ppm, s.eta), s.euler_deg) for s in sites],
            quadrupolar_hz=quadrupolar,
            couplings_hz=couplings,
            partners=partners,
            shielding_spread_ppm=column("shielding_spread_ppm"),
            quadrupolar_spread_hz=column("quadrupolar_spread_hz"),
            amplitude=column("amplitude"),
            gaussian_hz=column("gaussian_hz"),
            lorentzian_hz=column("lorentzian_hz"),
            labels=unique([s.label or f"{s.isotope}-{k + 1}" for k, s in enumerate(sites)]),
        )
        labels, own = [s.label for s in sites], tuple(s.transitions for s in sites)
        return made.replace(
            transitions=own if any(of is not None for of in own) else (),
            leaders=tuple(labels.index(s.like) if s.like else k for k, s in enumerate(sites))
            if any(column("like"))
            else (),
        )

    def __len__(self) -> int:
        return len(self.labels)


_SHARED = (
    "shift_ppm", "zeta_ppm", "eta", "cq_hz", "eta_q", "euler_deg", "euler_q_deg", "shielding_spread_ppm",
    "quadrupolar_spread_hz", "couplings",
)  # fmt: skip


def resolved(sites: Sequence[Site]) -> list[Site]:
    """Return sites with ``like`` resolved: they get the shift, tensors and couplings of the site it refers to.

    Raises:
        ConventionError: there is no such site, or it has a ``like`` itself.
    """
    by_label = {s.label: s for s in sites if s.label and not s.like}
    for s in sites:
        if s.like and s.like not in by_label:
            raise ConventionError(
                f"site {s.name} is like {s.like!r}; expected the label of a site of its own: {', '.join(by_label) or 'none is there'}"
            )
    shared = lambda s: {name: getattr(by_label[s.like], name) for name in _SHARED}
    return [s.replace(**shared(s)) if s.like else s for s in sites]


def unique(labels: Sequence[str]) -> tuple[str, ...]:
    """Return the labels with repeated ones numbered."""
    out: list[str] = []
    for k, label in enumerate(labels):
        again = labels[:k].count(label)
        out.append(f"{label}_{again + 1}" if again else label)
    return tuple(out)


def _tensors(value: Numbers | None, n: int, name: str) -> Float[np.ndarray, "sites 3 3"]:
    if value is None:
        return np.zeros((n, 3, 3))
    tensors = np.asarray(value, dtype=float)
    tensors = tensors[None] if tensors.shape == (3, 3) else tensors
    if tensors.shape != (n, 3, 3):
        raise ShapeError(f"{name}: expected {(n, 3, 3)} for {n} sites, got {tensors.shape}")
    if not np.isfinite(tensors).all():
        raise ConventionError(f"{name} is not finite")
    return tensors


def _haeberlen(iso: float, zeta: float, eta: float) -> Float[np.ndarray, "3 3"]:
    return np.asarray(shielding_from_haeberlen(float(iso), float(zeta), float(eta)))


def _turned(tensor: Float[np.ndarray, "3 3"], euler_deg: tuple[float, float, float]) -> Float[np.ndarray, "3 3"]:
    matrix = np.asarray(rotation(*map(float, euler_deg)))
    return matrix @ tensor @ matrix.T


def _check_euler(where: str, angles: Sequence[float]) -> None:
    if np.shape(angles) != (3,):
        raise ConventionError(f"{where} is {angles}; expected alpha, beta and gamma")
    for angle in angles:
        if not np.isfinite(angle):
            raise ConventionError(f"{where} is {angles}; expected three finite angles in degrees")
        check_degrees(f"{where}: an angle", angle)


def _check_asymmetry(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ConventionError(f"{name} is {value:g}; an asymmetry lies between 0 and 1 (order the principal values)")
