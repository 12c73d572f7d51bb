"""What each model computes and keeps, by hand; all eagerly, so that nothing is traced."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from by_hand import EAGER
from keras import layers

import kgen
from kgen.losses import contrastive as losses

SHAPE = (6, 4, 1)


def images(seed, count=4, shape=SHAPE):
    return np.random.RandomState(seed).uniform(size=(count, *shape)).astype("float32")


VIEWS = (images(0), images(1))


def dense(input_shape, *units, **kwargs):
    """Dense layers with tanh between them: no statistics, nothing that is exactly 0."""
    hidden = [layers.Dense(size, activation="tanh", **kwargs) for size in units[:-1]]
    last = layers.Dense(units[-1], **kwargs)
    return keras.Sequential([keras.Input(input_shape), layers.Flatten(), *hidden, last])


def parts(**kwargs):
    return dense(SHAPE, 5, **kwargs), dense((5,), 4, 3, **kwargs)


def normalized(values):
    values = np.asarray(values, np.float64)
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def trained(model, learning_rate=0.1):
    model.compile(keras.optimizers.SGD(learning_rate), **EAGER)
    return model


def values(variables):
    return [np.asarray(variable) for variable in variables]


def outputs(networks, weights, x):
    """What networks of dense layers give with other weights, for a while."""
    before = [network.get_weights() for network in networks]
    weights = iter(weights)
    for network in networks:
        network.set_weights([next(weights) for _ in network.weights])
        x = network(x)
    for network, own in zip(networks, before, strict=True):
        network.set_weights(own)
    return x


def test_moco_by_hand():
    """Three steps: the loss, the queue and the key weights."""
    model = trained(kgen.MoCo(*parts(), queue_size=6, ema_decay=0.75, temperature=0.4, seed=3))
    networks = (model.encoder, model.projector)
    keys_of = (model._key_encoder, model._key_projector)
    queue = np.asarray(model.queue, np.float64)
    np.testing.assert_allclose(np.linalg.norm(queue, axis=1), np.ones(6), rtol=1e-6)
    # It starts as the network is.
    for average, network in zip(keys_of, networks, strict=True):
        for mine, theirs in zip(average.variables, network.trainable_variables, strict=True):
            np.testing.assert_array_equal(mine, theirs)
    slow = [value for network in networks for value in network.get_weights()]
    for step, count in enumerate((2, 3, 2)):
        first, second = images(step, count), images(10 + step, count)
        queries = normalized(model.projector(model.encoder(first)))
        keys = normalized(outputs(networks, slow, second))
        expected = []
        for q, k in zip(queries, keys, strict=True):
            scores = np.exp(np.array([q @ k, *(q @ n for n in queue)]) / 0.4)
            expected.append(-np.log(scores[0] / scores.sum()))
        received = model.train_step(((tf.constant(first), tf.constant(second)),))
        model.reset_metrics()
        np.testing.assert_allclose(received["loss"], np.mean(expected), rtol=1e-5)
        # First in, first out; what the weights were before the step made the keys.
        queue = np.concatenate([queue[count:], keys])
        np.testing.assert_allclose(model.queue, queue, atol=1e-6)
        # Eq. 2, with the query networks' weights after the step.
        fast = [value for network in networks for value in network.get_weights()]
        slow = [0.75 * old + 0.25 * new for old, new in zip(slow, fast, strict=True)]
        averages = values([v for average in keys_of for v in average.variables])
        for mine, expected in zip(averages, slow, strict=True):
            np.testing.assert_allclose(mine, expected, atol=1e-7)
    assert model.trainable_variables == [v for n in networks for v in n.trainable_variables]


def test_moco_keeps_its_queue_in_evaluation():
    model = kgen.MoCo(*parts(), queue_size=4)
    before = np.asarray(model.queue)
    model.objective(VIEWS, training=False)
    np.testing.assert_array_equal(model.queue, before)
    assert np.abs(before - np.asarray(kgen.MoCo(*parts(), queue_size=4, seed=1).queue)).max() > 0.1


def views_with_slopes(model):
    """The slopes of a model's loss by each of two views."""
    first, second = (tf.constant(view) for view in VIEWS)
    with tf.GradientTape() as tape:
        tape.watch([first, second])
        loss = model.objective((first, second), training=True)["loss"]
    return tape.gradient(loss, [first, second])


