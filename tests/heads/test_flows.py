import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen import heads

SEED = (1, 2)
DIM = 3


def shake(layer, scale=0.5):
    """Moves the weights away from the near-identity they start at."""
    generator = np.random.default_rng(0)
    for variable in layer.trainable_variables:
        variable.assign(variable + scale * generator.normal(size=variable.shape))
    return layer


@pytest.fixture(params=["autoregressive", "coupling"])
def prior(request):
    if request.param == "autoregressive":
        return shake(heads.AutoregressiveFlowPrior(DIM, 2, (8,)))
    return shake(heads.CouplingFlowPrior(DIM, 3, (8,)))


@pytest.fixture
def posterior():
    return shake(heads.InverseAutoregressiveFlow(DIM, 2, (8,), context_dim=2))


@pytest.fixture
def params():
    return tf.random.stateless_normal((5, 2 * DIM + 2), seed=(0, 1))


def test_prior_density_is_the_change_of_variables(prior):
    distribution = prior.distribution()
    noise = tf.random.stateless_normal((6, DIM), seed=(0, 1))
    with tf.GradientTape() as tape:
        tape.watch(noise)
        z = distribution.bijector.forward(noise)
    jacobian = tape.batch_jacobian(z, noise).numpy().astype("float64")
    base = distribution.distribution.log_prob(noise).numpy()
    expected = base - np.linalg.slogdet(jacobian)[1]
    # identity() hides the samples from TFP's cache, so that the density inverts the flow itself.
    # Two float32 networks in a row; log-densities of about 10.
    np.testing.assert_allclose(
        distribution.log_prob(tf.identity(z)), expected, rtol=1e-4, atol=1e-4
    )


def test_prior_density_integrates_to_one():
    prior = shake(heads.CouplingFlowPrior(2, 2, (4,)), scale=0.3)
    grid = np.linspace(-12, 12, 401)
    points = np.stack(np.meshgrid(grid, grid), -1).reshape((-1, 2)).astype("float32")
    density = np.exp(prior.distribution().log_prob(points).numpy().astype("float64"))
    # A smooth density on a grid of 0.06: the sum converges fast; the mass outside is below 1e-3.
    assert density.sum() * (grid[1] - grid[0]) ** 2 == pytest.approx(1.0, abs=2e-3)


def test_posterior_density_is_the_change_of_variables(posterior, params):
    distribution = posterior(params)
    loc, raw_scale, _ = tf.split(params, [DIM, DIM, 2], axis=-1)
    noise = tf.random.stateless_normal((5, DIM), seed=(0, 2))
    with tf.GradientTape() as tape:
        tape.watch(noise)
        base = loc + (1e-5 + tf.math.softplus(raw_scale)) * noise
        z = distribution.bijector.forward(base)
    jacobian = tape.batch_jacobian(z, noise).numpy().astype("float64")
    log_noise = -0.5 * (noise.numpy() ** 2 + np.log(2 * np.pi)).sum(-1)
    expected = log_noise - np.linalg.slogdet(jacobian)[1]
    # Once from TFP's cache, once through the sequential inverse: float32 through two networks.
    np.testing.assert_allclose(distribution.log_prob(z), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        distribution.log_prob(tf.identity(z)), expected, rtol=1e-3, atol=1e-3
    )


