"""TF Serving's configuration files: written, parsed strictly, and those of the repository."""

import inspect
import pathlib
import runpy
import sys

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from tensorflow_serving.config import model_server_config_pb2

from kgen import serving
from kgen.serving import configuration
from kgen.serving.local import configuration as local_configuration

COMMITTED = pathlib.Path(__file__).parents[2] / "saved_models"
FILES = ("models.config", "batching.config", "monitoring.config")

# tensorflow_serving/servables/tensorflow/session_bundle_config.proto and
# config/monitoring_config.proto, whose Python modules tensorflow-serving-api leaves out:
# message -> field -> (number, type).
MESSAGES = {
    "Value": {"value": (1, "int64")},
    "BatchingParameters": {
        "max_batch_size": (1, "Value"),
        "batch_timeout_micros": (2, "Value"),
        "max_enqueued_batches": (3, "Value"),
        "num_batch_threads": (4, "Value"),
        "allowed_batch_sizes": (6, "repeated int64"),
        "pad_variable_length_inputs": (7, "bool"),
    },
    "PrometheusConfig": {"enable": (1, "bool"), "path": (2, "string")},
    "MonitoringConfig": {"prometheus_config": (1, "PrometheusConfig")},
}


@pytest.fixture(scope="module")
def messages():
    """The messages, made from `MESSAGES`."""
    file = descriptor_pb2.FileDescriptorProto(name="of_tf_serving.proto", syntax="proto3")
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, (number, kind) in fields.items():
            field = message.field.add(name=field_name, number=number)
            field.label = kinds.LABEL_REPEATED if "repeated" in kind else kinds.LABEL_OPTIONAL
            kind = kind.removeprefix("repeated ")
            if kind in MESSAGES:
                field.type, field.type_name = kinds.TYPE_MESSAGE, kind
            else:
                field.type = getattr(kinds, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in MESSAGES
    }


def check(folder, messages, *, models, base_path):
    """Parses the three files of a folder and compares what they say."""
    config = model_server_config_pb2.ModelServerConfig()
    text_format.Parse((folder / "models.config").read_text(), config)
    found = [(item.name, item.base_path) for item in config.model_config_list.config]
    assert found == [(name, f"{base_path}/{name}") for name in models]

    batching = messages["BatchingParameters"]()
    text_format.Parse((folder / "batching.config").read_text(), batching)
    default = inspect.signature(serving.export).parameters["warmup_batch_sizes"].default
    assert tuple(batching.allowed_batch_sizes) == tuple(default)
    # The server refuses to start otherwise.
    assert batching.allowed_batch_sizes[-1] == batching.max_batch_size.value

    monitoring = messages["MonitoringConfig"]()
    text_format.Parse((folder / "monitoring.config").read_text(), monitoring)
    assert monitoring.prometheus_config.enable
    assert monitoring.prometheus_config.path == "/monitoring/prometheus/metrics"


def publish(folder, *names):
    for name in names:
        (folder / name / "1").mkdir(parents=True)


def test_the_files_of_the_repository_serve_the_readme_s_recipe(messages, tmp_path):
    check(COMMITTED, messages, models=["vae"], base_path="/models")
    # They are what the command writes.
    publish(tmp_path, "vae")
    configuration.write(tmp_path)
    for name in FILES:
        assert (COMMITTED / name).read_text() == (tmp_path / name).read_text()


def test_the_command_lists_what_is_published(messages, tmp_path, monkeypatch, capsys):
    publish(tmp_path, "wgan_gp", "vae")
    (tmp_path / "training" / ".tmp-1").mkdir(parents=True)
    # As `python -m` runs it, without another import of TensorFlow.
    monkeypatch.setattr(sys, "argv", ["configuration", str(tmp_path), f"--base_path={tmp_path}"])
    monkeypatch.delitem(sys.modules, configuration.__name__)
    runpy.run_module(configuration.__name__, run_name="__main__")
    assert capsys.readouterr().out == f"{tmp_path}: vae, wgan_gp\n"
    check(tmp_path, messages, models=["vae", "wgan_gp"], base_path=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == sorted(FILES)

    # The development server reads the same file.
    found = local_configuration.from_file(tmp_path / "models.config")
    assert [(item.name, item.base_path) for item in found] == [
        ("vae", tmp_path / "vae"),
        ("wgan_gp", tmp_path / "wgan_gp"),
    ]
    assert [list(item.find_versions()) for item in found] == [[1], [1]]


def test_other_batch_sizes(messages, tmp_path):
    publish(tmp_path, "vae")
    configuration.write(tmp_path, batch_sizes=[2, 64], num_threads=1)
    batching = messages["BatchingParameters"]()
    text_format.Parse((tmp_path / "batching.config").read_text(), batching)
    assert list(batching.allowed_batch_sizes) == [2, 64] and batching.max_batch_size.value == 64
    assert batching.num_batch_threads.value == 1


@pytest.mark.parametrize(
    "options, message",
    [
        ({"base_path": "models"}, "base_path: expected an absolute path, received 'models'"),
        ({"batch_sizes": []}, "batch_sizes: expected"),
        ({"batch_sizes": [8, 1]}, "batch_sizes: expected"),
        ({"batch_sizes": [0, 1]}, "batch_sizes: expected"),
        ({"num_threads": 0}, "num_threads: expected"),
    ],
)
def test_refusals_change_nothing(tmp_path, options, message):
    publish(tmp_path, "vae")
    with pytest.raises(ValueError, match=message):
        configuration.write(tmp_path, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["vae"]


def test_a_folder_without_models_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no published model"):
        configuration.write(tmp_path)
    with pytest.raises(FileNotFoundError):
        configuration.write(tmp_path / "nowhere")
