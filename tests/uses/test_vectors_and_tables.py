"""Vectors, signals, volumes and tables of any range, with the defaults of each model."""

import functools

import keras
import numpy as np
import pytest
import scipy.stats
from sklearn.linear_model import LinearRegression

import kgen
from kgen import data, heads, layers, networks, serving, specs

SMALL = dict(
    encoder=functools.partial(networks.dense_encoder, hidden_units=(32,)),
    decoder=functools.partial(networks.dense_decoder, hidden_units=(32,)),
)
# Means and deviations as far apart as those of real tables.
MEAN, SCALE = np.array([1e6, -0.02, 50.0]), np.array([1e5, 1e-3, 10.0])
CORRELATION = np.array([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 1.0]])


def vectors(count=2000):
    factor = np.linalg.cholesky(CORRELATION)
    normal = np.random.RandomState(0).normal(size=(count, 3)) @ factor.T
    return (MEAN + SCALE * normal).astype("float32")


# The mean log density of the truth: minus the entropy.
EXACT = -scipy.stats.multivariate_normal(cov=CORRELATION).entropy() - np.log(SCALE).sum()


def trained(model, x, *, epochs=15, learning_rate=3e-3):
    model.compile(kgen.optimizers.Adam(learning_rate))
    model.fit(x, batch_size=100, epochs=epochs, verbose=0)
    return model


def check_moments(drawn, tolerance=0.25):
    """Means, deviations and the correlation of 2,000 draws, in standard deviations."""
    np.testing.assert_allclose((drawn.mean(axis=0) - MEAN) / SCALE, 0.0, atol=tolerance)
    np.testing.assert_allclose(drawn.std(axis=0) / SCALE, 1.0, atol=tolerance)
    np.testing.assert_allclose(np.corrcoef(drawn.T), CORRELATION, atol=tolerance)


EXACT_MODELS = {
    "made": kgen.MADE.for_vectors,
    "nade": kgen.NADE.for_vectors,
    "made_of_orders": functools.partial(
        kgen.MADE.for_vectors,
        network=functools.partial(networks.made_network, num_masks=4, order_agnostic=True),
    ),
}


@pytest.mark.parametrize("head", [heads.Normal(), heads.StudentT()], ids=repr)
@pytest.mark.parametrize("name", EXACT_MODELS)
def test_an_exact_density_and_its_draws(name, head):
    """On a grid of two numbers the density sums to 1; draws have the means that it has there."""
    x = vectors()[:, [0, 2]]
    model = trained(EXACT_MODELS[name](2, likelihood=head), x, epochs=3)
    mean, scale = MEAN[[0, 2]], SCALE[[0, 2]]
    line = np.linspace(-12.0, 12.0, 241)
    grid = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    density = np.exp(model.log_prob((mean + scale * grid).astype("float32")).numpy().astype("f8"))
    cells = density * np.prod(scale) * 0.1**2
    assert cells.sum() == pytest.approx(1.0, abs=0.01)
    drawn = (model.sample(4000, seed=0).numpy() - mean) / scale
    for of_draws, of_grid in (
        (drawn.mean(axis=0), cells @ grid),
        (np.abs(drawn).mean(axis=0), cells @ np.abs(grid)),
        ((drawn[:, 0] * drawn[:, 1]).clip(-9, 9).mean(), cells @ np.prod(grid, 1).clip(-9, 9)),
    ):
        np.testing.assert_allclose(of_draws, of_grid, atol=0.07)


@pytest.mark.parametrize("name", ["made", "nade"])
def test_an_exact_density_of_a_normal_comes_near_its_entropy(name):
    """RNADE (Uria et al. 2013) with one component: conditionals of a normal are normal."""
    model = trained(EXACT_MODELS[name](3), vectors())
    assert model.log_prob(vectors()).numpy().mean() == pytest.approx(EXACT, abs=0.1)
    check_moments(model.sample(2000, seed=0).numpy(), tolerance=0.3)
    # The middle number given the first.
    x = vectors()[:400]
    known = np.array([True, False, True])
    completed = model.complete(x, mask=known, seed=1).numpy()
    np.testing.assert_array_equal(completed[:, known], x[:, known])
    first, middle = ((completed[:, i] - MEAN[i]) / SCALE[i] for i in (0, 1))
    assert LinearRegression().fit(first[:, None], middle).coef_[0] == pytest.approx(0.9, abs=0.1)


