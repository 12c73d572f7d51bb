"""The rivals are the same functions as kgen's models, given the same weights and noise."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kgen
from benchmarks.cases import FAMILIES, synthetic_images
from benchmarks.rivals import keras_pixelcnn, keras_simclr, keras_vae, keras_wgan_gp
from kgen import heads, networks
from kgen.adversarial import penalties


@pytest.fixture(scope="module")
def wgan_gp():
    """The benchmark's model, its batch statistics and biases away from where they start."""
    (case,) = FAMILIES["wgan_gp"].values()
    generator, critic = case.kgen_networks
    model = kgen.WGANGP.for_images(
        (28, 28, 1),
        case.latent_dim,
        generator=generator,
        discriminator=critic,
        discriminator_steps=1,
    )
    draws = np.random.default_rng(0)
    for variable in model.trainable_variables:
        # Larger than the initial ones, so that the slope's norm is not next to 0.
        noise = draws.normal(size=variable.shape, scale=0.05)
        variable.assign_add(noise.astype(np.float32))
    return model


def noise_of(model, batch_size):
    """The latents and the share of the real images in x^ that a step of the model draws."""
    latents = model.latents(batch_size, model.noise_seed(True)).numpy()
    ones, zeros = (tf.fill((batch_size, 1, 1, 1), value) for value in (1.0, 0.0))
    mixing = penalties._between(ones, zeros, model.noise_seed(True, salt=1)).numpy()
    return latents, mixing


@pytest.mark.parametrize("slope_of", ["slope_by_autograd", "slope_by_func"])
def test_pytorch_wgan_gp_is_the_same_function_with_equal_weights(wgan_gp, slope_of):
    torch = pytest.importorskip("torch")
    from benchmarks.rivals import torch_wgan_gp

    images = synthetic_images(6)
    latents, mixing = noise_of(wgan_gp, len(images))
    generator, critic = torch_wgan_gp.Generator(wgan_gp.latent_dim), torch_wgan_gp.Critic()
    copy_weights(wgan_gp.generator, generator)
    copy_weights(wgan_gp.discriminator, critic)
    turned = torch.from_numpy(turn(images).transpose(0, 3, 1, 2).copy())
    noise = torch.from_numpy(latents)

    # float32 sums of some thousand products, in another order.
    close = dict(rtol=1e-4, atol=1e-5)
    fake = turn(generator(noise).detach().numpy().transpose(0, 2, 3, 1))
    np.testing.assert_allclose(fake, wgan_gp.generator(latents, training=True), **close)
    values = critic(turned).detach().numpy()
    np.testing.assert_allclose(values, wgan_gp.discriminate(images), **close)

    slope_of = getattr(torch_wgan_gp, slope_of)
    critic_loss = torch_wgan_gp.critic_loss(
        slope_of, generator, critic, turned, noise, torch.from_numpy(mixing)
    )
    generator_loss = torch_wgan_gp.generator_loss(generator, critic, noise)
    for players, loss, objective in (
        ((wgan_gp.discriminator, critic), critic_loss, wgan_gp.discriminator_objective),
        ((wgan_gp.generator, generator), generator_loss, wgan_gp.generator_objective),
    ):
        ours, theirs = players
        with tf.GradientTape() as tape:
            expected = tf.reduce_mean(objective(images, training=True)["loss"])
        np.testing.assert_allclose(loss.item(), expected, **close)
        gradients = tape.gradient(expected, [v.value for v in ours.trainable_variables])
        received = torch.autograd.grad(loss, list(theirs.parameters()))
        for variable, gradient, other in zip(
            ours.trainable_variables, gradients, received, strict=True
        ):
            expected_gradient = as_torch(variable, gradient.numpy(), ours)
            # Float32 sums, relative to the largest of a tensor. The critic's last bias has none:
            # it cancels between real and fake.
            scale = np.abs(expected_gradient).max() or 1.0
            np.testing.assert_allclose(
                other.numpy() / scale, expected_gradient / scale, atol=1e-4, err_msg=variable.path
            )


