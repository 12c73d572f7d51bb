"""Networks that leave kgen: a GAN's averaged generator as a file of its own, and in TFLite."""

import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import AVERAGES, CASES, DENSE_PLAYERS, SHAPE, examples

import kgen
from kgen import specs
from kgen.seeds import seed_rows
from kgen.verbs.conditioning import inputs

GANS = [case for case in CASES if set(AVERAGES) & set(case.follows) or case.name == "gan_consensus"]

TO_TFLITE = ("vae", "conditional_gan")


@pytest.mark.parametrize("case", GANS, ids=lambda case: case.name)
def test_an_averaged_generator_draws_what_sample_draws(case, tmp_path):
    model = case.build()
    for average in model._averages.variables if model._averages else ():
        average.assign(average + 0.1)
    given = {}
    if specs.condition_parts(model.condition):
        given = {"condition": examples(model, 3)[1]}
    generator = model.averaged_generator()
    assert type(generator) is type(model.generator)
    batch = inputs(
        model.sample_latents(seed_rows(7, 3)),
        model._given(**{"condition": None, **given}, examples=3),
    )
    drawn = model.sample(3, seed=7, **given)
    np.testing.assert_allclose(generator(batch, training=False), drawn, atol=1e-5)
    if model._averages:
        assert np.abs(model.generator(batch, training=False) - drawn).max() > 1e-3
    generator.save(tmp_path / "generator.keras")
    restored = keras.saving.load_model(tmp_path / "generator.keras")
    np.testing.assert_allclose(restored(batch, training=False), drawn, atol=1e-5)
    # It is a copy: what becomes of it is nothing to the GAN.
    generator.set_weights([0.0 * weight for weight in generator.get_weights()])
    np.testing.assert_array_equal(model.sample(3, seed=7, **given), drawn)


def test_a_generator_is_read_without_kgen(tmp_path):
    """Where all of its layers are Keras' own."""
    model = kgen.GAN.for_images(SHAPE, latent_dim=2, **DENSE_PLAYERS)
    model.averaged_generator().save(tmp_path / "generator.keras")
    latents = np.ones((1, 2), "float32")
    program = (
        "import sys, keras, numpy\n"
        f"network = keras.saving.load_model({str(tmp_path / 'generator.keras')!r})\n"
        f"numpy.save({str(tmp_path / 'image.npy')!r}, network(numpy.ones((1, 2), 'float32')))\n"
        "assert 'kgen' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=120)
    np.testing.assert_allclose(np.load(tmp_path / "image.npy"), model.decode(latents), atol=1e-6)


def in_tflite(network, *batch):
    """What a network gives as a TFLite model of built-in operations."""
    content = tf.lite.TFLiteConverter.from_keras_model(network).convert()
    with warnings.catch_warnings():
        # TensorFlow says that the interpreter moves to a package of its own.
        warnings.simplefilter("ignore")
        run = tf.lite.Interpreter(model_content=content).get_signature_runner()
    names = [tensor.name for tensor in network.inputs]
    (outputs,) = run(**dict(zip(names, batch, strict=True))).values()
    return outputs


@pytest.mark.skipif(not hasattr(tf, "lite"), reason="this TensorFlow has no tf.lite")
def test_networks_convert_to_tflite():
    """As `docs/serving.md` says: an encoder, a generator of labels, and a decoder."""
    images = np.random.RandomState(0).uniform(size=(2, *SHAPE)).astype("float32")
    models = {case.name: case.build() for case in CASES if case.name in TO_TFLITE}
    vae, gan = models["vae"], models["conditional_gan"]
    latents = np.float32(vae.encode(images))
    np.testing.assert_allclose(in_tflite(vae.encoder, images)[:, :2], latents, atol=1e-5)
    params = vae.decoder(latents)
    np.testing.assert_allclose(in_tflite(vae.decoder, latents), params, atol=1e-5)
    drawn = gan.sample(2, seed=3, condition=[2, 0])
    latents = gan.sample_latents(seed_rows(3, 2)).numpy()
    generator, labels = gan.averaged_generator(), np.array([2, 0], "int32")
    np.testing.assert_allclose(in_tflite(generator, latents, labels), drawn, atol=1e-5)
