"""Verbs and endpoints of models that generate from a normal latent, with averaged weights."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from kgen import checks, heads
from kgen.averages import AveragedWeights
from kgen.heads.sampling import seed_rows
from kgen.serving.png import encode_png

tfd = tfp.distributions


class LatentGeneration:
    """Mixin for models with `generator`, `latent_dim`, `image_shape` and `ema_decay`.

        z ~ N(0, I),   x = G(z; w),   w <- decay w + (1 - decay) w_generator  after each step

    `decay` is `min(ema_decay, (1 + t) / (10 + t))` after t steps, so that the average forgets the
    initial weights of a short run. With `ema_decay=None` the generator's own weights are used.
    Moving means are the generator's own in any case: they follow within some ten steps, and
    averaging them as well made no clear difference in one run on digits.
    A model of labels says how many in `num_classes`; its generator takes `[latents, labels]`.
    """

    num_classes = None

    def _add_averages(self):
        """To be called in the constructor, once the generator is there."""
        self.averaged_generator = None
        if self.ema_decay is not None:
            checks.probability("ema_decay", self.ema_decay)
            self.averaged_generator = AveragedWeights(self, self.generator)

    def after_step(self):
        """Move the averaged weights."""
        if self.ema_decay is None:
            return
        steps = tf.cast(self._step(), tf.float32)
        self.averaged_generator.move(tf.minimum(self.ema_decay, (1.0 + steps) / (10.0 + steps)))

    def latents(self, batch_size, seed):
        """Latents of a training step: float32 `(batch_size, latent_dim)` from a stateless seed."""
        return tf.random.stateless_normal((batch_size, self.latent_dim), seed)

    def sample_latents(self, seeds, truncation=None):
        """One latent a row of `seeds`, int32 `(num_samples, 2)`.

        With `truncation=t` each coordinate is drawn from the normal distribution restricted to
        [-t, t]: less variety, better samples (Brock et al. 2019, section 3.1).
        """
        if truncation is None:
            normal = tfd.Sample(tfd.Normal(0.0, 1.0), self.latent_dim)
            return heads.sample_rows(normal, seeds)
        truncation = checks.positive_number("truncation", truncation)
        uniform = tfd.Sample(tfd.Uniform(), self.latent_dim)
        limit = tfd.Normal(0.0, 1.0).cdf(truncation)
        draws = (1.0 - limit) + (2.0 * limit - 1.0) * heads.sample_rows(uniform, seeds)
        # Rounding takes a draw of the very tail beyond the limit, or to infinity.
        return tf.clip_by_value(tfd.Normal(0.0, 1.0).quantile(draws), -truncation, truncation)

    def decode(self, latents, labels=None):
        """What the generator with averaged weights makes of latents.

        Args:
            latents: float32 `(batch, latent_dim)`.
            labels: int32 `(batch,)` where the model has `num_classes`, else None.

        Returns:
            float32 `(batch, *image_shape)`, images in [0, 1].
        """
        # Keras takes no NumPy array beside a tensor.
        latents, labels = tf.convert_to_tensor(latents), self._checked_labels(labels)
        inputs = latents if labels is None else [latents, labels]
        if self.ema_decay is None:
            return tf.cast(self.generator(inputs, training=False), tf.float32)
        return self.averaged_generator(inputs)

    def sample(self, num_samples, labels=None, *, truncation=None, seed=None):
        """Decode latents drawn from the prior.

        Args:
            num_samples: int >= 1.
            labels: where the model has `num_classes`: int, or ints `(num_samples,)`, or None for
                all classes in turn.
            truncation: float > 0 or None; see `sample_latents`.
            seed: int, or None for a fresh one. Sample i is a function of `(seed, i)` and its
                label, in Python and from the served model, where it is row `(seed, i)` of the
                input `seed`.

        Returns:
            float32 `(num_samples, *image_shape)`.
        """
        seeds = seed_rows(seed, num_samples)
        if self.num_classes is not None and labels is None:
            labels = tf.range(num_samples) % self.num_classes
        elif labels is not None:
            labels = tf.convert_to_tensor(labels)
            if labels.shape.rank and labels.shape != (num_samples,):
                raise ValueError(
                    f"Expected one label or {num_samples} of them, one a sample, received labels "
                    f"of shape {labels.shape}."
                )
            labels = tf.broadcast_to(labels, (num_samples,))
        return self.decode(self.sample_latents(seeds, truncation), labels)

    def mean_latent(self, indices, *, seed):
        """The mean latent of chosen samples, for arithmetic such as `smiling - neutral + other`.

        Args:
            indices: ints, which images of `sample(n, seed=seed)` were chosen.
            seed: int, the seed of that call.

        Returns:
            float32 `(1, latent_dim)`; decode sums and differences of these.

        Reference: Radford et al. 2016, section 6.3.2: the mean of three latents.
        """
        indices = tf.reshape(tf.cast(indices, tf.int32), (-1,))
        if indices.shape[0] == 0:
            raise ValueError("indices is empty: the mean of no latents. Choose at least one.")
        seeds = tf.stack([tf.fill(tf.shape(indices), checks.seed(seed)), indices], axis=-1)
        return tf.reduce_mean(self.sample_latents(seeds), axis=0, keepdims=True)

    def interpolate(self, start, end, num_steps=8, *, labels=None, spherical=True):
        """Decode the paths between two batches of latents.

        Args:
            start: float32 `(batch, latent_dim)`, such as `sample_latents` gives.
            end: the same shape.
            num_steps: int >= 2, both ends included.
            labels: int32 `(batch,)` where the model has `num_classes`.
            spherical: bool: along the great circle, which stays where normal latents lie, or along
                the straight line.

        Returns:
            float32 `(batch, num_steps, *image_shape)`.
        """
        checks.integer_at_least("num_steps", num_steps, 2)
        between = self._spherical_path if spherical else linear_interpolation
        weights = tf.linspace(0.0, 1.0, num_steps)
        steps = [
            self.decode(between(start, end, tf.fill(tf.shape(start)[:1], weight)), labels)
            for weight in tf.unstack(weights)
        ]
        return tf.stack(steps, axis=1)

    def _spherical_path(self, start, end, weight):
        """Points between latents, all `(batch, latent_dim)`, with `weight` float32 `(batch,)`."""
        return spherical_interpolation(start, end, weight)

    def invert(
        self, images, labels=None, *, num_steps=300, learning_rate=0.05, num_starts=4, seed=0
    ):
        """Latents whose images are near the given ones, by Adam on the squared error.

            minimize over z   mean((G(z) - x)^2)

        Each image starts from `num_starts` draws of the prior and keeps the best of them.

        Args:
            images: float32 `(batch, *image_shape)`.
            labels: int32 `(batch,)` where the model has `num_classes`.
            num_steps: int >= 1.
            learning_rate: float > 0.
            num_starts: int >= 1.
            seed: int.

        Returns:
            `(latents, errors)`: float32 `(batch, latent_dim)` and the mean squared errors,
            float32 `(batch,)`.

        Reference: Lipton & Tripathi 2017, "Precise Recovery of Latent Vectors from GANs", without
        the clipping of latents.
        """
        checks.images(images, self.image_shape)
        checks.positive_integer("num_steps", num_steps)
        checks.positive_integer("num_starts", num_starts)
        checks.positive_number("learning_rate", learning_rate)
        labels = self._checked_labels(labels)
        images, count = tf.cast(images, tf.float32), len(images)
        targets = tf.tile(images, [num_starts] + [1] * len(self.image_shape))
        if labels is not None:
            labels = tf.tile(labels, [num_starts])
        optimizer = keras.optimizers.Adam(learning_rate)
        seeds = seed_rows(seed, num_starts * count)
        start = self._inversion_start(self.sample_latents(seeds), images)
        latents = keras.Variable(start)
        optimizer.build([latents])

        def errors():
            squares = tf.square(self.decode(latents.value, labels) - targets)
            return tf.reduce_mean(squares, axis=list(range(1, squares.shape.rank)))

        @tf.function
        def step():
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(latents.value)
                total = tf.reduce_sum(errors())
            optimizer.apply([tape.gradient(total, latents.value)], [latents])
            latents.assign(self._on_support(latents.value, start))

        for _ in range(num_steps):
            step()
        by_start = tf.reshape(errors(), (num_starts, count))
        best = tf.argmin(by_start, axis=0)
        grid = tf.reshape(latents.value, (num_starts, count, self.latent_dim))
        rows = tf.stack([best, tf.range(count, dtype=best.dtype)], axis=-1)
        return tf.gather_nd(grid, rows), tf.reduce_min(by_start, axis=0)

    def _inversion_start(self, latents, images):
        """Where `invert` starts: here at `latents`, drawn from the prior, a block a start."""
        return latents

    def _on_support(self, latents, start):
        """What `invert` takes its latents back to after each step, with those that it began at."""
        return latents

    def _checked_labels(self, labels):
        if self.num_classes is None and labels is not None:
            raise ValueError(f"{type(self).__name__} generates without labels, received some.")
        if self.num_classes is not None:
            if labels is None:
                raise ValueError(
                    f"{type(self).__name__} generates from labels: pass int32 labels (batch,) in "
                    f"0 .. {self.num_classes - 1}."
                )
            labels = checks.label_tensor(labels, self.num_classes)
        return labels

    def endpoints(self):
        """`sample` (the default), `sample_png` for 1 or 3 channels, `decode`, `interpolate`,
        `discriminate`; a model of labels takes `labels` in each."""
        seed = tf.TensorSpec((None, 2), tf.int32, name="seed")
        latents, start, end = (
            tf.TensorSpec((None, self.latent_dim), tf.float32, name=name)
            for name in ("latents", "start", "end")
        )
        weight = tf.TensorSpec((None,), tf.float32, name="weight")
        images = tf.TensorSpec((None, *self.image_shape), tf.float32, name="images")
        labels = [] if self.num_classes is None else [tf.TensorSpec((None,), tf.int32, "labels")]

        def sample(seed, labels=None):
            return self.decode(self.sample_latents(seed), labels)

        def interpolate(start, end, weight, labels=None):
            return self.decode(self._spherical_path(start, end, weight), labels)

        endpoints = {"sample": (lambda *rows: {"images": sample(*rows)}, [seed, *labels])}
        if len(self.image_shape) == 3 and self.image_shape[-1] in (1, 3):
            endpoints["sample_png"] = (
                lambda *rows: {"png_bytes": encode_png(sample(*rows))},
                [seed, *labels],
            )
        return {
            **endpoints,
            "decode": (lambda *rows: {"images": self.decode(*rows)}, [latents, *labels]),
            "interpolate": (
                lambda *rows: {"images": interpolate(*rows)},
                [start, end, weight, *labels],
            ),
            "discriminate": (
                lambda *rows: {"logits": self.discriminate(*rows)},
                [images, *labels],
            ),
        }


def without_updates(network, inputs, training):
    """Call a network without moving its state (moving means, ...), which is another player's."""
    with keras.StatelessScope():
        return network(inputs, training=training)


