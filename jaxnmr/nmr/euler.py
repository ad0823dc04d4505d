"""Euler angles of tensors: rotations, conventions, equivalent sets, and the orientation of one tensor in another's frame.

Use Cartesian tensors where possible; angles are for input and reports. All conventions rotate about z, y, z. Written
as the matrix whose columns are the principal axes in the common frame, they are (Rz, Ry active and right-handed)

==================  =================================  =================================================================
name                axes                               read as
==================  =================================  =================================================================
``mrsimulator``     ``Rz(gamma) Ry(beta) Rz(alpha)``   active, alpha first, about the fixed axes of the common frame
``rose``            ``Rz(alpha) Ry(beta) Rz(gamma)``   active, alpha first, about the moving axes (Rose, Edmonds, Arfken)
``mrsimulator-p``   transpose of ``mrsimulator``       the passive form: components, not axes, are rotated
``rose-p``          transpose of ``rose``              the passive form
==================  =================================  =================================================================

mrsimulator 1.0 uses the first convention, as tests on its own spectra show. SIMPSON is said to use the same.
For SIMPSON, DMFit, WSolids, SOLA (TopSpin), QUEST and Soprano nothing was checked numerically: compare one
spectrum of two non-coincident tensors before copying angles. Note also the frame: mrsimulator and Haeberlen label the
axis of the middle value y, conventions for field gradients x (see `principal_frame`).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from .._arrays import namespace
from ..errors import ConventionError, ShapeError
from ..typing import Array, Numbers
from .tensors import principal_frame

CONVENTIONS = ("mrsimulator", "rose", "mrsimulator-p", "rose-p")
# the four rotations that leave a symmetric tensor in its principal frame unchanged
HALF_TURNS = np.array([np.diag(d) for d in ((1, 1, 1), (-1, -1, 1), (-1, 1, -1), (1, -1, -1))], dtype=float)
# degrees; angles closer than this are equal when choosing between equivalent sets
SAME_DEG = 1e-6
# principal values closer than this fraction of the largest anisotropy are equal (an axial tensor)
AXIAL = 1e-9


class Euler(NamedTuple):
    """Three Euler angles in degrees."""

    alpha_deg: float
    beta_deg: float
    gamma_deg: float


def rotation(alpha_deg: Numbers, beta_deg: Numbers, gamma_deg: Numbers) -> Float[Array, "*n 3 3"]:
    """``Rz(gamma) Ry(beta) Rz(alpha)`` with active, right-handed factors.

    A tensor with principal values d has the form ``R diag(d) R^T`` in the common frame: the columns of R are its
    principal axes. These are the angles of mrsimulator. Differentiable; angles broadcast. If no angle is a JAX array,
    the result is a NumPy array.
    """
    xp = namespace(alpha_deg, beta_deg, gamma_deg)
    angles = xp.broadcast_arrays(*(xp.deg2rad(xp.asarray(a)) for a in (alpha_deg, beta_deg, gamma_deg)))
    (ca, sa), (cb, sb), (cg, sg) = ((xp.cos(a), xp.sin(a)) for a in angles)
    rows = [
        [cg * cb * ca - sg * sa, -cg * cb * sa - sg * ca, cg * sb],
        [sg * cb * ca + cg * sa, -sg * cb * sa + cg * ca, sg * sb],
        [-sb * ca, sb * sa, cb],
    ]
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)


def axes_from_euler(
    alpha_deg: Numbers, beta_deg: Numbers, gamma_deg: Numbers, *, convention: str = "mrsimulator"
) -> Float[Array, "*n 3 3"]:
    """Return the principal axes, as columns in the common frame, for angles in a named convention.

    Raises:
        ConventionError: an unknown convention.
    """
    _known_convention(convention)
    if convention.startswith("rose"):
        alpha_deg, gamma_deg = gamma_deg, alpha_deg
    matrix = rotation(alpha_deg, beta_deg, gamma_deg)
    return matrix.swapaxes(-1, -2) if convention.endswith("-p") else matrix


def euler_from_axes(axes: Numbers, *, convention: str = "mrsimulator") -> Euler:
    """Return the angles of one set of axes (host): alpha and gamma in [0, 360), beta in [0, 180].

    If beta is 0 or 180, only the sum or difference of the others is defined: it is assigned to the angle about the
    tensor's own z axis, and the other is 0.

    Raises:
        ShapeError, ConventionError: not a proper rotation matrix, or an unknown convention.
    """
    _known_convention(convention)
    given = np.asarray(axes, dtype=float)
    if given.shape != (3, 3):
        raise ShapeError(f"axes have the shape {given.shape}; expected (3, 3)")
    if not (np.abs(given.T @ given - np.eye(3)).max() < 1e-5 and np.linalg.det(given) > 0):
        raise ConventionError(f"{given.tolist()} is no rotation: its columns must be orthonormal and right-handed")
    matrix = given.T if convention.endswith("-p") else given
    angles = _angles(matrix)
    return Euler(*angles[::-1]) if convention.startswith("rose") else Euler(*angles)


def convert_euler(angles: Sequence[float], *, source: str, target: str) -> Euler:
    """Convert angles to another convention for the same orientation (host)."""
    alpha, beta, gamma = angles
    return euler_from_axes(axes_from_euler(alpha, beta, gamma, convention=source), convention=target)


def equivalent_euler(alpha_deg: float, beta_deg: float, gamma_deg: float) -> Float[np.ndarray, "16 3"]:
    """List all angle sets in mrsimulator's convention that describe the same pair of symmetric tensors (host).

    Half turns about the axes of either principal frame change nothing, so a relative orientation has 16 sets of angles
    with alpha and gamma in [0, 360) and beta in [0, 180]. (Spectra leave a further ambiguity: mirroring all tensors
    together gives the same powder pattern.)
    """
    matrix = np.asarray(rotation(alpha_deg, beta_deg, gamma_deg), dtype=float)
    return np.array([_angles(left @ matrix @ right) for left in HALF_TURNS for right in HALF_TURNS])


def relative_euler(tensor: Numbers, frame: Numbers, *, convention: str = "mrsimulator") -> Euler:
    """Return the canonical Euler angles of one symmetric tensor in the principal frame of another (host).

    Of the 16 equivalent sets (in mrsimulator's convention) the one with beta and gamma in [0, 90] and alpha in [0, 180]
    is chosen, the smallest if there are several. Unobservable angles are set to 0: alpha if the tensor has two equal
    principal values, gamma if the frame's tensor has two, and all three if either is isotropic.

    Args:
        tensor: ``(3, 3)``, such as a shielding; only the symmetric part counts.
        frame: ``(3, 3)``, such as the quadrupolar tensor of the same site, in the same Cartesian frame.
        convention: of the result; the canonical set is chosen in mrsimulator's.

    Returns:
        Angles that orient the tensor, in mrsimulator, where the frame's tensor has the angles 0, 0, 0.

    Raises:
        ShapeError, ConventionError: tensors that are not finite ``(3, 3)`` arrays, or an unknown convention.

    Example:
        >>> relative_euler(np.diag([1.0, 2.0, 4.0]), np.diag([-1.0, -2.0, 3.0]))  # doctest: +SKIP
    """
    _known_convention(convention)
    inner, outer = _host_frame(tensor), _host_frame(frame)
    if inner is None or outer is None:
        return Euler(0.0, 0.0, 0.0)
    (axes, axial), (frame_axes, frame_axial) = inner, outer
    matrix = frame_axes.T @ axes
    alpha, beta, gamma = _angles(matrix)
    if beta < SAME_DEG or beta > 180.0 - SAME_DEG:
        # z axes coincide: one angle about the common axis remains, none if either tensor is axial
        turn = 0.0 if axial or frame_axial else alpha
        sets = equivalent_euler(turn, 0.0, 0.0)
    else:
        sets = equivalent_euler(0.0 if axial else alpha, beta, 0.0 if frame_axial else gamma)
    chosen = _canonical(sets)
    return convert_euler(chosen, source="mrsimulator", target=convention) if convention != "mrsimulator" else chosen


def _host_frame(tensor: Numbers) -> tuple[Float[np.ndarray, "3 3"], bool] | None:
    """Return the Haeberlen axes and whether the tensor is axial; ``None`` if it is isotropic."""
    if np.shape(tensor) != (3, 3):
        raise ShapeError(f"a tensor has the shape {np.shape(tensor)}; expected (3, 3)")
    values, axes = (np.asarray(part, dtype=float) for part in principal_frame(np.asarray(tensor, dtype=float)))
    spread = np.ptp(values)
    if spread <= AXIAL * np.abs(values).max():
        return None
    return axes, bool(abs(values[0] - values[1]) <= AXIAL * spread)


def _angles(matrix: Float[np.ndarray, "3 3"]) -> tuple[float, float, float]:
    """Return the angles of ``Rz(gamma) Ry(beta) Rz(alpha)``."""
    sine = np.hypot(matrix[0, 2], matrix[1, 2])
    beta = np.arctan2(sine, matrix[2, 2])
    if sine < np.deg2rad(SAME_DEG):
        # only gamma + alpha (beta 0) or gamma - alpha (beta 180) is defined: gamma is 0
        alpha, gamma = np.arctan2(matrix[1, 0], matrix[1, 1]), 0.0
    else:
        alpha, gamma = np.arctan2(matrix[2, 1], -matrix[2, 0]), np.arctan2(matrix[1, 2], matrix[0, 2])
    alpha, gamma = (_turn(np.rad2deg(a), 360.0) for a in (alpha, gamma))
    return alpha, float(np.rad2deg(beta)), gamma


def _canonical(sets: Float[np.ndarray, "sets 3"]) -> Euler:
    """Return the smallest set (beta, gamma, alpha) in the canonical ranges, tolerating rounding at their edges."""
    alpha = np.array([_turn(a, 180.0) for a in sets[:, 0]])
    gamma = np.array([_turn(g, 180.0) for g in sets[:, 2]])
    inside = (sets[:, 1] <= 90.0 + SAME_DEG) & (gamma <= 90.0 + SAME_DEG)
    candidates = np.stack([alpha, sets[:, 1], gamma], axis=1)[inside]
    coarse = np.round(candidates / SAME_DEG)
    return Euler(*(float(x) for x in candidates[np.lexsort((coarse[:, 0], coarse[:, 2], coarse[:, 1]))[0]]))


def _turn(angle: float, period: float) -> float:
    """Reduce an angle to [0, period), with values that round to the period taken as 0."""
    angle = float(angle % period)
    return 0.0 if period - angle < SAME_DEG else angle


def _known_convention(name: str) -> None:
    if name not in CONVENTIONS:
        raise ConventionError(f"convention is {name!r}; expected one of {', '.join(CONVENTIONS)}")
