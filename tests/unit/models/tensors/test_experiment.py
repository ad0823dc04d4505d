"""Trainings from files to scores: what is used, how it is checked and split, and what a model knows of its training."""

from dataclasses import asdict, replace

import jax
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from small_tensor_data import NETWORK, frame, quartz_frame, rattled, write

from jaxnmr.errors import ConventionError, DataError, ParseError
from jaxnmr.models import TensorModel
from jaxnmr.models.data.tensor_data import TensorData
from jaxnmr.models.data.training_data import DataSource, Split, check_labels
from jaxnmr.models.tensors.anchors import anchors_for
from jaxnmr.models.tensors.experiment import Experiment, evaluate, load_models, run_experiment, structure_mark
from jaxnmr.models.tensors.metrics import orientation_error_deg, random_orientation_deg
from jaxnmr.models.tensors.recipe import Recipe

QUARTER = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


@pytest.fixture(scope="module")
def frames():
    return rattled(16)


@pytest.fixture(scope="module")
def file(frames, tmp_path_factory):
    return write(tmp_path_factory.mktemp("data") / "small.extxyz", frames)


def source(path, **changes):
    return DataSource(**({"format": "extxyz", "path": path, "quantity": "efg", "group": "prototype"} | changes))


def experiment(path, **changes):
    arguments = {
        "title": "small",
        "source": source(path),
        "split": Split(fractions=(0.5, 0.25, 0.25)),
        "network": NETWORK,
        "recipe": Recipe(epochs=4, batch=4, ema=0.5),
        "members": 2,
    }
    return Experiment(**(arguments | changes))


@pytest.fixture(scope="module")
def done(file, tmp_path_factory):
    return run_experiment(experiment(file), tmp_path_factory.mktemp("done"))


class Stop(Exception):
    pass


def same(one, two):
    return all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True))


def test_an_interrupted_training_goes_on_and_ends_with_the_same_weights(done, file, tmp_path):
    def stop(member, info):
        if (member, info.epoch) == (1, 2):
            raise Stop

    with pytest.raises(Stop):
        run_experiment(experiment(file), tmp_path, callback=stop)
    assert not (tmp_path / "model.safetensors").exists()
    told = []
    resumed = run_experiment(experiment(file), tmp_path, callback=lambda m, info: told.append((m, info.epoch)))
    assert told == [(1, 3), (1, 4)]
    assert resumed.histories == done.histories
    assert same(resumed.model, done.model)
    assert asdict(resumed.model.card) == asdict(done.model.card)
    assert not same(done.model.member(0).weights, done.model.member(1).weights)


def test_the_state_of_another_training_is_refused(done, file, tmp_path):
    other = replace(experiment(file), recipe=Recipe(epochs=4, batch=4, ema=0.5, learning_rate=1e-3))
    (tmp_path / "member_0.state").write_bytes((done.file.parent / "member_0.state").read_bytes())
    message = r"member_0\.state.*another training \(recipe: learning_rate 0\.005 there, 0\.001 here\); remove it"
    with pytest.raises(ParseError, match=message):
        run_experiment(other, tmp_path)
    other = replace(experiment(file), source=source(file, exclude=("s1",)))
    with pytest.raises(ParseError, match=r"another training \(.*another labels\)"):
        run_experiment(other, tmp_path)


def test_a_model_knows_what_it_was_trained_on(done):
    prepared = done.prepared
    assert {part: len(indices) for part, indices in prepared.parts.items()} == {"train": 8, "valid": 4, "test": 4}
    model = load_models([done.file])
    assert same(model, done.model)
    test, train, everything = (evaluate(model, prepared, part) for part in ("test", "train", "all"))
    assert (test.trained, test.followed, test.alike) == (0, 0, 0) and test.caveats() == []
    assert (train.trained, everything.trained, everything.followed) == (8, 8, 4)
    assert "All 8 structures were TRAINED ON" in train.caveats()[0]
    assert "8 of the 16" in everything.caveats()[0] and "4 of the 16" in everything.caveats()[1]
    assert model.card.scores["O/cq_mae_mhz"] == pytest.approx(test.scores()["O"]["cq_mae_mhz"])
    silent = model.replace(card=replace(model.card, training={}))
    assert evaluate(silent, prepared).trained is None
    assert "does not say" in evaluate(silent, prepared).caveats()[0]
    with pytest.raises(DataError, match="no part 'exam'"):
        evaluate(model, prepared, "exam")


