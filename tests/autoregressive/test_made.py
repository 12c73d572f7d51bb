"""MADE against eq. 8-9 in slow NumPy, enumeration, and its own one-entry-at-a-time sampler."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from autoregressive.tiny_images import all_images, draws_of, p_value, randomize, sigmoid

import kgen
from kgen import heads, networks
from kgen.layers import MaskedConditionals

# One mask; several; several with orders, and two hidden layers.
KINDS = {
    "one_mask": dict(hidden_units=(9,)),
    "masks": dict(hidden_units=(9,), num_masks=3),
    "orders": dict(hidden_units=(9, 8), num_masks=3, order_agnostic=True),
}


def network_of(kind):
    return functools.partial(networks.made_network, activation="tanh", **KINDS[kind])


every_kind = pytest.mark.parametrize("kind", KINDS)


@functools.cache
def model_of(kind, shape=(2, 2, 1)):
    return randomize(kgen.MADE.for_images(shape, network=network_of(kind), seed=5))


def layer_of(model):
    return next(part for part in model.network.layers if isinstance(part, MaskedConditionals))


def logits_by_hand(layer, images, mask, order=None):
    """Eq. 8-9 with a loop for every connection; `order` in place of the mask's own."""
    order = layer.orders[mask] if order is None else order
    place = {entry: t + 1 for t, entry in enumerate(order)}
    before = [place[entry] for entry in range(layer.event_dim)]
    hidden = np.reshape(images, (len(images), -1)).astype("float64")
    for depth, kernel in enumerate(layer.kernels):
        after = layer.degrees[1 + depth][mask]
        kernel = kernel.numpy().astype("float64")
        for j, k in np.ndindex(*kernel.shape):
            kernel[j, k] *= after[k] >= before[j]
        hidden = np.tanh(hidden @ kernel + layer.biases[depth].numpy())
        before = after
    kernel = layer.output_kernel.numpy()[..., 0].astype("float64")
    for d, k in np.ndindex(*kernel.shape):
        kernel[d, k] *= place[d] > before[k]
    return hidden @ kernel.T + layer.output_bias.numpy()[:, 0]


def log_prob_by_hand(layer, images, mask, order=None):
    x = np.reshape(images, (len(images), -1))
    signed = np.where(x > 0.5, 1.0, -1.0) * logits_by_hand(layer, images, mask, order)
    return np.log(sigmoid(signed)).sum(axis=1)


def mean_by_hand(layer, images):
    by_mask = [log_prob_by_hand(layer, images, mask) for mask in range(layer.num_masks)]
    return np.log(np.exp(by_mask).mean(axis=0))


@every_kind
def test_density_is_the_papers_and_sums_to_1(kind):
    model = model_of(kind, (3, 3, 1))
    layer, space = layer_of(model), all_images((3, 3, 1))
    for mask in range(model.num_masks):
        inputs = space if model.num_masks == 1 else [tf.constant(space), tf.constant(mask)]
        logits = model.network(inputs).numpy()
        # float32 sums of some ten products of order 1.
        by_hand = logits_by_hand(layer, space, mask).reshape(logits.shape)
        np.testing.assert_allclose(logits, by_hand, atol=2e-5)
        # 512 masses, each with a relative error of some 1e-6.
        assert np.exp(heads.Bernoulli()(logits).log_prob(space)).sum() == pytest.approx(1, abs=1e-5)
    log_prob = model.log_prob(space).numpy()
    np.testing.assert_allclose(log_prob, mean_by_hand(layer, space), atol=5e-5)
    assert np.exp(log_prob.astype("float64")).sum() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    "shape, likelihood, num_levels",
    [
        ((2, 1, 2), heads.Categorical(3), 3),
        ((1, 2, 2), heads.DiscretizedLogistic(4), 4),
        ((1, 5, 1), heads.Bernoulli(), 2),
    ],
    ids=["colour", "logistic", "vector"],
)
def test_other_heads_and_shapes_sum_to_1(shape, likelihood, num_levels):
    made = kgen.MADE.for_images(
        shape,
        network=functools.partial(
            networks.made_network, hidden_units=(9,), num_masks=2, order_agnostic=True
        ),
        likelihood=likelihood,
    )
    log_prob = randomize(made).log_prob(all_images(shape, num_levels)).numpy()
    assert np.exp(log_prob.astype("float64")).sum() == pytest.approx(1.0, abs=1e-5)


