import re

import numpy as np
import pytest
from run_file_manual import documented

from jaxnmr.errors import ParseError
from jaxnmr.runfile import build, load_run

QUARTZ = """
title = "quartz"
[[phase]]
name = "quartz"
cell = [4.916, 4.916, 5.4054, 90, 90, 120]
spacegroup = "P 32 2 1"
sites = [
  { label = "Si", type = "Si", xyz = [0.4697, 0, 0], u_iso = 0.007 },
  { label = "O", type = "O", xyz = [0.4135, 0.2669, 0.1191], b_iso = 1.0 },
]
[[histogram]]
name = "xrd"
file = "quartz.xye"
wavelength = [1.5405, 1.5443]
"""
WAVELENGTH = "[1.5405, 1.5443]"


@pytest.fixture
def write(tmp_path):
    def writer(text):
        path = tmp_path / "run.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return writer


def message(write, text):
    with pytest.raises(ParseError) as caught:
        load_run(write(text))
    assert "run.toml" in str(caught.value)
    return str(caught.value)


def test_the_documented_run_file_is_a_valid_one(write):
    text = documented("Refinements")
    run = load_run(write(text))
    assert run.title == "Fluorapatite, laboratory X-rays"
    assert run.stages[0].free == ("xrd/scale", "xrd/background")


def test_every_commented_key_of_the_documentation_is_understood(write):
    text = documented("Refinements")
    alternatives = tuple(
        f"{key} ="
        for key in (
            *(
                "cell",
                "spacegroup",
                "sites",
                "range",
                "larmor_mhz",
                "peaks_ppm",
                "peak_intensities",
                "magres",
                "dmfit",
                "sites_of",
                "tensors",
            ),
            *(
                "shifts_ppm",
                "reference",
                "q_barn",
                "errors",
                "gaussian_hz",
                "gaussian_ppm",
                "lorentzian_hz",
                "lorentzian_ppm",
            ),
            *("expected", "count", "parameter", "phase", "oxidation", "atoms"),
        )
    )
    uncommented = []
    for line in text.splitlines():
        key = re.match(r"# (\w+ = .*)", line)
        uncommented.append(key[1] if key and not key[1].startswith(alternatives) else line)
    run = load_run(write("\n".join(uncommented)))
    histogram = run.histograms[0]
    assert histogram.march_axis == {"FAP": (0, 0, 1)}
    assert histogram.zoom == (30.0, 36.0)
    assert histogram.instrument["monochromator_deg"] == 26.6
    assert run.phases[0].species == {"Ca1": "Ca2+"}


def test_a_structure_can_be_typed_into_the_run_file(write):
    structure = load_run(write(QUARTZ)).phases[0].inline
    assert structure["cell"] == (4.916, 4.916, 5.4054, 90.0, 90.0, 120.0)
    assert structure["labels"] == ["Si", "O"]
    assert structure["u_iso"] == pytest.approx([0.007, 1.0 / 78.9568], rel=1e-5)


def test_files_are_relative_to_the_run_file_and_listed_as_inputs(write, tmp_path):
    run = load_run(write(QUARTZ))
    assert run.histograms[0].file == tmp_path / "quartz.xye"
    assert run.inputs == (tmp_path / "run.toml", tmp_path / "quartz.xye")


def test_environment_variables_in_file_names_are_replaced(write, tmp_path, monkeypatch):
    monkeypatch.setenv("PATTERNS", str(tmp_path / "elsewhere"))
    run = load_run(write(QUARTZ.replace('"quartz.xye"', '"${PATTERNS}/quartz.xye"')))
    assert run.histograms[0].file == tmp_path / "elsewhere" / "quartz.xye"


def test_an_unset_environment_variable_is_named(write, monkeypatch):
    monkeypatch.delenv("PATTERNS", raising=False)
    text = message(write, QUARTZ.replace('"quartz.xye"', '"${PATTERNS}/quartz.xye"'))
    assert "environment variable PATTERNS, which is not set" in text
    assert "[[histogram]] number 1 (xrd).file" in text


