"""The template for one's own tensors: read as it is, with every alternative it offers, and with made-up files."""

import re
import tomllib

import numpy as np
import pytest
from small_tensor_data import rattled, write

from jaxnmr import cli
from jaxnmr.cli.examples import example_files
from jaxnmr.io import magres_from_ase, write_magres
from jaxnmr.runfile.training import load_training


@pytest.fixture(scope="module")
def template():
    return example_files("training")["own-data"].read_text(encoding="utf-8")


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("JAXNMR_DATA", str(tmp_path))
    frames = rattled(24)
    for k, atoms in enumerate(frames):
        place = tmp_path / "my_magres" / f"p{k // 2}"
        place.mkdir(parents=True, exist_ok=True)
        write_magres(magres_from_ase(atoms), place / f"s{k}.magres")
    write(tmp_path / "my_tensors.extxyz", frames)
    return tmp_path


def options(text):
    """Commented lines that are keys."""
    return [line.removeprefix("# ") for line in text.splitlines() if re.match(r"# \w+ = ", line)]


def with_options(text, *lines):
    """The template with commented lines switched on, in place of what else gives the same key."""
    for line in lines:
        key = line.split(" = ")[0]
        text = re.sub(rf"(?m)^{key} = .*\n", "", text).replace(f"# {line}", line)
    return text


def run(folder, text):
    path = folder / "own-data.toml"
    path.write_text(text, encoding="utf-8")
    return load_training(path).experiment


def test_a_folder_of_magres_files_is_read_checked_and_split_as_the_template_says(template, folder):
    experiment = run(folder, template)
    prepared = experiment.prepare()
    assert len(prepared.data) == 24 and prepared.data.labelled_elements == ("O",)
    assert prepared.data.quantity == "shielding" and set(prepared.parts) == {"train", "valid", "test"}
    assert set(prepared.data.groups) == {f"p{k}" for k in range(12)}
    sides = [{prepared.data.groups[k] for k in part} for part in prepared.parts.values()]
    assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
    config = experiment.configuration(prepared.data, prepared.part("train"))
    assert config.heads[0].irreps == "1x0e+1x2e" and config.heads[0].elements == ("O",)


def test_an_extxyz_file_gives_the_same_labels(template, folder):
    magres = run(folder, template).source.read()
    by_group = re.sub(r"(?m)^group_pattern = .*\n", "", template)
    extxyz = with_options(by_group, *[o for o in options(template) if re.match("format|path|group", o)])
    found = run(folder, extxyz).source.read()
    order = [[s.name for s in found.structures].index(s.name.split("/")[-1]) for s in magres.structures]
    assert [found.groups[k] for k in order] == list(magres.groups)
    for k, there in enumerate(order):
        np.testing.assert_allclose(
            found.tensors(there)[found.mask(there)], magres.tensors(k)[magres.mask(k)], atol=1e-6
        )


def test_every_alternative_is_understood(template, folder):
    keys = {line.split(" = ")[0] for line in options(template)}
    assert keys == {"format", "path", "quantity", "group", "members", "reference_ppm"}
    efg = with_options(template, 'quantity = "efg"').replace('irreps = "0e+2e"\n', "")
    assert run(folder, efg).source.read().quantity == "efg"
    assert run(folder, with_options(template, "members = 4")).members == 4
    references = with_options(template.replace("# [references.O]", "[references.O]"), "reference_ppm = 263.0")
    assert run(folder, references).references == {"O": (263.0, -1.0)}


def test_it_shows_among_the_examples(template, capsys):
    assert cli.main(["examples"]) == 0
    assert re.search(r"own-data +needs JAXNMR_DATA +17O shieldings of my own", capsys.readouterr().out)
    assert "17O" in tomllib.loads(template)["title"]
