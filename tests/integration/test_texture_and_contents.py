"""A textured specimen of needles with three cations on one site: everything comes back within its uncertainty."""

import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr.objective import cell_charge

INSTRUMENT = jn.Instrument(wavelengths=(1.54056,), U=2.0, V=-2.0, W=5.0, shl=0.02)
TRUE = {"occupancy[Fe]": 0.21, "occupancy[Nb]": 0.21, "occupancy[Ti]": 0.58}
SIZES = {"size": 0.03, "size_along": 0.12}
TEXTURE = {"C2.0": 0.7, "C4.0": 0.3, "C4.4": -0.25}


def mixed(fe: float, nb: float, ti: float) -> jn.Crystal:
    """Rutile with Fe3+, Nb5+ and Ti4+: of three occupancies their sum and the charge leave one."""
    return jn.Crystal.create(
        cell=(4.61, 4.61, 2.98, 90, 90, 90), spacegroup="P 42/m n m", species=["Fe3+", "Nb", "Ti4+", "O"],
        labels=["Fe", "Nb", "Ti", "O"], xyz=[[0, 0, 0]] * 3 + [[0.305, 0.305, 0]], occupancy=[fe, nb, ti, 1.0],
        u_iso=[0.006, 0.006, 0.006, 0.008], name="rutile",
    )  # fmt: skip


@pytest.fixture(scope="module")
def fit():
    experiment = jn.PowderDiffraction(
        INSTRUMENT, jn.Background.chebyshev(2), harmonics={"rutile": 4}, size_axis={"rutile": (0, 0, 1)}
    )
    truth = {**SIZES, "scale": 200.0, "background": [60.0, 0.0], "texture_rutile": list(TEXTURE.values())}
    smooth = experiment.simulate(mixed(*TRUE.values()), (24.0, 130.0, 0.06), values=truth)
    y = np.random.default_rng(2).poisson(smooth.y).astype(float)
    term = jn.PatternTerm(experiment, jn.Pattern.create(smooth.x, y, instrument=INSTRUMENT))
    start = mixed(0.3, 0.3, 0.4)
    objective = jn.Objective(term, crystal=start)
    params = objective.parameters().set("xrd/scale", 190.0).set("xrd/size", 0.06).set("xrd/size_along", 0.06)
    params = params.constrain_sum({"occupancy[Fe]": 1.0, "occupancy[Nb]": 1.0, "occupancy[Ti]": 1.0}, 1.0)
    charge = cell_charge(start, {"Fe": 3, "Ti": 4, "O": -2, "Nb": 5})
    params = params.fix("occupancy[O]").constrain_sum(
        {k: charge[k] for k in ("occupancy[O]", "occupancy[Fe]", "occupancy[Ti]", "occupancy[Nb]")}, 0.0
    )
    free = ("xrd/scale", "xrd/background", "occupancy[Fe]", "xrd/texture_rutile", "xrd/size", "xrd/size_along")
    return jn.refine(objective, params.free(*free), suggest=False)


def test_occupancies_texture_and_sizes_come_back_within_their_uncertainties(fit):
    assert fit.converged and fit.statistics["xrd"].gof == pytest.approx(1.0, abs=0.06)
    esds = np.concatenate([np.ravel(e) for e in fit.esds.values()])
    esd = dict(zip(fit.parameters.labels, esds.tolist(), strict=True))
    true = {
        **TRUE,
        **{f"xrd/{n}[rutile]": v for n, v in SIZES.items()},
        **{f"xrd/texture_rutile[{n}]": v for n, v in TEXTURE.items()},
    }
    off = {name: (float(fit.parameters[name]) - value) / esd[name] for name, value in true.items()}
    assert max(map(abs, off.values())) < 3.0, off
    assert max(esd[f"xrd/texture_rutile[{n}]"] for n in TEXTURE) < 0.03
    assert esd["xrd/size_along[rutile]"] < 0.01
    # nothing is refined but Fe, and the others follow it exactly
    assert esd["occupancy[Nb]"] == pytest.approx(esd["occupancy[Fe]"])
    assert esd["occupancy[Ti]"] == pytest.approx(2.0 * esd["occupancy[Fe]"])
    fe, nb, ti = (fit.parameters[name] for name in TRUE)
    assert fe + nb + ti == pytest.approx(1.0, abs=1e-14) and 3 * fe + 5 * nb + 4 * ti == pytest.approx(4.0, abs=1e-13)


def test_the_texture_index_is_reported_with_its_uncertainty(fit):
    (index, esd), *_ = fit.derived("xrd")
    true = 1.0 + 0.7**2 / 5 + (0.3**2 + 0.25**2) / 9
    assert index.quantity == "texture index J" and 0 < esd < 0.02
    assert abs(index.value - true) < 3.0 * esd
    conditions = dict(fit.evidence["xrd"].conditions)
    assert conditions["texture of rutile"] == "symmetrised harmonics to order 4, 3 coefficients"


def test_densities_of_poles_below_zero_are_said(fit):
    objective, params = fit.objective, fit.parameters
    assert not any("density of poles" in sentence for sentence in objective.warnings(params))
    (said,) = [s for s in objective.warnings(params.set("xrd/texture_rutile[C2.0]", -1.6)) if "density of poles" in s]
    assert "The texture of rutile has a density of poles of -0." in said and "along (0.00, 0.00, 1.00)" in said
