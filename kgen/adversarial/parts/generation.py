"""What GANs share: a generator with averaged weights, its verbs, and the discriminator's."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from kgen import checks, specs
from kgen.averages import AveragedWeights, copy_of
from kgen.networks import (
    dcgan_discriminator,
    dcgan_generator,
    dense_discriminator,
    dense_generator,
    make_conditioned,
    on_the_data_scale,
    standardized,
)
from kgen.seeds import sample_rows, seed_rows
from kgen.training.hyperparameters import Hyperparameter
from kgen.verbs import Discrimination, Interpolation, Sampling
from kgen.verbs.conditioning import inputs
from kgen.verbs.decoding import linear_interpolation, spherical_interpolation

tfd = tfp.distributions


class LatentGeneration(Sampling, Interpolation, Discrimination):
    """Mixin for models that generate from a normal latent.

        z ~ N(0, I),   x = G(z; w),   w <- decay w + (1 - decay) w_generator  after each step

    `decay` is `min(ema_decay, (1 + t) / (10 + t))` after t steps, so that the average forgets the
    initial weights of a short run. With `ema_decay=None` the generator's own weights are used.
    Moving means are the generator's own in any case: they follow within some ten steps, and
    averaging them as well made no clear difference in one run on digits.

    A conditional model has a `condition`; its generator takes `[latents, *condition]`, and each
    endpoint its parts: `sample` (the default), `sample_png` for 1 or 3 channels, `decode`,
    `interpolate`, `discriminate`.
    """

    ema_decay = Hyperparameter(checks.probability, absent=None)

    def _set_generator(self, generator, latent_dim, image_shape, ema_decay):
        """Keep the generator, what it makes, and its averages."""
        self.generator = generator
        self.latent_dim, self.image_shape = latent_dim, image_shape
        self.data_spec = self._with_condition(specs.of_shape(image_shape))
        self.ema_decay = ema_decay
        self._averages = None if ema_decay is None else AveragedWeights(self, generator)

    def after_step(self):
        """Move the averaged weights."""
        if self.ema_decay is None:
            return
        steps = tf.cast(self.steps.value, tf.float32)
        self._averages.move(tf.minimum(self.ema_decay, (1.0 + steps) / (10.0 + steps)))

    def latents(self, batch_size, seed):
        """Latents of a training step: float32 `(batch_size, latent_dim)` from a stateless seed."""
        return tf.random.stateless_normal((batch_size, self.latent_dim), seed)

    def averaged_generator(self):
        """The generator that `sample` draws with, as a network of its own.

            generator = gan.averaged_generator()
            generator.save("generator.keras")
            images = generator(tf.random.normal((16, gan.latent_dim)))

        The file needs no GAN to be read; where the network has layers of `kgen.layers`, such as
        its batch normalization, `import kgen` comes before `keras.saving.load_model`.

        Returns:
            keras.Model from latents `(batch, latent_dim)`, or from the list of them and the parts
            of the condition, to images `(batch, *image_shape)`, with the averaged weights of this
            moment; with the generator's own where `ema_decay` is None.
        """
        return copy_of(self.generator) if self._averages is None else self._averages.copy()

    def sample_latents(self, seeds, *, truncation=None):
        """One latent per row of `seeds`, int32 `(num_samples, 2)`.

        With `truncation=t` each coordinate is drawn from the normal distribution restricted to
        [-t, t]: less variety, better samples (Brock et al. 2019, section 3.1).
        """
        if truncation is None:
            return sample_rows(tfd.Sample(tfd.Normal(0.0, 1.0), self.latent_dim), seeds)
        truncation = checks.positive_number("truncation", truncation)
        uniform = tfd.Sample(tfd.Uniform(), self.latent_dim)
        limit = tfd.Normal(0.0, 1.0).cdf(truncation)
        draws = (1.0 - limit) + (2.0 * limit - 1.0) * sample_rows(uniform, seeds)
        # Rounding takes a draw of the very tail beyond the limit, or to infinity.
        return tf.clip_by_value(tfd.Normal(0.0, 1.0).quantile(draws), -truncation, truncation)

    def decode(self, latents, *, condition=None):
        """What the generator with averaged weights makes of latents.

        Args:
            latents: float32 `(batch, latent_dim)`.
            condition: one row per latent where the model has a condition, else None.

        Returns:
            float32 `(batch, *image_shape)`, images in [0, 1].
        """
        # Keras takes no NumPy array beside a tensor.
        latents = tf.convert_to_tensor(latents)
        latents = inputs(latents, self._given(condition, latents))
        if self.ema_decay is None:
            return tf.cast(self.generator(latents, training=False), tf.float32)
        return self._averages(latents)

    def sample(self, num_samples, *, condition=None, truncation=None, seed=None):
        """Decode latents drawn from the prior.

        Args:
            num_samples: int >= 1.
            condition: where the model has one: a value for all samples or one for each, or None
                for all classes in turn.
            truncation: float > 0 or None; see `sample_latents`.
            seed: int, or None for a fresh one. Sample i is a function of `(seed, i)` and its
                condition, in Python and from the served model, where it is row `(seed, i)` of the
                input `seed`.

        Returns:
            float32 `(num_samples, *image_shape)`.
        """
        latents = self.sample_latents(seed_rows(seed, num_samples), truncation=truncation)
        if condition is None:
            condition = self.conditions_in_turn(num_samples)
        return self.decode(latents, condition=condition)

    def _sample_rows(self, seeds, *rows):
        return self._decode_rows(self.sample_latents(seeds), *rows)

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

    def interpolate(self, start, *, end, num_steps=8, condition=None, spherical=True):
        """Decode the paths between two batches of latents.

        Args:
            start: float32 `(batch, latent_dim)`, such as `sample_latents` gives.
            end: the same shape.
            num_steps: int >= 2, both ends included.
            condition: one row per path where the model has a condition, else None.
            spherical: bool: along the great circle, which stays where normal latents lie, or along
                the straight line.

        Returns:
            float32 `(batch, num_steps, *image_shape)`.
        """
        between = self._point_between if spherical else linear_interpolation
        return self._decode_path(between, start, end, num_steps, condition)

    def _point_between(self, start, end, weight):
        return spherical_interpolation(start, end, weight)

    def invert(
        self, images, *, condition=None, num_steps=300, learning_rate=0.05, num_starts=4, seed=0
    ):
        """Latents whose images are near the given ones, by Adam on the squared error.

            minimize over z   mean((G(z) - x)^2)

        Each image starts from `num_starts` draws of the prior and keeps the best of them.

        Args:
            images: float32 `(batch, *image_shape)`.
            condition: one row per image where the model has a condition, else None.
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
        self.sample_spec.check(images, "images")
        checks.positive_integer("num_steps", num_steps)
        checks.positive_integer("num_starts", num_starts)
        checks.positive_number("learning_rate", learning_rate)
        images, count = tf.cast(images, tf.float32), len(images)
        targets = tf.tile(images, [num_starts] + [1] * len(self.image_shape))
        optimizer = keras.optimizers.Adam(learning_rate)
        seeds = seed_rows(seed, num_starts * count)
        given = self._given(condition, count)
        tiled = self._as_condition(
            [tf.tile(rows, [num_starts] + [1] * (rows.shape.rank - 1)) for rows in given]
        )
        given = self._as_condition(given)
        start = self._inversion_start(self.sample_latents(seeds), images, **given)
        latents = keras.Variable(start)
        optimizer.build([latents])

        def errors():
            squares = tf.square(self.decode(latents.value, **tiled) - targets)
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

    def _inversion_start(self, latents, images, **given):
        """Where `invert` starts: here at `latents`, drawn from the prior, a block per start."""
        return latents

    def _on_support(self, latents, start):
        """What `invert` takes its latents back to after each step, with those that it began at."""
        return latents


