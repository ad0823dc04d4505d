"""What a run file says of a background and of a mixture arrives, and what cannot be is said at its place."""

from pathlib import Path

import numpy as np
import pytest

from jaxnmr.errors import ParseError
from jaxnmr.runfile.background import BackgroundSpec, background_of
from jaxnmr.runfile.keys import part, record
from jaxnmr.runfile.quantification import QuantificationSpec
from jaxnmr.runfile.table import Table


def table(content, phases=()):
    return Table(Path("run.toml"), "", {"background": content}, phases)


def read(**content):
    return background_of(record(table(content), "background", of=BackgroundSpec))


def test_every_kind_of_background_is_made_with_what_is_added(tmp_path):
    assert read(terms="auto").terms == "auto" and read(terms=4).terms == 4
    assert read(kind="interpolate", knots=[15, 30, 60]).knots == (15.0, 30.0, 60.0)
    assert read(kind="points", points=9).terms == 9
    assert read(kind="points", points=[15, 30]).heights == ()
    given = read(kind="points", points=[[15, 220], [30, 140]], fixed=True)
    assert (given.knots, given.heights, given.fixed) == ((15.0, 30.0), (220.0, 140.0), True)
    x = np.arange(10.0, 20.0, 0.1)
    np.savetxt(tmp_path / "empty.xye", np.stack([x, 50.0 + x, 0.0 * x + 7.0], axis=1))
    full = read(
        peaks=[{"position": 22.0, "fwhm": 6.0, "height": 5.0, "mixing": 0.2}], humps=[{"radius": 1.62}],
        file=str(tmp_path / "empty.xye"), scale=0.5,
    )  # fmt: skip
    assert full.peaks[0].mixing == 0.2 and full.humps[0].amplitude is None and full.measured_scale == 0.5
    np.testing.assert_allclose(full.measured.y, 50.0 + x)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"terms": "many"}, "'many' is not possible here; known: auto"),
        ({"kind": "points", "points": [[15, 2], 30]}, "expected angles, .* or pairs of angle and counts"),
        ({"scale": -1.0}, "expected a positive number"),
        ({"humps": [{"amplitude": 3.0}]}, "the key 'radius' is missing"),
    ],
)
def test_a_background_that_cannot_be_is_refused_by_its_key(content, message):
    with pytest.raises(ParseError, match=message):
        read(**content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"standard": "corundum", "weight_fraction": 0.2}, "'corundum' is not possible here"),
        ({"standard": "FAP", "weight_fraction": 20}, "got 20; 20 % is 0.2"),
        ({"standard": "FAP"}, "the key 'weight_fraction' is missing"),
        ({"particles": {"FAP": {"diameter_um": 2.0, "mu": -4}}}, "particles.FAP: mu of particles is -4"),
        ({"particles": {"lime": {"diameter_um": 2.0}}}, "no phase 'lime'"),
    ],
)
def test_a_mixture_that_cannot_be_is_refused_by_its_key(content, message):
    with pytest.raises(ParseError, match=message):
        part(table(content, ("FAP", "quartz")), "background", of=QuantificationSpec)
