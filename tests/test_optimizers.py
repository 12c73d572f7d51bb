"""kgen's optimizers beside Keras', whose numbers they give."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from replicas import two_replicas

import kgen

SETTINGS = {
    "defaults": {},
    "betas": dict(beta_1=0.5, beta_2=0.9, epsilon=1e-3),
    "weight decay": dict(weight_decay=0.1),
    "clipping": dict(clipnorm=0.5),
    "averaged weights": dict(use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=3),
    "accumulation": dict(gradient_accumulation_steps=2),
    "decay": dict(learning_rate=keras.optimizers.schedules.CosineDecay(0.1, 8)),
    "amsgrad": dict(amsgrad=True),
}

# The kernel's 1 - beta_2 is a difference of float32 numbers, 1.3e-5 of 0.001 away from Keras'.
CLOSE = 2e-5


def gradients(step, shapes, dtype="float32"):
    draws = np.random.default_rng(step)
    # Of several magnitudes: Adam divides by them.
    return [
        tf.constant(draws.normal(size=s) * 10.0 ** draws.integers(-3, 2, s), dtype) for s in shapes
    ]


def trained(make, settings, *, compiled=True, dtype="float32", num_steps=7, **how):
    """Weights and optimizer after some steps: those of a class, with arguments."""
    optimizer = make(**dict(dict(learning_rate=0.1), **settings))
    shapes = [(3, 4), (5,), ()]
    weights = [
        keras.Variable(np.full(shape, 0.5), dtype=dtype, name=f"rank_{len(shape)}")
        for shape in shapes
    ]
    optimizer.build(weights)

    def step(*values):
        optimizer.apply(values, weights)

    if compiled:
        step = tf.function(step, **how)
    for index in range(num_steps):
        step(*gradients(index, shapes, dtype))
    return [np.asarray(weight, np.float64) for weight in weights], optimizer


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("how", [{}, dict(jit_compile=True), dict(compiled=False)])
def test_weights_and_state_are_those_of_keras(name, how):
    ours, mine = trained(kgen.optimizers.Adam, SETTINGS[name], **how)
    theirs, other = trained(keras.optimizers.Adam, SETTINGS[name], **how)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=CLOSE)
        assert np.abs(a - 0.5).max() > 0.01
    assert [v.name for v in mine.variables] == [v.name for v in other.variables]
    for a, b in zip(mine.variables, other.variables, strict=True):
        np.testing.assert_allclose(a, b, rtol=CLOSE, atol=CLOSE, err_msg=a.path)


def test_the_step_is_one_kernel_a_variable():
    variables = [keras.Variable(tf.ones(3)), keras.Variable(tf.ones((2, 2)))]
    optimizer = kgen.optimizers.Adam()
    optimizer.build(variables)
    step = tf.function(lambda a, b: optimizer.apply([a, b], variables))
    graph = step.get_concrete_function(tf.ones(3), tf.ones((2, 2))).graph
    kinds = [operation.type for operation in graph.get_operations()]
    assert kinds.count("ResourceApplyAdam") == 2
    assert not {"Square", "Sqrt", "AssignSubVariableOp"} & set(kinds)


def test_the_paper_by_hand():
    shapes, rate, beta_1, beta_2, epsilon = [(3, 4), (5,), ()], 0.1, 0.9, 0.999, 1e-7
    found, _ = trained(kgen.optimizers.Adam, {})
    for place, shape in enumerate(shapes):
        weight, m, v = np.full(shape, 0.5), np.zeros(shape), np.zeros(shape)
        for t in range(1, 8):
            g = gradients(t - 1, shapes)[place].numpy().astype(np.float64)
            m = beta_1 * m + (1 - beta_1) * g
            v = beta_2 * v + (1 - beta_2) * g**2
            alpha = rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
            weight = weight - alpha * m / (np.sqrt(v) + epsilon)
        # Seven steps of 0.1 or less, each rounded to float32.
        np.testing.assert_allclose(found[place], weight, atol=2e-6)


def test_variables_of_other_dtypes_are_left_to_keras():
    ours, _ = trained(kgen.optimizers.Adam, {}, dtype="float64")
    theirs, _ = trained(keras.optimizers.Adam, {}, dtype="float64")
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


def test_scaled_losses_and_sparse_gradients():
    found = []
    for make in (kgen.optimizers.Adam, keras.optimizers.Adam):
        keras.utils.set_random_seed(0)
        table = keras.layers.Embedding(7, 3)
        layers = [table, keras.layers.Flatten(), keras.layers.Dense(6)]
        model = keras.Sequential([keras.Input((2,), dtype="int32"), *layers])
        model.compile(
            keras.optimizers.LossScaleOptimizer(make(0.1)),
            "mse",
            jit_compile=False,
        )
        codes = np.array([[0, 1], [1, 2], [5, 5]])
        model.fit(codes, np.ones((3, 6)), epochs=4, verbose=0)
        found.append([weight.numpy() for weight in model.weights])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=CLOSE)


def test_two_replicas_take_the_step_of_one_device():
    x = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")

    def build():
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        model.compile(
            kgen.optimizers.Adam(0.1),
            "mse",
            jit_compile=False,
        )
        return model

    alone = build()
    with two_replicas().scope():
        together = build()
    for model in (alone, together):
        model.fit(x, x[:, :2], batch_size=4, shuffle=False, epochs=2, verbose=0)
    for a, b in zip(alone.variables, together.variables, strict=True):
        np.testing.assert_allclose(a, b.numpy(), atol=CLOSE, err_msg=a.path)


def test_it_is_saved_and_found_by_name(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile(kgen.optimizers.Adam(0.1, beta_1=0.5), "mse")
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras").optimizer
    assert type(restored) is kgen.optimizers.Adam
    assert restored.beta_1 == 0.5
    for a, b in zip(model.optimizer.variables, restored.variables, strict=True):
        np.testing.assert_array_equal(a, b)


def test_state_that_keras_saved_is_trained_on(tmp_path):
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")

    def build(make):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        model.compile(make(0.1), "mse", jit_compile=False)
        model.optimizer.build(model.trainable_variables)
        return model

    theirs, ours = build(keras.optimizers.Adam), build(kgen.optimizers.Adam)
    theirs.fit(x, x[:, :2], epochs=3, verbose=0)
    theirs.save_weights(tmp_path / "it.weights.h5")
    ours.load_weights(tmp_path / "it.weights.h5")
    assert int(ours.optimizer.iterations) == 3
    for model in (ours, theirs):
        model.fit(x, x[:, :2], epochs=3, verbose=0)
    for a, b in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(a, b, atol=CLOSE)
