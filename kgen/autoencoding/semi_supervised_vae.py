"""The semi-supervised VAE: a class as a second latent, known for some examples."""

import keras
import tensorflow as tf

from kgen import checks, specs
from kgen.autoencoding.vae import VAE
from kgen.endpoints import Endpoint
from kgen.losses import variational as losses
from kgen.networks import convolutional_encoder
from kgen.training.hyperparameters import Hyperparameter


@keras.saving.register_keras_serializable(package="kgen")
class SemiSupervisedVAE(VAE):
    """Model M2 of Kingma et al. 2014: a conditional VAE whose labels may be unknown (-1).

        L(x, y) = log p(x|z, y) - KL(q(z|x, y) || p(z)) - log K         the bound of a known label
        U(x)    = sum_y q(y|x) (L(x, y) - log q(y|x))                   of an unknown one
        loss    = -L(x, y) - classification_weight * log q(y|x)         or -U(x)

    A classifier q(y|x) learns from the known labels, and from the others through U: a label that
    lets the decoder explain the image is likelier. The prior of the K classes is even.

        model.fit(images, labels)        labels 0 .. K - 1, -1 where they are not known

    Args:
        encoder: keras.Model from `[x, labels]` to the posterior's parameters.
        decoder: keras.Model from `[latents, labels]` to the likelihood's parameters.
        classifier: keras.Model from x to K logits.
        condition: `kgen.specs.Labels(K)`.
        classification_weight: float >= 0, in nats; alpha of the paper, where it is 0.1 times the
            number of examples for each labelled one.
        **kwargs: those of `kgen.VAE`, but `num_importance_samples`.

    Raises:
        ValueError: if the networks and heads do not fit, or for an argument out of range.

    A step costs K passes of encoder and decoder, one per class, for all examples.

    Reference: Kingma et al. 2014, "Semi-supervised Learning with Deep Generative Models", eq. 6-9.
    """

    classification_weight = Hyperparameter(checks.at_least, 0.0)

    terms = (*VAE.terms, "accuracy")

    def __init__(
        self, encoder, decoder, classifier, *, condition, classification_weight=50.0, **kwargs
    ):
        super().__init__(encoder, decoder, condition=condition, **kwargs)
        if not isinstance(condition, specs.Labels) or self.num_importance_samples > 1:
            raise ValueError(
                "SemiSupervisedVAE needs condition=kgen.specs.Labels(n) and one importance sample, "
                f"received condition={condition!r}, "
                f"num_importance_samples={self.num_importance_samples}."
            )
        self.classifier = checks.network("classifier", classifier)
        why = f"one logit per class of {condition}"
        checks.output_shape("classifier", classifier, (condition.num_classes,), why)
        self.classification_weight = classification_weight
        self.data_spec = (self.data_spec[0], specs.Labels(condition.num_classes, unknown=True))

    @classmethod
    def for_images(cls, image_shape, *, condition, classifier=convolutional_encoder, **kwargs):
        """A semi-supervised VAE with networks made for an image shape.

        Args:
            image_shape: `(height, width, channels)`, any of each.
            condition: `kgen.specs.Labels(K)`.
            classifier: function `(image_shape, num_classes) -> keras.Model` from `kgen.networks`.
            **kwargs: those of `VAE.for_images`, and the class's other arguments.
        """
        checks.network_functions(classifier=classifier)
        (labels,) = specs.condition_parts(condition) or (condition,)
        made = classifier(image_shape, getattr(labels, "num_classes", 1))
        return super().for_images(image_shape, condition=condition, classifier=made, **kwargs)

    @property
    def predict_spec(self):
        """`predict` classifies examples."""
        return self.data_spec[0]

    def call(self, inputs, training=False):
        """The class probabilities: what `predict` gives."""
        return self.classify(inputs)

    def objective(self, x, y=None, training=False):
        """`loss`, `elbo` (L or U), `reconstruction`, `kl`, `accuracy`, each float32 `(batch,)`.

        `accuracy` is that of examples with a label; of the others it is q of the likeliest class.
        """
        num_classes, seed = self.condition.num_classes, self.noise_seed(training)
        logits = tf.cast(self.classifier(self.likelihood.filled(x), training=training), tf.float32)
        log_q, q = tf.nn.log_softmax(logits), tf.nn.softmax(logits)
        labels = checks.label_tensor(y, num_classes, unknown=True)
        known = labels >= 0
        by_class = self._bounds_by_class(x, seed, training)
        one_hot = tf.one_hot(labels, num_classes)
        share = tf.where(known[:, None], one_hot, q)
        of_class = {name: tf.reduce_sum(share * part, -1) for name, part in by_class.items()}
        entropy = -tf.reduce_sum(tf.where(known[:, None], 0.0, q * log_q), -1)
        weighed = of_class["reconstruction"] + self._current_beta(training) * of_class["bounded"]
        even = tf.math.log(float(num_classes))
        cross_entropy = -tf.reduce_sum(one_hot * log_q, -1)
        hit = tf.cast(tf.argmax(logits, -1, output_type=tf.int32) == labels, tf.float32)
        return dict(
            loss=weighed + even - entropy + self.classification_weight * cross_entropy,
            elbo=-of_class["reconstruction"] - of_class["kl"] - even + entropy,
            reconstruction=of_class["reconstruction"],
            kl=of_class["kl"],
            accuracy=tf.where(known, hit, tf.reduce_max(q, -1)),
        )

    def _bounds_by_class(self, x, seed, training):
        """`reconstruction`, `kl` and the weighed KL given each class, float32 `(batch, K)`."""
        num_classes, count = self.condition.num_classes, tf.shape(x)[0]
        repeated = tf.repeat(x, num_classes, axis=0)
        labels = tf.tile(tf.range(num_classes), [count])
        posterior = self.posterior(self._encoded(repeated, [labels], training))
        latents = posterior.sample(seed=seed)
        kl_by_dim = losses.kl_by_dim(posterior, self.prior_distribution(), latents)
        bounded = tf.where(self.free_bits > 0.0, tf.maximum(kl_by_dim, self.free_bits), kl_by_dim)
        parts = dict(
            reconstruction=-self._log_likelihood(repeated, latents, labels, training=training),
            kl=tf.reduce_sum(kl_by_dim, -1),
            bounded=tf.reduce_sum(bounded, -1),
        )
        return {name: tf.reshape(part, (count, num_classes)) for name, part in parts.items()}

    def classify(self, x):
        """q(y|x): float32 `(batch, num_classes)`."""
        x = self.likelihood.filled(self.checked_examples(x))
        logits = self.classifier(x, training=False)
        return tf.nn.softmax(tf.cast(logits, tf.float32))

    def endpoints(self):
        """Those of a conditional VAE, and `classify`."""
        spec = self.data_spec[0]
        classify = Endpoint(lambda x: {"probabilities": self.classify(x)}, {spec.noun: spec})
        return {**super().endpoints(), "classify": classify}
