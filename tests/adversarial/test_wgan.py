"""WGAN: a step by hand, and clipped weights after every step."""

import keras
import numpy as np
import pytest
from adversarial.players import (
    constant_generator,
    dense_players,
    images,
    linear_discriminator,
    normalized_players,
    points,
    sgd,
)

import kgen


def largest_weight(model):
    return max(
        np.abs(variable.numpy()).max() for variable in model.player_variables("discriminator")
    )


def test_steps_by_hand():
    """D(x) = a.x, G(z) = b: the critic climbs along mean(x) - b, the generator along a."""
    a, b, limit = np.array([0.02, -0.05]), np.array([1.0, 2.0]), 0.1
    model = kgen.WGAN(
        constant_generator(*b),
        linear_discriminator(*a),
        clip_limit=limit,
        discriminator_steps=2,
        ema_decay=None,
    )
    model.compile(generator_optimizer=sgd(0.01), discriminator_optimizer=sgd(0.03))
    x = points(8)
    history = model.fit(x, batch_size=8, shuffle=False, verbose=0).history
    distances = []
    for half in (x[:4], x[4:]):
        distances.append(half.mean(axis=0) @ a - b @ a)
        a = np.clip(a + 0.03 * (half.mean(axis=0) - b), -limit, limit)
    # The second step hits the limit.
    assert np.abs(a).max() == limit
    np.testing.assert_allclose(model.discriminator.get_weights()[0][:, 0], a, rtol=1e-5)
    np.testing.assert_allclose(model.generator.get_weights()[0], b + 0.01 * a, rtol=1e-6)
    assert history["wasserstein"][0] == pytest.approx(np.mean(distances), rel=1e-5)
    assert history["discriminator_loss"][0] == pytest.approx(-np.mean(distances), rel=1e-5)
    assert history["generator_loss"][0] == pytest.approx(-a @ b, rel=1e-5)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_clipped_after_every_step_and_after_loading(policy, tmp_path):
    keras.config.set_dtype_policy(policy)
    model = kgen.WGAN(*normalized_players(), clip_limit=0.02, discriminator_steps=2)
    model.compile(generator_optimizer=sgd(), discriminator_optimizer=keras.optimizers.RMSprop(0.05))
    # A gain of batch normalization starts at 1.
    assert largest_weight(model) > 0.02
    sizes = []
    after_step = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: sizes.append(largest_weight(model))
    )
    model.fit(images(12), batch_size=4, verbose=0, callbacks=[after_step])
    np.testing.assert_allclose(sizes, [0.02] * 3, rtol=1e-6)
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    assert restored.clip_limit == 0.02
    assert all(v.constraint.limit == 0.02 for v in restored.player_variables("discriminator"))
    assert all(v.constraint is None for v in restored.player_variables("generator"))
    restored.fit(images(4), batch_size=4, verbose=0)
    assert largest_weight(restored) == pytest.approx(0.02)


def test_a_restored_run_goes_on_as_if_nothing_had_been(tmp_path):
    straight = kgen.WGAN(*dense_players(), discriminator_steps=2)
    straight.compile(
        generator_optimizer=sgd(), discriminator_optimizer=keras.optimizers.RMSprop(0.01)
    )
    straight.fit(points(), batch_size=8, shuffle=False, verbose=0)
    straight.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    for model in (straight, restored):
        model.fit(points(seed=1), batch_size=8, shuffle=False, verbose=0)
    for mine, theirs in zip(straight.variables, restored.variables, strict=True):
        np.testing.assert_array_equal(mine, theirs, err_msg=mine.path)


@pytest.mark.parametrize("limit", [0.0, -0.01, np.inf, np.nan, "0.01", None])
def test_bad_limits(limit):
    with pytest.raises(ValueError, match="limit must be"):
        kgen.WGAN(*dense_players(), clip_limit=limit)


def test_a_batch_that_does_not_divide():
    model = kgen.WGAN(*dense_players())
    model.compile(generator_optimizer=sgd(), discriminator_optimizer=sgd())
    with pytest.raises(
        ValueError,
        match="batch of 16 does not divide into 5 slices of equal size for discriminator_steps=5",
    ):
        model.fit(points(16), verbose=0)
