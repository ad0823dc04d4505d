"""`Struct`: a base class that makes its subclasses pytrees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnmr._struct import Struct, compiled, set_fields, static


class Sample(Struct):
    mass: jax.Array
    shape: str = static(default="rod")


class Tube(Sample):
    length: float = 1.0


class Ring(Struct):
    radius: jax.Array

    def __init__(self, diameter: float) -> None:
        if diameter < 0:
            raise ValueError("negative")
        set_fields(self, radius=diameter / 2)

    def __repr__(self) -> str:
        return f"a ring of radius {self.radius}"


def test_a_subclass_is_a_pytree_of_its_fields_that_are_not_static():
    assert jax.tree.leaves(Sample(mass=2.0)) == [2.0]
    assert jax.tree.leaves(Tube(mass=2.0, shape="", length=3.0)) == [2.0, 3.0]
    assert jax.tree.structure(Sample(mass=2.0)) != jax.tree.structure(Sample(mass=2.0, shape="disc"))
    paths, _ = jax.tree_util.tree_flatten_with_path(Sample(mass=2.0))
    assert jax.tree_util.keystr(paths[0][0]) == ".mass"


def test_jax_builds_objects_without_asking_the_constructor():
    assert jax.tree.map(lambda r: -r, Ring(4.0)).radius == -2.0
    with pytest.raises(ValueError, match="negative"):
        Ring(-4.0)


def test_fields_are_set_once_and_by_name():
    sample = Sample(mass=2.0)
    with pytest.raises(AttributeError):
        sample.mass = 3.0
    with pytest.raises(TypeError):
        Sample(2.0)


def test_a_replaced_field_leaves_the_others_and_the_original_alone():
    tube = Tube(mass=2.0, shape="disc", length=3.0)
    longer = tube.replace(length=4.0)
    assert type(longer) is Tube and (longer.mass, longer.shape, longer.length) == (2.0, "disc", 4.0)
    assert tube.length == 3.0
    assert jax.grad(lambda length: tube.replace(length=length**2).length)(3.0) == 6.0
    with pytest.raises(TypeError, match=r"Tube has no field \['width'\]"):
        tube.replace(width=1.0)


def test_arrays_are_shown_by_kind_and_shape_unless_a_class_shows_itself():
    assert repr(Sample(mass=np.zeros((2, 3)))) == "Sample(mass=float64[2,3], shape='rod')"
    assert repr(Ring(4.0)) == "a ring of radius 2.0"


def test_a_compiled_function_keeps_its_name_and_shows_its_program():
    @compiled
    def weight(sample: Sample) -> jax.Array:
        """What it weighs."""
        return 9.81 * sample.mass

    assert (weight.__name__, weight.__doc__) == ("weight", "What it weighs.")
    assert weight(Sample(mass=jnp.array(2.0))) == pytest.approx(19.62)
    assert "multiply" in weight.lower(Sample(mass=jnp.array(2.0))).as_text()
