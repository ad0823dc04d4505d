"""Second-rank NMR tensors: parts, spherical components, principal values, and their conventions.

Functions take one tensor ``(3, 3)`` or many ``(..., 3, 3)``, work on NumPy and JAX arrays, preserve their dtype and
are differentiable. Tensors built without JAX arrays are NumPy arrays, as they would otherwise require compiling many
small programs. Values are checked if they are concrete, that is, outside ``jit`` and ``grad``.

A *shielding* sigma and a *shift* delta have opposite signs, ``delta = reference - sigma``; every name or docstring
states which one is meant. Principal values are eigenvalues of the symmetric part.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Complex, Float, Inexact

from .._arrays import is_concrete, namespace
from ..errors import ConventionError, ShapeError
from ..typing import Array, Numbers

# labellings of principal values as x, y, z; see principal_frame
ORDERS = ("haeberlen", "efg", "ascending", "descending")
# an eta of 1 leaves the sign of zeta undefined; within this fraction of the span it is taken as positive
TIE = 1e-9


def _traceless_dyads() -> Float[np.ndarray, "5 3 3"]:
    dyads = np.zeros((5, 3, 3))
    dyads[0] = np.diag([1.0, -1.0, 0.0]) / np.sqrt(2.0)
    dyads[1] = np.diag([-1.0, -1.0, 2.0]) / np.sqrt(6.0)
    for k, (i, j) in enumerate(((1, 2), (0, 2), (0, 1)), start=2):
        dyads[k, i, j] = dyads[k, j, i] = 1.0 / np.sqrt(2.0)
    return dyads


# the orthonormal traceless symmetric tensors: xx - yy, 2 zz - xx - yy, yz, xz, xy
TRACELESS_DYADS = _traceless_dyads()


class PrincipalFrame(NamedTuple):
    """Principal values, with the axes as columns of a right-handed rotation matrix."""

    values: Float[Array, "*n 3"]
    axes: Float[Array, "*n 3 3"]


class Haeberlen(NamedTuple):
    """Isotropic value, reduced anisotropy ``zeta = zz - iso`` and asymmetry ``eta = (yy - xx)/zeta``.

    ``|zz - iso| >= |xx - iso| >= |yy - iso|``. The anisotropy of textbooks, ``zz - (xx + yy)/2``, is ``3 zeta/2``.
    """

    iso: Float[Array, "*n"]
    zeta: Float[Array, "*n"]
    eta: Float[Array, "*n"]

    @property
    def anisotropy(self) -> Float[Array, "*n"]:
        """``Delta = zz - (xx + yy)/2 = 3 zeta/2``."""
        return 1.5 * self.zeta


class Iupac(NamedTuple):
    """Principal values 11, 22, 33 from the least to the most shielded direction (Mehring, IUPAC 2008).

    For a shift they descend, ``d11 >= d22 >= d33``; for a shielding they ascend, ``s11 <= s22 <= s33``.
    """

    p11: Float[Array, "*n"]
    p22: Float[Array, "*n"]
    p33: Float[Array, "*n"]


class Maryland(NamedTuple):
    """Isotropic value, span ``d11 - d33 = s33 - s11 >= 0`` and skew ``3 (d22 - d_iso)/span``, from -1 to 1.

    Span and skew are the same for a shift and its shielding.
    """

    iso: Float[Array, "*n"]
    span: Float[Array, "*n"]
    skew: Float[Array, "*n"]


class HerzfeldBerger(NamedTuple):
    """Parameters of spinning-sideband intensities: ``mu = span nu_L/nu_r`` and ``rho``, which is the skew."""

    mu: Float[Array, "*n"]
    rho: Float[Array, "*n"]


class Quadrupolar(NamedTuple):
    """Quadrupolar coupling constant ``Cq = e Q Vzz/h`` in Hz, signed, and asymmetry ``(Vxx - Vyy)/Vzz``.

    The principal values are ordered as ``|Vzz| >= |Vyy| >= |Vxx|``.
    """

    cq_hz: Float[Array, "*n"]
    eta: Float[Array, "*n"]


class Spherical(NamedTuple):
    """Components of rank 0, 1 and 2, ordered from m = -l to m = l."""

    rank0: Complex[Array, "*n"]
    rank1: Complex[Array, "*n 3"]
    rank2: Complex[Array, "*n 5"]


def isotropic(tensor: Numbers) -> Inexact[Array, "*n"]:
    """Return a third of the trace."""
    return jnp.trace(_tensor(tensor), axis1=-2, axis2=-1) / 3.0


def symmetric_part(tensor: Numbers) -> Inexact[Array, "*n 3 3"]:
    """Return ``(T + T^T)/2``, the part that affects first-order spectra."""
    t = _tensor(tensor)
    return 0.5 * (t + jnp.swapaxes(t, -1, -2))


def antisymmetric_part(tensor: Numbers) -> Inexact[Array, "*n 3 3"]:
    """Return ``(T - T^T)/2``; GIPAW shieldings have such a part, which acts only in second order (relaxation)."""
    t = _tensor(tensor)
    return 0.5 * (t - jnp.swapaxes(t, -1, -2))


def vector_from_antisymmetric(tensor: Numbers) -> Inexact[Array, "*n 3"]:
    """Return the axial vector ``(Tyz - Tzy, Tzx - Txz, Txy - Tyx)/2`` of the antisymmetric part."""
    part = antisymmetric_part(tensor)
    return jnp.stack([part[..., 1, 2], part[..., 2, 0], part[..., 0, 1]], axis=-1)


def antisymmetric_from_vector(vector: Numbers) -> Inexact[Array, "*n 3 3"]:
    """Return the antisymmetric tensor of an axial vector, ``Tij = sum_k eps_ijk v_k``.

    Raises:
        ShapeError: the last axis is not 3.
    """
    v = jnp.asarray(vector)
    if v.shape[-1:] != (3,):
        raise ShapeError(f"an axial vector has the shape {v.shape}; expected (..., 3)")
    x, y, z = (v[..., k] for k in range(3))
    zero = jnp.zeros_like(x)
    return jnp.stack(
        [jnp.stack([zero, z, -y], -1), jnp.stack([-z, zero, x], -1), jnp.stack([y, -x, zero], -1)], axis=-2
    )


def spherical_from_cartesian(tensor: Numbers) -> Spherical:
    """Convert a Cartesian tensor to spherical components.

    ``T00 = -(Txx + Tyy + Tzz)/sqrt3``; ``T10 = -i (Txy - Tyx)/sqrt2``,
    ``T1+-1 = -(Tzx - Txz +- i (Tzy - Tyz))/2``;
    ``T20 = (2 Tzz - Txx - Tyy)/sqrt6``, ``T2+-1 = -+(Txz + Tzx)/2 - i (Tyz + Tzy)/2``,
    ``T2+-2 = (Txx - Tyy)/2 +- i (Txy + Tyx)/2``.

    A rotation of the tensor by phi about z multiplies component m by ``exp(i m phi)``. Ranks 0 and 2 are those of the
    Clebsch-Gordan product of two vectors; rank 1 has the opposite sign, as is customary in the NMR literature.

    Source: U. Haeberlen, High Resolution NMR in Solids (1976); M. Mehring, Principles of High Resolution NMR in Solids
    (1983).
    """
    t = _tensor(tensor)
    xx, xy, xz = (t[..., 0, k] for k in range(3))
    yx, yy, yz = (t[..., 1, k] for k in range(3))
    zx, zy, zz = (t[..., 2, k] for k in range(3))
    one, two = -0.5 * (zx - xz), -0.5j * (zy - yz)
    x1, y1 = -0.5 * (xz + zx), -0.5j * (yz + zy)
    x2, y2 = 0.5 * (xx - yy), 0.5j * (xy + yx)
    t20 = (2.0 * zz - xx - yy) / math.sqrt(6.0)
    return Spherical(
        rank0=(0j - (xx + yy + zz)) / math.sqrt(3.0),
        rank1=jnp.stack([one - two, -1j * (xy - yx) / math.sqrt(2.0), one + two], axis=-1),
        rank2=jnp.stack([x2 - y2, -x1 + y1, t20 + 0j, x1 + y1, x2 + y2], axis=-1),
    )


def cartesian_from_spherical(components: Spherical) -> Float[Array, "*n 3 3"]:
    """Convert spherical components to a Cartesian tensor; the inverse of `spherical_from_cartesian`."""
    iso = -jnp.real(components.rank0) / math.sqrt(3.0)
    low, mid, high = (components.rank1[..., k] for k in range(3))
    vector = jnp.stack(
        [jnp.imag(high - low) / 2.0, -jnp.real(high + low) / 2.0, -jnp.imag(mid) / math.sqrt(2.0)], axis=-1
    )
    _, _, t20, t21, t22 = (components.rank2[..., k] for k in range(5))
    zz = jnp.real(t20) * math.sqrt(2.0 / 3.0)
    xx, yy = jnp.real(t22) - 0.5 * zz, -jnp.real(t22) - 0.5 * zz
    xy, xz, yz = jnp.imag(t22), -jnp.real(t21), -jnp.imag(t21)
    rows = [[xx + iso, xy, xz], [xy, yy + iso, yz], [xz, yz, zz + iso]]
    symmetric = jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)
    return symmetric + antisymmetric_from_vector(vector)


def principal_frame(tensor: Numbers, order: str = "haeberlen") -> PrincipalFrame:
    """Diagonalise the symmetric part into principal values and axes.

    Args:
        tensor: ``(..., 3, 3)``.
        order: labelling of the three as x, y, z: ``"haeberlen"`` by ``|zz - iso| >= |xx - iso| >= |yy - iso|``,
            ``"efg"`` by ``|zz| >= |yy| >= |xx|`` (x and y exchanged), ``"ascending"`` or ``"descending"`` by value.

    Returns:
        The frame, with ``T = axes diag(values) axes^T``. Axes are right-handed and constant under differentiation (they
        are not unique if two values coincide, but always orthonormal); values have exact first derivatives.

    Raises:
        ShapeError, ConventionError: a shape other than ``(..., 3, 3)``, values that are not finite, or an unknown
            order.
    """
    if order not in ORDERS:
        raise ConventionError(f"order is {order!r}; expected one of {', '.join(ORDERS)}")
    symmetric = symmetric_part(tensor)
    values, axes = jnp.linalg.eigh(jax.lax.stop_gradient(symmetric))
    if order == "descending":
        axes = axes[..., ::-1]
    elif order in ("haeberlen", "efg"):
        low, mid, high = (values[..., k] for k in range(3))
        positive = (low + high - 2.0 * mid >= -TIE * (high - low))[..., None]
        left, middle, right = (axes[..., k] for k in range(3))
        z, far = jnp.where(positive, right, left), jnp.where(positive, left, right)
        axes = jnp.stack([far, middle, z] if order == "haeberlen" else [middle, far, z], axis=-1)
    axes = axes * jnp.where(jnp.linalg.det(axes) < 0, -1.0, 1.0)[..., None, None].astype(axes.dtype)
    return PrincipalFrame(jnp.einsum("...ik,...ij,...jk->...k", axes, symmetric, axes), axes)


def shielding_from_haeberlen(iso: Numbers, zeta: Numbers, eta: Numbers) -> Float[Array, "*n 3 3"]:
    """Shielding tensor in its principal frame, ``diag(iso - zeta (1 + eta)/2, iso - zeta (1 - eta)/2, iso + zeta)``.

    Its unit is that of iso and zeta (a SHIELDING anisotropy, as in mrsimulator).

    Raises:
        ConventionError: eta outside 0 to 1, or values that are not finite.
    """
    iso, zeta, eta = _numbers(iso=iso, zeta=zeta, eta=eta)
    _within("eta", eta, 0.0, 1.0)
    return _diagonal(iso - 0.5 * zeta * (1.0 + eta), iso - 0.5 * zeta * (1.0 - eta), iso + zeta)


def haeberlen_from_shielding(shielding: Numbers) -> Haeberlen:
    """Return the Haeberlen parameters of a SHIELDING tensor; for a shift tensor, those with the anisotropy of the shift.

    An isotropic tensor has ``zeta = eta = 0``; at eta = 1, where both signs describe the tensor, zeta is positive.
    """
    x, y, z = _split(principal_frame(shielding, "haeberlen").values)
    iso = (x + y + z) / 3.0
    zeta = z - iso
    return Haeberlen(iso, zeta, _ratio(y - x, zeta))


def shielding_from_iupac(s11: Numbers, s22: Numbers, s33: Numbers) -> Float[Array, "*n 3 3"]:
    """Shielding tensor ``diag(s11, s22, s33)`` from IUPAC values, ``s11 <= s22 <= s33``.

    Raises:
        ConventionError: values out of order or not finite.
    """
    s11, s22, s33 = _numbers(s11=s11, s22=s22, s33=s33)
    _ordered("s11 <= s22 <= s33", s11, s22, s33)
    return _diagonal(s11, s22, s33)


def iupac_from_shielding(shielding: Numbers) -> Iupac:
    """IUPAC values of a SHIELDING tensor, ``s11 <= s22 <= s33``."""
    return Iupac(*_split(principal_frame(shielding, "ascending").values))


def shift_from_iupac(d11: Numbers, d22: Numbers, d33: Numbers) -> Float[Array, "*n 3 3"]:
    """Shift tensor ``diag(d11, d22, d33)`` from IUPAC values, ``d11 >= d22 >= d33``.

    Raises:
        ConventionError: values out of order or not finite.
    """
    d11, d22, d33 = _numbers(d11=d11, d22=d22, d33=d33)
    _ordered("d11 >= d22 >= d33", d33, d22, d11)
    return _diagonal(d11, d22, d33)


def iupac_from_shift(shift: Numbers) -> Iupac:
    """IUPAC values of a SHIFT tensor, ``d11 >= d22 >= d33``."""
    return Iupac(*_split(principal_frame(shift, "descending").values))


def shift_from_maryland(iso: Numbers, span: Numbers, skew: Numbers) -> Float[Array, "*n 3 3"]:
    """Shift tensor ``diag(d11, d22, d33)`` from isotropic shift, span and skew.

    Raises:
        ConventionError: a negative span, a skew outside -1 to 1, or values that are not finite.
    """
    iso, span, skew = _numbers(iso=iso, span=span, skew=skew)
    _within("span", span, 0.0, np.inf)
    _within("skew", skew, -1.0, 1.0)
    middle = iso + skew * span / 3.0
    outer = iso - skew * span / 6.0
    return _diagonal(outer + 0.5 * span, middle, outer - 0.5 * span)


def maryland_from_shift(shift: Numbers) -> Maryland:
    """Isotropic shift, span and skew of a SHIFT tensor; the skew of an isotropic tensor is 0."""
    d33, d22, d11 = _split(principal_frame(shift, "ascending").values)
    iso = (d11 + d22 + d33) / 3.0
    return Maryland(iso, d11 - d33, _ratio(3.0 * (d22 - iso), d11 - d33))


def shielding_from_maryland(iso: Numbers, span: Numbers, skew: Numbers) -> Float[Array, "*n 3 3"]:
    """Shielding tensor ``diag(s11, s22, s33)`` from isotropic shielding, span and skew (both as for the shift)."""
    return -shift_from_maryland(-jnp.asarray(iso), span, skew)


def maryland_from_shielding(shielding: Numbers) -> Maryland:
    """Isotropic shielding, span and skew of a SHIELDING tensor; span and skew are those of its shift."""
    of_shift = maryland_from_shift(-_tensor(shielding))
    return of_shift._replace(iso=-of_shift.iso)


def herzfeld_berger_from_maryland(
    span_ppm: Numbers, skew: Numbers, *, larmor_hz: float, mas_hz: float
) -> HerzfeldBerger:
    """Sideband parameters for a span and a skew at a spinning rate.

    Source: J. Herzfeld, A. E. Berger, J. Chem. Phys. 73, 6021 (1980), eq. 25, with s11 <= s22 <= s33:
    ``mu = (s33 - s11) nu_L/nu_r``, ``rho = (s11 + s33 - 2 s22)/(s33 - s11)``.

    Raises:
        ConventionError: a frequency that is not positive, or span and skew out of range.
    """
    span_ppm, skew = _numbers(span_ppm=span_ppm, skew=skew)
    _within("span_ppm", span_ppm, 0.0, np.inf)
    _within("skew", skew, -1.0, 1.0)
    return HerzfeldBerger(span_ppm * _spinning(larmor_hz, mas_hz), skew)


def maryland_from_herzfeld_berger(
    mu: Numbers, rho: Numbers, *, larmor_hz: float, mas_hz: float, iso_ppm: Numbers = 0.0
) -> Maryland:
    """Span in ppm and skew from sideband parameters; the inverse of `herzfeld_berger_from_maryland`."""
    mu, rho, iso_ppm = _numbers(mu=mu, rho=rho, iso_ppm=iso_ppm)
    _within("mu", mu, 0.0, np.inf)
    _within("rho", rho, -1.0, 1.0)
    return Maryland(iso_ppm, mu / _spinning(larmor_hz, mas_hz), rho)


def quadrupolar_from(cq_hz: Numbers, eta: Numbers) -> Float[Array, "*n 3 3"]:
    """Quadrupolar tensor ``e Q V/h`` in Hz in its principal frame, with the largest component ``Cq`` along z.

    ``diag(-Cq (1 + eta)/2, -Cq (1 - eta)/2, Cq)``: x and y as in mrsimulator, where x is the axis of the larger of the
    two. For the frame of ``eta = (Vxx - Vyy)/Vzz`` with ``|Vyy| >= |Vxx|``, rotate by 90 degrees about z.

    Raises:
        ConventionError: eta outside 0 to 1, or values that are not finite.
    """
    return shielding_from_haeberlen(0.0, cq_hz, eta)


def quadrupolar_parameters(quadrupolar_hz: Numbers) -> Quadrupolar:
    """Cq (signed) and eta of a quadrupolar tensor in Hz; eta is 0 where Cq is 0, and Cq is positive where eta is 1.

    Raises:
        ConventionError: a tensor that is not symmetric and traceless to a thousandth of its size.
    """
    check_efg(quadrupolar_hz, "quadrupolar tensor")
    of = haeberlen_from_shielding(quadrupolar_hz)
    return Quadrupolar(of.zeta, of.eta)


def check_efg(tensor: Numbers, name: str = "EFG tensor", slack: float = 0.0) -> None:
    """Raise if a tensor cannot be an electric field gradient.

    Args:
        tensor: ``(..., 3, 3)``.
        name: for the message.
        slack: additional tolerance of each element, in the tensor's unit, for rounding in a file.

    Raises:
        ConventionError: a tensor that is not symmetric and traceless to a thousandth of its largest element.
        ShapeError: the shape is not ``(..., 3, 3)``.
    """
    checked = _tensor(tensor, name)
    if not is_concrete(checked):
        return
    t = np.asarray(checked)
    size = np.abs(t).max(axis=(-1, -2))
    skewed = np.abs(t - t.swapaxes(-1, -2)).max(axis=(-1, -2))
    trace = np.abs(np.trace(t, axis1=-2, axis2=-1))
    for value, rule in ((skewed, "symmetric"), (trace, "traceless")):
        if (value > np.maximum(1e-3 * size, slack)).any():
            raise ConventionError(
                f"{name} is not {rule}: off by {value.max():g} with elements of {size.max():g}; an electric field gradient "
                "always is, so check which tensor this is and the order of its nine numbers"
            )


def _spinning(larmor_hz: float, mas_hz: float) -> float:
    for name, value in (("larmor_hz", larmor_hz), ("mas_hz", mas_hz)):
        if not (np.isfinite(value) and value > 0):
            raise ConventionError(f"{name} is {value}; expected a positive frequency in Hz")
    return 1e-6 * larmor_hz / mas_hz


def _tensor(value: Numbers, name: str = "tensor") -> Inexact[jax.Array, "*n 3 3"]:
    tensor = jnp.asarray(value)
    if tensor.shape[-2:] != (3, 3):
        raise ShapeError(f"{name} has the shape {tensor.shape}; expected (..., 3, 3)")
    if not jnp.issubdtype(tensor.dtype, jnp.inexact):
        tensor = tensor.astype(float)
    if is_concrete(tensor) and not np.isfinite(np.asarray(tensor)).all():
        raise ConventionError(f"{name} has values that are not finite")
    return tensor


def _numbers(**named: Numbers) -> tuple[Float[Array, "*n"], ...]:
    """Return the arguments as broadcast floating-point arrays, checked to be finite."""
    xp = namespace(*named.values())
    arrays = xp.broadcast_arrays(*(xp.asarray(value) for value in named.values()))
    dtype = jnp.result_type(*named.values(), float)
    for name, value in zip(named, arrays, strict=True):
        if is_concrete(value) and not np.isfinite(np.asarray(value)).all():
            raise ConventionError(f"{name} is {np.asarray(value)}; expected finite numbers")
    return tuple(value.astype(dtype) for value in arrays)


def _within(name: str, value: Float[Array, "*n"], low: float, high: float) -> None:
    slack = 1e-6  # rounding in single precision
    if is_concrete(value):
        wrong = np.asarray((value < low - slack) | (value > high + slack))
        if wrong.any():
            bad = np.asarray(value)[wrong].flat[0]
            raise ConventionError(f"{name} is {bad:g}; its convention allows {low:g} to {high:g}: order the values")


def _ordered(rule: str, low: Array, mid: Array, high: Array) -> None:
    if is_concrete(low, mid, high) and not np.all((np.asarray(low) <= mid) & (np.asarray(mid) <= high)):
        raise ConventionError(f"principal values are not in the order {rule}: {low}, {mid}, {high}")


def _diagonal(x: Numbers, y: Numbers, z: Numbers) -> Float[Array, "*n 3 3"]:
    xp = namespace(x, y, z)
    values = xp.stack([x, y, z], axis=-1)
    return values[..., None] * np.eye(3, dtype=values.dtype)


def _split(
    values: Float[Array, "*n 3"],
) -> tuple[Float[Array, "*n"], Float[Array, "*n"], Float[Array, "*n"]]:
    return values[..., 0], values[..., 1], values[..., 2]


def _ratio(top: Float[Array, "*n"], bottom: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Return ``top/bottom``, or 0 with finite derivatives where bottom is 0."""
    nothing = bottom == 0
    return jnp.where(nothing, 0.0, top / jnp.where(nothing, 1.0, bottom))
