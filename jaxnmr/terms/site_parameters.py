"""Site parameters of a spectrum: names and bounds, the corresponding tensors, and sites for planning."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from .._arrays import namespace
from ..errors import ConventionError
from ..nmr import (
    Site,
    Sites,
    euler_from_axes,
    haeberlen_from_shielding,
    principal_frame,
    quadrupolar_from,
    quadrupolar_parameters,
    relative_euler,
    rotation,
    shielding_from_haeberlen,
)
from ..nmr.isotopes import isotope as isotope_data
from ..nmr.sites import resolved
from ..typing import Array, Quantity

ANGLES = ("alpha", "beta", "gamma")
WIDTHS = ("gaussian", "lorentzian")
# minimum size of a moving tensor in planning, and the factor of margin for larger ones
_LEAST = {"cq": 1e5, "zeta": 5.0, "quadrupolar_spread": 2e4, "shielding_spread": 2.0}
_ROOM = {"cq": 1.15, "zeta": 1.3, "quadrupolar_spread": 1.15, "shielding_spread": 1.3}
_TILT_DEG = (20.0, 40.0, 30.0)
# displacement of an angle that is freed at a point without slope
_OFF_DEG = 10.0


def site_names(isotope: str, n_couplings: int) -> tuple[str, ...]:
    """List the parameters of a site of this isotope."""
    quadrupolar = isotope_data(isotope).spin >= 1
    return (
        "shift",
        "amplitude",
        "gaussian",
        "lorentzian",
        "zeta",
        "eta",
        "shielding_spread",
        *(("cq", "eta_q", "quadrupolar_spread") if quadrupolar else ()),
        # the orientation of a single tensor is not observable in a powder
        *(("euler",) if quadrupolar or n_couplings else ()),
    )


def described(sites: Site | Sequence[Site] | Sites) -> tuple[Sites, np.ndarray, dict[str, np.ndarray]]:
    """Return sites, the axes ``(sites, 3, 3)`` of their quadrupolar tensors, and their parameters by name (host).

    Cartesian `Sites` are described by Haeberlen's parameters, with the orientation of the shielding tensor relative to the
    quadrupolar tensor (or in the common frame, if there are couplings).
    """
    if isinstance(sites, Sites):
        batch = sites
        frames, columns = _from_tensors(batch)
    else:
        listed = resolved([sites] if isinstance(sites, Site) else list(sites))
        batch = Sites.of(listed)
        frames = np.stack([np.asarray(rotation(*map(float, s.euler_q_deg))) for s in listed])
        column = lambda name: np.array([getattr(s, name) for s in listed], dtype=float)
        columns = {"zeta": column("zeta_ppm"), "eta": column("eta"), "cq": column("cq_hz"), "eta_q": column("eta_q")}
        columns["euler"] = column("euler_deg")
    columns |= {
        "shift": batch.shift_ppm,
        "amplitude": batch.amplitude,
        "gaussian": batch.gaussian_hz,
        "lorentzian": batch.lorentzian_hz,
        "shielding_spread": batch.shielding_spread_ppm,
        "quadrupolar_spread": batch.quadrupolar_spread_hz,
    }
    names = site_names(batch.isotope, len(batch.partners))
    return batch, frames, {name: np.array(columns[name], dtype=float) for name in names}


def _from_tensors(sites: Sites) -> tuple[np.ndarray, dict[str, Array]]:
    frames = np.tile(np.eye(3), (len(sites), 1, 1))
    euler = np.zeros((len(sites), 3))
    shielding, quadrupolar = (np.asarray(t, dtype=float) for t in (sites.shielding_ppm, sites.quadrupolar_hz))
    for k in range(len(sites)):
        if sites.partners:
            frames[k] = np.asarray(principal_frame(quadrupolar[k]).axes)
            euler[k] = euler_from_axes(np.asarray(principal_frame(shielding[k]).axes))
        else:
            euler[k] = relative_euler(shielding[k], quadrupolar[k])
    _, zeta, eta = (np.asarray(part, dtype=float) for part in haeberlen_from_shielding(shielding))
    cq, eta_q = (np.asarray(part, dtype=float) for part in quadrupolar_parameters(quadrupolar))
    return frames, {"zeta": zeta, "eta": eta, "cq": cq, "eta_q": eta_q, "euler": euler}


def quantities(
    values: Mapping[str, Array],
    labels: tuple[str, ...],
    step_hz: float,
    symmetric: np.ndarray,
    leaders: tuple[int, ...] = (),
) -> dict[str, Quantity]:
    """Make the parameters of sites for a `Parameters` table; the typical change of a width is one point.

    ``symmetric`` marks sites at which :func:`flat_angles` applies, ``leaders`` gives the site whose shift and tensors
    each site shares.

    For small values a spectrum depends on the squares of ``eta``, ``gaussian`` and the spreads: at zero their
    derivatives vanish and a refinement could never leave. Values that start above a small limit are therefore kept
    above it.
    """
    total = float(np.sum(values["amplitude"]))
    above = lambda name, least: np.where(values[name] > least, least, 0.0) if name in values else 0.0
    make: dict[str, dict[str, Any]] = {
        "shift": dict(unit="ppm", doc="isotropic chemical shift"),
        "amplitude": dict(
            lower=0.0, scale=max(0.1 * total / len(labels), 1e-300), intensity=True, doc="intensity, a sum over points"
        ),
        "zeta": dict(unit="ppm", scale=5.0, doc="reduced anisotropy of the SHIELDING (Haeberlen)"),
        "eta": dict(lower=above("eta", 0.01), upper=1.0, scale=0.1, doc="asymmetry of the shielding"),
        "shielding_spread": dict(
            unit="ppm", lower=above("shielding_spread", 0.05), scale=2.0, doc="sigma of a distribution of shieldings"
        ),
        "cq": dict(unit="Hz", scale=5e4, doc="quadrupolar coupling constant", **_one_sign(values.get("cq"))),
        "eta_q": dict(lower=above("eta_q", 0.01), upper=1.0, scale=0.1, doc="asymmetry of the quadrupolar tensor"),
        "quadrupolar_spread": dict(
            unit="Hz",
            lower=above("quadrupolar_spread", 1e3),
            scale=5e4,
            doc="sigma of a distribution of field gradients",
        ),
    }
    # sites follow their leaders
    following = np.eye(len(labels))[list(leaders)].T if leaders else None
    basis = None if following is None else following[following.any(axis=1)].T
    for name in make.keys() - {"amplitude"}:
        make[name]["basis"] = basis
    out = {
        name: width(name, value, labels, step_hz) if name in WIDTHS else Quantity(value, labels=labels, **make[name])
        for name, value in values.items()
        if name != "euler"
    }
    if "euler" in values:
        names = tuple(f"{label}.{angle}" for label in labels for angle in ANGLES)
        doc = "orientation of the shielding tensor, Rz(gamma) Ry(beta) Rz(alpha)"
        out["euler"] = Quantity(
            values["euler"],
            unit="°",
            labels=names,
            lower=-360.0,
            upper=720.0,
            scale=5.0,
            leave=partial(_off_symmetry, symmetric),
            basis=None if basis is None else np.kron(basis, np.eye(3)),
            doc=doc,
        )
    return out


def _off_symmetry(symmetric: np.ndarray, euler: np.ndarray, freed: np.ndarray) -> np.ndarray:
    return euler + np.where(np.asarray(flat_angles(euler, 0.01)) & freed & symmetric[:, None], _OFF_DEG, 0.0)


def symmetric_sites(template: Sites, frames: Array) -> Array:
    """Return for which ``(sites,)`` quadrupolar axes lie along the common frame, without couplings (traceable)."""
    xp = namespace(frames)
    size = xp.abs(frames)
    return (xp.minimum(size, xp.abs(1.0 - size)).max(axis=(1, 2)) < 1e-9) & (not template.partners)


def flat_angles(euler: Array, within_deg: float) -> Array:
    """Find Euler angles ``(sites, 3)`` near a point of symmetry, where the spectrum has no slope (traceable).

    A powder spectrum does not distinguish a pair of tensors from its mirror image, nor from one in which either tensor
    is turned by 180 degrees about one of its own axes. It therefore depends on the square of beta near 0 and 180, on
    the squares of alpha and gamma near multiples of 90 if both are, and at beta = 90 on the square of every angle that
    is near one.
    """
    xp = namespace(euler)
    alpha, beta, gamma = (euler[..., k] for k in range(len(ANGLES)))
    multiple = lambda angle, of: xp.abs(angle - of * xp.round(angle / of)) < within_deg
    upright, sideways = multiple(beta, 180.0), multiple(beta - 90.0, 180.0)
    about_own, about_common = multiple(alpha, 90.0), multiple(gamma, 90.0)
    # at beta = 0 or 180 only one rotation about z remains
    turn = alpha + gamma * xp.cos(xp.deg2rad(beta))
    both = (about_own & about_common) | (upright & multiple(turn, 90.0))
    tilt = upright | (sideways & (about_own | about_common))
    return xp.stack([both | (sideways & about_own), tilt, both | (sideways & about_common)], axis=-1)


def usual_angles(euler: np.ndarray, moved: np.ndarray, frame: np.ndarray, *, coupled: bool) -> np.ndarray:
    """Return equivalent angles ``(3,)`` with beta in [0, 180] and the others within one turn.

    Equivalent angles describe the same tensor, or one with the same spectrum.

    Args:
        euler: alpha, beta, gamma in degrees.
        moved: ``(3,)`` whether each angle may be changed.
        frame: ``(3, 3)`` axes of the quadrupolar tensor.
        coupled: whether there are couplings, which have directions in the common frame.
    """
    alpha, beta, gamma = map(float, euler)
    if moved[1] and not 0.0 <= beta <= 180.0:
        beta %= 360.0
        # half turns about z: that of the tensor itself has no effect, that of the frame none if nothing has a direction in it
        free = abs(frame[2, 2]) > 1.0 - 1e-9 and not coupled
        if beta > 180.0 and (moved[2] or free):
            beta = 360.0 - beta
            alpha, gamma = alpha + 180.0 * moved[0], gamma + 180.0 * moved[2]
    wrapped = lambda angle, may: angle % 360.0 if may and not -180.0 <= angle < 360.0 else angle
    return np.array([wrapped(alpha, moved[0]), beta, wrapped(gamma, moved[2])])


def width(name: str, value: Array, labels: tuple[str, ...], step_hz: float) -> Quantity:
    """Make a full width at half maximum in Hz; its typical change is one point, and a nonzero Gaussian stays nonzero."""
    lower = np.where(value > step_hz, step_hz, 0.0) if name == "gaussian" else 0.0
    doc = f"full width at half maximum, {name.capitalize()}"
    return Quantity(value, labels=labels, unit="Hz", lower=lower, scale=step_hz, doc=doc)


def _one_sign(cq: Array | None) -> dict:
    """Return bounds that keep the sign of couplings, which most spectra do not show: a fit would drift through zero."""
    if cq is None:
        return {}
    least = 0.1 * np.abs(cq)
    return {"lower": np.where(cq > 0, least, -np.inf), "upper": np.where(cq < 0, -least, np.inf)}


def tensors_at(values: Mapping[str, Array], template: Sites, frames: Array) -> Sites:
    """Return sites with these parameters, as tensors (traceable; polynomials of zeta, eta, cq and eta_q)."""
    changes = {
        "shift_ppm": values["shift"],
        "amplitude": values["amplitude"],
        "gaussian_hz": values["gaussian"],
        "lorentzian_hz": values["lorentzian"],
        "shielding_spread_ppm": values["shielding_spread"],
        "shielding_ppm": shielding_from_haeberlen(0.0, values["zeta"], values["eta"]),
    }
    if "euler" in values:
        angles = (values["euler"][..., k] for k in range(len(ANGLES)))
        changes["shielding_ppm"] = _turned(changes["shielding_ppm"], rotation(*angles))
    if "cq" in values:
        changes["quadrupolar_hz"] = _turned(quadrupolar_from(values["cq"], values["eta_q"]), frames)
        changes["quadrupolar_spread_hz"] = values["quadrupolar_spread"]
    filled = {name: getattr(template, name) for name in ("quadrupolar_hz", "quadrupolar_spread_hz", "couplings_hz")}
    xp = namespace(*values.values())
    return template.replace(**{name: xp.asarray(leaf) for name, leaf in (filled | changes).items()})


def _turned(tensor: Array, axes: Array) -> Array:
    return namespace(tensor, axes).einsum("...ia,...ab,...jb->...ij", axes, tensor, axes)


def planning_sites(
    values: Mapping[str, np.ndarray],
    template: Sites,
    frames: np.ndarray,
    moving: Collection[tuple[str, int]],
    step_hz: float,
) -> Sites:
    """Return sites for planning a spectrum, with margins for the parameters ``(name, site)`` that move (host).

    Moving parameters are made a little larger than their current values, and neither zero, axial nor aligned if they
    may become otherwise: the plan then has the orientations, sidebands and distributions that any tensors on the way
    need.
    """
    v = {name: np.array(value, dtype=float) for name, value in values.items()}
    for name in ("zeta", "cq", "shielding_spread", "quadrupolar_spread"):
        for k in range(len(template)):
            if (name, k) in moving:
                v[name][k] = max(_ROOM[name] * abs(v[name][k]), _LEAST[name])
    for k in range(len(template)):
        for name in ("eta", "eta_q"):
            if (name, k) in moving:
                v[name][k] = 1.0
        if ("euler", k) in moving:
            v["euler"][k] = euler_from_axes(frames[k] @ np.asarray(rotation(*_TILT_DEG)))
        # finer orientations for lines that may become narrower
        if {("gaussian", k), ("lorentzian", k)} & set(moving):
            for name in ("gaussian", "lorentzian"):
                v[name][k] = max(0.7 * v[name][k], step_hz if name == "gaussian" else 0.0)
    return jax.tree.map(np.asarray, tensors_at(v, template, frames))


def check_values(values: Mapping[str, np.ndarray], moving: Collection, labels: tuple[str, ...], name: str) -> None:
    """Refuse two distributions on one site, for which there are no quadrature nodes.

    Raises:
        ConventionError: with the site.
    """
    spreads = ("shielding_spread", "quadrupolar_spread")
    for k, label in enumerate(labels):
        if all(s in values and (values[s][k] > 0 or (s, k) in moving) for s in spreads):
            raise ConventionError(
                f"{name!r}: {label} has a distribution of both tensors; only one can be distributed: set shielding_spread "
                "or quadrupolar_spread to 0 and fix it"
            )
