"""Sampling from TensorFlow Probability's PixelCNN, which needs Keras 2, beside kgen's PixelCNN++.

Both have the network of Salimans et al. 2017 with the same filters, blocks and scales; the two
libraries' versions of it differ in details, and so do the weights.
"""

import tensorflow as tf

from benchmarks import interleaved

NAIVE, CACHED = "TFP, naive", "kgen, cached"


def measure(side, num_images, filters, num_rounds, num_turns):
    """Seconds to draw grey images of 256 levels, in turns; see `interleaved.seconds_between`.

    Returns:
        dict with `seconds` (name -> one list a round, one figure a turn) and `weights` (name ->
        count), or with `missing`, why TFP's PixelCNN cannot be had.
    """
    try:
        import tensorflow_probability as tfp

        distribution = tfp.distributions.PixelCNN(
            image_shape=(side, side, 1),
            num_resnet=1,
            num_hierarchies=2,
            num_filters=filters,
            num_logistic_mix=5,
            dropout_p=0.0,
            use_weight_norm=False,
        )
        draw = tf.function(lambda: distribution.sample(num_images, seed=0))
        draw()
    except Exception as error:
        return dict(missing=(str(error).strip() or type(error).__name__).splitlines()[0])

    import kgen
    from kgen import heads

    model = kgen.PixelCNNPlusPlus.for_images(
        (side, side, 1),
        likelihood=heads.DiscretizedLogisticMixture(num_components=5),
        filters=filters,
        num_blocks=1,
        num_scales=2,
    )
    fast = {CACHED: lambda: model.sample(num_images, seed=0).numpy()}
    slow = {NAIVE: lambda: draw().numpy()}
    # TFP's is warm since it was tried above.
    fast[CACHED]()
    seconds = interleaved.seconds_between(fast, slow, num_rounds, num_turns)
    return dict(
        seconds={name: seconds[name] for name in (NAIVE, CACHED)},
        weights={
            NAIVE: sum(int(tf.size(v)) for v in distribution.trainable_variables),
            CACHED: model.count_params(),
        },
    )
