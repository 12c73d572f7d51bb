"""The conditional GAN: both players see the label."""

import functools

import keras
import tensorflow as tf

from kgen import checks
from kgen.adversarial.parts.generation import LatentGeneration
from kgen.adversarial.parts.players import (
    check_conditional_players,
    warn_of_batch_normalization,
    warn_of_second_derivatives,
)
from kgen.losses import adversarial as losses
from kgen.losses.reconstruction import per_example
from kgen.networks import (
    dcgan_discriminator,
    dcgan_generator,
    label_conditioned_generator,
    projection_discriminator,
)
from kgen.training import AdversarialModel
from kgen.training.game import without_updates
from kgen.training.hyperparameters import Hyperparameter

_FEATURES = functools.partial(dcgan_discriminator, output_dim=128, normalization=None)


@keras.saving.register_keras_serializable(package="kgen")
class ConditionalGAN(LatentGeneration, AdversarialModel):
    """Conditional GAN (Mirza & Osindero 2014), by default with a projection discriminator.

        discriminator:   discriminator_loss(D(x, y), D(G(z, y), y)) + penalty_weight * penalty
        generator:       generator_loss(D(G(z, y), y)),      z ~ N(0, I), y as in the data

    `penalty` is reported where it is in the game.

    Args:
        generator: keras.Model from `[latents (batch, latent_dim), labels (batch,)]` to images in
            [0, 1], such as `kgen.networks.label_conditioned_generator` makes.
        discriminator: keras.Model from `[images, labels]` to logits `(batch, 1)`, such as
            `kgen.networks.projection_discriminator` makes.
        num_classes: int >= 2; labels are 0 .. num_classes - 1. Others stop training and fail a
            request, but XLA (`jit_compile`) leaves that check out after the first batch.
        generator_loss: function of the fake logits, one value per example.
        discriminator_loss: function of the real and the fake logits.
        penalty: None, or a function such as `kgen.losses.penalties.r1_penalty`, one value per
            example.
            It wants a discriminator without batch normalization, which is warned of.
        penalty_weight: float >= 0.
        ema_decay: float in [0, 1] or None, of the averaged weights that sample.
        **kwargs: `discriminator_steps`, `seed`, `name`, `dtype`.

    Raises:
        ValueError: if the networks do not fit, or for an argument out of range.

    Reference:
        Mirza & Osindero 2014, "Conditional Generative Adversarial Nets", eq. 2; Miyato & Koyama
        2018, "cGANs with Projection Discriminator", eq. 3.
    """

    penalty_weight = Hyperparameter(checks.at_least, 0.0)

    terms = ("real_logits", "fake_logits")

    def __init__(
        self,
        generator,
        discriminator,
        *,
        num_classes,
        generator_loss=losses.hinge_generator_loss,
        discriminator_loss=losses.hinge_discriminator_loss,
        penalty=None,
        penalty_weight=10.0,
        ema_decay=0.999,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.terms = (*type(self).terms, *(["penalty"] if penalty is not None else []))
        self.discriminator = discriminator
        self.num_classes = checks.num_classes(num_classes)
        latent_dim, image_shape = check_conditional_players(generator, discriminator)
        self._set_generator(generator, latent_dim, image_shape, ema_decay)
        if penalty is not None:
            warn_of_batch_normalization(discriminator)
            warn_of_second_derivatives(discriminator)
        self.generator_loss = generator_loss
        self.discriminator_loss = discriminator_loss
        self.penalty = penalty
        self.penalty_weight = penalty_weight

    @classmethod
    def for_images(
        cls,
        image_shape,
        *,
        num_classes,
        latent_dim=64,
        embedding_dim=32,
        generator=dcgan_generator,
        features=_FEATURES,
        spectral_normalization=True,
        **kwargs,
    ):
        """A conditional GAN with networks made for an image shape.

        Args:
            image_shape: `(height, width, channels)`, any of each.
            num_classes: int >= 2.
            latent_dim: int >= 1.
            embedding_dim: int >= 1, of the generator's embedding of a label.
            generator: function `(latent_dim, image_shape) -> keras.Model` from `kgen.networks`.
            features: function `image_shape -> keras.Model` of the discriminator's features.
            spectral_normalization: bool, for all of the discriminator; `features` must take it.
            **kwargs: the class's other arguments.
        """
        checks.num_classes(num_classes)
        checks.positive_integer("latent_dim", latent_dim)
        checks.positive_integer("embedding_dim", embedding_dim)
        made = generator(latent_dim + embedding_dim, image_shape)
        phi = features(image_shape, spectral_normalization=spectral_normalization)
        return cls(
            label_conditioned_generator(made, num_classes, latent_dim=latent_dim),
            projection_discriminator(
                phi, num_classes, spectral_normalization=spectral_normalization
            ),
            num_classes=num_classes,
            **kwargs,
        )

    def discriminator_objective(self, x, y=None, training=False):
        """`loss` and the `terms`, each float32 `(batch,)`."""
        labels = self._checked_labels(y)
        latents = self.latents(tf.shape(x)[0], self.noise_seed(training))
        fake = without_updates(self.generator, [latents, labels], training)
        real_logits = self.discriminator([x, labels], training=training)
        fake_logits = self.discriminator([fake, labels], training=training)
        terms = dict(
            loss=self.discriminator_loss(real_logits, fake_logits),
            real_logits=per_example(real_logits),
            fake_logits=per_example(fake_logits),
        )
        if self.penalty is not None:
            terms["penalty"] = self.penalty(
                lambda images: without_updates(self.discriminator, [images, labels], training),
                x,
                fake,
                seed=self.noise_seed(training, salt=1),
            )
            terms["loss"] += self.penalty_weight * terms["penalty"]
        return terms

    def generator_objective(self, x, y=None, training=False):
        """`loss`, float32 `(batch,)`."""
        labels = self._checked_labels(y)
        latents = self.latents(tf.shape(x)[0], self.noise_seed(training))
        fake = self.generator([latents, labels], training=training)
        fake_logits = without_updates(self.discriminator, [fake, labels], training)
        return dict(loss=self.generator_loss(fake_logits))

    def call(self, inputs, training=False):
        """The discriminator's logits of `(images, labels)`: what `predict` gives."""
        if not isinstance(inputs, (list, tuple)) or len(inputs) != 2:
            raise ValueError(
                "ConditionalGAN judges images with their labels: pass [images, labels], or a data "
                "set of such pairs."
            )
        return self.discriminate(inputs[0], labels=inputs[1])

    def predict_step(self, data):
        """The logits of the images of `data` with their labels."""
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        return self(x if y is None else (x, y), training=False)

    @property
    def predict_spec(self):
        """`predict` judges images with their labels."""
        return self.data_spec

    def _discriminate_inputs(self):
        return self._labels_input()

    def discriminate(self, images, *, labels):
        """The logits of images with labels: float32 `(batch,)`, higher for what looks real."""
        # Keras takes no NumPy array beside a tensor.
        pair = [tf.convert_to_tensor(images), self._checked_labels(labels)]
        return per_example(self.discriminator(pair, training=False))
