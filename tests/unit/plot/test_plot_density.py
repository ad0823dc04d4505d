"""Sections through densities and surfaces of one value: where lines and atoms are drawn."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from density_crystals import perovskite, quartz

from jaxnmr.density import Density, superposed
from jaxnmr.errors import ParameterError
from jaxnmr.plot.density import cloud, section


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def gaussian(n: int = 24) -> Density:
    """``exp(-2 r²)`` around the middle of a cube of 6 Å."""
    x = np.stack(np.meshgrid(*[6.0 * (np.arange(n) / n - 0.5)] * 3, indexing="ij"), axis=-1)
    return Density.create(np.exp(-2.0 * (x**2).sum(axis=-1)), [6, 6, 6, 90, 90, 90])


def test_contours_lie_where_the_density_has_their_value():
    levels = [0.05, 0.2, 0.6]
    (axes,) = section(gaussian(48), at=0.5, levels=levels).axes
    contours = axes.collections[0]
    for level, path in zip(levels, contours.get_paths(), strict=True):
        radius = np.linalg.norm(path.vertices - 3.0, axis=1)
        np.testing.assert_allclose(radius, np.sqrt(-np.log(level) / 2.0), atol=0.01)


def test_atoms_of_the_plane_are_marked_where_they_are():
    """Ti in the middle, O at the middles of all four edges; Sr is two Å away."""
    crystal = perovskite()
    (axes,) = section(superposed(crystal, (20, 20, 20)), axis="c", at=0.5, crystal=crystal).axes
    names = sorted(text.get_text() for text in axes.texts if text.get_text().isalpha())
    assert names == ["O", "O", "O", "O", "Ti"]
    places = {tuple(np.round(line.get_xydata()[0] / 3.905, 3)) for line in axes.lines if len(line.get_xydata()) == 1}
    assert places == {(0.5, 0.5), (0.0, 0.5), (1.0, 0.5), (0.5, 0.0), (0.5, 1.0)}


def test_a_hexagonal_cell_is_drawn_to_scale():
    (axes,) = section(superposed(quartz(), (12, 12, 15))).axes
    outline = axes.lines[0].get_xydata()
    np.testing.assert_allclose(np.linalg.norm(np.diff(outline, axis=0), axis=1), 4.913, atol=1e-9)
    np.testing.assert_allclose(outline[2], [4.913 / 2, 4.913 * np.sqrt(0.75)], atol=1e-9)


def test_points_of_a_surface_lie_on_it():
    (axes,) = cloud(gaussian(48), level=0.3).axes
    points = np.stack([np.asarray(x) for x in axes.collections[0]._offsets3d], axis=1)
    radius = np.linalg.norm(points - 3.0, axis=1)
    assert len(points) > 500
    np.testing.assert_allclose(radius, np.sqrt(-np.log(0.3) / 2.0), atol=0.01)


def test_what_cannot_be_drawn_is_said():
    with pytest.raises(ParameterError, match="expected 'a', 'b' or 'c'"):
        section(gaussian(), axis="z")
    with pytest.raises(ParameterError, match="give levels"):
        section(gaussian().replace(values=-gaussian().values))
    with pytest.raises(ParameterError, match="no two neighbours have 2 e/Å³"):
        cloud(gaussian(), level=2.0)