def test_masks_share_weights_and_differ():
    layer = layer_of(model_of("orders", (3, 3, 1)))
    np.testing.assert_array_equal(layer.orders[0], np.arange(9))
    np.testing.assert_array_equal(np.sort(layer.orders, axis=1), [np.arange(9)] * 3)
    assert len({tuple(order) for order in layer.orders}) == 3
    for units, degrees in zip((9, 8), layer.degrees[1:], strict=True):
        assert degrees.shape == (3, units) and degrees.min() == 1 and degrees.max() == 8
        assert len({tuple(row) for row in degrees}) == 3
    masks = layer_of(model_of("masks", (3, 3, 1)))
    np.testing.assert_array_equal(masks.orders, [np.arange(9)] * 3)
    assert len({tuple(row) for row in masks.degrees[1]}) == 3


def test_the_masks_of_a_seed_are_pinned():
    """A saved model keeps no masks, only their seed: other draws would make it another model."""
    layer = MaskedConditionals((4,), num_masks=2, order_agnostic=True, seed=-3)
    layer.build((None, 5))
    assert layer.orders.tolist() == [[0, 1, 2, 3, 4], [1, 2, 4, 0, 3]]
    assert layer.degrees[1].tolist() == [[4, 1, 3, 2], [4, 3, 2, 1]]


@pytest.mark.parametrize("channels", [1, 2])
def test_no_output_depends_on_a_later_entry(channels):
    """Changing entry i changes nothing up to i in the order, and something everywhere after."""
    shape = (2, 3, channels)
    size = 6 * channels
    network = networks.made_network(
        shape, 3, hidden_units=(40, 40), num_masks=3, order_agnostic=True, activation="tanh"
    )
    layer = layer_of(kgen.MADE(randomize(network), likelihood=heads.Categorical(3)))
    image = np.random.RandomState(0).uniform(size=shape).astype("float32")
    changed = np.tile(image, (size, 1, 1, 1)).reshape(size, size)
    changed[np.arange(size), np.arange(size)] += 0.5
    changed = changed.reshape(size, *shape)
    for mask in range(3):
        base = network([tf.constant(image[None]), tf.constant(mask)]).numpy().reshape(1, size, 3)
        after = network([tf.constant(changed), tf.constant(mask)]).numpy().reshape(size, size, 3)
        # A product of another batch size may round differently; an effect is larger.
        moved = (np.abs(after - base) > 1e-5).any(axis=-1)[layer.orders[mask]]
        later = np.triu(np.ones((size, size), bool), 1)
        np.testing.assert_array_equal(moved[:, layer.orders[mask]], later)


@every_kind
def test_samples_have_the_models_probabilities(kind):
    model, space = model_of(kind), all_images((2, 2, 1))
    images = draws_of(model, np.zeros((2, 2, 1)), np.zeros((2, 2), bool))
    assert p_value(images, space, np.exp(model.log_prob(space))) > 1e-3
    # The test can tell: neither even masses nor those of one mask of several would pass.
    assert p_value(images, space, np.full(16, 1 / 16)) < 1e-9
    if model.num_masks > 1:
        one = np.exp(log_prob_by_hand(layer_of(model), space, 0))
        assert p_value(images, space, one) < 1e-9


def test_completion_is_the_exact_conditional_of_orders_that_begin_with_the_known():
    model, space = model_of("orders"), all_images((2, 2, 1))
    layer = layer_of(model)
    # The second and the last pixel; a mask's order keeps these two, and the others, as they were.
    known = np.array([[False, True], [False, True]])
    image = np.array([0.0, 1.0, 0.0, 0.0], "float32").reshape(2, 2, 1)
    agree = (space == image)[:, known].all(axis=(1, 2))
    space = space[agree]
    by_mask = []
    for mask, order in enumerate(layer.orders):
        order = [d for d in order if d in (1, 3)] + [d for d in order if d in (0, 2)]
        masses = np.exp(log_prob_by_hand(layer, space, mask, order))
        by_mask.append(masses / masses.sum())
    images = draws_of(model, image, known)
    assert p_value(images, space, np.mean(by_mask, axis=0)) > 1e-3
    # In the masks' own orders the last pixel comes too late for some.
    own = np.mean([np.exp(log_prob_by_hand(layer, space, mask)) for mask in range(3)], axis=0)
    assert p_value(images, space, own) < 1e-9


