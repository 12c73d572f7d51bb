import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import kgen
from kgen import heads

tfd = tfp.distributions


def test_seed_rows():
    rows = kgen.seeds.seed_rows(7, 3)
    assert rows.dtype == tf.int32
    np.testing.assert_array_equal(rows, [[7, 0], [7, 1], [7, 2]])
    np.testing.assert_array_equal(kgen.seeds.seed_rows(tf.constant(7), tf.constant(3)), rows)
    np.testing.assert_array_equal(kgen.seeds.seed_rows(-1, 1), [[-1, 0]])
    assert not np.array_equal(kgen.seeds.seed_rows(None, 1), kgen.seeds.seed_rows(None, 1))


def test_as_seed():
    np.testing.assert_array_equal(kgen.seeds.as_seed(7), [7, 0])
    np.testing.assert_array_equal(kgen.seeds.as_seed(tf.constant(7)), [7, 0])
    np.testing.assert_array_equal(kgen.seeds.as_seed(tf.constant([3, 4])), [3, 4])
    assert kgen.seeds.as_seed(7).dtype == kgen.seeds.as_seed(None).dtype == tf.int32
    assert not np.array_equal(kgen.seeds.as_seed(None), kgen.seeds.as_seed(None))


def test_fold_in_is_a_stateless_function_of_all_its_data():
    seed = tf.constant([1, 2])
    folded = kgen.seeds.fold_in(seed, 3, 4)
    assert folded.dtype == tf.int32 and folded.shape == (2,)
    np.testing.assert_array_equal(folded, kgen.seeds.fold_in(kgen.seeds.fold_in(seed, 3), 4))
    in_graph = tf.function(lambda step: kgen.seeds.fold_in(seed, step, 4))
    np.testing.assert_array_equal(folded, in_graph(tf.constant(3, tf.int64)))
    others = [kgen.seeds.fold_in(seed, *data) for data in [(), (3,), (4, 3), (3, 5)]]
    assert len({tuple(s.numpy()) for s in [folded, *others]}) == 5


@pytest.mark.parametrize(
    "prior",
    [
        heads.StandardNormal(3),
        heads.MixtureOfNormalsPrior(3, 2),
        heads.CouplingFlowPrior(3, 2, (4,)),
        heads.AutoregressiveFlowPrior(3, 2, (4,)),
    ],
    ids=lambda prior: type(prior).__name__,
)
def test_a_row_is_the_same_alone_and_batched(prior):
    @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.int32)])
    def sample(seeds):
        samples = kgen.seeds.sample_rows(prior.distribution(), seeds)
        assert samples.shape.as_list() == [None, 3]
        return samples

    seeds = kgen.seeds.seed_rows(5, 4)
    together = sample(seeds).numpy()
    for i in (0, 3):
        # A flow's matrix products may round differently at another batch size.
        np.testing.assert_allclose(sample(seeds[i : i + 1])[0], together[i], rtol=1e-5, atol=1e-6)
    shuffled = sample(tf.gather(seeds, [2, 0, 3, 1]))
    np.testing.assert_allclose(shuffled, together[[2, 0, 3, 1]], rtol=1e-5, atol=1e-6)
    assert len(np.unique(together[:, 0])) == 4
    assert sample(seeds[:0]).shape == (0, 3)


def test_noise_is_the_same_bit_for_bit_alone_and_batched():
    distribution = heads.StandardNormal(3).distribution()
    seeds = kgen.seeds.seed_rows(5, 4)
    alone = [kgen.seeds.sample_rows(distribution, seeds[i : i + 1])[0] for i in range(4)]
    np.testing.assert_array_equal(kgen.seeds.sample_rows(distribution, seeds), alone)


@pytest.fixture
def traces(monkeypatch):
    """How often Python ran the rows' code: once a trace, or else once a call."""
    calls = []
    rows = kgen.seeds._rows

    def counting(distribution, seeds):
        calls.append(type(distribution).__name__)
        return rows(distribution, seeds)

    monkeypatch.setattr(kgen.seeds, "_rows", counting)
    kgen.seeds._compiled_rows_of.cache_clear()
    yield calls
    kgen.seeds._compiled_rows_of.cache_clear()


def mixture(loc):
    return tfd.MixtureSameFamily(
        tfd.Categorical(logits=tf.zeros(2)), tfd.Independent(tfd.Normal(loc, 0.1), 1)
    )