def test_keys_get_no_gradient():
    of_first, of_second = views_with_slopes(kgen.MoCo(*parts(), queue_size=4))
    assert np.abs(of_first).max() > 1e-4
    assert of_second is None or np.abs(of_second).max() == 0


def test_byol_by_hand():
    """The loss of eq. 2 in both directions, and no gradient through the targets."""
    model = trained(kgen.BYOL(*parts(), dense((3,), 3), ema_decay=0.6))
    networks = (model.encoder, model.projector)
    # Targets that are not what the networks are now.
    targets = (model._target_encoder, model._target_projector)
    random = np.random.RandomState(0)
    for average in targets:
        for variable in average.variables:
            variable.assign(variable + random.normal(scale=0.3, size=variable.shape))
    slow = values([v for average in targets for v in average.variables])
    constants = [normalized(outputs(networks, slow, view)) for view in VIEWS]

    def by_hand():
        predictions = [
            tf.math.l2_normalize(model.predictor(model.projector(model.encoder(view))), axis=-1)
            for view in VIEWS
        ]
        pairs = [(predictions[0], constants[1]), (predictions[1], constants[0])]
        return sum(tf.reduce_sum((p - t.astype("float32")) ** 2, axis=-1) for p, t in pairs)

    assert_same_loss_and_slopes(model, by_hand)
    model.train_step((tuple(map(tf.constant, VIEWS)),))
    fast = [value for network in networks for value in network.get_weights()]
    for old, new, variable in zip(
        slow, fast, [v for average in targets for v in average.variables], strict=True
    ):
        np.testing.assert_allclose(variable, 0.6 * old + 0.4 * new, atol=1e-7)


def assert_same_loss_and_slopes(model, by_hand):
    weights = model.trainable_variables
    with tf.GradientTape(persistent=True) as tape:
        received = model.objective(VIEWS, training=True)["loss"]
        expected = by_hand()
    np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-6)
    mine, theirs = (tape.gradient(loss, weights) for loss in (received, expected))
    for slope, other, weight in zip(mine, theirs, weights, strict=True):
        np.testing.assert_allclose(slope, other, rtol=1e-4, atol=1e-5, err_msg=weight.path)


@pytest.mark.parametrize("stop_gradient", [True, False])
def test_simsiam_by_hand(stop_gradient):
    """Eq. 2 and 3: with the stop the other view's projection is a constant, without it is not."""
    model = kgen.SimSiam(*parts(), dense((3,), 2, 3), stop_gradient=stop_gradient)
    projections = [model.projector(model.encoder(view)).numpy() for view in VIEWS]

    def by_hand():
        z = [model.projector(model.encoder(view)) for view in VIEWS]
        p = [model.predictor(each) for each in z]
        constant = [tf.constant(each) for each in projections] if stop_gradient else z
        return -0.5 * sum(
            tf.reduce_sum(tf.math.l2_normalize(a, -1) * tf.math.l2_normalize(b, -1), axis=-1)
            for a, b in ((p[0], constant[1]), (p[1], constant[0]))
        )

    assert_same_loss_and_slopes(model, by_hand)


def test_simclr_and_exemplars_of_nt_xent_are_one():
    encoder, projector = parts()
    simclr = kgen.SimCLR(encoder, projector, temperature=0.5)
    exemplars = kgen.ExemplarMetric(encoder, projector, metric=losses.labelled_nt_xent)
    first, second = (projector(encoder(view)) for view in VIEWS)
    expected = losses.nt_xent(first, second, temperature=0.5)
    for model in (simclr, exemplars):
        np.testing.assert_allclose(model.objective(VIEWS)["loss"], expected, rtol=1e-5)


