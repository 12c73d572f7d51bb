"""What the check refuses, on SavedModels that TensorFlow itself saves without a complaint."""

import json
import re
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen import serving
from kgen.serving import model_card, warmup
from kgen.serving.check import check, main
from tests.serving.stand_in import StandIn, single

WEIGHTS = np.random.default_rng(0).normal(size=(3, 200)).astype(np.float32)


def x(shape=(None, 3), dtype=tf.float32, name="x"):
    return tf.TensorSpec(shape, dtype, name=name)


def save(path, body, *specs, extra=None, **options):
    """A SavedModel of one signature, `run`, that reads one variable."""
    module = tf.Module()
    module.weights = tf.Variable(WEIGHTS, name="weights")
    module.extra = extra
    product = lambda x: x @ module.weights  # noqa: E731
    module.run = tf.function(
        lambda *inputs: body(product, *inputs),
        input_signature=specs or (x(),),
        autograph=False,
        **options,
    )
    tf.saved_model.save(module, str(path), signatures={"run": module.run})
    return path


def good(product, x):
    return {"y": product(x)}


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    return save(tmp_path_factory.mktemp("raw") / "1", good)


@pytest.fixture
def copied(version, tmp_path):
    return shutil.copytree(version, tmp_path / "1")


def refusal(path):
    """The only reason why a version is refused."""
    problems = check(path).problems
    assert len(problems) == 1, problems
    return problems[0]


def test_an_export_is_served(version_dir):
    report = check(version_dir)
    assert report.problems == []
    assert set(report.signatures) == set(report.runs) == set(report.warmup)
    assert all(sizes == [1, 8, 32] for sizes in report.runs.values())
    assert report.weights.used_bytes == report.card["variable_bytes"]
    assert report.weights.stored_bytes == report.weights.used_bytes
    table = str(report)
    assert "can be served" in table and "StandIn" in table and f"keras {keras.__version__}" in table
    row = next(line for line in table.splitlines() if line.startswith("  decode"))
    assert row.split("  ")[1:] != [] and "latents float32[?, 4]" in row
    assert "images float32[?, 9, 7, 1]" in row and row.endswith("1, 8, 32")


def test_a_folder_of_others_is_served_without_card_and_warmup(version, capsys):
    report = check(version)
    assert report.problems == []
    assert report.runs == {"run": [1, 3, 8]}
    assert (report.weights.num_variables, report.weights.used_bytes) == (1, WEIGHTS.nbytes)
    assert "no model card" in str(report) and "0 requests" in str(report)
    assert main([str(version)]) == 0
    assert capsys.readouterr().out == f"{report}\n"


@pytest.mark.parametrize(
    ("body", "specs", "reason"),
    [
        (
            lambda product, x: {"y": product(x) + tf.random.normal((200,))},
            [x()],
            "Endpoint 'run'.*RandomStandardNormal.*stateful random",
        ),
        (
            lambda product, x, n: {"y": product(x) + tf.cast(n, tf.float32)},
            [x(), x((), tf.int32, "n")],
            "Signature 'run', input 'n': expected rank 1 or more",
        ),
        (
            lambda product, x: {"y": tf.cast(product(x), tf.float16)},
            [x()],
            "Signature 'run', output 'y': dtype float16 cannot be served",
        ),
        (
            lambda product, x: {"y": tf.reduce_sum(product(x))},
            [x()],
            "Signature 'run', output 'y': expected rank 1 or more",
        ),
        (
            lambda product, x: {"y": tf.boolean_mask(product(x), x[:, 0] > 0)},
            [x((4, 3))],
            "input 'x': dimension 0 must be the batch",
        ),
        (
            lambda product, x: {"y": product(x[:, :3])},
            [x((None, None))],
            "input 'x': only dimension 0 may be open",
        ),
        (
            lambda product, x: {
                "y": tf.ensure_shape(tf.py_function(np.copy, [product(x)], tf.float32), (None, 200))
            },
            [x()],
            "py_function and tf.numpy_function need this Python process",
        ),
        (
            lambda product, x: {"y": product(x) - tf.reduce_mean(product(x), 0, keepdims=True)},
            [x()],
            "Signature 'run', output 'y': a row's result depends on the rows beside it",
        ),
        (
            lambda product, x: {"y": product(x)[:2]},
            [x()],
            "Signature 'run', output 'y', batch size 3: expected 3 rows, received 2",
        ),
        (
            lambda product, x: {"y": tf.math.log(-tf.abs(product(x)))},
            [x()],
            "Signature 'run', output 'y', batch size 1: NaN",
        ),
        (
            lambda product, x: {"y": tf.reshape(product(x), (-1, 7, 1))[:, 0]},
            [x()],
            "signature 'run': .*[Rr]eshape",
        ),
    ],
    ids=[
        "stateful random op",
        "scalar input",
        "float16 output",
        "scalar output",
        "fixed batch",
        "open inner dimension",
        "py_function",
        "rows mixed",
        "rows lost",
        "NaN",
        "failing",
    ],
)
def test_refused_signature(tmp_path, body, specs, reason):
    problem = refusal(save(tmp_path / "1", body, *specs))
    assert re.search(f"(?s){reason}", problem), problem


@pytest.mark.parametrize("inner", [False, True])
def test_jit_compile_is_refused(tmp_path, inner):
    if inner:
        product = tf.function(lambda x: 2 * x, jit_compile=True)
        path = save(tmp_path / "1", lambda _, x: {"y": product(x)})
        # No variable is used then.
        assert "XLA compilation disabled" in check(path).problems[-1]
    else:
        path = save(tmp_path / "1", good, jit_compile=True)
        assert "XLA compilation disabled" in refusal(path)