def test_posterior_step_is_the_papers_recursion(params):
    """Algorithm 1 of Kingma et al. 2016, in NumPy, for two steps."""
    posterior = shake(heads.InverseAutoregressiveFlow(DIM, 2, (8,), context_dim=2))
    loc, raw_scale, context = np.split(params.numpy(), [DIM, 2 * DIM], axis=-1)
    scale = 1e-5 + np.log1p(np.exp(raw_scale))
    noise = np.random.default_rng(0).normal(size=loc.shape).astype("float32")
    z = scale * noise + loc
    log_density = -(np.log(scale) + 0.5 * noise**2 + 0.5 * np.log(2 * np.pi)).sum(-1)
    for step, network in enumerate(posterior.networks):
        z = z[:, ::-1] if step else z
        mean, gate = np.moveaxis(np.array(network([z.astype("float32"), context])), -1, 0)
        sigma = 1 / (1 + np.exp(-(gate + 1.5)))
        z = sigma * z + (1 - sigma) * mean
        log_density -= np.log(sigma).sum(-1)
    distribution = posterior(params)
    forward = distribution.bijector.forward(scale * noise + loc)
    # float32 through two networks.
    np.testing.assert_allclose(forward, z, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(distribution.log_prob(forward), log_density, rtol=1e-4, atol=1e-4)


def test_density_of_own_samples_takes_no_sequential_pass(posterior, params):
    sample_shape = (4,)

    @tf.function
    def own(params):
        distribution = posterior(params)
        return distribution.log_prob(distribution.sample(sample_shape, seed=SEED))

    @tf.function
    def other(params):
        distribution = posterior(params)
        return distribution.log_prob(tf.identity(distribution.sample(sample_shape, seed=SEED)))

    def has_loop(function):
        operations = function.get_concrete_function(params).graph.get_operations()
        return any(operation.type in ("While", "StatelessWhile") for operation in operations)

    assert not has_loop(own)
    assert has_loop(other)
    # The inverse solves in float32 entry by entry.
    np.testing.assert_allclose(own(params), other(params), rtol=1e-3, atol=1e-3)


def test_gradients_reach_every_weight_and_parameter(posterior, params):
    with tf.GradientTape() as tape:
        tape.watch(params)
        distribution = posterior(params)
        z = distribution.sample(seed=SEED)
        loss = tf.reduce_sum(distribution.log_prob(z) + tf.reduce_sum(z**3, axis=-1))
    gradients = tape.gradient(loss, [params, *posterior.trainable_variables])
    assert all(np.abs(gradient).max() > 0 for gradient in gradients)
    assert (np.abs(gradients[0]).max(axis=0) > 0).all()


def test_starts_near_the_identity(params):
    """With weights of almost 0 a step scales by sigmoid(1.5) = 0.82 and moves nothing."""
    posterior = heads.InverseAutoregressiveFlow(DIM, 1, (8,), context_dim=2)
    distribution = posterior(params)
    z = distribution.distribution.sample(seed=SEED)
    # The outputs' initial variance is 0.01.
    np.testing.assert_allclose(distribution.bijector.forward(z), 0.8176 * z, atol=0.5)


def test_works_without_context_and_for_one_dimension():
    for dim in (1, 4):
        head = heads.InverseAutoregressiveFlow(dim, 2, (4,))
        assert head.params_size((dim,)) == 2 * dim and head.event_size(2 * dim) == dim
        distribution = head(tf.zeros((3, 2 * dim)))
        z = distribution.sample(2, seed=SEED)
        assert z.shape == (2, 3, dim) and distribution.log_prob(z).shape == (2, 3)
        assert heads.AutoregressiveFlowPrior(dim).distribution().sample(seed=SEED).shape == (dim,)


def test_float16_params_and_a_mixed_policy(params):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        mixed = heads.InverseAutoregressiveFlow(DIM, 2, (8,), context_dim=2)
        full = heads.InverseAutoregressiveFlow.from_config(mixed.get_config())
    finally:
        keras.config.set_dtype_policy(before)
    z = mixed(tf.cast(params, tf.float16)).sample(seed=SEED)
    assert z.dtype == tf.float32 and {v.dtype for v in mixed.variables} == {"float32"}
    plain = heads.InverseAutoregressiveFlow(DIM, 2, (8,), context_dim=2)
    for network in (full, plain):
        network.set_weights(mixed.get_weights())
    # No half precision anywhere: the same operations, so the same digits.
    np.testing.assert_allclose(
        full(params).sample(seed=SEED), plain(params).sample(seed=SEED), rtol=1e-6
    )


def test_config_round_trip(posterior, params):
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(posterior))
    assert copy.get_config() == posterior.get_config()
    copy.set_weights(posterior.get_weights())
    np.testing.assert_array_equal(
        copy(params).sample(seed=SEED), posterior(params).sample(seed=SEED)
    )


def test_errors(posterior):
    with pytest.raises(ValueError, match="context_dim = 8, received 9"):
        posterior(tf.zeros((1, 9)))
    with pytest.raises(ValueError, match=r"events of shape \(3,\), received \(4,\)"):
        posterior.params_size((4,))
    with pytest.raises(ValueError, match="latent_dim must be at least 2"):
        heads.CouplingFlowPrior(1)
    with pytest.raises(ValueError, match="num_flows must be at least 2"):
        heads.CouplingFlowPrior(4, 1)
    with pytest.raises(ValueError, match="hidden_units"):
        heads.AutoregressiveFlowPrior(4, 1, (0,))


def test_compiles_with_xla(posterior, params):
    prior = shake(heads.CouplingFlowPrior(DIM, 3, (8,)))

    @tf.function(jit_compile=True)
    def use(params):
        distribution = posterior(params)
        z = distribution.sample(seed=SEED)
        return prior.distribution().log_prob(z) - distribution.log_prob(z)

    assert np.isfinite(use(params)).all()
