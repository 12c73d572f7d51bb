"""A VQ-VAE that one can draw from: a prior learns its codes, and is a part of it from then on."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import FEATURES, GATED, SHAPE
from write_goldens import GOLDENS

import kgen
from kgen import callbacks, heads, serving, specs

PRIOR = functools.partial(kgen.GatedPixelCNN.for_codes, embedding_dim=2, network=GATED)
LABELLED = functools.partial(PRIOR, condition=specs.Labels(3))


def images(count=40):
    return np.random.RandomState(0).uniform(size=(count, *SHAPE)).astype("float32")


def vqvae(**kwargs):
    model = kgen.VQVAE.for_images(SHAPE, num_codes=4, code_dim=2, **FEATURES, **kwargs)
    # A codebook that uses all of its entries.
    model.quantizer.codebook.assign(np.random.RandomState(1).normal(size=(4, 2)) / 10)
    model.compile()
    return model


def weights(model):
    return [variable.numpy() for variable in model.variables]


def assert_same(first, second):
    for mine, theirs in zip(first, second, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("prior", [PRIOR, LABELLED], ids=["plain", "labelled"])
def test_all_the_way(prior, tmp_path):
    """Trained in two stages, saved, loaded, exported: the same samples everywhere."""
    model, x, y = vqvae(), images(), None
    options, inputs = {}, {"temperature": np.ones(3, "float32")}
    if prior is LABELLED:
        y, options = np.arange(40) % 3, {"condition": [2, 0, 1]}
        inputs["labels"] = np.array([2, 0, 1], "int32")
    model.fit(x, verbose=0)
    first_stage = (model.encoder, model.quantizer, model.decoder)
    before = [array for part in first_stage for array in weights(part)]
    history = model.fit_prior(x, y, prior=prior, epochs=2, validation_data=(x, y), verbose=0)
    # In nats per map of 9 codes, against the uniform prior's; the first stage is left as it was.
    assert set(history.history) == {"loss", "bits_per_dim", "val_loss", "val_bits_per_dim"}
    assert history.history["val_loss"][-1] < 9 * np.log(4) + 1
    assert_same(before, [array for part in first_stage for array in weights(part)])
    drawn = model.sample(3, seed=7, **options).numpy()
    assert drawn.shape == (3, *SHAPE) and np.abs(drawn[0] - drawn[1]).max() > 0
    row = {name: value[:1] for name, value in options.items()}
    np.testing.assert_allclose(model.sample(1, seed=7, **row), drawn[:1], atol=1e-6)
    model.save(tmp_path / "vqvae.keras")
    restored = keras.saving.load_model(tmp_path / "vqvae.keras")
    np.testing.assert_array_equal(restored.sample(3, seed=7, **options), drawn)
    version = serving.export(restored, tmp_path / "served", warmup_batch_sizes=(1,))
    inputs["seed"] = np.array([[7, 0], [7, 1], [7, 2]], "int32")
    served = serving.run_signatures(version, {"sample": inputs})["sample"]["images"]
    np.testing.assert_allclose(served, drawn, atol=1e-5)
    # The second stage goes on from the file.
    assert int(restored.prior.steps) == 2
    restored.fit_prior(x, y, verbose=0)
    assert int(restored.prior.steps) == int(restored.prior.optimizer.iterations.numpy()) == 3


def test_the_prior_learns_which_codes_there_are():
    """Of two kinds of images, three to one, as many are drawn, and nothing else."""
    model = vqvae()
    kinds = images(2)
    codes = model.encode(kinds).numpy()
    assert (codes[0] != codes[1]).any()
    x = kinds[(np.arange(1280) % 4 == 0).astype(int)]
    prior = functools.partial(PRIOR, network=functools.partial(GATED, filters=16))
    adam = keras.optimizers.Adam(0.01)
    model.fit_prior(x, prior=prior, optimizer=adam, batch_size=64, epochs=12, verbose=0)
    drawn = model.sample(400, seed=0).numpy()
    distances = np.abs(drawn[:, None] - model.reconstruct(kinds).numpy()).max(axis=(2, 3, 4))
    found = np.bincount(np.argmin(distances, axis=1)[distances.min(axis=1) < 1e-5], minlength=2)
    assert found.sum() > 390 and 0.67 < found[0] / found.sum() < 0.83
    # The same probabilities, added up over all images of the prior: those of the data.
    log_prob = model.prior.log_prob(codes[..., None].astype("float32") / 3)
    np.testing.assert_allclose(np.exp(log_prob), [0.75, 0.25], atol=0.05)


def test_stages_leave_one_another_alone():
    """The first stage moves no weight of the prior, pays none of its penalties and has its own."""

    def l2_prior(code_shape, num_codes):
        prior = PRIOR(code_shape, num_codes)
        for layer in prior.network.layers:
            layer.kernel_regularizer = keras.regularizers.L2(100.0)
            for weight in layer.weights:
                weight.regularizer = keras.regularizers.L2(100.0)
        return prior

    x, losses = images(), []
    for prior in (None, l2_prior):
        keras.utils.set_random_seed(0)
        model = vqvae(prior=prior)
        model.encoder.layers[1].kernel.regularizer = keras.regularizers.L2(10.0)
        before = [] if prior is None else weights(model.prior)
        losses.append(model.fit(x, verbose=0, shuffle=False).history["loss"][0])
        losses.append(model.evaluate(x, verbose=0, return_dict=True))
        assert_same(before, [] if prior is None else weights(model.prior))
    assert losses[:2] == losses[2:]
    # The prior pays its own.
    assert model.fit_prior(x, verbose=0).history["loss"][0] > 100


def test_the_codes_of_a_vector_are_one_row():
    points = np.random.RandomState(0).normal(size=(40, 6)).astype("float32")
    model = kgen.VQVAE.for_vectors(6, num_codes=4)
    model.compile()
    model.fit(points, verbose=0)
    model.fit_prior(points, prior=PRIOR, verbose=0)
    assert model.prior.image_shape == (1, *model.code_shape, 1)
    drawn = model.sample(3, seed=0)
    codes = np.round(model.prior.sample(3, seed=0)[:, 0, :, 0] * 3).astype(int)
    np.testing.assert_array_equal(drawn, model.decode(codes))
    assert drawn.shape == (3, 6)


class Interruption(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


def test_an_interrupted_second_stage_ends_like_an_uninterrupted_one(tmp_path):
    def fit(*used):
        keras.utils.set_random_seed(0)
        model = vqvae(prior=PRIOR)
        data = tf.data.Dataset.from_tensor_slices(images()).batch(8)
        model.fit_prior(data, batch_size=16, epochs=4, verbose=0, callbacks=list(used))
        return model

    whole = fit()
    with pytest.raises(KeyboardInterrupt):
        fit(Interruption(), callbacks.BackupAndRestore(tmp_path))
    resumed = fit(callbacks.BackupAndRestore(tmp_path))
    assert_same(weights(whole), weights(resumed))
    assert_same(whole.prior.optimizer.variables, resumed.prior.optimizer.variables)


def test_a_file_from_before_there_were_priors():
    model = keras.saving.load_model(GOLDENS / "vqvae.keras")
    assert "sample" not in model.endpoints()
    model.fit_prior(images(), prior=PRIOR, verbose=0)
    assert next(iter(model.endpoints())) == "sample"
    assert model.sample(2, seed=0).shape == (2, *SHAPE)


def test_mixed_precision():
    """Codes are told apart where half precision could not: 300 of them."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = kgen.VQVAE.for_images(SHAPE, num_codes=300, code_dim=2, prior=PRIOR, **FEATURES)
    model.compile()
    model.fit_prior(images(), verbose=0)
    maps = model.prior.sample(50, seed=0)
    codes = model._codes(maps).numpy()
    np.testing.assert_allclose(codes / 299, maps[..., 0], atol=1e-6)
    assert codes.max() > 256 and len(np.unique(codes)) > 100
    assert np.isfinite(model.sample(2, seed=0)).all()


