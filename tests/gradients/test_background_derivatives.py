"""Derivatives by what is added to a background, the scale of a measured one included, against differences."""

import numpy as np
from small_problems import rutile

import jaxnmr as jn
from jaxnmr.objective.objective import residuals_and_jacobian

X = np.linspace(24.0, 32.0, 60)
TUBE = jn.Instrument(wavelengths=(1.5406,), radius_mm=240.0, U=0.0, V=0.0, W=9.0, shl=0.0)


def test_added_parts_have_the_derivatives_of_what_they_add_to_calculated_points_and_uncertainties():
    at = np.linspace(23.0, 33.0, 41)
    empty = jn.Pattern.create(at, 60.0 + 3.0 * at, np.full(at.shape, 7.0))
    background = (
        jn.Background.chebyshev(2).with_peak(27.0, 3.0, 70.0, 0.3).with_hump(2.2, 0.1, 90.0).with_measured(empty, 0.6)
    )
    pattern = jn.Pattern.create(X, 300.0 + 5.0 * X, instrument=TUBE)
    objective = jn.Objective(jn.PatternTerm(jn.PowderDiffraction(background=background), pattern), crystal=rutile())
    params = objective.parameters().free("xrd/background*", "xrd/scale", "xrd/wavelength")
    objective = objective.bind(params)
    spec, theta = params.spec, params.theta
    of = lambda z: [
        np.asarray(a) for a in residuals_and_jacobian(spec.layout, objective, params.offset(), spec.transform, z)
    ]
    found = of(theta)[1]
    assert {name.split("[")[0] for name in params.free_names} >= {
        f"xrd/background_{part}" for part in ("peak_mixing", "debye_u", "debye_radius", "scale")
    }
    for k, name in enumerate(params.free_names):
        step = 1e-4 * np.eye(len(theta))[k]
        wanted = (of(theta + step)[0] - of(theta - step)[0]) / 2e-4
        np.testing.assert_allclose(found[:, k], wanted, atol=2e-6 * np.abs(wanted).max(), err_msg=name)
