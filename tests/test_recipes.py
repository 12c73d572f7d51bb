"""Recipes: a tiny run of each form of `main`, a step of the others, flags, and a resumed run."""

import ast
import dataclasses
import importlib
import inspect
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kgen import callbacks, data, experiment, serving
from kgen.serving import model_card

ROOT = pathlib.Path(__file__).parent.parent
RECIPES = sorted({path.stem for path in (ROOT / "recipes").glob("*.py")} - {"table", "table_rows"})

# After the training these do what the recipe at the right does, of which the whole `main` is run.
LIKE = {
    "byol": "simclr",
    "conditional_gan": "gan",
    "cpc": "simclr",
    "dcgan": "gan",
    "exemplar": "simclr",
    "made": "gated_pixelcnn",
    "moco": "simclr",
    "nade": "gated_pixelcnn",
    "pixel_rnn": "gated_pixelcnn",
    "pixel_vae": "vae",
    "pixelcnn": "gated_pixelcnn",
    "pixelcnn_plus_plus": "gated_pixelcnn",
    "wgan_gp": "gan",
}


def tiny(name, tmp_path, **changes):
    """A recipe and its tiny configuration, with folders of the test's own."""
    module = importlib.import_module(f"recipes.{name}")
    folders = dict(run_dir=str(tmp_path / "run"), export_dir=str(tmp_path / "saved_models"))
    return module, dataclasses.replace(module.TINY, **folders, **changes)


@pytest.fixture(scope="module")
def classifier_dir(tmp_path_factory):
    """Where the classifier that gives the features is kept: it is trained once for all recipes."""
    return str(tmp_path_factory.mktemp("classifiers"))


# After the three steps of a tiny run every projection looks collapsed.
@pytest.mark.filterwarnings("ignore:The representation has collapsed:RuntimeWarning")
@pytest.mark.parametrize("name", sorted(set(RECIPES) - set(LIKE)))
def test_tiny(name, classifier_dir, tmp_path):
    module, config = tiny(name, tmp_path)
    if hasattr(config, "classifier_dir"):
        config = dataclasses.replace(config, classifier_dir=classifier_dir)
    module.main(config)
    results = tmp_path / "saved_models" / name
    written = json.loads((results / "metrics.json").read_text())
    assert all(
        np.isfinite(metric["value"]) and metric["protocol"] and metric["data"]
        for metric in written["metrics"].values()
    )
    assert written["config"]["seed"] == config.seed
    card = model_card.read(results / "1")
    assert card["config"] == written["config"] and card["metrics"] == written["metrics"]
    model = keras.saving.load_model(results / f"{name}.keras")
    if name == "simclr":
        check_embeddings(model, results)
    else:
        check_samples(model, results)
    if name == "vae":  # A second run trains anew and adds a version.
        module.main(config)
        assert serving.list_versions(results) == [1, 2]


class Trained(Exception):
    """Ends a `main` after its first step."""


@pytest.mark.parametrize("name", LIKE)
def test_a_step(name, tmp_path, monkeypatch):
    def a_step(model, batches, config, *, pictures, **arguments):
        history = model.fit(batches.take(1), verbose=0).history
        assert all(np.isfinite(values).all() for values in history.values())
        raise Trained

    monkeypatch.setattr(experiment, "train", a_step)
    # Both come before the training, and are run in the recipe that this one is like.
    monkeypatch.setattr(experiment, "probes", lambda *arguments, seed: {})
    monkeypatch.setattr(experiment, "classifier_features", lambda config: None)
    module, config = tiny(name, tmp_path)
    with pytest.raises(Trained):
        module.main(config)
    assert after_training(name) <= after_training(LIKE[name])


def after_training(name):
    """The statements of a recipe's `main` after the training, without names and protocols."""
    main = importlib.import_module(f"recipes.{name}").main
    text = inspect.getsource(main).replace(f'"{name}"', '"name"').replace(", len(images))", ")")
    statements = [ast.unparse(statement) for statement in ast.parse(text).body[0].body]
    (training,) = (i for i, one in enumerate(statements) if "experiment.train(" in one)
    return {one for one in statements[training + 1 :] if not one.startswith("protocol =")}


