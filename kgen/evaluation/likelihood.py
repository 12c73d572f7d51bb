"""Likelihood bounds of latent-variable models over a data set, with their protocol."""

import math

import numpy as np
import tensorflow as tf

from kgen import checks, specs


def bits_per_dim(nats, image_shape):
    """`-nats / (height * width * channels * log 2)`.

    Args:
        nats: log-likelihood or bound of an image, in nats; number or array.
        image_shape: `(height, width, channels)`.

    Returns:
        Bits per dimension; lower is better. It is a code length only where the likelihood is a
        probability of the data's own levels.
    """
    return -np.asarray(nats) / (math.prod(image_shape) * math.log(2.0))


def evidence_lower_bound(model, data, *, num_samples=1, seed=0):
    """Mean over the data of `E_q[log p(x, z) - log q(z|x)]`, from `num_samples` draws per image.

    Args:
        model: a model with the verb `elbo`.
        data: tf.data.Dataset of image batches, or of `(images, ...)`.
        num_samples: int >= 1, draws of z per image, averaged.
        seed: int.

    Returns:
        dict with `value` (nats per example), `standard_error`, `bits_per_dim` of images and clips,
        `num_images`, `protocol`.

    Reference: Kingma & Welling 2014, "Auto-Encoding Variational Bayes", eq. 2.
    """
    checks.positive_integer("num_samples", num_samples)
    elbo = tf.function(model.elbo, reduce_retracing=True)

    def of_batch(images, index, **given):
        draws = [
            elbo(images, seed=_seed(seed, index, draw), **given) for draw in range(num_samples)
        ]
        return np.mean(draws, axis=0)

    protocol = f"one-sample ELBO, mean of {num_samples} draw(s) per image"
    return _summary(model, data, of_batch, protocol, seed)


def importance_weighted_bound(model, data, *, num_samples=100, chunk_size=20, seed=0):
    """Mean over the data of `L_K = log 1/K sum_k p(x, z_k) / q(z_k|x)`.

    The K samples are drawn in chunks, so that memory grows with `batch * chunk_size`, not with K.

    Args:
        model: a model with the verb `importance_weighted_bound`.
        data: tf.data.Dataset of image batches, or of `(images, ...)`.
        num_samples: int >= 1, K.
        chunk_size: int >= 1, samples held in memory at a time.
        seed: int.

    Returns:
        dict as from `evidence_lower_bound`.

    Reference: Burda et al. 2016, "Importance Weighted Autoencoders", eq. 8.
    """
    checks.positive_integer("num_samples", num_samples)
    chunk_size = min(checks.positive_integer("chunk_size", chunk_size), num_samples)
    sizes = [chunk_size] * (num_samples // chunk_size)
    sizes += [num_samples % chunk_size] if num_samples % chunk_size else []
    bound = tf.function(model.importance_weighted_bound, reduce_retracing=True)

    def of_batch(images, index, **given):
        chunks = [
            bound(images, num_samples=size, seed=_seed(seed, index, chunk), **given).numpy()
            + math.log(size)
            for chunk, size in enumerate(sizes)
        ]
        return np.logaddexp.reduce(chunks, axis=0) - math.log(num_samples)

    protocol = f"importance-weighted bound, K={num_samples} samples of q(z|x)"
    return _summary(model, data, of_batch, protocol, seed)


def active_units(model, data, *, threshold=0.01):
    """The number of latent dimensions whose posterior mean varies over the data.

        A_u = Var_x(E_{q(u|x)}[u]) > threshold

    Args:
        model: a model with the verb `encode`.
        data: tf.data.Dataset of image batches, or of `(images, ...)`.
        threshold: float.

    Returns:
        dict with `value` (int, of `latent_dim`), `variances` and `protocol`.

    Reference: Burda et al. 2016, "Importance Weighted Autoencoders", section 5.2.
    """
    codes = np.concatenate(
        [model.encode(images, **given).numpy() for images, given in _batches(model, data)]
    )
    variances = codes.var(axis=0)
    return dict(
        value=int((variances > threshold).sum()),
        variances=[round(float(variance), 5) for variance in variances],
        protocol=f"variance of the posterior mean over {len(codes)} images above {threshold}",
    )


def _summary(model, data, of_batch, protocol, seed):
    values = [
        of_batch(images, index, **given)
        for index, (images, given) in enumerate(_batches(model, data))
    ]
    if not values:
        raise ValueError("The data set is empty: it gave no batch.")
    values = np.concatenate(values)
    mean = float(values.mean())
    spec = specs.x_and_y(model.data_spec)[0]
    is_pixels = isinstance(spec, (specs.Images, specs.Clips))
    # Of numbers of any scale a density is no code length: it has a unit.
    bits = {"bits_per_dim": float(bits_per_dim(mean, spec.shape))} if is_pixels else {}
    return dict(
        value=mean,
        standard_error=float(values.std() / math.sqrt(len(values))),
        **bits,
        num_images=len(values),
        protocol=f"{protocol}, {len(values)} {spec.noun}, nats per example, seed {seed}",
    )


def _batches(model, data):
    """The x of each batch, and its y as `condition=` where the model has one."""
    for batch in data:
        x, y, *_ = (*batch, None) if isinstance(batch, (tuple, list)) else (batch, None)
        specs.x_and_y(model.data_spec)[0].check(x)
        yield x, {} if getattr(model, "condition", None) is None else {"condition": y}


def _seed(seed, batch, draw):
    """A seed of its own for each batch and draw, as a tensor: a new int would retrace."""
    fold_in = tf.random.experimental.stateless_fold_in
    return fold_in(fold_in(tf.constant([seed, 7], tf.int32), batch), draw)