def test_bare_keras_wgan_gp_has_the_losses_of_kgen(wgan_gp, monkeypatch):
    images = synthetic_images(6)
    latents, mixing = noise_of(wgan_gp, len(images))
    bare = keras_wgan_gp.WGANGP(wgan_gp.generator, wgan_gp.discriminator)
    # Updates that change nothing, so that both losses are those of the same weights.
    bare.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0), run_eagerly=True)
    monkeypatch.setattr(keras.random, "normal", lambda *args, **kwargs: tf.constant(latents))
    monkeypatch.setattr(keras.random, "uniform", lambda *args, **kwargs: tf.constant(mixing))
    logs = bare.train_step(tf.constant(images))
    for name, objective in (
        ("critic_loss", wgan_gp.discriminator_objective),
        ("generator_loss", wgan_gp.generator_objective),
    ):
        expected = tf.reduce_mean(objective(images, training=True)["loss"])
        # The same operations; only the means are taken in another order.
        np.testing.assert_allclose(logs[name], expected, rtol=1e-5)


@pytest.fixture(scope="module")
def pixelcnn():
    """A small PixelCNN on 256 levels, its weights and biases away from where they start."""
    network = networks.pixelcnn((28, 28, 1), 256, filters=8, num_blocks=2, head_filters=(16,))
    model = kgen.PixelCNN(network, likelihood=heads.Categorical(256))
    draws = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign_add(draws.normal(size=variable.shape, scale=0.05))
    return model


@pytest.mark.parametrize("convolution", ["MaskedConv2d", "CroppedConv2d"])
def test_pytorch_pixelcnn_is_the_same_function_with_equal_weights(pixelcnn, convolution):
    torch = pytest.importorskip("torch")
    from benchmarks.rivals import torch_pixelcnn

    convolution = getattr(torch_pixelcnn, convolution)
    module = torch_pixelcnn.PixelCNN(
        256, filters=8, num_blocks=2, head_filters=16, convolution=convolution
    )
    torch_pixelcnn.copy_weights(pixelcnn.network, module)
    pairs = torch_pixelcnn.convolutions(pixelcnn.network, module)
    masks = {part: getattr(part, "mask", torch.ones(())) for _, part in pairs}
    with torch.no_grad():
        for part, mask in masks.items():
            # What a mask hides must not matter.
            part.weight += (1.0 - mask) * torch.randn_like(part.weight)
    images = synthetic_images(4, num_levels=256)
    turned = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())

    # Float32 sums of some hundred products, in another order.
    close = dict(rtol=1e-4, atol=1e-4)
    logits = module(turned).detach().numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(logits, pixelcnn.network(images), **close)
    with tf.GradientTape() as tape:
        expected = tf.reduce_mean(pixelcnn.objective(images, training=True)["loss"])
    loss = torch_pixelcnn.loss(module, turned)
    np.testing.assert_allclose(loss.item(), expected, rtol=1e-5)
    variables = pixelcnn.trainable_variables
    gradients = tape.gradient(expected, [variable.value for variable in variables])
    gradients = {v.path: g.numpy() for v, g in zip(variables, gradients, strict=True)}
    loss.backward()
    for layer, part in pairs:
        above = None if layer.above_kernel is None else gradients[layer.above_kernel.path]
        kernel = torch_pixelcnn.full_kernel(layer, above, gradients[layer.row_kernel.path])
        for ours, theirs in (
            (kernel, part.weight),
            (gradients[layer.bias.path], part.bias),
        ):
            # Relative to the largest of a tensor. Hidden weights have a gradient of exactly 0.
            scale = np.abs(ours).max()
            np.testing.assert_allclose(
                theirs.grad.numpy() / scale, ours / scale, atol=1e-4, err_msg=layer.path
            )
        assert torch.all(part.weight.grad[masks[part].expand_as(part.weight) == 0.0] == 0.0)


def test_bare_keras_pixelcnn_has_the_loss_of_kgen(pixelcnn):
    images = synthetic_images(4, num_levels=256)
    bare = keras_pixelcnn.PixelCNN(pixelcnn.network)
    bare.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    logs = bare.train_step(tf.constant(images))
    # The same operations; only the sums are taken in another order.
    expected = tf.reduce_mean(pixelcnn.objective(images)["loss"])
    np.testing.assert_allclose(logs["loss"], expected, rtol=1e-5)


