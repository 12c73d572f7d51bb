"""The benchmark of changes puts the older form back, and only while the model is made."""

import json
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf

import kgen
from benchmarks import changes
from kgen import layers, optimizers
from kgen.layers import causal_conv


@pytest.mark.parametrize("name", ["kgen's Adam, dense VAE", "1 x 1 products"])
def test_both_forms_of_a_change_are_trained(name, tmp_path, capsys):
    output = tmp_path / "results.json"
    adam, convolve = optimizers.Adam, causal_conv._WindowConv2D._convolve
    changes.main(changes.Config(change=name, quick=True, output=str(output)))
    assert (optimizers.Adam, causal_conv._WindowConv2D._convolve) == (adam, convolve)
    found = json.loads(output.read_text())["changes"][name]
    assert {form: len(ms) for form, ms in found["results"]["milliseconds_a_step"].items()} == {
        "before": 2,
        "after": 2,
    }
    assert found["hindrance"] == "--quick measures nothing"
    assert name in capsys.readouterr().out


def test_the_form_before_is_another_one(monkeypatch):
    seen = []

    def seconds_by_round(contenders, num_rounds, pause):
        for train in contenders.values():
            (model,) = train.__defaults__
            seen.append(type(model.optimizer))
        return dict(before=[2.0, 2.0], after=[1.0, 1.0])

    monkeypatch.setattr(changes.interleaved, "seconds_by_round", seconds_by_round)
    config = changes.Config(quick=True, num_rounds=2)
    found = changes.measure(changes.CHANGES["kgen's Adam, dense VAE"], config)
    assert seen == [keras.optimizers.Adam, optimizers.Adam]
    assert found["ratio"]["median"] == 2.0


WINDOWS = [name for name, c in changes.CHANGES.items() if c.family == "pixelcnn"]


def operations(layer, images):
    """The outputs and gradients of a layer; the kinds of its operations, how it pads."""

    @tf.function(autograph=False)
    def step(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = layer(images)
        return outputs, tape.gradient(outputs, images)

    found = step.get_concrete_function(images).graph.get_operations()
    paddings = {one.get_attr("padding").decode() for one in found if one.type == "Conv2D"}
    return step(images), {one.type for one in found} | paddings


@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.parametrize("size", [1, 3])
def test_older_convolutions_are_the_same_function_and_differ_in_one_thing(name, size):
    images = tf.random.stateless_normal((2, 5, 5, 3), (0, size))
    layer = layers.CausalConv2D(4, size)
    layer(images)
    after, kinds = operations(layer, images)
    with mock.patch.object(*changes.CHANGES[name].put_back):
        before, older = operations(layer, images)
    for ours, theirs in zip(after, before, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    products = kinds & {"MatMul"}
    assert bool(products) == (size == 1)
    assert older & {"MatMul"} == (set() if name == "1 x 1 products" else products)
    assert ("BiasAdd" in older) == (name == "bias by +")
    assert "EXPLICIT" not in kinds
    assert ("EXPLICIT" in older) == (name == "padded beforehand" and size > 1)


def test_older_likelihood_and_normalization_are_the_same_function():
    logits = tf.random.stateless_normal((2, 3, 3, 1), (0, 0))
    images = tf.cast(logits > 0.3, tf.float32)
    name = "one softplus, dense VAE"
    found = [kgen.heads.Bernoulli().distribution(logits).log_prob(images)]
    with mock.patch.object(*changes.CHANGES[name].put_back):
        found.append(kgen.heads.Bernoulli().distribution(logits).log_prob(images))
    np.testing.assert_allclose(*found, rtol=1e-6)
    maps = tf.random.stateless_normal((4, 3, 3, 2), (0, 1))
    fused, plain = layers.BatchNormalization(), changes._keras_normalization()
    np.testing.assert_allclose(fused(maps, training=True), plain(maps, training=True), atol=1e-5)
    np.testing.assert_allclose(fused.moving_variance, plain.moving_variance, rtol=1e-5)


def test_unknown_changes_list_those_that_exist():
    with pytest.raises(ValueError, match="--change=typo does not exist. One of: kgen's Adam"):
        changes.main(changes.Config(change="typo"))