def test_a_vae_of_vectors_bounds_their_entropy_and_draws_them(tmp_path):
    model = trained(kgen.VAE.for_vectors(3, latent_dim=2, **SMALL), vectors(), epochs=30)
    bound = model.importance_weighted_bound(vectors(), num_samples=50, seed=0).numpy().mean()
    assert EXACT - 0.3 < bound < EXACT + 0.05
    check_moments(model.sample(2000, seed=0).numpy())
    assert [layer for layer in layers.unadapted(model)] == []
    model.save(tmp_path / "vae.keras")
    restored = keras.saving.load_model(tmp_path / "vae.keras")
    np.testing.assert_array_equal(restored.sample(5, seed=1), model.sample(5, seed=1))
    np.testing.assert_array_equal(restored.likelihood.scaling.mean, model.likelihood.scaling.mean)
    version = serving.export(model, tmp_path / "export")
    seeds = {"seed": np.stack([np.ones(5, "int32"), np.arange(5, dtype="int32")], axis=1)}
    ((outputs,)) = serving.run_requests(version, [("sample", seeds)])
    np.testing.assert_allclose(outputs["points"], model.sample(5, seed=1), rtol=1e-4)


@pytest.mark.parametrize("system", [kgen.AdversarialAutoencoder, kgen.Autoencoder, kgen.VQVAE])
def test_other_autoencoders_return_their_vectors(system):
    arguments = {} if system is kgen.VQVAE else dict(latent_dim=2)
    model = trained(system.for_vectors(3, **arguments, **SMALL), vectors(), epochs=20)
    error = (model.reconstruct(vectors()).numpy() - vectors()) / SCALE
    # A column's mean alone has an error of 1.
    assert np.sqrt(np.mean(error**2)) < 0.45


@pytest.mark.parametrize("system", [kgen.GAN, kgen.WGANGP])
def test_gans_of_vectors(system):
    dense = dict(
        generator=functools.partial(networks.dense_generator, hidden_units=(64, 64)),
        discriminator=functools.partial(networks.dense_discriminator, hidden_units=(64, 64)),
    )
    model = system.for_vectors(3, latent_dim=8, **dense)
    model.compile(kgen.optimizers.Adam(1e-3, beta_1=0.5, beta_2=0.9))
    model.fit(vectors(4000), batch_size=100, epochs=25, verbose=0)
    check_moments(model.sample(2000, seed=0).numpy(), tolerance=0.4)


def test_a_penalty_is_on_the_slope_of_standardized_values():
    """A critic of slope 1 per standard deviation costs nothing, whatever the data's unit."""
    critic = networks.standardized(
        functools.partial(networks.dense_discriminator, hidden_units=()), 3
    )
    layers.adapt(critic, vectors())
    kernel = np.float32([[0.6], [0.0], [0.8]])
    critic.set_weights([*critic.get_weights()[:3], kernel, np.zeros(1, "float32")])
    generator = networks.dense_generator(2, (3,))
    model = kgen.WGANGP(generator, critic)
    terms = model.discriminator_objective(vectors()[:8])
    np.testing.assert_allclose(terms["gradient_penalty"], 0.0, atol=1e-6)


def test_heavy_tails_want_a_student_t():
    """Takahashi et al. 2018: outliers cost a normal likelihood more nats than a Student's t."""
    x = vectors()
    outliers = np.random.RandomState(1).standard_t(2.5, size=x.shape)
    x = (MEAN + SCALE * outliers).astype("float32")
    bounds = []
    for head in (heads.Normal(), heads.StudentT()):
        model = trained(kgen.VAE.for_vectors(3, latent_dim=2, likelihood=head, **SMALL), x)
        bounds.append(model.importance_weighted_bound(x, num_samples=20, seed=0).numpy().mean())
    assert bounds[1] > bounds[0] + 0.1


