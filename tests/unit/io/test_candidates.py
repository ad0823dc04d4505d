"""Candidates read one after the other from folders, files of many structures, databases and tables."""

import pickle
import shutil
import sqlite3
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import ase.db
import ase.io
import numpy as np
import pytest
from silica_forms import FORMS, FORMULA_UNITS, silica

from jaxnmr.errors import ConventionError, ParameterError, ParseError, SymmetryError
from jaxnmr.io import read_crystal, to_ase, write_crystal
from jaxnmr.io.structures import candidates as module
from jaxnmr.io.structures.candidates import read_candidates

CIF = """data_{name}
_cell_length_a {a}
_cell_length_b {a}
_cell_length_c {a}
_space_group_name_H-M_alt 'F d -3 m:2'
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_U_iso_or_equiv
Si1 0.125 0.125 0.125 0.01
O1 0 0 0 0.02
"""


def frame(form: str, **info):
    atoms = to_ase(silica(form))
    del atoms.arrays["site"]
    atoms.info.update(info)
    return atoms


def write_frames(path: Path, forms=FORMS, named=False) -> list[list[bytes]]:
    """A file of frames, and the lines of each."""
    ase.io.write(path, [frame(form, **({"name": form} if named else {})) for form in forms], format="extxyz")
    lines = path.read_bytes().splitlines(keepends=True)
    counts = [3 * FORMULA_UNITS[form] + 2 for form in forms]
    edges = np.cumsum([0, *counts])
    return [lines[a:b] for a, b in pairwise(edges)]


def joined(frames: list[list[bytes]]) -> bytes:
    return b"".join(line for lines in frames for line in lines)


def names(sources) -> list[str]:
    return [candidate.name for candidate in read_candidates(sources)]


def assert_same(a, b):
    assert (a.group, a.species, a.anisotropic) == (b.group, b.species, b.anisotropic)
    for name in ("cell", "xyz", "u_iso", "occupancy"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


class TestSources:
    def test_a_folder_gives_its_structure_files_by_name_and_nothing_else(self, tmp_path):
        for form in ("quartz", "coesite"):
            write_crystal(silica(form), tmp_path / f"{form}.cif")
        write_frames(tmp_path / "keatite.xyz", ["keatite"])
        ase.io.write(tmp_path / "POSCAR.1", frame("cristobalite"), format="vasp")
        ase.io.write(tmp_path / "POSCAR.2", frame("stishovite"), format="vasp")
        (tmp_path / "notes.txt").write_text("no structure")
        (tmp_path / ".hidden.cif").write_text("no structure")
        (tmp_path / "below").mkdir()
        write_crystal(silica("quartz"), tmp_path / "below" / "another.cif")
        found = list(read_candidates([tmp_path]))
        assert [c.name for c in found] == ["POSCAR.1", "POSCAR.2", "coesite", "keatite", "quartz"]
        assert read_candidates(tmp_path).count() == 5
        for candidate, form in zip(found, ("cristobalite", "stishovite", "coesite", "keatite", "quartz"), strict=True):
            crystal = candidate.crystal()
            assert crystal.name == candidate.name
            assert sum(site.multiplicity for site in crystal.sites()) == 3 * FORMULA_UNITS[form]

    def test_shelx_files_and_others_are_read_as_by_themselves(self, tmp_path):
        (tmp_path / "a.res").write_text(
            "TITL a\nCELL 0.71073 7.16 7.16 7.16 90 90 90\nLATT -1\nSFAC Si O\nUNIT 1 1\n"
            "Si1 1 0 0 0 11.0 0.01\nO1 2 0.25 0.25 0.25 11.0 0.01\nEND\n"
        )
        (tmp_path / "b.vasp").write_bytes(b"")
        ase.io.write(tmp_path / "b.vasp", frame("quartz"), format="vasp")
        a, b = read_candidates(tmp_path)
        assert (a.suffix, b.suffix, a.kind, b.name) == (".res", ".vasp", "O1Si1/2/LATT-1+0/V9", "b")
        assert_same(a.crystal(), read_crystal(tmp_path / "a.res"))
        assert b.crystal().group.number == 154

    def test_what_candidates_are_goes_to_another_process_and_is_the_same_every_time(self, tmp_path):
        write_frames(tmp_path / "forms.extxyz")
        shutil.copy(tmp_path / "forms.extxyz", tmp_path / "copied.extxyz")
        candidates = read_candidates(tmp_path / "forms.extxyz")
        first, again = list(candidates), list(candidates)
        assert first == again == pickle.loads(pickle.dumps(first))
        copies = list(read_candidates(tmp_path / "copied.extxyz"))
        assert [c.content for c in copies] == [c.content for c in first]

    def test_iterating_reads_no_further_than_it_has_to(self, tmp_path):
        frames = write_frames(tmp_path / "forms.extxyz", ["quartz"] * 3)
        (tmp_path / "long.extxyz").write_bytes(joined(frames) * 2000)
        iterator = iter(read_candidates(tmp_path / "long.extxyz"))
        assert next(iterator).name == "long-1"
        # the rest of the file may change under it
        (tmp_path / "long.extxyz").write_bytes(b"")
        assert sum(1 for _ in iterator) < 500

    def test_no_array_library_is_started(self, tmp_path):
        write_frames(tmp_path / "forms.extxyz")
        script = (
            "import sys\nfrom jaxnmr.io.structures.candidates import read_candidates\n"
            "print(len(list(read_candidates(sys.argv[1]))), 'jax' in sys.modules, 'ase' in sys.modules)"
        )
        ran = [sys.executable, "-c", script, str(tmp_path / "forms.extxyz")]
        assert subprocess.run(ran, capture_output=True, text=True, check=True).stdout.split() == ["6", "False", "False"]

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("gone.cif", None, "no such file or folder"),
            ("empty.cif", b"", "is empty"),
            ("empty.extxyz", b"", "is empty"),
            ("text.db", b"not a database at all\n", "is no database of ASE: expected an SQLite file"),
            ("text.json", b"[1, 2]", "is no database of ASE: expected JSON"),
        ],
    )
    def test_a_source_that_cannot_be_one_is_refused_before_anything_is_read(self, tmp_path, name, content, message):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ParseError, match=message) as raised:
            read_candidates([path])
        assert str(raised.value).startswith(str(path))

    def test_a_folder_without_structures_says_what_it_looked_for(self, tmp_path):
        (tmp_path / "notes.txt").write_text("no structure")
        with pytest.raises(ParseError, match=r"without structures \(1 file of other kinds\); expected .cif"):
            read_candidates(tmp_path)

    def test_no_sources_and_what_is_no_path_are_refused(self):
        with pytest.raises(ConventionError, match="no candidates"):
            read_candidates([])
        with pytest.raises(ParameterError, match="one of the sources is an int"):
            read_candidates([3])