def test_vicreg_by_hand():
    """Eq. 6, with eq. 5 over dim as in algorithm 1."""
    weights = dict(invariance_weight=3.0, variance_weight=5.0, covariance_weight=7.0)
    model = kgen.VICReg(*parts(), **weights)
    first, second = (np.float64(model.projector(model.encoder(view))) for view in VIEWS)
    terms = model.objective(VIEWS)
    invariance = ((first - second) ** 2).mean(axis=1)
    variance, covariance = 0.0, 0.0
    for z in (first, second):
        matrix = np.cov(z.T)
        variance += np.maximum(0, 1 - np.sqrt(np.diag(matrix) + 1e-4)).mean()
        covariance += (matrix**2).sum() / 3 - (np.diag(matrix) ** 2).sum() / 3
    np.testing.assert_allclose(terms["invariance"], invariance, rtol=1e-5)
    np.testing.assert_allclose(terms["variance"], np.full(4, variance), rtol=1e-5)
    np.testing.assert_allclose(terms["covariance"], np.full(4, covariance), rtol=1e-4)
    expected = 3 * invariance + 5 * variance + 7 * covariance
    np.testing.assert_allclose(terms["loss"], expected, rtol=1e-5)


def test_exemplar_network_is_a_classifier():
    """A softmax over the images' numbers, and one step of gradient descent on it."""
    model = trained(kgen.ExemplarNetwork(dense(SHAPE, 3, 2), 6), 0.5)
    x, y = images(0), np.array([5, 0, 2, 0])
    *of_encoder, kernel, bias = values(model.trainable_variables)
    assert kernel.shape == (2, 6) and bias.shape == (6,)
    h = np.float64(model.encoder(x))
    logits = h @ kernel + bias
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    terms = model.objective(x, y)
    np.testing.assert_allclose(terms["loss"], -np.log(p[np.arange(4), y]), rtol=1e-5)
    np.testing.assert_array_equal(terms["accuracy"], p.argmax(axis=1) == y)
    model.train_step((tf.constant(x), tf.constant(y)))
    slope = (p - np.eye(6)[y]) / 4
    *encoder_after, kernel_after, bias_after = values(model.trainable_variables)
    np.testing.assert_allclose(kernel_after, kernel - 0.5 * h.T @ slope, atol=1e-6)
    np.testing.assert_allclose(bias_after, bias - 0.5 * slope.sum(axis=0), atol=1e-6)
    for before, after in zip(of_encoder, encoder_after, strict=True):
        assert np.abs(after - before).max() > 0


def test_npid_by_hand():
    """Eq. 2 over the whole bank; the images' own vectors move, those of others stay."""
    model = kgen.NPID(*parts(), 7, bank_momentum=0.25, temperature=0.3)
    # Image 2 is twice in the batch: its later view stays.
    x, y = images(0, 5), np.array([6, 2, 0, 2, 3])
    bank = np.float64(model.bank)
    np.testing.assert_allclose(np.linalg.norm(bank, axis=1), np.ones(7), rtol=1e-6)
    vectors = normalized(model.projector(model.encoder(x)))
    expected = []
    for v, i in zip(vectors, y, strict=True):
        scores = [np.exp(v @ m / 0.3) for m in bank]
        expected.append(-np.log(scores[i] / sum(scores)))
    np.testing.assert_allclose(model.objective(x, y)["loss"], expected, rtol=1e-5)
    np.testing.assert_array_equal(model.bank, bank.astype("float32"))

    received = model.objective(x, y, training=True)["loss"]
    np.testing.assert_allclose(received, expected, rtol=1e-5)
    after = bank.copy()
    for v, i in zip(vectors, y, strict=True):
        after[i] = normalized(0.25 * bank[i] + 0.75 * v)
    np.testing.assert_allclose(model.bank, after, atol=1e-6)


