"""`CouplingTerm`: measured couplings between pairs of spins, in Hz, as functions of the geometry.

Dipolar couplings depend only on the inverse cube of the distance: they need no calibration and are the distance measurement of
solid-state NMR. J couplings across a bridging atom depend approximately on the angle there; the relation has to be
given as a law of the geometry of the linkage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from .._arguments import checked
from .._struct import Struct, set_fields, static
from .._words import counted
from ..crystal import Crystal, angles, atom_names, distances, plan_pairs, plan_triplets, select_angles, symmetry_code
from ..crystal.bonds import Cutoffs
from ..errors import ConventionError, DataError, ParameterError, ShapeError
from ..nmr import CouplingCalibration, isotope
from ..nmr.dipolar import dipolar_constant_hz
from ..objective.evidence import Rows, rows_of, uncertainties
from ..objective.state import State
from ..objective.term import Term, calculated_of
from ..typing import Array, Numbers, Quantity

Atoms = Sequence[Sequence[str]]


class Linkages(Struct):
    """Geometry of linkages A - bridge - B, the input of a law of couplings (traceable).

    Attributes:
        crystal: structure of the linkages.
        atoms: ``(n, 3, 5)``, with the bridge second.
        others: ``(k, 3, 5)`` all symmetry-distinct linkages of the same elements.
        share: ``(n, k)`` number of times each of those meets one of the two ends; the linkage itself counts twice.
    """

    crystal: Crystal
    atoms: Array
    others: Array
    share: Array

    @property
    def angle_deg(self) -> Array:
        """Angle at the bridge in degrees, ``(n,)``."""
        return angles(self.crystal, self.atoms)

    @property
    def cosine(self) -> Array:
        """Cosine of the angle, smooth at 180 degrees."""
        return jnp.cos(jnp.deg2rad(self.angle_deg))

    @property
    def lengths(self) -> Array:
        """Lengths of both bonds in Å, ``(n, 2)``."""
        first, second = self.atoms[:, :2], self.atoms[:, 1:]
        return jnp.stack([distances(self.crystal, first), distances(self.crystal, second)], axis=1)

    @property
    def distance(self) -> Array:
        """Distance between the ends in Å, ``(n,)``."""
        return distances(self.crystal, self.atoms[:, ::2])

    @property
    def mean_angle_deg(self) -> Array:
        """Mean angle in degrees of all linkages that meet either end, ``(n,)``: of seven between two Si in silica."""
        share = jnp.asarray(self.share)
        total = share @ angles(self.crystal, self.others) - self.angle_deg
        return total / (jnp.sum(share, axis=1) - 1.0)


@checked
@dataclass(frozen=True)
class CouplingLaw:
    """Couplings linear in a function f of the angle at the bridge, ``offset_hz + slope_hz f``.

    ``form="cosine"`` has ``f = cos(angle)``; ``"s_character"`` has ``f = cos(angle)/(cos(angle) - 1)``, the s character
    of two equivalent hybrids of the bridge that enclose this angle: 1/2 at 180 degrees, 1/4 in a tetrahedron.

    No numbers are built in. D. J. Srivastava, P. Florian, J. H. Baltisberger & P. J. Grandinetti, doi
    10.1039/C7CP06486A, find that 2J(Si-O-Si) depends mostly on this angle, and then on the mean of the surrounding
    angles; S. Cadars, D. H. Brouwer & B. F. Chmelka, Phys. Chem. Chem. Phys. (2009), find dependences too complicated
    for such a law. Fit the numbers to calculations on similar compounds, ``CouplingCalibration.fit(f, couplings)``, and
    include the remaining scatter in sigma.

    Example:
        >>> jn.CouplingLaw(offset_hz=-5.0, slope_hz=-25.0).form
        'cosine'
    """

    offset_hz: float
    slope_hz: float
    form: Literal["cosine", "s_character"] = "cosine"

    def __post_init__(self):
        if self.form not in ("cosine", "s_character"):
            raise ConventionError(f"a coupling law has the form {self.form!r}; expected 'cosine' or 's_character'")
        if not np.isfinite([self.offset_hz, self.slope_hz]).all():
            raise ConventionError(
                f"a coupling law has the numbers {self.offset_hz} and {self.slope_hz}; they must be finite"
            )

    def __call__(self, linkages: Linkages) -> Array:
        """Return couplings in Hz, ``(n,)``."""
        cosine = linkages.cosine
        return self.offset_hz + self.slope_hz * (cosine if self.form == "cosine" else cosine / (cosine - 1.0))


class CouplingTerm(Term):
    """Residuals ``(calculated - observed)/sigma`` of couplings between pairs of spins. Build it with a classmethod.

    Parameters, below the term's name, fixed unless freed: for J couplings ``offset`` in Hz and ``slope`` of the
    calibration; for dipolar couplings ``slope``, which motion reduces below 1.

    Attributes:
        atoms: ``(n, 2, 5)`` pairs, or ``(n, 3, 5)`` with the bridge in the middle.
        observed, sigma: ``(n,)`` Hz.
        start: starting values of the parameters by local name.
        constant_hz: dipolar coupling at 1 Å.
        others, share: see `Linkages`.
        law: law of J couplings; ``None`` for dipolar couplings.
        labels: names of the two ends of every coupling.
        phase: name of the crystal.
        name: prefix of the parameters.

    Example:
        >>> redor = jn.CouplingTerm.dipolar(quartz, ("29Si", "17O"), [("Si1", "O1")], [790.0], sigma=20.0, name="redor")
        >>> known = jn.Objective(redor, crystal=quartz)
        >>> float(known.parameters()["redor/slope"])
        1.0
    """

    atoms: Array
    observed: Array
    sigma: Array
    start: dict[str, Array]
    constant_hz: Array
    others: Array
    share: Array
    law: Callable[[Linkages], Array] | None = static()
    labels: tuple[str, ...] = static()
    phase: str = static()
    name: str = static()

    reads = ()
    sees_origin = False

    def __init__(self, **fields: Any):
        raise ParameterError("make coupling terms with CouplingTerm.dipolar or CouplingTerm.across")

    @classmethod
    @checked
    def dipolar(
        cls,
        crystal: Crystal,
        nuclei: tuple[str, str],
        atoms: Atoms,
        observed_hz: Numbers,
        *,
        sigma: Numbers,
        signed: bool = False,
        scale: float = 1.0,
        phase: str | None = None,
        name: str = "dipolar",
    ) -> CouplingTerm:
        """Compare dipolar couplings ``d = -(mu0/4 pi) gamma1 gamma2 hbar/(2 pi r³)``, from REDOR and related methods.

        Args:
            crystal: structure with the sites.
            nuclei: the two isotopes, ``("13C", "15N")``.
            atoms: pairs of labels in the order of ``nuclei``. The shortest distance between two sites is used, or
                another one selected by a symmetry code, ``("C1", "N1 3_655")``.
            observed_hz: ``(pairs,)`` values of d; absolute values unless ``signed``.
            sigma: Hz, a number or ``(pairs,)``.
            signed: whether the signs were measured. For two nuclei with gyromagnetic ratios of the same sign d is negative.
            scale: starting value of ``slope``, the reduction by motion.
            phase: name of the phase in the objective; the crystal's name by default.
            name: prefix of the parameters.

        Raises:
            ConventionError: unknown isotope or label.
            ParameterError: a site is of another element.
            ShapeError, DataError: data do not match the pairs, are not finite, or an absolute value is negative.
        """
        if isinstance(nuclei, str) or len(nuclei) != 2:
            raise ConventionError(f"{name!r}: nuclei are {nuclei!r}; expected two isotopes, ('13C', '15N')")
        pair = tuple(isotope(nucleus) for nucleus in nuclei)
        _expect(atoms, (2,), name)
        places = plan_pairs(crystal, [(first, second) for first, second in atoms])
        for row, labels in zip(places, atoms, strict=True):
            for atom, nucleus, label in zip(row, pair, labels, strict=True):
                element = crystal.elements[atom[0]]
                if not nucleus.stands_on(element):
                    raise ParameterError(
                        f"{name!r}: {label} is {element}, not {nucleus.symbol}; give pairs in the order of nuclei"
                    )
            if (row[0] == row[1]).all():
                raise ParameterError(f"{name!r}: {labels[0]} and {labels[1]} are one atom")
        observed, spread = _data(observed_hz, sigma, len(places), name)
        constant = float(dipolar_constant_hz(pair[0], pair[1], 1.0))
        if not signed:
            constant = abs(constant)
            if (observed < 0).any():
                raise DataError(
                    f"{name!r}: sizes of couplings are negative; with their signs measured, say signed=True"
                )
        none = np.zeros((len(places), 0))
        return cls._made(
            atoms=places, observed=observed, sigma=spread, start={"slope": float(scale)}, constant_hz=constant,
            others=np.zeros((0, 3, 5), dtype=int), share=none, law=None, labels=tuple(" ".join(of) for of in atoms),
            phase=phase or crystal.name, name=name,
        )  # fmt: skip

    @classmethod
    @checked
    def across(
        cls,
        crystal: Crystal,
        kind: tuple[str, str, str],
        observed_hz: Numbers,
        *,
        sigma: Numbers,
        law: Callable[[Linkages], Array],
        atoms: Atoms | None = None,
        calibration: CouplingCalibration | None = None,
        cutoffs: Cutoffs = None,
        phase: str | None = None,
        name: str = "couplings",
    ) -> CouplingTerm:
        """Compare J couplings across a bridging atom, ``("Si", "O", "Si")``.

        Args:
            crystal: structure in which linkages are found.
            kind: three elements, the bridge second.
            observed_hz: ``(n,)`` in the order of ``atoms``.
            sigma: Hz, a number or ``(n,)``: including the uncertainty of the law.
            law: function from `Linkages` to couplings in Hz, ``(n,)``; traceable. A `CouplingLaw`, or a user-defined
                function.
            atoms: labels of the ends, ``("Si1", "Si2")``, if a single linkage joins them; or of all three atoms, as
                listed by :meth:`linkages`. By default all symmetry-distinct linkages, in the order of that list.
            calibration: calibration of calculated couplings, ``CouplingCalibration.published("nmrcryspy/29Si-O-29Si")``
                if the law was fitted to the same kind of calculation.
            cutoffs: longest bonds, as for :func:`jaxnmr.crystal.plan_bonds`.
            phase: name of the phase in the objective; the crystal's name by default.
            name: prefix of the parameters.

        Raises:
            ParameterError: the kind does not occur, or the ends are joined by no linkage or by several.
            ShapeError, DataError: data do not match the linkages or are not finite.
        """
        found, multiplicity = select_angles(crystal, [kind], cutoffs)[0]
        if atoms is None:
            places = found
        else:
            _expect(atoms, (2, 3), name)
            places = np.array([_place(crystal, kind, found, tuple(of), name) for of in atoms]).reshape(-1, 3, 5)
        if atoms is None and np.size(observed_hz) != len(places):
            listed = "; ".join(" - ".join(of) for of in cls.linkages(crystal, kind, cutoffs)[:12])
            raise ShapeError(
                f"{name!r}: {np.size(observed_hz)} couplings for {len(places)} linkages of {crystal.name}: {listed}. Say which "
                "were measured with atoms="
            )
        observed, spread = _data(observed_hz, sigma, len(places), name)
        calibration = CouplingCalibration(offset_hz=0.0, slope=1.0) if calibration is None else calibration
        start = {"offset": float(calibration.offset_hz), "slope": float(calibration.slope)}
        return cls._made(
            atoms=places, observed=observed, sigma=spread, start=start, constant_hz=0.0, others=found,
            share=_share(crystal, places, found, multiplicity), law=law,
            labels=tuple(" ".join(crystal.labels[row[k, 0]] for k in range(3)) for row in places),
            phase=phase or crystal.name, name=name,
        )  # fmt: skip

    @classmethod
    def _made(cls, **fields) -> CouplingTerm:
        term = object.__new__(cls)
        set_fields(term, **fields)
        return term

    @staticmethod
    @checked
    def linkages(crystal: Crystal, kind: tuple[str, str, str], cutoffs: Cutoffs = None) -> list[tuple[str, str, str]]:
        """List the symmetry-distinct linkages of a kind, as labels with symmetry codes (host)."""
        name = lambda atom: f"{crystal.labels[atom[0]]} {symmetry_code(atom).replace('.', '1_555')}"
        triplets = select_angles(crystal, [kind], cutoffs)[0][0]
        return [(name(first), crystal.labels[bridge[0]], name(last)) for first, bridge, last in triplets]

    # -- interface of terms ---------------------------------------------------------------------------------------
    def quantities(self, crystals: Mapping[str, Crystal]) -> dict[str, Quantity]:
        if self.phase not in crystals:
            raise ParameterError(f"{self.name!r} is about {self.phase!r}; the phases are {sorted(crystals)}")
        docs = {
            "offset": ("Hz", 1.0, "coupling where none is calculated"),
            "slope": ("", 0.01, "of data by calculation"),
        }
        return {
            name: Quantity(np.array(value), unit=docs[name][0], scale=docs[name][1], doc=docs[name][2])
            for name, value in self.start.items()
        }

    def calculated(self, state: State) -> Array:
        """Return couplings in Hz, ``(n,)``, as compared with the data."""
        crystal, values = state.crystals[self.phase], state.local(self.name)
        if self.law is None:
            return values["slope"] * self.constant_hz / distances(crystal, self.atoms) ** 3
        linkages = Linkages(crystal=crystal, atoms=self.atoms, others=self.others, share=self.share)
        found = jnp.asarray(self.law(linkages))
        if found.shape != self.observed.shape:
            raise ShapeError(
                f"the law of {self.name!r} returns the shape {found.shape}; expected {self.observed.shape}, Hz"
            )
        return CouplingCalibration(offset_hz=values["offset"], slope=values["slope"]).coupling(found)

    def length(self, state: Callable[[], State]) -> int:
        return len(self.observed)

    def residuals(self, state: State) -> Array:
        return (self.calculated(state) - self.observed) / self.sigma

    def evidence(self, state: State) -> Rows:
        dipolar = self.law is None
        what = "dipolar couplings" if dipolar else "J couplings"
        labels = [atom_names(state.crystals[self.phase], atoms) for atoms in np.asarray(self.atoms)]
        rows = rows_of(labels, "d" if dipolar else "J", "Hz", self.observed, calculated_of(self, state), self.sigma)
        slope, offset = (f"{{{self.name}/{name}}}" for name in ("slope", "offset"))
        scaled = f"d = {slope} d_calc" if dipolar else f"J / Hz = {offset} + ({slope}) J_calc / Hz"
        return Rows(
            name=self.name,
            what=what,
            title=what,
            conditions=(
                ("compared", f"{what} in {self.phase}, {counted(len(rows), 'pair')}"),
                *uncertainties(rows),
                ("calibration", scaled),
            ),
            rows=rows,
            header=("atoms", "observed", "calculated"),
            facts={"phase": self.phase},
        )


def _expect(atoms: Atoms, lengths: tuple[int, ...], name: str) -> None:
    wrong = next((of for of in atoms if isinstance(of, str) or len(of) not in lengths), None)
    if isinstance(atoms, str) or wrong is not None or not len(atoms):
        raise ParameterError(
            f"{name!r}: expected a list of {' or '.join(map(str, lengths))} site labels each, got {wrong or atoms!r}"
        )


def _data(observed, sigma, count: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    observed, sigma = np.asarray(observed, dtype=float), np.asarray(sigma, dtype=float)
    if observed.shape != (count,) or sigma.shape not in ((), (count,)):
        raise ShapeError(
            f"{name!r}: {count} pairs, observed couplings of the shape {observed.shape}, sigma of {sigma.shape}; expected "
            f"({count},), and a number or ({count},)"
        )
    if not np.isfinite(observed).all():
        raise DataError(f"{name!r}: coupling {int(np.flatnonzero(~np.isfinite(observed))[0]) + 1} is not finite")
    if not (np.isfinite(sigma).all() and (sigma > 0).all()):
        raise DataError(f"{name!r}: uncertainties must be positive numbers")
    return observed, np.broadcast_to(sigma, (count,)).copy()


def _place(crystal: Crystal, kind, found: np.ndarray, labels: tuple[str, ...], name: str) -> np.ndarray:
    """Return the atoms ``(3, 5)`` of one linkage."""
    if len(labels) == 3:
        return plan_triplets(crystal, [labels])[0]
    for label in labels:
        if label not in crystal.labels:
            raise ParameterError(
                f"{name!r}: no site {label!r} in {crystal.name}; ends are labels without symmetry code, some of "
                f"{', '.join(crystal.labels)}"
            )
    ends = [sorted((crystal.labels[row[0, 0]], crystal.labels[row[2, 0]])) for row in found]
    mine = [k for k, of in enumerate(ends) if of == sorted(labels)]
    if len(mine) == 1:
        return found[mine[0]]
    joined = CouplingTerm.linkages(crystal, kind)
    listed = (
        "; ".join(" - ".join(joined[k]) for k in mine) if mine else ", ".join(sorted({"-".join(of) for of in ends}))
    )
    what = "several linkages join" if mine else "no linkage joins"
    hint = "give all three atoms of the one that is meant, of" if mine else "the pairs are"
    raise ParameterError(f"{name!r}: {what} {labels[0]} and {labels[1]}: {hint} {listed}")


def _share(crystal: Crystal, places: np.ndarray, found: np.ndarray, multiplicity: np.ndarray) -> np.ndarray:
    """Count how often each distinct linkage meets the two ends of each place, ``(n, k)``."""
    per_cell = np.array([site.multiplicity for site in crystal.sites()], dtype=float)
    # number of linkages of a class that meet one atom of each site
    meets = np.stack([(found[:, 0, 0] == s).astype(float) + (found[:, 2, 0] == s) for s in range(crystal.n_sites)])
    meets *= multiplicity / per_cell[:, None]
    return meets[places[:, 0, 0]] + meets[places[:, 2, 0]]