class TestNames:
    def test_two_of_one_name_are_refused_with_both_places(self, tmp_path):
        write_frames(tmp_path / "one.extxyz", ["quartz", "keatite"], named=True)
        write_frames(tmp_path / "two.extxyz", ["coesite", "keatite"], named=True)
        iterator = iter(read_candidates([tmp_path / "one.extxyz", tmp_path / "two.extxyz"]))
        assert [next(iterator).name for _ in range(3)] == ["quartz", "keatite", "coesite"]
        with pytest.raises(ConventionError, match=r"'keatite': .*one\.extxyz, frame 2 and .*two\.extxyz, frame 2\."):
            next(iterator)

    def test_names_whose_marks_happen_to_be_equal_are_still_two(self, tmp_path, monkeypatch):
        write_frames(tmp_path / "forms.extxyz")
        monkeypatch.setattr(module, "_mark", lambda name: 7)
        assert names(tmp_path / "forms.extxyz") == [f"forms-{k}" for k in range(1, 7)]


class TestFrames:
    def test_frames_are_named_by_themselves_or_by_file_and_number(self, tmp_path):
        write_frames(tmp_path / "forms.extxyz", named=True)
        assert names(tmp_path / "forms.extxyz") == list(FORMS)
        write_frames(tmp_path / "forms.extxyz")
        assert names(tmp_path / "forms.extxyz") == [f"forms-{k}" for k in range(1, 7)]
        assert read_candidates(tmp_path / "forms.extxyz").count() == 6
        write_frames(tmp_path / "quartz.xyz", ["quartz"])
        assert names(tmp_path / "quartz.xyz") == ["quartz"]

    @pytest.mark.parametrize("form", FORMS)
    def test_a_frame_becomes_the_crystal_that_a_file_of_its_own_would(self, tmp_path, form):
        frames = write_frames(tmp_path / "forms.extxyz")
        number = FORMS.index(form)
        (tmp_path / "alone.extxyz").write_bytes(joined(frames[number : number + 1]))
        candidate = list(read_candidates(tmp_path / "forms.extxyz"))[number]
        crystal = candidate.crystal()
        assert_same(crystal, read_crystal(tmp_path / "alone.extxyz"))
        assert crystal.group.number == silica(form).group.number
        assert crystal.name == f"forms-{number + 1}"

    def test_a_name_is_found_among_other_words_as_it_is_written(self, tmp_path):
        path = tmp_path / "forms.extxyz"
        (lines,) = write_frames(path, ["quartz"])
        header = lines[1].strip()
        for words, expected in [
            (b'note="my name=other" name="form \\"A\\" 7"', 'form "A" 7'),
            (b"filename=x name=17", "17"),
            (b"rename=x", "forms"),
        ]:
            path.write_bytes(joined([[lines[0], header + b" " + words + b"\n", *lines[2:]]]))
            assert names(path) == [expected]

    def test_kinds_tell_composition_size_group_and_volume(self, tmp_path):
        write_frames(tmp_path / "forms.extxyz")
        kinds = [candidate.kind for candidate in read_candidates(tmp_path / "forms.extxyz")]
        volumes = [float(silica(form).volume()) for form in FORMS]
        assert kinds == [
            f"O{2 * FORMULA_UNITS[form]}Si{FORMULA_UNITS[form]}/{3 * FORMULA_UNITS[form]}/?/V{np.log2(volume):.0f}"
            for form, volume in zip(FORMS, volumes, strict=True)
        ]

    def test_species_are_found_in_any_column(self, tmp_path):
        (tmp_path / "a.xyz").write_text(
            '2\nLattice="4 0 0 0 4 0 0 0 4" spacegroup="F m -3 m" Properties=pos:R:3:species:S:1\n0 0 0 Na\n2 2 2 Cl\n'
        )
        (tmp_path / "b.xyz").write_text('2\nLattice="4 0 0 0 4 0 0 0 4" Properties=pos:R:3:Z:I:1\n0 0 0 11\n2 2 2 17\n')
        a, b = read_candidates(tmp_path)
        assert (a.kind, b.kind) == ("Cl1Na1/2/Fm-3m/V6", "Cl1Na1/2/?/V6")
        assert_same(a.crystal(), b.crystal())


