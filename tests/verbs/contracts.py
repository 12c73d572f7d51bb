"""Which contracts a model has to keep, and the endpoints of all of them against their verbs.

Each module here holds `VERB`, the promise, and `check(model, x, y)`. A new verb adds one.
"""

import keras
import numpy as np
import tensorflow as tf

import kgen
from kgen import serving, specs
from kgen.seeds import seed_rows
from kgen.serving import model_card
from kgen.serving.endpoints import trace_endpoints
from verbs import (
    bound,
    completion,
    conditions,
    decoding,
    density,
    discrimination,
    reconstruction,
    representation,
    sampling,
    scoring,
)

MODULES = (
    sampling,
    density,
    completion,
    bound,
    reconstruction,
    decoding,
    representation,
    discrimination,
    scoring,
)
SEED = 7


def of(model):
    """The checks of what a model's class says that it promises."""
    promised = [module for module in MODULES if isinstance(model, module.VERB)]
    if isinstance(model, kgen.VQVAE) and model.prior is None:
        promised.remove(sampling)
    return [module.check for module in promised]


def predicted(model, count=16):
    """What `predict` takes."""
    return keras.tree.map_structure(
        lambda spec: spec.example(count),
        list(model.predict_spec) if isinstance(model.predict_spec, tuple) else model.predict_spec,
    )


def traced(model):
    """Each endpoint, traced, gives what its verb gives."""
    for endpoint in trace_endpoints(model):
        inputs = request(endpoint.endpoint)
        outputs = endpoint.function(*(tf.constant(value) for value in inputs.values()))
        compare(endpoint.name, outputs, by_verb(model, endpoint.name, inputs))


def served(model, directory):
    """Each endpoint of an export, run by the C API, gives what its verb gives in Python."""
    # Its own check does what follows here, at the batch sizes of the warm-up.
    version = serving.export(model, directory, check=False, warmup_batch_sizes=(1,))
    assert version.name == "1"
    for name, signature in model_card.read(version)["signatures"].items():
        for tensors in signature.values():
            assert all("unit" in tensor for tensor in tensors.values()), (name, tensors)
    endpoints = model.endpoints()
    # Another batch size than was traced or checked.
    requests = {name: request(endpoint) for name, endpoint in endpoints.items()}
    joined = sampling.joined(endpoints["sample"]) if "sample" in endpoints else []
    results = serving.run_requests(version, [*requests.items(), *joined])
    for (name, inputs), outputs in zip(requests.items(), results, strict=False):
        if len(outputs) > 1:
            # A signature's outputs have no order; those of the function are its verb's.
            given = (tf.constant(value) for value in inputs.values())
            outputs = {key: outputs[key] for key in endpoints[name].function(*given)}
        compare(name, outputs, by_verb(model, name, inputs))
    if joined:
        sampling.check_joined(model, joined[0][1], results[-1])


def request(endpoint, count=3):
    """Valid inputs whose seeds are those of `seed=SEED` in Python."""
    inputs = endpoint.example(count)
    for name, spec in endpoint.inputs.items():
        if isinstance(spec, specs.Seeds):
            inputs[name] = seed_rows(SEED, count).numpy()
        elif name == "weight":
            inputs[name] = np.linspace(0.0, 1.0, count).astype("float32")
        elif name in ("end", "latents") and spec.dtype == "float32":
            # Not along `start`, nor against it, where a great circle has no direction.
            inputs[name] = 2.0 * spec.example(count, seed=1) - 1.0
    return inputs


def by_verb(model, name, inputs):
    """What Python's verb gives for the inputs of the endpoint of its name."""
    given = dict(inputs)
    seeded = {"seed": SEED} if given.pop("seed", None) is not None else {}
    seeded |= conditions.from_inputs(model, given)
    if name in ("sample", "sample_codes", "sample_png"):
        return model.sample(len(inputs["seed"]), **seeded, **given)
    if name == "interpolate":
        start, end, weight = (given.pop(key) for key in ("start", "end", "weight"))
        path = model.interpolate(start, end=end, num_steps=len(weight), **given, **seeded)
        return tf.stack([path[row, row] for row in range(len(weight))])
    first = given.pop(next(iter(inputs)))
    if name == "complete":
        given["mask"] = given["mask"] > 0
    return getattr(model, name)(first, **given, **seeded)


def compare(name, outputs, expected):
    """The first output, or all where a verb gives several, up to the rounding of kernels."""
    expected = expected if isinstance(expected, tuple) else (expected,)
    for (key, value), wanted in zip(outputs.items(), expected, strict=False):
        if name == "sample_png":
            pictures = [tf.io.decode_png(bytes(png)).numpy() for png in np.asarray(value)]
            levels = np.round(255.0 * np.clip(wanted, 0.0, 1.0))
            # A level's rounding may fall the other way.
            np.testing.assert_allclose(np.stack(pictures).astype(float), levels, atol=1.0)
        else:
            np.testing.assert_allclose(value, wanted, rtol=1e-4, atol=1e-5, err_msg=(name, key))
