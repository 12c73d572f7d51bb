"""Figures beside which stands what they would be without any skill."""

import functools

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn import metrics

import kgen
from kgen import evaluation, heads, networks, plots, specs
from tests.cases import CASES

RANDOM = np.random.RandomState(0)


def unbalanced(count, seed):
    labels = (np.random.RandomState(seed).uniform(size=count) < 0.05).astype("int64")
    return np.zeros((count, 4), "float32"), labels


@pytest.mark.parametrize(
    "probe", [evaluation.knn_probe, evaluation.linear_probe, evaluation.keras_linear_probe]
)
def test_features_of_zeros_do_not_look_like_095(probe):
    features, labels = unbalanced(400, 1)
    test_features, test_labels = unbalanced(400, 2)
    result = probe(features, labels, test_features, test_labels)
    assert result["value"] > 0.9
    assert result["majority_share"] == pytest.approx(np.mean(test_labels == 0))
    assert result["balanced_accuracy"] == pytest.approx(0.5)
    assert "one constant answer reaches" in result["note"]


def test_accuracies_are_scikit_learns():
    labels = np.append(RANDOM.randint(3, size=300), 7)
    predictions = np.where(RANDOM.uniform(size=301) < 0.3, 5, labels)
    result = evaluation.accuracy(predictions, labels)
    assert result["value"] == metrics.accuracy_score(labels, predictions)
    recalls = [np.mean(predictions[labels == one] == one) for one in (0, 1, 2, 7)]
    assert result["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert result["majority_share"] == np.bincount(labels).max() / 301
    assert result["num_test"] == 301 and "note" not in result
    with pytest.raises(ValueError, match="one prediction per label, received 300 .* 301 labels"):
        evaluation.accuracy(predictions[1:], labels)
    with pytest.raises(ValueError, match=r"predictions to be integers \(n,\), .* dtype float64"):
        evaluation.accuracy(predictions / 2, labels)


def test_the_curve_and_clusters_have_them_too():
    train, test = unbalanced(400, 1), unbalanced(400, 2)
    for result in evaluation.low_shot_curve(*train, *test, fractions=(0.1, 1.0)).values():
        assert result["majority_share"] > 0.9 and result["balanced_accuracy"] == 0.5
    clusters = evaluation.matched_accuracy(np.zeros(400, int), test[1])
    assert clusters["value"] == clusters["majority_share"] > 0.9
    assert clusters["balanced_accuracy"] == 0.5


@pytest.mark.parametrize("k", [1, 5])
def test_a_set_against_itself(k):
    features = RANDOM.normal(size=(200, 6)).astype("float32")
    figures = evaluation.precision_recall_density_coverage(
        features, features, None, num_neighbours=k
    )
    assert figures["density"]["value"] == pytest.approx((k + 1) / k, rel=1e-12)
    for name in ("precision", "recall", "coverage"):
        assert figures[name]["value"] == 1.0


@pytest.mark.parametrize("copies", [3, 8])
def test_ties_count(copies):
    """Each of 30 points `copies` times, k = 5: with 8, all balls have radius 0 and hold 8 points.

    With 3, the 5th neighbour is the last of the 3 copies of the nearest other point: a ball holds
    6 points. Far from the origin rounding would put duplicates apart.
    """
    points = RANDOM.normal(size=(30, 64)) + 30.0
    features = np.repeat(points, copies, axis=0).astype("float32")
    figures = evaluation.precision_recall_density_coverage(features, features[::-1].copy(), None)
    held = {3: 6, 8: 8}[copies]
    assert figures["density"]["value"] == pytest.approx(held / 5, rel=1e-12)
    for name in ("precision", "recall", "coverage"):
        assert figures[name]["value"] == 1.0


def test_all_figures_take_features():
    """The same as by an extractor that gives those features."""
    real, generated = (RANDOM.uniform(size=(60, 2, 2, 1)).astype("float32") for _ in range(2))
    extractor = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten()])
    flat = [images.reshape(60, -1) for images in (real, generated)]
    for figure in (evaluation.frechet_distance, evaluation.kernel_distance):
        expected = figure(real, generated, extractor)["value"]
        assert figure(*flat, None)["value"] == pytest.approx(expected, rel=1e-5)
    both = evaluation.precision_recall_density_coverage
    expected, received = both(real, generated, extractor), both(*flat, None)
    assert {n: f["value"] for n, f in expected.items()} == {
        n: f["value"] for n, f in received.items()
    }
    statistics = evaluation.FeatureStatistics("flat")
    statistics.update(flat[0])
    expected = evaluation.frechet_distance(*flat, None)["value"]
    assert evaluation.frechet_distance(statistics, flat[1], None)["value"] == expected


