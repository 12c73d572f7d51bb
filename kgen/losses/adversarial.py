"""The players' losses from logits, unreduced: one value per example.

Each pair is `<name>_discriminator_loss(real_logits, fake_logits)` and
`<name>_generator_loss(fake_logits)`. Logits have shape `(batch, 1)` or `(batch,)`, or are a map of
patches `(batch, height, width, 1)`, whose patches are judged one by one and averaged. Everything is
computed in float32. D(x) is sigmoid(logit) in the two losses of Goodfellow et al., and the logit
itself in the others.
"""

import math

import keras
import tensorflow as tf

from kgen.losses.reconstruction import per_example
from kgen.replicas import gather, global_count

register = keras.saving.register_keras_serializable(package="kgen")


def _float32(logits):
    return tf.cast(logits, tf.float32)


@register
def minimax_discriminator_loss(real_logits, fake_logits):
    """`-log D(x) - log(1 - D(G(z)))`.

    Args:
        real_logits: logits of real examples; see the module for shapes.
        fake_logits: logits of generated examples.

    Returns:
        float32 `(batch,)`, nats, >= 0; log 4 where the discriminator is undecided.

    Reference: Goodfellow et al. 2014, "Generative Adversarial Nets", eq. 1, with its sign turned.
    """
    real_loss = tf.nn.softplus(-_float32(real_logits))
    fake_loss = tf.nn.softplus(_float32(fake_logits))
    return per_example(real_loss) + per_example(fake_loss)


@register
def minimax_generator_loss(fake_logits):
    """`log(1 - D(G(z)))`.

    Its slope vanishes where the discriminator is sure: see `non_saturating_generator_loss`.

    Args:
        fake_logits: logits of generated examples; see the module for shapes.

    Returns:
        float32 `(batch,)`, nats, <= 0.

    Reference: Goodfellow et al. 2014, "Generative Adversarial Nets", eq. 1.
    """
    return per_example(-tf.nn.softplus(_float32(fake_logits)))


@register
def non_saturating_discriminator_loss(real_logits, fake_logits):
    """`-log D(x) - log(1 - D(G(z)))`: the minimax discriminator's.

    Args:
        real_logits: logits of real examples; see the module for shapes.
        fake_logits: logits of generated examples.

    Returns:
        float32 `(batch,)`, nats, >= 0.

    Reference: Goodfellow et al. 2014, "Generative Adversarial Nets", eq. 1, with its sign turned.
    """
    return minimax_discriminator_loss(real_logits, fake_logits)


@register
def non_saturating_generator_loss(fake_logits):
    """`-log D(G(z))`.

    Args:
        fake_logits: logits of generated examples; see the module for shapes.

    Returns:
        float32 `(batch,)`, nats, >= 0.

    Reference: Goodfellow et al. 2014, "Generative Adversarial Nets", section 3.
    """
    return per_example(tf.nn.softplus(-_float32(fake_logits)))


@register
def least_squares_discriminator_loss(real_logits, fake_logits):
    """`1/2 (D(x) - 1)^2 + 1/2 D(G(z))^2`.

    Args:
        real_logits: logits of real examples; see the module for shapes.
        fake_logits: logits of generated examples.

    Returns:
        float32 `(batch,)`, >= 0.

    Reference:
        Mao et al. 2017, "Least Squares Generative Adversarial Networks", eq. 2 with a = 0, b = 1.
    """
    real_loss = 0.5 * tf.square(_float32(real_logits) - 1.0)
    fake_loss = 0.5 * tf.square(_float32(fake_logits))
    return per_example(real_loss) + per_example(fake_loss)


@register
def least_squares_generator_loss(fake_logits):
    """`1/2 (D(G(z)) - 1)^2`.

    Args:
        fake_logits: logits of generated examples; see the module for shapes.

    Returns:
        float32 `(batch,)`, >= 0.

    Reference:
        Mao et al. 2017, "Least Squares Generative Adversarial Networks", eq. 2 with c = 1.
    """
    return per_example(0.5 * tf.square(_float32(fake_logits) - 1.0))


