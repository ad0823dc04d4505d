"""Series: every row from its neighbour, both ways, kept as they finish; what is not there is held."""

import sqlite3
from contextlib import closing
from dataclasses import asdict

import jax.numpy as jnp
import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr._record import plain
from jaxnmr._struct import static
from jaxnmr.campaign.rows import Rows
from jaxnmr.campaign.table import Table
from jaxnmr.errors import ConventionError, ParameterError
from jaxnmr.plot.series import kinds
from jaxnmr.report.series import series_record, series_table
from jaxnmr.search.series.rows import SAME_MINIMUM, SeriesRow, better
from jaxnmr.search.series.table import COLUMNS
from jaxnmr.typing import Array, Quantity

X = np.linspace(0.0, 10.0, 120)
SIGMA = 1.0


class Lines(jn.Term):
    """Two Gaussian lines of width 0.4 on a common level, in the words of a spectrum of two sites."""

    data: Array
    name: str = static(default="nmr")

    def quantities(self, crystals):
        labels = ("A", "B")
        amounts = dict(labels=labels, lower=0.0, scale=10.0, intensity=True)
        return {
            "amplitude": Quantity(value=np.array([80.0, 1.0]), **amounts),
            "shift": Quantity(value=np.array([3.0, 7.0]), labels=labels, unit="ppm", scale=0.1),
            "level": Quantity(value=np.array(0.0), scale=1.0),
        }

    def residuals(self, state):
        values = state.local(self.name)
        shapes = jnp.exp(-0.5 * ((X[:, None] - values["shift"]) / 0.4) ** 2)
        return (shapes @ values["amplitude"] + values["level"] - self.data) / SIGMA


def lines(k: int, *, b: float = 60.0, seed: int = 0) -> np.ndarray:
    """Line A moves and shrinks with the row; the noise of every row is its own."""
    clean = (90.0 - 5.0 * k) * np.exp(-0.5 * ((X - 3.0 - 0.1 * k) / 0.4) ** 2) + b * np.exp(
        -0.5 * ((X - 7.1) / 0.4) ** 2
    )
    return clean + np.random.default_rng([seed, k]).normal(0.0, SIGMA, X.size)


def make(data):
    if isinstance(data, str):
        raise ParameterError(f"{data} cannot be read")
    objective = jn.Objective(Lines(data=np.asarray(data, dtype=float)))
    return objective, objective.parameters().free("nmr/amplitude", "nmr/shift", "nmr/level")


