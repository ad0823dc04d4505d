"""`Prediction`: the predicted tensors of a crystal and all quantities derived from them."""

from __future__ import annotations

from dataclasses import field

import jax.numpy as jnp
import numpy as np

from ..._arrays import is_concrete
from ..._struct import Struct, static
from ...errors import ConventionError
from ...io import Magres
from ...nmr import (
    Isotope,
    ShiftReference,
    Sites,
    haeberlen_from_shielding,
    isotope,
    isotopes_of,
    maryland_from_shielding,
    principal_frame,
    quadrupolar_from_efg,
    quadrupolar_parameters,
)
from ...nmr.isotopes import sites_of
from ...nmr.quadrupolar import CQ_HZ_PER_AU_BARN, cq_hz_per_au
from ...nmr.shift_reference import reference_of
from ...nmr.tensors import Haeberlen, Maryland, PrincipalFrame, Quadrupolar, isotropic
from ...typing import Array, Scalar, Values
from ..networks.config import EFG, SHIELDING
from .calibration import COMMON, DERIVED, LEVELS, OWN, UNIT_LEVEL
from .propagation import interval, propagated, propagated_on_host, read_off

# quantities of sigma() and interval(): head and calibrated quantity
_UNCERTAIN = {
    "iso": (SHIELDING, "iso"),
    "shift": (SHIELDING, "iso"),
    "span": (SHIELDING, "span"),
    "skew": (SHIELDING, "skew"),
    "cq": (EFG, "vzz"),
    "eta_q": (EFG, "eta_q"),
}
_FOOTNOTE = "? unlike the atoms the model was trained on: numbers and uncertainties may be far off"


