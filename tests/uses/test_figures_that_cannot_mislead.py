"""Figures beside which stands what they would be without any skill."""

import functools

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn import metrics

import kgen
from kgen import evaluation, heads, networks, plots

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
    assert figures["density"]["value"] == pytest.approx((k + 1) / k, abs=0.01)
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
    with pytest.raises(ValueError, match=r"Without an extractor the real features are an array"):
        evaluation.kernel_distance(real, flat[1], None)


def test_inception_score_sees_probabilities():
    softmax = keras.Sequential(
        [keras.Input((2, 2, 1)), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")]
    )
    images = RANDOM.uniform(size=(40, 2, 2, 1)).astype("float32")
    with pytest.raises(ValueError, match="gives probabilities, not logits.*from_logits=False"):
        evaluation.inception_score(images, softmax)
    assert evaluation.inception_score(images, softmax, from_logits=False)["value"] >= 1.0


DENSE = dict(
    encoder=functools.partial(networks.dense_encoder, hidden_units=(4,)),
    decoder=functools.partial(networks.dense_decoder, hidden_units=(4,)),
)


def vae():
    return kgen.VAE.for_images((4, 4, 1), latent_dim=2, likelihood=heads.Normal(), **DENSE)


def test_each_value_is_drawn_at_its_epoch(tmp_path, monkeypatch):
    class EveryFourth(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch % 4 == 3:
                logs["figure"] = epoch

    model = vae()
    model.compile()
    images = RANDOM.uniform(size=(8, 4, 4, 1)).astype("float32")
    history = model.fit(images, epochs=10, verbose=0, callbacks=[EveryFourth()])
    assert history.epochs_of["figure"] == [4, 8] and history.epochs_of["loss"] == [*range(1, 11)]
    drawn = {}

    def plot(axes, epochs, values, **kwargs):
        drawn[axes.get_title()] = list(epochs)

    monkeypatch.setattr("matplotlib.axes.Axes.plot", plot)
    monkeypatch.setattr("matplotlib.axes.Axes.legend", lambda *args, **kwargs: None)
    plots.training_curves(history, tmp_path / "curves.png")
    assert drawn["figure"] == [4, 8] and drawn["loss"] == [*range(1, 11)]


def test_a_models_repr_says_what_it_is():
    model = vae()
    text = repr(model)
    assert text.startswith("<VAE 'vae") and "of images (4, 4, 1)" in text
    assert "likelihood=Normal(scale=None, min_scale=0.001)" in text
    assert f"{model.count_params():,} weights>" in text


def test_a_notebook_shows_pictures():
    picture = plots.sample_grid(vae(), num_samples=4)
    content = picture._repr_png_()
    assert content.startswith(b"\x89PNG")
    import io

    shown = np.asarray(Image.open(io.BytesIO(content)))
    assert min(shown.shape[:2]) >= 400
    assert type(np.asarray(picture)) is np.ndarray and picture[0]._repr_png_() is None


class Epochs(keras.callbacks.Callback):
    """Fails the test if an epoch begins."""

    def on_epoch_begin(self, epoch, logs=None):
        raise AssertionError("an epoch began")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda folder: kgen.callbacks.PictureLogger(
                folder, {"samples": lambda model: model.sample(4)}, every=2
            ),
            ValueError,
            "Expected picture 'samples' to be uint8",
        ),
        (
            lambda folder: kgen.callbacks.PictureLogger(
                folder, {"samples": lambda model: model.draw(4)}, every=2
            ),
            AttributeError,
            "draw",
        ),
        (
            lambda folder: kgen.callbacks.EvaluationLogger(lambda model, data: {}, every=2),
            ValueError,
            "evaluate is called with the model alone",
        ),
    ],
)
def test_what_fails_does_so_before_the_first_epoch(make, error, message, tmp_path):
    model = vae()
    model.compile()
    images = RANDOM.uniform(size=(8, 4, 4, 1)).astype("float32")
    with pytest.raises(error, match=message):
        model.fit(images, epochs=2, verbose=0, callbacks=[Epochs(), make(tmp_path)])


def test_a_probe_of_other_pictures_is_found_before_the_first_epoch():
    model = kgen.SimCLR.for_images((8, 8, 1), embedding_dim=4, projection_dim=4)
    model.compile()
    images = RANDOM.uniform(size=(8, 8, 8, 3)).astype("float32")
    labels = np.arange(8) % 2
    probe = kgen.callbacks.OnlineProbe((images, labels), (images, labels), every=2)
    views = kgen.data.views(
        kgen.data.from_arrays(images[..., :1], batch_size=8),
        kgen.data.grey_augmentation((8, 8, 1)),
    )
    message = r"training images of OnlineProbe: .*Expected images of shape \(batch, 8, 8, 1\)"
    with pytest.raises(ValueError, match=message):
        model.fit(views, epochs=2, verbose=0, callbacks=[Epochs(), probe])
