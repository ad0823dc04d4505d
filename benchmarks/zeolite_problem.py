"""What is refined in the zeolite study, from where, and how the result is judged by the truth.

In every realisation another structure is hidden, and measured with other noise (see ``zeolite.py`` and ``zeolite_data.py``);
all have one cell, so that one compiled program serves them all. Refinements start from the framework in that cell, shaken a
little: the framework itself has more symmetry, and derivatives along what breaks it vanish.
"""

from dataclasses import dataclass
from functools import cache, cached_property, reduce
from operator import add
from pathlib import Path

import numpy as np
import zeolite
import zeolite_data

import jaxnmr as jn

NMR = ("nmr", "oxygen", "couplings")
# by case: terms, and where it starts: at the framework shaken once or several times, at the truth, or where another case ended
CASES = {
    "nmr": (("nmr", "distances"), "framework"),
    "nmr from the truth": (("nmr", "distances"), "truth"),
    "all nmr": ((*NMR, "distances"), "frameworks"),
    "all nmr from the truth": ((*NMR, "distances"), "truth"),
    "xrd": (("xrd",), "framework"),
    "restrained": (("xrd", "distances"), "frameworks"),
    "xrd continued": (("xrd",), "restrained"),
    "joint": (("xrd", "nmr", "distances"), "restrained"),
    "joint at once": (("xrd", "nmr", "distances"), "framework"),
    "everything": (("xrd", *NMR, "distances"), "restrained"),
}
SHAKE = 0.05
# of several starts the lowest chi² counts
STARTS = 5
# coordinates that are this many esds off, root mean square, belong to another minimum
ELSEWHERE = 3.0


@cache
def models(sigma_model: bool):
    """Models of shieldings and field gradients: single networks, or ensembles that know their uncertainty.

    Read once: programs belong to a model, and one read again would be another.
    """
    both = tuple(jn.TensorModel.load(name) for name in ("silica-29si", "silica-efg"))
    return both if sigma_model else tuple(model.member(0) for model in both)