def check_embeddings(model, results):
    """The pictures, the projector's files, and the served index of neighbours."""
    for picture in ("embedding.png", "views.png"):
        assert (results / picture).stat().st_size > 0
    assert (results.parent.parent / "run" / "tensors.tsv").stat().st_size > 0
    images = np.random.RandomState(0).uniform(size=(3, *model.image_shape)).astype("float32")
    inputs = {"images": images}
    served = serving.run_signatures(results / "1", {"embed": inputs, "neighbours": inputs})
    np.testing.assert_allclose(served["embed"]["embeddings"], model.embed(images), atol=1e-4)
    assert served["neighbours"]["labels"].shape == (3, 10)
    assert np.all(np.diff(served["neighbours"]["similarities"]) <= 0)


def check_samples(model, results):
    """The picture of samples, and that the served model draws what Python draws."""
    assert (results / "samples.png").stat().st_size > 0
    endpoint = model.endpoints()["sample"]
    inputs, labels = {"seed": np.array([[3, 0]], "int32")}, {}
    if "labels" in endpoint.inputs:
        inputs["labels"], labels = np.array([1], "int32"), {"condition": [1]}
    if "temperature" in endpoint.inputs:
        inputs["temperature"] = np.ones(1, "float32")
    served = serving.run_signatures(results / "1", {"sample": inputs})["sample"]
    (drawn,) = served.values()
    # The served kernels may round differently in the last digits.
    np.testing.assert_allclose(drawn, model.sample(1, seed=3, **labels), atol=1e-4)


def write_images(folder, mode="L", classes=("",)):
    for split in ("train", "test"):
        for name in classes:
            (folder / split / name).mkdir(parents=True)
            for index in range(2):
                Image.new(mode, (8, 8)).save(folder / split / name / f"{index}.png")


@pytest.mark.parametrize("name", sorted(set(RECIPES) - {"mode_collapse", "table_vae"}))
def test_colour_by_default(name, tmp_path):
    """The default networks of a recipe take colour, from a folder as from a name."""
    write_images(tmp_path / "images", "RGB", ("cat", "dog"))
    module, config = tiny(
        name,
        tmp_path,
        dataset=f"image_folder/size=8,source={tmp_path / 'images'}",
        data_dir=str(tmp_path / "tfds"),
    )
    named = {"gan_ablation": ("dcgan", "baseline"), "exemplar": (4,)}.get(name, ())
    defaults = type(config)(dataset=config.dataset, data_dir=config.data_dir)
    model = module.build(defaults, *named)
    shapes = [spec.shape for spec in keras.tree.flatten(model.data_spec)]
    assert (8, 8, 3) in shapes
    assert experiment.data_name(config) == "images"


def test_samples_of_data_without_labels_are_measured_on_random_features(tmp_path, capsys):
    write_images(tmp_path / "images", "RGB")
    _, config = tiny(
        "gan",
        tmp_path,
        dataset=f"image_folder/size=8,source={tmp_path / 'images'}",
        data_dir=str(tmp_path / "tfds"),
    )
    features = experiment.classifier_features(config)
    assert features.classifier is None and "untrained" in features.extractor.protocol
    assert features.extractor.output_shape == (None, 128)
    assert "images has no classes" in capsys.readouterr().out


def test_data_without_labels_are_refused_before_the_training(tmp_path, monkeypatch):
    write_images(tmp_path / "images")

    def fit(self, *arguments, **keywords):
        raise AssertionError("It trained first.")

    monkeypatch.setattr(keras.Model, "fit", fit)
    module, config = tiny(
        "infogan",
        tmp_path,
        dataset=f"image_folder/size=8,channels=1,source={tmp_path / 'images'}",
        data_dir=str(tmp_path / "tfds"),
        batch_size=2,
    )
    with pytest.raises(ValueError, match="no labels|no single integer label"):
        module.main(config)