def patients(count=2000):
    """A table of which the label of a column says much about the others, a tenth not known."""
    random = np.random.RandomState(0)
    sex = random.randint(2, size=count)
    weight = random.normal(60.0 + 20.0 * sex, 5.0)
    smokes = random.uniform(size=count) < 0.2 + 0.6 * sex
    kind = np.where(sex == 1, 2, random.randint(2, size=count))
    table = np.stack([weight, sex, smokes, kind], axis=1).astype("float32")
    hidden = random.uniform(size=table.shape) < 0.1
    return table, np.where(hidden, np.float32("nan"), table)


COLUMNS = [
    ("weight", heads.Normal()),
    ("sex", heads.Categorical(2)),
    ("smokes", heads.Bernoulli()),
    ("kind", heads.Categorical(3)),
]


def test_a_table_of_mixed_columns_with_values_that_are_not_known(tmp_path):
    whole, table = patients()
    model = kgen.VAE.for_vectors(4, latent_dim=2, likelihood=heads.Columns(COLUMNS), **SMALL)
    # A data set, of which more than the first batch says the scale.
    batches = data.from_arrays(table, spec=model.data_spec, batch_size=100, shuffle=True)
    model.compile(kgen.optimizers.Adam(3e-3))
    model.fit(batches, epochs=30, verbose=0)
    scaling = model.likelihood.scaling
    np.testing.assert_allclose(scaling.mean[0], np.nanmean(table[:, 0]), rtol=1e-5)
    np.testing.assert_array_equal(scaling.scale[1:], 1.0)

    drawn = model.sample(2000, seed=0).numpy()
    model.sample_spec.check(drawn)
    for sex in (0, 1):
        mine, real = drawn[drawn[:, 1] == sex], whole[whole[:, 1] == sex]
        np.testing.assert_allclose(mine[:, 0].mean(), real[:, 0].mean(), atol=3.0)
        np.testing.assert_allclose(mine[:, 2].mean(), real[:, 2].mean(), atol=0.12)
    # What is not known is filled in: the kind 2 says the sex.
    unknown = np.isnan(table[:, 1]) & (whole[:, 3] == 2) & ~np.isnan(table[:, 3])
    filled = model.reconstruct(table[unknown]).numpy()[:, 1]
    assert (filled == 1).mean() > 0.9

    model.save(tmp_path / "table.keras")
    restored = keras.saving.load_model(tmp_path / "table.keras")
    np.testing.assert_array_equal(restored.sample(5, seed=1), model.sample(5, seed=1))
    version = serving.export(model, tmp_path / "export")
    rows = restored.reconstruct(whole[:3])
    ((outputs,)) = serving.run_requests(version, [("reconstruct", {"rows": whole[:3]})])
    np.testing.assert_allclose(outputs["rows"], rows, rtol=1e-4)


def test_signals_and_volumes_through_networks_of_ones_own():
    random = np.random.RandomState(0)
    phases = random.uniform(0.0, 6.28, size=(500, 1))
    signals = 100.0 * np.sin(np.linspace(0.0, 6.28, 16) + phases)[..., None].astype("float32")
    inputs = keras.Input((16, 1))
    x = layers.Standardization(1)(inputs)
    x = keras.layers.Conv1D(8, 5, padding="same", activation="relu")(x)
    encoder = keras.Model(inputs, keras.layers.Dense(6)(keras.layers.Flatten()(x)))
    decoder = networks.dense_decoder(3, (16, 2), hidden_units=(32,))
    model = kgen.VAE(encoder, decoder, likelihood=heads.Standardized(heads.Normal(), 1))
    assert model.data_spec == specs.Signals(16, 1)
    trained(model, signals.astype("float32"), epochs=30)
    error = model.reconstruct(signals).numpy() - signals
    assert np.std(error) < 0.5 * np.std(signals)
    assert list(model.endpoints()["sample"].outputs) == ["signals"]

    volumes = (random.uniform(size=(64, 3, 4, 4, 1)) > 0.5).astype("float32")
    model = kgen.VAE(
        networks.dense_encoder((3, 4, 4, 1), 4), networks.dense_decoder(2, (3, 4, 4, 1))
    )
    assert model.data_spec == specs.Clips((3, 4, 4, 1))
    trained(model, volumes, epochs=1)
    model.sample_spec.check(model.sample(2, seed=0))


