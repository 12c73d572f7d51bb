"""The auxiliary classifier GAN: the discriminator tells the class as well."""

import functools

import keras
import tensorflow as tf

from kgen import checks, specs
from kgen.adversarial.parts.generation import LatentGeneration
from kgen.endpoints import Endpoint
from kgen.losses import adversarial as losses
from kgen.losses.reconstruction import per_example
from kgen.networks import dcgan_discriminator, dcgan_generator, make_conditioned
from kgen.training import AdversarialModel
from kgen.training.game import without_updates
from kgen.training.hyperparameters import Hyperparameter

# Batch normalization's moving means mix real and generated images, and `classify` would use them.
_LAYER_NORMALIZED = functools.partial(dcgan_discriminator, normalization="layer")


@keras.saving.register_keras_serializable(package="kgen")
class ACGAN(LatentGeneration, AdversarialModel):
    """Auxiliary classifier GAN (Odena et al. 2017).

        discriminator:   discriminator_loss(D(x), D(G(z, y)))
                         - class_weight (log P(C = y | x) + log P(C = y | G(z, y)))
        generator:       generator_loss(D(G(z, y))) - class_weight log P(C = y | G(z, y))
                         z ~ N(0, I), y as in the data

    With the default losses the discriminator minimizes the paper's -(L_S + L_C). The generator
    maximizes L_C, and its loss is the non-saturating one in place of +L_S.

    Args:
        generator: keras.Model from `[latents (batch, latent_dim), labels (batch,)]` to images in
            [0, 1] or points, such as `kgen.networks.conditioned` makes.
        discriminator: keras.Model from those to `(batch, 1 + num_classes)`: the logit, then the
            class logits.
        condition: `kgen.specs.Labels(num_classes)`, what images are drawn given.
        class_weight: float >= 0.
        generator_loss: function of the fake logits, one value per example.
        discriminator_loss: function of the real and the fake logits.
        ema_decay: float in [0, 1] or None, of the averaged weights that sample.
        **kwargs: `discriminator_steps`, `seed`, `name`, `dtype`.

    Raises:
        ValueError: if the networks do not fit, or for an argument out of range.

    Reference:
        Odena et al. 2017, "Conditional Image Synthesis with Auxiliary Classifier GANs", eq. 2-3.
    """

    class_weight = Hyperparameter(checks.at_least, 0.0)

    terms = (
        "real_logits",
        "fake_logits",
        "real_class_loss",
        "fake_class_loss",
        "real_accuracy",
        "fake_accuracy",
    )

    def __init__(
        self,
        generator,
        discriminator,
        *,
        condition,
        class_weight=1.0,
        generator_loss=losses.non_saturating_generator_loss,
        discriminator_loss=losses.non_saturating_discriminator_loss,
        ema_decay=0.999,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.discriminator = discriminator
        self._set_condition(condition)
        if not isinstance(condition, specs.Labels):
            raise ValueError(
                "An ACGAN classifies what it generates: condition must be kgen.specs.Labels(n), "
                f"received {condition!r}."
            )
        latent_dim, image_shape = _check_players(generator, discriminator, condition)
        self._set_generator(generator, latent_dim, image_shape, ema_decay)
        self.class_weight = class_weight
        self.generator_loss = generator_loss
        self.discriminator_loss = discriminator_loss

    @classmethod
    def for_images(
        cls,
        image_shape,
        *,
        condition,
        latent_dim=64,
        embedding_dim=32,
        generator=dcgan_generator,
        discriminator=_LAYER_NORMALIZED,
        **kwargs,
    ):
        """An ACGAN with networks made for an image shape.

        Args:
            image_shape: `(height, width, channels)`, any of each; `(dim,)` with dense networks.
            condition: as for the class.
            latent_dim: int >= 1.
            embedding_dim: int >= 1, of the generator's embedding of a label.
            generator: function `(latent_dim, image_shape) -> keras.Model` from `kgen.networks`.
            discriminator: function `(image_shape, output_dim) -> keras.Model` likewise; by
                default with layer normalization.
            **kwargs: the class's other arguments.
        """
        num_classes = getattr(condition, "num_classes", 0)
        how = dict(condition=condition, embedding_dim=embedding_dim)
        return cls(
            make_conditioned(generator, latent_dim, image_shape, **how),
            discriminator(image_shape, 1 + num_classes),
            condition=condition,
            **kwargs,
        )

    def discriminator_objective(self, x, y=None, training=False):
        """`loss` and the `terms`, each float32 `(batch,)`."""
        (labels,) = self._given_y(y)
        latents = self.latents(tf.shape(x)[0], self.noise_seed(training))
        fake = without_updates(self.generator, [latents, labels], training)
        real_logits, real_classes = _split(self.discriminator(x, training=training))
        fake_logits, fake_classes = _split(self.discriminator(fake, training=training))
        real_class_loss = losses.classification_loss(real_classes, labels)
        fake_class_loss = losses.classification_loss(fake_classes, labels)
        return dict(
            loss=self.discriminator_loss(real_logits, fake_logits)
            + self.class_weight * (real_class_loss + fake_class_loss),
            real_logits=per_example(real_logits),
            fake_logits=per_example(fake_logits),
            real_class_loss=real_class_loss,
            fake_class_loss=fake_class_loss,
            real_accuracy=_is_right(real_classes, labels),
            fake_accuracy=_is_right(fake_classes, labels),
        )

    def generator_objective(self, x, y=None, training=False):
        """`loss`, float32 `(batch,)`."""
        (labels,) = self._given_y(y)
        latents = self.latents(tf.shape(x)[0], self.noise_seed(training))
        fake = self.generator([latents, labels], training=training)
        logits, classes = _split(without_updates(self.discriminator, fake, training))
        class_loss = losses.classification_loss(classes, labels)
        return dict(loss=self.generator_loss(logits) + self.class_weight * class_loss)

    def call(self, inputs, training=False):
        """What `discriminate` gives: what `predict` gives."""
        return self.discriminate(inputs)

    @property
    def predict_spec(self):
        """`predict` takes images alone."""
        return self.sample_spec

    def _discriminate_inputs(self):
        return {}

    def discriminate(self, images):
        """The discriminator's logits of images: float32 `(batch,)`, higher for what looks real."""
        return per_example(self._judged(images)[0])

    def classify(self, images):
        """The class probabilities of images, float32 `(batch, num_classes)`."""
        return tf.nn.softmax(self._judged(images)[1])

    def _judged(self, images):
        return _split(self.discriminator(self.checked_examples(images), training=False))

    def endpoints(self):
        """Those of every label-conditional GAN, and `classify`; `discriminate` takes no labels."""
        classify = Endpoint(
            lambda images: {"probabilities": self.classify(images)},
            {self.sample_spec.noun: self.sample_spec},
        )
        return {**super().endpoints(), "classify": classify}


def _split(outputs):
    """The logit, float32 `(batch, 1)`, and the class logits, float32 `(batch, num_classes)`."""
    outputs = tf.cast(outputs, tf.float32)
    return outputs[:, :1], outputs[:, 1:]


def _is_right(class_logits, labels):
    return tf.cast(tf.argmax(class_logits, axis=-1, output_type=tf.int32) == labels, tf.float32)


def _check_players(generator, discriminator, labels):
    """Raise ValueError unless only the generator takes labels; `(latent_dim, image_shape)`."""
    checks.conditioned("generator", generator, {labels.noun: labels})
    image_shape = tuple(generator.output_shape[1:])
    expected = checks.network("discriminator", discriminator).input_shape
    if isinstance(expected, list) or image_shape != tuple(expected[1:]):
        raise ValueError(
            f"generator '{generator.name}' gives images of shape {image_shape}, but discriminator "
            f"'{discriminator.name}' takes inputs of shape {expected}."
        )
    why = f"one logit and those of {labels.num_classes} classes"
    checks.output_shape("discriminator", discriminator, (1 + labels.num_classes,), why)
    checks.warn_of_bounded_logits("discriminator", discriminator)
    checks.warn_of_images_beyond_unit_interval("generator", generator)
    return generator.inputs[0].shape[1], image_shape
