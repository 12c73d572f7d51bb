"""What cannot be served is refused with the endpoint and the remedy, and nothing is written."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen import serving
from kgen.serving import integrity
from tests.serving.stand_in import Endpoints, StandIn, single


def x(shape=(None, 3), dtype=tf.float32, name="x"):
    return tf.TensorSpec(shape, dtype, name=name)


def double(x):
    return {"y": 2 * x}


BOUNDARIES = {
    "float16 input": (single(double, x(dtype=tf.float16)), "input 'x': dtype float16"),
    "int64 input": (single(double, x(dtype=tf.int64)), "input 'x': dtype int64"),
    "bfloat16 output": (
        single(lambda x: {"y": tf.cast(x, tf.bfloat16)}),
        "output 'y': dtype bfloat16.*cast inside",
    ),
    "bool output": (single(lambda x: {"y": x > 0}), "output 'y': dtype bool"),
    "scalar input": (
        single(lambda x, n: {"y": x}, x(), x((), tf.int32, "n")),
        "input 'n': expected rank 1 or more",
    ),
    "fixed batch of an input": (single(double, x((4, 3))), "input 'x': dimension 0 .* fixed to 4"),
    "open inner dimension": (single(double, x((None, None))), "only dimension 0 may be open"),
    "fixed batch of an output": (
        single(lambda x: {"y": tf.zeros((5, 2))}),
        "output 'y': dimension 0 .* fixed to 5",
    ),
    "scalar output": (single(lambda x: {"y": tf.reduce_sum(x)}), "output 'y': expected rank 1"),
    "unknown rank": (
        single(lambda x: {"y": tf.reshape(x, tf.shape(x)[: tf.shape(x)[0]])}),
        "tf.ensure_shape",
    ),
    "nameless input": (single(double, x(name=None)), "has no name"),
    "inputs of one name": (single(lambda x, y: {"y": x}, x(), x()), "unlike names"),
    "odd name": (single(double, x(name="a/b")), "letters, digits"),
    "no input": (Endpoints(run=(lambda: {"y": tf.zeros((2,))}, [])), "unlike names"),
    "reserved name": (Endpoints(serving_default=(double, [x()])), "put the natural default first"),
    "no endpoint": (Endpoints(), "no endpoint"),
    "Python loop": (
        single(lambda x: {"y": [row for row in x][0]}),
        "cannot be traced.*tf.while_loop",
    ),
}


@pytest.mark.parametrize("case", BOUNDARIES)
def test_boundary(tmp_path, case):
    model, message = BOUNDARIES[case]
    with pytest.raises(ValueError, match=f"(?s){message}"):
        serving.export(model, tmp_path / "base")
    assert not list((tmp_path / "base").iterdir())


@pytest.mark.parametrize(
    "model", [keras.Sequential(), single(lambda x: 2 * x), single(lambda x: {"y": None})]
)
def test_wrong_types(tmp_path, model):
    with pytest.raises(TypeError, match="endpoints|dict of tensors|not a tensor"):
        serving.export(model, tmp_path)
    assert not list(tmp_path.iterdir())


def in_a_loop(body):
    """Hides an op in the function library: inside the body of a while loop in a function."""

    @tf.function(autograph=False)
    def run(x):
        _, y = tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y + body(y)), (0, x))
        return y

    return single(lambda x: {"y": run(x)})


counter = tf.Variable(0.0)
generator = tf.random.Generator.from_seed(1)
dropout = keras.layers.Dropout(0.5)
normalization = keras.layers.BatchNormalization()
normalization.build((None, 3))
OPERATIONS = {
    "tf.random.normal": (lambda x: tf.random.normal(tf.shape(x)), "stateful random numbers"),
    "tf.random.uniform": (lambda x: tf.random.uniform(tf.shape(x), seed=1), "stateful random"),
    "shuffle": (lambda x: tf.random.shuffle(x), "stateful random"),
    "tf.random.Generator": (lambda x: generator.normal(tf.shape(x)), "stateful random|write"),
    "dropout in training": (lambda x: dropout(x, training=True), "write to a variable"),
    "batch statistics": (lambda x: normalization(x, training=True), "write to a variable"),
    "counter": (lambda x: x + counter.assign_add(1.0), "write to a variable"),
    "py_function": (
        lambda x: tf.ensure_shape(tf.py_function(np.copy, [x], tf.float32), (None, 3)),
        "server",
    ),
    "numpy_function": (
        lambda x: tf.ensure_shape(tf.numpy_function(np.copy, [x], tf.float32), (None, 3)),
        "server",
    ),
    "jit_compile": (tf.function(lambda x: 2 * x, jit_compile=True), "XLA compilation disabled"),
}


@pytest.mark.parametrize("where", ["at the top", "in a loop"])
@pytest.mark.parametrize("case", OPERATIONS)
def test_operation(tmp_path, case, where):
    body, message = OPERATIONS[case]
    model = single(lambda x: {"y": body(x)}) if where == "at the top" else in_a_loop(body)
    with pytest.raises(ValueError, match=message):
        serving.export(model, tmp_path)
    assert not list(tmp_path.iterdir())


def test_nan_weights_are_refused(tmp_path):
    model = StandIn()
    model.decoder.layers[0].bias.assign(np.full(200, np.nan, np.float32))
    with pytest.raises(ValueError, match="1 weights hold NaN"):
        serving.export(model, tmp_path)
    assert not list(tmp_path.iterdir())


def test_nan_outputs_are_refused(tmp_path):
    with pytest.raises(ValueError, match="'run', output 'y', batch size 1: NaN"):
        serving.export(single(lambda x: {"y": tf.math.log(-x)}), tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_export_that_computes_something_else_is_refused(tmp_path, monkeypatch):
    given = integrity._run_in_python

    def shifted(endpoint, arrays):
        return {key: value + np.float32(0.01) for key, value in given(endpoint, arrays).items()}

    monkeypatch.setattr(integrity, "_run_in_python", shifted)
    with pytest.raises(ValueError, match="'run', output 'y'.*differs from Python's"):
        serving.export(single(double), tmp_path)
    assert not list(tmp_path.iterdir())


def test_rows_lost_inside_are_refused(tmp_path):
    model = single(lambda x: {"y": tf.boolean_mask(x, tf.range(tf.shape(x)[0]) < 3)})
    with pytest.raises(ValueError, match="batch size 8: expected 8 rows, received 3"):
        serving.export(model, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "mix",
    [
        lambda x: x - tf.reduce_mean(x, axis=0, keepdims=True),
        lambda x: tf.cumsum(x, axis=0, reverse=True),
        lambda x: x + tf.cast(tf.shape(x)[0], tf.float32),
    ],
)
def test_rows_that_depend_on_other_rows_are_refused(tmp_path, mix):
    with pytest.raises(ValueError, match="'run', .*'y': a row's result depends on the rows beside"):
        serving.export(single(lambda x: {"y": mix(x)}), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_model_that_python_loads_and_the_server_does_not_is_refused(tmp_path, model):
    module = tf.Module()
    module.model = model.decoder
    module.run = tf.function(lambda x: {"y": model.decoder(x)}, input_signature=[x((None, 4))])
    tf.saved_model.save(module, str(tmp_path), signatures={"run": module.run})
    given = np.zeros((1, 4), np.float32)
    with pytest.raises(RuntimeError, match="C\\+\\+ loader"):
        serving.run_signatures(tmp_path, {"run": {"x": given}})


def test_difference():
    a = np.array([1.0, -200.0, np.inf], np.float32)
    assert not integrity.difference(a, a * np.float32(1 + 5e-5), 1e-4)
    assert "is allowed" in integrity.difference(a, a * np.float32(1 + 5e-4), 1e-4)
    assert "infinite" in integrity.difference(a, -a, 1e-4)
    assert "instead of" in integrity.difference(a, a[:2], None)
    assert not integrity.difference(a, -a, None)
    levels = np.array([3, 255], np.uint8)
    assert not integrity.difference(levels, levels - np.uint8(1), 1e-4)
    assert integrity.difference(levels, levels - np.uint8(2), 1e-4)
    assert integrity.difference(np.array([3], np.int32), np.array([4], np.int32), 1e-4)
    png = [serving.encode_png(np.full((1, 2, 2, 1), v / 255)).numpy() for v in (7, 8, 9)]
    assert not integrity.difference(png[0], png[1], 1e-4)
    assert "strings [0]" in integrity.difference(png[0], png[2], 1e-4)
    assert "strings [0]" in integrity.difference(png[0], np.array([b"text"], object), 1e-4)