# B appears in the third row and is gone in the sixth
PRESENT = {f"{10 * k} K": lines(k, b=60.0 if 2 <= k < 5 else 0.0) for k in range(7)}
AT = [10.0 * k for k in range(7)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("series") / "rows"


@pytest.fixture(scope="module")
def found(folder):
    return jn.refine_series(PRESENT, make, at=AT, abscissa="T", unit="K", folder=folder)


def test_every_row_is_refined_both_ways_to_the_truth_within_its_uncertainty_and_nothing_compiles_after_the_first(found):
    assert [row.status for row in found.rows] == ["converged"] * 7 and found.refined == 13
    assert [found.forward[row.name].start for row in found.rows] == ["", *list(PRESENT)[:-1]]
    assert list(found.backward) == list(PRESENT)[-2::-1]
    assert sum(row.compiled for row in [*found.forward.values(), *found.backward.values()][1:]) == 0
    for name, truth in (("nmr/amplitude[A]", 90.0 - 5.0 * np.arange(7)), ("nmr/shift[A]", 3.0 + 0.1 * np.arange(7))):
        values, esds = found.column(name)
        assert np.mean(((values - truth) / esds) ** 2) == pytest.approx(1.0, abs=0.9)
    # amplitudes and the level are linear, and the slopes by positions are odd where those are even
    shapes = np.exp(-0.5 * ((X[:, None] - [3.0, 7.0]) / 0.4) ** 2)
    linear = np.column_stack([shapes, np.ones(X.size)])
    row = found.rows[0]
    esd = SIGMA * np.sqrt(np.linalg.inv(linear.T @ linear)[0, 0])
    assert row.values["nmr/amplitude[A]"][1] == pytest.approx(esd, rel=2e-3)


def test_the_two_directions_agree_where_there_is_one_minimum(found):
    assert max(row.apart for row in found.backward.values()) < SAME_MINIMUM and not found.disagreements()


def test_what_is_not_told_from_zero_is_held_and_comes_back(found):
    assert [row.absent for row in found.rows] == [("nmr: B",)] * 2 + [()] * 3 + [("nmr: B",)] * 2
    ((span,),) = found.presence().values()
    assert (span.first, span.last, span.low, span.high) == ("20 K", "40 K", 20.0, 40.0)
    assert "nmr: B is present from 20 to 40 K." in found.message
    values, esds = found.column("nmr/shift[B]")
    # before it appears where the model has it, afterwards where it was last seen, never with an uncertainty
    assert values[0] == 7.0 and all(esds[[0, 1, 5, 6]] == 0.0) and all(esds[2:5] > 0)
    assert found.forward["60 K"].values["nmr/shift[B]"][0] == found.forward["50 K"].values["nmr/shift[B]"][0]
    assert abs(values[6] - 7.1) < 0.05


def test_a_series_that_was_killed_goes_on_and_gives_the_same_numbers(found, folder, tmp_path):
    half = tmp_path / "half"
    half.mkdir()
    (half / "table.sqlite").write_bytes((folder / "table.sqlite").read_bytes())
    with closing(sqlite3.connect(half / "table.sqlite")) as base, base:
        gone = "name LIKE '%(backward)' OR name NOT IN (SELECT name FROM rows WHERE name LIKE '%(forward)' ORDER BY at LIMIT 4)"
        base.execute(f"DELETE FROM texts WHERE key IN (SELECT key FROM rows WHERE {gone})")
        base.execute(f"DELETE FROM rows WHERE {gone}")
    before = [row.key for row in Rows(half)]
    told = []
    again = jn.refine_series(PRESENT, make, at=AT, folder=half, abscissa="T", unit="K", callback=told.append)
    assert (again.resumed, again.refined, len(told)) == (4, 9, 13) and again.message == found.message
    assert series_table(again) == series_table(found) and set(before) < {row.key for row in Rows(half)}
    longer = PRESENT | {"70 K": "no data"}
    more = jn.refine_series(
        longer, make, folder=half
    )  # rows that are there already are taken over, the way back begins anew
    assert more.resumed == 7 + 6 and more.rows[-1].status == "error" and "cannot be read" in more.rows[-1].message


def test_a_folder_of_another_series_is_refused(found, folder):
    others = {"10 K": PRESENT["10 K"], "0 K": PRESENT["0 K"]}
    with pytest.raises(ConventionError, match="holds another series: its row 1 is '0 K', here it is '10 K'"):
        jn.refine_series(others, make, folder=folder)
    with pytest.raises(ConventionError, match="its first row '0 K' was refined from other data"):
        jn.refine_series({"0 K": PRESENT["10 K"]}, make, folder=folder)
    with pytest.raises(ConventionError, match="its row '10 K' was refined from other data"):
        jn.refine_series({"0 K": PRESENT["0 K"], "10 K": PRESENT["0 K"]}, make, folder=folder)
    with Table(folder, "series", COLUMNS), pytest.raises(ConventionError, match="written by another process"):
        jn.refine_series({"0 K": PRESENT["0 K"]}, make, folder=folder)


def test_rows_that_fail_stop_nothing_and_say_why():
    data = {"first": PRESENT["0 K"], "broken": "this file", "nothing": np.full(X.size, np.nan), "last": PRESENT["10 K"]}
    result = jn.refine_series(data, make, backward=False)
    assert [row.status for row in result.rows] == ["converged", "error", "error", "converged"]
    assert "this file cannot be read" in result.message and "not finite" in result.rows[2].message
    assert result.rows[3].start == "first"


def test_where_the_directions_end_in_different_minima_the_better_is_kept_and_it_is_said():
    class Two(jn.Term):
        """A valley that moves: from one side the higher of two minima is entered."""

        tilt: Array
        name: str = static(default="well")

        def quantities(self, crystals):
            return {"x": Quantity(value=np.array(-1.0), scale=0.1)}

        def residuals(self, state):
            x = state.local(self.name)["x"]
            return jnp.stack([30.0 * (x**2 - 1.0), 4.0 * (x - self.tilt)])

    def well(tilt):
        objective = jn.Objective(Two(tilt=np.array(float(tilt))))
        return objective, objective.parameters().free("well/x")

    result = jn.refine_series({str(k): tilt for k, tilt in enumerate((-1.0, -0.5, 0.5, 100.0))}, well)
    # forward stays in the left valley until it is none any more; backward finds the right one, which is the lower for a positive tilt
    assert [row.direction for row in result.rows] == ["forward", "forward", "backward", "forward"]
    assert result.column("well/x")[0] == pytest.approx([-1.0, -1.0, 1.0, 1.3], abs=0.03)
    (span,) = result.disagreements()
    assert (span.first, span.last) == (
        "0",
        "2",
    ) and "Forward and backward end in different minima from 1 to 3" in result.message


def test_the_record_and_the_text_say_what_was_found(found):
    record = plain(series_record(found))
    assert record["presence"]["nmr: B"][0]["low"] == 20.0 and "flat" not in record["rows"][0]
    assert len(record["rows"]) == 7 and len(record["other_directions"]) == 6
    head, cells = found.cells(["nmr/amplitude[B]", "nmr/shift[B]"])
    assert head[5:] == ["nmr/amplitude[B]", "nmr/shift[B] / ppm", "absent"] and cells[0][6:] == ["[7]", "nmr: B"]
    assert kinds(found) == {
        "amounts": ("nmr/amplitude[A]", "nmr/amplitude[B]"), "shifts and tensors": ("nmr/shift[A]", "nmr/shift[B]"),
        "others": ("nmr/level",),
    }  # fmt: skip


def test_a_row_can_be_looked_at_again(found):
    fit = found.fit("30 K")
    assert fit.parameters["nmr/shift[A]"] == found.rows[3].values["nmr/shift[A]"][0]
    with pytest.raises(ParameterError, match="no row '31 K'"):
        found.fit("31 K")
    with pytest.raises(ParameterError, match="no column 'cell'"):
        found.column("cell")


def test_the_better_of_two_rows_converged_and_pays_for_what_it_refines():
    row = SeriesRow(
        "a", 1.0, "forward", "converged", "", chi2=100.0, n_residuals=100, n_parameters=5, gof=1.0, flat=(1.0,)
    )
    of = lambda **changes: SeriesRow(**asdict(row) | changes)
    assert better(row, of(chi2=99.0)).chi2 == 99.0
    assert better(row, of(chi2=99.0, n_parameters=6)) is row
    assert better(row, of(chi2=90.0, status="max_steps")) is row and better(row, of(chi2=90.0, apart=0.1)) is row
    assert better(of(status="error", flat=()), row) is row


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"data": {}}, ConventionError, "no data were given"),
        ({"data": ["a/1.xye", "b/1.xye"]}, ConventionError, "two of the data are called '1.xye'"),
        ({"data": [3]}, ParameterError, "expected files, patterns or spectra"),
        ({"at": [1.0]}, ConventionError, "1 numbers for 7 sets of data"),
        ({"at": {"0 K": 1.0}}, ConventionError, "says nothing of '10 K' and 5 others"),
        ({"at": [np.nan] * 7}, ConventionError, "at of '0 K' is nan"),
        ({"present": 0.0}, ConventionError, "present is 0"),
    ],
)
def test_wrong_arguments_are_refused_in_one_sentence(arguments, error, words):
    with pytest.raises(error, match=words):
        jn.refine_series(**{"data": PRESENT, "make": make} | arguments)