def test_a_sound_signature_runs_beside_a_refused_one(tmp_path):
    module = tf.Module()
    sound = tf.function(lambda x: {"y": 2 * x}, input_signature=[x()])
    failing = tf.function(lambda x: {"y": tf.reshape(x, (-1, 7))[:, 0]}, input_signature=[x()])
    module.functions = [sound, failing]
    tf.saved_model.save(module, str(tmp_path), signatures={"a": failing, "b": sound})
    report = check(tmp_path)
    assert "signature 'a'" in report.problems[0] and len(report.problems) == 1
    assert report.runs == {"b": [1, 3, 8]}


def test_weights_stored_twice_are_refused(tmp_path):
    model = StandIn()
    archive = keras.export.ExportArchive()
    archive.track(model.decoder)
    function, signature = model.endpoints()["decode"]
    archive.add_endpoint("decode", tf.function(function, input_signature=signature))
    archive.write_out(str(tmp_path), verbose=False)
    assert "weights are stored twice, such as" in refusal(tmp_path)


def test_weights_that_nothing_reads_are_refused(tmp_path):
    moments = tf.Variable(WEIGHTS + 1)
    problem = refusal(save(tmp_path / "1", good, extra=moments))
    assert "4,800 bytes of variables are stored, but the signatures use 2,400" in problem
    assert "optimizer's moments" in problem


def test_nan_weights_are_refused(tmp_path):
    weights = tf.Variable([1.0, np.nan])
    path = save(
        tmp_path / "1", lambda product, x: {"y": product(x) + 0 * weights[0]}, extra=weights
    )
    assert (
        refusal(path)
        == "The weight 'extra/.ATTRIBUTES/VARIABLE_VALUE' holds NaN: training diverged."
    )


def data_file(path):
    return next((path / "variables").glob("*.data-*"))


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (shutil.rmtree, "The folder does not exist"),
        (lambda path: (path / "saved_model.pb").unlink(), "saved_model.pb is missing"),
        (lambda path: cut(path / "saved_model.pb"), "saved_model.pb is broken or truncated"),
        (lambda path: (path / "saved_model.pb").write_bytes(b""), "no graph with the tag 'serve'"),
        (lambda path: shutil.rmtree(path / "variables"), "variables.index is missing, but"),
        (lambda path: data_file(path).unlink(), "Files of the variables are missing"),
        (lambda path: cut(data_file(path)), "broken or truncated"),
        (lambda path: flip(data_file(path)), "broken or truncated.*Checksum"),
        (lambda path: cut(path / "variables" / "variables.index"), "broken or truncated"),
    ],
)
def test_damaged_files(copied, damage, reason, capsys):
    damage(copied)
    problem = refusal(copied)
    assert re.search(f"(?s){reason}", problem), problem
    assert main([str(copied)]) == 1
    assert f"refused: {problem}" in capsys.readouterr().out


def test_empty_folder_and_base_folder(tmp_path):
    assert "saved_model.pb is missing" in refusal(tmp_path)
    (tmp_path / "10").mkdir()
    (tmp_path / "9").mkdir()
    assert "holds the versions ['9', '10']" in refusal(tmp_path)


def test_no_signature(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path))
    assert "no signature" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("requests", "reason"),
    [
        ([("walk", {"x": np.zeros((1, 3), np.float32)})], "'walk': there is no such signature"),
        ([("run", {"z": np.zeros((1, 3), np.float32)})], "expected the inputs ['x'], received"),
        ([("run", {"x": np.zeros((1, 3), np.int32)})], "is int32[1, 3], expected float32(None, 3)"),
        ([("run", {"x": np.zeros((1, 4), np.float32)})], "is float32[1, 4], expected float32"),
    ],
)
def test_warmup_requests_that_fail_are_refused(copied, requests, reason):
    warmup.write_warmup(copied, requests, model_name="raw")
    assert reason in refusal(copied)


def test_warmup_requests_are_run(copied):
    rows = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
    warmup.write_warmup(copied, [("run", {"x": rows}), ("run", {"x": rows[:2]})], model_name="raw")
    report = check(copied)
    assert report.problems == []
    assert report.warmup == {"run": [5, 2]} and report.runs == {"run": [2, 5]}


def test_a_broken_warmup_file_is_refused(copied):
    warmup.write_warmup(
        copied, [("run", {"x": np.zeros((1, 3), np.float32)})] * 2, model_name="raw"
    )
    path = copied / warmup.WARMUP_FILE
    path.write_bytes(path.read_bytes()[:-3])
    assert "record 1 is broken" in refusal(copied)
    path.write_bytes(b"no record")
    assert "record 0 is broken" in refusal(copied)


def test_the_model_card_is_held_to_its_word(tmp_path):
    version = serving.export(
        single(lambda x: {"probabilities": 2 * tf.abs(x) + 1}), tmp_path, check=False
    )
    problem = check(version).problems[0]
    assert "but the model card says 0.0 to 1.0" in problem
    path = version / model_card.MODEL_CARD_FILE
    card = json.loads(path.read_text())
    card["signatures"] = {"walk": {}}
    path.write_text(json.dumps(card))
    assert refusal(version) == "Signature 'walk' of the model card is missing."
    card["signatures"] = "none"
    path.write_text(json.dumps(card))
    assert check(version).problems == []
    path.write_text("{")
    assert "is no JSON" in refusal(version)
