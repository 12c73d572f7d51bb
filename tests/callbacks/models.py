"""Small models and runs that the tests of the callbacks share."""

import keras
import numpy as np
import tensorflow as tf

IMAGES = np.random.default_rng(0).random((16, 4, 4, 1), dtype=np.float32)
X = np.random.default_rng(1).normal(size=(12, 4)).astype(np.float32)
Y = np.random.default_rng(2).normal(size=(12, 2)).astype(np.float32)


class Autoencoder(keras.Model):
    """Plain Keras model with the verbs that pictures and embeddings use."""

    latent_dim = 3

    def __init__(self):
        super().__init__()
        self.encoder = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])
        self.decoder = keras.Sequential(
            [keras.layers.Dense(16, "sigmoid"), keras.layers.Reshape((4, 4, 1))]
        )

    def call(self, images):
        return self.decoder(self.encoder(images))

    def encode(self, images):
        return self.encoder(images)

    def reconstruct(self, images):
        return self(images)


def fit_autoencoder(*used, epochs=1):
    model = Autoencoder()
    model.compile("adam", "mse", run_eagerly=True)
    model.fit(IMAGES, IMAGES, epochs=epochs, verbose=0, callbacks=list(used))
    return model


def summaries(folder):
    found = []
    for path in sorted(folder.glob("events*")):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            found.extend((event.step, value) for value in event.summary.value)
    return found


def classifier(*, built=True, optimizer=None, policy=None, eager=True):
    keras.utils.set_random_seed(3)
    layers = [
        keras.layers.Dense(8, "relu", dtype=policy),
        keras.layers.BatchNormalization(dtype=policy),
        # Its generator has a state, which Keras' weight files leave out.
        keras.layers.Dropout(0.5, dtype=policy),
        keras.layers.Dense(2, dtype=policy),
    ]
    model = keras.Sequential([keras.Input((4,)), *layers] if built else layers)
    model.compile(
        optimizer or keras.optimizers.Adam(0.05),
        "mse",
        jit_compile=False,
        run_eagerly=eager,
    )
    return model


def fit(model, *used, epochs=6):
    # One full batch an epoch: the order of the data cannot matter.
    return model.fit(
        X, Y, batch_size=len(X), shuffle=False, epochs=epochs, verbose=0, callbacks=list(used)
    )
