"""What a network computes does not depend on for how many atoms it does."""

import jax
import jax.numpy as jnp
import numpy as np
from small_tensor_models import components, model, quartz

from jaxnmr.graph import batch_graphs


def padded(graph, **sizes):
    return batch_graphs([graph], n_node=32, n_edge=640, n_graph=3, **sizes)


def without_representatives(graph):
    return graph._replace(nodes={k: v for k, v in graph.nodes.items() if k != "representatives"})


def close(found, expected, rows):
    for name in expected:
        np.testing.assert_allclose(
            found[name][rows], expected[name][rows], rtol=0, atol=1e-12 * np.abs(expected[name]).max()
        )


def test_for_representatives_alone_the_network_finds_what_it_finds_for_all():
    graph = model().plan(quartz()).reference
    rows = np.unique(graph.nodes["image"])
    np.testing.assert_array_equal(graph.nodes["representatives"], rows)
    assert len(rows) == 2 < len(graph.nodes["species"])
    expected = components(model(), padded(without_representatives(graph)))
    batch = padded(graph)
    np.testing.assert_array_equal(batch.nodes["representatives"], [*rows, 9, 9])
    close(components(model(), batch), expected, rows)
    # padding of edges may be at any node, here one that is an image
    last = batch._replace(
        senders=np.where(batch.senders < 9, batch.senders, 8),
        receivers=np.where(batch.receivers < 9, batch.receivers, 8),
    )
    assert (np.diff(last.receivers) >= 0).all()
    close(components(model(), last), expected, rows)


def test_several_graphs_keep_their_own_representatives():
    graph = model().plan(quartz()).reference
    both = batch_graphs([graph, graph], n_node=32, n_edge=1280, n_graph=3)
    np.testing.assert_array_equal(both.nodes["representatives"][:5], [0, 3, 9, 12, 18])
    values = components(model(), both)
    rows = np.unique(graph.nodes["image"])
    close({name: v[9:] for name, v in values.items()}, values, rows)


def test_derivatives_of_derivatives_agree_in_either_order():
    graph = padded(model().plan(quartz()).reference)
    rng = np.random.default_rng(0)
    positions, u, v = (jnp.asarray(x) for x in (graph.nodes["positions"], *rng.normal(size=(2, 32, 3))))

    def energy(t):
        moved = graph._replace(nodes=graph.nodes | {"positions": positions + t[0] * u + t[1] * v})
        return jnp.sum(model().components(moved)["efg"][3] ** 2)

    forward, reverse = jax.jit(lambda t: (jax.jacfwd(jax.jacfwd(energy))(t), jax.jacfwd(jax.jacrev(energy))(t)))(
        jnp.zeros(2)
    )
    assert np.abs(forward).min() > 0
    np.testing.assert_allclose(forward, reverse, rtol=1e-10)
    np.testing.assert_allclose(forward, forward.T, rtol=1e-10)
