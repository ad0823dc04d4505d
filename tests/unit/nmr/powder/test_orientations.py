"""The powder grid: weights, solid angles, and averages that are known."""

import numpy as np
import pytest

from jaxnmr.errors import ConventionError
from jaxnmr.nmr.powder.orientations import Orientations


@pytest.mark.parametrize(("volume", "octants"), [("octant", 1), ("hemisphere", 4), ("sphere", 8)])
def test_weights_and_triangles_cover_one(volume, octants):
    powder = Orientations.plan(9, volume, spinning=True)
    assert powder.rank2.shape == (55 * octants, 5, 5) and powder.rank4.shape == (55 * octants, 9, 9)
    assert powder.triangles.shape == (81 * octants, 3)
    assert powder.weights.sum() == pytest.approx(1.0, abs=1e-14)
    assert powder.areas[powder.triangles].sum() == pytest.approx(1.0, abs=1e-14)


def test_without_spinning_only_the_component_along_the_field_is_kept():
    still, spinning = (Orientations.plan(5, "octant", spinning=s) for s in (False, True))
    np.testing.assert_array_equal(still.rank2, spinning.rank2[:, :1])
    np.testing.assert_array_equal(still.rank4, spinning.rank4[:, :1])


def test_an_octahedron_knows_no_average_of_rank_two_and_nearly_none_of_rank_four():
    errors = []
    for density in (10, 20, 40):
        powder = Orientations.plan(density, "hemisphere", spinning=False)
        assert np.abs(powder.weights @ powder.rank2[:, 0]).max() < 1e-14
        errors.append(np.abs(powder.weights @ powder.rank4[:, 0]).max())
    # the sum converges with the square of the density
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1) and errors[1] / errors[2] == pytest.approx(4, rel=0.1)
    assert errors[2] < 1e-3


def test_an_octant_averages_diagonal_tensors_like_a_sphere():
    octant, sphere = (Orientations.plan(12, v, spinning=False) for v in ("octant", "sphere"))
    diagonal = np.array([1.3, 0.0, 0.0, -0.4, 0.0])
    moment = [p.weights @ (p.rank2[:, 0] @ diagonal) ** 3 for p in (octant, sphere)]
    assert moment[0] == pytest.approx(moment[1], abs=1e-14)


def test_triangles_are_all_alike_on_the_flat_face_and_share_their_edges():
    powder = Orientations.plan(6, "octant", spinning=False)
    edges = np.sort(np.concatenate([powder.triangles[:, p] for p in ([0, 1], [1, 2], [2, 0])]), axis=1)
    _, times = np.unique(edges, axis=0, return_counts=True)
    assert set(times) == {1, 2} and (times == 1).sum() == 3 * 6


def test_rings_go_round_the_triangles_of_every_vertex():
    powder = Orientations.plan(5, "hemisphere", spinning=False)
    found = []
    for vertex, ring in enumerate(powder.rings.T):
        pairs = zip(ring, np.roll(ring, -1), strict=True)
        found += [tuple(sorted((vertex, a, b))) for a, b in pairs if vertex not in (a, b)]
    expected = sorted(tuple(sorted(t)) for t in powder.triangles.tolist())
    assert sorted(found) == sorted(expected * 3)


@pytest.mark.parametrize(("density", "volume", "word"), [(1, "octant", "density"), (5, "cube", "volume")])
def test_a_grid_that_does_not_exist_is_refused(density, volume, word):
    with pytest.raises(ConventionError, match=word):
        Orientations.plan(density, volume, spinning=True)