def test_a_histogram_uses_all_phases_unless_told_otherwise(write):
    second = QUARTZ.replace("[[histogram]]", QUARTZ[QUARTZ.index("[[phase]]") : QUARTZ.index("[[histogram]]")].replace(
        'name = "quartz"', 'name = "low"') + "[[histogram]]")  # fmt: skip
    assert load_run(write(second)).histograms[0].phases == ("quartz", "low")
    assert load_run(write(second + 'phases = ["low"]')).histograms[0].phases == ("low",)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("wavelength =", "wavelenght =", "'wavelenght' in [[histogram]] number 1 (xrd); did you mean 'wavelength'?"),
        ("title =", "titel =", "unknown key 'titel'; did you mean 'title'?"),
        ("u_iso = 0.007", "uiso = 0.007", "'uiso' in [[phase]] number 1 (quartz).sites[0] (Si); did you mean 'u_iso'?"),
        ("u_iso = 0.007", "u_iso = 0.007, b_iso = 0.5", "give one of u_iso, b_iso and u_aniso"),
        ("spacegroup =", "file = 'a.cif'\nspacegroup =", "give either file or cell, spacegroup and sites"),
        ("cell = [4.916, 4.916, 5.4054, 90, 90, 120]", "", "the key 'cell' is missing"),
        ("[4.916, 4.916, 5.4054, 90, 90, 120]", "[4.916, 5.4]", "expected a list of 6 numbers, got [4.916, 5.4]"),
        ('file = "quartz.xye"', "", "give a file with the measured pattern, or range"),
        ('file = "quartz.xye"', "file = 7", "expected text in quotes, got 7"),
        (WAVELENGTH, "[1.5405, 1.5443, 1.39]", "expected a list of 1 or 2 numbers"),
        (WAVELENGTH, "-1.5", "expected a positive number, got -1.5"),
        (WAVELENGTH, "1.5\nphases = ['quarz']", "'quarz' is not possible here; did you mean 'quartz'?"),
        (WAVELENGTH, "1.5\nlimits = [90, 20]", "expected [low, high], got [90.0, 20.0]"),
        (WAVELENGTH, "1.5\nexcluded = [14, 18]", "expected a list of [low, high] pairs such as [[14, 18]]"),
        (WAVELENGTH, "1.5\nradiation = 'X-ray'", "'X-ray' is not possible here; did you mean 'xray'?"),
        (WAVELENGTH, "1.5\nmarch_axis = { calcite = [0, 0, 1] }", "no phase 'calcite'; known: quartz"),
        (WAVELENGTH, "1.5\nbackground = { kind = 'chebyshev', knots = 5 }", "unknown key 'knots'"),
        (WAVELENGTH, "1.5\n[bounds]\nu_iso = [1, 0]", "[bounds].u_iso: expected [low, high] (inf for none)"),
        (WAVELENGTH, "1.5\n[start]\nxrd.zero = 1", "put parameter names in quotes"),
        (
            WAVELENGTH,
            "1.5\n[[restraint]]\nkind = 'bond'\natoms = ['Si']\nsigma = 0.02\nvalue = 1.6",
            "expected 2 site labels",
        ),
        (WAVELENGTH, "1.5\n[[restraint]]\nkind = 'bond'\natoms = ['Si', 'O']\nvalue = 1.6", "'sigma' is missing"),
        (WAVELENGTH, "1.5\n[solver]\nmax_steps = 0", "expected a whole number from 1 on, got 0"),
        (WAVELENGTH, "1.5\n[solver]\npositive_u = 1", "expected true or false, got 1"),
        (WAVELENGTH, "1.5\n[[stage]]\nfree = 'cell'", "expected a list of texts"),
        (WAVELENGTH, "1.5\nweight = 'residual'", "'residual' is not possible here; did you mean 'residuals'?"),
        ('name = "xrd"', "name = 'a/b'", "'a/b' cannot be part of parameter names"),
    ],
)
def test_mistakes_are_named_with_their_place_in_the_file(write, old, new, expected):
    assert old in QUARTZ
    assert expected in message(write, QUARTZ.replace(old, new))


def test_two_phases_need_two_names(write):
    doubled = QUARTZ + QUARTZ[QUARTZ.index("[[phase]]") : QUARTZ.index("[[histogram]]")]
    assert "two tables [[phase]] are called 'quartz'" in message(write, doubled)