class TwoNetworks(LatentGeneration):
    """Mixin for models of one generator and one discriminator, with or without a condition.

    Attributes:
        default_discriminator: function `image_shape -> keras.Model` that `for_images` calls.
    """

    default_discriminator = staticmethod(dcgan_discriminator)

    @classmethod
    def for_images(
        cls,
        image_shape,
        *,
        latent_dim=64,
        condition=None,
        embedding_dim=16,
        generator=dcgan_generator,
        discriminator=None,
        **kwargs,
    ):
        """A model with networks made for an image shape: DCGAN's (Radford et al. 2016) by default.

        Args:
            image_shape: `(height, width, channels)`, any of each; `(dim,)` with dense networks.
            latent_dim: int >= 1.
            condition: what images are drawn given: `kgen.specs.Labels(10)`,
                `kgen.specs.Attributes(3)` or a tuple of them; None for nothing. Both networks see
                an embedding of it beside their input; see `kgen.networks.conditioned`.
            embedding_dim: int >= 1, size of these embeddings.
            generator: function `(latent_dim, image_shape) -> keras.Model` from `kgen.networks`.
            discriminator: function `image_shape -> keras.Model` likewise; where a penalty is on the
                slope for one image, the default has layer normalization in place of batch
                normalization.
            **kwargs: the class's other arguments.
        """
        checks.network_functions(generator=generator, discriminator=discriminator)
        make_discriminator = discriminator or cls.default_discriminator
        how = dict(condition=condition, embedding_dim=embedding_dim)
        return cls(
            make_conditioned(generator, latent_dim, image_shape, **how),
            make_conditioned(make_discriminator, image_shape, **how),
            condition=condition,
            **kwargs,
        )

    @classmethod
    def for_vectors(
        cls,
        dim,
        *,
        latent_dim=32,
        condition=None,
        embedding_dim=16,
        generator=dense_generator,
        discriminator=dense_discriminator,
        **kwargs,
    ):
        """A model of vectors `(dim,)` of any range.

        The discriminator standardizes what it sees, and the generator maps back: means and
        deviations are those of the training data, see `kgen.layers.Standardization`.

            kgen.WGANGP.for_vectors(30)

        Args:
            dim: int >= 1.
            latent_dim: int >= 1.
            condition: as for `for_images`.
            embedding_dim: as for `for_images`.
            generator: function `(latent_dim, shape) -> keras.Model` from `kgen.networks`.
            discriminator: function `shape -> keras.Model` likewise.
            **kwargs: the class's other arguments.
        """
        how = dict(condition=condition, embedding_dim=embedding_dim)
        return cls(
            on_the_data_scale(make_conditioned(generator, latent_dim, (dim,), **how)),
            standardized(discriminator, dim, **how),
            condition=condition,
            **kwargs,
        )
