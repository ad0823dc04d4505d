"""Cubes and XSF files, there and back, and as ASE reads them."""

import numpy as np
import pytest
from ase.io.cube import read_cube_data
from ase.io.xsf import read_xsf
from density_crystals import perovskite, quartz, tilted

from jaxnmr.density import Density, read_density, superposed, write_density
from jaxnmr.errors import ConventionError, ParameterError, ParseError

BOHR = 0.529177210903
SHAPE = (6, 8, 11)


@pytest.mark.parametrize("make", [perovskite, quartz, tilted])
@pytest.mark.parametrize("name", ["rho.cube", "rho.xsf"])
def test_a_density_comes_back_from_its_file(make, name, tmp_path):
    crystal = make()
    density = superposed(crystal, SHAPE)
    back = read_density(write_density(density, tmp_path / name, crystal))
    np.testing.assert_allclose(back.values, density.values, atol=1e-7 * density.values.max())
    np.testing.assert_allclose(back.cell, density.cell, atol=1e-5)


def test_ase_reads_the_cube_with_its_atoms_and_units(tmp_path):
    crystal = tilted()
    density = superposed(crystal, SHAPE)
    values, atoms = read_cube_data(str(write_density(density, tmp_path / "rho.cube", crystal)))
    np.testing.assert_allclose(values / BOHR**3, density.values, atol=1e-7 * density.values.max())
    np.testing.assert_allclose(atoms.cell, crystal.lattice(), atol=1e-5)
    assert atoms.get_chemical_symbols() == [crystal.elements[k] for k in crystal.expand().site]
    np.testing.assert_allclose(atoms.positions, crystal.expand().cartesian, atol=1e-5)


def test_ase_reads_the_xsf_with_its_atoms(tmp_path):
    crystal = quartz()
    density = superposed(crystal, SHAPE)
    with open(write_density(density, tmp_path / "rho.xsf", crystal), encoding="utf-8") as file:
        values, origin, _, atoms = read_xsf(file, read_data=True)
    # ASE leaves the repeated points out, and scales the vectors to those that remain
    assert values.shape in (SHAPE, tuple(n + 1 for n in SHAPE))
    np.testing.assert_allclose(values[:6, :8, :11], density.values, atol=1e-7 * density.values.max())
    np.testing.assert_allclose(origin, 0.0, atol=1e-12)
    np.testing.assert_allclose(atoms.cell, crystal.lattice(), atol=1e-6)
    np.testing.assert_allclose(atoms.positions, crystal.expand().cartesian, atol=1e-6)


def test_an_xsf_of_another_program_is_in_the_unit_that_it_is_said_to_be(tmp_path):
    density = superposed(perovskite(), SHAPE)
    path = write_density(density, tmp_path / "rho.xsf")
    np.testing.assert_allclose(read_density(path, "e/bohr3").values, density.values / BOHR**3, rtol=1e-6, atol=1e-7)


def test_a_left_handed_lattice_is_inverted_with_its_values(tmp_path):
    """Structure factors of the inverted system are those of the opposite reflections."""
    density = Density.create(np.random.default_rng(0).normal(size=SHAPE), [4, 5, 6, 82, 97, 105])
    path = write_density(density, tmp_path / "rho.cube")
    lines = path.read_text(encoding="utf-8").splitlines()
    for k in range(3, 6):
        count, *vector = lines[k].split()
        lines[k] = " ".join([count, *(str(-float(x)) for x in vector)])
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    hkl = np.array([[1, 2, -3], [2, -1, 4]])
    np.testing.assert_allclose(read_density(path).structure_factors(hkl), density.structure_factors(-hkl), atol=1e-5)
    np.testing.assert_allclose(read_density(path).cell, density.cell, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:4], "line 4: a cube begins with two titles"),
        (lambda lines: lines[:-1], "cut off, or holds something else"),
        (lambda lines: [*lines[:8], "1.0 two 3.0", *lines[9:]], "line 9: '1.0 two 3.0'"),
        (lambda lines: [*lines[:3], "0 0.1 0 0", *lines[4:]], "line 4: .*axis without points"),
        (lambda lines: [*lines[:3], lines[4], *lines[4:]], "span no volume|cut off"),
        (lambda lines: [*lines[:3], "a b c d", *lines[4:]], "line 4: .*4 numbers were expected"),
        (lambda lines: [*lines[:6], lines[6].replace(lines[6].split()[0], "nan"), *lines[7:]], "not finite"),
    ],
)
def test_a_spoiled_cube_is_said_with_its_line(change, message, tmp_path):
    path = write_density(superposed(perovskite(), (6, 6, 6)), tmp_path / "rho.cube")
    path.write_text("\n".join(change(path.read_text(encoding="utf-8").splitlines())) + "\n", encoding="utf-8")
    with pytest.raises(ParseError, match=message):
        read_density(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("BEGIN_DATAGRID_3D", "BEGIN_DATAGRID_2D", "no DATAGRID_3D block"),
        ("  7 7 7", "  7 7 8", "cut off, or holds something else"),
        ("  7 7 7", "  1 7 7", "two along every axis"),
        ("  7 7 7", "  seven", "3 numbers were expected"),
    ],
)
def test_a_spoiled_xsf_is_said(old, new, message, tmp_path):
    path = write_density(superposed(perovskite(), (6, 6, 6)), tmp_path / "rho.xsf")
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ParseError, match=message):
        read_density(path)


def test_a_grid_that_is_not_periodic_is_refused(tmp_path):
    path = write_density(superposed(perovskite(), (6, 6, 6)), tmp_path / "rho.xsf")
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[-4] = " ".join(["9.0"] * len(lines[-4].split()))
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ParseError, match="do not repeat the first ones"):
        read_density(path)


def test_files_that_cannot_be_meant_are_said(tmp_path):
    density = superposed(perovskite(), (6, 6, 6))
    with pytest.raises(ParameterError, match=r"expected one of \.cube, \.cub, \.xsf"):
        write_density(density, tmp_path / "rho.dat")
    with pytest.raises(ParameterError, match=r"expected one of \.cube, \.cub, \.xsf"):
        read_density(tmp_path / "rho.chgcar")
    with pytest.raises(ConventionError, match="give the atoms in the cell of the density"):
        write_density(density, tmp_path / "rho.cube", quartz())
    with pytest.raises(ParseError, match="cannot open the file"):
        read_density(tmp_path / "none.cube")
    with pytest.raises(ParameterError, match=r"make one with Density\.create"):
        write_density(tmp_path / "rho.cube", density)
