import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

from kgen import heads

SEED = (1, 2)
PRIORS = [
    heads.StandardNormal(4),
    heads.StandardLogNormal(4),
    heads.UniformRelaxedOneHot(4, 2, temperature=0.7),
    heads.MixtureOfNormalsPrior(4, 3),
    heads.VampPrior((3, 3, 1), 5),
    heads.AutoregressiveFlowPrior(4, 2, (8,)),
    heads.CouplingFlowPrior(4, 2, (8,)),
]


def name_of(prior):
    return type(prior).__name__


def encode(images):
    flat = tf.reshape(images, (-1, 9))
    weights = tf.random.stateless_normal((9, 8), seed=(0, 1))
    return heads.DiagonalNormal()(flat @ weights)


@keras.saving.register_keras_serializable(package="kgen_tests")
class Holder(keras.Model):
    """The least model that holds a prior."""

    def __init__(self, prior, **kwargs):
        super().__init__(**kwargs)
        self.prior = prior
        self.built = True

    def call(self, x):
        return self.prior.distribution(encode).log_prob(x)

    def get_config(self):
        return {"prior": keras.saving.serialize_keras_object(self.prior)}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config["prior"]))


@pytest.mark.parametrize("prior", PRIORS, ids=name_of)
def test_shapes_and_dtypes(prior):
    distribution = prior.distribution(encode)
    assert distribution.batch_shape == ()
    assert distribution.event_shape == (4,)
    sample = distribution.sample((2, 7), seed=SEED)
    assert sample.shape == (2, 7, 4)
    assert distribution.log_prob(sample).shape == (2, 7)
    assert distribution.log_prob(sample[0, 0]).shape == ()
    assert np.isfinite(distribution.log_prob(sample)).all()
    np.testing.assert_array_equal(sample, distribution.sample((2, 7), seed=SEED))


@pytest.mark.parametrize("prior", PRIORS, ids=name_of)
def test_gradients_reach_every_variable(prior):
    x = PRIORS[1].distribution().sample(50, seed=SEED)
    x = x / tf.reduce_sum(x, axis=-1, keepdims=True)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(prior.distribution(encode).log_prob(x))
    gradients = tape.gradient(loss, prior.trainable_variables)
    assert all(np.abs(gradient).max() > 0 for gradient in gradients)


@pytest.mark.parametrize("prior", PRIORS, ids=name_of)
def test_keras_file_round_trip(prior, tmp_path):
    model = Holder(prior)
    assert {id(v) for v in model.variables} == {id(v) for v in prior.variables}
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    assert type(copy.prior) is type(prior)
    assert copy.prior.get_config() == prior.get_config()
    x = prior.distribution(encode).sample(3, seed=SEED)
    np.testing.assert_array_equal(
        copy.prior.distribution(encode).log_prob(x), prior.distribution(encode).log_prob(x)
    )


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_stays_in_float32_inside_a_mixed_precision_call(policy):
    """Inside the call, Keras reads variables of a mixed model in half precision."""
    x = PRIORS[0].distribution().sample(3, seed=SEED)
    for prior in PRIORS[3:]:
        log_prob = Holder(prior, dtype=keras.DTypePolicy(policy), autocast=False)(x)
        assert log_prob.dtype == tf.float32
        # The same float32 operations; half precision would be off by 1e-3.
        np.testing.assert_allclose(log_prob, prior.distribution(encode).log_prob(x), rtol=1e-6)


def test_variables_are_float32_under_a_half_precision_policy():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("bfloat16")
    try:
        priors = [heads.MixtureOfNormalsPrior(4, 2), heads.CouplingFlowPrior(4, 2, (4,))]
    finally:
        keras.config.set_dtype_policy(before)
    assert {variable.dtype for prior in priors for variable in prior.variables} == {"float32"}


def test_kl_to_standard_normal_has_its_closed_form():
    loc, scale = np.array([0.5, -1.0]), np.array([0.3, 2.0])
    raw_scale = np.log(np.expm1(scale - 1e-5))
    posterior = heads.DiagonalNormal()(np.concatenate([loc, raw_scale])[None])
    kl = tfp.distributions.kl_divergence(posterior, heads.StandardNormal(2).distribution())
    # Kingma and Welling 2014, appendix B. Four float32 terms.
    expected = 0.5 * (loc**2 + scale**2 - 1 - 2 * np.log(scale)).sum()
    np.testing.assert_allclose(kl, [expected], rtol=1e-5)


