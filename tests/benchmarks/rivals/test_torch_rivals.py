"""PyTorch's rivals are the same functions as kgen's models, given the same weights and noise."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import kgen
from benchmarks import cases, probes
from benchmarks.cases import FAMILIES, synthetic_images
from benchmarks.rivals import kgen as ours
from kgen import heads
from kgen.losses import penalties

# What the rivals' own packages warn of is theirs.
pytestmark = pytest.mark.filterwarnings("ignore")
SHAPE = (28, 28, 1)


def moved(model):
    """The model with its weights away from where they start."""
    draws = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign_add(draws.normal(size=variable.shape, scale=0.05).astype(np.float32))
    return model


def check_gradients(expected, tape, pairs, loss, in_order):
    """The gradients of two losses agree, relative to the largest of a tensor."""
    import torch

    gradients = tape.gradient(expected, [variable.value for variable, _ in pairs])
    received = torch.autograd.grad(loss, [parameter for _, parameter in pairs])
    for (variable, _), gradient, other in zip(pairs, gradients, received, strict=True):
        gradient = in_order(variable, gradient.numpy())
        # A Wasserstein critic's last bias has none.
        scale = np.abs(gradient).max() or 1.0
        np.testing.assert_allclose(
            other.numpy() / scale, gradient / scale, atol=1e-3, err_msg=variable.path
        )


def copy(pairs, in_order):
    import torch

    with torch.no_grad():
        for variable, parameter in pairs:
            parameter.copy_(torch.from_numpy(in_order(variable, variable.numpy())))


def to_torch(images):
    import torch

    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def vae_order(variable, values):
    """A kernel, matrix or vector in PyTorch's order; 7 x 7 x 64 maps are flattened by channel."""
    if values.ndim == 4:
        return values.transpose(3, 2, 0, 1).copy()
    order = np.arange(7 * 7 * 64).reshape(7, 7, 64).transpose(2, 0, 1).ravel()
    for axis, size in enumerate(values.shape):
        if size == len(order):
            values = values.take(order, axis)
    return values.T.copy()


@pytest.mark.parametrize("library", ["torch", "pythae"])
@pytest.mark.parametrize("name", FAMILIES["vae"])
def test_vaes(name, library, rival, monkeypatch):
    module, case = rival(library, "vae"), FAMILIES["vae"][name]
    import torch

    model = moved(ours.model(case, SHAPE))
    vae = rival("torch", "vae").model(case)
    pairs = []
    for network, part in ((model.encoder, vae.encoder), (model.decoder, vae.decoder)):
        pairs += zip(network.trainable_variables, part.parameters(), strict=True)
    copy(pairs, vae_order)
    images = synthetic_images(6)
    posterior = model.posterior(model.encoder(images))
    latents = posterior.sample(seed=model.noise_seed(True))
    noise = torch.from_numpy(((latents - posterior.mean()) / posterior.stddev()).numpy())
    monkeypatch.setattr(torch, "randn_like", lambda like: noise)

    class WithLogVariance(torch.nn.Module):
        """Pythae has a log variance where kgen has a softplus: here both mean the same."""

        def forward(self, images):
            loc, scale = vae.posterior(images)
            return torch.cat([loc, 2.0 * scale.log()], dim=-1)

    if library == "pythae":
        theirs = module.model(case, WithLogVariance(), vae.decoder)
        loss = theirs({"data": to_torch(images)})["loss"]
    else:
        loss = vae(to_torch(images))
    with tf.GradientTape() as tape:
        expected = tf.reduce_mean(model.objective(images, training=True)["loss"])
    # Sums of 784 pixels in float32, in another order.
    np.testing.assert_allclose(loss.item(), expected, rtol=1e-5)
    check_gradients(expected, tape, pairs, loss, vae_order)


def turned_order(network):
    """As PyTorch has the values of a DCGAN's variables, half a turn apart."""

    def in_order(variable, values):
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

    return in_order