@register
def hinge_discriminator_loss(real_logits, fake_logits):
    """`max(0, 1 - D(x)) + max(0, 1 + D(G(z)))`.

    Args:
        real_logits: logits of real examples; see the module for shapes.
        fake_logits: logits of generated examples.

    Returns:
        float32 `(batch,)`, >= 0.

    Reference:
        Lim & Ye 2017, "Geometric GAN", section 3; Miyato et al. 2018, "Spectral Normalization for
        Generative Adversarial Networks", section 4.
    """
    real_loss = tf.nn.relu(1.0 - _float32(real_logits))
    fake_loss = tf.nn.relu(1.0 + _float32(fake_logits))
    return per_example(real_loss) + per_example(fake_loss)


@register
def hinge_generator_loss(fake_logits):
    """`-D(G(z))`.

    Args:
        fake_logits: logits of generated examples; see the module for shapes.

    Returns:
        float32 `(batch,)`, of any sign.

    Reference: as for `hinge_discriminator_loss`.
    """
    return per_example(-_float32(fake_logits))


@register
def wasserstein_discriminator_loss(real_logits, fake_logits):
    """`D(G(z)) - D(x)`.

    Minus an estimate of the Wasserstein-1 distance between data and generator, if D is close to the
    best function of slope at most 1.

    Args:
        real_logits: the critic's values of real examples; see the module for shapes.
        fake_logits: its values of generated examples.

    Returns:
        float32 `(batch,)`, of any sign.

    Reference: Arjovsky et al. 2017, "Wasserstein Generative Adversarial Networks", Algorithm 1.
    """
    return per_example(_float32(fake_logits)) - per_example(_float32(real_logits))


@register
def wasserstein_generator_loss(fake_logits):
    """`-D(G(z))`.

    Args:
        fake_logits: the critic's values of generated examples; see the module for shapes.

    Returns:
        float32 `(batch,)`, of any sign.

    Reference: Arjovsky et al. 2017, "Wasserstein Generative Adversarial Networks", Algorithm 1.
    """
    return per_example(-_float32(fake_logits))


@register
def classification_loss(class_logits, labels):
    """`-log P(C = label | X)`, P the softmax of the logits.

    Args:
        class_logits: `(batch, num_classes)`.
        labels: integers `(batch,)` in 0 .. num_classes - 1.

    Returns:
        float32 `(batch,)`, nats, >= 0; log num_classes where the classifier is undecided.

    Reference:
        Odena et al. 2017, "Conditional Image Synthesis with Auxiliary Classifier GANs", eq. 3, with
        its sign turned.
    """
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, _float32(class_logits))


def pull_away_term(codes):
    """The mean squared cosine between a code and the others of its batch.

        f_i = 1 / (N - 1) sum_{j != i} (s_i . s_j)^2,   s = code / |code|,   f_PT = mean_i f_i

    On several replicas the others are those of the global batch: the codes are gathered.

    Args:
        codes: float `(batch, ...)`; all axes but the first are one vector.

    Returns:
        float32 `(batch,)` in [0, 1]; 0 for a batch of one.

    Reference: Zhao et al. 2017, "Energy-based Generative Adversarial Network", section 2.4.
    """
    codes = tf.cast(codes, tf.float32)
    rows = tf.reshape(codes, (tf.shape(codes)[0], math.prod(codes.shape[1:])))
    rows = tf.math.l2_normalize(rows, axis=-1)
    others, count = gather(rows), tf.cast(global_count(rows), tf.float32)
    with_all = tf.reduce_sum(tf.square(tf.matmul(rows, others, transpose_b=True)), axis=-1)
    with_itself = tf.square(tf.reduce_sum(tf.square(rows), axis=-1))
    return (with_all - with_itself) / tf.maximum(count - 1.0, 1.0)