def test_kl_of_log_normals_has_a_closed_form():
    posterior = heads.LogNormal()(tf.zeros((1, 4)))
    kl = tfp.distributions.kl_divergence(posterior, heads.StandardLogNormal(2).distribution())
    assert kl.shape == (1,) and kl[0] > 0


def test_standard_normal_agrees_with_scipy():
    x = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")
    # Three float32 terms.
    np.testing.assert_allclose(
        heads.StandardNormal(3).distribution().log_prob(x),
        scipy.stats.norm.logpdf(x).sum(-1),
        rtol=1e-5,
    )


def test_uniform_relaxed_one_hot_is_the_posterior_with_equal_logits():
    posterior = heads.RelaxedOneHotCategorical(3, temperature=0.7)(tf.fill((1, 6), 2.5))
    prior = heads.UniformRelaxedOneHot(6, 3, temperature=0.7).distribution()
    z = posterior.sample(seed=SEED)
    # The logits' common constant cancels up to float32 rounding of terms of size 10.
    np.testing.assert_allclose(prior.log_prob(z), posterior.log_prob(z), atol=1e-4)


def test_mixture_agrees_with_scipy():
    prior = heads.MixtureOfNormalsPrior(2, 3)
    prior.logits.assign([0.1, -0.5, 0.7])
    x = np.random.default_rng(0).normal(size=(5, 2)).astype("float32")
    # softplus(0.5413) is 1 to 4 digits, plus the floor of 1e-3.
    scale = np.log1p(np.exp(0.5413)) + 1e-3
    components = scipy.stats.norm(prior.loc.numpy(), scale).logpdf(x[:, None]).sum(-1)
    expected = scipy.special.logsumexp(
        scipy.special.log_softmax([0.1, -0.5, 0.7]) + components, axis=-1
    )
    # float32 rounding of a log-sum-exp over three terms.
    np.testing.assert_allclose(prior.distribution().log_prob(x), expected, rtol=1e-5)


def test_vamp_prior_is_the_mean_of_its_posteriors():
    prior = heads.VampPrior((3, 3, 1), 5)
    # Far beyond any training step: the pseudo-inputs must stay images.
    prior.raw_pseudo_inputs.assign(100 * prior.raw_pseudo_inputs)
    images = prior.pseudo_inputs().numpy()
    assert images.shape == (5, 3, 3, 1) and images.min() >= 0 and images.max() <= 1
    x = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
    log_probs = encode(images).log_prob(x[:, None]).numpy()
    expected = scipy.special.logsumexp(log_probs, axis=-1) - np.log(5)
    # float32 rounding of a log-sum-exp over five terms.
    np.testing.assert_allclose(prior.distribution(encode).log_prob(x), expected, rtol=1e-5)


def test_vamp_prior_takes_any_vector_posterior():
    prior = heads.VampPrior((3, 3, 1), 5)
    x = tf.random.stateless_normal((6, 3), seed=(0, 1))
    for head in (heads.MixtureOfNormals(2), heads.InverseAutoregressiveFlow(3, 2, (4,), 1)):
        size = head.params_size((3,))
        weights = tf.random.stateless_normal((9, size), seed=(0, 2))

        def encode_with(images, head=head, weights=weights):
            return head(tf.reshape(images, (-1, 9)) @ weights)

        posteriors = encode_with(prior.pseudo_inputs())
        log_probs = np.stack([posteriors.log_prob(tf.tile(row[None], (5, 1))) for row in x])
        expected = scipy.special.logsumexp(log_probs, axis=-1) - np.log(5)
        # The flow's inverse runs in batches of another shape: float32 rounding through a network.
        np.testing.assert_allclose(
            prior.distribution(encode_with).log_prob(x), expected, rtol=1e-4, atol=1e-4
        )


def test_errors():
    with pytest.raises(ValueError, match="encode="):
        heads.VampPrior((3, 3, 1), 5).distribution()
    with pytest.raises(ValueError, match="multiple of num_categories=3, received 4"):
        heads.UniformRelaxedOneHot(4, 3)
    with pytest.raises(ValueError, match="latent_dim"):
        heads.StandardNormal(0)
    with pytest.raises(ValueError, match="num_components"):
        heads.MixtureOfNormalsPrior(4, 0)
    with pytest.raises(ValueError, match="image_shape"):
        heads.VampPrior((3, 3), 5)
