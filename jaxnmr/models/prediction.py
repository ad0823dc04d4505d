"""`Prediction`: the tensors of a crystal and everything that is reported of them."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from .._struct import static, struct
from ..errors import ConventionError
from ..io import Magres
from ..nmr import (
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
from ..nmr.tensors import Haeberlen, Maryland, PrincipalFrame, Quadrupolar, isotropic, known
from ..typing import Array
from .config import EFG, SHIELDING


@struct
class Prediction:
    """Predicted quantities of the sites of a crystal; everything here can be traced.

    Attributes:
        tensors: by head, ``(sites, 3, 3)`` in the frame of the crystal's lattice or ``(sites, dim)``; not a number for
            elements the model was not trained on.
        lattice: ``(3, 3)`` Å, rows.
        positions: ``(atoms, 3)`` Å, all atoms of the conventional cell.
        site: ``(atoms,)`` the site each atom is an image of.
        turn: ``(atoms, 3, 3)`` Cartesian matrices that take tensors of the site to those of the atom.
        multiplicity: ``(sites,)`` atoms of the cell.
        labels, elements: per site.
        references: of chemical shifts, ``(element, reference_ppm, slope)``.
    """

    tensors: dict[str, Array]
    lattice: Array
    positions: Array
    site: Array
    turn: Array
    multiplicity: Array
    labels: tuple[str, ...] = static()
    elements: tuple[str, ...] = static()
    references: tuple[tuple[str, float, float], ...] = static()

    @property
    def shielding_ppm(self) -> Array:
        """SHIELDING tensors ``(sites, 3, 3)`` with their antisymmetric part.

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
        """Tensors of all atoms of the cell ``(atoms, 3, 3)``: those of their site, turned."""
        tensors = self._tensor(name)[jnp.asarray(self.site)]
        return jnp.einsum("nij,njk,nlk->nil", self.turn, tensors, self.turn)

    def shift(self, nucleus: str, reference: ShiftReference | None = None) -> Array:
        """Isotropic chemical shifts of the sites of a nucleus, ppm.

        Args:
            nucleus: isotope, ``"29Si"``.
            reference: of shifts; the model's own by default.

        Raises:
            ConventionError: no such element in the crystal, no reference, or the model was not trained on it.
        """
        shielding = self._of(SHIELDING, isotope(nucleus))[1]
        return self._reference(isotope(nucleus), reference).shift(isotropic(shielding))

    def maryland(self, nucleus: str) -> Maryland:
        """Isotropic SHIELDING, span and skew of the sites of a nucleus, ppm."""
        return maryland_from_shielding(self._of(SHIELDING, isotope(nucleus))[1])

    def haeberlen(self, nucleus: str) -> Haeberlen:
        """Isotropic SHIELDING, zeta and eta of the sites of a nucleus, ppm; at eta near 1 zeta may flip its sign."""
        return haeberlen_from_shielding(self._of(SHIELDING, isotope(nucleus))[1])

    def quadrupolar(self, nucleus: str, *, q_barn=None) -> Quadrupolar:
        """C_Q in Hz, signed, and eta of the sites of a nucleus.

        Args:
            nucleus: isotope, ``"17O"``.
            q_barn: quadrupole moment to use; an effective one corrects the overestimate of a functional.
        """
        return quadrupolar_parameters(self.quadrupolar_hz(nucleus, q_barn=q_barn))

    def quadrupolar_hz(self, nucleus: str, *, q_barn=None) -> Array:
        """Quadrupolar tensors eQV/h ``(sites of the nucleus, 3, 3)``."""
        return quadrupolar_from_efg(self._of(EFG, isotope(nucleus))[1], nucleus, q_barn=q_barn)

    def principal_frame(self, name: str, nucleus: str) -> PrincipalFrame:
        """Principal values and axes, in the order of Haeberlen for shieldings and ``|zz| >= |yy| >= |xx|`` for EFGs.

        Axes are columns in the Cartesian frame of the lattice. They are for reports: they have no derivative.
        """
        return principal_frame(self._of(name, isotope(nucleus))[1], "efg" if name == EFG else "haeberlen")

    def sites(self, nucleus: str, *, reference: ShiftReference | None = None, q_barn=None, **widths) -> Sites:
        """Sites of one isotope as spectra need them, weighted by multiplicity.

        Args:
            nucleus: isotope, ``"29Si"``.
            reference: of shifts; the model's own by default, and zero shifts where it predicts no shielding.
            q_barn: quadrupole moment to use.
            widths: ``gaussian_hz`` and ``lorentzian_hz``.

        Raises:
            ConventionError: the crystal has no such site, or the model predicts nothing of it.
        """
        nucleus = isotope(nucleus)
        names = [n for n in (SHIELDING, EFG) if n in self.tensors and (n == SHIELDING or nucleus.is_quadrupolar)]
        chosen, parts = None, {}
        for name in names:
            index, tensors = self._of(name, nucleus, strict=False)
            if not (known(tensors) and np.isnan(np.asarray(tensors)).all()):
                chosen, parts[name] = index, tensors
        if chosen is None:
            raise ConventionError(f"the model predicts nothing that a {nucleus.symbol} spectrum shows")
        count = len(chosen)
        zero = jnp.zeros((count, 3, 3), dtype=self.lattice.dtype)
        shift, anisotropy, quadrupolar = zero[:, 0, 0], zero, zero
        if SHIELDING in parts:
            reference = self._reference(nucleus, reference)
            shift = reference.shift(isotropic(parts[SHIELDING]))
            anisotropy = -reference.shift_tensor(parts[SHIELDING])
        if EFG in parts:
            quadrupolar = quadrupolar_from_efg(parts[EFG], nucleus, q_barn=q_barn)
        unknown = sorted(widths.keys() - {"gaussian_hz", "lorentzian_hz"})
        if unknown:
            raise ConventionError(f"unknown widths {unknown}; expected gaussian_hz, lorentzian_hz")
        of_sites = lambda value: jnp.broadcast_to(jnp.asarray(value, dtype=self.lattice.dtype), (count,))
        return Sites(
            shift_ppm=shift,
            shielding_ppm=anisotropy,
            quadrupolar_hz=quadrupolar,
            couplings_hz=jnp.zeros((count, 0, 3, 3), dtype=self.lattice.dtype),
            shielding_spread_ppm=of_sites(0.0),
            quadrupolar_spread_hz=of_sites(0.0),
            amplitude=of_sites(jnp.asarray(self.multiplicity)[jnp.asarray(chosen)]),
            gaussian_hz=of_sites(widths.get("gaussian_hz", 0.0)),
            lorentzian_hz=of_sites(widths.get("lorentzian_hz", 0.0)),
            isotope=nucleus.symbol,
            labels=tuple(self.labels[k] for k in chosen),
            partners=(),
        )

    def to_magres(self, name: str = "prediction") -> Magres:
        """All atoms of the cell with their tensors, to write as ``.magres`` or hand to ASE (host)."""
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
        """One line per site (host)."""
        lines = [f"{'site':<8}{'sigma/ppm':>11}{'span/ppm':>10}{'skew':>7}  {'nucleus':<8}{'CQ/MHz':>9}{'eta_Q':>7}"]
        for k, (label, element) in enumerate(zip(self.labels, self.elements, strict=True)):
            text = f"{label:<8}"
            tensor = np.asarray(self.tensors[SHIELDING][k]) if SHIELDING in self.tensors else np.full((3, 3), np.nan)
            if np.isfinite(tensor).all():
                iso, span, skew = (float(v) for v in maryland_from_shielding(tensor))
                text += f"{iso:11.2f}{span:10.2f}{skew:7.2f}"
            else:
                text += f"{'-':>11}{'-':>10}{'-':>7}"
            nucleus = next(
                (n for n in isotopes_of(element) if n.is_quadrupolar and np.isfinite(n.quadrupole_barn)), None
            )
            efg = np.asarray(self.tensors[EFG][k]) if EFG in self.tensors else np.full((3, 3), np.nan)
            if nucleus is not None and np.isfinite(efg).all():
                cq, eta = quadrupolar_parameters(quadrupolar_from_efg(efg, nucleus))
                text += f"  {nucleus.symbol:<8}{float(cq) / 1e6:9.3f}{float(eta):7.2f}"
            lines.append(text.rstrip())
        return "\n".join(lines)

    def _tensor(self, name: str) -> Array:
        if name not in self.tensors:
            raise ConventionError(f"the model does not predict {name!r}; it predicts {', '.join(self.tensors)}")
        return self.tensors[name]

    def _of(self, name: str, nucleus: Isotope, *, strict: bool = True) -> tuple[list[int], Array]:
        """Sites of an element and their tensors."""
        same = {nucleus.element, "D"} if nucleus.symbol == "2H" else {nucleus.element}
        chosen = [k for k, element in enumerate(self.elements) if element in same]
        if not chosen:
            raise ConventionError(
                f"the crystal has no {nucleus.symbol} site; it has {', '.join(sorted(set(self.elements)))}"
            )
        tensors = jnp.asarray(self._tensor(name))[np.array(chosen)]
        if strict and known(tensors) and np.isnan(np.asarray(tensors)).all():
            raise ConventionError(f"the model was not trained on {name} of {nucleus.element}")
        return chosen, tensors

    def _reference(self, nucleus: Isotope, given: ShiftReference | None) -> ShiftReference:
        if given is not None:
            return given
        for element, ppm, slope in self.references:
            if element == nucleus.element:
                return ShiftReference(ppm, slope)
        raise ConventionError(
            f"the model has no shift reference of {nucleus.element}: give reference=ShiftReference(ppm), such as one fitted "
            "with ShiftReference.fit"
        )