def test_a_run_needs_a_phase_and_a_histogram(write):
    assert "needs at least one [[phase]]" in message(write, "title = 'nothing'")


def test_a_syntax_error_is_reported_with_its_line(write):
    with pytest.raises(ParseError) as caught:
        load_run(write("title = 'x'\n[[phase]\n"))
    assert caught.value.line == 2


def test_a_missing_run_file_is_reported(tmp_path):
    with pytest.raises(ParseError, match="no such file"):
        load_run(tmp_path / "nowhere.toml")


FULL = (
    QUARTZ.replace("[[histogram]]", 'species = { Si = "Si4+" }\n[[histogram]]')
    + """
limits = [22.0, 48.0]
excluded = [[30.0, 31.0]]
U = 3.0
background = { kind = "interpolate", knots = [20.0, 30.0, 50.0] }
march_axis = { quartz = [0, 0, 1] }
stephens = ["quartz"]
weight = 2.0
[start]
"xrd/size[quartz]" = 0.3
"xyz[O]" = [0.41, 0.26, 0.12]
[bounds]
"xrd/displacement" = [-200.0, 200.0]
[[tie]]
target = "u_iso[O]"
source = "u_iso[Si]"
factor = 1.5
[[tie]]
target = "xrd/X"
source = { "xrd/Y" = 0.5, "xrd/Z" = -1.0 }
offset = 0.25
[[constraint]]
kind = "charge"
oxidation = { Si = 4, O = -2 }
[[restraint]]
kind = "bond"
atoms = ["Si", "O"]
value = 1.61
sigma = 0.01
weight = 3.0
[[restraint]]
kind = "angle"
atoms = ["O", "Si", "O"]
value = 109.5
sigma = 1.0
[[restraint]]
kind = "bonds"
[[restraint]]
kind = "prior"
parameter = "u_iso[Si]"
value = 0.007
sigma = 0.002
[[stage]]
name = "first"
free = ["xrd/scale"]
max_steps = 7
[[stage]]
name = "second"
free = ["cell", "u_iso"]
fix = ["xrd/scale"]
[solver]
kind = "gauss-newton"
max_steps = 9
tolerance = 0.05
positive_u = true
"""
)


@pytest.fixture
def measured(tmp_path):
    x = np.arange(20.0, 50.0, 0.05)
    y = 100.0 + 900.0 * np.exp(-(((x - 26.64) / 0.1) ** 2))
    np.savetxt(tmp_path / "quartz.xye", np.column_stack([x, y, np.sqrt(y)]))


@pytest.fixture
def built(write, measured):
    text = FULL.replace('spacegroup = "P 32 2 1"', "spacegroup = 152").replace("0.4697, 0, 0]", "0.4697, 0, 0.33333]")
    return build(load_run(write(text.replace("0.1191]", "0.2142]").replace("0.12]", "0.215]"))))


def test_structures_and_data_that_do_not_fit_are_named_with_their_histogram(write, measured):
    run = load_run(write(QUARTZ.replace("0.1191]", "0.2142]").replace(WAVELENGTH, '12.0\nradiation = "neutron"')))
    with pytest.raises(ParseError, match=r"\[\[histogram\]\] 'xrd': no reflection of"):
        build(run)


def test_limits_exclusions_and_instrument_overrides_reach_the_histogram(built):
    model = built.objective.terms[0].model
    x = np.asarray(model.x)
    assert x[0] > 21.99 and x[-1] < 48.01
    assert not ((x >= 30.0) & (x <= 31.0)).any()
    assert model.instrument.wavelengths == (1.5405, 1.5443)
    assert model.instrument.U == 3.0
    assert np.shape(model.background) == (len(x), 3)


