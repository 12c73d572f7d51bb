"""`elbo`, `importance_weighted_bound`: lower bounds, the tighter the more samples."""

import numpy as np
import tensorflow as tf

from kgen.seeds import seed_rows
from kgen.verbs import EvidenceBound
from verbs import conditions

VERB = EvidenceBound


def check(model, x, y=None):
    """The bound grows with K, up to the estimates' own noise."""
    x, given = tf.constant(x), conditions.given(model, y)

    @tf.function(autograph=False)
    def means(seeds):
        return tf.map_fn(
            lambda seed: tf.reduce_mean(model.elbo(x, seed=seed, **given)),
            seeds,
            fn_output_signature=tf.float32,
        )

    many = float(tf.reduce_mean(means(seed_rows(0, 20))))
    tight = model.importance_weighted_bound(x, num_samples=64, seed=0, **given).numpy()
    assert tight.shape == (len(x),)
    # 20 one-sample estimates of 16 examples against 64 samples.
    assert tight.mean() > many - 0.5
    again = model.elbo(x, seed=5, **given)
    np.testing.assert_array_equal(model.elbo(x, seed=5, **given), again)