def test_the_mean_of_members_is_judged_beside_each_of_them(done):
    test = done.evaluations["test"]
    predictions = [m["O"]["vzz_mae"] for m in test.members]
    assert len(predictions) == 2 and predictions[0] != predictions[1]
    assert test.scores()["O"]["vzz_mae"] <= max(predictions)
    # a file each or one file: the same ensemble
    files = [done.model.member(k).save(done.file.parent / f"m{k}.safetensors") for k in range(2)]
    together = load_models(files)
    assert together.members == 2
    assert evaluate(together, done.prepared).scores() == test.scores()
    assert evaluate(together, done.prepared, "train").trained == 8


def test_a_random_split_has_near_duplicates_on_both_sides(done, file):
    split = Split(kind="random", fractions=(0.5, 0.25, 0.25))
    random = experiment(file, split=split).prepare()
    marks = [structure_mark(random.data.structures[k]) for k in random.parts["train"]]
    card = replace(done.model.card, training={"structures": {"train": marks}})
    found = evaluate(done.model.replace(card=card), random, "test")
    groups = {random.data.groups[k] for k in random.parts["train"]}
    expected = sum(random.data.groups[k] in groups for k in random.parts["test"])
    assert found.trained == 0 and found.alike == expected > 0
    assert "near-duplicate" in found.caveats()[-1]


def test_a_model_is_trained_further_with_its_own_network(done, file, tmp_path):
    start = done.model.member(0).save(tmp_path / "start.safetensors")
    further = experiment(file, start=start, network={}, members=1)
    result = run_experiment(further, tmp_path / "out")
    assert result.model.config == done.model.config and result.model.card.training["start"] == "start.safetensors"
    assert not same(result.model.weights, done.model.member(0).weights)
    # it begins where the other ended
    assert result.histories[0][0].train_loss < done.histories[0][0].train_loss
    with pytest.raises(ConventionError, match=r"leave \[network\] out"):
        run_experiment(replace(further, network=NETWORK), tmp_path / "other")
    # the same run from another start is another training
    other = done.model.member(1).save(tmp_path / "other.safetensors")
    with pytest.raises(ParseError, match=r"another training \(another starting model\)"):
        run_experiment(replace(further, start=other), tmp_path / "out")


def test_members_start_from_the_features_of_an_ensemble_for_another_quantity(done, file, tmp_path):
    other = experiment(
        file, start=done.file, network={"irreps": "0e+2e"}, source=source(file, quantity="shielding"), members=2,
        recipe=replace(done.experiment.recipe, epochs=1),
    )  # fmt: skip
    result = run_experiment(other, tmp_path)
    assert [head.name for head in result.model.config.heads] == ["shielding"] and result.model.members == 2
    assert result.model.config.layers == done.model.config.layers


def test_elements_a_model_has_never_seen_are_named(done, tmp_path):
    strange = frame(tag="strange")
    strange.symbols[0] = "Ge"
    strange = experiment(
        write(tmp_path / "strange.extxyz", [strange]),
        split=Split(kind="all"),
        source=source(tmp_path / "strange.extxyz", group=None),
    )
    with pytest.raises(ConventionError, match="Ge, which this model has never seen"):
        evaluate(done.model, strange.prepare(), "all")
    shielding = replace(strange, source=source(tmp_path / "strange.extxyz", group=None, quantity="shielding"))
    with pytest.raises(ConventionError, match="does not predict 'shielding'"):
        evaluate(done.model, shielding.prepare(), "all")


def test_a_model_of_everything_has_no_scores_but_those_of_its_memory(file, tmp_path):
    half = source(file, exclude=tuple(f"s{k}" for k in range(8)))
    result = run_experiment(experiment(file, source=half, split=Split(kind="all"), members=1), tmp_path)
    assert list(result.evaluations) == ["train"] and "TRAINED ON" in result.evaluations["train"].caveats()[0]
    assert result.model.card.scores == {} and result.model.card.calibration == {}


