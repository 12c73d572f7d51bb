"""InfoGAN: codes of the latent that can be read back from the image."""

import functools

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from kgen import checks, heads, specs
from kgen.adversarial.parts.generation import LatentGeneration
from kgen.adversarial.parts.players import check_players
from kgen.endpoints import Endpoint
from kgen.losses import adversarial as losses
from kgen.losses.reconstruction import per_example
from kgen.networks import dcgan_discriminator, dcgan_generator, make_conditioned
from kgen.seeds import sample_rows, seed_rows
from kgen.training import AdversarialModel
from kgen.training.game import without_updates
from kgen.training.hyperparameters import Hyperparameter
from kgen.verbs.conditioning import inputs
from kgen.verbs.decoding import linear_interpolation, spherical_interpolation

tfd = tfp.distributions

# Batch normalization's moving means mix real and generated images, and `infer` would use them.
_LAYER_NORMALIZED = functools.partial(dcgan_discriminator, normalization="layer")


@keras.saving.register_keras_serializable(package="kgen")
class InfoGAN(LatentGeneration, AdversarialModel):
    """Information maximizing generative adversarial network (Chen et al. 2016).

        z = [noise, category, continuous],   noise ~ N(0, I),   c = (category, continuous)
        category ~ OneHotCategorical(num_categories),   continuous ~ U(-1, 1)^continuous_dim
        L_I(G, Q) = E[log Q(c | G(z))] + H(c)  <=  I(c; G(z))

        discriminator and Q:   discriminator_loss(D(x), D(G(z))) - information_weight * L_I
        generator:             generator_loss(D(G(z)))           - information_weight * L_I

    Q(c|x) is a categorical distribution times a diagonal normal one. It is part of the
    discriminator's network, as in the authors' code: their shared layers learn L_I in the
    discriminator's step, the generator learns it in its own. `mutual_information` is L_I and
    `category_information` the category's part of it, at most log(num_categories), both in nats.

    `interpolate` turns the noise and goes straight through the codes. `invert` tries as many
    categories as it has starts, the likeliest by Q first, and keeps continuous codes in [-1, 1].

    Args:
        generator: keras.Model from `(batch, noise_dim + num_categories + continuous_dim)`, in this
            order, to images in [0, 1] or points.
        discriminator: keras.Model from those to `(batch, 1 + num_categories + 2 * continuous_dim)`:
            the logit, then Q's category logits, means and raw scales.
        num_categories: int >= 2.
        continuous_dim: int >= 0.
        information_weight: float >= 0, lambda.
        continuous_weight: float >= 0, a further factor of the continuous codes' part of L_I in the
            losses. The paper takes a smaller lambda for them (section 6), 1 for categories.
        generator_loss: function of the fake logits, one value per example.
        discriminator_loss: function of the real and the fake logits.
        ema_decay: float in [0, 1] or None, of the averaged weights that sample.
        condition: spec of what both networks take behind their input, `kgen.specs.Labels`,
            `kgen.specs.Attributes` or a tuple of them; None for nothing.
        **kwargs: `discriminator_steps`, `seed`, `name`, `dtype`.

    Raises:
        ValueError: if the networks do not fit, or for an argument out of range.

    Reference:
        Chen et al. 2016, "InfoGAN: Interpretable Representation Learning by Information Maximizing
        Generative Adversarial Nets", eq. 4-6.
    """

    information_weight = Hyperparameter(checks.at_least, 0.0)
    continuous_weight = Hyperparameter(checks.at_least, 0.0)

    terms = ("real_logits", "fake_logits", "mutual_information", "category_information")

    def __init__(
        self,
        generator,
        discriminator,
        *,
        num_categories,
        continuous_dim,
        information_weight=1.0,
        continuous_weight=0.1,
        generator_loss=losses.non_saturating_generator_loss,
        discriminator_loss=losses.non_saturating_discriminator_loss,
        ema_decay=0.999,
        condition=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self._set_condition(condition)
        self.discriminator = discriminator
        self.num_categories, self.continuous_dim = _checked_codes(num_categories, continuous_dim)
        self.output_dims = [1, num_categories, 2 * continuous_dim]
        latent_dim, image_shape = check_players(
            generator, discriminator, sum(self.output_dims), self.condition_inputs
        )
        self._set_generator(generator, latent_dim, image_shape, ema_decay)
        self.noise_dim = self.latent_dim - num_categories - continuous_dim
        if self.noise_dim < 1:
            raise ValueError(
                f"generator '{generator.name}' takes latents of size {self.latent_dim}, expected "
                f"noise_dim + {num_categories} categories + {continuous_dim} continuous codes with "
                "noise_dim at least 1."
            )
        self.information_weight = information_weight
        self.continuous_weight = continuous_weight
        self.generator_loss = generator_loss
        self.discriminator_loss = discriminator_loss

    @classmethod
    def for_images(
        cls,
        image_shape,
        *,
        noise_dim=62,
        num_categories=10,
        continuous_dim=2,
        condition=None,
        embedding_dim=16,
        generator=dcgan_generator,
        discriminator=_LAYER_NORMALIZED,
        **kwargs,
    ):
        """An InfoGAN with networks made for an image shape; see `GAN.for_images`.

        Args:
            image_shape: `(height, width, channels)`, any of each; `(dim,)` with dense networks.
            noise_dim: int >= 1, size of the latent beside the codes.
            num_categories: int >= 2.
            continuous_dim: int >= 0.
            condition: as for `GAN.for_images`; the codes are what is left to find beside it.
            embedding_dim: as there.
            generator: function `(latent_dim, image_shape) -> keras.Model` from `kgen.networks`.
            discriminator: function `(image_shape, output_dim) -> keras.Model` likewise; by
                default with layer normalization.
            **kwargs: the class's other arguments.
        """
        _checked_codes(num_categories, continuous_dim)
        checks.positive_integer("noise_dim", noise_dim)
        latent_dim = noise_dim + num_categories + continuous_dim
        output_dim = 1 + num_categories + 2 * continuous_dim
        how = dict(condition=condition, embedding_dim=embedding_dim)
        return cls(
            make_conditioned(generator, latent_dim, image_shape, **how),
            make_conditioned(discriminator, image_shape, output_dim, **how),
            num_categories=num_categories,
            continuous_dim=continuous_dim,
            condition=condition,
            **kwargs,
        )

    def prior(self):
        """The latents' distribution, of event shape `(latent_dim,)`."""
        parts = [
            tfd.Sample(tfd.Normal(0.0, 1.0), self.noise_dim),
            tfd.OneHotCategorical(logits=tf.zeros(self.num_categories), dtype=tf.float32),
        ]
        if self.continuous_dim:
            parts.append(tfd.Sample(tfd.Uniform(-1.0, 1.0), self.continuous_dim))
        return tfd.Blockwise(parts)

    def discriminator_objective(self, x, y=None, training=False):
        """`loss` and the `terms`, each float32 `(batch,)`."""
        latents, given = self.latents(tf.shape(x)[0], self.noise_seed(training)), self._given_y(y)
        fake = without_updates(self.generator, inputs(latents, given), training)
        real_logits, _, _ = self._split(self.discriminator(inputs(x, given), training=training))
        outputs = self.discriminator(inputs(fake, given), training=training)
        fake_logits, *parameters = self._split(outputs)
        category, continuous = self._information(latents, *parameters)
        return dict(
            loss=self.discriminator_loss(real_logits, fake_logits)
            - self.information_weight * (category + self.continuous_weight * continuous),
            real_logits=per_example(real_logits),
            fake_logits=per_example(fake_logits),
            mutual_information=category + continuous,
            category_information=category,
        )

    def generator_objective(self, x, y=None, training=False):
        """`loss`, float32 `(batch,)`."""
        latents, given = self.latents(tf.shape(x)[0], self.noise_seed(training)), self._given_y(y)
        fake = self.generator(inputs(latents, given), training=training)
        outputs = without_updates(self.discriminator, inputs(fake, given), training)
        fake_logits, *parameters = self._split(outputs)
        category, continuous = self._information(latents, *parameters)
        information = category + self.continuous_weight * continuous
        return dict(loss=self.generator_loss(fake_logits) - self.information_weight * information)

    def _split(self, outputs):
        """The logit and the parameters of Q(c|x): of the category, of the continuous codes."""
        return tf.split(tf.cast(outputs, tf.float32), self.output_dims, axis=-1)

    def _information(self, latents, category_logits, continuous_parameters):
        """log Q(c|x) + H(c) of the category and of the continuous codes: float32 `(batch,)`."""
        _, category, continuous = self._codes(latents)
        of_category = tfd.OneHotCategorical(logits=category_logits).log_prob(category)
        of_category += tf.math.log(float(self.num_categories))
        if not self.continuous_dim:
            return of_category, tf.zeros_like(of_category)
        posterior = _normal(continuous_parameters)
        return of_category, posterior.log_prob(continuous) + self.continuous_dim * tf.math.log(2.0)

    def _codes(self, latents):
        return tf.split(
            latents, [self.noise_dim, self.num_categories, self.continuous_dim], axis=-1
        )

    def latents(self, batch_size, seed):
        """Latents of a training step: float32 `(batch_size, latent_dim)` from a stateless seed."""
        return self.prior().sample(batch_size, seed=seed)

    def sample_latents(self, seeds, *, truncation=None):
        """One latent per row of `seeds`, int32 `(num_samples, 2)`; `truncation` is of the noise."""
        latents = sample_rows(self.prior(), seeds)
        if truncation is None:
            return latents
        noise, *codes = self._codes(latents)
        normal = tfd.Normal(0.0, 1.0)
        limit = normal.cdf(checks.positive_number("truncation", truncation))
        noise = normal.quantile((1.0 - limit) + (2.0 * limit - 1.0) * normal.cdf(noise))
        return tf.concat([noise, *codes], axis=-1)

    def sample(
        self,
        num_samples,
        *,
        categories=None,
        continuous=None,
        condition=None,
        truncation=None,
        seed=None,
    ):
        """Decode latents drawn from the prior, with codes as drawn or as given.

        Args:
            num_samples: int >= 1.
            categories: int, or ints `(num_samples,)`, in 0 .. num_categories - 1; None draws them.
            continuous: floats that broadcast to `(num_samples, continuous_dim)`; None draws them.
            condition: as for every GAN.
            truncation: float > 0 or None; see `sample_latents`.
            seed: int, or None for a fresh one. Sample i is a function of `(seed, i)` and its codes.

        Returns:
            float32 `(num_samples, *image_shape)`.

        Raises:
            ValueError: for codes out of range, or `continuous` without continuous codes.
        """
        noise, category, drawn = self._codes(
            self.sample_latents(seed_rows(seed, num_samples), truncation=truncation)
        )
        if categories is not None:
            categories = tf.broadcast_to(categories, (num_samples,))
            category = self._one_hot(categories)
        if continuous is not None:
            if not self.continuous_dim:
                raise ValueError("This InfoGAN has continuous_dim=0, received continuous codes.")
            drawn = tf.broadcast_to(tf.cast(continuous, tf.float32), drawn.shape)
        if condition is None:
            condition = self.conditions_in_turn(num_samples)
        return self.decode(tf.concat([noise, category, drawn], axis=-1), condition=condition)

    def _one_hot(self, categories):
        categories = checks.label_tensor(categories, self.num_categories)
        return tf.one_hot(categories, self.num_categories)

    def _point_between(self, start, end, weight):
        """As for every GAN for the noise; straight for the codes, which lie on no sphere."""
        start_noise, end_noise = self._codes(start)[0], self._codes(end)[0]
        straight = linear_interpolation(start, end, weight)
        noise = spherical_interpolation(start_noise, end_noise, weight)
        return tf.concat([noise, straight[:, self.noise_dim :]], axis=-1)

    def _inversion_start(self, latents, images, **given):
        """Draws from the prior with categories in the order in which Q(c|x) deems them likely.

        So `invert` tries as many categories as it has starts.
        """
        noise, _, continuous = self._codes(latents)
        likely = tf.argsort(self.infer(images, **given)[0], axis=-1, direction="DESCENDING")
        num_starts = len(latents) // len(images)
        ranks = [start % self.num_categories for start in range(num_starts)]
        # The starts of an image are a block apart.
        categories = tf.reshape(tf.transpose(tf.gather(likely, ranks, axis=1)), (-1,))
        return tf.concat([noise, self._one_hot(categories), continuous], axis=-1)

    def _on_support(self, latents, start):
        """Each start keeps its category; the continuous codes go back to [-1, 1]."""
        noise, _, continuous = self._codes(latents)
        _, category, _ = self._codes(start)
        return tf.concat([noise, category, tf.clip_by_value(continuous, -1.0, 1.0)], axis=-1)

    def infer(self, images, *, condition=None):
        """The codes that Q(c|x) reads from images.

        Args:
            images: float32 `(batch, *image_shape)` in [0, 1].
            condition: one row per image where the model has a condition, else None.

        Returns:
            `(probabilities, means)`: float32 `(batch, num_categories)`, and the means of the
            continuous codes, float32 `(batch, continuous_dim)`.
        """
        _, logits, parameters = self._judged(images, condition)
        means = _normal(parameters).mean() if self.continuous_dim else parameters
        return tf.nn.softmax(logits), means

    def discriminate(self, images, *, condition=None):
        """The discriminator's logits of images: float32 `(batch,)`, higher for what looks real."""
        return per_example(self._judged(images, condition)[0])

    def _judged(self, images, condition):
        images = self.checked_examples(images)
        batch = inputs(images, self._given(condition, images))
        return self._split(self.discriminator(batch, training=False))

    def endpoints(self):
        """Those of every GAN, and `sample_codes` (noise from `seed`, codes as given) and `infer`.

        `continuous` and `continuous_means` are left out where there are no continuous codes.
        """
        spec = self.sample_spec
        drawn, codes = (
            {spec.noun: spec},
            {"categories": specs.Labels(self.num_categories, meaning="category")},
        )
        if self.continuous_dim:
            codes["continuous"] = specs.Values((self.continuous_dim,))

        def sample_codes(seed, categories, *rows):
            noise, *_ = self._codes(self.sample_latents(seed))
            given = rows[len(codes) - 1 :]
            latents = [noise, self._one_hot(categories), *rows[: len(codes) - 1]]
            decoded = self._decode_rows(tf.concat(latents, axis=-1), *given)
            return {spec.noun: decoded}

        def infer(images, *rows):
            probabilities, means = self.infer(images, **self._as_condition(rows))
            outputs = {"category_probabilities": probabilities, "continuous_means": means}
            return outputs if self.continuous_dim else {"category_probabilities": probabilities}

        return {
            **super().endpoints(),
            "sample_codes": Endpoint(
                sample_codes, {"seed": specs.Seeds(), **codes, **self.condition_inputs}, drawn
            ),
            "infer": Endpoint(infer, {**drawn, **self.condition_inputs}),
        }


def _normal(parameters):
    # The smallest scale bounds what is to be gained from ever finer continuous codes.
    return heads.DiagonalNormal(min_scale=0.05)(parameters)


def _checked_codes(num_categories, continuous_dim):
    checks.at_least("num_categories", checks.positive_integer("num_categories", num_categories), 2)
    if continuous_dim != 0:
        checks.positive_integer("continuous_dim", continuous_dim)
    return num_categories, continuous_dim
