"""The command ``jaxnmr series``: patterns of one sample on heating, their conditions, and what is wrong with input."""

import csv
import json

import matplotlib.pyplot as plt
import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr.cli import main
from jaxnmr.errors import DataError, ParameterError
from jaxnmr.io import write_pattern
from jaxnmr.io.conditions import conditions_from_headers, conditions_from_names, conditions_from_table
from jaxnmr.runfile import build, load_run
from jaxnmr.runfile.series import named_files, series_of
from jaxnmr.search.rooms import spacious

RUN = """
title = "salt"
[[phase]]
name = "salt"
cell = [5.63, 5.63, 5.63, 90, 90, 90]
spacegroup = "F m -3 m"
sites = [{ label = "Na1", type = "Na", xyz = [0, 0, 0] }, { label = "Cl1", type = "Cl", xyz = [0.5, 0.5, 0.5] }]
[[histogram]]
name = "xrd"
file = "none.xye"
wavelength = 1.5406
geometry = "debye-scherrer"
shl = 0.0
background = { kind = "chebyshev", terms = 1 }
[[stage]]
free = ["xrd/scale", "xrd/background", "cell"]
"""
CELLS = {"s_300K": 5.640, "s_100K": 5.630, "s_200K": 5.634}
BEAM = jn.Instrument(wavelengths=(1.5406,), geometry="debye-scherrer", shl=0.0)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run file, three patterns, and what the command makes of them."""
    folder = tmp_path_factory.mktemp("heating")
    (folder / "run.toml").write_text(RUN, encoding="utf-8")
    x = np.linspace(25.0, 60.0, 701)
    write_pattern(jn.Pattern.create(x, np.full(x.size, 50.0)), folder / "none.xye")
    objective, params, *_ = build(load_run(folder / "run.toml"))
    (term,) = objective.terms
    for seed, (name, a) in enumerate(CELLS.items()):
        state = objective.host_state(params.set("cell[a]", a).set("xrd/scale", 40.0).set("xrd/background[0]", 50.0))
        # in the room that the series takes, so that the program is the same
        curve = term.in_room(spacious(term.sizes), state).model.curve(state.crystals, state.local("xrd"))
        y = np.random.default_rng(seed).poisson(curve).astype(float)
        write_pattern(jn.Pattern.create(x, y), folder / f"{name}.xye")
    table = "".join(f"{name};{100 * k}\n" for k, name in enumerate(("s_100K", "s_200K.xye", "s_300K"), start=1))
    (folder / "conditions.csv").write_text(f"file;T / K\n{table}other;9\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        # pictures are made, but not rendered: that takes longer than to refine
        patch.setattr("jaxnmr.report.series.saved", unrendered)
        assert main(command(folder)) == 0
    return folder


def unrendered(figure, folder, stem, formats):
    labels = [axis.get_xlabel() for axis in figure.axes]
    plt.close(figure)
    path = folder / f"{stem}.{formats[0]}"
    path.write_text(" ".join(labels), encoding="utf-8")
    return (path,)


def command(folder, *more, out="out"):
    files = [str(folder / f"{name}.xye") for name in CELLS]
    table = [] if "--from-name" in more else ["--table", str(folder / "conditions.csv")]
    return [
        "series",
        str(folder / "run.toml"),
        *files,
        *table,
        "--out",
        str(folder / out),
        "--quiet",
        "--no-cache",
        *more,
    ]


def test_patterns_are_refined_by_temperature_and_the_cell_is_the_true_one_within_its_uncertainty(place):
    with open(place / "out" / "series.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["row"] for row in rows] == ["s_100K.xye", "s_200K.xye", "s_300K.xye"]
    assert [float(row["T / K"]) for row in rows] == [100.0, 200.0, 300.0]
    for row in rows:
        off = float(row["cell[a] / Å"]) - CELLS[row["row"].removesuffix(".xye")]
        assert abs(off) < 3.0 * float(row["esd cell[a]"]) < 3e-3 and 0.9 < float(row["gof"]) < 1.1
        a, esd = float(row["cell[a] / Å"]), float(row["esd cell[a]"])
        assert [float(row["volume / Å³"]), float(row["esd volume"])] == pytest.approx([a**3, 3 * a**2 * esd], rel=1e-8)
    record = json.loads((place / "out" / "result.json").read_text(encoding="utf-8"))
    assert record["kind"] == "series" and [row["compiled"] for row in record["result"]["rows"]][1:] == [0, 0]
    assert [of["file"] for of in record["inputs"]] == [
        "run.toml",
        "conditions.csv",
        *(f"s_{t}K.xye" for t in (100, 200, 300)),
    ]
    text = (place / "out" / "report.md").read_text(encoding="utf-8")
    assert all(
        (place / "out" / name).exists() and f"]({name})" in text
        for name in ("agreement.png", "cell.png", "amounts.png")
    )
    assert "T / K" in (place / "out" / "cell.png").read_text(encoding="utf-8")
    assert "| s_100K.xye | 100 | 5.6" in text


def test_the_same_command_again_refines_nothing_and_can_show_a_fit(place, monkeypatch, capsys):
    drawn = []
    monkeypatch.setattr(
        "jaxnmr.report.write_report", lambda fit, folder, run: drawn.append((folder.name, fit.patterns["xrd"]))
    )
    monkeypatch.setattr("jaxnmr.report.series.write_series", lambda result, *_, **__: drawn.append(result))
    before = (place / "out" / "series.csv").read_bytes()
    assert main([arg for arg in command(place, "--fits", "s_200K.xye") if arg != "--quiet"]) == 0
    result, (name, shown) = drawn
    assert (result.refined, result.resumed, name) == (0, 5, "s_200K.xye")
    # the picture is of the pattern of this row
    assert np.array_equal(shown.observed, jn.read_pattern(place / "s_200K.xye").y)
    assert (
        "0 refined now, 5 taken over" in capsys.readouterr().err
        and (place / "out" / "series.csv").read_bytes() == before
    )


def test_what_is_wrong_is_said_before_anything_is_refined(place, tmp_path, capsys):
    write_pattern(jn.Pattern.create(np.linspace(26.0, 61.0, 701), np.full(701, 50.0)), tmp_path / "shifted.xye")
    (tmp_path / "short.csv").write_text("file,T\ns_100K,1\ns_200K,2\n", encoding="utf-8")

    def said(*arguments):
        assert main(arguments) == 2
        return capsys.readouterr().err.replace("\n", " ")

    run, one, two, three = (str(place / name) for name in ("run.toml", "s_100K.xye", "s_200K.xye", "s_300K.xye"))
    out = ("--out", str(tmp_path / "none"))
    assert "gone.xye: no such file; nothing was refined" in said(
        "series", run, one, str(place / "gone.xye"), three, *out
    )
    assert "s_100K.xye was given twice" in said("series", run, one, two, one, *out)
    axes = said("series", run, one, str(tmp_path / "shifted.xye"), *out)
    assert "has 701 points from 26 to 61 degrees" in axes and "has 701 points from 25 to 60 degrees" in axes
    assert "shifted" in axes and "s_100K" in axes
    assert "--different-axes" in axes
    assert "has no line for s_300K.xye" in said(
        "series", run, one, two, three, "--table", str(tmp_path / "short.csv"), *out
    )
    assert "no [[histogram]] or [[spectrum]] 'nmr'" in said("series", run, one, two, "--data", "nmr", *out)
    assert "holds another series" in said("series", run, two, one, "--out", str(place / "out"))
    assert not (tmp_path / "none").exists()


def test_files_with_other_points_are_refined_where_that_is_asked_for(place, tmp_path):
    pattern = jn.read_pattern(place / "s_200K.xye")
    write_pattern(pattern.limited(28.0, 58.0), tmp_path / "cut.xye")
    files = named_files([place / "s_100K.xye", tmp_path / "cut.xye", place / "s_200K.xye"])
    make = series_of(load_run(place / "run.toml"), files, different=True)
    observed = [np.asarray(make(name).objective.terms[0].observed) for name in files]
    assert [len(y) for y in observed] == [701, 601, 701] and np.array_equal(observed[2], pattern.y)


def test_a_pattern_of_another_wavelength_and_another_kind_of_data_are_refused(place):
    make = series_of(load_run(place / "run.toml"), named_files([place / "s_100K.xye"]))
    (bound,) = make("s_100K.xye").objective.terms
    pattern = jn.read_pattern(place / "s_100K.xye")
    of = lambda instrument: jn.PatternTerm(jn.PowderDiffraction(), pattern.replace(instrument=instrument))
    assert np.array_equal(bound.measuring(of(BEAM)).observed, bound.observed)
    with pytest.raises(DataError, match=r"measured with xray of 0\.7093 Å"):
        bound.measuring(of(BEAM.replace(wavelengths=(0.7093,))))
    with pytest.raises(ParameterError, match="is a Restraint; expected a PatternTerm"):
        bound.measuring(jn.Restraint.bonds(make("s_100K.xye").objective.crystals["salt"], sigma=0.1))


def test_conditions_come_from_tables_names_and_headers(place, tmp_path):
    files = named_files([place / f"{name}.xye" for name in CELLS])
    found = conditions_from_table(place / "conditions.csv", files, "T")
    assert (found.name, found.unit) == ("T", "K") and found.values == {
        "s_300K.xye": 300.0,
        "s_100K.xye": 100.0,
        "s_200K.xye": 200.0,
    }
    assert conditions_from_names(files, r"_([\d.]+)K").values == found.values
    assert conditions_from_names({"t12p5min.dat": None}, r"t([\dp]+)min").values == {"t12p5min.dat": 12.5}
    (tmp_path / "a.txt").write_text("# sample 7\n#Temperature: 298.15 K\n1 2\n", encoding="utf-8")
    (tmp_path / "exp" / "pdata" / "1").mkdir(parents=True)
    (tmp_path / "exp" / "acqus").write_text("##$SWH= 5000\n##$TE= 303.5\n", encoding="utf-8")
    assert conditions_from_headers({"a": tmp_path / "a.txt"}, "temperature").values == {"a": 298.15}
    assert conditions_from_headers({"b": tmp_path / "exp" / "pdata" / "1"}, "TE").values == {"b": 303.5}


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("file,T\ns_100K,warm\n", "line 2: 'warm' is no number"),
        ("file,T\ns_100K,1\ns_100K.xye,2\n", "line 3: s_100K.xye is there for the second time"),
        ("file,T\ns_100K,\n", "line 2: s_100K has nothing in the column 'T'"),
        ("file,T\ns_100,1\n", "no line for s_100K.xye; its nearest line is that of 's_100'"),
        ("nothing here\n", "expected a line of headings"),
    ],
)  # fmt: skip
def test_a_table_that_does_not_serve_is_refused_with_its_line(place, tmp_path, table, words):
    (tmp_path / "t.csv").write_text(table, encoding="utf-8")
    with pytest.raises(jn.errors.ParseError) as err:
        conditions_from_table(tmp_path / "t.csv", named_files([place / "s_100K.xye"]))
    assert words in str(err.value)


def test_columns_names_and_words_that_are_not_there_are_named(place):
    files = named_files([place / "s_100K.xye"])
    with pytest.raises(jn.errors.ParseError, match="has no column 'p'; it has 'T'"):
        conditions_from_table(place / "conditions.csv", files, "p")
    with pytest.raises(jn.errors.ConventionError, match=r"s_100K\.xye: nothing in this name fits"):
        conditions_from_names(files, r"_(\d+)bar")
    with pytest.raises(jn.errors.ConventionError, match="is no regular expression"):
        conditions_from_names(files, "(")
    with pytest.raises(jn.errors.ParseError, match="says nothing of 'Temperature'"):
        conditions_from_headers(files, "Temperature")
