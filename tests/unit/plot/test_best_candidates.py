"""Unit cells of the best candidates of a screening."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from silica_forms import FORMS, silica

from jaxnmr.crystal import Crystal
from jaxnmr.errors import ParameterError
from jaxnmr.plot.cells import draw_cell
from jaxnmr.plot.screening import best_candidates


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def collection(axes):
    (found,) = axes.collections
    return found


def discs(axes) -> list[np.ndarray]:
    """Middle and radius of every disc, ``(x, y, r)``, in the order in which they are drawn."""
    boxes = [path.get_extents() for path in collection(axes).get_paths() if path.codes is not None]
    return [np.array([(b.x0 + b.x1) / 2, (b.y0 + b.y1) / 2, b.width / 2]) for b in boxes]


def cubic(a: float, **sites) -> Crystal:
    return Crystal.create(
        cell=[a, a, a, 90, 90, 90],
        spacegroup="P 1",
        species=list(sites),
        xyz=list(sites.values()),
        u_iso=0.01,
        name="x",
    )


def drawn(crystal: Crystal):
    axes = plt.figure().add_subplot()
    draw_cell(axes, crystal)
    return axes


@pytest.mark.parametrize(
    ("sites", "expected"),
    [
        ({"Si": (0, 0, 0)}, 8),
        ({"Si": (0.5, 0, 0)}, 4),
        ({"Si": (0.5, 0.5, 0)}, 2),
        ({"Si": (0.5, 0.5, 0.5)}, 1),
        ({"Si": (0.9999, 0.0001, 0.5)}, 4),
    ],
)
def test_atoms_on_corners_edges_and_faces_are_drawn_on_all_of_them(sites, expected):
    assert len(discs(drawn(cubic(5.0, **sites)))) == expected


def test_stishovite_shows_its_nine_silicon_and_six_oxygen_atoms_in_their_colours_and_sizes():
    axes = drawn(silica("stishovite"))
    radii = np.array([disc[2] for disc in discs(axes)])
    # half of the covalent radii, 1.11 and 0.66 Å
    assert (np.isclose(radii, 0.555).sum(), np.isclose(radii, 0.33).sum()) == (9, 6)
    paths = collection(axes).get_paths()
    filled = [
        colour for path, colour in zip(paths, collection(axes).get_facecolors(), strict=True) if path.codes is not None
    ]
    # red has less of the other two than the sand of silicon, however far away
    green = np.array([colour[1] for colour in filled])
    assert green[radii < 0.4].max() < green[radii > 0.4].min()


def test_what_is_near_covers_what_is_far_and_has_more_colour():
    # along a, which comes towards the viewer, and up by nothing
    axes = drawn(cubic(9.0, Si=(0.3, 0.5, 0.5), O=(0.7, 0.5, 0.5)))
    far, near = (disc[2] for disc in discs(axes))
    assert far > near  # silicon is the larger one and behind
    swapped = drawn(cubic(9.0, O=(0.3, 0.5, 0.5), Si=(0.7, 0.5, 0.5)))
    assert discs(swapped)[0][2] < discs(swapped)[1][2]


def test_b_goes_to_the_right_and_c_upwards_without_a_change_of_lengths():
    axes = drawn(cubic(10.0, Si=(0.3, 0.3, 0.3), P=(0.3, 0.8, 0.3), S=(0.3, 0.3, 0.8)))
    found = {round(2 * disc[2], 2): disc for disc in discs(axes)}
    si, p, s = (found[radius] for radius in (1.11, 1.07, 1.05))
    right, up = p - si, s - si
    assert right[0] == pytest.approx(5 * np.cos(np.radians(22))) and abs(right[1]) < 0.2 * right[0]
    assert up[1] == pytest.approx(5 * np.cos(np.radians(14))) and up[0] == pytest.approx(0, abs=1e-9)


def test_neighbours_are_bound_and_metals_are_not():
    def lines(crystal):
        return sum(path.codes is None for path in collection(drawn(crystal)).get_paths())

    edges = lines(cubic(9.0, Si=(0.3, 0.5, 0.5)))
    assert edges % 12 == 0
    assert lines(cubic(9.0, Si=(0.3, 0.5, 0.5), O=(0.3 + 1.6 / 9, 0.5, 0.5))) == edges + edges // 12
    assert lines(cubic(9.0, Si=(0.3, 0.5, 0.5), O=(0.3 + 2.4 / 9, 0.5, 0.5))) == edges
    assert lines(cubic(9.0, Na=(0.3, 0.5, 0.5), Nb=(0.3 + 3.0 / 9, 0.5, 0.5))) == edges


def test_the_picture_says_rank_name_group_and_caption():
    crystals = {form: silica(form) for form in FORMS}
    figure = best_candidates(crystals, {"quartz": "R = 3.42 %"})
    texts = [
        next(text.get_text() for text in axes.texts if "\n" in text.get_text()) for axes in figure.axes if axes.texts
    ]
    assert texts[0] == "1  quartz\nP 32 2 1\nR = 3.42 %"
    assert texts[5] == "6  coesite\nC 1 2/c 1"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["Si", "O"]
    figure.canvas.draw()


def test_the_first_ten_of_many_are_shown_and_long_names_are_cut():
    crystals = {f"candidate number {k} of a long list": silica("quartz") for k in range(12)}
    figure = best_candidates(crystals, {})
    assert len(figure.axes) == 10
    assert figure.axes[9].texts[-1].get_text().startswith("10  candidate number 9 of …\n")


def test_no_candidates_are_refused():
    with pytest.raises(ParameterError, match="no candidates to show"):
        best_candidates({}, {})
