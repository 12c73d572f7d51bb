import numpy as np
import pytest
import tensorflow as tf

from kgen.data import from_arrays, set_epoch
from kgen.data.binarization import uniform_draws

LEVELS = np.array([0, 32, 128, 223, 255], np.uint8)


def rows(dataset):
    return np.concatenate([batch.numpy() for batch in dataset])


def grey(count=4_000):
    return np.tile(LEVELS, (count, 1)).reshape(count, 1, 5, 1)


@pytest.mark.parametrize("how", ["dynamic", "fixed"])
def test_pixels_are_bernoulli_of_their_grey_value(how):
    drawn = rows(from_arrays(grey(), binarize=how, seed=1))
    assert set(np.unique(drawn)) == {0.0, 1.0}
    # Five standard deviations of a mean of 4,000 fair coins.
    np.testing.assert_allclose(drawn.mean(axis=0).ravel(), LEVELS / 255, atol=5 * 0.5 / 4000**0.5)
    assert drawn[:, 0, 0].max() == 0 and drawn[:, 0, 4].min() == 1


def test_threshold_is_at_one_half():
    images = np.array([0.0, 0.499, 0.5, 1.0], np.float32).reshape(1, 2, 2, 1)
    np.testing.assert_array_equal(
        rows(from_arrays(images, binarize="threshold")).ravel(), [0, 0, 1, 1]
    )


def test_dynamic_draws_anew_each_epoch_and_fixed_never():
    dynamic = from_arrays(grey(50), binarize="dynamic")
    fixed = from_arrays(grey(50), binarize="fixed")
    first = rows(dynamic), rows(fixed)
    set_epoch(1)
    assert (rows(dynamic) != first[0]).any()
    np.testing.assert_array_equal(rows(fixed), first[1])
    set_epoch(0)
    np.testing.assert_array_equal(rows(dynamic), first[0])


def test_seeds_draw_differently():
    draws = [rows(from_arrays(grey(50), binarize="fixed", seed=seed)) for seed in (0, 1, -1)]
    assert (draws[0] != draws[1]).any() and (draws[0] != draws[2]).any()


def test_a_draw_depends_on_the_example_not_on_its_batch_or_place():
    labels = np.arange(50)
    draws = {}
    for batch_size, shuffle in [(7, False), (50, False), (16, True)]:
        dataset = from_arrays(
            (grey(50), labels), batch_size=batch_size, shuffle=shuffle, binarize="dynamic"
        )
        pairs = [(x.numpy(), y.numpy()) for x, y in dataset]
        images, order = (np.concatenate(part) for part in zip(*pairs, strict=True))
        draws[batch_size] = images[np.argsort(order)]
    np.testing.assert_array_equal(draws[7], draws[50])
    np.testing.assert_array_equal(draws[7], draws[16])


def test_uniform_draws_match_splitmix64_in_python():
    mask = 2**64 - 1

    def mix(z):
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    gamma = 0x9E3779B97F4A7C15
    seed, epoch, num_draws = 2**63 + 5, 3, 4
    key = mix((mix((seed + gamma) & mask) + gamma * (epoch + 1)) & mask)
    expected = [
        [
            (mix((key + gamma * (index * num_draws + draw + 1)) & mask) >> 40) / 2**24
            for draw in range(num_draws)
        ]
        for index in (0, 9, 10**9)
    ]
    received = uniform_draws(
        seed, tf.constant(epoch, tf.int64), tf.constant([0, 9, 10**9], tf.int64), num_draws=4
    )
    # Both sides hold 24 bits, which float32 represents exactly.
    np.testing.assert_array_equal(received, np.array(expected, np.float32))