def test_completion_with_one_mask_is_exact_where_the_known_come_first():
    model, space = model_of("one_mask"), all_images((2, 2, 1))
    image = np.array([1.0, 0.0, 0.0, 0.0], "float32").reshape(2, 2, 1)
    known = np.array([[True, True], [False, False]])
    space = space[(space == image)[:, 0].all(axis=(1, 2))]
    images = draws_of(model, image, known)
    assert p_value(images, space, np.exp(model.log_prob(space))) > 1e-3


def fill_by_hand(model, images, known, uniforms, temperature):
    """Entry after entry, with eq. 8-9 for the whole image each time, row after row."""
    layer, size = layer_of(model), known[0].size
    filled = np.array(images).reshape(len(images), size)
    for row in range(len(images)):
        scaled = uniforms[row].reshape(size).astype("float64")
        mask = 0
        if model.num_masks > 1:
            mask = int(scaled[0] * model.num_masks)
            scaled[0] = scaled[0] * model.num_masks - mask
        fixed = known[row].reshape(size)
        order = list(layer.orders[mask])
        if model.order_agnostic:
            order = [d for d in order if fixed[d]] + [d for d in order if not fixed[d]]
        for d in order:
            if not fixed[d]:
                logits = logits_by_hand(layer, filled[row : row + 1], mask, order)[0, d]
                filled[row, d] = model.likelihood.sample_from_uniforms(
                    tf.constant([[logits]], tf.float32),
                    tf.constant([[scaled[d]]], tf.float32),
                    temperature[row],
                ).numpy()[0, 0]
    return filled.reshape(np.shape(images))


# XLA takes its time: once, where the most is computed.
@pytest.mark.parametrize(
    ("kind", "jit_compile"), [*((kind, False) for kind in KINDS), ("orders", True)], ids=str
)
def test_cached_sampling_is_naive_sampling(kind, jit_compile):
    """The same noise gives the same pixels, row for row, whatever is known and how hot it is."""
    model, draws = model_of(kind, (3, 3, 1)), np.random.RandomState(2)
    images = draws.randint(0, 2, size=(12, 3, 3, 1)).astype("float32")
    known = draws.uniform(size=(12, 3, 3)) < np.linspace(0, 1, 12)[:, None, None]
    uniforms = draws.uniform(size=(12, 3, 3, 1)).astype("float32")
    temperature = np.linspace(0.5, 2.0, 12).astype("float32")
    expected = fill_by_hand(model, images, known, uniforms, temperature)
    signature = [
        tf.TensorSpec((None, 3, 3, 1)),
        tf.TensorSpec((None, 3, 3), tf.bool),
        tf.TensorSpec((None, 3, 3, 1)),
        tf.TensorSpec((None,)),
    ]
    fill = tf.function(
        model._fill, input_signature=signature, autograph=False, jit_compile=jit_compile
    )
    filled = fill(images, known, uniforms, temperature).numpy()
    np.testing.assert_array_equal(filled, expected)
    np.testing.assert_array_equal(filled[known], images[known])
    assert (filled != images).any()
    # Where nothing is known the given images are not looked at.
    nothing = np.zeros_like(known)
    np.testing.assert_array_equal(
        fill(images, nothing, uniforms, temperature),
        fill(1.0 - images, nothing, uniforms, temperature),
    )


def test_fills_in_python_as_in_a_graph():
    model, draws = model_of("orders"), np.random.RandomState(3)
    images, known = np.zeros((5, 2, 2, 1), "float32"), np.zeros((5, 2, 2), bool)
    uniforms = draws.uniform(size=(5, 2, 2, 1)).astype("float32")
    arguments = [tf.constant(value) for value in (images, known, uniforms, np.ones(5, "float32"))]
    in_graph = tf.function(model._fill, autograph=False)(*arguments)
    np.testing.assert_array_equal(model._fill(*arguments), in_graph)