@pytest.fixture(scope="module")
def simclr():
    """The benchmark's model, its weights away from where they start."""
    (case,) = FAMILIES["simclr"].values()
    make_encoder, make_projector = case.kgen_networks
    model = kgen.SimCLR(make_encoder((28, 28, 1)), make_projector())
    draws = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign_add(draws.normal(size=variable.shape, scale=0.05).astype(np.float32))
    return model


def parts_of_simclr(model, module):
    """Pairs of kgen's variables and PyTorch's parameters, in the order in which kgen makes them."""
    import torch

    def layers(network, kind):
        found = [layer for layer in network.layers if isinstance(layer, kind)]
        return sorted(found, key=lambda layer: (len(layer.name), layer.name))

    for network, part in ((model.encoder, module.encoder), (model.projector, module.projector)):
        for ours, theirs in (
            (keras.layers.Conv2D, torch.nn.Conv2d),
            (keras.layers.Dense, torch.nn.Linear),
            (keras.layers.BatchNormalization, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)),
        ):
            modules = [found for found in part.modules() if isinstance(found, theirs)]
            for layer, found in zip(layers(network, ours), modules, strict=True):
                yield from zip(layer.trainable_variables, found.parameters(), strict=True)


def as_torch_variable(values):
    """A kernel half a turn away, or a matrix transposed, or a vector."""
    if values.ndim == 4:
        return values[::-1, ::-1].transpose(3, 2, 0, 1).copy()
    return values.T.copy()


def test_pytorch_simclr_is_the_same_function_with_equal_weights(simclr):
    torch = pytest.importorskip("torch")
    from benchmarks.rivals import torch_simclr

    module = torch_simclr.SimCLR()
    pairs = list(parts_of_simclr(simclr, module))
    assert len(pairs) == len(simclr.trainable_variables) == len(list(module.parameters()))
    with torch.no_grad():
        for variable, parameter in pairs:
            parameter.copy_(torch.from_numpy(as_torch_variable(variable.numpy())))
    images = synthetic_images(12, num_levels=256)
    first, second = images[:6], images[6:]
    turned = [torch.from_numpy(turn(x).transpose(0, 3, 1, 2).copy()) for x in (first, second)]

    with tf.GradientTape() as tape:
        expected = tf.reduce_mean(simclr.objective((first, second), training=True)["loss"])
    loss = torch_simclr.loss(module, *turned)
    # Float32 sums of some thousand products through nine normalizations, in another order.
    np.testing.assert_allclose(loss.item(), expected, rtol=1e-4)
    gradients = tape.gradient(expected, [variable.value for variable, _ in pairs])
    loss.backward()
    for (variable, parameter), gradient in zip(pairs, gradients, strict=True):
        ours = as_torch_variable(gradient.numpy())
        # Relative to the largest of a tensor.
        scale = np.abs(ours).max()
        np.testing.assert_allclose(
            parameter.grad.numpy() / scale, ours / scale, atol=1e-3, err_msg=variable.path
        )