def test_keras_application_as_encoder():
    """With its own scaling of pixels in front; its batch statistics and its averages move too."""
    shape = (32, 32, 3)
    backbone = keras.applications.MobileNetV2(
        shape, alpha=0.35, include_top=False, weights=None, pooling="avg"
    )
    pixels = keras.Input(shape)
    encoder = keras.Model(pixels, backbone(layers.Rescaling(2.0, -1.0)(pixels)))
    model = trained(kgen.SimCLR(encoder, dense(encoder.output_shape[1:], 4)))
    before = values(model.variables)
    views = tuple(images(seed, 3, shape) for seed in (0, 1))
    assert np.isfinite(model.fit(views, batch_size=3, verbose=0).history["loss"]).all()
    assert model.embed(views[0]).shape == (3, 1280)
    moved = [np.abs(a - b).max() > 0 for a, b in zip(before, values(model.variables), strict=True)]
    # Not each: ReLUs may be dead, and images of 32 pixels end in a map of one.
    assert np.mean(moved) > 0.9


def momentum_models():
    return {
        "moco": lambda encoder, projector: kgen.MoCo(encoder, projector, queue_size=8),
        "byol": lambda encoder, projector: kgen.BYOL(encoder, projector, dense((3,), 4, 3)),
    }


@pytest.mark.parametrize("name", ["moco", "byol"])
def test_an_encoder_may_be_frozen_and_thawed(name, tmp_path):
    """Which weights are trainable may change; what is averaged may not."""
    model = trained(momentum_models()[name](*parts()))
    count = len(model.variables)
    model.encoder.trainable = False
    trained(model)
    before = values(model.encoder.variables)
    model.fit(VIEWS, batch_size=4, verbose=0)
    for mine, old in zip(model.encoder.variables, before, strict=True):
        np.testing.assert_array_equal(mine, old)
    model.save(tmp_path / "frozen.keras")
    restored = keras.saving.load_model(tmp_path / "frozen.keras")
    assert len(restored.variables) == count
    expected = model.evaluate(VIEWS, verbose=0, return_dict=True)["loss"]
    # Another graph may sum in another order.
    loss = restored.evaluate(VIEWS, verbose=0, return_dict=True)["loss"]
    assert loss == pytest.approx(expected, rel=1e-5)
    model.encoder.trainable = True
    trained(model).fit(VIEWS, batch_size=4, verbose=0)
    assert np.abs(values(model.encoder.variables)[0] - before[0]).max() > 0


def test_a_batch_larger_than_the_queue_fills_it():
    """Later batches of a generator cannot be checked beforehand."""
    model = trained(kgen.MoCo(*parts(), queue_size=3))
    first = tuple(view[:3] for view in VIEWS)
    expected = normalized(model._key_projector(model._key_encoder(VIEWS[1])))[-3:]
    model.compile(keras.optimizers.SGD(0.0), **EAGER)
    model.fit((each for each in ((first,), (VIEWS,))), steps_per_epoch=2, verbose=0)
    # Without a learning rate the keys of the last batch are those of the networks as they were.
    np.testing.assert_allclose(model.queue, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["moco", "byol"])
def test_losses_that_layers_keep_count(name):
    """An activity regularizer of the encoder, whose weights another call uses as well."""
    losses_of = {}
    for weight in (0.0, 0.5):
        keras.utils.set_random_seed(0)
        encoder = dense(SHAPE, 5, activity_regularizer=keras.regularizers.L2(weight))
        model = trained(momentum_models()[name](encoder, dense((5,), 4, 3)))
        losses_of[weight] = model.evaluate(VIEWS, verbose=0, return_dict=True)["loss"]
    assert losses_of[0.5] > losses_of[0.0] + 1e-3