class TestBrokenFrames:
    def broken(self, path: Path, frames) -> list:
        path.write_bytes(joined(frames))
        candidates = read_candidates(path)
        found = list(candidates)
        assert candidates.count() == len(found)
        assert b"".join(candidate.content for candidate in found) == joined(frames)
        return found

    def check(self, found, wrong: int, message: str, line: int | None):
        """One of the candidates cannot be read, the others can."""
        for k, candidate in enumerate(found):
            if k != wrong:
                candidate.crystal()
        with pytest.raises(ParseError, match=message) as raised:
            found[wrong].crystal()
        assert str(raised.value).startswith(found[wrong].origin)
        assert raised.value.line == line

    def test_a_frame_that_lacks_a_line_is_one_row_and_the_rest_goes_on(self, tmp_path):
        frames = write_frames(tmp_path / "f.extxyz", ["quartz", "cristobalite", "stishovite"])
        del frames[1][5]
        found = self.broken(tmp_path / "f.extxyz", frames)
        assert len(found) == 3
        self.check(found, 1, "frame 2, line 12: the frame states 12 atoms and lists 11", 12)

    def test_a_frame_with_a_line_too_many_is_one_row_and_the_rest_goes_on(self, tmp_path):
        frames = write_frames(tmp_path / "f.extxyz", ["quartz", "cristobalite", "stishovite"])
        frames[0].append(frames[0][-1])
        found = self.broken(tmp_path / "f.extxyz", frames)
        assert len(found) == 3
        self.check(found, 0, "states 9 atoms and lists 10", 1)

    def test_a_frame_without_its_number_leaves_the_one_before_it_whole(self, tmp_path):
        frames = write_frames(tmp_path / "f.extxyz", ["quartz", "cristobalite", "stishovite"])
        frames[1][0] = b"twelve\n"
        found = self.broken(tmp_path / "f.extxyz", frames)
        assert len(found) == 3
        self.check(found, 1, "'twelve' stands where the number of atoms", 12)

    def test_a_number_that_is_none_is_one_row(self, tmp_path):
        frames = write_frames(tmp_path / "f.extxyz", ["quartz", "cristobalite", "stishovite"])
        frames[1][4] = frames[1][4].replace(b".", b"x", 1)
        found = self.broken(tmp_path / "f.extxyz", frames)
        self.check(found, 1, "frame 2: ASE cannot read it", None)

    def test_a_file_that_was_cut_loses_its_last_frame_only(self, tmp_path):
        frames = write_frames(tmp_path / "f.extxyz", ["quartz", "cristobalite"])
        del frames[1][6:]
        found = self.broken(tmp_path / "f.extxyz", frames)
        self.check(found, 1, "states 12 atoms and lists 4: the frame is cut short", 12)

    def test_where_no_frame_begins_any_more_the_last_row_says_so(self, tmp_path):
        frames = write_frames(tmp_path / "f.extxyz", ["quartz", "cristobalite", "stishovite"])
        frames[1][0], frames[2][0] = b"twelve\n", b"six\n"
        found = self.broken(tmp_path / "f.extxyz", frames)
        assert len(found) == 2
        self.check(found, 1, "frame 2 and what is left of the file, where no other begins, line 12: 'twelve'", 12)

    def test_of_lines_without_end_only_the_first_are_held(self, tmp_path):
        (tmp_path / "log.xyz").write_text("step done\n" * 5000)
        (found,) = read_candidates(tmp_path / "log.xyz")
        assert found.content == b"step done\n" * 1000
        with pytest.raises(ParseError, match="'step done' stands where"):
            found.crystal()

    def test_blank_lines_between_frames_and_other_line_ends_do_no_harm(self, tmp_path):
        frames = write_frames(tmp_path / "f.extxyz", ["quartz", "cristobalite"])
        (tmp_path / "f.extxyz").write_bytes(
            (joined(frames[:1]) + b"\n \n" + joined(frames[1:]) + b"\n\n").replace(b"\n", b"\r\n")
        )
        found = list(read_candidates(tmp_path / "f.extxyz"))
        assert [c.crystal().group.number for c in found] == [154, 92]
        assert [c.line for c in found] == [1, 14]

    def test_a_comment_that_is_a_number_begins_no_frame(self, tmp_path):
        (tmp_path / "f.xyz").write_text("1\n0\nH 0 0 0\n1\n1\nH 0 0 1\n")
        assert [c.line for c in read_candidates(tmp_path / "f.xyz")] == [1, 4]

    def test_atoms_on_top_of_each_other_are_said_with_the_frame(self, tmp_path):
        frames = write_frames(tmp_path / "f.extxyz", ["quartz", "cristobalite"])
        frames[1][3] = frames[1][2]
        second = self.broken(tmp_path / "f.extxyz", frames)[1]
        with pytest.raises(SymmetryError, match=r"f\.extxyz, frame 2: "):
            second.crystal()