def linear_interpolation(start, end, weight):
    """`(1 - w) a + w b` by row: float32 `(batch, dim)`, with `weight` float32 `(batch,)`."""
    return start + weight[:, None] * (end - start)


def spherical_interpolation(start, end, weight):
    """`sin((1 - w) t) / sin(t) a + sin(w t) / sin(t) b` by row, t the angle between a and b.

    Args:
        start: float32 `(batch, dim)`.
        end: the same shape.
        weight: float32 `(batch,)`.

    Returns:
        float32 `(batch, dim)`; the straight line's point where a and b are nearly parallel.

    Reference: White 2016, "Sampling Generative Networks", section 2.1.
    """
    cosine = tf.reduce_sum(
        tf.math.l2_normalize(start, axis=-1) * tf.math.l2_normalize(end, axis=-1), axis=-1
    )
    angle = tf.acos(tf.clip_by_value(cosine, -1.0, 1.0))[:, None]
    sine = tf.sin(angle)
    straight = linear_interpolation(start, end, weight)
    weight = weight[:, None]
    safe = tf.where(sine < 1e-4, 1.0, sine)
    curved = tf.sin((1.0 - weight) * angle) / safe * start + tf.sin(weight * angle) / safe * end
    return tf.where(sine < 1e-4, straight, curved)