@pytest.mark.parametrize("slope_of", ["slope_by_autograd", "slope_by_func"])
def test_wgan_gp(slope_of, rival):
    module, (case,) = rival("torch", "wgan_gp"), FAMILIES["wgan_gp"].values()
    import torch

    model, images = moved(ours.model(case, SHAPE)), synthetic_images(6)
    latents = torch.from_numpy(model.latents(6, model.noise_seed(True)).numpy())
    ones, zeros = (tf.fill((6, 1, 1, 1), value) for value in (1.0, 0.0))
    mixing = penalties._between(ones, zeros, model.noise_seed(True, salt=1)).numpy()
    generator, critic = module.generator(case.latent_dim), module.critic()
    noise = generator, critic, to_torch(images[:, ::-1, ::-1]), latents, torch.from_numpy(mixing)
    players = (
        (model.discriminator, critic, model.discriminator_objective),
        (model.generator, generator, model.generator_objective),
    )
    for network, part, _ in players:
        pairs = zip(network.trainable_variables, part.parameters(), strict=True)
        copy(pairs, turned_order(network))
    losses = (
        module.critic_loss(getattr(module, slope_of), *noise),
        module.generator_loss(generator, critic, latents),
    )
    for (network, part, objective), loss in zip(players, losses, strict=True):
        with tf.GradientTape() as tape:
            expected = tf.reduce_mean(objective(images, training=True)["loss"])
        # Float32 sums of some thousand products, in another order.
        np.testing.assert_allclose(loss.item(), expected, rtol=1e-4, atol=1e-5)
        pairs = list(zip(network.trainable_variables, part.parameters(), strict=True))
        check_gradients(expected, tape, pairs, loss, turned_order(network))


@pytest.mark.parametrize("convolution", ["MaskedConv2d", "CroppedConv2d"])
def test_pixelcnn(convolution, rival):
    module = rival("torch", "pixelcnn")
    import torch

    network = kgen.networks.pixelcnn(SHAPE, 256, filters=8, num_blocks=2)
    model = moved(kgen.PixelCNN(network, likelihood=heads.Categorical(256)))
    theirs = module.network(256, filters=8, num_blocks=2, convolution=getattr(module, convolution))
    module.copy_weights(network, theirs)
    with torch.no_grad():
        for _, part in module.convolutions(network, theirs):
            if hasattr(part, "mask"):
                # What a mask hides must not matter.
                part.weight += (1.0 - part.mask) * torch.randn_like(part.weight)
    images = synthetic_images(4, num_levels=256)
    with tf.GradientTape() as tape:
        expected = tf.reduce_mean(model.objective(images, training=True)["loss"])
    loss = module.loss(theirs, to_torch(images))
    np.testing.assert_allclose(loss.item(), expected, rtol=1e-5)
    loss.backward()
    variables = model.trainable_variables
    gradients = tape.gradient(expected, [variable.value for variable in variables])
    gradients = {v.path: g.numpy() for v, g in zip(variables, gradients, strict=True)}
    for layer, part in module.convolutions(network, theirs):
        above = None if layer.above_kernel is None else gradients[layer.above_kernel.path]
        kernel = module.full_kernel(layer, above, gradients[layer.row_kernel.path])
        for mine, other in ((kernel, part.weight), (gradients[layer.bias.path], part.bias)):
            scale = np.abs(mine).max()
            np.testing.assert_allclose(other.grad.numpy() / scale, mine / scale, atol=1e-4)


def test_pixelcnn_of_the_benchmark_has_the_sizes_of_kgen(rival):
    module = rival("torch", "pixelcnn")
    (make_network,) = ours.NETWORKS["pixelcnn"]
    for layer, part in module.convolutions(make_network(SHAPE, 256), module.network(256)):
        assert (layer.kernel_size[1], layer.filters) == (part.kernel_size[1], part.out_channels)
        assert layer.row_kernel.shape[2] == part.in_channels


def test_pixels_are_drawn_alike(rival):
    module = rival("torch", "pixelcnn")
    import torch

    draws = np.random.default_rng(0)
    uniforms = draws.random(1000, np.float32)
    for num_outputs, likelihood in ((1, heads.Bernoulli()), (256, heads.Categorical(256))):
        logits = draws.normal(size=(1000, num_outputs), scale=3.0).astype(np.float32)
        expected = likelihood.sample_from_uniforms(tf.constant(logits), uniforms[:, None])[:, 0]
        values = module.draw(torch.from_numpy(logits), torch.from_numpy(uniforms))
        np.testing.assert_array_equal(values.numpy(), expected)


def simclr_order(variable, values):
    """A kernel half a turn away, or a matrix transposed, or a vector."""
    if values.ndim == 4:
        return values[::-1, ::-1].transpose(3, 2, 0, 1).copy()
    return values.T.copy()