@dataclass(frozen=True)
class Realisation:
    """A hidden structure, what was measured of it, and where refinements start.

    Attributes:
        framework: in the cell of all hidden structures.
        hidden: the truth.
        measured: with noise.
        shaken: starts near the framework.
        sigma_model: whether models make errors, and say so in the weights.
    """

    framework: jn.Crystal
    hidden: jn.Crystal
    measured: zeolite_data.Measured
    shaken: tuple
    sigma_model: bool

    @classmethod
    def create(cls, k: int, data: Path, *, sigma_model: bool, counts: float = zeolite_data.COUNTS) -> "Realisation":
        """Number ``k``; the same number gives the same one."""
        framework = zeolite.framework(data)
        cell = zeolite.distorted(framework, 0).cell
        framework = framework.replace(cell=cell, u_iso=np.full(framework.n_sites, zeolite_data.U_START))
        hidden, rng = zeolite.distorted(framework, k, free=("xyz",)), np.random.default_rng([k, 1])
        measured = zeolite_data.measure(
            hidden, framework, models(sigma_model), rng, sigma_model=sigma_model, counts=counts
        )
        shaken = tuple(zeolite.shaken(framework, rng, SHAKE) for _ in range(STARTS))
        return cls(framework, hidden, measured, shaken, sigma_model)

    @cached_property
    def truths(self):
        """Both descriptions of the hidden structure."""
        return self.hidden, zeolite.equivalent(self.hidden, self.framework)

    # -- refinements ---------------------------------------------------------------------------------------------
    def objective(self, terms, begin):
        """What is minimised, and from where: coordinates, and of the pattern scale, background, width and displacements."""
        possible = self._terms(begin)
        objective = jn.Objective(
            reduce(add, (1.0 * possible[name]() for name in terms)),
            crystal=begin,
            models=[
                model
                for model, readers in zip(models(self.sigma_model), ({"nmr", "whole"}, {"oxygen"}), strict=True)
                if readers & set(terms)
            ],
        )
        params = objective.parameters().free("xyz")
        if "xrd" in terms:
            for element in ("O", "T"):
                first = next(label for label in begin.labels if label.startswith(element))
                params = params.tie(f"u_iso[{element}*]", f"u_iso[{first}]").free(f"u_iso[{first}]")
            level = [zeolite_data.BACKGROUND[0], *[0.0] * (len(zeolite_data.BACKGROUND) - 1)]
            params = params.set("xrd/scale", self.measured.scale).set("xrd/background", level)
            params = params.free("xrd/scale", "xrd/background", "xrd/size")
        return objective, params

    def _terms(self, begin):
        """Terms by name, made when called."""
        known, of_model = self.measured, "model" if self.sigma_model else None
        silicon = {"sigma": zeolite_data.SIGMA_PPM, "sigma_model": of_model, "reference": zeolite_data.REFERENCE}
        return {
            "nmr": lambda: jn.TensorTerm("29Si", known.shifts, kind="principal", name="nmr", **silicon),
            # for linear analysis: whole tensors in the frame of the crystal; nothing of them was measured
            "whole": lambda: jn.TensorTerm("29Si", np.zeros((len(known.shifts), 3, 3)), name="whole", **silicon),
            "oxygen": lambda: jn.TensorTerm(
                "17O", known.oxygen, quantity="efg", kind="cq_eta", sigma=zeolite_data.SIGMA_OXYGEN, sigma_model=of_model,
                slope=zeolite_data.OXYGEN_SLOPE, name="oxygen",
            ),
            "couplings": lambda: jn.CouplingTerm.across(
                begin, zeolite_data.BRIDGES, known.couplings, sigma=known.sigma_couplings, law=zeolite_data.LAW,
                calibration=zeolite_data.CALIBRATION, atoms=known.atoms, name="couplings",
            ),
            "xrd": lambda: jn.PatternTerm(zeolite_data.experiment(), known.pattern, name="xrd"),
            "distances": lambda: jn.Restraint.distances(begin, zeolite.SILICA),
        }  # fmt: skip

    def refined(self, terms, begin, max_steps: int):
        """The result, whatever the ending."""
        objective, params = self.objective(terms, begin)
        solver = jn.LevenbergMarquardt(max_steps=max_steps, tolerance=0.05)
        return jn.refine(objective, params, solver=solver, suggest=False, throw=False)

    def assigned(self, crystal, terms):
        """Of both descriptions of a structure the one whose sites are named as in the data: its couplings fit.

        A pattern knows no names. Half of c apart Si keep theirs, but three pairs of O exchange them.
        """
        if "couplings" not in terms:
            return crystal

        def misfit(described) -> float:
            objective, params = self.objective(("couplings",), described)
            return float(objective(params))

        return min((crystal, zeolite.equivalent(crystal, self.framework)), key=misfit)

    # -- judgement -----------------------------------------------------------------------------------------------
    def errors(self, crystal) -> dict[str, list[float]]:
        """By element, how far every atom is from the truth, Å; from the closer one of its two descriptions."""
        away = min((zeolite.displacements(crystal, truth) for truth in self.truths), key=np.sum)
        kinds = np.array(crystal.elements)
        return {element: away[kinds == element].tolist() for element in ("Si", "O")}

    def judged(self, fit) -> dict:
        """Errors of atoms in Å, and of coordinates in esds."""
        truth = min(self.truths, key=lambda truth: zeolite.displacements(fit.crystal, truth).sum())
        delta = np.asarray(fit.crystal.xyz) - np.asarray(truth.xyz)
        ratio = np.abs(delta - np.round(delta)) / np.asarray(fit.esds["xyz"])
        return {
            "status": fit.status,
            "steps": len(fit.steps),
            "compile_s": fit.compile_seconds,
            "chi2": {name: float(s.chi2) for name, s in fit.statistics.items()},
            "error": self.errors(fit.crystal),
            "before": self.errors(self.framework),
            "expected": expected(fit.crystal, fit.parameters, fit.covariance),
            "over_esd": np.round(ratio, 3).ravel().tolist(),
            "elsewhere": bool(np.sqrt(np.mean(ratio**2)) > ELSEWHERE),
        }


def expected(crystal, params, covariance) -> dict[str, float]:
    """By element, root mean square error of an atom that the covariance of all parameters claims, Å."""
    places = params.spec.layout.unflatten(np.arange(len(params.labels)))["xyz"]
    lattice, kinds = np.asarray(crystal.lattice()), np.array(crystal.elements)
    square = np.array([np.trace(lattice.T @ covariance[np.ix_(p, p)] @ lattice) for p in np.asarray(places)])
    return {element: float(np.sqrt(square[kinds == element].mean())) for element in ("Si", "O")}


def total_chi2(fit) -> float:
    """Of all terms."""
    return float(sum(s.chi2 for s in fit.statistics.values()))


def rms(values) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(values))))
