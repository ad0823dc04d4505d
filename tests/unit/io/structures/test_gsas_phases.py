"""Phases of GSAS-I experiment files: fixed columns, settings, refusals."""

import numpy as np
import pytest

from jaxnmr.errors import ConventionError, ParseError, SymmetryError
from jaxnmr.io import read_crystal, read_crystals

EXP = """\
     VERSION    6
CRS1    PNAM  fluor apatite
CRS1   NATOM    2
CRS1  ABC     9.371724  9.371724  6.885867    Y    0
CRS1  ANGLES   90.0000   90.0000  120.0000
CRS1  AT  1A  CA+2      0.333333  0.666667  0.001913  1.000000CA1        4 000
CRS1  AT  1B  0.006079                                                    I XU
CRS1  AT  2A  O-2       0.339510  0.258126  0.070641  0.900000O7        12 000
CRS1  AT  2B  0.010198  0.010967  0.012833  0.000619 -0.001766  0.002031  A XU
CRS1  SG SYM  P 63/m
CRS2    PNAM  spinel
CRS2  ABC     8.083000  8.083000  8.083000    Y    0
CRS2  ANGLES   90.0000   90.0000   90.0000
CRS2  AT  1A  MG        0.125000  0.125000  0.125000  1.000000MG1        8 000
CRS2  AT  1B  0.006079                                                    I XU
CRS2  SG SYM  F d -3 m
"""


def write(folder, text: str, name: str = "sample.cif"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


class TestGsasExperimentFiles:
    def test_phases_are_read_by_number_or_name(self, tmp_path):
        path = write(tmp_path, EXP, "two.EXP")
        with pytest.raises(ParseError, match=r"2 phases: 1 'fluor_apatite', 2 'spinel'.*phase="):
            read_crystal(path)
        assert read_crystal(path, phase=1).name == read_crystal(path, phase="Fluor_Apatite").name == "fluor_apatite"
        assert list(read_crystals(path)) == ["fluor_apatite", "spinel"]
        assert read_crystal(path, phase=2, name="MgAl").name == "MgAl"

    def test_columns_hold_type_position_occupancy_label_and_displacement(self, tmp_path):
        crystal = read_crystal(write(tmp_path, EXP, "two.exp"), phase=1)
        assert crystal.species == ("Ca2+", "O2-") and crystal.labels == ("CA1", "O7")
        np.testing.assert_allclose(crystal.cell, [9.371724, 9.371724, 6.885867, 90, 90, 120])
        np.testing.assert_allclose(crystal.xyz, [[1 / 3, 2 / 3, 0.001913], [0.33951, 0.258126, 0.070641]], atol=1e-9)
        np.testing.assert_allclose(crystal.occupancy, [1, 0.9])
        np.testing.assert_allclose(crystal.u_iso, [0.006079, 0])
        np.testing.assert_allclose(crystal.u_aniso[1], [0.010198, 0.010967, 0.012833, 0.000619, -0.001766, 0.002031])

    def test_gsas_puts_the_origin_on_the_centre_of_symmetry(self, tmp_path):
        crystal = read_crystal(write(tmp_path, EXP, "two.EXP"), phase="spinel")
        assert crystal.group.name == "F d -3 m:2"
        assert crystal.sites()[0].multiplicity == 8

    @pytest.mark.parametrize(
        ("symbol", "angles", "name"),
        [
            ("R -3", "90.0000   90.0000  120.0000", "R -3:H"),
            ("R -3 R", "70.0000   70.0000   70.0000", "R -3:R"),
            ("r -3", "70.0000   70.0000   70.0000", "R -3:R"),
            ("p 63/M", "90.0000   90.0000  120.0000", "P 63/m"),
        ],
    )
    def test_symbols_are_read_as_gsas_writes_them(self, tmp_path, symbol, angles, name):
        third = angles.split()[2] == "120.0000"
        text = EXP.split("CRS2")[0].replace("P 63/m", symbol).replace("90.0000   90.0000  120.0000", angles)
        text = text.replace("     4 000", "     0 000").replace("    12 000", "     0 000")
        text = text if third else text.replace("9.371724  9.371724  6.885867", "9.371724  9.371724  9.371724")
        assert read_crystal(write(tmp_path, text, "x.EXP")).group.name == name

    @pytest.mark.parametrize(
        ("old", "new", "error", "reason"),
        [
            ("  0.333333", "  0.33x333", ParseError, r"line 6: coordinate in columns 23-32 is '  0\.33x333'"),
            ("  9.371724  9.371724", "  9.371724          ", ParseError, "line 4: ABC in columns 23-32"),
            ("CRS1  SG SYM  P 63/m\n", "", ParseError, "record 'CRS1  SG SYM' is missing"),
            ("CRS1  AT  1B", "CRS1  AT  9B", ParseError, "record 'CRS1  AT  1B' is missing"),
            ("P 63/m", "P 99/q", ParseError, "line 10: space group 'P 99/q'"),
            ("CRS1  AT", "CRS1  XX", ParseError, "no atoms"),
            ("CA+2", "QQ+2", ConventionError, "'QQ\\+2' at site CA1 is no element"),
            ("CA1        4", "CA1       12", SymmetryError, "CA1 has multiplicity 12 in the file and 4 in P 63/m"),
            ("F d -3 m", "P 63/m", SymmetryError, r"phase 2 \(spinel\).*contradicts"),
        ],
    )
    def test_broken_records_are_refused_with_their_place(self, tmp_path, old, new, error, reason):
        assert old in EXP
        with pytest.raises(error, match=reason):
            read_crystals(write(tmp_path, EXP.replace(old, new), "x.EXP"))

    def test_a_file_without_phases_is_refused(self, tmp_path):
        with pytest.raises(ParseError, match="no phases"):
            read_crystal(write(tmp_path, "HST  1 BANK     1\n", "x.EXP"))

    def test_repeated_labels_are_told_apart(self, tmp_path):
        crystal = read_crystal(write(tmp_path, EXP.replace("O7 ", "CA1"), "x.EXP"), phase=1)
        assert crystal.labels == ("CA1", "CA1_2")