def test_ablation_counts_steps_and_not_epochs(tmp_path):
    """Five steps end within the second epoch of three; a second run has nothing left to train."""
    module, config = tiny("gan_ablation", tmp_path, batch_size=500, generator_steps=5)
    weights = []
    for _ in range(2):
        model = module.build(config, "dcgan", "baseline")
        module.train(model, callbacks.BackupAndRestore(tmp_path), config)
        assert int(model.optimizer.iterations) == 5
        weights.append(model.get_weights())
    for first, second in zip(*weights, strict=True):
        np.testing.assert_array_equal(first, second)


def test_augmentation_compares_what_it_says():
    """Two classes that one pixel tells apart; generated images that have it the other way round."""
    module = importlib.import_module("recipes.gan_augmentation")
    draws = np.random.default_rng(0)
    labels = np.array([0, 1] * 20)
    images = draws.random((40, 2, 2, 1)).astype("float32")
    images[:, 0, 0, 0] = labels

    class Model:
        def sample(self, num_samples, condition, seed):
            assert num_samples == len(condition)
            wrong = np.zeros((num_samples, 2, 2, 1), "float32")
            wrong[:, 0, 0, 0] = 1 - condition
            return tf.constant(wrong)

    metrics = module.accuracies(Model(), (images, labels), (images, labels), module.TINY)
    values = {name: metric["value"] for name, metric in metrics.items()}
    assert values["accuracy_real"] == 1.0 and values["accuracy_generated"] == 0.0
    assert values["gain_generated"] == -1.0 and metrics["gain_generated"]["standard_error"] == 0.0
    assert values["gain_both"] == values["accuracy_both"] - 1.0


def command(name, *flags):
    return [sys.executable, str(ROOT / "recipes" / f"{name}.py"), *flags]


def test_help_explains_the_flags():
    done = subprocess.run(command("vae", "--help"), capture_output=True, text=True, timeout=120)
    assert "--latent_dim" in done.stdout and "size of the latent vector" in done.stdout
    # An inherited flag with a default of the recipe's own keeps its words.
    assert "checkpoint and TensorBoard logs" in done.stdout and "'runs/vae'" in done.stdout


def test_a_resumed_run_must_agree_on_what_the_training_depends_on():
    module = importlib.import_module("recipes.vae")
    changed = {
        field.name: experiment.fingerprint(dataclasses.replace(module.TINY, **{field.name: "new"}))
        for field in dataclasses.fields(module.TINY)
    }
    same = {name for name, text in changed.items() if text == experiment.fingerprint(module.TINY)}
    assert same == {"run_dir", "export_dir", "data_dir", "bound_samples"}


@pytest.mark.parametrize(
    ("binarize", "shuffle", "changes"),
    [("dynamic", True, True), ("dynamic", False, False), ("fixed", True, False)],
)
def test_images_to_measure_on_are_drawn_once(binarize, shuffle, changes):
    """The share of white pixels of all images is that of one draw, whatever the order."""
    config = importlib.import_module("recipes.vae").TINY
    batches = experiment.load(config, "test", shuffle=shuffle, binarize=binarize)
    whites = []
    for epoch in range(2):
        data.set_epoch(epoch)
        whites.append(sum(np.sum(batch) for batch in batches))
    assert (whites[0] != whites[1]) == changes


@pytest.mark.parametrize(
    "flag, message",
    [
        ("--dataset=digit", "digits"),
        ("--likelihood=bernouli", "continuous_bernoulli"),
        ("--latent_dim=0", "latent_dim"),
        ("--strategy=tpu", "multi_worker"),
    ],
)
def test_bad_flags_say_what_exists(flag, message, tmp_path):
    name, value = flag[2:].split("=")
    module, config = tiny("vae", tmp_path)
    value = type(getattr(config, name))(value)
    config = dataclasses.replace(config, **{name: value})
    with pytest.raises((ValueError, KeyError), match=message):
        module.main(config)
    assert not list(tmp_path.rglob("saved_model.pb"))