def test_what_cannot_be():
    model, x = vqvae(), images()
    for call, message in (
        (
            lambda: model.sample(2),
            "no trained prior .* fit_prior.images, prior=kgen.Gated.*. first",
        ),
        (lambda: model.fit_prior(x), "has no prior: give fit_prior one, prior=kgen.Gated"),
        (lambda: model.fit_prior(x * 255, prior=PRIOR), "Divide by 255"),
        (
            lambda: model.fit_prior(x, prior=kgen.GatedPixelCNN),
            "model of code maps, .* received Gat",
        ),
        (
            lambda: model.fit_prior(x, prior=heads.Normal()),
            r"for_codes\(\(3, 3\), 4\); received Norm",
        ),
        (lambda: model.fit_prior(x, prior=PRIOR((3, 2), 4)), r"\(3, 3, 1\) on 4 .* \(3, 2, 1\)"),
        (lambda: model.fit_prior(x, prior=PRIOR((3, 3), 5)), r"on 4 levels, .* on 5\."),
        (lambda: model.fit_prior(x, prior=ordered), r"no order: .* heads.Categorical\(4\)"),
        (lambda: model.fit_prior(x[:0], prior=PRIOR), "empty"),
        (lambda: model.fit_prior(x, np.arange(3), prior=LABELLED), r"as many rows, .* \[3, 40\]"),
        (lambda: model.fit_prior(x, prior=PRIOR, sample_weight=x), "takes no sample_weight"),
        (lambda: model.fit_prior(endless, prior=PRIOR), "no end: .* Take a part"),
        (lambda: model.fit_prior(weighed, prior=PRIOR), "takes no sample weights"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
        assert model.prior is None, message
    with pytest.raises(
        TypeError, match="arrays or a tf.data.Dataset of batches, received generator"
    ):
        model.fit_prior((batch for batch in [x]), prior=PRIOR)
    with pytest.raises(ValueError, match="on 4 levels"):
        vqvae(prior=PRIOR((3, 3), 5))
    model.fit_prior(x, prior=PRIOR, verbose=0)
    with pytest.raises(ValueError, match="has a prior already"):
        model.fit_prior(x, prior=PRIOR)
    model.fit(x, verbose=0)
    for call in (lambda: model.sample(2), model.endpoints):
        with pytest.raises(ValueError, match="trained since its fit_prior, .* again"):
            call()
    model.fit_prior(x, verbose=0)
    model.sample(2)


def ordered(code_shape, num_codes):
    return kgen.GatedPixelCNN.for_images(
        (*code_shape, 1), likelihood=heads.DiscretizedLogistic(num_codes), network=GATED
    )


endless = tf.data.Dataset.from_tensors(images(2)).repeat()
weighed = tf.data.Dataset.from_tensors((images(2), np.zeros(2), np.ones(2)))