def test_a_short_training_is_told_that_its_average_remembers_the_start(file, done):
    # 10 epochs of 2 steps
    assert experiment(file, recipe=Recipe(epochs=10, batch=4)).remembered(8) == pytest.approx(0.99**20)
    assert experiment(file, start=done.file).remembered(8) == 0.0
    # 0.5^8 are 0.4 %: too little to mention. The validation part is too small for a calibration
    (warning,) = done.warnings
    assert "cannot say how uncertain it is: 12 of O" in warning


def test_labels_are_restricted_to_what_is_asked_for(file, tmp_path, frames):
    both = source(file, quantity="shielding")
    assert both.read().labelled_elements == ("O", "Si")
    assert replace(both, elements=("Si",)).read().labelled_elements == ("Si",)
    assert len(replace(both, exclude=("s3", "s4")).read()) == 14
    germanium = frames[0].copy()
    germanium.symbols[0], germanium.info["tag"] = "Ge", "ge"
    mixed = source(write(tmp_path / "mixed.extxyz", [*frames, germanium]), quantity="shielding")
    assert len(mixed.read()) == 17 and len(replace(mixed, composition=("O", "Si")).read()) == 16
    assert [s.name for s in replace(mixed, elements=("Ge",)).read().structures] == ["ge"]
    for changes, message in (
        ({"elements": ("Al",)}, "no shielding labels of Al; it has those of Ge, O, Si"),
        ({"composition": ("Al",)}, "consists of Al alone"),
        ({"exclude": ("s99",)}, "exclude names s99"),
    ):
        with pytest.raises(DataError, match=message):
            replace(mixed, **changes).read()


def test_groups_are_made_of_names(file):
    pattern = source(file, group=None, group_pattern=r"s(\d)").read()
    assert pattern.groups[0] == "0" and pattern.groups[10] == pattern.groups[15] == "1"
    assert len(set(source(file, group=None).read().groups)) == 16
    for text, message in (("x", "finds nothing in the name 's0'"), ("(", "no regular expression")):
        with pytest.raises(ConventionError, match=message):
            source(file, group_pattern=text).read()
    with pytest.raises(ConventionError, match="group_pattern instead"):
        source(file, format="magres")
    with pytest.raises(ConventionError, match="si_nmr holds shieldings"):
        source(file, format="si_nmr", group=None)


def test_a_split_without_room_for_three_parts_is_refused(file):
    data = source(file).read()
    one = replace(data, groups=("all",) * 16)
    with pytest.raises(DataError, match=r"1 groups \(16 structures\).*group_pattern.*random"):
        Split().parts(one)
    large = replace(data, groups=("big",) * 14 + ("b", "c"))
    with pytest.raises(DataError, match="group 'big' holds 14"):
        [Split(seed=seed).parts(large) for seed in range(6)]
    with pytest.raises(DataError, match="2 structures"):
        Split(kind="random").parts(data.take([0, 1]))
    assert list(Split(kind="all").parts(one)) == ["train"] and len(Split(kind="all").parts(one)["train"]) == 16
    for bad in ({"kind": "some"}, {"fractions": (0.9, 0.1)}, {"fractions": (1.0, 0.0, 0.0)}):
        with pytest.raises(ConventionError):
            Split(**bad)


def test_an_element_that_is_labelled_in_the_test_alone_is_named(tmp_path, frames):
    made = [f.copy() for f in frames[:6]]
    for f in made:
        f.info["prototype"] = f.info["tag"]
    made[4].symbols[1] = "S"
    path = write(tmp_path / "one.extxyz", made)
    seeds = range(8)
    held_out = next(
        s for s in seeds if 4 in Split(seed=s, fractions=(0.5, 0.25, 0.25)).parts(source(path).read())["test"]
    )
    with pytest.raises(DataError, match="no label of S is in the training part"):
        experiment(path, split=Split(seed=held_out, fractions=(0.5, 0.25, 0.25))).prepare()
    # unlabelled ones are a warning: the network knows nothing of them
    oxygen = experiment(
        path, source=source(path, elements=("O",)), split=Split(seed=held_out, fractions=(0.5, 0.25, 0.25))
    )
    assert "1 test structures contain S, which no training structure contains" in oxygen.prepare().warnings()


