import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen import callbacks
from tests.callbacks.models import IMAGES, Autoencoder


@pytest.mark.parametrize("labels", [None, np.arange(14), ["a\tb"] * 14])
def test_projector_plugin_reads_the_embeddings(tmp_path, labels):
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.projector import projector_plugin
    from werkzeug.test import Client

    images = np.zeros((14, 4, 6, 1), np.float32)
    images[5] = 1

    class Model(Autoencoder):
        def encode(self, images):
            # A spatial code: two by two, with one channel.
            return keras.ops.convert_to_tensor(images)[:, :2, :2]

    callback = callbacks.ProjectorLogger(tmp_path, images, labels)
    callback.set_model(Model())
    callback.on_train_end()

    plugin = projector_plugin.ProjectorPlugin(base_plugin.TBContext(logdir=str(tmp_path)))
    apps = plugin.get_plugin_apps()

    def get(route):
        response = Client(apps[route]).get("/?run=.&name=codes&num_rows=100")
        assert response.status_code == 200
        return response.get_data()

    embedding = json.loads(get("/info"))["embeddings"][0]
    assert embedding["tensorShape"] == [14, 4]
    assert embedding["sprite"]["singleImageDim"] == [6, 4]
    codes = np.frombuffer(get("/tensor"), np.float32).reshape(14, 4)
    np.testing.assert_array_equal(codes, images[:, :2, :2].reshape(14, 4))
    sprite = tf.io.decode_png(get("/sprite_image")).numpy()
    assert sprite.shape == (16, 24, 1)
    assert sprite.sum() == sprite[4:8, 6:12].sum() == 24 * 255, "image 5: second row, second column"
    if labels is not None:
        lines = get("/metadata").decode().splitlines()
        assert lines == [" ".join(str(label).split()) for label in labels]


def test_a_model_that_embeds(tmp_path):
    class Model(Autoencoder):
        encode = None

        def embed(self, images):
            return keras.ops.convert_to_tensor(images)[:, 0, :3, 0]

    callback = callbacks.ProjectorLogger(tmp_path, IMAGES)
    callback.set_model(Model())
    callback.on_train_end()
    codes = np.loadtxt(tmp_path / "tensors.tsv")
    # Seven digits are written.
    np.testing.assert_allclose(codes, IMAGES[:, 0, :3, 0], rtol=1e-6)


def test_projector_checks_its_arguments(tmp_path):
    with pytest.raises(ValueError, match="one label per image"):
        callbacks.ProjectorLogger(tmp_path, IMAGES, [1])
    with pytest.raises(ValueError, match="Pass fewer images"):
        callbacks.ProjectorLogger(tmp_path, np.zeros((17, 2048, 1, 1), np.float32))