def test_features_that_do_not_fit():
    features = RANDOM.normal(size=(60, 4)).astype("float32")
    images = RANDOM.uniform(size=(60, 2, 2, 1)).astype("float32")
    wrong = np.where(np.arange(60)[:, None] == 3, np.nan, features)
    for figure in (
        evaluation.frechet_distance,
        evaluation.kernel_distance,
        evaluation.precision_recall_density_coverage,
    ):
        with pytest.raises(ValueError, match="Without an extractor the real features are an array"):
            figure(images, features, None)
        with pytest.raises(ValueError, match="real images have 4 features, the generated ones 3"):
            figure(features, features[:, :3], None)
        with pytest.raises(ValueError, match="generated features hold NaN.*: 1 of 60 rows"):
            figure(features, wrong, None)
    first, second = (evaluation.FeatureStatistics(name) for name in ("vgg", "inception"))
    first.update(features)
    second.update(features)
    with pytest.raises(ValueError, match="features of inception and of vgg. Use one extractor"):
        evaluation.frechet_distance(first, second, None)


def test_inception_score_sees_probabilities():
    softmax = keras.Sequential(
        [keras.Input((2, 2, 1)), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")]
    )
    images = RANDOM.uniform(size=(40, 2, 2, 1)).astype("float32")
    with pytest.raises(ValueError, match="gives probabilities, not logits.*from_logits=False"):
        evaluation.inception_score(images, softmax)
    from_probabilities = evaluation.inception_score(images, softmax, from_logits=False)["value"]
    softmax.layers[-1].activation = keras.activations.linear
    assert evaluation.inception_score(images, softmax)["value"] == pytest.approx(from_probabilities)
    outputs = softmax(images).numpy()
    received = evaluation.inception_score(outputs, None)
    assert received["value"] == pytest.approx(from_probabilities)
    assert "Inception Score by outputs of 3 classes" in received["protocol"]
    sigmoid = keras.Sequential(
        [keras.Input((2, 2, 1)), *softmax.layers, keras.layers.Activation("sigmoid")]
    )
    with pytest.raises(ValueError, match="ends in a sigmoid, which gives neither logits nor prob"):
        evaluation.inception_score(images, sigmoid)
    with pytest.raises(ValueError, match="Logits need from_logits=True"):
        evaluation.inception_score(outputs, None, from_logits=False)


DENSE = dict(
    encoder=functools.partial(networks.dense_encoder, hidden_units=(4,)),
    decoder=functools.partial(networks.dense_decoder, hidden_units=(4,)),
)


def vae():
    return kgen.VAE.for_images((4, 4, 1), latent_dim=2, likelihood=heads.Normal(), **DENSE)


IMAGES = RANDOM.uniform(size=(8, 4, 4, 1)).astype("float32")


@pytest.fixture
def drawn(monkeypatch):
    """The epochs of each line that is drawn, by panel and label."""
    lines = {}

    def plot(axes, epochs, values, *, label, **kwargs):
        assert len(epochs) == len(values)
        lines[axes.get_title(), label] = list(epochs)

    monkeypatch.setattr("matplotlib.axes.Axes.plot", plot)
    monkeypatch.setattr("matplotlib.axes.Axes.legend", lambda *args, **kwargs: None)
    return lines


def norm(model):
    return {"norm": dict(value=float(np.sum(model.get_weights()[0])))}


def fit(*used, model=None, **kwargs):
    model = vae() if model is None else model
    model.compile()
    return model.fit(IMAGES, verbose=0, callbacks=list(used), **kwargs)


class StopsAfter(keras.callbacks.Callback):
    """Stops in good order, or as a machine that fails."""

    def __init__(self, epoch, fails=False):
        super().__init__()
        self.epoch, self.fails = epoch, fails

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch and self.fails:
            raise KeyboardInterrupt
        self.model.stop_training = epoch == self.epoch


@pytest.mark.parametrize(
    ("used", "kwargs", "loss", "others"),
    [
        (
            lambda: [kgen.callbacks.EvaluationLogger(norm, every=4)],
            dict(epochs=10),
            range(1, 11),
            {("norm", "training"): [1, 5, 9, 10]},
        ),
        (
            lambda: [kgen.callbacks.EvaluationLogger(norm, every=4), StopsAfter(2)],
            dict(epochs=10),
            range(1, 4),
            {("norm", "training"): [1, 3]},
        ),
        (
            lambda: [],
            dict(epochs=8, initial_epoch=3, validation_data=(IMAGES,), validation_freq=3),
            range(4, 9),
            {("loss", "validation"): [6]},
        ),
    ],
)
def test_each_value_is_drawn_at_its_epoch(used, kwargs, loss, others, drawn):
    plots.training_curves(fit(*used(), **kwargs))
    assert drawn["loss", "training"] == list(loss)
    assert {key: drawn[key] for key in others} == others


def test_the_curves_of_a_resumed_run_are_whole(drawn, tmp_path):
    def used():
        logger = kgen.callbacks.EvaluationLogger(norm, every=3)
        return logger, kgen.callbacks.BackupAndRestore(tmp_path)

    with pytest.raises(KeyboardInterrupt):
        fit(*used(), StopsAfter(4, fails=True), epochs=8)
    plots.training_curves(fit(*used(), epochs=8))
    assert drawn["loss", "training"] == list(range(1, 9))
    assert drawn["norm", "training"] == [1, 4, 7, 8]


def test_epochs_that_a_history_does_not_tell(drawn, tmp_path):
    history = {"loss": [3.0, 2.0, 1.0, 1.0, 1.0], "fid": [9.0, 8.0]}
    picture = plots.training_curves(history, tmp_path / "curves.png")
    expected = {
        ("loss", "training"): [1, 2, 3, 4, 5],
        ("fid", "training, epochs not known"): [2, 4],
    }
    assert drawn == expected
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "curves.png")), picture)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_models_repr_says_what_it_is(case):
    model = case.build()
    text = repr(model)
    assert text.startswith(f"<{type(model).__name__} '{model.name}' of ")
    assert specs.describe(model.data_spec) in text
    assert text.endswith(f", {model.count_params():,} weights>") and "\n" not in text
    for name in ("likelihood", "posterior", "prior"):
        if isinstance(getattr(model, name, None), (heads.head.Head, heads.Prior)):
            assert f"{name}={type(getattr(model, name)).__name__}" in text


