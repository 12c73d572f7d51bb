"""The rivals of kgen's VAE are the same function, given the same weights and noise."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kgen
from benchmarks.cases import FAMILIES, synthetic_images
from benchmarks.rivals import keras_vae


@pytest.fixture(scope="module", params=FAMILIES["vae"])
def vae(request):
    """The model of a case, its weights away from where they start, a batch, and its noise."""
    case = FAMILIES["vae"][request.param]
    encoder, decoder = case.kgen_networks
    model = kgen.VAE.for_images(
        (28, 28, 1), latent_dim=case.latent_dim, encoder=encoder, decoder=decoder
    )
    draws = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign_add(draws.normal(size=variable.shape, scale=0.02).astype(np.float32))
    images = synthetic_images(6)
    posterior = model.posterior(model.encoder(images))
    latents = posterior.sample(seed=model.noise_seed(True))
    noise = (latents - posterior.mean()) / posterior.stddev()
    return case, model, images, noise.numpy()


def vae_in_pytorch(case, model):
    """PyTorch's VAE with the weights of kgen's; pairs of variables and parameters."""
    import torch

    from benchmarks.rivals import torch_vae

    module = torch_vae.model(case)
    pairs = []
    for network, part in ((model.encoder, module.encoder), (model.decoder, module.decoder)):
        pairs += zip(network.trainable_variables, part.parameters(), strict=True)
    with torch.no_grad():
        for variable, parameter in pairs:
            parameter.copy_(torch.from_numpy(channels_first(variable.numpy())))
    return module, pairs


def channels_first(values):
    """A kernel, matrix or vector in PyTorch's order; 7 x 7 x 64 maps are flattened by channel."""
    if values.ndim == 4:
        return values.transpose(3, 2, 0, 1).copy()
    order = np.arange(7 * 7 * 64).reshape(7, 7, 64).transpose(2, 0, 1).ravel()
    for axis, size in enumerate(values.shape):
        if size == len(order):
            values = values.take(order, axis)
    return values.T.copy()


def check_vae(loss, pairs, model, images):
    """The loss and its gradients are those of kgen's model."""
    import torch

    with tf.GradientTape() as tape:
        expected = tf.reduce_mean(model.objective(images, training=True)["loss"])
    # Sums of 784 pixels in float32, in another order.
    np.testing.assert_allclose(loss.item(), expected, rtol=1e-5)
    gradients = tape.gradient(expected, [variable.value for variable, _ in pairs])
    received = torch.autograd.grad(loss, [parameter for _, parameter in pairs])
    for (variable, _), gradient, other in zip(pairs, gradients, received, strict=True):
        ours = channels_first(gradient.numpy())
        # Relative to the largest of a tensor.
        scale = np.abs(ours).max()
        np.testing.assert_allclose(
            other.numpy() / scale, ours / scale, atol=1e-4, err_msg=variable.path
        )


def test_pytorch_vae_is_the_same_function_with_equal_weights_and_noise(vae, monkeypatch):
    torch = pytest.importorskip("torch")
    case, model, images, noise = vae
    module, pairs = vae_in_pytorch(case, model)
    monkeypatch.setattr(torch, "randn_like", lambda like: torch.from_numpy(noise))
    turned = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    check_vae(module(turned), pairs, model, images)


def test_bare_keras_vae_has_the_loss_of_kgen(vae, monkeypatch):
    _, model, images, noise = vae
    bare = keras_vae.VAE(model.encoder, model.decoder)
    bare.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    monkeypatch.setattr(keras.random, "normal", lambda *args, **kwargs: tf.constant(noise))
    logs = bare.train_step(tf.constant(images))
    terms = model.objective(images, training=True)
    for name in ("loss", "reconstruction", "kl"):
        # The sums are taken in another order.
        np.testing.assert_allclose(logs[name], tf.reduce_mean(terms[name]), rtol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_pythae_vae_has_the_loss_of_kgen(vae, monkeypatch, capsys):
    from benchmarks import libraries

    if not libraries.is_at_hand("pythae", threads=1):
        pytest.skip(capsys.readouterr().out)
    import torch

    from benchmarks.rivals import pythae_vae

    case, model, images, noise = vae
    module, pairs = vae_in_pytorch(case, model)

    class WithLogVariance(torch.nn.Module):
        """Pythae has a log variance where kgen has a softplus: here both mean the same."""

        def forward(self, images):
            loc, scale = module.posterior(images)
            return torch.cat([loc, 2.0 * scale.log()], dim=-1)

    theirs = pythae_vae.model(case, WithLogVariance(), module.decoder)
    monkeypatch.setattr(torch, "randn_like", lambda like: torch.from_numpy(noise))
    turned = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    check_vae(theirs({"data": turned})["loss"], pairs, model, images)


@pytest.mark.filterwarnings("ignore")
def test_pythae_trains_the_networks_of_the_case(capsys):
    from benchmarks import libraries

    if not libraries.is_at_hand("pythae", threads=1):
        pytest.skip(capsys.readouterr().out)
    from benchmarks.rivals import pythae_vae

    case = FAMILIES["vae"]["convolutional VAE"]
    (contender,) = pythae_vae.contenders(case, synthetic_images(32), 8)
    train = contender()
    # In nats: 784 binary pixels cost at most 784 log 2 before anything is learned, roughly.
    first, *_, last = [train() for _ in range(10)]
    assert 0.9 * 784 * np.log(2) < first < 1.2 * 784 * np.log(2)
    # From 544 to 541 in four passes.
    assert last < first - 3.0