def test_a_conditional_vae_and_gan_of_vectors():
    """The first number has the label's mean; the label's embedding stays as it is."""
    x, labels = vectors(), np.random.RandomState(1).randint(2, size=2000).astype("int32")
    x[:, 2] += 100.0 * labels
    vae = kgen.VAE.for_vectors(3, latent_dim=2, condition=specs.Labels(2), **SMALL)
    vae.compile(kgen.optimizers.Adam(3e-3))
    vae.fit(x, labels, batch_size=100, epochs=15, verbose=0)
    for label in (0, 1):
        drawn = vae.sample(500, condition=label, seed=0).numpy()
        assert drawn[:, 2].mean() == pytest.approx(50.0 + 100.0 * label, abs=8.0)
    gan = kgen.GAN.for_vectors(3, condition=specs.Labels(2))
    gan.compile()
    gan.fit(x, labels, batch_size=500, verbose=0)
    assert gan.sample(4, condition=1, seed=0).shape == (4, 3)


def test_binary_vectors_and_ranges_are_checked():
    bits = (np.random.RandomState(0).uniform(size=(200, 8)) > 0.5).astype("float32")
    model = trained(kgen.VAE.for_vectors(8, likelihood=heads.Bernoulli(), **SMALL), bits, epochs=1)
    assert set(np.unique(model.sample(20, seed=0))) == {0.0, 1.0}
    with pytest.raises(ValueError, match=r"in \[0, 1\].*head such as kgen.heads.Normal"):
        model.fit(3.0 * bits, verbose=0)
    model = kgen.MADE.for_vectors(8, likelihood=heads.Bernoulli())
    assert model.data_spec == specs.Points(8, num_levels=2)
    trained(model, bits, epochs=1)
    with pytest.raises(ValueError, match="2 levels"):
        model.log_prob(0.4 * bits)
    with pytest.raises(ValueError, match="clip=False"):
        kgen.Autoencoder.for_vectors(8, corruption=kgen.autoencoding.GaussianCorruption(0.1))
    with pytest.raises(ValueError, match="MaskingCorruption"):
        kgen.Autoencoder.for_vectors(8, corruption=kgen.autoencoding.SaltAndPepperCorruption(0.1))
    with pytest.raises(ValueError, match=r"one entry at a time"):
        kgen.MADE.for_vectors(8, likelihood=heads.ContinuousBernoulli())


def test_the_scale_comes_from_all_rows_once():
    """Of arrays from every row; a second `fit` and a saved model keep what they have."""
    x = vectors()
    model = kgen.Autoencoder.for_vectors(3, **SMALL)
    model.compile()
    model.fit(x, batch_size=7, verbose=0)
    np.testing.assert_allclose(model.likelihood.scaling.mean, x.mean(0, dtype="f8"), rtol=1e-5)
    np.testing.assert_allclose(model.likelihood.scaling.scale, x.std(0, dtype="f8"), rtol=1e-5)
    before = model.likelihood.scaling.mean.numpy()
    model.fit(2.0 * x, verbose=0)
    np.testing.assert_array_equal(model.likelihood.scaling.mean, before)
    constant = np.column_stack([x[:, 0], np.full(len(x), 7.0, "float32")])
    layer = layers.Standardization(2)
    layer.adapt(constant)
    np.testing.assert_allclose(layer(constant)[:, 1], 0.0)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_large_numbers_survive_half_precision(policy):
    """1,000,001 and 1,000,003 are one number in half precision."""
    keras.config.set_dtype_policy(policy)
    x = 1e6 + np.random.RandomState(0).normal(size=(500, 2)).astype("float32")
    model = kgen.VAE.for_vectors(2, latent_dim=2, **SMALL)
    trained(model, x, epochs=20)
    codes = model.predict(x, verbose=0)
    assert np.corrcoef(codes[:, 0], x[:, 0])[0, 1] > 0.5
