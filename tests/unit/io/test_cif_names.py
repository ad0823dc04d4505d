"""Names of structures that a block of a CIF cannot have, or a text must quote."""

import numpy as np
import pytest
from gemmi import cif
from small_problems import rutile

import jaxnmr as jn

NAMES = [
    "Rutil für Öfen", "金紅石", 'say "no" to \'quotes\'', "_atom_site", "a#b", "../../up", "back\\", "x" * 300, "two\nlines",
    ";a\n;b",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_structure_can_be_read_back_whatever_its_name_and_the_file_says_that(tmp_path, name):
    path = tmp_path / "named.cif"
    jn.write_crystal(rutile().replace(name=name), path)
    np.testing.assert_allclose(jn.read_crystal(path).xyz, rutile().xyz, atol=1e-7)
    block = cif.read(str(path)).sole_block()
    assert block.name.isascii()
    assert cif.as_string(block.find_value("_pd_phase_name")) == name.replace("\n", " ")