class TestBlocks:
    def test_blocks_of_a_cif_are_candidates_and_headers_are_not(self, tmp_path):
        write_crystal({form: silica(form) for form in FORMS}, tmp_path / "forms.cif")
        text = (tmp_path / "forms.cif").read_text()
        (tmp_path / "forms.cif").write_text("data_global\n_journal_year 2026\n\n" + text)
        candidates = read_candidates(tmp_path / "forms.cif")
        found = list(candidates)
        assert [c.name for c in found] == [f"forms-{form}" for form in FORMS] and candidates.count() == 6
        for candidate, form in zip(found, FORMS, strict=True):
            write_crystal(silica(form), tmp_path / "one.cif")
            assert_same(candidate.crystal(), read_crystal(tmp_path / "one.cif"))
            assert candidate.kind.endswith(
                f"/{silica(form).group.name.replace(' ', '')}/V{np.log2(float(silica(form).volume())):.0f}"
            )

    def test_one_structure_behind_a_header_is_named_by_its_file(self, tmp_path):
        text = CIF.format(name="I", a=7.16)
        (tmp_path / "paper.cif").write_text("data_global\n_journal_year 2026\n" + text)
        (candidate,) = read_candidates(tmp_path / "paper.cif")
        assert (candidate.name, candidate.content, candidate.line) == ("paper", text.encode(), 3)
        assert candidate.kind == "O1Si1/2/Fd-3m:2/V9"

    def test_a_broken_block_is_one_row_with_its_line_in_the_file(self, tmp_path):
        blocks = [CIF.format(name=name, a=a) for name, a in (("A", 7.16), ("B", "seven"), ("C", 7.2))]
        blocks[0] = blocks[0].replace("loop_", "loop_\n_atom_site_occupancy")  # ten values in rows of six
        (tmp_path / "m.cif").write_text("".join(blocks))
        a, b, c = read_candidates(tmp_path / "m.cif")
        assert c.crystal().cell[0] == 7.2
        with pytest.raises(ParseError, match="not CIF"):
            a.crystal()
        with pytest.raises(
            ParseError, match=r"m\.cif, block 2, line 16: _cell_length_a of data_B is 'seven'"
        ) as raised:
            b.crystal()
        assert (tmp_path / "m.cif").read_text().splitlines()[raised.value.line - 1] == "_cell_length_a seven"
        assert (a.kind, a.name) == ("?", "m-A")

    def test_a_text_that_is_never_closed_does_not_swallow_the_blocks_behind_it(self, tmp_path):
        blocks = [CIF.format(name=name, a=7.16) for name in "ABCD"]
        closed = "_exptl_details\n;\nas grown\n;\n"
        blocks[0] += closed.removesuffix(";\n")
        blocks[2] += closed
        (tmp_path / "m.cif").write_text("".join(blocks))
        found = list(read_candidates(tmp_path / "m.cif"))
        assert [c.name for c in found] == ["m-A", "m-B", "m-C", "m-D"]
        with pytest.raises(ParseError, match="block 1, line"):
            found[0].crystal()
        assert [c.crystal().n_sites for c in found[1:]] == [2, 2, 2]

    def test_a_text_may_tell_of_blocks(self, tmp_path):
        (tmp_path / "m.cif").write_text(
            CIF.format(name="A", a=7.16) + "_exptl_details\n;\ndata_B\n_cell_length_a 3\n;\n"
        )
        (candidate,) = read_candidates(tmp_path / "m.cif")
        assert candidate.name == "m" and candidate.crystal().n_sites == 2

    def test_files_without_a_structure_are_rows_that_say_why(self, tmp_path):
        (tmp_path / "a.cif").write_text("data_global\n_journal_year 2026\n")
        (tmp_path / "b.cif").write_text("")
        (tmp_path / "c.xyz").write_text("\n\n")
        (tmp_path / "d.cif").write_text(CIF.format(name="A", a=7.16).split("loop_")[0])
        reasons = ["no atoms: expected a data block", "is empty", "is empty", "no atoms"]
        for candidate, reason in zip(read_candidates(tmp_path), reasons, strict=True):
            with pytest.raises(ParseError, match=reason):
                candidate.crystal()

    def test_a_file_that_nobody_may_read_is_a_row(self, tmp_path, monkeypatch):
        write_crystal(silica("quartz"), tmp_path / "a.cif")
        write_crystal(silica("quartz"), tmp_path / "b.cif")
        opened = Path.open

        def refuse(self, *args, **kwargs):
            if self.name == "a.cif":
                raise PermissionError(13, "Permission denied")
            return opened(self, *args, **kwargs)

        monkeypatch.setattr(Path, "open", refuse)
        a, b = read_candidates(tmp_path)
        assert b.crystal().group.number == 154
        with pytest.raises(ParseError, match=r"a\.cif: cannot be read: Permission denied"):
            a.crystal()


