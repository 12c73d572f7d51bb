import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen.networks.autoregressive import masked_autoregressive


def randomize(network):
    generator = np.random.default_rng(0)
    for variable in network.trainable_variables:
        variable.assign(generator.normal(size=variable.shape))
    return network


def dependencies(network, inputs, of):
    """Whether output row d depends on entry j of `inputs[of]`, over the batch: `(d, j)`."""
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = network(inputs if len(inputs) > 1 else inputs[0])
    jacobian = tape.batch_jacobian(outputs, inputs[of]).numpy()
    return (jacobian != 0).any(axis=(0, 2))


@pytest.mark.parametrize("event_dim", [1, 2, 5])
@pytest.mark.parametrize("hidden_units", [(), (3,), (16, 16)], ids=str)
def test_outputs_depend_on_earlier_inputs_only(event_dim, hidden_units):
    network = randomize(masked_autoregressive(event_dim, hidden_units, 2, activation="tanh"))
    x = tf.random.stateless_normal((8, event_dim), seed=(0, 1))
    received = dependencies(network, [x], 0)
    earlier = np.tril(np.ones((event_dim, event_dim), bool), -1)
    assert not received[~earlier].any()
    if hidden_units != (3,):
        # Enough hidden units for every degree: each earlier input is used.
        assert received[earlier].all()


def test_context_reaches_every_output_and_breaks_no_order():
    network = randomize(masked_autoregressive(4, (16, 16), 2, context_dim=3, activation="tanh"))
    inputs = [
        tf.random.stateless_normal((8, 4), seed=(0, 1)),
        tf.random.stateless_normal((8, 3), seed=(0, 2)),
    ]
    assert dependencies(network, inputs, 1).all()
    np.testing.assert_array_equal(
        dependencies(network, inputs, 0), np.tril(np.ones((4, 4), bool), -1)
    )


def test_is_a_plain_model_that_saves(tmp_path):
    network = masked_autoregressive(4, (8,), 3, context_dim=2)
    assert network.output_shape == (None, 4, 3)
    inputs = [tf.ones((2, 4)), tf.ones((2, 2))]
    network.save(tmp_path / "network.keras")
    copy = keras.saving.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(copy(inputs), network(inputs))


def test_computes_in_float32_under_a_mixed_policy():
    plain = randomize(masked_autoregressive(4, (8,), 2))
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        mixed = masked_autoregressive(4, (8,), 2)
    finally:
        keras.config.set_dtype_policy(before)
    mixed.set_weights(plain.get_weights())
    x = tf.random.stateless_normal((8, 4), seed=(0, 1))
    assert mixed(x).dtype == tf.float32
    np.testing.assert_array_equal(mixed(x), plain(x))


def test_errors():
    with pytest.raises(ValueError, match="event_dim"):
        masked_autoregressive(0, (8,), 2)
    with pytest.raises(ValueError, match="hidden_units"):
        masked_autoregressive(4, (8, 0), 2)
    with pytest.raises(ValueError, match="context_dim"):
        masked_autoregressive(4, (8,), 2, context_dim=-1)