def test_simclr(rival):
    module, (case,) = rival("torch", "simclr"), FAMILIES["simclr"].values()
    import torch

    model, theirs = moved(ours.model(case, SHAPE)), module.SimCLR()
    kinds = (
        (keras.layers.Conv2D, torch.nn.Conv2d),
        (keras.layers.Dense, torch.nn.Linear),
        (keras.layers.BatchNormalization, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)),
    )
    pairs = []
    for network, part in ((model.encoder, theirs.encoder), (model.projector, theirs.projector)):
        for mine, other in kinds:
            layers = [layer for layer in network.layers if isinstance(layer, mine)]
            layers.sort(key=lambda layer: (len(layer.name), layer.name))
            parts = [found for found in part.modules() if isinstance(found, other)]
            for layer, found in zip(layers, parts, strict=True):
                pairs += zip(layer.trainable_variables, found.parameters(), strict=True)
    assert len(pairs) == len(model.trainable_variables) == len(list(theirs.parameters()))
    copy(pairs, simclr_order)
    images = synthetic_images(12, num_levels=256)
    with tf.GradientTape() as tape:
        pair = images[:6], images[6:]
        expected = tf.reduce_mean(model.objective(pair, training=True)["loss"])
    loss = module.loss(theirs, *(to_torch(x[:, ::-1, ::-1]) for x in pair))
    # Float32 sums of some thousand products through nine normalizations, in another order.
    np.testing.assert_allclose(loss.item(), expected, rtol=1e-4)
    check_gradients(expected, tape, pairs, loss, simclr_order)


def test_loss_of_lightly_is_that_of_pytorch_by_hand(rival):
    module = rival("lightly", "simclr")
    import torch

    pair = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 5, 7)).astype(np.float32))
    expected = rival("torch", "simclr").nt_xent(*pair)
    np.testing.assert_allclose(module.NTXentLoss(module.TEMPERATURE)(*pair), expected, rtol=1e-5)


def test_views_of_pytorch_are_crops_mirrored_and_jittered(rival):
    module = rival("torch", "simclr")
    import torch

    torch.manual_seed(0)
    ramp = ((torch.arange(28) + 0.5) / 28).expand(200, 1, 28, 28).contiguous()
    # A crop of a ramp is a ramp: its slope is the crop's width, its sign whether it is mirrored.
    rows = module.view(ramp, jittered=0.0)[:, 0].numpy()
    slopes = 28 * np.diff(rows[:, 0, 2:-2], axis=1)
    np.testing.assert_allclose(slopes, np.repeat(slopes[:, :1], slopes.shape[1], axis=1), atol=1e-3)
    widths = np.abs(slopes[:, 0])
    # A quarter of the area at a ratio of 3/4 is the narrowest.
    assert np.sqrt(0.25 * 0.75) - 1e-3 <= widths.min() < 0.5 and 0.9 < widths.max() <= 1.0 + 1e-3
    # A fair coin, 200 times: four standard deviations.
    assert abs(np.mean(slopes[:, 0] > 0) - 0.5) < 0.15
    # Without a crop or a mirror left to see in a constant image: plus U(-0.4, 0.4) for 80 %.
    moved = module.view(torch.full((2000, 1, 4, 4), 0.5))[:, 0, 0, 0].numpy() - 0.5
    assert abs(np.mean(np.abs(moved) > 1e-6) - 0.8) < 0.04
    assert -0.4 <= moved.min() < -0.39 and 0.39 < moved.max() <= 0.4


CONTENDERS = {
    ("torch", "vae"): 2,
    ("torch", "wgan_gp"): 2,
    ("torch", "pixelcnn"): 2,
    ("torch", "simclr"): 1,
    ("pythae", "vae"): 1,
    ("lightly", "simclr"): 3,
}


@pytest.mark.parametrize("library, family", CONTENDERS)
def test_contenders_train(library, family, rival, monkeypatch):
    rival(library, family)
    # Compiling takes a minute.
    monkeypatch.setenv("CXX", "no-compiler")
    *_, case = FAMILIES[family].values()
    images, trained = synthetic_images(8, case.num_levels), []
    for contender in cases.contenders(library, case, images, 4).values():
        try:
            assert np.all(np.isfinite(contender.make()()))
            trained.append(contender.name)
        except cases.LeftOut as reason:
            assert contender.compiled and "it needs a C++ compiler" in str(reason)
    assert len(trained) == CONTENDERS[library, family]


def test_memory_of_a_step_of_pytorch_is_measured_without_tensorflow(rival):
    rival("torch", "vae")
    script = (
        "import sys; from benchmarks import probes; found = probes.step_memory('torch', 'vae', "
        "'dense VAE', 'PyTorch eager', 8); print('tensorflow' in sys.modules, found['step'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    imported, step = done.stdout.split()[-2:]
    # Weights of 1.1 million numbers, their gradients and Adam's two moments: 16 bytes each.
    assert imported == "False" and float(step) > 16 * 1.1


def test_memory_of_a_step_grows_with_the_batch():
    how = dict(library="keras", family="vae", case="dense VAE", contender="bare Keras")
    small, large = (probes.step_memory(batch_size=size, **how) for size in (8, 1024))
    # Float32 activations of 784 + 512 + 256 units on both sides, at the least.
    assert large["step"] - small["step"] > 4e-6 * 1016 * (784 + 512 + 256)
    assert large["process"] > large["step"]