class TestDatabases:
    def database(self, path: Path):
        with ase.db.connect(path) as database:
            for form in FORMS:
                database.write(frame(form), **({"name": form} if form != "keatite" else {}))
        return path

    @pytest.mark.parametrize("suffix", [".db", ".json"])
    def test_rows_become_the_crystals_that_were_put_in(self, tmp_path, suffix):
        path = self.database(tmp_path / f"forms{suffix}")
        candidates = read_candidates(path)
        found = list(candidates)
        assert candidates.count() == 6
        assert [c.name for c in found] == [form if form != "keatite" else "forms-5" for form in FORMS]
        ase.io.write(tmp_path / "one.traj", [frame(form) for form in FORMS])
        for k, candidate in enumerate(found, start=1):
            assert_same(candidate.crystal(), read_crystal(tmp_path / "one.traj", phase=k))

    def test_the_content_of_a_row_knows_no_file_id_or_time(self, tmp_path):
        first = self.database(tmp_path / "a.db")
        with ase.db.connect(tmp_path / "b.json") as database:
            for form in reversed(FORMS):
                database.write(frame(form), name=f"{form}2", campaign=3)
        again = {c.name.removesuffix("2"): c.content for c in read_candidates(tmp_path / "b.json")}
        assert all(again[c.name] == c.content for c in read_candidates(first) if c.name in again)
        (quartz,) = ase.io.read(first, index="0:1")
        np.testing.assert_array_equal(
            np.array([line.split()[1:] for line in again["quartz"].splitlines()[2:]], dtype=float), quartz.positions
        )

    def test_heavy_hydrogen_is_known_by_its_mass(self, tmp_path):
        atoms = ase.Atoms("HF", positions=[[0, 0, 0], [2, 2, 2]], cell=[4, 4, 4], pbc=True)
        atoms.set_masses([2.014, 18.998])
        with ase.db.connect(tmp_path / "d.db") as database:
            database.write(atoms)
        (candidate,) = read_candidates(tmp_path / "d.db")
        assert candidate.crystal().species == ("D", "F")

    def test_a_damaged_row_is_one_row_and_the_rest_goes_on(self, tmp_path):
        path = self.database(tmp_path / "forms.db")
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE systems SET positions = ? WHERE id = 2", (b"\0" * 16,))
            connection.execute("UPDATE systems SET cell = NULL WHERE id = 3")
        connection.close()
        found = list(read_candidates(path))
        assert len(found) == 6 and found[3].crystal().group.number == 227
        with pytest.raises(ParseError, match=r"forms\.db, row 2: the row cannot be read"):
            found[1].crystal()
        with pytest.raises(ConventionError, match=r"forms\.db, row 3: .* no three-dimensional cell"):
            found[2].crystal()

    def test_another_database_is_refused_and_stays_as_it_is(self, tmp_path):
        path = tmp_path / "other.db"
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE results (name TEXT)")
        connection.close()
        before = path.read_bytes()
        with pytest.raises(ParseError, match="no such table: systems"):
            read_candidates(path)
        assert path.read_bytes() == before

    def test_a_database_without_rows_is_refused(self, tmp_path):
        with ase.db.connect(tmp_path / "none.db") as database:
            database.count()
        with pytest.raises(ParseError, match="a database without rows"):
            read_candidates(tmp_path / "none.db")

    def test_json_of_something_else_is_said_when_it_is_read(self, tmp_path):
        (tmp_path / "result.json").write_text('{"rwp": 3.2}')
        with pytest.raises(ParseError, match=r"result\.json: is no database of ASE \(UnknownFileTypeError"):
            list(read_candidates(tmp_path / "result.json"))


