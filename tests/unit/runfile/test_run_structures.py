"""Structures of run files: the space group beside a file, origins, species, what a stage cannot free."""

import pytest

from jaxnmr.errors import ParseError
from jaxnmr.runfile import build, load_run

CIF = """\
data_si
_cell_length_a 5.431
_cell_length_b 5.431
_cell_length_c 5.431
_symmetry_space_group_name_H-M 'F d -3 m'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_U_iso_or_equiv
Si1 Si 0.125 0.125 0.125 0.006
"""
RUN = """
[[phase]]
name = "Si"
{phase}
[[histogram]]
name = "xrd"
range = [25, 32, 0.05]
wavelength = 1.5406
[[stage]]
free = ["xrd/scale"{free}]
"""
TYPED = """cell = [5.431, 5.431, 5.431, 90, 90, 90]
spacegroup = {group}
sites = [{{ label = "Si1", type = "Si", xyz = [0.125, 0.125, 0.125], u_iso = 0.006 }}]
"""


def built(folder, phase: str, cif: str = CIF, free: str = ""):
    (folder / "si.cif").write_text(cif, encoding="utf-8")
    path = folder / "run.toml"
    path.write_text(RUN.format(phase=phase, free=free), encoding="utf-8")
    return build(load_run(path), simulation=True)


def test_the_advice_for_a_file_that_leaves_the_origin_open_can_be_followed_in_the_run_file(tmp_path):
    with pytest.raises(ParseError, match=r'Give (spacegroup = "F d -3 m:1"), or (spacegroup = "F d -3 m:2")') as caught:
        built(tmp_path, 'file = "si.cif"')
    assert "si.cif" in str(caught.value)
    for choice, atoms in ((1, 16), (2, 8)):
        crystal = built(tmp_path, f'file = "si.cif"\nspacegroup = "F d -3 m:{choice}"').objective.crystals["Si"]
        assert sum(site.multiplicity for site in crystal.sites()) == atoms


@pytest.mark.parametrize("group", ['"F d -3 m"', "227", '"227"'])
def test_a_structure_that_is_typed_in_must_say_its_origin(tmp_path, group):
    with pytest.raises(ParseError, match=r"\[\[phase\]\] 'Si': .*two origins.*'F d -3 m:1', or 'F d -3 m:2'"):
        built(tmp_path, TYPED.format(group=group))
    crystal = built(tmp_path, TYPED.format(group='"F d -3 m:2"')).objective.crystals["Si"]
    assert crystal.sites()[0].multiplicity == 8


def test_a_typing_error_in_a_symbol_is_no_other_group(tmp_path):
    with pytest.raises(ParseError, match=r"unknown space group 'F d -3 n:2': did you mean 'F d -3 m:"):
        built(tmp_path, TYPED.format(group='"F d -3 n:2"'))


def test_a_structure_that_is_typed_in_needs_a_space_group(tmp_path):
    with pytest.raises(ParseError, match=r"\[\[phase\]\].*typed in needs spacegroup"):
        built(tmp_path, TYPED.format(group="1").replace("spacegroup = 1\n", ""))
    with pytest.raises(ParseError, match="spacegroup alone may stand beside file"):
        built(tmp_path, 'file = "si.cif"\n' + TYPED.format(group="1"))
    with pytest.raises(ParseError, match="give file, or the structure itself"):
        built(tmp_path, 'spacegroup = "P 1"')


def test_two_structures_in_a_file_are_chosen_with_the_key_that_there_is(tmp_path):
    two = CIF.replace("F d -3 m", "F d -3 m:2") + CIF.replace("data_si", "data_other").replace("F d -3 m", "F d -3 m:2")
    with pytest.raises(ParseError, match=r"1 'si', 2 'other'\. Choose one .* in a run file with entry"):
        built(tmp_path, 'file = "si.cif"', two)
    assert built(tmp_path, 'file = "si.cif"\nentry = "other"', two).objective.crystals["Si"].n_sites == 1


@pytest.mark.parametrize("symbol", ["Vac", "99Si", "Sillicon"])
def test_species_that_are_no_elements_are_refused_with_their_label(tmp_path, symbol):
    with pytest.raises(ParseError, match=f"'Si': '{symbol}' at site Si1"):
        built(tmp_path, TYPED.format(group='"F d -3 m:2"') + f'species = {{ Si1 = "{symbol}" }}')


class TestFreeingDisplacements:
    PHASE = 'file = "si.cif"\nspacegroup = "F d -3 m:2"'
    TABLE = "loop_\n_atom_site_aniso_label\n" + "".join(
        f"_atom_site_aniso_U_{ij}\n" for ij in ("11", "22", "33", "12", "13", "23")
    )
    ANISOTROPIC = CIF + TABLE + "Si1 0.006 0.006 0.006 0 0 0\n"

    def test_u_iso_of_an_anisotropic_structure_is_refused_with_what_to_free(self, tmp_path):
        with pytest.raises(
            ParseError, match=r"\[\[stage\]\].*'u_iso' has nothing to refine here; free u_aniso instead"
        ):
            built(tmp_path, self.PHASE, self.ANISOTROPIC, ', "u_iso"')
        built(tmp_path, self.PHASE, self.ANISOTROPIC, ', "u_aniso"')

    def test_sites_that_u_iso_leaves_out_are_named(self, tmp_path):
        mixed = CIF + "C1 C 0.3 0.3 0.3 0.01\n" + self.TABLE + "Si1 0.006 0.006 0.006 0 0 0\n"
        with pytest.warns(
            UserWarning, match="u_iso does not move Si1 of Si, which are anisotropic; free 'u_aniso', too"
        ):
            built(tmp_path, self.PHASE, mixed, ', "u_iso"')
        built(tmp_path, self.PHASE, mixed, ', "u_iso", "u_aniso"')