def test_starting_values_bounds_and_ties_reach_the_parameters(built):
    rows = {row.name: row for row in built.parameters.rows()}
    assert rows["xrd/size[quartz]"].value == 0.3
    assert rows["xyz[O.y]"].value == 0.26
    assert (rows["xrd/displacement"].lower, rows["xrd/displacement"].upper) == (-200.0, 200.0)
    assert rows["u_iso[O]"].tied_to == "u_iso[Si]"
    assert rows["u_iso[O]"].value == pytest.approx(1.5 * rows["u_iso[Si]"].value)
    assert rows["u_iso[Si]"].lower == 0.0
    assert (rows["xrd/X"].value, rows["xrd/X"].tied_to) == (0.25, "0.25 + 0.5 xrd/Y - xrd/Z")
    # of 3 Si4+ and 6 O2- in the cell
    assert rows["occupancy[O]"].tied_to == "occupancy[Si]"
    assert any(name.startswith("xrd/march") for name in rows)
    assert any(name.startswith("xrd/stephens") for name in rows)


def test_species_overrides_change_the_scattering_type_only(built):
    crystal = built.objective.crystals["quartz"]
    assert crystal.species == ("Si4+", "O")
    assert crystal.labels == ("Si", "O")


def test_restraints_become_weighted_terms(built):
    names = [term.name for term in built.objective.terms]
    assert len(names) == len(set(names)) == 5
    np.testing.assert_allclose(built.objective.weights, [2.0, 3.0, 1.0, 1.0, 1.0])


def test_a_pattern_may_count_as_its_residuals_say(write, measured):
    text = QUARTZ.replace("0.1191]", "0.2142]").replace("0.12]", "0.215]")
    marked = build(load_run(write(text.replace(WAVELENGTH, WAVELENGTH + '\nweight = "residuals"')))).objective
    assert marked.by_residuals == ("xrd",) and list(np.asarray(marked.weights)) == [1.0]
    robust = text.replace(WAVELENGTH, WAVELENGTH + '\nweight = "residuals"\nrobust = "huber"')
    with pytest.raises(ParseError, match=r"'xrd'.*cannot count as its residuals say and have a robust loss"):
        build(load_run(write(robust)))


def test_stages_and_solver_are_those_of_the_file(built):
    assert [stage.name for stage in built.stages] == ["first", "second"]
    assert built.stages[0].max_steps == 7
    assert built.stages[1].fix == ("xrd/scale",)
    assert type(built.solver).__name__ == "GaussNewton"
    assert (built.solver.max_steps, built.solver.tolerance) == (9, 0.05)


@pytest.mark.parametrize(
    ("addition", "expected"),
    [
        ("[start]\n'xrd/sice' = 1.0", "[start] 'xrd/sice': no parameter is called 'xrd/sice'"),
        ("[bounds]\n'u_iso' = [0.5, 1.0]", "[bounds] 'u_iso': u_iso[Si] = 0.007 lies outside"),
        ("[[tie]]\ntarget = 'u_iso[Xe]'\nsource = 'u_iso[Si]'", "[[tie]] 'u_iso[Xe]'"),
        (
            "[[constraint]]\nsum = { 'cell[alpha]' = 1.0 }\nequals = 91",
            "[[constraint]] number 1: cell[alpha] = 91 cannot",
        ),
        ("[[constraint]]\nkind = 'charge'\noxidation = { Si = 4 }", "number 1: no oxidation state of O of quartz"),
        ("[[constraint]]\nkind = 'atoms'\natoms = { Ge = 3 }", "number 1: Ge: no such site or element"),
        (
            "[[stage]]\nname = 'last'\nfree = ['xzy']",
            "[[stage]] 'last': no parameter is called 'xzy'; did you mean 'xyz'",
        ),
        ("[[restraint]]\nkind = 'bond'\natoms = ['Si', 'H']\nvalue = 1\nsigma = 1", "[[restraint]] number 1"),
        ("plot = { zoom = [80, 90] }", "plot.zoom [80.0, 90.0] lies outside the data"),
    ],
)
def test_mistakes_found_while_building_name_their_place(write, measured, addition, expected):
    text = (
        QUARTZ.replace('"P 32 2 1"', "152").replace("0.4697, 0, 0]", "0.4697, 0, 0.33333]").replace("0.1191", "0.2142")
    )
    with pytest.raises(ParseError) as caught:
        build(load_run(write(text + addition)))
    assert expected in str(caught.value)
    assert "run.toml" in str(caught.value)


def test_an_unreadable_data_file_is_named(write):
    with pytest.raises(ParseError, match=r"quartz\.xye"):
        build(load_run(write(QUARTZ.replace("0.4697, 0, 0]", "0.4697, 0, 0.66667]"))))