def test_killed_and_resumed_ends_with_the_same_weights(tmp_path):
    """SIGKILL after two of five epochs; the second start finishes. The same as an unbroken run."""
    flags = ["--network=dense", "--latent_dim=2", "--epochs=5", "--bound_samples=2"]
    flags += ["--binarize=dynamic", "--likelihood=bernoulli", "--kl_warmup_epochs=3"]
    weights = []
    for name in ("whole", "broken"):
        where = [f"--run_dir={tmp_path / name / 'run'}"]
        where += [f"--export_dir={tmp_path / name / 'saved_models'}"]
        if name == "broken":
            kill_after_epoch(command("vae", *flags, *where), 2, tmp_path / "log")
            assert not (tmp_path / name / "saved_models" / "vae" / "1").exists()
        done = subprocess.run(
            command("vae", *flags, *where), capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr[-2000:]
        if name == "broken":
            assert "Epoch 1/5" not in done.stdout and "Epoch 5/5" in done.stdout
        path = tmp_path / name / "saved_models" / "vae" / "vae.keras"
        weights.append(keras.saving.load_model(path).variables)
    for whole, broken in zip(*weights, strict=True):
        np.testing.assert_array_equal(whole, broken, err_msg=whole.path)


def kill_after_epoch(arguments, epoch, log):
    with open(log, "w") as stream:
        process = subprocess.Popen(
            arguments, stdout=stream, stderr=stream, env={**os.environ, "PYTHONUNBUFFERED": "1"}
        )
        try:
            deadline = time.monotonic() + 240
            while f"Epoch {epoch + 1}/" not in log.read_text():
                assert process.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.01)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


@pytest.mark.parametrize(
    ("dataset", "kept"),
    [
        ("digits", "digits"),
        ("mnist/3.0", "mnist/3.0"),
        ("/my/photos", "photos"),
        ("~/photos/", "photos"),
        ("image_folder/size=8,source=/my/photos", "image_folder/size=8,source=photos"),
        ("image_folder/source=/my/photos,size=8", "image_folder/source=photos,size=8"),
    ],
)
def test_results_name_a_folder_and_not_where_it_lies(dataset, kept):
    config = dataclasses.replace(importlib.import_module("recipes.vae").TINY, dataset=dataset)
    assert experiment.flags.without_folders(config)["dataset"] == kept


@pytest.mark.parametrize(
    ("folders", "flags", "counts", "said"),
    [
        (("train",), {}, (72, 8), "'train[:90%]' trains"),
        (("train", "val"), {}, (80, 80), "measured is 'validation'"),
        (("train", "test"), {}, (80, 80), ""),
        (("train", "val"), dict(test_split="val[:50%]"), (80, 40), ""),
    ],
)
def test_a_folder_without_test_images(folders, flags, counts, said, tmp_path, capsys):
    for folder in folders:
        for name in ("cat", "dog"):
            (tmp_path / "photos" / folder / name).mkdir(parents=True)
            for row in range(40):
                Image.new("L", (8, 8)).save(tmp_path / "photos" / folder / name / f"{row}.png")
    _, config = tiny(
        "gan",
        tmp_path,
        dataset=f"image_folder/size=8,source={tmp_path / 'photos'}",
        data_dir=str(tmp_path / "tfds"),
        classifier_dir=str(tmp_path / "classifiers"),
        **flags,
    )
    experiment.steps._stand_ins.cache_clear()
    found = [
        sum(len(batch) for batch in experiment.load(config, split))
        for split in (config.train_split, config.test_split)
    ]
    assert tuple(found) == counts
    assert said in capsys.readouterr().out
    assert experiment.classifier_features(config).test_accuracy >= 0.0
