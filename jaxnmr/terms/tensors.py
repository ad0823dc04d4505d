"""`TensorTerm`: measured NMR tensors, or their principal values, against predicted ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, cast

import jax
import jax.numpy as jnp
import numpy as np

from .._arguments import checked
from .._struct import set_fields, static
from ..crystal import Crystal
from ..errors import ConventionError, DataError, ParameterError, ShapeError
from ..nmr import ShiftReference, isotope
from ..nmr.quadrupolar import CQ_HZ_PER_AU_BARN, cq_hz_per_au
from ..nmr.tensors import TRACELESS_DYADS
from ..objective.evidence import Row, Rows
from ..objective.state import EFG, SHIELDING, State, TensorRead
from ..objective.term import bound_as, calculated_of
from ..typing import Array, ArrayT, Numbers, Quantity
from .common_error import common_errors, decorrelated, log_variance
from .site_term import Place, SiteTerm, common_spread, has_changed, positive_spread, reference_start, site_spread

if TYPE_CHECKING:
    from ..objective import HostState, Parameters


def _six(tensor: ArrayT, xp: ModuleType) -> ArrayT:
    """Return xx, yy, zz, sqrt2 yz, sqrt2 xz, sqrt2 xy of symmetric tensors, ``(n, 6)``; the norm is preserved."""
    diagonal = [tensor[:, k, k] for k in range(3)]
    return xp.stack([*diagonal, *(np.sqrt(2.0) * tensor[:, i, j] for i, j in ((1, 2), (0, 2), (0, 1)))], axis=1)


# five orthonormal traceless combinations of the six
TRACELESS = _six(TRACELESS_DYADS, np)
_KINDS = {SHIELDING: ("tensor", "principal"), EFG: ("tensor", "cq_eta")}
_ELEMENTS = ("xx", "yy", "zz", "yz", "xz", "xy")
_UNIT = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
# the uncertainty of a model is renewed when it has changed by more than this fraction
_CHANGE = 0.1
# couplings outside this range are in a wrong unit: 5.19 MHz given as 5.19, or as 5.19e6 if MHz are expected
_CQ_HZ = (100.0, 1e11)


class TensorTerm(SiteTerm):
    """Tensors measured at sites of one nucleus; the residuals of `BoundTensors` are whitened by their covariance.

    A whole tensor gives six residuals (five for a traceless field gradient): the elements of the symmetric part, with
    off-diagonal ones times sqrt2, so that chi² does not depend on the axes. Principal values are compared in order, and
    C_Q by its absolute value. They have kinks, not poles: where two principal values coincide, derivatives are those of
    one of the possible orders, exact along every change that leaves them equal.

    Variances are ``sigma² + sigma_model²``, and residuals are whitened for errors common to the predictions of all
    sites: a constant of shieldings, and a factor of their anisotropy or of field gradients. There are no other weights,
    and residuals that symmetry makes zero are counted.

    Parameters, below the term's name: ``slope``, and for shieldings ``reference`` in ppm; data are
    ``reference + slope sigma``, or ``slope V``. Both are fixed unless freed.

    Attributes:
        observed: ``(sites, components)``.
        covariance: ``(sites, components, components)`` covariance of the measurement.
        common_sigma: ``(2,)`` standard deviations of a constant common to all predictions, in ppm, and of a factor; NaN
            if the model provides them.
        hz_per_au: C_Q of a field gradient of one atomic unit.
        quantity, kind: measured quantity and its form.
        All other attributes are those of `SiteTerm`.

    Example:
        >>> jn.TensorTerm("17O", [[5.19e6, 0.19]], quantity="efg", kind="cq_eta", sigma=[3e4, 0.02], slope=0.952, name="o").name
        'o'
    """

    observed: Array
    covariance: Array
    common_sigma: Array
    hz_per_au: float = static()
    quantity: str = static()
    kind: str = static()

    @checked
    def __init__(
        self,
        nucleus: str,
        observed: Numbers,
        *,
        sigma: Numbers,
        reference: ShiftReference | None = None,
        sigma_model: float | Sequence[float] | np.ndarray | Literal["model"] | None = None,
        sigma_common: float | Sequence[float] | None = None,
        quantity: Literal["shielding", "efg"] = "shielding",
        kind: Literal["tensor", "principal", "cq_eta"] = "tensor",
        sites: Sequence[str] | None = None,
        slope: float = 1.0,
        q_barn: float | None = None,
        phase: str | None = None,
        name: str = "tensors",
    ):
        """Compare measured tensors with predicted ones.

        Args:
            nucleus: isotope, ``"29Si"``.
            observed: for every site: ``"tensor"``, ``(sites, 3, 3)`` SHIFT tensors in ppm or quadrupolar tensors e Q
                V/h in Hz, in the frame of ``crystal.lattice()``; ``"principal"``, ``(sites, 3)`` principal values of
                the shift in ppm, which are sorted to d11 >= d22 >= d33; ``"cq_eta"``, ``(sites, 2)``, absolute value of
                C_Q in Hz and eta.
            sigma: their uncertainty, in the same units. For tensors a number or ``(sites,)``, that of a component along
                any direction (an off-diagonal element then has sigma/sqrt2), or ``(sites, 3, 3)``, that of each
                element. For principal values a number, ``(sites,)`` or ``(sites, 3)``; for C_Q and eta ``(2,)`` or
                ``(sites, 2)``.
            reference: chemical-shift reference. For SHIELDING tensors give ``ShiftReference(0, 1)``.
            sigma_model: uncertainty of the prediction, a number or ``(sites,)`` (``(2,)`` or ``(sites, 2)`` for C_Q and
                eta) in the units of the data; ``"model"`` takes the model's own, calibrated, at the current structure.
                It is held fixed for derivatives, and renewed between steps if it changed by more than a tenth.
            sigma_common: standard deviations of errors common to the predictions of all sites: for shieldings a
                constant in ppm, or a pair of it and a factor of the anisotropy (0.02 for 2 %); for field gradients the
                factor. By default the model's own if ``sigma_model`` is ``"model"``, and none otherwise.
            quantity: predicted quantity.
            kind: form of the data; ``"principal"`` only for shieldings, ``"cq_eta"`` only for field gradients.
            sites: labels, in the order of the data; by default all sites of the nucleus.
            slope: for field gradients, starting value of the parameter.
            q_barn: quadrupole moment in barn.
            phase: name of the crystal; needed when there are several.
            name: prefix of the parameters.

        Raises:
            ConventionError: unknown quantity or kind, no reference, or a nucleus without quadrupole moment.
            ShapeError: data or uncertainties have the wrong shape.
            DataError: numbers are not finite, uncertainties not positive, eta outside 0 to 1, or C_Q apparently not
                in Hz.
        """
        atom = isotope(nucleus)
        if kind not in _KINDS.get(quantity, ()):
            kinds = "; ".join(f"{of} of {head}" for head, of in _KINDS.items())
            raise ConventionError(f"{name!r}: kind {kind!r} of quantity {quantity!r}; there are {kinds}")
        start, hz_per_au = {"slope": float(slope)}, 0.0
        if quantity == SHIELDING:
            start = reference_start(reference, name)
        else:
            hz_per_au = float(cq_hz_per_au(atom, q_barn, prefix=f"{name!r}: "))
        shape = {"tensor": (3, 3), "principal": (3,), "cq_eta": (2,)}[kind]
        observed = np.asarray(observed, dtype=float)
        if observed.ndim != len(shape) + 1 or observed.shape[1:] != shape:
            raise ShapeError(f"{name!r}: observed has the shape {observed.shape}; expected (sites, {str(shape)[1:]}")
        if not np.isfinite(observed).all():
            raise DataError(
                f"{name!r}: observed tensor {int(np.argwhere(~np.isfinite(observed))[0, 0]) + 1} is not finite"
            )
        labels = None if sites is None else tuple(sites)
        if labels is not None and (len(labels) != len(observed) or len(set(labels)) != len(labels)):
            raise ShapeError(
                f"{name!r}: {len(observed)} tensors for the sites {', '.join(labels)}; expected one of each"
            )
        observed, covariance = _measured(kind, quantity, observed, sigma, name)
        if not (sigma_model is None or isinstance(sigma_model, str)):
            width = 2 if kind == "cq_eta" else 1
            given = site_spread(sigma_model, len(observed), width, f"sigma_model of {name!r}", least=0.0)
            sigma_model = cast(Any, tuple(map(tuple, given.tolist())))
        elif isinstance(sigma_model, str) and sigma_model != "model":
            raise ConventionError(f"{name!r}: sigma_model is {sigma_model!r}; expected numbers or 'model'")
        common_sigma = common_spread(sigma_common, 2 if quantity == SHIELDING else 1, sigma_model, name)
        if quantity == EFG:
            common_sigma = np.append(0.0, common_sigma)
        set_fields(
            self, observed=observed, covariance=covariance, common_sigma=common_sigma, start=start, sigma_model=sigma_model,
            hz_per_au=hz_per_au, quantity=quantity, kind=kind, nucleus=atom.symbol, labels=labels, phase=phase, name=name,
        )  # fmt: skip

    # -- interface of terms --------------------------------------------------------------------------------------
    def quantities(self, crystals: Mapping[str, Crystal]) -> dict[str, Quantity]:
        phase, sites = self.where(crystals)
        if len(sites) != len(self.observed):
            raise ShapeError(
                f"{self.name!r}: {len(self.observed)} tensors for {len(sites)} {self.nucleus} sites of {phase}; name the "
                f"measured ones with sites=, some of {', '.join(crystals[phase].labels[k] for k in sites)}"
            )
        return super().quantities(crystals)

    def bind(self, state: HostState, params: Parameters) -> BoundTensors:
        place = self.place(state.crystals)
        bare = bound_as(
            BoundTensors,
            self,
            at=place,
            whitening=np.zeros_like(self.covariance),
            commons=np.zeros(2),
            directions=np.zeros((2, np.size(self.observed))),
        )
        return bare._weighted(state)

    # -- uncertainty of the model --------------------------------------------------------------------------------
    def _of_model(self, state: HostState, at: Place) -> tuple[np.ndarray, np.ndarray]:
        """Return the model's own uncertainties (host).

        Returns:
            ``(sites, 2)`` independent uncertainties of the l = 0 and l = 2 components in the units of the data, or of
            C_Q and
                eta; ``(2,)`` those of the constant and the factor common to all sites.
        """
        sites = list(at.sites)
        prediction, slope = state.prediction(self.quantity, at.phase), abs(float(state.local(self.name)["slope"]))
        if self.kind == "cq_eta":
            rows = np.searchsorted(state.sites(self.nucleus, at.phase), sites)
            q_barn = abs(self.hz_per_au) / CQ_HZ_PER_AU_BARN
            cq = np.asarray(prediction.sigma("cq", self.nucleus, part="own", q_barn=q_barn))
            eta = np.asarray(prediction.sigma("eta_q", self.nucleus, part="own"))
            out = np.stack([slope * cq, eta], axis=1)[rows]
        else:
            by_irrep = np.asarray(prediction.component_sigma(self.quantity), dtype=float)[sites]
            unit = slope if self.quantity == SHIELDING else slope * abs(self.hz_per_au)
            isotropic = by_irrep[:, 0] if self.quantity == SHIELDING else np.zeros(len(sites))
            out = unit * np.stack([isotropic, by_irrep[:, -1]], axis=1)
        if not np.isfinite(out).all():
            raise ParameterError(
                f"{self.name!r}: the model's uncertainty of {self.nucleus} is not calibrated: use jaxnmr.models.calibrate, or "
                "give sigma_model a number"
            )
        of_irreps = np.asarray(prediction.common_sigma(self.quantity), dtype=float)[sites]
        constant = slope * of_irreps[:, 0].max() / np.sqrt(3.0) if self.quantity == SHIELDING else 0.0
        return out, np.array([constant, of_irreps[:, -1].max()])

    def _whitening(self, sigmas: np.ndarray) -> np.ndarray:
        """Return inverse Cholesky factors ``(sites, k, k)`` including the uncertainty of the model."""
        first, second = (s**2 for s in np.asarray(sigmas, dtype=float).T)
        if self.kind == "cq_eta":
            of_model = np.stack([first, second], axis=1)[:, :, None] * np.eye(2)
        else:
            # independent errors of the isotropic and anisotropic parts; principal values change by the diagonal elements
            dyad = np.outer(_UNIT, _UNIT) / 3.0
            of_model = first[:, None, None] * dyad + second[:, None, None] * (np.eye(6) - dyad)
            if self.kind == "principal":
                of_model = of_model[:, :3, :3]
            elif self.quantity == EFG:
                of_model = TRACELESS @ of_model @ TRACELESS.T
        return np.linalg.inv(np.linalg.cholesky(np.asarray(self.covariance) + of_model))


class BoundTensors(TensorTerm):
    """Residuals of tensors at known sites.

    Attributes:
        whitening: inverse Cholesky factors of the covariance of every site, including independent errors of the model.
        commons: ``(2,)`` standard deviations of a constant and of a factor common to all sites.
        directions: ``(2, residuals)`` change of the whitened residuals per unit of each.
        at: location of the sites.
        All other attributes are those of `TensorTerm`.
    """

    whitening: Array
    commons: Array
    directions: Array
    at: Place = static()

    @property
    def reads(self) -> tuple[TensorRead, ...]:
        return (TensorRead(self.at.phase, self.quantity, self.at.sites, "symmetric"),)

    def calculated(self, state: State) -> Array:
        """Return the calculated elements or components, principal values, or C_Q and eta, ``(sites, k)``."""
        values = state.local(self.name)
        tensor = state.tensor(self.quantity, self.at.phase, sites=self.at.sites)
        tensor = 0.5 * (tensor + jnp.swapaxes(tensor, -1, -2))
        if self.quantity == SHIELDING:
            tensor = values["reference"] * jnp.eye(3, dtype=tensor.dtype) + values["slope"] * tensor
            return _six(tensor, jnp) if self.kind == "tensor" else _principal(tensor)
        tensor = values["slope"] * self.hz_per_au * tensor
        if self.kind == "tensor":
            return _six(tensor, jnp) @ TRACELESS.T
        high, middle, low = (_principal(tensor)[:, k] for k in range(3))
        size = jnp.maximum(high, -low)
        # the two small ones differ by eta times the large one
        difference = jnp.where(high >= -low, middle - low, high - middle)
        nothing = size == 0
        return jnp.stack([size, jnp.where(nothing, 0.0, difference / jnp.where(nothing, 1.0, size))], axis=1)

    def length(self, state: Callable[[], State]) -> int:
        return np.size(self.observed)

    def residuals(self, state: State) -> Array:
        plain = jnp.einsum("skl,sl->sk", self.whitening, self.calculated(state) - self.observed).ravel()
        return decorrelated(plain, jnp.asarray(self.commons)[:, None] * self.directions)

    def log_variance(self, moved: frozenset[str]) -> float:
        if not self.wants_predictions:
            return 0.0
        own = -2.0 * np.sum(np.linalg.slogdet(np.asarray(self.whitening))[1])
        constant, factor = f"{self.name}/reference" in moved, f"{self.name}/slope" in moved
        # the slope of shieldings also multiplies their isotropic part, which is known
        free = (constant, factor and self.quantity == EFG)
        used = [k for k in range(2) if self.quantity == SHIELDING or k == 1]
        chosen = lambda values: [values[k] for k in used]
        return float(own) + log_variance(
            np.asarray(self.directions)[used], chosen(np.asarray(self.commons)), chosen(free)
        )

    def replan(self, state: HostState) -> tuple[BoundTensors, str]:
        if not self.wants_predictions:
            return self, ""
        renewed = self._weighted(state)
        size = lambda term: np.trace(np.asarray(term.whitening), axis1=1, axis2=2)
        length = lambda term: np.asarray(term.commons) * np.linalg.norm(np.asarray(term.directions), axis=1)
        if (np.abs(size(renewed) / size(self) - 1.0) > _CHANGE).any() or has_changed(length(self), length(renewed)):
            return renewed, "uncertainty of the model has changed"
        return self, ""

    def _weighted(self, state: HostState) -> BoundTensors:
        """Return a copy with the uncertainties of this state (host)."""
        given = np.asarray(self.common_sigma)
        sigmas: np.ndarray = np.zeros((len(self.observed), 2))
        of_model = np.zeros(2)
        if self.wants_predictions:
            sigmas, of_model = self._of_model(state, self.at)
        elif self.sigma_model is not None:
            sigmas = np.broadcast_to(np.asarray(self.sigma_model, dtype=float), sigmas.shape)
        commons = np.where(np.isnan(given), of_model, given)
        whitening, directions = self._whitening(sigmas), np.zeros((2, np.size(self.observed)))
        if commons.any() or self.wants_predictions:
            calculated = np.asarray(calculated_of(self, state.plain()))
            changes = np.stack(self._directions(calculated))
            directions = np.einsum("skl,csl->csk", whitening, changes).reshape(2, -1)
        return self.replace(whitening=whitening, commons=commons, directions=directions)

    def _directions(self, calculated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the changes of calculated values ``(sites, k)`` by a constant of 1 ppm, and by a factor."""
        constant, factor = np.zeros_like(calculated), calculated.copy()
        if self.quantity == SHIELDING:
            constant[:, :3] = 1.0
            factor[:, :3] -= calculated[:, :3].mean(axis=1, keepdims=True)
        elif self.kind == "cq_eta":
            factor[:, 1] = 0.0
        return constant, factor

    def outgrown(self, state: State) -> bool:
        return self.wants_predictions

    def evidence(self, state: State) -> Rows:
        efg = self.quantity == EFG
        what = {"cq_eta": "C_Q and η", "principal": "principal values of shift tensors"}.get(self.kind)
        what = what or ("quadrupolar tensors" if efg else "shift tensors")
        shared: tuple[tuple[str, float, float, float], ...] = ()
        sigmas = np.asarray(self.commons)
        if sigmas.any():
            # a constant in ppm, and a ratio
            difference = np.asarray(calculated_of(self, state)) - np.asarray(self.observed)
            plain = np.einsum("skl,sl->sk", np.asarray(self.whitening), difference).ravel()
            found = common_errors(plain, sigmas[:, None] * np.asarray(self.directions))
            numbers = zip(("ppm", "%"), sigmas, sigmas * found.values, sigmas * found.sigma, strict=True)
            shared = tuple((unit, float(s), float(x), float(esd)) for unit, s, x, esd in numbers if s > 0)
        return self._shown(state, self.at, what, tuple(self._rows(state)), self.sigma_model, shared)

    def _rows(self, state: State) -> Iterator[Row]:
        """Return rows of elements, principal values, or C_Q and eta of every site, in MHz and ppm."""
        observed, calculated = np.asarray(self.observed), np.asarray(calculated_of(self, state))
        measured, factors = np.asarray(self.covariance), np.asarray(self.whitening)
        total = np.linalg.inv(np.swapaxes(factors, 1, 2) @ factors)
        if np.any(self.commons):
            sizes = np.asarray(self.commons)[:, None, None] * np.stack(self._directions(calculated))
            total = total + np.einsum("csk,csl->skl", sizes, sizes)
        efg = self.quantity == EFG
        unit, scale = ("MHz", 1e-6) if efg else ("ppm", 1.0)
        names: tuple[str, ...]
        units: tuple[str, ...]
        if self.kind == "cq_eta":
            names, units, scales = ("C_Q", "η"), (unit, ""), np.array([scale, 1.0])
        elif self.kind == "principal":
            names, units, scales = ("δ11", "δ22", "δ33"), (unit,) * 3, np.full(3, scale)
        else:
            if efg:
                # from five traceless components back to elements
                observed, calculated = observed @ TRACELESS, calculated @ TRACELESS
                measured, total = (TRACELESS.T @ c @ TRACELESS for c in (measured, total))
            names, units = tuple(("V" if efg else "δ") + ij for ij in _ELEMENTS), (unit,) * 6
            scales = np.where(np.arange(6) < 3, 1.0, np.sqrt(0.5)) * scale
        for s, label in enumerate(self.at.labels):
            spreads = (scales * np.sqrt(np.diagonal(c[s])) for c in (total, measured))
            columns = (names, units, scales * observed[s], scales * calculated[s], *spreads)
            for name, of, *numbers in zip(*columns, strict=True):
                yield Row(label, name, of, *map(float, numbers))


