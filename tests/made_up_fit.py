"""A refinement result made of formulas, for tests of pictures and reports that need no refinement."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np

from jaxnmr.crystal import Crystal
from jaxnmr.objective import ProfileStatistics
from jaxnmr.objective.evidence import Axis
from jaxnmr.refinement.information import AtomInformation, Information
from jaxnmr.refinement.result import RefinementResult, StepInfo
from jaxnmr.terms.pattern_evidence import PatternEvidence, Reflections


@dataclass(frozen=True)
class Row:
    name: str
    value: float
    unit: str = ""
    free: bool = False
    lower: float = -np.inf
    upper: float = np.inf
    tied_to: str = ""


@dataclass(frozen=True)
class MadeUpParameters:
    """What reports read of :class:`jaxnmr.Parameters`."""

    values: dict[str, np.ndarray]
    elements: tuple[Row, ...] = field(default=())

    def rows(self):
        return list(self.elements)

    @property
    def labels(self):
        return tuple(row.name for row in self.elements)

    @property
    def free_names(self):
        return tuple(row.name for row in self.elements if row.free and row.name[-3:] not in ("[b]", ".y]"))

    @property
    def n_free(self):
        return len(self.free_names)

    def vector(self):
        return np.array([row.value for row in self.elements])


def rutile(name: str = "rutile", u_iso=(0.006, 0.007)) -> Crystal:
    return Crystal.create(
        cell=[4.5937, 4.5937, 2.9587, 90, 90, 90],
        spacegroup="P 42/m n m",
        species=["Ti4+", "O2-"],
        labels=["Ti1", "O1"],
        xyz=[[0, 0, 0], [0.3053, 0.3053, 0]],
        u_iso=list(u_iso),
        name=name,
    )


def reflections(positions, areas) -> Reflections:
    n = len(positions)
    return Reflections(
        hkl=np.stack([np.arange(1, n + 1), np.zeros(n, int), np.zeros(n, int)], axis=1),
        multiplicity=np.full(n, 4),
        d=1.54 / (2 * np.sin(np.deg2rad(np.asarray(positions) / 2))),
        two_theta=np.asarray(positions, float),
        f2_calc=np.asarray(areas, float),
        f2_obs=np.asarray(areas, float) * 1.01,
        area=np.asarray(areas, float),
        fwhm=np.full(n, 0.15),
    )


def fitted_pattern(name="xrd", phases=("rutile",), excluded=((62.0, 64.0),)) -> PatternEvidence:
    x = np.arange(20.0, 100.0, 0.05)
    keep = np.ones(x.shape, bool)
    for low, high in excluded:
        keep &= (x < low) | (x > high)
    x = x[keep]
    background = 120.0 - 0.5 * (x - 20)
    calculated = background.copy()
    lists = {}
    for k, phase in enumerate(phases):
        positions = np.array([27.4, 36.1, 41.2, 54.3, 56.6, 69.0, 82.3]) + 1.7 * k
        areas = np.array([1000, 500, 220, 600, 190, 260, 60]) / (1 + 3 * k)
        for position, area in zip(positions, areas, strict=True):
            calculated += area * np.exp(-0.5 * ((x - position) / 0.08) ** 2)
        lists[phase] = reflections(positions, areas)
    observed = np.random.default_rng(5).poisson(calculated).astype(float)
    return PatternEvidence(
        name=name, what="powder pattern", axis=Axis(x, "2θ", "°"), observed=observed,
        sigma=np.sqrt(np.maximum(observed, 1)), calculated=calculated, baseline=background, excluded=tuple(excluded),
        reflections=lists,
    )  # fmt: skip


def statistics() -> ProfileStatistics:
    return ProfileStatistics(
        n_observations=1560, chi2=1640.0, factor="Rwp", r_weighted=8.41, rp=6.2, rexp=8.15, gof=1.032, noise=10.0,
        signal_to_noise=90.0, durbin_watson=1.93, scor=1.1,
    )  # fmt: skip


def steps() -> tuple[StepInfo, ...]:
    rows = [(0, "scale", 9e4, True), (0, "scale", 6e4, True), (1, "cell", 2e4, True), (1, "cell", 3e4, False)]
    rows += [(1, "cell", 4e3, True), (2, "atoms", 1700.0, True), (2, "atoms", 1640.0, True)]
    return tuple(
        StepInfo(
            stage=stage, stage_name=name, step=k + 1, chi2=chi2, accepted=accepted, damping=0.01,
            shift_over_esd=10.0 / (k + 1), factors={"xrd": {"Rwp": float(np.sqrt(chi2 / 23.0))}}, squares={"xrd": chi2}, seconds=0.1, n_free=3 + 4 * stage,
        )
        for k, (stage, name, chi2, accepted) in enumerate(rows)
    )  # fmt: skip


def what_fixes_what(rows, esd, terms) -> Information:
    """The first term knows everything, others share in the oxygen atom alone, which the first does not know without them."""
    names = tuple(row.name for k, row in enumerate(rows) if row.free and k not in (1, 5))
    shares = np.zeros((len(names), len(terms)))
    shares[:, 0] = 1.0
    shares[2] = 1.0 / len(terms)
    without = np.repeat(esd[:, None], len(terms), axis=1)
    without[:, 0] = np.inf
    without[2, 1:] *= 1.5
    oxygen = AtomInformation(
        "O1",
        "rutile",
        0.0027,
        dict(zip(terms, shares[2], strict=True)),
        dict(zip(terms, 7.0 * without[2], strict=True)),
    )
    return Information(names, terms, shares, np.asarray(esd), without, (oxygen,))


def made_up_fit(phases=("rutile",), status="converged", terms=("xrd",), **changes) -> RefinementResult:
    """Rutile: a = b by symmetry, ``x = y`` of the oxygen atom by symmetry, one histogram."""
    crystals = {p: rutile(p) for p in phases}
    prefix = "" if len(phases) == 1 else f"{phases[0]}/"
    rows = (
        Row(f"{prefix}cell[a]", 4.5937, "Å", True),
        Row(f"{prefix}cell[b]", 4.5937, "Å", True),
        Row(f"{prefix}cell[c]", 2.9587, "Å", True),
        Row(f"{prefix}xyz[Ti1.x]", 0.0, ""),
        Row(f"{prefix}xyz[O1.x]", 0.3053, "", True),
        Row(f"{prefix}xyz[O1.y]", 0.3053, "", True),
        Row(f"{prefix}u_iso[O1]", 0.007, "Å²", True, 0.0),
        Row("xrd/scale[rutile]", 12.5, "", True, 0.0),
    )
    jacobian = np.zeros((8, 5))
    for row, column in ((0, 0), (1, 0), (2, 1), (4, 2), (5, 2), (6, 3), (7, 4)):
        jacobian[row, column] = 1.0
    esd = np.array([1.4e-4, 9e-5, 4e-4, 6e-4, 0.08])
    correlation = np.eye(5)
    correlation[3, 4] = correlation[4, 3] = 0.71
    correlation[0, 1] = correlation[1, 0] = -0.2
    covariance = jacobian @ (correlation * np.outer(esd, esd)) @ jacobian.T
    values = {
        f"{prefix}cell": np.array([4.5937, 4.5937, 2.9587, 90, 90, 90]),
        f"{prefix}xyz": np.array([[0, 0, 0], [0.3053, 0.3053, 0]]),
        f"{prefix}u_iso": np.array([0.006, 0.007]),
        "xrd/scale": np.array([12.5]),
    }
    esds = {
        f"{prefix}cell": np.array([1.4e-4, 1.4e-4, 9e-5, 0, 0, 0]),
        f"{prefix}xyz": np.array([[0, 0, 0], [4e-4, 4e-4, 0]]),
        f"{prefix}u_iso": np.array([0, 6e-4]),
        "xrd/scale": np.array([0.08]),
    }
    record = dict(
        status=status, message="The largest shift is 0.004 of its standard uncertainty.", objective=SimpleNamespace(sources=()),
        parameters=MadeUpParameters(values, rows), crystals=crystals, esds=esds,
        esds_scor={k: 1.1 * v for k, v in esds.items()}, covariance=covariance,
        statistics={"xrd": statistics()}, evidence={"xrd": fitted_pattern(phases=phases)},
        correlations=((f"{prefix}u_iso[O1]", "xrd/scale[rutile]", 0.71),), null_directions=(),
        suggestions=(("xrd/displacement", 25.0),), steps=steps(), seconds=1.5, compile_seconds=0.9,
        information=what_fixes_what(rows, esd, terms),
    )  # fmt: skip
    return RefinementResult(**{**record, **changes})
