"""What every model promises, run over `cases.py`."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import CASES, compiled, examples, images

import kgen
from kgen import serving
from kgen.seeds import seed_rows
from kgen.serving import model_card

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
# One model of each base is enough where the bases alone do the work; GANs differentiate gradients.
EACH_BASE = (
    "vae",
    "vqvae",
    "adversarial_autoencoder",
    "gan",
    "wgan_gp",
    "pixelcnn_plus_plus",
    "moco",
    "cpc",
)
each_base = pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.name in EACH_BASE],
    ids=lambda case: case.name,
)


def variables(model):
    return {variable.path: variable.numpy() for variable in model.variables}


@every_case
def test_fit_save_sample(case, tmp_path):
    """One trained model a case: tracing is most of the time, so these share it."""
    model = compiled(case)
    data = examples(case)
    before = variables(model)
    assert len(before) == len(model.variables), "two variables have one path"
    # 10 and 6: the batch size is not known to the graph.
    batches = tf.data.Dataset.from_tensor_slices(data).batch(10)
    history = model.fit(batches, epochs=2, verbose=0).history
    assert set(history) == set(model.metrics_names)
    assert all(np.isfinite(values).all() for values in history.values())
    for variable in model.trainable_variables:
        moved = np.abs(variable.numpy() - before[variable.path]).max() > 0
        assert moved or any(part in variable.path for part in case.still), variable.path
    for variable in model.non_trainable_variables:
        moved = np.abs(variable.numpy() - before[variable.path]).max() > 0
        assert moved == any(part in variable.path for part in case.follows), variable.path

    results = model.evaluate(*data, verbose=0, return_dict=True)
    assert results == model.evaluate(*data, verbose=0, return_dict=True)

    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    assert type(restored) is type(model)
    for mine, theirs in zip(model.variables, restored.variables, strict=True):
        np.testing.assert_array_equal(mine, theirs, err_msg=mine.path)
    for mine, theirs in zip(optimizers(model), optimizers(restored), strict=True):
        assert int(mine.iterations.numpy()) > 0
        for a, b in zip(mine.variables, theirs.variables, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=a.path)
    restored_results = restored.evaluate(*data, verbose=0, return_dict=True)
    # Another graph may sum in another order.
    assert restored_results == pytest.approx(results, rel=1e-5)

    # Both train on alike: the next step draws the same noise and has the same moments.
    for trained in (model, restored):
        trained.fit(*data, batch_size=16, verbose=0, shuffle=False)
    for mine, theirs in zip(model.variables, restored.variables, strict=True):
        # Two graphs of the same step may round differently; a step of Adam moves a weight by 1e-2.
        np.testing.assert_allclose(mine, theirs, atol=1e-4, err_msg=mine.path)
    check_verbs(model, *data)


def optimizers(model):
    if isinstance(model, kgen.AdversarialModel):
        return [model.generator_optimizer, model.discriminator_optimizer]
    return [model.optimizer]


def check_verbs(model, x, labels=None):
    if hasattr(model, "embed"):
        check_embeddings(model, x[0] if isinstance(x, tuple) else x)
        return
    is_gan = hasattr(model, "discriminate")
    judges = {"discriminate", "log_prob"} & set(model.endpoints())
    judges_labels = any(len(model.endpoints()[name][1]) == 2 for name in judges)
    predicted = model.predict([x, labels] if judges_labels else x, verbose=0)
    assert predicted.shape == ((len(x),) if judges else x.shape)
    if hasattr(model, "log_prob"):
        # Another graph may sum in another order.
        np.testing.assert_allclose(predicted, model.log_prob(x, labels=labels), rtol=1e-5)
    if hasattr(model, "complete"):
        known = np.arange(np.prod(x.shape[1:3])).reshape(x.shape[1:3]) % 3 > 0
        completed = model.complete(x, mask=known, labels=labels, seed=3).numpy()
        np.testing.assert_array_equal(completed[:, known], x[:, known])
    if hasattr(model, "sample"):
        first = model.sample(5, seed=3).numpy()
        assert first.shape == (5, *x.shape[1:])
        assert x.ndim == 2 or (0.0 <= first.min() and first.max() <= 1.0)
        # Row by row: the first rows do not depend on how many are asked for. Matrix products of
        # another size may round differently.
        np.testing.assert_allclose(model.sample(2, seed=3), first[:2], atol=1e-5)
        assert np.abs(model.sample(5, seed=4).numpy() - first).max() > 0
    if is_gan:
        ends = np.random.RandomState(0).normal(size=(2, 2, model.latent_dim)).astype("float32")
        given = {} if labels is None else {"labels": labels[:2]}
        path = model.interpolate(*ends, num_steps=3, **given).numpy()
        np.testing.assert_allclose(path[:, 0], model.decode(ends[0], **given), atol=1e-5)
        np.testing.assert_allclose(path[:, -1], model.decode(ends[1], **given), atol=1e-5)
    elif hasattr(model, "interpolate"):
        # Where images are drawn, with equal noise.
        given = {"seed": 3} if "seed" in inspect.signature(model.reconstruct).parameters else {}
        path = model.interpolate(x[:2], end=x[2:4], num_steps=3, **given).numpy()
        np.testing.assert_allclose(path[:, 0], model.reconstruct(x[:2], **given), atol=1e-5)
        np.testing.assert_allclose(path[:, -1], model.reconstruct(x[2:4], **given), atol=1e-5)
    if hasattr(model, "elbo"):
        many = np.mean([model.elbo(x, seed=seed) for seed in range(20)])
        tight = model.importance_weighted_bound(x, num_samples=64, seed=0).numpy().mean()
        # 20 one-sample estimates of 16 images against 64 samples: the bound grows with K, up to
        # the estimates' own noise.
        assert tight > many - 0.5


def check_embeddings(model, x):
    embeddings = model.embed(x).numpy()
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, atol=1e-5)
    # Another graph may sum in another order.
    np.testing.assert_allclose(model.predict(x, verbose=0), embeddings, atol=1e-5)


@every_case
def test_served_as_in_python(case, tmp_path):
    """Export, then load through the C API at another batch size than was traced or checked."""
    model = case.build()
    version = serving.export(model, tmp_path / "model")
    assert version.name == "1"
    for name, signature in model_card.read(version)["signatures"].items():
        for tensors in signature.values():
            assert all("unit" in tensor for tensor in tensors.values()), (name, tensors)
    requests, expected = {}, {}
    for name, (function, signature) in model.endpoints().items():
        inputs = {spec.name: example_input(spec, case) for spec in signature}
        requests[name] = inputs
        if name == "sample":
            # The verb itself: a seed gives the same samples here and there.
            given = {key: value for key, value in inputs.items() if key != "seed"}
            inputs["seed"] = seed_rows(7, 3).numpy()
            expected[name] = {"images": model.sample(3, seed=7, **given)}
        else:
            expected[name] = function(*(tf.constant(value) for value in inputs.values()))
    joined, parts = join_two_seeds(model, case) if "sample" in requests else ([], {})
    results = serving.run_requests(version, [*requests.items(), *joined])
    served = dict(zip(requests, results, strict=False))
    for (start, stop), alone in parts.items():
        # Another batch size: other kernels may round differently in the last digits.
        together = results[-1]["images"][start:stop]
        np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)
    for name, outputs in expected.items():
        for key, value in outputs.items():
            if value.dtype == tf.string:
                assert [bytes(png)[:4] for png in served[name][key]] == [b"\x89PNG"] * 3
            else:
                # The server's kernels may round differently in the last digits.
                np.testing.assert_allclose(served[name][key], value, rtol=1e-4, atol=1e-5)


def join_two_seeds(model, case):
    """A request for samples as the server makes it of two, and what each of them gets alone."""
    inputs = {
        spec.name: example_input(spec, case)[np.arange(8) % 3]
        for spec in model.endpoints()["sample"][1]
    }
    # The first row again, up to a batch that is allowed.
    seeds = [seed_rows(7, 3), seed_rows(8, 2), [[7, 0]] * 3]
    inputs["seed"] = np.concatenate(seeds).astype("int32")
    parts = {}
    for seed, start, stop in ((7, 0, 3), (8, 3, 5)):
        given = {key: value[start:stop] for key, value in inputs.items() if key != "seed"}
        parts[start, stop] = model.sample(stop - start, seed=seed, **given)
    return [("sample", inputs)], parts


def example_input(spec, case, count=3):
    if spec.shape[1:] == case.image_shape and spec.dtype == tf.float32:
        return images(case, count, seed=1)
    if spec.dtype == tf.int32:
        return (
            np.arange(count * np.prod(spec.shape[1:]))
            .reshape(count, *spec.shape[1:])
            .astype("int32")
            % 4
        )
    return np.random.RandomState(1).uniform(size=(count, *spec.shape[1:])).astype("float32")


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@each_base
def test_mixed_precision(case, policy, tmp_path):
    keras.config.set_dtype_policy(policy)
    model = compiled(case)
    data = examples(case)
    history = model.fit(*data, batch_size=8, epochs=2, verbose=0).history
    assert all(np.isfinite(values).all() for values in history.values())
    assert np.isfinite(model.predict(images(case), verbose=0)).all()
    assert all(variable.dtype == "float32" for variable in model.trainable_variables)
    if policy == "mixed_float16":
        assert all(
            isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
            for optimizer in optimizers(model)
        )
    model.save(tmp_path / "model.keras")
    keras.config.set_dtype_policy("float32")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    assert restored.dtype_policy.name == policy
    for mine, theirs in zip(model.variables, restored.variables, strict=True):
        np.testing.assert_array_equal(mine, theirs, err_msg=mine.path)


@each_base
def test_xla(case):
    model = compiled(case, jit_compile=True)
    history = model.fit(*examples(case), batch_size=8, verbose=0).history
    assert all(np.isfinite(values).all() for values in history.values())