def test_same_seed_same_sample():
    model = model_of("orders", (3, 3, 1))
    first = model.sample(6, seed=7).numpy()
    np.testing.assert_array_equal(model.sample(6, seed=7), first)
    np.testing.assert_array_equal(model.sample(2, seed=7), first[:2])
    assert (model.sample(6, seed=8).numpy() != first).any()


def test_training_takes_the_masks_in_turn_and_evaluation_their_mean():
    model = kgen.MADE.for_images((3, 3, 1), network=network_of("orders"))
    randomize(model).compile(keras.optimizers.SGD(0.0))
    layer, images = layer_of(model), all_images((3, 3, 1))[::37]
    for step in range(5):
        model.steps.assign(step)
        loss = model.objective(tf.constant(images), training=True)["loss"]
        np.testing.assert_allclose(loss, -log_prob_by_hand(layer, images, step % 3), atol=5e-5)
    loss = model.objective(tf.constant(images), training=False)["loss"]
    np.testing.assert_allclose(loss, -mean_by_hand(layer, images), atol=5e-5)


def test_learns_a_distribution_over_four_pixels():
    """The cross-entropy comes near the entropy: MADE can be any distribution."""
    masses = np.random.RandomState(0).dirichlet(np.full(16, 0.5))
    space = all_images((2, 2, 1))
    model = kgen.MADE.for_images(
        (2, 2, 1), network=functools.partial(networks.made_network, hidden_units=(32,))
    )
    model.compile(keras.optimizers.Adam(0.05), jit_compile=False)
    weights = (16 * masses).astype("float32")
    data = tf.data.Dataset.from_tensors((space, None, weights)).repeat(300)
    model.fit(data, verbose=0)
    divergence = np.sum(masses * (np.log(masses) - model.log_prob(space).numpy()))
    # 300 steps of Adam on 16 images; 1.03 nats apart before.
    assert 0.0 < divergence < 0.02


def test_keras_file_round_trip(tmp_path):
    model = model_of("orders", (3, 3, 1))
    model.save(tmp_path / "made.keras")
    copy = keras.saving.load_model(tmp_path / "made.keras")
    assert (copy.num_masks, copy.order_agnostic, copy.seed) == (3, True, 5)
    space = all_images((3, 3, 1))[::37]
    np.testing.assert_array_equal(copy.log_prob(space), model.log_prob(space))
    np.testing.assert_array_equal(copy.sample(4, seed=1), model.sample(4, seed=1))


def test_computes_in_float32_under_a_mixed_policy():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = kgen.MADE.for_images(
        (2, 2, 1), network=functools.partial(networks.made_network, hidden_units=(4,), num_masks=2)
    )
    assert model.network([tf.zeros((1, 2, 2, 1)), tf.constant(1)]).dtype == tf.float32


def test_errors():
    with pytest.raises(ValueError, match="order_agnostic needs several masks"):
        kgen.MADE.for_images(
            (2, 2, 1), network=functools.partial(networks.made_network, order_agnostic=True)
        )
    with pytest.raises(ValueError, match="hidden_units is empty"):
        kgen.MADE.for_images(
            (2, 2, 1), network=functools.partial(networks.made_network, hidden_units=())
        )
    with pytest.raises(ValueError, match="hidden_units must be an integer"):
        kgen.MADE.for_images(
            (2, 2, 1), network=functools.partial(networks.made_network, hidden_units=(0,))
        )
    with pytest.raises(ValueError, match="num_masks"):
        kgen.MADE.for_images(
            (2, 2, 1), network=functools.partial(networks.made_network, num_masks=0)
        )
    with pytest.raises(ValueError, match="on levels"):
        kgen.MADE.for_images((2, 2, 1), likelihood=heads.Normal())
    with pytest.raises(ValueError, match="3 channels .* couples them too"):
        kgen.MADE.for_images((2, 2, 3), likelihood=heads.DiscretizedLogisticMixture(4, 2))
    with pytest.raises(ValueError, match=r"outputs of shape \(2, 2, 1\), expected \(2, 2, 4\)"):
        kgen.MADE(networks.made_network((2, 2, 1)), likelihood=heads.Categorical(4))
    inputs = keras.Input((2, 2, 1))
    with pytest.raises(ValueError, match="must have one MaskedConditionals"):
        kgen.MADE(keras.Model(inputs, keras.layers.Dense(1)(inputs)))
