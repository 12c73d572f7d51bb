"""The reference sampler: one pass over the whole image for each pixel."""

import tensorflow as tf


def naive_fill(params, images, known, uniforms, temperature, *, likelihood, passes=1):
    """Draw the unknown pixels in raster order, each from a pass over the whole image.

        for each pixel i in raster order:   x_i = F^-1(u_i | params(x)_i)   unless it is known

    Its time grows with the square of the number of pixels. `CachedSampler` gives the same images.

    Args:
        params: function from float32 images `(batch, height, width, channels)` to the likelihood's
            parameters `(batch, height, width, params_size)`.
        images: float32 `(batch, height, width, channels)` in [0, 1]; read where `known`.
        known: bool `(batch, height, width)`.
        uniforms: float32 `(batch, height, width, likelihood.noise_size(channels))` in (0, 1).
        temperature: float32 `(batch,)`.
        likelihood: head on levels.
        passes: int; the number of channels if each depends on the ones before it through the
            network, else 1.

    Returns:
        float32, the shape of `images`.
    """
    height, width = images.shape[1:3]
    temperature = temperature[:, None]
    # Unknown pixels start at 0, so that what they held cannot matter.
    start = tf.where(known[..., None], images, 0.0)

    def step(index, images):
        row, column = index // width, index % width
        here = tf.one_hot(index, height * width, on_value=True, off_value=False)
        here = tf.reshape(here, (1, height, width, 1)) & ~known[..., None]
        noise = uniforms[:, row, column]
        for _ in range(passes):
            pixel = likelihood.sample_from_uniforms(
                tf.cast(params(images)[:, row, column], tf.float32), noise, temperature
            )
            images = tf.where(here, pixel[:, None, None], images)
        return index + 1, images

    total = height * width
    _, images = tf.while_loop(
        lambda index, _: index < total, step, (tf.constant(0), start), maximum_iterations=total
    )
    return images
