"""Parameters: choosing, fixing, setting, bounding and tying values by name, with symmetry kept."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_problems import monoclinic, rutile, trigonal

import jaxnmr as jn
from jaxnmr.errors import ConventionError, ParameterError
from jaxnmr.objective.parameters import Parameters
from jaxnmr.typing import Quantity


@jn.term("nothing", sigma=1.0)
def nothing(state):
    return jnp.zeros(1)


def parameters(*crystals: jn.Crystal) -> Parameters:
    return jn.Objective(nothing, crystal={c.name: c for c in crystals}).parameters()


def plain(**sizes: int) -> Parameters:
    """Parameters without symmetry: one quantity per keyword, labelled a b c ..."""
    return Parameters.create(
        {k: Quantity(value=np.arange(1.0, n + 1), labels=tuple("abcdefgh"[:n]), scale=0.5) for k, n in sizes.items()}
    )


# -- names -------------------------------------------------------------------------------------------------------------
def test_nothing_is_free_at_the_start():
    assert parameters(rutile()).n_free == 0


def test_every_value_has_a_name_unit_and_row():
    params = parameters(monoclinic())
    rows = {r.name: r for r in params.free("cell").rows()}
    assert len(rows) == len(params.labels) == params.flat.size
    assert rows["cell[a]"].unit == "Å" and rows["cell[beta]"].unit == "°"
    assert rows["cell[a]"].free and rows["cell[beta]"].free and not rows["cell[alpha]"].free
    assert rows["xyz[O1.y]"].value == pytest.approx(0.31)
    assert (rows["occupancy[O1]"].lower, rows["occupancy[O1]"].upper) == (0.0, 1.0)


def test_patterns_match_names_and_elements_separately():
    params = parameters(monoclinic())
    assert params.free("xyz[O*]").free_names == ("xyz[O1.x]", "xyz[O1.y]", "xyz[O1.z]")
    assert params.free("xyz[O1]").free_names == ("xyz[O1.x]", "xyz[O1.y]", "xyz[O1.z]")
    assert params.free("xyz[*.y]").free_names == ("xyz[S1.y]", "xyz[O1.y]", "xyz[N1.y]")
    assert params.free("*").n_free == 4 + 9 + 2 + 6 + 3


def test_several_phases_carry_their_names():
    params = parameters(monoclinic(), rutile())
    assert params.free("*/cell").free_names == (
        "mono/cell[a]", "mono/cell[b]", "mono/cell[c]", "mono/cell[beta]", "rutile/cell[a]", "rutile/cell[c]",
    )  # fmt: skip
    assert params.free("rutile/xyz").free_names == ("rutile/xyz[O1.x]",)


def test_brackets_in_the_name_of_a_phase_or_an_atom_do_no_harm():
    odd = jn.Crystal.create(
        cell=(5, 6, 7, 90, 90, 90), spacegroup="P 2 2 2", species=["O", "N"], labels=["O[1]", "N'"],
        xyz=[[0.1, 0.2, 0.3], [0.4, 0.2, 0.7]], name="Fe2O3 [alpha]",
    )  # fmt: skip
    params = parameters(odd, rutile())
    assert params.free("Fe2O3 [alpha]/cell").n_free == 3
    assert params.free("Fe2O3 [alpha]/xyz[O[1].y]").free_names == ("Fe2O3 [alpha]/xyz[O[1].y]",)
    assert params["Fe2O3 [alpha]/u_iso[N']"] == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("cel", "'cell'"), ("xyz[01.x]", "'xyz[O1.x]'"), ("uiso", "'u_iso'"), ("xyz[O1.w]", "'xyz[O1.")],
)
def test_an_unknown_name_suggests_what_was_meant(wrong, meant):
    params = parameters(monoclinic())
    for use in (
        params.free,
        params.fix,
        lambda p: params.set(p, 1.0),
        lambda p: params.bound(p, 0.0),
        params.untie,
        params.__getitem__,
    ):
        with pytest.raises(ParameterError, match="did you mean") as caught:
            use(wrong)
        assert meant in str(caught.value)


def test_a_name_like_nothing_lists_the_names():
    with pytest.raises(ParameterError, match=r"the names are cell, xyz, u_iso, u_aniso, occupancy"):
        parameters(monoclinic()).free("qqqqqqqq")


# -- symmetry ----------------------------------------------------------------------------------------------------------
def test_symmetry_leaves_these_directions():
    params = parameters(trigonal()).free("cell", "xyz", "u_aniso", "u_iso")
    assert params.free_names == (
        "cell[a]", "cell[c]",
        "xyz[La1.z]", "xyz[O1.x]", "xyz[O1.z]", "xyz[F1.x]", "xyz[F1.y]", "xyz[F1.z]",
        "u_iso[Ni1]", "u_iso[F1]",
        "u_aniso[La1.U11]", "u_aniso[La1.U33]", "u_aniso[O1.U11]", "u_aniso[O1.U22]", "u_aniso[O1.U33]", "u_aniso[O1.U13]",
    )  # fmt: skip


def test_values_that_follow_by_symmetry_move_along():
    params = parameters(trigonal()).free("xyz", "u_aniso", "cell")
    moved = params.at(params.theta + np.linspace(1.0, 2.0, params.n_free))
    x, y, z = moved["xyz"][2]
    assert y == pytest.approx(2 * x) and z != params["xyz"][2][2]
    u = moved["u_aniso"][0]
    assert u == pytest.approx([u[0], u[0], u[2], u[0] / 2, 0, 0])
    # mirror through x 2x z: U12 = U22/2 and U23 = 2 U13
    u = moved["u_aniso"][2]
    assert u[3] == pytest.approx(u[1] / 2) and u[5] == pytest.approx(2 * u[4])
    a, b, c, alpha, beta, gamma = moved["cell"]
    assert a == b != c and (alpha, beta, gamma) == (90, 90, 120)


def test_what_cannot_be_refined_says_why():
    params = parameters(trigonal())
    with pytest.raises(ParameterError, match=r"follows xyz\[O1.x\] by symmetry: free or fix that instead"):
        params.free("xyz[O1.y]")
    with pytest.raises(ParameterError, match=r"follows cell\[a\] by symmetry"):
        params.free("cell").fix("cell[b]")
    with pytest.raises(ParameterError, match="symmetry fixes it"):
        params.free("xyz[Ni1.x]")
    with pytest.raises(ParameterError, match="symmetry fixes it"):
        params.free("xyz[Ni1]")
    with pytest.raises(ParameterError, match=r"'u_iso\[La1\]' has nothing to refine here; free u_aniso instead"):
        params.free("u_iso[La1]")
    # a pattern takes what it can get, and fixing what is fixed is no mistake
    assert params.free("xyz[*1.x]").free_names == ("xyz[O1.x]", "xyz[F1.x]")
    assert params.fix("xyz[Ni1]").n_free == 0


def test_freeing_the_kind_of_displacement_that_a_structure_does_not_have_names_the_other():
    iso = monoclinic().replace(anisotropic=(False,) * 3)
    only = trigonal().replace(anisotropic=(True,) * 4, name="other")
    with pytest.raises(ParameterError, match="'u_iso' has nothing to refine here; free u_aniso instead"):
        parameters(only).free("u_iso")
    with pytest.raises(ParameterError, match="'u_aniso' has nothing to refine here; free u_iso instead"):
        parameters(iso).free("u_aniso")
    # where both are asked for, or one phase has it, nothing is missed
    assert parameters(iso).free("u_iso", "u_aniso").n_free == iso.n_sites
    assert parameters(iso, only).free("*/u_iso").n_free == iso.n_sites
    with pytest.raises(ParameterError, match="free other/u_aniso instead"):
        parameters(iso, only).free("other/u_iso")


def test_fixing_takes_back_what_was_freed():
    params = parameters(monoclinic()).free("cell", "xyz").fix("xyz[S1.y]", "cell[beta]", "xyz[N1]")
    assert params.free_names == (
        "cell[a]",
        "cell[b]",
        "cell[c]",
        "xyz[S1.x]",
        "xyz[S1.z]",
        "xyz[O1.x]",
        "xyz[O1.y]",
        "xyz[O1.z]",
    )


def test_setting_keeps_the_symmetry():
    params = parameters(trigonal())
    assert params.set("xyz[O1.x]", 0.18)["xyz[O1.y]"] == pytest.approx(0.36)
    assert params.set("cell", [6.2, 9.9, 7.4, 80, 80, 80])["cell"] == pytest.approx([6.2, 6.2, 7.4, 90, 90, 120])
    everything = params.set("xyz", np.full((4, 3), 0.11))["xyz"]
    assert everything[0] == pytest.approx([1 / 3, 2 / 3, 0.11])
    assert everything[1] == pytest.approx([0.5, 0, 0])
    assert everything[2] == pytest.approx([0.11, 0.22, 0.11])
    # values that depend on two others need both: U12 = U22/2 here, whichever way they are set
    u = params.set("u_aniso[O1.*]", [0.02, 0.03, 0.04, 9.0, 0.005, 9.0])["u_aniso"][2]
    assert u == pytest.approx([0.02, 0.03, 0.04, 0.015, 0.005, 0.01])
    assert params.set("u_iso", 0.05)["u_iso"] == pytest.approx([0, 0.05, 0, 0.05])


def test_setting_a_single_value_that_symmetry_decides_is_refused():
    params = parameters(trigonal())
    with pytest.raises(ParameterError, match=r"symmetry or a tie makes it 0.34"):
        params.set("xyz[O1.y]", 0.4)
    with pytest.raises(ParameterError, match="symmetry or a tie makes it 90"):
        params.set("cell[alpha]", 91.0)
    with pytest.raises(ParameterError, match="symmetry or a tie makes it 0"):
        params.set("u_iso[La1]", 0.01)


def test_a_value_that_depends_on_two_directions_follows_both():
    mixed = Quantity(
        value=np.array([1.0, 2.0, 5.0]), labels=("p", "q", "sum"), basis=np.array([[1, 0], [0, 1], [1, 2.0]])
    )
    params = Parameters.create({"m": mixed})
    assert params.set("m", [2.0, 4.0, 0.0])["m"] == pytest.approx([2.0, 4.0, 10.0])
    assert params.set("m[q]", 3.0)["m"] == pytest.approx([1.0, 3.0, 7.0])
    with pytest.raises(ParameterError, match=r"follows m\[p\], m\[q\]"):
        params.free("m[sum]")


def test_a_primitive_setting_of_a_body_centred_tetragonal_lattice_stays_tetragonal():
    a, c = 5.0, 8.0
    edge = np.sqrt(a * a / 2 + c * c / 4)
    # vectors (-a a c)/2, (a -a c)/2, (a a -c)/2
    ab = np.degrees(np.arccos((-a * a / 2 + c * c / 4) / edge**2))
    ac = np.degrees(np.arccos((-c * c / 4) / edge**2))
    group = jn.crystal.SpaceGroup.from_operations(_primitive_fourfold())
    crystal = jn.Crystal.create(
        cell=(edge, edge, edge, ac, ac, ab), spacegroup=group, species=["Sn"], xyz=[[0.0, 0.0, 0.0]], name="bct"
    )
    objective = jn.Objective(nothing, crystal=crystal)
    params = objective.parameters().free("cell")
    assert params.n_free == 2
    moved = params.at(params.theta + np.array([20.0, -15.0]))
    cell = np.asarray(objective.state({k: jnp.asarray(v) for k, v in moved.values.items()}).crystal.cell)
    projected = crystal.replace(cell=cell)
    metric = np.asarray(jn.crystal.metric(cell))
    for r in group.rotations:
        np.testing.assert_allclose(r.T @ metric @ r, metric, atol=1e-9)
    assert not np.allclose(projected.cell, crystal.cell, rtol=1e-3)


def _primitive_fourfold():
    """The operations of I 4 in the primitive axes of the body-centred cell."""
    conventional = np.array([[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.5, 0.5, -0.5]])
    fourfold = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])
    triplets = []
    for power in range(4):
        rotation = np.linalg.matrix_power(fourfold, power)
        primitive = np.rint(np.linalg.inv(conventional.T) @ rotation @ conventional.T).astype(int)
        triplets.append(",".join(_row(row) for row in primitive))
    return triplets


def _row(row):
    terms = [("+" if k > 0 else "-") + axis for k, axis in zip(row, "xyz", strict=True) if k]
    return "".join(terms).lstrip("+")


# -- setting and bounds ------------------------------------------------------------------------------------------------
def test_setting_checks_number_and_bounds():
    params = parameters(monoclinic())
    with pytest.raises(ParameterError, match="stands for 9 values; got 2"):
        params.set("xyz", [0.1, 0.2])
    with pytest.raises(ConventionError, match="value is nan; expected a finite number"):
        params.set("xyz[O1.x]", np.nan)
    with pytest.raises(ParameterError, match="not finite"):
        params.set("xyz[O1.x]", [np.inf])
    with pytest.raises(ParameterError, match=r"occupancy\[O1\] = 1.5 is outside its bounds \[0, 1\]"):
        params.set("occupancy[O1]", 1.5)


def test_bounds_apply_to_scaled_numbers():
    params = plain(p=2).free("p").bound("p[a]", lower=0.0, upper=4.0)
    lower, upper = params.theta_bounds()
    assert lower.tolist() == [0.0, -np.inf] and upper.tolist() == [8.0, np.inf]
    assert params.theta.tolist() == [2.0, 4.0]


def test_bounds_that_cross_or_exclude_the_value_are_refused():
    params = plain(p=2)
    with pytest.raises(ParameterError, match="cross"):
        params.bound("p[a]", lower=2.0, upper=1.0)
    with pytest.raises(ParameterError, match="lies outside the bounds"):
        params.bound("p", lower=1.5)


def test_bounds_of_values_that_follow_hold_for_what_they_follow():
    follows = Quantity(value=np.array([1.0, -2.0]), labels=("x", "y"), basis=np.array([[1.0], [-2.0]]))
    params = (
        Parameters.create({"m": follows, "n": Quantity(value=np.array(7.0))})
        .free("m")
        .tie("n", "m[x]", factor=2.0, offset=5.0)
    )
    assert params.bound("m[y]", lower=-3.0, upper=-1.0).theta_bounds() == ([0.5], [1.5])
    assert params.bound("n", upper=8.0).theta_bounds() == ([-np.inf], [1.5])


def test_a_start_on_its_bound_stays_allowed():
    params = plain(p=1).free("p").bound("p", lower=1.0 - 1e-17)
    assert params.theta_bounds()[0][0] <= params.theta[0]


# -- ties --------------------------------------------------------------------------------------------------------------
def test_a_tied_value_follows_and_is_not_counted():
    params = parameters(monoclinic()).free("u_iso").tie("u_iso[N1]", "u_iso[O1]", factor=1.2, offset=0.001)
    assert params.free_names == ("u_iso[O1]",)
    assert params["u_iso[N1]"] == pytest.approx(1.2 * 0.015 + 0.001)
    moved = params.at(params.theta + 1.0)
    assert moved["u_iso[N1]"] == pytest.approx(1.2 * 0.025 + 0.001)
    row = next(r for r in moved.rows() if r.name == "u_iso[N1]")
    assert row.free and row.tied_to == "u_iso[O1]"


def test_a_tied_value_follows_what_is_set():
    params = parameters(monoclinic()).tie("u_iso[N1]", "u_iso[O1]", factor=2.0)
    assert params.set("u_iso[O1]", 0.02)["u_iso[N1]"] == pytest.approx(0.04)
    with pytest.raises(ParameterError, match="symmetry or a tie makes it"):
        params.set("u_iso[N1]", 0.01)
    with pytest.raises(ParameterError, match="tied to another parameter"):
        params.free("u_iso[N1]")


def test_what_follows_a_tied_value_by_symmetry_follows_the_tie():
    params = parameters(trigonal()).tie("xyz[O1.x]", "xyz[F1.x]", factor=1.7).free("xyz[F1.x]")
    moved = params.at(params.theta + 2.0)
    assert moved["xyz[F1.x]"] == pytest.approx(0.12)
    assert moved["xyz"][2] == pytest.approx([1.7 * 0.12, 3.4 * 0.12, 0.36])


def test_many_values_may_be_tied_to_one():
    params = plain(p=4).tie("p[*]", "p[b]").free("p")
    assert params.free_names == ("p[b]",)
    assert params["p"] == pytest.approx(np.full(4, 2.0))


def test_ties_that_make_no_sense_are_refused():
    params = plain(p=4, q=2).tie("p[b]", "p[a]")
    with pytest.raises(ParameterError, match=r"p\[b\] is tied itself"):
        params.tie("p[c]", "p[b]")
    with pytest.raises(ParameterError, match=r"p\[a\] is tied itself"):
        params.tie("p[a]", "p[d]")
    with pytest.raises(ParameterError, match=r"cannot tie 'p\[a\]' to itself"):
        params.tie("p[a]", "p[a]")
    with pytest.raises(ParameterError, match=r"cannot tie 'p' \(4 values\) to 'q' \(2 values\)"):
        params.tie("p", "q")
    with pytest.raises(ParameterError, match="symmetry prescribes"):
        parameters(trigonal()).tie("xyz[O1.y]", "xyz[F1.y]")
    with pytest.raises(ParameterError, match="symmetry prescribes"):
        parameters(trigonal()).tie("xyz[Ni1]", "xyz[F1]")


def test_a_tie_can_be_replaced_and_undone():
    params = plain(p=3).tie("p[c]", "p[a]").tie("p[c]", "p[b]", factor=0.5)
    assert params["p[c]"] == 1.0
    free = params.untie("p[c]").free("p")
    assert free.n_free == 3 and free["p[c]"] == 1.0


def test_atoms_that_share_a_position_move_together_until_untied():
    mixed = jn.Crystal.create(
        cell=(4.2, 4.2, 4.2, 90, 90, 90), spacegroup="P 1", species=["Sr", "Ca", "O"], labels=["Sr1", "Ca1", "O1"],
        xyz=[[0.1, 0.2, 0.3], [0.1, 0.2, 0.3], [0.6, 0.7, 0.8]], occupancy=[0.4, 0.6, 1.0], name="mixed",
    )  # fmt: skip
    params = parameters(mixed).free("xyz", "u_iso")
    assert params.free_names == (
        "xyz[Sr1.x]",
        "xyz[Sr1.y]",
        "xyz[Sr1.z]",
        "xyz[O1.x]",
        "xyz[O1.y]",
        "xyz[O1.z]",
        "u_iso[Sr1]",
        "u_iso[O1]",
    )
    moved = params.at(params.theta + np.arange(8.0))
    assert moved["xyz"][0] == pytest.approx(moved["xyz"][1])
    assert params.untie("xyz").free("xyz").n_free == 8 + 3


# -- transformations ---------------------------------------------------------------------------------------------------
def test_theta_and_values_are_inverse_to_each_other():
    params = parameters(trigonal()).free("*").tie("u_iso[F1]", "u_iso[Ni1]")
    np.testing.assert_allclose(params.at(params.theta).flat, params.flat, atol=1e-15)
    theta = params.theta + np.random.default_rng(0).normal(size=params.n_free)
    np.testing.assert_allclose(params.at(theta).theta, theta, atol=1e-10)
    named = params.constrain(jnp.asarray(theta))
    np.testing.assert_allclose(named["xyz"], params.at(theta)["xyz"], atol=1e-12)


def test_parameters_survive_compilation_and_differentiation():
    params = parameters(monoclinic())
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(p["xyz"] ** 2) + 3.0 * p["u_iso[O1]"]))(params)
    np.testing.assert_allclose(gradient["xyz"], 2 * params["xyz"])
    assert gradient["u_iso[O1]"] == 3.0 and gradient["cell"].tolist() == [0.0] * 6
    assert gradient.labels == params.labels


def test_a_compiled_function_tells_parameters_with_other_names_apart():
    first, other = Parameters.create({"p": _named("ab")}), Parameters.create({"p": _named("ba")})
    read = jax.jit(lambda p: p["p[a]"])
    assert read(first) == 1.0 and read(other) == 2.0


def _named(labels):
    return Quantity(value=np.array([1.0, 2.0]), labels=tuple(labels))


def test_perturbed_copies_are_stacked_and_respect_symmetry_ties_and_bounds():
    params = parameters(trigonal()).free("xyz", "u_iso").tie("u_iso[F1]", "u_iso[Ni1]").bound("u_iso", lower=0.005)
    many = jn.perturb(params, jax.random.key(0), n=200)
    xyz, u = many["xyz"], many["u_iso"]
    assert xyz.shape == (200, 4, 3) and u.shape == (200, 4)
    np.testing.assert_allclose(xyz[:, 2, 1], 2 * xyz[:, 2, 0], atol=1e-12)
    np.testing.assert_allclose(u[:, 1], u[:, 3])
    assert u[:, 1].min() == 0.005
    assert np.std(xyz[:, 3, 0]) == pytest.approx(0.01, rel=0.2)
    np.testing.assert_allclose(xyz[:, 1], np.broadcast_to(params["xyz"][1], (200, 3)), atol=1e-15)
    single = jax.vmap(lambda p: p["xyz[O1.x]"])(many)
    np.testing.assert_allclose(single, xyz[:, 2, 0])
    assert "free)" in repr(many.replace(flat=np.asarray(many.flat)))


def test_the_table_shows_free_bounded_and_tied_values():
    text = repr(parameters(monoclinic()).free("u_iso").tie("u_iso[N1]", "u_iso[O1]").bound("u_iso[O1]", lower=0.0))
    line = next(line for line in text.splitlines() if line.startswith("u_iso[N1]"))
    assert "= u_iso[O1]" in line
    assert "1 refined numbers" in text
