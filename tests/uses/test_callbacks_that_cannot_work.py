"""Callbacks of kgen that cannot work say so before the first epoch, not after the last."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import kgen
from kgen import heads, networks, plots

RANDOM = np.random.RandomState(0)
IMAGES = RANDOM.uniform(size=(8, 4, 4, 1)).astype("float32")
DENSE = dict(
    encoder=functools.partial(networks.dense_encoder, hidden_units=(4,)),
    decoder=functools.partial(networks.dense_decoder, hidden_units=(4,)),
)


class Epochs(keras.callbacks.Callback):
    """Fails the test if an epoch begins."""

    def on_epoch_begin(self, epoch, logs=None):
        raise AssertionError("an epoch began")


@pytest.fixture(scope="module")
def vae():
    model = kgen.VAE.for_images((4, 4, 1), latent_dim=2, likelihood=heads.Normal(), **DENSE)
    model.compile()
    return model


def drawing(draw):
    return lambda folder: kgen.callbacks.PictureLogger(folder, {"samples": draw}, every=2)


def evaluating(evaluate):
    return lambda folder: kgen.callbacks.EvaluationLogger(evaluate, every=2)


def with_data(model, data):
    raise AssertionError("called")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            drawing(lambda model: model.sample(4)),
            ValueError,
            "Expected picture 'samples' to be uint8",
        ),
        (drawing(lambda model: model.draw(4)), AttributeError, "draw"),
        (drawing(plots.image_grid), ValueError, "."),
        (
            evaluating(with_data),
            ValueError,
            r"evaluate is called with the model alone, but with_data\(model, data\) cannot be: "
            "missing a required argument: 'data'",
        ),
        (evaluating(lambda: {}), ValueError, r"<lambda>\(\) cannot be: too many positional"),
        (
            lambda folder: kgen.callbacks.ProjectorLogger(folder, IMAGES[:, :3]),
            ValueError,
            r"Expected images of shape \(batch, 4, 4, 1\)",
        ),
    ],
)
def test_what_fails_does_so_before_the_first_epoch(make, error, message, tmp_path, vae):
    with pytest.raises(error, match=message):
        vae.fit(IMAGES, epochs=2, verbose=0, callbacks=[Epochs(), make(tmp_path)])


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("log_dir", lambda folder: drawing(plots.sample_grid)(folder)),
        ("log_dir", lambda folder: kgen.callbacks.EvaluationLogger(dict, log_dir=folder)),
        ("log_dir", lambda folder: kgen.callbacks.ProjectorLogger(folder, IMAGES)),
        ("backup_dir", lambda folder: kgen.callbacks.BackupAndRestore(folder)),
    ],
)
def test_a_folder_that_cannot_be_written(name, make, tmp_path, vae):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=f"Choose a {name} that can be written: .*file/logs"):
        callbacks = [Epochs(), make(tmp_path / "file" / "logs")]
        vae.fit(IMAGES, epochs=2, verbose=0, callbacks=callbacks)


def test_what_works_is_tried_and_leaves_nothing(tmp_path, vae):
    calls = []
    picture = drawing(lambda model: calls.append(0) or plots.sample_grid(model))(tmp_path)
    vae.fit(IMAGES, epochs=1, verbose=0, callbacks=[picture])
    assert calls == [0] and not list(tmp_path.iterdir())


PICTURES = RANDOM.uniform(size=(8, 8, 8, 1)).astype("float32")
LABELS = np.arange(8) % 2


def test_a_probe_of_other_pictures():
    model = kgen.SimCLR.for_images((8, 8, 1), embedding_dim=4, projection_dim=4)
    model.compile()
    colour = np.repeat(PICTURES, 3, axis=-1)
    probe = kgen.callbacks.OnlineProbe((colour, LABELS), (colour, LABELS), every=2)
    views = kgen.data.views(
        kgen.data.from_arrays(PICTURES, batch_size=8), kgen.data.grey_augmentation((8, 8, 1))
    )
    message = r"OnlineProbe: The training images: Expected images of shape \(batch, 8, 8, 1\)"
    with pytest.raises(ValueError, match=message):
        model.fit(views, epochs=2, verbose=0, callbacks=[Epochs(), probe])


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ((PICTURES, np.zeros(8, int)), (PICTURES, LABELS), "All 8 labels are 0"),
        ((PICTURES, LABELS), (PICTURES, LABELS + 1), r"test labels hold the classes \[2\]"),
        ((PICTURES, LABELS), (PICTURES, LABELS / 2), "test labels to be integers"),
        ((PICTURES, np.eye(2)[LABELS]), (PICTURES, LABELS), "training labels to be integers"),
    ],
)
def test_labels_that_a_probe_cannot_use(train, test, message):
    with pytest.raises(ValueError, match=message):
        kgen.callbacks.OnlineProbe(train, test)
    if "integers" in message:
        # Of a data set the first batch tells no more.
        batches = [tf.data.Dataset.from_tensor_slices(pair).batch(4) for pair in (train, test)]
        with pytest.raises(ValueError, match=message):
            kgen.callbacks.OnlineProbe(*batches)
