"""The terms of the autoencoding objectives, unreduced: one value per example or dimension."""

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions


def kl_by_dim(posterior, prior, latents):
    """KL(q(z|x) || p(z)) by latent dimension, in closed form where there is one.

    Where both distributions are products over dimensions, one value per dimension; for a joint
    distribution one value in all. Without a closed form, the estimate `log q(z|x) - log p(z)` at
    the given sample.

    Args:
        posterior: tfd.Distribution, batch shape `(batch,)`, event shape `(latent_dim,)`.
        prior: tfd.Distribution, batch shape `()` or `(batch,)`, the same event shape.
        latents: float32 `(batch, latent_dim)`, a sample of the posterior.

    Returns:
        float32 `(batch, latent_dim)` or `(batch, 1)`, nats. Estimates can be negative.

    Reference: Kingma & Welling 2014, "Auto-Encoding Variational Bayes", eq. 7 and appendix B.
    """
    if isinstance(posterior, tfd.Independent) and isinstance(prior, tfd.Independent):
        by_dim, prior_by_dim = posterior.distribution, prior.distribution
        if by_dim.event_shape.rank == prior_by_dim.event_shape.rank == 0:
            try:
                return tfd.kl_divergence(by_dim, prior_by_dim)
            except NotImplementedError:
                return by_dim.log_prob(latents) - prior_by_dim.log_prob(latents)
    try:
        kl = tfd.kl_divergence(posterior, prior)
    except NotImplementedError:
        kl = posterior.log_prob(latents) - prior.log_prob(latents)
    return kl[..., None]


def log_mean_exp(log_weights):
    """`log 1/K sum_k exp(w_k)` along axis 0: `(K, batch)` to `(batch,)`, without overflow."""
    count = tf.cast(tf.shape(log_weights)[0], log_weights.dtype)
    return tf.reduce_logsumexp(log_weights, axis=0) - tf.math.log(count)


def commitment(latents, codes):
    """`||z_e(x) - sg[e]||^2` summed over channels, averaged over positions.

    Args:
        latents: float32 `(batch, *positions, dim)`, the encoder's outputs.
        codes: float32, the same shape, their nearest codebook vectors.

    Returns:
        float32 `(batch,)`.

    Reference: van den Oord et al. 2017, "Neural Discrete Representation Learning", eq. 3.
    """
    squares = tf.reduce_sum(tf.square(latents - tf.stop_gradient(codes)), axis=-1)
    return tf.reduce_mean(squares, axis=list(range(1, squares.shape.rank)))