class TestParquet:
    def test_without_its_package_the_message_names_it(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        (tmp_path / "a.parquet").write_bytes(b"PAR1")
        with pytest.raises(ParseError, match=r"a parquet file, which the package pyarrow reads: pip install"):
            read_candidates(tmp_path / "a.parquet")

    def test_rows_are_cifs_by_name(self, tmp_path):
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        texts = [CIF.format(name="x", a=7.0 + 0.001 * k) for k in range(600)]
        table = pyarrow.table({"name": ["first", *[None] * 599], "cif": [*texts[:-1], None], "energy": [0.0] * 600})
        parquet.write_table(table, tmp_path / "t.parquet")
        candidates = read_candidates(tmp_path / "t.parquet")
        found = list(candidates)
        assert candidates.count() == len(found) == 600
        assert (found[0].name, found[300].name, found[300].origin[-7:]) == ("first", "t-301", "row 301")
        assert found[300].crystal().cell[0] == 7.3 and found[300].content == texts[300].encode()
        with pytest.raises(ParseError, match="row 600: the row has no CIF"):
            found[599].crystal()

    def test_what_it_lacks_is_named(self, tmp_path):
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(pyarrow.table({"name": ["a"], "structure": ["data_a"]}), tmp_path / "t.parquet")
        with pytest.raises(ParseError, match="lacks the column cif; expected 'name' and 'cif', found name, structure"):
            read_candidates(tmp_path / "t.parquet")
        (tmp_path / "none.parquet").write_bytes(b"no parquet file")
        with pytest.raises(ParseError, match="is no parquet file"):
            read_candidates(tmp_path / "none.parquet")
