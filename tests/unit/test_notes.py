"""Notes: static fields that describe, and are not part of compiled programs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_problems import DOUBLET, histogram, rutile

import jaxnmr as jn
from jaxnmr._compilations import watch_compilations
from jaxnmr._struct import BLANK, NoteRead, Struct, bare, compiled, static
from jaxnmr.errors import ParameterError


class Sample(Struct):
    mass: jax.Array
    shape: str = static()
    file: str = static(note=True)


class Batch(Struct):
    samples: dict[str, Sample]
    title: str = static(note=True)


def sample(file: str, shape: str = "rod") -> Sample:
    return Sample(mass=np.array(2.0), shape=shape, file=file)


def test_structures_that_differ_in_notes_only_are_equal_once_bare():
    one, other = (Batch(samples={"a": sample(file)}, title=file) for file in ("first", "second"))
    assert jax.tree.structure(one) != jax.tree.structure(other)
    assert jax.tree.structure(bare(one)) == jax.tree.structure(bare(other))
    assert jax.tree.structure(bare(one)) != jax.tree.structure(bare(Batch(samples={"a": sample("", "disc")}, title="")))
    assert bare(one).title is BLANK and bare(one).samples["a"].file is BLANK
    assert bare(one).samples["a"].mass is one.samples["a"].mass
    assert one.title == "first"


def test_a_base_is_no_pytree_and_what_inherits_from_it_is():
    class Base(Struct, pytree=False):
        name: str

    class Made(Base):
        mass: jax.Array
        name: str = static()

    class Kept(Made, pytree=False):
        """One more that is none."""

    class Mine(jn.Term):
        name: str = static()

    made = Made(mass=np.array(2.0), name="it")
    assert jax.tree.leaves(made) == [made.mass] and float(jax.jit(lambda m: m.mass)(made)) == 2.0
    kept = Kept(mass=np.array(2.0), name="it")
    assert jax.tree.leaves(kept) == [kept] and bare(kept) is kept and type(kept.replace(name="other")) is Kept
    assert jax.tree.leaves(Mine(name="it")) == []


def test_notes_survive_transformations_of_what_is_not_compiled():
    doubled = jax.tree.map(lambda a: 2 * a, sample("here"))
    assert doubled.file == "here"
    assert jax.tree.map(lambda a: 2 * a, bare(sample("here"))).file is BLANK


def test_one_program_serves_all_notes_and_none_for_another_structure():
    @compiled
    def doubled(sample):
        return 2 * sample.mass

    with watch_compilations() as watch:
        for file in ("first", "second"):
            assert doubled(sample(file)) == 4.0
        doubled(sample("first", "disc"))
    assert watch.programs["doubled"] == 2


def test_a_function_that_looks_at_a_note_gets_it_and_a_program_of_its_own():
    traced = []

    @compiled
    def scaled(sample):
        traced.append(sample.file)
        return sample.mass * (10 if sample.file == "first" else 1)

    for _ in range(2):
        assert [float(scaled(sample(file))) for file in ("first", "second")] == [20.0, 2.0]
    assert traced[1:] == ["first", "second"]


@pytest.mark.parametrize(
    "look", [str, len, bool, hash, list, lambda b: b == "x", lambda b: b.name, lambda b: f"{b}", lambda b: "x" in b]
)
def test_a_blank_cannot_be_mistaken_for_a_value(look):
    with pytest.raises(NoteRead, match="only describes"):
        look(BLANK)


def test_a_term_may_read_the_name_of_a_structure():
    @jn.term("expected")
    def volume(state):
        return state.crystal.volume() - {"hot": 64.0, "cold": 62.0}[state.crystal.name]

    def objective(name):
        return jn.Objective(volume, crystal={"rutile": rutile().replace(name=name)})

    def start(name):
        return objective(name), objective(name).parameters().free("cell[a]")

    ends = [jn.refine(*start(name), suggest=False).crystal.volume() for name in ("hot", "cold")]
    np.testing.assert_allclose(ends, [64.0, 62.0], rtol=1e-9)
    for name in ("hot", "cold"):
        of, params = start(name)
        many = params.replace(flat=np.tile(params.flat, (3, 1)))
        found = jn.refine_starts(of, many, devices=jax.devices()[:1], width=2)
        np.testing.assert_allclose(found.best.crystal.volume(), {"hot": 64.0, "cold": 62.0}[name], rtol=1e-9)


def test_errors_while_compiling_name_what_they_are_about():
    @jn.term("silicon")
    def silicon(state):
        return jnp.asarray(state.sites("29Si"), float)

    with pytest.raises(ParameterError, match="heated rutile has no 29Si site"):
        jn.Objective(silicon, crystal={"a": rutile().replace(name="heated rutile")})


def test_the_length_of_a_term_is_that_of_its_residuals():
    crystal = rutile()
    term, _ = histogram(crystal, DOUBLET, np.arange(24, 72, 0.2))

    @jn.term("two numbers")
    def two(state):
        return jnp.stack([state.crystal.volume(), 1.0])

    bonds = jn.Restraint.bonds(crystal, sigma=0.02)
    objective = jn.Objective(term + two + bonds + jn.Prior("u_iso", 0.01, 0.01), crystal=crystal)
    params = objective.parameters()
    state = jax.eval_shape(lambda p: objective.state(p.values), params)
    slices = objective.row_slices(params)
    for t in objective.terms:
        assert slices[t.name].stop - slices[t.name].start == jax.eval_shape(t.residuals, state).shape[0]
    assert slices["prior u_iso"].stop == len(objective.residuals(params))