class Prediction(Struct):
    """Predicted quantities of the sites of a crystal; all methods can be traced unless marked (host).

    Attributes:
        tensors: by head, ``(sites, 3, 3)`` in the frame of the crystal's lattice or ``(sites, dim)``; NaN for elements the
            model was not trained on.
        lattice: ``(3, 3)`` lattice vectors as rows, Å.
        positions: ``(atoms, 3)`` positions of all atoms of the primitive cell ``lattice``, Å.
        site: ``(atoms,)`` site of which each atom is an image.
        turn: ``(atoms, 3, 3)`` Cartesian matrices from tensors of the site to those of the atom.
        multiplicity: ``(sites,)`` number of atoms in the conventional cell.
        spread: by head, ``(sites, irreps)``: standard deviation of the members of an ensemble per component, uncalibrated.
        sigmas: by head, ``(sites, irreps)``: see :meth:`component_sigma`.
        commons: by head, ``(sites, irreps)``: see :meth:`common_sigma`.
        factors: by head and quantity, ``(sites, levels)``: calibrated half-widths in units of the propagated sigma; with
            ``/own`` those of independent errors.
        novelty: ``(sites,)`` distance from the atoms of the training data, above 1 for atoms unlike them; NaN if
            unknown.
        labels, elements: labels and elements of the sites.
        references: references of chemical shifts, ``(element, reference_ppm, slope)``.
    """

    tensors: dict[str, Array]
    lattice: Array
    positions: Array
    site: Array
    turn: Array
    multiplicity: Array
    spread: dict[str, Array] = field(default_factory=dict)
    sigmas: dict[str, Array] = field(default_factory=dict)
    commons: dict[str, Array] = field(default_factory=dict)
    factors: dict[str, Array] = field(default_factory=dict)
    novelty: Array | None = None
    labels: tuple[str, ...] = static()
    elements: tuple[str, ...] = static()
    references: tuple[tuple[str, float, float], ...] = static()

    @property
    def shielding_ppm(self) -> Array:
        """SHIELDING tensors ``(sites, 3, 3)`` including the antisymmetric part.

        Raises:
            ConventionError: the model does not predict shieldings.
        """
        return self._tensor(SHIELDING)

    @property
    def efg_au(self) -> Array:
        """Electric field gradients ``(sites, 3, 3)`` in atomic units.

        Raises:
            ConventionError: the model does not predict them.
        """
        return self._tensor(EFG)

    def of_atoms(self, name: str) -> Array:
        """Return tensors of all atoms of the cell ``(atoms, 3, 3)``: those of their site, rotated."""
        tensors = self._tensor(name)[jnp.asarray(self.site)]
        return jnp.einsum("nij,njk,nlk->nil", self.turn, tensors, self.turn)

    def shift(self, nucleus: str, reference: ShiftReference | None = None) -> Array:
        """Return isotropic chemical shifts of the sites of a nucleus, ppm.

        Args:
            nucleus: isotope, ``"29Si"``.
            reference: chemical-shift reference; the model's own by default.

        Raises:
            ParameterError: the crystal has no such site.
            ConventionError: there is no reference, or the model was not trained on the element.
        """
        shielding = self._of(SHIELDING, isotope(nucleus))[1]
        return self._reference(isotope(nucleus), reference).shift(isotropic(shielding))

    def maryland(self, nucleus: str) -> Maryland:
        """Return isotropic SHIELDING, span and skew of the sites of a nucleus, ppm."""
        return maryland_from_shielding(self._of(SHIELDING, isotope(nucleus))[1])

    def haeberlen(self, nucleus: str) -> Haeberlen:
        """Return isotropic SHIELDING, zeta and eta of sites of a nucleus, ppm; the sign of zeta is unstable at eta near 1."""
        return haeberlen_from_shielding(self._of(SHIELDING, isotope(nucleus))[1])

    def quadrupolar(self, nucleus: str, *, q_barn=None) -> Quadrupolar:
        """Return C_Q in Hz, signed, and eta of the sites of a nucleus.

        Args:
            nucleus: isotope, ``"17O"``.
            q_barn: quadrupole moment; an effective one, see `jaxnmr.nmr.EffectiveQuadrupole`, corrects the calculation.
        """
        return quadrupolar_parameters(self.quadrupolar_hz(nucleus, q_barn=q_barn))

    def quadrupolar_hz(self, nucleus: str, *, q_barn: Scalar | None = None) -> Array:
        """Return quadrupolar tensors eQV/h ``(sites of the nucleus, 3, 3)``."""
        return quadrupolar_from_efg(self._of(EFG, isotope(nucleus))[1], nucleus, q_barn=q_barn)

    def principal_frame(self, name: str, nucleus: str) -> PrincipalFrame:
        """Return principal values and axes, in Haeberlen's order for shieldings and ``|zz| >= |yy| >= |xx|`` for EFGs.

        Axes are columns in the Cartesian frame of the lattice. They are for reports and have no derivative.
        """
        return principal_frame(self._of(name, isotope(nucleus))[1], "efg" if name == EFG else "haeberlen")

    @property
    def novel(self) -> Array:
        """Novelty flags ``(sites,)`` of atoms unlike those of the training data, whose uncertainty is not valid."""
        return jnp.zeros(len(self.elements), dtype=bool) if self.novelty is None else jnp.asarray(self.novelty) > 1.0

    def component_sigma(self, name: str) -> Array:
        """Return the uncertainty ``(sites, irreps)`` of a component of every irrep of a head, half of its 68 % interval.

        This is the independent error of each site; the error common to all sites is :meth:`common_sigma`. Columns are
        the irreps of the head, usually l = 0, 1, 2 of ``"shielding"`` (ppm) and l = 2 of ``"efg"`` (atomic units), for
        orthonormal components: that of the isotropic value is that of l = 0 over sqrt3. NaN for elements without
        calibration.

        Raises:
            ConventionError: there is no such head, or the model is not calibrated.
        """
        self._tensor(name)
        if name not in self.sigmas or (
            is_concrete(self.sigmas[name]) and np.isnan(np.asarray(self.sigmas[name])).all()
        ):
            raise ConventionError(f"the uncertainty of {name} is not calibrated: use jaxnmr.models.calibrate")
        return self.sigmas[name]

    def common_sigma(self, name: str) -> Array:
        """Return the standard deviation ``(sites, irreps)`` of the error shared by all sites of an element.

        For l = 0 this is a constant of a component (over sqrt3, that of the isotropic value, the same for all sites),
        for other irreps a common relative error of all components. 0 if the model was calibrated in a single part, NaN
        for elements without calibration.

        Raises:
            ConventionError: as for :meth:`component_sigma`.
        """
        own = self.component_sigma(name)
        return self.commons[name] if name in self.commons else 0.0 * own

    def sigma(
        self,
        quantity: str,
        nucleus: str,
        *,
        part: str = "all",
        reference: ShiftReference | None = None,
        q_barn: Scalar | None = None,
    ) -> Array:
        """Return the uncertainty of the sites of a nucleus, half of the 68 % interval.

        Errors have heavy tails: the 95 % interval is usually more than twice as wide, see :meth:`interval`.

        Args:
            quantity: ``"iso"`` (shielding), ``"shift"``, ``"span"`` (ppm), ``"skew"``, ``"cq"`` (Hz, of its absolute
                value), or ``"eta_q"``. Uncertainties of components are propagated to first order, then calibrated.
            nucleus: isotope, ``"29Si"``.
            part: ``"all"``; ``"own"``, the independent error of each site: the uncertainty of differences between sites
                of a structure; or ``"common"``, the standard deviation of the error that they share.
            reference: chemical-shift reference; the model's own by default.
            q_barn: quadrupole moment, see :meth:`quadrupolar`; its own uncertainty is not included.

        Raises:
            ParameterError: the crystal has no such site.
            ConventionError: the quantity or part is unknown, or the model is not calibrated for it.
        """
        half, _, unit = self._half_width(quantity, nucleus, 0.68, reference, q_barn, part)
        return half * np.abs(unit)

    def interval(
        self,
        quantity: str,
        nucleus: str,
        level: float = 0.95,
        *,
        reference: ShiftReference | None = None,
        q_barn: Scalar | None = None,
    ) -> tuple[Array, Array]:
        """Return lower and upper ends of intervals for the calculated value, for the sites of a nucleus.

        Args:
            quantity, nucleus, reference, q_barn: as for :meth:`sigma`. ``"cq"`` has the sign of the prediction; if eta
                is near 1 the sign itself is uncertain.
            level: coverage for atoms like those of the calibration, 0.5, 0.68, 0.8, 0.9 or 0.95.

        Raises:
            ParameterError, ConventionError: as for :meth:`sigma`, or the level is not calibrated.
        """
        half, tensors, unit = self._half_width(quantity, nucleus, level, reference, q_barn)
        what = _UNCERTAIN[quantity][1]
        low, high = interval(what, read_off(what, tensors), half)
        if quantity == "shift":
            of = self._reference(isotope(nucleus), reference)
            low, high = of.shift(low), of.shift(high)
        elif quantity == "cq":
            sign = jnp.sign(haeberlen_from_shielding(tensors).zeta)
            low, high = unit * sign * low, unit * sign * high
        return jnp.minimum(low, high), jnp.maximum(low, high)

    def _half_width(
        self,
        quantity: str,
        nucleus: str,
        level: float,
        reference: ShiftReference | None,
        q_barn: Scalar | None,
        part: str = "all",
    ) -> tuple[Array, Array, Values]:
        """Return half-widths in the unit of the head, the tensors, and the factor from that unit to the quantity."""
        if quantity not in _UNCERTAIN:
            raise ConventionError(f"quantity is {quantity!r}; expected one of {', '.join(_UNCERTAIN)}")
        if level not in LEVELS:
            raise ConventionError(f"level is {level}; intervals are calibrated for {', '.join(map(str, LEVELS))}")
        if part not in ("all", OWN, COMMON):
            raise ConventionError(f"part is {part!r}; expected 'all', 'own' or 'common'")
        head, what = _UNCERTAIN[quantity]
        atom = isotope(nucleus)
        chosen, tensors = self._of(head, atom)
        factor = self.factors.get(f"{head}/{what}")
        if factor is None or (is_concrete(factor) and np.isnan(np.asarray(factor)[chosen]).all()):
            raise ConventionError(
                f"the uncertainty of {quantity} of {atom.element} is not calibrated: use jaxnmr.models.calibrate"
            )
        if part == OWN:
            factor = self.factors.get(f"{head}/{what}/{OWN}", factor)
        # NumPy for known numbers: outside compiled functions JAX compiles every operation separately
        known = is_concrete(self.sigmas[head], factor, tensors)
        xp, spread = (np, propagated_on_host) if known else (jnp, propagated)
        sigmas, commons = (xp.asarray(a)[chosen] for a in (self.sigmas[head], self.common_sigma(head)))
        by_rank, common = ({0: a[:, 0], 2: a[:, -1]} for a in (sigmas, commons))
        unit: Values = 1.0
        if quantity == "shift":
            unit = self._reference(atom, reference).slope
        elif quantity == "cq":
            unit = cq_hz_per_au(atom, q_barn)
        if part == COMMON:
            if what in ("skew", "eta_q"):
                return xp.zeros(len(chosen)), tensors, unit
            return spread(what, tensors, {l: 0.0 * s for l, s in by_rank.items()}, common), tensors, unit
        shared = None if part == OWN else common
        return xp.asarray(factor)[chosen, LEVELS.index(level)] * spread(what, tensors, by_rank, shared), tensors, unit

    def sites(
        self, nucleus: str, *, reference: ShiftReference | None = None, q_barn: Scalar | None = None, **widths: float
    ) -> Sites:
        """Return the sites of one isotope for spectra, weighted by multiplicity.

        Args:
            nucleus: isotope, ``"29Si"``.
            reference: chemical-shift reference; the model's own by default, and zero shifts if it predicts no shielding.
            q_barn: quadrupole moment, see :meth:`quadrupolar`.
            widths: ``gaussian_hz`` and ``lorentzian_hz``.

        Raises:
            ParameterError: the crystal has no such site.
            ConventionError: the model predicts nothing relevant, or a width has an unknown name.
        """
        atom = isotope(nucleus)
        names = [n for n in (SHIELDING, EFG) if n in self.tensors and (n == SHIELDING or atom.is_quadrupolar)]
        chosen, parts = None, {}
        for name in names:
            index, tensors = self._of(name, atom, strict=False)
            if not (is_concrete(tensors) and np.isnan(np.asarray(tensors)).all()):
                chosen, parts[name] = index, tensors
        if chosen is None:
            raise ConventionError(f"the model predicts nothing that a {atom.symbol} spectrum shows")
        shift: Array = jnp.zeros(len(chosen), dtype=self.lattice.dtype)
        anisotropy: Array | None = None
        quadrupolar: Array | None = None
        if SHIELDING in parts:
            scale = self._reference(atom, reference)
            shift = scale.shift(isotropic(parts[SHIELDING]))
            anisotropy = -scale.shift_tensor(parts[SHIELDING])
        if EFG in parts:
            quadrupolar = quadrupolar_from_efg(parts[EFG], atom, q_barn=q_barn)
        unknown = sorted(widths.keys() - {"gaussian_hz", "lorentzian_hz"})
        if unknown:
            raise ConventionError(f"unknown widths {unknown}; expected gaussian_hz, lorentzian_hz")
        return Sites.traced(
            atom.symbol,
            tuple(self.labels[k] for k in chosen),
            shift,
            shielding_ppm=anisotropy,
            quadrupolar_hz=quadrupolar,
            amplitude=jnp.asarray(self.multiplicity)[chosen],
            dtype=self.lattice.dtype,
            **widths,
        )

    def to_magres(self, name: str = "prediction") -> Magres:
        """Return all atoms of the cell with their tensors, to write as ``.magres`` or pass to ASE (host)."""
        site = np.asarray(self.site)
        elements = tuple("H" if self.elements[k] == "D" else self.elements[k] for k in site)
        counts = [elements[: k + 1].count(e) for k, e in enumerate(elements)]
        files = {SHIELDING: "ms", EFG: "efg"}
        return Magres(
            elements=elements,
            positions=np.asarray(self.positions, dtype=float),
            lattice=np.asarray(self.lattice, dtype=float),
            labels=tuple(f"{e}_{k}" for e, k in zip(elements, counts, strict=True)),
            species=elements,
            tensors={files[n]: np.asarray(self.of_atoms(n), dtype=float) for n in files if n in self.tensors},
            name=name,
        )

    def __str__(self) -> str:
        """Return a table with one line per site (host)."""
        sure = {head: f"{head}/{of[0]}" in self.factors for head, of in DERIVED.items()}
        plus = {head: f"{'±':>8}" if known_ else "" for head, known_ in sure.items()}
        lines = [
            f"{'site':<8}{'sigma/ppm':>11}{plus[SHIELDING]}{'span/ppm':>10}{'skew':>7}  {'nucleus':<8}{'CQ/MHz':>9}"
            f"{plus[EFG]}{'eta_Q':>7}"
        ]
        novel = np.asarray(self.novel)
        for k, (label, element) in enumerate(zip(self.labels, self.elements, strict=True)):
            text = f"{label + ('?' if novel[k] else ''):<8}"
            tensor = np.asarray(self.tensors[SHIELDING][k]) if SHIELDING in self.tensors else np.full((3, 3), np.nan)
            if np.isfinite(tensor).all():
                iso, span, skew = (float(v) for v in maryland_from_shielding(tensor))
                text += f"{iso:11.2f}{self._plus(k, SHIELDING, 'iso', 1.0)}{span:10.2f}{skew:7.2f}"
            else:
                text += f"{'-':>11}{' ' * len(plus[SHIELDING])}{'-':>10}{'-':>7}"
            nucleus = next(
                (n for n in isotopes_of(element) if n.is_quadrupolar and np.isfinite(n.quadrupole_barn)), None
            )
            efg = np.asarray(self.tensors[EFG][k]) if EFG in self.tensors else np.full((3, 3), np.nan)
            if nucleus is not None and np.isfinite(efg).all():
                cq, eta = quadrupolar_parameters(quadrupolar_from_efg(efg, nucleus))
                mhz = 1e-6 * CQ_HZ_PER_AU_BARN * abs(nucleus.quadrupole_barn)
                text += f"  {nucleus.symbol:<8}{float(cq) / 1e6:9.3f}{self._plus(k, EFG, 'vzz', mhz)}{float(eta):7.2f}"
            lines.append(text.rstrip())
        return "\n".join(lines + ([_FOOTNOTE] if novel.any() else []))

    def _plus(self, site: int, head: str, what: str, unit: float) -> str:
        """Return half of the 68 % interval of one site as text."""
        if f"{head}/{what}" not in self.factors:
            return ""
        half = unit * float(self._halves(head, what)[site])
        return f"{half:8.3f}" if np.isfinite(half) else f"{'-':>8}"

    def _halves(self, head: str, what: str) -> np.ndarray:
        """Return half of the 68 % intervals of all sites, in the unit of the head (host)."""
        own, common = ({0: a[:, 0], 2: a[:, -1]} for a in map(np.asarray, (self.sigmas[head], self.common_sigma(head))))
        tensors = np.nan_to_num(np.asarray(self.tensors[head]))
        factor = np.asarray(self.factors[f"{head}/{what}"])[:, UNIT_LEVEL]
        return factor * propagated_on_host(what, tensors, own, common)

    def _tensor(self, name: str) -> Array:
        if name not in self.tensors:
            raise ConventionError(f"the model does not predict {name!r}; it predicts {', '.join(self.tensors)}")
        return self.tensors[name]

    def _of(self, name: str, nucleus: Isotope, *, strict: bool = True) -> tuple[np.ndarray, Array]:
        """Return the sites of a nucleus and their tensors."""
        chosen = sites_of(self.elements, nucleus)
        tensors = self._tensor(name)
        tensors = (np if is_concrete(tensors) else jnp).asarray(tensors)[chosen]
        if strict and is_concrete(tensors) and np.isnan(np.asarray(tensors)).all():
            raise ConventionError(f"the model was not trained on {name} of {nucleus.element}")
        return chosen, tensors

    def _reference(self, nucleus: Isotope, given: ShiftReference | None) -> ShiftReference:
        return reference_of(nucleus.element, self.references) if given is None else given