def test_the_repr_of_a_model_that_is_not_made_yet():
    class Half(kgen.ObjectiveModel):
        def __init__(self):
            assert "Half object" in repr(self)
            super().__init__()
            assert repr(self) == f"<Half '{self.name}', 1 weights>"

    Half()


def test_a_notebook_shows_pictures():
    picture = plots.sample_grid(vae(), num_samples=4)
    content = picture._repr_png_()
    assert content.startswith(b"\x89PNG")
    import io

    shown = np.asarray(Image.open(io.BytesIO(content)))
    assert min(shown.shape[:2]) >= 400
    assert type(np.asarray(picture)) is np.ndarray and picture[0]._repr_png_() is None


def test_vicreg_is_that_of_others_with_half_the_weight_of_the_variance():
    """The authors' and lightly's form, with their weights: half the sum of the variance terms."""
    model = kgen.VICReg.for_images(
        (8, 8, 1), embedding_dim=4, projection_dim=4, variance_weight=12.5
    )
    views = tuple(RANDOM.uniform(size=(6, 8, 8, 1)).astype("float32") for _ in range(2))
    pair = [np.float64(model.projector(model.encoder(view))) for view in views]
    received = float(np.mean(model.objective(views, training=False)["loss"]))
    variance = [np.maximum(0, 1 - np.sqrt(z.var(axis=0, ddof=1) + 1e-4)).mean() for z in pair]
    covariance = [np.cov(z.T) * (1 - np.eye(4)) for z in pair]
    expected = (
        25 * np.mean((pair[0] - pair[1]) ** 2)
        + 25 * (variance[0] + variance[1]) / 2
        + sum((matrix**2).sum() / 4 for matrix in covariance)
    )
    assert received == pytest.approx(expected, rel=1e-4)
