"""Mixtures of Gaussians, fitted by expectation maximization."""

import math

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from kgen import checks, specs
from kgen.endpoints import Endpoint
from kgen.seeds import sample_rows
from kgen.training import StatisticsModel
from kgen.training.hyperparameters import Hyperparameter
from kgen.verbs import Density, Sampling

tfd = tfp.distributions


@keras.saving.register_keras_serializable(package="kgen")
class GaussianMixture(Density, Sampling, StatisticsModel):
    """Mixture of K Gaussians, one step of EM per epoch.

        p(x) = sum_k w_k N(x; m_k, S_k)
        E:  r_k(x) = w_k N(x; m_k, S_k) / p(x)
        M:  n_k = sum_x r_k(x),   w_k = n_k / n,   m_k = sum_x r_k(x) x / n_k
            S_k = sum_x r_k(x) x x^T / n_k - m_k m_k^T + regularization I

    `loss` is the mean of -log p(x) in nats, under the parameters at the epoch's start. An epoch is
    exact whatever the size of the data and of the batches; no step ever makes the likelihood of the
    training data smaller, but for the regularization.

    The means start at examples chosen by k-means++ from the first batch: large first batches start
    better. The covariances start at the batch's variances on the diagonal.

        model = kgen.GaussianMixture(3, 2)
        model.compile()
        model.fit(points, batch_size=1000, epochs=50)
        model.log_prob(points), model.sample(10, seed=0)

    Args:
        num_components: int >= 1, K.
        dim: int >= 1, size of the vectors.
        covariance: "full", or "diagonal" for independent coordinates within a component.
        regularization: float >= 0, added to the variances.
        initial_means: array `(num_components, dim)` to start from, or None for k-means++.
        **kwargs: `seed`, `name`, `dtype`.

    Raises:
        ValueError: for an argument out of range; in `fit`, if the first batch has fewer rows than
            components.

    The second moments are taken about the data's mean of the first batch, in float64: far from the
    origin, x x^T would lose the digits that the covariance needs.

    Reference: Dempster, Laird & Rubin 1977, "Maximum Likelihood from Incomplete Data via the EM
    Algorithm"; Bishop 2006, "Pattern Recognition and Machine Learning", eq. 9.23-9.27; Arthur &
    Vassilvitskii 2007, "k-means++: The Advantages of Careful Seeding", section 2.2.
    """

    regularization = Hyperparameter(checks.at_least, 0.0)

    terms = ("loss",)

    def __init__(
        self,
        num_components,
        dim,
        *,
        covariance="full",
        regularization=1e-6,
        initial_means=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_components = checks.positive_integer("num_components", num_components)
        self.dim = checks.positive_integer("dim", dim)
        if covariance not in ("full", "diagonal"):
            raise ValueError(f"covariance must be 'full' or 'diagonal', received {covariance!r}.")
        self.covariance = covariance
        self.regularization = regularization
        self.initial_means = initial_means
        if initial_means is not None:
            self.initial_means = np.asarray(initial_means, np.float64).tolist()
            if np.shape(self.initial_means) != (num_components, dim):
                raise ValueError(
                    f"Expected initial_means of shape {(num_components, dim)}, received "
                    f"{np.shape(initial_means)}."
                )
        self.data_spec = specs.Points(dim)
        count, identity = num_components, np.eye(dim)
        self.weights_of_components = self._add("weights", np.full(count, 1.0 / count))
        self.means = self._add("means", np.zeros((count, dim)))
        self.covariances = self._add("covariances", np.tile(identity, (count, 1, 1)))
        self.center = self._add("center", np.zeros(dim))

    def _add(self, name, value):
        variable = self.add_weight(
            name=name,
            shape=value.shape,
            dtype="float64",
            initializer="zeros",
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
        )
        variable.assign(value)
        return variable

    # Fitting.

    def before_training(self, batch):
        """Start the means by k-means++ on the first batch, where none are given."""
        x = np.asarray(batch[0], np.float64)
        means = self.initial_means
        if means is None:
            means = self._chosen_means(x)
        self.means.assign(np.stack(means))
        variances = np.diag(x.var(axis=0) + max(self.regularization, 1e-12))
        self.covariances.assign(np.tile(variances, (self.num_components, 1, 1)))
        self.center.assign(x.mean(axis=0))

    def _chosen_means(self, x):
        if len(x) < self.num_components:
            raise ValueError(
                f"The first batch has {len(x)} rows, fewer than num_components="
                f"{self.num_components}: use a larger batch_size."
            )
        generator = np.random.default_rng(self.seed % 2**32)
        means = [x[generator.integers(len(x))]]
        for _ in range(1, self.num_components):
            distances = np.min([np.sum((x - mean) ** 2, axis=1) for mean in means], axis=0)
            total = distances.sum()
            chances = distances / total if total > 0 else None
            means.append(x[generator.choice(len(x), p=chances)])
        return means

    def statistics(self, x, y=None):
        """`loss`, and by component the responsibilities and the moments about `center`."""
        joint = self._log_joint(x)
        log_prob = tf.reduce_logsumexp(joint, axis=-1)
        shares = tf.exp(joint - log_prob[:, None])
        centered = tf.cast(x, tf.float64) - self.center.value
        first = shares[:, :, None] * centered[:, None]
        if self.covariance == "diagonal":
            second = first * centered[:, None]
        else:
            second = first[..., None] * centered[:, None, None]
        loss = -tf.cast(log_prob, tf.float32)
        return {"loss": loss, "shares": shares, "first": first, "second": second}

    def update(self, totals):
        """The M step."""
        # As scikit-learn: a component that lost all its examples must not divide by 0.
        counts = totals["shares"] + 10.0 * np.finfo(np.float64).eps
        means = totals["first"] / counts[:, None]
        if self.covariance == "diagonal":
            second = tf.linalg.diag(totals["second"] / counts[:, None] - means**2)
        else:
            second = totals["second"] / counts[:, None, None]
            second -= means[:, :, None] * means[:, None]
        identity = tf.eye(self.dim, dtype=tf.float64)
        self.weights_of_components.assign(counts / tf.reduce_sum(counts))
        self.means.assign(means + self.center.value)
        self.covariances.assign(second + self.regularization * identity)

    def _log_joint(self, x):
        """`log w_k + log N(x; m_k, S_k)`: float64 `(batch, num_components)`."""
        x = tf.cast(x, tf.float64)
        factors = tf.linalg.cholesky(self.covariances.value)
        differences = tf.transpose(x[:, None] - self.means.value, (1, 2, 0))
        scaled = tf.linalg.triangular_solve(factors, differences)
        log_det = tf.reduce_sum(tf.math.log(tf.linalg.diag_part(factors)), axis=-1)
        squares = tf.transpose(tf.reduce_sum(tf.square(scaled), axis=1))
        constant = 0.5 * self.dim * math.log(2.0 * math.pi)
        return tf.math.log(self.weights_of_components.value) - constant - log_det - 0.5 * squares

    # Verbs.

    def _score(self, x):
        if tf.executing_eagerly():
            self.data_spec.check(x)
        return tf.cast(tf.reduce_logsumexp(self._log_joint(x), axis=-1), tf.float32)

    def responsibilities(self, x):
        """The probability of each component given x.

        Args:
            x: float32 `(batch, dim)`.

        Returns:
            float32 `(batch, num_components)`; each row sums to 1.
        """
        if tf.executing_eagerly():
            self.data_spec.check(x)
        return tf.cast(tf.nn.softmax(self._log_joint(x)), tf.float32)

    def _sample_rows(self, seeds):
        # The component by the inverse of its distribution function, at a uniform number.
        noise = sample_rows(tfd.Sample(tfd.Normal(0.0, 1.0), 1 + self.dim), seeds)
        uniform = tf.cast(tfd.Normal(0.0, 1.0).cdf(noise[:, 0]), tf.float64)
        ends = tf.cumsum(self.weights_of_components.value)
        which = tf.searchsorted(ends, uniform, side="right")
        which = tf.minimum(which, self.num_components - 1)
        factors = tf.gather(tf.linalg.cholesky(self.covariances.value), which)
        shift = tf.linalg.matvec(factors, tf.cast(noise[:, 1:], tf.float64))
        return tf.cast(tf.gather(self.means.value, which) + shift, tf.float32)

    def endpoints(self):
        """`sample` (the default), `log_prob`, `responsibilities`."""
        shares = Endpoint(
            lambda points: {"probabilities": self.responsibilities(points)},
            {"points": self.data_spec},
        )
        endpoints = super().endpoints()
        first = {"sample": endpoints.pop("sample")}
        return {**first, **endpoints, "responsibilities": shares}
