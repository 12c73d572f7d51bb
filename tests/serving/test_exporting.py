"""What an export must be for TF Serving to serve it."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import kgen
from kgen import quantities, serving
from kgen.endpoints import Endpoint
from kgen.serving import graphs, model_card, warmup
from kgen.serving.endpoints import trace_endpoints
from kgen.specs import Images, Labels, Values
from tests.serving.stand_in import IMAGE_SHAPE, LATENT_DIM, Endpoints, StandIn, single

SIGNATURES = {"encode", "decode", "sample", "sample_png"}


def images(num_rows, seed=0):
    return np.random.default_rng(seed).random((num_rows, *IMAGE_SHAPE), np.float32)


def seeds(num_rows):
    return np.stack([np.arange(num_rows), 7 * np.arange(num_rows) - 5], 1).astype(np.int32)


def test_layout(version_dir):
    assert version_dir.name == "1"
    names = {path.name for path in version_dir.iterdir()}
    assert {"saved_model.pb", "variables", "assets.extra"} <= names
    assert {path.name for path in version_dir.parent.iterdir()} == {"1", ".last_version"}


def test_weights_are_stored_once(model, version_dir):
    weights = sum(w.numpy().nbytes for net in (model.encoder, model.decoder) for w in net.weights)
    # Without Dropout's seed state, which no endpoint reads.
    parameters = weights - sum(w.numpy().nbytes for w in model.encoder.weights if "seed" in w.path)
    stored = sum(path.stat().st_size for path in (version_dir / "variables").glob("*.data*"))
    assert parameters <= stored < 1.05 * parameters + 2**14


def test_storing_weights_twice_is_noticed(tmp_path, model, monkeypatch):
    archive = keras.export.ExportArchive

    def tracking(*args):
        result = archive(*args)
        result.track(model.encoder)
        result.track(model.decoder)
        return result

    monkeypatch.setattr(keras.export, "ExportArchive", tracking)
    with pytest.raises(RuntimeError, match="stored once"):
        serving.export(model, tmp_path, check=False)
    assert not list(tmp_path.iterdir())


def test_signatures_are_batchable_and_float32_int32_uint8_or_string(version_dir):
    signatures = serving.read_signatures(version_dir)
    assert set(signatures) == SIGNATURES | {"serving_default"}
    allowed = {tf.float32, tf.int32, tf.uint8, tf.string}
    for signature in signatures.values():
        assert signature.method_name == "tensorflow/serving/predict"
        for info in (*signature.inputs.values(), *signature.outputs.values()):
            assert tf.dtypes.as_dtype(info.dtype) in allowed
            assert info.tensor_shape.dim[0].size == -1


def test_serving_default_is_the_first_endpoint(version_dir):
    inputs = {"images": images(3)}
    results = serving.run_signatures(version_dir, {"serving_default": inputs, "encode": inputs})
    np.testing.assert_array_equal(*[results[name]["latents"] for name in results])


def test_graph_has_no_stateful_randomness_python_or_forced_xla(version_dir):
    from tensorflow.core.protobuf import saved_model_pb2

    content = (version_dir / "saved_model.pb").read_bytes()
    graph_def = saved_model_pb2.SavedModel.FromString(content).meta_graphs[0].graph_def
    functions = graph_def.library.function
    nodes = [node for function in functions for node in function.node_def]
    assert not [n.name for n in nodes if n.op.startswith("Random") or "seed2" in n.attr]
    assert not [n.name for n in nodes if "PyFunc" in n.op]
    assert not [f.signature.name for f in functions if f.attr["_XlaMustCompile"].b]
    assert [n.name for n in nodes if n.op.startswith("StatelessRandom")]


def test_unusual_batch_sizes_equal_python(model, version_dir):
    sizes = (1, 2, 3, 5, 17)
    latents = np.random.default_rng(1).normal(size=(17, LATENT_DIM)).astype(np.float32)
    requests = [
        request
        for size in sizes
        for request in (
            ("encode", {"images": images(size)}),
            ("decode", {"latents": latents[:size]}),
            ("sample", {"seed": seeds(size)}),
            ("sample_png", {"seed": seeds(size)}),
        )
    ]
    results = [next(iter(item.values())) for item in serving.run_requests(version_dir, requests)]
    # float32 sums in another order: a few units in the last place.
    close = dict(rtol=1e-5, atol=1e-6)
    for i, size in enumerate(sizes):
        codes, decoded, samples, pngs = results[4 * i : 4 * i + 4]
        np.testing.assert_allclose(codes, model.encode(images(size))["latents"], **close)
        np.testing.assert_allclose(decoded, model.decode(latents[:size])["images"], **close)
        np.testing.assert_allclose(samples, model.sample(seeds(size))["images"], **close)
        for png, sample in zip(pngs, samples, strict=True):
            levels = tf.io.decode_png(png).numpy()
            assert levels.shape == IMAGE_SHAPE
            # Rounding to a level is half of 1/255, and a float at the middle may go either way.
            assert np.abs(levels / 255.0 - sample).max() <= 0.5 / 255 + 1e-5


def test_a_row_is_the_same_alone_in_a_batch_and_padded(version_dir):
    rows, pixels = seeds(5), images(5)
    padded = [np.concatenate([x[:2], np.repeat(x[:1], 6, 0)]) for x in (rows, pixels)]
    requests = []
    for given_rows, given_pixels in [(rows, pixels), (rows[1:2], pixels[1:2]), padded]:
        requests.append(("sample", {"seed": given_rows}))
        requests.append(("encode", {"images": given_pixels}))
    results = [next(iter(item.values())) for item in serving.run_requests(version_dir, requests)]
    for batch, alone, padded in (results[0::2], results[1::2]):
        # Matrix products block their sums by batch size: the last digits may differ.
        np.testing.assert_allclose(batch[1], alone[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(batch[1], padded[1], rtol=1e-5, atol=1e-6)
    assert np.abs(results[0][0] - results[0][1]).max() > 1e-3, "each seed row has its own sample"


def test_warmup_has_a_valid_record_for_each_signature_and_batch_size(version_dir):
    from tensorflow_serving.apis import prediction_log_pb2

    path = version_dir / warmup.WARMUP_FILE
    signatures = serving.read_signatures(version_dir)
    requests, sizes = [], {name: [] for name in signatures}
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        name = request.model_spec.signature_name
        assert request.model_spec.name == "stand_in"
        arrays = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
        for key, info in signatures[name].inputs.items():
            assert request.inputs[key].dtype == info.dtype
            assert arrays[key].shape[1:] == tuple(d.size for d in info.tensor_shape.dim[1:])
            sizes[name].append(len(arrays[key]))
        requests.append((name, arrays))
    assert all(found == [1, 8, 32] for found in sizes.values())
    for (_, arrays), outputs in zip(
        requests, serving.run_requests(version_dir, requests), strict=True
    ):
        assert {len(x) for x in outputs.values()} == {len(x) for x in arrays.values()}


def test_synthesized_inputs():
    specs = [
        tf.TensorSpec((None, 2, 3), tf.float32, name="latents"),
        tf.TensorSpec((None, 4, 4, 1), tf.float32, name="images"),
        tf.TensorSpec((None, 2), tf.int32, name="seed"),
        tf.TensorSpec((None,), tf.int32, name="label"),
        tf.TensorSpec((None,), tf.string, name="image_bytes"),
        tf.TensorSpec((None, 2), tf.uint8, name="levels"),
    ]
    one, four = (warmup.synthesize_inputs(specs, size) for size in (1, 4))
    for name, value in four.items():
        np.testing.assert_array_equal(value[:1], one[name])
    assert 0 <= four["latents"].min() and four["latents"].max() <= 1
    # On the levels of every likelihood.
    assert set(four["images"].flat) == {0.0, 1.0}
    np.testing.assert_array_equal(four["seed"], [[0, 0], [0, 1], [0, 2], [0, 3]])
    np.testing.assert_array_equal(four["label"], [0, 0, 0, 0])
    assert tf.io.decode_png(four["image_bytes"][0]).shape == (1, 1, 1)


def test_model_card_records_versions_and_signatures(version_dir):
    card = json.loads((version_dir / model_card.MODEL_CARD_FILE).read_text())
    assert card == model_card.read(version_dir)
    assert card["versions"] == {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "kgen": kgen.__version__,
    }
    assert set(card["signatures"]) == SIGNATURES
    assert card["signatures"]["sample"]["inputs"] == {
        "seed": {
            "dtype": "int32",
            "shape": [None, 2],
            "description": "any two integers: the same row draws the same sample",
            "unit": "1",
            "minimum": -(2**31),
            "maximum": 2**31 - 1,
        }
    }
    images = card["signatures"]["decode"]["outputs"]["images"]
    assert (images["minimum"], images["maximum"], images["shape"][1:]) == (0, 1, [*IMAGE_SHAPE])
    assert card["signatures"]["sample_png"]["outputs"]["images_bytes"]["dtype"] == "string"


def test_model_card_holds_metrics_and_config(tmp_path):
    model = single(lambda x: {"y": x})
    metrics = {"elbo": {"value": np.float32(-1.5), "by_step": {2: np.nan}, "protocol": "mean"}}
    config = {"seed": np.int64(3), "filters": (1, 2), "path": tmp_path, "limit": float("inf")}
    version_dir = serving.export(model, tmp_path, check=False, metrics=metrics, config=config)
    card = model_card.read(version_dir)
    assert card["metrics"] == {"elbo": {"value": -1.5, "by_step": {"2": None}, "protocol": "mean"}}
    assert card["config"] == {
        "seed": 3,
        "filters": [1, 2],
        "path": str(tmp_path),
        "limit": None,
    }
    assert card["signatures"]["run"]["inputs"] == {"x": {"dtype": "float32", "shape": [None, 3]}}


def test_the_model_card_says_what_the_specs_of_an_endpoint_mean(tmp_path):
    def run(pictures, kinds, temperature, x):
        return {"images": pictures, "codes": kinds, "log_prob": temperature, "y": x}

    inputs = {
        "pictures": Images((2, 2, 1), num_levels=4),
        "kinds": Labels(10, meaning="kind of shoe"),
        "temperature": Values((), meaning=quantities.QUANTITIES["temperature"]),
        "x": Values((3,)),
    }
    outputs = {
        "images": inputs["pictures"],
        "codes": quantities.Quantity("an entry of the codebook", minimum=0, maximum=511),
    }
    model = Endpoints(run=Endpoint(run, inputs, outputs))
    card = model_card.read(serving.export(model, tmp_path, warmup_batch_sizes=[2]))
    signature = card["signatures"]["run"]
    said = signature["inputs"]
    assert said["pictures"]["num_levels"] == signature["outputs"]["images"]["num_levels"] == 4
    assert (said["kinds"]["minimum"], said["kinds"]["maximum"]) == (0, 9)
    assert said["kinds"]["description"] == "the kind of shoe"
    assert said["temperature"]["exclusiveMinimum"] == 0
    assert said["x"] == {"dtype": "float32", "shape": [None, 3]}
    said = signature["outputs"]
    assert said["codes"]["maximum"] == 511
    # A name says what is meant where the model does not.
    assert said["log_prob"]["unit"] == "nats"
    assert said["y"] == {"dtype": "float32", "shape": [None, 3]}


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_is_float32_at_the_boundary(tmp_path, policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = StandIn()
        version_dir = serving.export(model, tmp_path, warmup_batch_sizes=[2])
        for signature in serving.read_signatures(version_dir).values():
            for info in (*signature.inputs.values(), *signature.outputs.values()):
                assert info.dtype in (1, 3, 7)
        traced = trace_endpoints(model)
    finally:
        keras.config.set_dtype_policy(before)
    encode, sample = (traced[i].concrete_function.graph.as_graph_def() for i in (0, 2))
    assert graphs.is_half_precision(encode)
    assert graphs.is_random(sample) and not graphs.is_random(encode)


def test_uint8_int32_and_string_inputs_and_outputs_run(tmp_path):
    specs = [
        tf.TensorSpec((None, 2), tf.uint8, name="levels"),
        tf.TensorSpec((None,), tf.string, name="image_bytes"),
        tf.TensorSpec((None,), tf.int32, name="label"),
        tf.TensorSpec((None,), tf.float32, name="temperature"),
    ]

    def run(levels, image_bytes, label, temperature):
        return {
            "levels": levels + 1,
            "bytes": tf.strings.join([image_bytes, tf.strings.as_string(label)]),
            "label": label + 1,
            "scaled": temperature * 2,
        }

    version_dir = serving.export(single(run, *specs), tmp_path)
    long = b"\x00" + bytes(range(256)) * 3 + b"\x00"
    inputs = {
        "levels": np.array([[1, 2], [3, 4], [5, 6]], np.uint8),
        # Not an array of NumPy's own strings, which lose zeros at the end.
        "image_bytes": [b"", b"short\x00", long],
        "label": np.array([1, -2, 3], np.int32),
        "temperature": np.array([0.5, 1, 2], np.float32),
    }
    outputs = serving.run_signatures(version_dir, {"run": inputs})["run"]
    np.testing.assert_array_equal(outputs["levels"], inputs["levels"] + 1)
    assert outputs["bytes"].tolist() == [b"1", b"short\x00-2", long + b"3"]
    np.testing.assert_array_equal(outputs["label"], [2, -1, 4])
    np.testing.assert_array_equal(outputs["scaled"], [1, 2, 4])
    with pytest.raises(ValueError, match="takes the inputs"):
        serving.run_signatures(version_dir, {"run": {"levels": inputs["levels"]}})
    with pytest.raises(ValueError, match=r"No signature 'walk'.*\['run', 'serving_default'\]"):
        serving.run_signatures(version_dir, {"walk": inputs})


def test_export_after_training_reads_the_current_weights(tmp_path):
    bias = tf.Variable([1.0, 2.0, 3.0])
    model = single(lambda x: {"y": x + bias})
    serving.export(model, tmp_path, check=False)
    bias.assign_add(tf.ones(3))
    second = serving.export(model, tmp_path, warmup_batch_sizes=[1])
    assert second.name == "2"
    inputs = {"run": {"x": np.zeros((2, 3), np.float32)}}
    before, after = (serving.run_signatures(tmp_path / name, inputs)["run"]["y"] for name in "12")
    np.testing.assert_array_equal(before, [[1, 2, 3]] * 2)
    np.testing.assert_array_equal(after, [[2, 3, 4]] * 2)


def test_png_levels_and_channels():
    images = np.linspace(-0.5, 1.5, 2 * 3 * 5 * 3, dtype=np.float32).reshape(2, 3, 5, 3)
    for channels in (1, 3):
        part = images[..., :channels]
        decoded = np.stack([tf.io.decode_png(x) for x in serving.encode_png(part).numpy()])
        np.testing.assert_array_equal(decoded, np.round(np.clip(part, 0, 1) * np.float32(255)))
    assert serving.encode_png(images[:0]).shape == (0,)
    for shape in [(2, 3, 5, 2), (2, 3, 5, 4), (3, 5, 1)]:
        with pytest.raises(ValueError, match="1\\) for gray or"):
            serving.encode_png(np.zeros(shape, np.float32))


def test_warmup_batch_sizes_are_checked(tmp_path, model):
    for wrong in ([], [0], [1.5]):
        with pytest.raises(ValueError, match="positive integers"):
            serving.export(model, tmp_path, warmup_batch_sizes=wrong)
    with pytest.raises(ValueError, match="1000 warm-up requests"):
        serving.export(model, tmp_path, warmup_batch_sizes=range(1, 202))
    assert not list(tmp_path.iterdir())