def _measured(kind: str, quantity: str, observed: np.ndarray, sigma, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return components ``(sites, k)`` of the data and their covariance ``(sites, k, k)``."""
    count = len(observed)
    if kind == "tensor":
        elements = np.ndim(sigma) == 3
        if elements:
            given = np.asarray(sigma, dtype=float)
            if given.shape != (count, 3, 3):
                raise ShapeError(f"{name!r}: sigma has the shape {given.shape}; expected ({count}, 3, 3)")
            width = _six(positive_spread(0.5 * (given + given.swapaxes(1, 2)), name), np)
        else:
            width = np.broadcast_to(site_spread(sigma, count, 1, f"sigma of {name!r}"), (count, 6))
        values, covariance = _six(0.5 * (observed + observed.swapaxes(1, 2)), np), width[:, :, None] ** 2 * np.eye(6)
        if quantity == EFG:
            values, covariance = values @ TRACELESS.T, TRACELESS @ covariance @ TRACELESS.T
        return values, covariance
    width = site_spread(sigma, count, observed.shape[1], f"sigma of {name!r}")
    if kind == "principal":
        order = np.argsort(-observed, axis=1)
        observed, width = (np.take_along_axis(a, order, axis=1) for a in (observed, width))
    elif (observed[:, 0] < 0).any() or (observed[:, 1] < 0).any() or (observed[:, 1] > 1).any():
        raise DataError(f"{name!r}: expected the size of C_Q, 0 or more, and eta between 0 and 1")
    else:
        odd = [cq for cq in observed[:, 0] if cq and not _CQ_HZ[0] <= cq <= _CQ_HZ[1]]
        if odd:
            raise DataError(
                f"{name!r}: a C_Q of {odd[0]:g} Hz; expected 0, or 100 Hz to 100 GHz: is it in another unit?"
            )
    return observed, width[:, :, None] ** 2 * np.eye(observed.shape[1])


def _principal(tensor: Array) -> Array:
    """Return principal values in descending order, with finite derivatives even where some coincide."""
    # axes are constant: to first order a principal value changes by the diagonal element in their frame
    axes = jnp.linalg.eigh(jax.lax.stop_gradient(tensor))[1][..., ::-1]
    return jnp.einsum("sik,sij,sjk->sk", axes, tensor, axes)
