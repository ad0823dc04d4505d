"""`TensorCalculator`: tensors of ASE atoms in their own frame, neighbours kept while atoms move, magres files."""

import ase
import ase.io
import numpy as np
import pytest
from ase.calculators.calculator import PropertyNotImplementedError
from scipy.spatial.transform import Rotation
from small_tensor_models import ELEMENTS, LATTICE, POSITIONS, model, quartz, tensors

from jaxnmr.errors import ConventionError, ParseError
from jaxnmr.io import magres_from_ase, magres_to_ase, read_magres, write_magres
from jaxnmr.models import HeadConfig, ModelCard, NetworkConfig, TensorModel
from jaxnmr.models.tensors import ase_calculator
from jaxnmr.models.tensors.ase_calculator import TensorCalculator
from jaxnmr.nmr.tensors import isotropic

ENTRY = {"atoms": 99, "nu": [3.0]}
CALIBRATION = {
    "shielding": {
        "Si": ENTRY | {"a": [0.6, 1.0, 1.0], "b": [0.0] * 3, "quantiles": {"iso": [0.5, 2.0, 3.0, 4.0, 5.0]}},
    },
    "efg": {"O": ENTRY | {"a": [0.3], "b": [0.0], "quantiles": {"vzz": [0.5, 1.0, 2.0, 3.0, 4.0]}}},
}


def atoms(positions=POSITIONS, lattice=LATTICE):
    return ase.Atoms(ELEMENTS, positions=positions, cell=lattice, pbc=True)


@pytest.fixture(scope="module")
def calculator():
    return TensorCalculator(model())


def test_tensors_are_those_of_the_model_in_the_frame_and_order_of_the_atoms(calculator):
    made = atoms()
    made.calc = calculator
    ms, efg = made.calc.get_property("ms", made), made.calc.get_property("efg", made)
    shielding, gradient = tensors()
    np.testing.assert_allclose(ms, shielding, atol=1e-9)
    np.testing.assert_allclose(efg[[1, 3, 4]], gradient[[1, 3, 4]], atol=1e-9)
    assert np.isnan(efg[[0, 2]]).all() and ms.shape == (5, 3, 3)
    # turned and mirrored, in another order, with atoms in other cells
    turn, order = -Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix(), [3, 0, 4, 2, 1]
    other = atoms((POSITIONS + LATTICE[1]) @ turn.T, LATTICE @ turn.T)[order]
    np.testing.assert_allclose(calculator.get_property("ms", other), turn @ shielding[order] @ turn.T, atol=1e-9)


def test_a_crystal_and_its_atoms_have_the_same_shieldings(calculator):
    cell = quartz().expand()
    made = ase.Atoms(cell.species, positions=np.asarray(cell.cartesian), cell=np.asarray(cell.lattice), pbc=True)
    expected = np.asarray(model().predict(quartz()).of_atoms("shielding"))
    np.testing.assert_allclose(calculator.get_property("ms", made), expected, atol=1e-9)


def test_neighbours_are_listed_again_only_when_atoms_have_moved_by_more_than_the_skin(monkeypatch):
    lists, original = [], ase_calculator.structure_graph
    monkeypatch.setattr(ase_calculator, "structure_graph", lambda *a, **k: lists.append(1) or original(*a, **k))
    calculator, made = TensorCalculator(model(), skin=0.4), atoms()
    made.calc = calculator
    rng = np.random.default_rng(0)
    for _ in range(3):
        calculator.get_property("ms", made)
        made.positions += rng.uniform(-0.02, 0.02, (5, 3))
    assert len(lists) == 1
    # the same numbers as with a list of their own
    np.testing.assert_allclose(calculator.get_property("ms", made), tensors(positions=made.positions)[0], atol=1e-9)
    assert len(lists) == 1
    made.positions[2] += [0.3, 0.0, 0.0]
    np.testing.assert_allclose(calculator.get_property("ms", made), tensors(positions=made.positions)[0], atol=1e-9)
    assert len(lists) == 2
    made.set_cell(1.1 * made.cell, scale_atoms=True)
    calculator.get_property("ms", made)
    assert len(lists) == 3
    # the same atoms again cost nothing
    calculator.get_property("efg", made)
    assert len(lists) == 3
    made.symbols[0], made.symbols[1] = "O", "Si"
    calculator.get_property("ms", made)
    assert len(lists) == 4


def test_uncertainties_are_those_of_the_isotropic_shielding_and_of_vzz():
    calculator = TensorCalculator(model().replace(card=ModelCard(calibration=CALIBRATION)))
    made = atoms()
    silicon, oxygen = [0, 2], [1, 3, 4]
    found = calculator.get_property("ms_uncertainty", made)
    np.testing.assert_allclose(found[silicon], 2.0 * 0.6 / np.sqrt(3.0))
    assert np.isnan(found[oxygen]).all()
    found = calculator.get_property("efg_uncertainty", made)
    np.testing.assert_allclose(found[oxygen], 0.3 * np.sqrt(2.0 / 3.0))


def test_models_without_calibration_or_environments_do_not_offer_them(calculator):
    assert calculator.implemented_properties == ["ms", "efg"]
    for name in ("ms_uncertainty", "novelty", "energy"):
        with pytest.raises(PropertyNotImplementedError):
            calculator.get_property(name, atoms())
    rng = np.random.default_rng(1)
    parts = {"mean": (4,), "projection": (4, 2), "points": (3, 2)}
    known = model().replace(environments={"O": {name: rng.normal(size=shape) for name, shape in parts.items()}})
    found = TensorCalculator(known).get_property("novelty", atoms())
    assert np.isnan(found[[0, 2]]).all() and (found[[1, 3, 4]] > 0).all()