def test_axial_mode_cutoff_slit_and_monochromator_are_keys_of_a_histogram(write):
    keys = 'axial_mode = "gsas"\ncutoff = 1e-4\ndivergence_slit = "automatic"\nmonochromator_deg = 26.6\nrange = [20, 60, 0.5]\n'
    objective = build(load_run(write(QUARTZ.replace('file = "quartz.xye"\n', keys))), simulation=True).objective
    model = objective.terms[0].model
    assert (model.axial_mode, model.cutoff) == ("gsas", 1e-4)
    assert (model.instrument.divergence_slit, model.instrument.monochromator_deg) == ("automatic", 26.6)
    assert "axial_mode" in message(write, QUARTZ + 'axial_mode = "exact"\n')
    assert "divergence_slit" in message(write, QUARTZ + 'divergence_slit = "variable"\n')
    assert "cutoff" in message(write, QUARTZ + "cutoff = 0.0\n")


XRDML = """<xrdMeasurements><xrdMeasurement sampleMode="Reflection"><usedWavelength intended="K-Alpha">
<kAlpha1>1.540598</kAlpha1><kAlpha2>1.544426</kAlpha2><ratioKAlpha2KAlpha1>0.5</ratioKAlpha2KAlpha1></usedWavelength>
<incidentBeamPath><divergenceSlit><irradiatedLength unit="mm">10</irradiatedLength></divergenceSlit></incidentBeamPath>
<diffractedBeamPath><monochromator><crystal type="Graphite"/></monochromator></diffractedBeamPath><scan><dataPoints>
<positions axis="2Theta"><startPosition>20</startPosition><endPosition>24</endPosition></positions>
<intensities unit="counts">100 400 90 9 25</intensities></dataPoints></scan></xrdMeasurement></xrdMeasurements>"""


def test_a_parameter_file_without_slits_leaves_those_of_the_pattern_and_names_what_it_contradicts(write, tmp_path):
    (tmp_path / "quartz.xrdml").write_text(XRDML)
    (tmp_path / "tube.instprm").write_text("Type:PXC\nLam1:1.5405\nLam2:1.5443\nPolariz.:0.5\nU:2\nV:-2\nW:5\n")
    text = QUARTZ.replace('"quartz.xye"', '"quartz.xrdml"\ninstrument = "tube.instprm"').replace(
        f"wavelength = {WAVELENGTH}", ""
    )
    bound = build(load_run(write(text))).objective.terms[0]
    assert bound.model.instrument.divergence_slit == "automatic" and bound.model.instrument.monochromator_deg is None
    assert "monochromator_deg = 26.6" in bound.notes[0]
    bound = build(load_run(write(text + "monochromator_deg = 26.6\n"))).objective.terms[0]
    assert bound.model.instrument.monochromator_deg == 26.6 and bound.notes == ()


def test_neutrons_with_an_instrument_for_x_rays_are_refused(write, tmp_path):
    (tmp_path / "quartz.xrdml").write_text(XRDML)
    text = QUARTZ.replace('"quartz.xye"', '"quartz.xrdml"').replace(f"wavelength = {WAVELENGTH}", "")
    with pytest.raises(ParseError, match=r"radiation is 'neutron', and quartz\.xrdml describes .* with 'xray'"):
        build(load_run(write(text + 'radiation = "neutron"\n')))
    (tmp_path / "quartz.xye").write_text("".join(f"{20 + 0.1 * k:.1f} {100 + k % 9} 10\n" for k in range(200)))
    (tmp_path / "reactor.instprm").write_text("Type:PNC\nLam:1.909\nU:2\nV:-2\nW:5\n")
    text = QUARTZ.replace('"quartz.xye"', '"quartz.xye"\ninstrument = "reactor.instprm"')
    text = text.replace(f"wavelength = {WAVELENGTH}", "")
    for same in ("", 'radiation = "neutron"\n'):
        assert build(load_run(write(text + same))).objective.terms[0].model.instrument.radiation == "neutron"
    with pytest.raises(ParseError, match=r"radiation is 'xray', and reactor\.instprm describes .* with 'neutron'"):
        build(load_run(write(text + 'radiation = "xray"\n')))