def test_bare_keras_simclr_has_the_loss_of_kgen(simclr):
    images = synthetic_images(12, num_levels=256)
    pair = (tf.constant(images[:6]), tf.constant(images[6:]))
    bare = keras_simclr.SimCLR(simclr.encoder, simclr.projector)
    bare.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    logs = bare.train_step((pair,))
    expected = tf.reduce_mean(simclr.objective(pair, training=True)["loss"])
    # The sums are taken in another order.
    np.testing.assert_allclose(logs["loss"], expected, rtol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_losses_of_lightly_and_pytorch_are_nt_xent(capsys):
    torch = pytest.importorskip("torch")
    from benchmarks import libraries
    from benchmarks.rivals import torch_simclr
    from kgen.contrastive import losses

    first, second = np.random.default_rng(0).normal(size=(2, 5, 7)).astype(np.float32)
    expected = tf.reduce_mean(losses.nt_xent(first, second, temperature=torch_simclr.TEMPERATURE))
    pair = torch.from_numpy(first), torch.from_numpy(second)
    np.testing.assert_allclose(torch_simclr.nt_xent(*pair), expected, rtol=1e-5)
    if not libraries.is_at_hand("lightly", threads=1):
        pytest.skip(capsys.readouterr().out)
    from lightly.loss import NTXentLoss

    np.testing.assert_allclose(NTXentLoss(torch_simclr.TEMPERATURE)(*pair), expected, rtol=1e-5)


def test_views_of_pytorch_are_crops_mirrored_and_jittered():
    torch = pytest.importorskip("torch")
    from benchmarks.rivals import torch_simclr

    torch.manual_seed(0)
    across = (torch.arange(28) + 0.5) / 28
    ramp = across.expand(200, 1, 28, 28).contiguous()
    # A crop of a ramp is a ramp: its slope is the crop's width, its sign whether it is mirrored.
    rows = torch_simclr.view(ramp, jittered=0.0)[:, 0].numpy()
    # All rows of a crop are one; the grid is rounded to float32.
    np.testing.assert_allclose(rows, np.repeat(rows[:, :1], 28, axis=1), atol=1e-5)
    slopes = 28 * np.diff(rows[:, 0, 2:-2], axis=1)
    np.testing.assert_allclose(slopes, np.repeat(slopes[:, :1], slopes.shape[1], axis=1), atol=1e-3)
    widths = np.abs(slopes[:, 0])
    # A quarter of the area at a ratio of 3/4 is the narrowest.
    assert np.sqrt(0.25 * 0.75) - 1e-3 <= widths.min() < 0.5 and 0.9 < widths.max() <= 1.0 + 1e-3
    # A fair coin, 200 times: four standard deviations.
    assert abs(np.mean(slopes[:, 0] > 0) - 0.5) < 0.15
    # Without a crop or a mirror left to see in a constant image: plus U(-0.4, 0.4) for 80 %.
    flat = torch_simclr.view(torch.full((2000, 1, 4, 4), 0.5))[:, 0].numpy()
    moved = flat[:, 0, 0] - 0.5
    assert abs(np.mean(np.abs(moved) > 1e-6) - 0.8) < 0.04
    assert -0.4 <= moved.min() < -0.39 and 0.39 < moved.max() <= 0.4


@pytest.fixture(scope="module", params=FAMILIES["vae"])
def vae(request):
    """The model of a case, its weights away from where they start, a batch, and its noise."""
    case = FAMILIES["vae"][request.param]
    encoder, decoder = case.kgen_networks
    model = kgen.VAE.for_images((28, 28, 1), case.latent_dim, encoder=encoder, decoder=decoder)
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


def test_pixels_are_drawn_alike_in_pytorch():
    torch = pytest.importorskip("torch")
    from benchmarks.rivals import torch_pixelcnn

    draws = np.random.default_rng(0)
    uniforms = draws.random(1000, np.float32)
    for num_outputs, likelihood in ((1, heads.Bernoulli()), (256, heads.Categorical(256))):
        logits = draws.normal(size=(1000, num_outputs), scale=3.0).astype(np.float32)
        expected = likelihood.sample_from_uniforms(tf.constant(logits), uniforms[:, None])[:, 0]
        values = torch_pixelcnn.draw(torch.from_numpy(logits), torch.from_numpy(uniforms))
        np.testing.assert_array_equal(values.numpy(), expected)


def turn(images):
    """Images `(batch, height, width, channels)` turned by half a turn."""
    return images[:, ::-1, ::-1]


def copy_weights(network, module):
    """Give a PyTorch module the trainable weights of a Keras network, half a turn apart."""
    import torch

    with torch.no_grad():
        for variable, parameter in zip(
            network.trainable_variables, module.parameters(), strict=True
        ):
            parameter.copy_(torch.from_numpy(as_torch(variable, variable.numpy(), network)))


def as_torch(variable, values, network):
    """Values of a Keras variable in PyTorch's order of axes, half a turn apart."""
    if values.ndim == 4:
        # Height, width, then in, out; of a transposed convolution out, in: reversed both times.
        return values[::-1, ::-1].transpose(3, 2, 0, 1).copy()
    if values.ndim == 1:
        return values.copy()
    if network.name == "discriminator":
        rows = values.reshape(4, 4, 128)[::-1, ::-1].transpose(2, 0, 1)
        return rows.reshape(1, -1).copy()
    columns = values.reshape(-1, 4, 4, 128)[:, ::-1, ::-1].transpose(3, 1, 2, 0)
    return columns.reshape(-1, len(values)).copy()