def test_rows_in_python_share_two_traces(traces):
    for number in range(1, 4):
        distribution = mixture(tf.fill((2, 3), float(number)))
        seeds = kgen.seeds.seed_rows(number, 2 * number)
        expected = [distribution.sample(seed=seed) for seed in seeds]
        np.testing.assert_array_equal(kgen.seeds.sample_rows(distribution, seeds), expected)
    assert len(traces) == 2
    # Another shape has traces of its own; its events keep their size.
    assert kgen.seeds.sample_rows(mixture(tf.zeros((2, 4))), kgen.seeds.seed_rows(0, 5)).shape == (
        5,
        4,
    )
    assert len(traces) == 3


def test_in_a_graph_the_rows_are_part_of_it(traces):
    distribution = mixture(tf.zeros((2, 3)))
    sample = tf.function(lambda seeds: kgen.seeds.sample_rows(distribution, seeds))
    concrete = sample.get_concrete_function(tf.TensorSpec((None, 2), tf.int32))
    assert kgen.seeds._compiled_rows_of.cache_info().currsize == 0 and len(traces) == 1
    assert not [op for op in concrete.graph.get_operations() if "PartitionedCall" in op.type]


def test_rows_of_a_learned_prior_have_its_gradient():
    loc = tf.Variable(tf.zeros((2, 3)))
    with tf.GradientTape() as tape:
        rows = kgen.seeds.sample_rows(mixture(tf.identity(loc)), kgen.seeds.seed_rows(0, 6))
        total = tf.reduce_sum(rows)
    # Each row moves with the mean of its one component.
    np.testing.assert_allclose(tf.reduce_sum(tape.gradient(total, loc), axis=0), [6.0] * 3)


def test_distributions_that_no_trace_can_stand_for(traces):
    seeds = kgen.seeds.seed_rows(0, 2)
    for start in (0.0, 10.0):
        # A trace would keep the first variable, which is gone at the second turn.
        loc = tf.Variable([start])
        distribution = tfd.Independent(tfd.Normal(loc, 1e-3), 1)
        for shift in (0.0, 1.0):
            loc.assign([start + shift])
            rows = kgen.seeds.sample_rows(distribution, seeds)
            np.testing.assert_allclose(rows, [[start + shift]] * 2, atol=0.01)
        del loc, distribution
    relaxed = heads.UniformRelaxedOneHot(4, 2).distribution()
    expected = [relaxed.sample(seed=seed) for seed in seeds]
    np.testing.assert_array_equal(kgen.seeds.sample_rows(relaxed, seeds), expected)
    assert kgen.seeds._compiled_rows_of.cache_info().currsize == 0


def test_a_flow_runs_its_network_once_for_all_rows():
    """A flow's type is a private class of TFP: sampling it row by row would go unnoticed."""
    calls = []

    class Doubling(tfp.bijectors.Bijector):
        def __init__(self, unused_keras_like_part):
            super().__init__(forward_min_event_ndims=1, parameters=dict(locals()))

        def _forward(self, x):
            calls.append(x.shape)
            return 2 * x

    base = heads.StandardNormal(3).distribution()
    flow = tfd.TransformedDistribution(base, Doubling(object()))
    seeds = kgen.seeds.seed_rows(0, 4)
    samples = kgen.seeds.sample_rows(flow, seeds)
    np.testing.assert_array_equal(samples, 2 * kgen.seeds.sample_rows(base, seeds))
    assert calls == [(4, 3)]


def test_sampling_has_no_state():
    prior = heads.MixtureOfNormalsPrior(3, 2)
    sample = tf.function(lambda seeds: kgen.seeds.sample_rows(prior.distribution(), seeds))
    concrete = sample.get_concrete_function(tf.TensorSpec((None, 2), tf.int32))
    # The prior's own variables and no generator's state.
    assert len(concrete.variables) == len(prior.variables)
    graph = concrete.graph.as_graph_def()
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    random_ops = {node.op for node in nodes if "Random" in node.op or "Multinomial" in node.op}
    assert random_ops and all(op.startswith("Stateless") for op in random_ops)


def test_errors():
    with pytest.raises(ValueError, match="between -2147483648 and 2147483647"):
        kgen.seeds.seed_rows(2**31, 1)
    with pytest.raises(ValueError, match="num_samples"):
        kgen.seeds.seed_rows(0, 0)
    with pytest.raises(ValueError, match="shape \\(2,\\)"):
        kgen.seeds.as_seed(tf.zeros(3, tf.int32))
    with pytest.raises(ValueError, match="batch shape"):
        kgen.seeds.sample_rows(tfd.Normal(tf.zeros(2), 1.0), kgen.seeds.seed_rows(0, 2))