def test_tensors_in_another_frame_are_left_out_and_named(tmp_path):
    frames = [quartz_frame(tag="right"), quartz_frame(QUARTER, tag="turned"), *rattled(3)]
    path = write(tmp_path / "frames.extxyz", frames)
    data = source(path, group=None).read()
    kept, report = check_labels(data)
    assert [s.name for s in kept.structures] == ["right", "s0", "s1", "s2"] and report.excluded == ("turned",)
    text = "\n".join(report.lines())
    assert "left out turned" in text and "2 structures have symmetry that tests it, 1 violate it" in text
    with pytest.raises(DataError, match="turned violate the symmetry"):
        check_labels(data, wrong_frame="error")
    with pytest.raises(DataError, match="all 1 structures"):
        check_labels(data.take([1]))


def test_labels_of_mixed_units_missing_labels_and_half_labels_are_refused(tmp_path, frames):
    mixed = [f.copy() for f in frames[:4]]
    mixed[2].arrays["efg"] = 97.174 * mixed[2].arrays["efg"] + 20 * np.diag([1.0, 1.0, -2.0]).reshape(9)
    with pytest.raises(DataError, match=r"s2 has an EFG of .* V/Å\^2 are 97\.174 times as large"):
        check_labels(source(write(tmp_path / "mixed.extxyz", mixed)).read())
    without = [f.copy() for f in frames[:4]]
    del without[1].arrays["efg"]
    with pytest.raises(DataError, match="s1 has no efg tensors; it has ms"):
        source(write(tmp_path / "without.extxyz", without)).read()
    half = [f.copy() for f in frames[:4]]
    half[3].arrays["efg"][1, 4] = np.nan
    with pytest.raises(DataError, match=r"s3: the tensor of O_\d has numbers that are not finite"):
        source(write(tmp_path / "half.extxyz", half)).read()


def test_labels_of_the_other_sign_are_refused(monkeypatch, file):
    import jaxnmr.models.data.training_data as module
    from jaxnmr.models.data.tensor_checks import SignCheck

    monkeypatch.setattr(module, "check_sign", lambda data: SignCheck("a trend", 50, -0.8))
    data = source(file).read()
    with pytest.raises(DataError, match=r"other sign: a trend: -0\.80 over 50 sites.*multiply by -1"):
        check_labels(data)
    assert len(check_labels(data, wrong_sign="ignore")[0]) == 16


def test_published_numbers_say_whether_they_are_of_the_same_data():
    (venetos, glass) = anchors_for("shielding", ["Si"])
    assert venetos.value == "1.05 ppm" and "random" in venetos.split
    assert venetos.same_data("si_nmr (Venetos 2023)", 418) is True and venetos.same_data("mine", 421) is False
    # pure silica is another, easier set
    assert venetos.same_data("si_nmr (Venetos 2023)", 225) is None
    assert glass.same_data("si_nmr (Venetos 2023)", 421) is False and glass.same_data("", 800) is False
    assert anchors_for("efg", ["Al"]) == ()


def test_frames_at_random_are_off_by_chance():
    one, two = Rotation.random(4000, rng=1).as_matrix(), Rotation.random(4000, rng=2).as_matrix()
    angles, chance = orientation_error_deg(one, two), random_orientation_deg(4000)
    np.testing.assert_allclose(np.quantile(angles, [0.1, 0.5, 0.9]), np.quantile(chance, [0.1, 0.5, 0.9]), atol=2.0)
    assert chance.max() < 120.0 and 77.0 < np.median(chance) < 81.0


@pytest.mark.real_data
def test_the_three_wrong_frames_of_the_silicon_oxides_are_found(data):
    run = Experiment(title="si", source=DataSource(format="si_nmr", path=data / "si_nmr", quantity="shielding"))
    prepared = run.prepare()
    assert set(prepared.labels.excluded) == {"90", "289", "373"} and len(prepared.data) == 418
    assert sum(map(len, prepared.parts.values())) == 418


@pytest.mark.real_data
def test_pairs_of_gehlenite_orderings_are_on_one_side(data):
    path = data / "gehlenite_efg"
    found = DataSource(format="magres", path=path, quantity="efg", group_pattern=r"T1Si\d[b-e]?").read()
    assert isinstance(found, TensorData) and len(found) == 49 and len(set(found.groups)) == 25


def test_a_model_of_another_architecture_is_no_member(done, tmp_path):
    config = replace(done.model.config, cutoff=3.2)
    other = TensorModel.create(config, key=jax.random.key(0)).save(tmp_path / "other.safetensors")
    with pytest.raises(ConventionError, match="another architecture"):
        load_models([done.file, other])
