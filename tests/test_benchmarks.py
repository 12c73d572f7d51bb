"""The benchmark runs, without PyTorch; how fast anything is, no test can say."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import kgen
from benchmarks import interleaved, memory, sampling, training
from benchmarks.rivals import keras_pixelcnn, keras_wgan_gp
from kgen import heads, networks
from kgen.adversarial import penalties


def test_quick_benchmark_of_the_keras_contenders(tmp_path, capsys):
    output = tmp_path / "results.json"
    config = training.Config(quick=True, libraries="kgen,keras", batch_size=4, output=str(output))
    training.main(config)
    results = json.loads(output.read_text())["results"]
    names = {"kgen", "kgen, 10 steps a call", "bare Keras"}
    xla = {"kgen, XLA", "kgen, XLA, 10 steps a call", "bare Keras, XLA"}
    assert set(results["convolutional VAE"]["images_per_second"]) == names
    assert set(results["dense VAE"]["images_per_second"]) == names | xla
    for result in results.values():
        assert all(len(speeds) == 2 for speeds in result["images_per_second"].values())
    assert "kgen / bare Keras" in capsys.readouterr().out


def test_peak_memory(tmp_path, capsys):
    output = tmp_path / "memory.json"
    config = memory.Config(
        dataset="digits", splits="train[:256]", batch_sizes="64,128", output=str(output)
    )
    memory.main(config)
    rows = json.loads(output.read_text())["results"]
    assert [row["batch_size"] for row in rows] == [128, 64]
    # TensorFlow alone takes hundreds of megabytes.
    assert all(row["peak_megabytes"] > 100 for row in rows)
    assert "digits train[:256]" in capsys.readouterr().out


FAMILIES = {
    "wgan_gp": ("WGAN-GP", {"kgen", "kgen, XLA", "kgen, 10 steps a call", "bare Keras"}),
    "pixelcnn": ("PixelCNN", {"kgen", "kgen, 10 steps a call", "bare Keras"}),
}


@pytest.mark.parametrize("libraries", ["kgen,keras", "torch"])
@pytest.mark.parametrize("family", FAMILIES)
def test_quick_benchmark_of_a_family(family, libraries, tmp_path, monkeypatch, capsys):
    if libraries == "torch":
        pytest.importorskip("torch")
        # Compiling takes a minute.
        monkeypatch.setenv("CXX", "no-compiler")
    output = tmp_path / "results.json"
    options = dict(quick=True, batch_size=4, threads=1, output=str(output))
    training.main(training.Config(family=family, libraries=libraries, **options))
    case, names = FAMILIES[family]
    result = json.loads(output.read_text())["results"][case]
    assert set(result["images_per_second"]) == (
        names if libraries == "kgen,keras" else {"PyTorch eager"}
    )
    printed = capsys.readouterr().out
    assert (
        "kgen / bare Keras" if libraries == "kgen,keras" else "torch.compile is left"
    ) in printed


@pytest.fixture(scope="module")
def wgan_gp():
    """The benchmark's model, its batch statistics and biases away from where they start."""
    (case,) = training.WGAN_GP_CASES.values()
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