def test_several_models_names_and_files_are_taken(tmp_path, calculator):
    path = model().save(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(
        TensorCalculator(path).get_property("ms", atoms()), calculator.get_property("ms", atoms())
    )
    assert TensorCalculator([model(), model()]).model.members == 2
    with pytest.raises(ConventionError, match="no model 'nothing' comes with jaxnmr"):
        TensorCalculator("nothing")
    with pytest.raises(ParseError, match="no such file"):
        TensorCalculator(tmp_path / "missing.safetensors")
    with pytest.raises(ConventionError, match="skin is -1"):
        TensorCalculator(model(), skin=-1)
    head = HeadConfig(name="dipole", irreps="1o", unit="e Å", sign="towards positive charge", elements=("O",))
    network = NetworkConfig(species=("O",), heads=(head,), hidden="4x0e+2x1o", layers=1, cutoff=3.0, radial=4)
    with pytest.raises(ConventionError, match="neither shieldings nor field gradients"):
        TensorCalculator(TensorModel(weights={}, scale={}, shift={}, config=network, card=ModelCard()))


def test_atoms_that_are_no_crystal_or_strangers_are_refused(calculator):
    molecule = ase.Atoms("SiO2", positions=[[0, 0, 0], [1.6, 0, 0], [-1.6, 0, 0]])
    with pytest.raises(ConventionError, match="0 cell vectors"):
        calculator.get_property("ms", molecule)
    slab = atoms()
    slab.pbc = [True, True, False]
    with pytest.raises(ConventionError, match=r"pbc = \[True, True, False\]"):
        calculator.get_property("ms", slab)
    stranger = atoms()
    stranger.symbols[0] = "Ge"
    with pytest.raises(ConventionError, match=r"contains Ge.*knows O, Si"):
        calculator.get_property("ms", stranger)
    close = atoms()
    close.positions[1] = close.positions[0] + 0.1
    with pytest.raises(ConventionError, match="apart"):
        calculator.get_property("ms", close)


def test_predictions_are_written_by_ase_and_read_with_unit_and_sign(tmp_path, calculator):
    # all atoms have a shielding; an EFG of oxygen only
    made = atoms()
    made.info["name"], made.arrays["ms"] = "mine", np.zeros((5, 9))
    annotated = calculator.annotated(made)
    assert annotated.info == {"name": "mine", "magres_units": {"ms": "ppm", "efg": "au"}}
    assert made.info == {"name": "mine"} and not made.arrays["ms"].any() and "labels" not in made.arrays
    del annotated.arrays["efg"], annotated.info["magres_units"]["efg"]
    ase.io.write(tmp_path / "made.magres", annotated, format="magres")
    back = read_magres(tmp_path / "made.magres")
    np.testing.assert_allclose(back.shielding_ppm, calculator.get_property("ms", made), rtol=1e-12)
    # shieldings of silicon are 400/sqrt3 ppm in this model: positive, not shifts
    assert float(isotropic(back.shielding_ppm[0])) == pytest.approx(400 / np.sqrt(3), abs=5)
    np.testing.assert_allclose(back.positions, made.positions)
    np.testing.assert_allclose(back.lattice, LATTICE)
    assert back.elements == ELEMENTS


@pytest.mark.parametrize("format", ["magres", "extxyz"])
def test_a_prediction_is_written_and_read_back_by_ase(tmp_path, calculator, format):
    prediction = model().predict(quartz())
    atoms = magres_to_ase(prediction.to_magres(), flat=format == "extxyz")
    ase.io.write(tmp_path / "quartz", atoms, format=format)
    back = ase.io.read(tmp_path / "quartz", format=format)
    assert back.get_chemical_symbols() == ["Si"] * 3 + ["O"] * 6
    # extxyz has eight decimals; silicon has no field gradient in this model, which stays nan
    atol = 1e-9 if format == "magres" else 1e-7
    for name, head in (("ms", "shielding"), ("efg", "efg")):
        np.testing.assert_allclose(back.arrays[name].reshape(9, 3, 3), prediction.of_atoms(head), atol=atol)
    assert np.isnan(back.arrays["efg"].reshape(9, 9)[:3]).all()
    # tensors and atoms are in one frame: what is predicted for the atoms that were read is what was written
    again = calculator.get_property("ms", back)
    np.testing.assert_allclose(again, back.arrays["ms"].reshape(9, 3, 3), atol=1e-5)
    # the reader of this package agrees with ASE's
    if format == "magres":
        mine = read_magres(tmp_path / "quartz")
        np.testing.assert_array_equal(mine.shielding_ppm, back.arrays["ms"])
        np.testing.assert_array_equal(mine.efg_au, back.arrays["efg"])


def test_atoms_without_a_tensor_are_left_out_of_files(tmp_path, calculator):
    made = atoms()
    path = write_magres(magres_from_ase(calculator.annotated(made)), tmp_path / "made.magres")
    back = read_magres(path)
    np.testing.assert_allclose(back.efg_au, calculator.get_property("efg", made), rtol=1e-12)
    assert np.isnan(back.efg_au[0]).all()
    assert np.trace(back.efg_au[1]) == pytest.approx(0.0, abs=1e-12)
