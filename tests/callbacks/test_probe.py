"""The online probe against the figures that it logs, and what it says of a collapse."""

import json
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen import callbacks, evaluation
from tests.callbacks.models import summaries


def blobs(seed, count):
    """Images of three kinds: one bright column each, on noise."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    images = random.uniform(0.0, 0.5, size=(count, 1, 12, 1))
    images[np.arange(count), 0, labels, 0] += 0.5
    return images.astype("float32"), labels


TRAIN, TEST = blobs(0, 90), blobs(1, 45)
VIEWS = blobs(2, 64)[0]


class Siamese(keras.Model):
    """Two noisy views are drawn together, and nothing keeps them apart, if `apart` is 0."""

    def __init__(self, apart=0.0):
        super().__init__()
        self.encoder = keras.Sequential(
            [keras.Input((1, 12, 1)), keras.layers.Flatten(), keras.layers.Dense(12)]
        )
        self.apart = apart
        self.built = True

    def embed(self, images):
        return tf.math.l2_normalize(self.encoder(images, training=False), axis=-1)

    def call(self, images):
        return self.embed(images)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        first, second = self.embed(x[:, :, :, :]), self.embed(x[:, :, ::-1])
        pairs = tf.matmul(first, first, transpose_b=True)
        return tf.reduce_mean(tf.square(first - second)) + self.apart * tf.reduce_mean(pairs**2)


class Projecting(Siamese):
    """Embeddings that hold, projections that do not."""

    def project(self, images):
        return tf.ones((len(images), 1)) + 0.0 * self.embed(images)


def run(model, *used, epochs=1):
    model.compile(keras.optimizers.Adam(0.01), jit_compile=False)
    data = tf.data.Dataset.from_tensor_slices(VIEWS).batch(32)
    return model.fit(data, epochs=epochs, shuffle=False, verbose=0, callbacks=list(used))


class _Recorder(keras.callbacks.Callback):
    """What should be in the logs after each epoch."""

    def __init__(self):
        super().__init__()
        self.expected = []

    def on_epoch_end(self, epoch, logs=None):
        train, test = (self.model.embed(images).numpy() for images, _ in (TRAIN, TEST))
        votes = evaluation.knn_probe(
            train, TRAIN[1], test, TEST[1], num_neighbours=7, temperature=0.2
        )
        rank = evaluation.embedding_rank(test)
        beside = [votes[name] for name in ("value", "balanced_accuracy", "majority_share")]
        self.expected.append((*beside, rank["value"], rank["spread"]))


NAMES = (
    "knn_accuracy",
    "knn_balanced_accuracy",
    "knn_majority_share",
    "embedding_rank",
    "embedding_spread",
)


@pytest.mark.parametrize("as_data_set", [False, True])
def test_logs_history_tensorboard_and_early_stopping(tmp_path, as_data_set):
    def given(pair):
        return tf.data.Dataset.from_tensor_slices(pair).batch(20) if as_data_set else pair

    recorder, seen = _Recorder(), []
    probe = callbacks.OnlineProbe(
        given(TRAIN), given(TEST), every=2, num_neighbours=7, temperature=0.2, log_dir=tmp_path
    )
    spy = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(dict(logs)))
    history = run(Siamese(apart=1.0), recorder, probe, spy, epochs=4).history
    # Epochs 0, 2 and the last one, as with `EvaluationLogger`.
    expected = [recorder.expected[epoch] for epoch in (0, 2, 3)]
    # The same function, of embeddings computed in chunks of another size.
    np.testing.assert_allclose([history[name] for name in NAMES], np.transpose(expected), rtol=1e-4)
    assert [set(NAMES) <= set(logs) for logs in seen] == [True, False, True, True]
    assert len({part[3] for part in recorder.expected}) == 4, "each epoch moves the embeddings"
    assert not any("projection" in name for name in history)
    json.dumps(history)
    steps = {(step, value.tag) for step, value in summaries(tmp_path)}
    assert steps == {(epoch, name) for epoch in (0, 2, 3) for name in NAMES}


def test_early_stopping_by_the_accuracy():
    probe = callbacks.OnlineProbe(TRAIN, TEST)
    stop = keras.callbacks.EarlyStopping(monitor="knn_accuracy", mode="max", baseline=2.0)
    # No accuracy is above 2; Keras does not stop at the first epoch.
    assert len(run(Siamese(apart=1.0), probe, stop, epochs=5).history["knn_accuracy"]) == 2


@pytest.mark.parametrize("hook", ["on_batch_end", "on_train_batch_end", "on_test_batch_end"])
def test_no_step_waits_for_it(hook):
    """With a hook of its own that is not `async_safe`, each step would wait for its logs."""
    assert getattr(callbacks.OnlineProbe, hook) is getattr(keras.callbacks.Callback, hook)


def collapse_warnings(caught):
    return [str(one.message) for one in caught if "has collapsed" in str(one.message)]


def test_a_collapse_is_warned_of_once():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = run(Siamese(), callbacks.OnlineProbe(TRAIN, TEST), epochs=25).history
    ranks, spreads = history["embedding_rank"], history["embedding_spread"]
    assert ranks[0] > 5.0 > ranks[-1], "it collapses while it trains"
    assert spreads[0] > spreads[-1]
    (message,) = collapse_warnings(caught)
    first = next(rank for rank in ranks if rank < 5.0)
    assert "the embeddings of 45 test images, vectors of 12 numbers" in message
    assert f"an effective rank of {first:.2f}, below 5" in message
    assert "stopped gradient" in message


def test_what_does_not_collapse_is_not_warned_of():
    # Warnings are errors here.
    run(Siamese(apart=1.0), callbacks.OnlineProbe(TRAIN, TEST), epochs=3)


def test_projections_collapse_alone():
    model = Projecting(apart=1.0)
    with pytest.warns(RuntimeWarning, match="the projections of 45.*nearly the same one"):
        history = run(model, callbacks.OnlineProbe(TRAIN, TEST)).history
    assert history["projection_rank"] == pytest.approx([1.0])
    assert history["projection_spread"] == pytest.approx([0.0], abs=1e-12)
    assert history["embedding_rank"][0] > 5.0


class Given:
    """A model of embeddings that are given, epoch by epoch."""

    def __init__(self, *ranks, dim=12):
        self.distribute_strategy = tf.distribute.get_strategy()
        self.ranks, self.dim = list(ranks), dim
        self.stop_training = False

    def embed(self, images):
        random = np.random.default_rng(len(images))
        width = self.ranks[0]
        return random.normal(size=(len(images), width)) @ np.eye(width, self.dim)


def measured(model, probe, epochs):
    probe.set_model(model)
    probe.set_params(dict(epochs=epochs))
    probe.on_train_begin()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        counts = []
        for epoch in range(epochs):
            probe.on_epoch_end(epoch, {})
            counts.append(len(collapse_warnings(caught)))
            if len(model.ranks) > 1:
                model.ranks.pop(0)
    return counts, collapse_warnings(caught)


def test_a_second_collapse_is_warned_of_again():
    probe = callbacks.OnlineProbe(TRAIN, TEST)
    counts, messages = measured(Given(12, 2, 2, 12, 2), probe, epochs=5)
    assert counts == [0, 1, 1, 1, 2]
    assert "they lie along few directions" in messages[0]
    # A second training starts anew.
    assert measured(Given(2), probe, epochs=1)[0] == [1]


@pytest.mark.parametrize(
    ("rank", "dim", "min_rank", "warned"),
    [(3, 12, 5.0, 1), (3, 12, 2.0, 0), (3, 12, 0.0, 0), (3, 3, 5.0, 0), (1, 4, 5.0, 1)],
)
def test_the_limit(rank, dim, min_rank, warned):
    probe = callbacks.OnlineProbe(TRAIN, TEST, min_rank=min_rank)
    assert measured(Given(rank, dim=dim), probe, epochs=1)[0] == [warned]


def test_only_the_chief_warns_and_all_measure(monkeypatch):
    monkeypatch.setattr(callbacks.probe, "is_chief", lambda model: False)
    probe, model, logs = callbacks.OnlineProbe(TRAIN, TEST), Given(1), {}
    probe.set_model(model)
    # A warning would be an error.
    probe.on_epoch_end(0, logs)
    assert set(logs) == set(NAMES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(every=0), "every"),
        (dict(num_neighbours=0), "num_neighbours must be"),
        (dict(temperature=0.0), "temperature must be"),
        (dict(min_rank=-1.0), "min_rank must be"),
        (dict(train=TRAIN[0]), "Expected training data with labels"),
        (dict(test=tf.data.Dataset.from_tensor_slices(TEST[0]).batch(5)), "Expected test data"),
        (dict(train=(TRAIN[0], TRAIN[1][:-1])), "one label per image"),
        (dict(test=(255 * TEST[0], TEST[1])), r"The test images: Expected pixels in \[0, 1\]"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        callbacks.OnlineProbe(**(dict(train=TRAIN, test=TEST) | arguments))


def test_a_model_without_vectors():
    probe = callbacks.OnlineProbe(TRAIN, TEST)
    inputs = keras.Input((1, 12, 1))
    probe.set_model(keras.Model(inputs, inputs))
    probe.set_params(dict(epochs=1))
    with pytest.raises(ValueError, match="one feature vector per image"):
        probe.on_epoch_end(0, {})