def test_pytorch_wgan_gp_is_the_same_function_with_equal_weights(wgan_gp):
    torch = pytest.importorskip("torch")
    from benchmarks.rivals import torch_wgan_gp

    images = training.synthetic_images(6)
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

    critic_loss = torch_wgan_gp.critic_loss(
        generator, critic, turned, noise, torch.from_numpy(mixing)
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
    images = training.synthetic_images(6)
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


def test_pytorch_pixelcnn_is_the_same_function_with_equal_weights(pixelcnn):
    torch = pytest.importorskip("torch")
    from benchmarks.rivals import torch_pixelcnn

    module = torch_pixelcnn.PixelCNN(256, filters=8, num_blocks=2, head_filters=16)
    torch_pixelcnn.copy_weights(pixelcnn.network, module)
    pairs = torch_pixelcnn.convolutions(pixelcnn.network, module)
    masks = {part: getattr(part, "mask", torch.ones(())) for _, part in pairs}
    with torch.no_grad():
        for part, mask in masks.items():
            # What a mask hides must not matter.
            part.weight += (1.0 - mask) * torch.randn_like(part.weight)
    images = training.synthetic_images(4, num_levels=256)
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
    images = training.synthetic_images(4, num_levels=256)
    bare = keras_pixelcnn.PixelCNN(pixelcnn.network)
    bare.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    logs = bare.train_step(tf.constant(images))
    # The same operations; only the sums are taken in another order.
    expected = tf.reduce_mean(pixelcnn.objective(images)["loss"])
    np.testing.assert_allclose(logs["loss"], expected, rtol=1e-5)


def test_the_images_of_the_benchmark_are_on_their_levels():
    for num_levels in (2, 256):
        images = training.synthetic_images(8, num_levels)
        levels = images * (num_levels - 1)
        # Off by the rounding of float32.
        np.testing.assert_allclose(levels, np.rint(levels), atol=1e-4)
        assert levels.min() == 0.0 and images.max() == 1.0
        assert len(np.unique(images)) > 0.9 * num_levels


def test_quick_benchmark_of_sampling(tmp_path, monkeypatch, capsys):
    # Compiling takes a minute.
    monkeypatch.setenv("CXX", "no-compiler")
    output = tmp_path / "results.json"
    sampling.main(sampling.Config(quick=True, threads=1, output=str(output)))
    results = json.loads(output.read_text())["results"]
    assert set(results["differing_pixels"]) >= {"kgen, cached", "kgen, cached, XLA", "kgen, naive"}
    # PyTorch's too, where it is installed.
    assert not any(results["differing_pixels"].values())
    # Two turns before and after each slow contender, one turn of the slow one.
    num_slow = len(results["seconds"]) - 2
    assert [len(turns) for turns in results["seconds"]["kgen, cached"]] == [2 * num_slow + 2] * 2
    assert [len(turns) for turns in results["seconds"]["kgen, naive"]] == [1, 1]
    rows = {(row["name"], row["side"]) for row in results["growth"]}
    assert rows == {
        (name, side) for name in ("kgen, cached", "kgen, cached, XLA") for side in (4, 8, 16)
    } | {("kgen, naive", 4), ("kgen, naive", 8)}
    # The current rows, with some columns of padding, and the rows above: linear in the width.
    sizes = [row["cache_bytes_an_image"] for row in results["memory"]]
    assert sizes[2] - sizes[1] == 2 * (sizes[1] - sizes[0]) > 0
    printed = capsys.readouterr().out
    assert "kgen, naive / kgen, cached, XLA" in printed


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


def test_times_are_compared_within_a_round_by_medians():
    seconds = {
        "kgen, cached": [[1.0, 2.0, 9.0], [1.0, 1.0, 1.0]],
        "kgen, cached, XLA": [[0.5, 0.5, 0.5], [0.1, 0.1, 0.1]],
        "kgen, naive": [[60.0], [40.0]],
    }
    rows = list(sampling.compare(seconds))
    assert [row["by_round"] for row in rows] == [[30.0, 40.0], [120.0, 400.0]]
    assert sampling.verdict(rows[0]) == "goal 30: met in all rounds"
    assert (
        sampling.verdict({**rows[0], "by_round": [29.0, 28.0]}) == "goal 30: MISSED in all rounds"
    )
    assert "no verdict, met in 1 of 2" in sampling.verdict({**rows[0], "by_round": [29.0, 31.0]})


def test_fast_contenders_have_their_turns_between_slow_ones(monkeypatch):
    # A second each with TensorFlow's objects around.
    monkeypatch.setattr(interleaved.gc, "collect", lambda: None)
    order = []
    fast, slow = (
        {name: lambda name=name: order.append(name) for name in names} for names in ("ab", "XY")
    )
    seconds = interleaved.seconds_between(fast, slow, 2, 2)
    assert "".join(order) == "ababXababYabab" + "babaYbabaXbaba"
    assert [len(turns) for turns in seconds["a"]] == [6, 6]
    assert [len(turns) for turns in seconds["X"]] == [1, 1]


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


def test_ratios_are_taken_round_by_round():
    speeds = {"a": [10.0, 100.0, 30.0], "b": [10.0, 50.0, 60.0]}
    ratio = interleaved.ratio(speeds, "a", "b")
    assert ratio == dict(median=1.0, lower_quartile=0.75, upper_quartile=1.5)
    assert interleaved.fastest(speeds, ["a", "b"]) == "b"


def test_every_contender_is_warmed_up_and_every_second_round_is_reversed():
    order = []
    contenders = {name: lambda name=name: order.append(name) for name in "ab"}
    interleaved.seconds_by_round(contenders, 2)
    assert "".join(order) == "ab" + "ab" + "ba"


@pytest.mark.parametrize(
    "median, lower, upper, expected",
    [
        (0.98, 0.97, 0.99, "goal 0.97: met"),
        (0.95, 0.94, 0.96, "goal 0.97: MISSED"),
        (0.98, 0.96, 0.99, "goal 0.97: met, but the goal lies between the quartiles"),
        (1.5, 1.2, 1.9, "goal 0.97: no verdict, the quartiles are too far apart: run again"),
    ],
)
def test_verdict_says_when_the_spread_hides_the_answer(median, lower, upper, expected):
    row = dict(median=median, lower_quartile=lower, upper_quartile=upper, goal=0.97)
    assert training.verdict(row) == expected


def test_unknown_library_lists_those_that_exist():
    with pytest.raises(ValueError, match="kgen, keras, torch"):
        training.main(training.Config(libraries="caffe"))
