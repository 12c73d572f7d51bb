"""What `fit` is given beside x: weights, class weights, targets, lists."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import kgen
from kgen import data, heads, networks, specs

SHAPE = (4, 5, 1)


def images(count=40, seed=0):
    return np.random.default_rng(seed).integers(0, 2, size=(count, *SHAPE)).astype("float32")


def dense(inputs, outputs, end=None):
    return keras.Sequential(
        [
            keras.Input(inputs),
            layers.Flatten(),
            layers.Dense(int(np.prod(outputs)), activation=end),
            layers.Reshape(outputs),
        ]
    )


MODELS = {
    "vae": lambda: kgen.VAE(dense(SHAPE, (4,)), dense((2,), SHAPE)),
    "autoencoder": lambda: kgen.Autoencoder(dense(SHAPE, (2,)), dense((2,), SHAPE)),
    "gan": lambda: kgen.GAN(dense((2,), SHAPE, "sigmoid"), dense(SHAPE, (1,))),
    "wgan_gp": lambda: kgen.WGANGP(
        dense((2,), SHAPE, "sigmoid"), dense(SHAPE, (1,)), discriminator_steps=1
    ),
    "pixelcnn": lambda: kgen.PixelCNN.for_images(
        SHAPE,
        likelihood=heads.Bernoulli(),
        network=lambda shape, size, **kw: networks.pixelcnn(
            shape, size, filters=4, num_blocks=1, head_filters=(), **kw
        ),
    ),
}


@pytest.fixture(params=MODELS)
def model(request):
    keras.utils.set_random_seed(0)
    built = MODELS[request.param]()
    built.compile(keras.optimizers.SGD(0.1))
    return built


def trained(model):
    return [weight.numpy() for weight in model.trainable_variables]


def is_same(before, after):
    return all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_weights_count_without_y(model):
    x, before = images(), trained(model)
    model.fit(x, sample_weight=np.zeros(40, "float32"), batch_size=20, verbose=0)
    assert is_same(before, trained(model))
    model.fit(x, sample_weight=[1.0] * 40, batch_size=20, verbose=0)
    assert not is_same(before, trained(model))


def test_examples_of_weight_0_are_as_if_they_were_not_there():
    x = images()
    weights = np.repeat([1.0, 0.0], 20).astype("float32")
    fitted = []
    for given in (x, np.concatenate([x[:20], images(20, seed=9)])):
        keras.utils.set_random_seed(0)
        model = kgen.Autoencoder(dense(SHAPE, (2,)), dense((2,), SHAPE))
        model.compile(keras.optimizers.SGD(0.1))
        model.fit(given, sample_weight=weights, batch_size=40, epochs=2, verbose=0)
        fitted.append(trained(model))
    assert is_same(*fitted)


def test_weights_count_in_evaluation_and_validation():
    model = kgen.Autoencoder(dense(SHAPE, (2,)), dense((2,), SHAPE))
    model.compile()
    x = images()
    alone = model.evaluate(x[:8], verbose=0, return_dict=True)["loss"]
    weights = np.repeat([1.0, 0.0], [8, 32]).astype("float32")
    weighed = model.evaluate(x, sample_weight=weights, verbose=0, return_dict=True)["loss"]
    assert weighed == pytest.approx(alone, rel=1e-5)
    for optimizer in (model.optimizer,):
        optimizer.learning_rate = 0.0
    logs = model.fit(x, validation_data=(x, None, weights), verbose=0).history
    assert logs["val_loss"][0] == pytest.approx(alone, rel=1e-5)
    # The last fifth, with its weights.
    weights = np.repeat([0.0, 1.0], [36, 4]).astype("float32")
    logs = model.fit(x, sample_weight=weights, validation_split=0.2, verbose=0).history
    last = model.evaluate(x[36:], verbose=0, return_dict=True)["loss"]
    assert logs["val_loss"][0] == pytest.approx(last, rel=1e-5)


def test_as_many_weights_as_examples(model):
    with pytest.raises(ValueError, match="40.*39|39.*40|cardinality"):
        model.fit(images(), sample_weight=np.ones(39, "float32"), verbose=0)


def test_class_weights_need_labels():
    model = kgen.Autoencoder(dense(SHAPE, (2,)), dense((2,), SHAPE))
    model.compile(keras.optimizers.SGD(0.1))
    with pytest.raises(ValueError, match="class_weight weighs examples by their labels"):
        model.fit(images(), class_weight={0: 1.0, 1: 0.0}, verbose=0)
    before = trained(model)
    with pytest.warns(UserWarning, match="learns without labels"):
        model.fit(images(), [1] * 40, class_weight={0: 1.0, 1: 0.0}, verbose=0)
    assert is_same(before, trained(model))


@pytest.mark.parametrize("kind", ["list", "series", "array"])
def test_labels_in_any_form(kind):
    labels = np.arange(40) % 3
    if kind == "list":
        labels = labels.tolist()
    if kind == "series":

        class Series:
            """What of pandas.Series is used here."""

            def __init__(self, values):
                self.values, self.shape = values, values.shape

            def to_numpy(self):
                return self.values

            def __array__(self, dtype=None, copy=None):
                return self.values

            def __len__(self):
                return len(self.values)

        labels = Series(labels)
    model = kgen.GatedPixelCNN.for_images(
        SHAPE,
        likelihood=heads.Bernoulli(),
        condition=specs.Labels(3),
        network=functools.partial(
            networks.gated_pixelcnn, filters=4, num_layers=1, head_filters=()
        ),
    )
    model.compile()
    model.fit(images(), labels, batch_size=20, verbose=0)
    with pytest.raises(ValueError, match="labels"):
        model.fit(images(), [5] * 40, batch_size=20, verbose=0)


def test_an_autoencoder_learns_the_clean_images_it_is_given():
    """The error to the clean images, beside the noisy input's own and an autoencoder's of it."""
    (clean,) = data.from_arrays(
        next(iter(data.load("digits", batch_size=1500))).numpy(), batch_size=1500
    )
    clean = np.asarray(clean)
    noise = np.random.default_rng(0).normal(scale=0.4, size=clean.shape)
    noisy = np.clip(clean + noise, 0.0, 1.0).astype("float32")
    errors = {}
    for name, target in (("clean", clean), ("itself", None)):
        keras.utils.set_random_seed(0)
        model = kgen.Autoencoder.for_images(
            (8, 8, 1), latent_dim=16, encoder=networks.dense_encoder, decoder=networks.dense_decoder
        )
        model.compile(kgen.optimizers.Adam(3e-3))
        model.fit(noisy, target, batch_size=100, epochs=15, verbose=0)
        errors[name] = float(np.mean((np.asarray(model.reconstruct(noisy)) - clean) ** 2))
    own = float(np.mean((noisy - clean) ** 2))
    assert errors["clean"] < 0.7 * errors["itself"] and errors["clean"] < 0.6 * own


def test_targets_that_a_model_does_not_use_are_refused():
    model = kgen.VAE(dense(SHAPE, (4,)), dense((2,), SHAPE))
    model.compile()
    with pytest.raises(ValueError, match="without targets"):
        model.fit(images(), images(), verbose=0)
    autoencoder = kgen.Autoencoder(dense(SHAPE, (2,)), dense((2,), SHAPE))
    autoencoder.compile()
    with pytest.raises(
        ValueError, match=r"y: Expected pixels in \[0, 1\], received values from 0 to 255"
    ):
        autoencoder.fit(images(), 255 * images(), verbose=0)
    with pytest.raises(ValueError, match="y: "):
        autoencoder.fit(images(), images()[:, :2], verbose=0)
    batches = tf.data.Dataset.from_tensor_slices((images(), images(seed=1))).batch(8)
    assert np.isfinite(autoencoder.fit(batches, verbose=0).history["loss"]).all()


def test_class_weights_of_pairs_without_labels():
    model = kgen.SimCLR.for_images(SHAPE)
    model.compile()
    with pytest.raises(ValueError, match="class_weight weighs examples by their labels"):
        model.fit(((images(), images()),), class_weight={0: 1.0}, verbose=0)


def test_a_y_of_unknown_rank_is_a_y():
    from kgen.training.data import unpack

    @tf.function(input_signature=[tf.TensorSpec(None)])
    def has_y(y):
        return unpack((tf.zeros((2, 3)), y))[1] is not None

    assert has_y(tf.zeros((2, 0)))
    assert unpack((np.zeros((2, 3)), np.zeros((2, 0)), np.ones(2)))[1] is None
