"""The served index of neighbours against a slow search."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen import serving
from kgen.evaluation.neighbours import NeighbourIndex
from kgen.serving import endpoints

IMAGE_SHAPE = (3, 4, 1)
DIM = 5


class Embedder:
    """One network, served as the contrastive models do."""

    image_shape = IMAGE_SHAPE

    def __init__(self):
        keras.utils.set_random_seed(5)
        self.encoder = keras.Sequential(
            [
                keras.Input(IMAGE_SHAPE),
                keras.layers.Rescaling(2.0, -1.0),
                keras.layers.Flatten(),
                keras.layers.Dense(DIM),
            ]
        )

    def embed(self, images):
        vectors = tf.cast(self.encoder(images, training=False), tf.float32)
        return tf.math.l2_normalize(vectors, axis=-1)

    def endpoints(self):
        images = tf.TensorSpec((None, *IMAGE_SHAPE), tf.float32, name="images")
        return {"embed": (lambda images: {"embeddings": self.embed(images)}, [images])}


def images(seed, count):
    return np.random.default_rng(seed).random((count, *IMAGE_SHAPE), np.float32)


GALLERY, LABELS = images(0, 300), np.arange(300) % 7 - 3


@pytest.fixture(scope="module")
def model():
    return Embedder()


def slow_search(model, queries, k):
    gallery = model.embed(GALLERY).numpy().astype("float64")
    indices, similarities = [], []
    for query in model.embed(queries).numpy().astype("float64"):
        cosines = [
            query @ other / np.linalg.norm(query) / np.linalg.norm(other) for other in gallery
        ]
        nearest = sorted(range(len(gallery)), key=lambda i: -cosines[i])[:k]
        indices.append(nearest)
        similarities.append([cosines[i] for i in nearest])
    return np.array(indices), np.array(similarities)


def test_it_finds_what_a_slow_search_finds(model):
    queries = images(1, 9)
    indices, similarities = slow_search(model, queries, 6)
    # The gaps between neighbours are far above float32's rounding, so the order is exact.
    assert np.diff(-similarities).min() > 1e-6
    embeddings = model.embed(GALLERY).numpy()
    batches = tf.data.Dataset.from_tensor_slices((GALLERY, LABELS)).batch(64)
    for gallery, labels in (
        (GALLERY, LABELS),
        ((GALLERY, LABELS), None),
        (batches, None),
        (7 * embeddings, LABELS),
        (tf.constant(embeddings), LABELS.tolist()),
    ):
        index = NeighbourIndex(model, gallery, labels=labels, num_neighbours=6)
        assert index.size == 300
        found = index.neighbours(queries)
        assert [found[name].dtype for name in ("indices", "similarities", "labels")] == [
            tf.int32,
            tf.float32,
            tf.int32,
        ]
        np.testing.assert_array_equal(found["indices"], indices)
        np.testing.assert_allclose(found["similarities"], similarities, atol=1e-6)
        np.testing.assert_array_equal(found["labels"], LABELS[indices])


def test_an_image_of_the_gallery_is_its_own_nearest(model):
    found = NeighbourIndex(model, GALLERY, num_neighbours=1).neighbours(GALLERY[40:50])
    np.testing.assert_array_equal(found["indices"][:, 0], np.arange(40, 50))
    np.testing.assert_allclose(found["similarities"][:, 0], 1.0, atol=1e-6)
    assert found["similarities"].numpy().max() <= 1.0
    assert set(found) == {"indices", "similarities"}


def test_equal_images_come_in_the_order_of_the_gallery(model):
    twice = np.concatenate([GALLERY[:20], GALLERY[:20]])
    found = NeighbourIndex(model, twice, num_neighbours=2).neighbours(GALLERY[:20])
    np.testing.assert_array_equal(np.sort(found["indices"], axis=1)[:, 1], np.arange(20, 40))


def test_export_holds_the_index_once_as_a_variable(tmp_path, model):
    from tensorflow.core.protobuf import saved_model_pb2

    index = NeighbourIndex(model, GALLERY, labels=LABELS, num_neighbours=4)
    version_dir = serving.export(index, tmp_path / "search")
    assert set(serving.read_signatures(version_dir)) == {"serving_default", "embed", "neighbours"}
    queries = images(1, 5)
    results = serving.run_signatures(
        version_dir, {name: {"images": queries} for name in ("neighbours", "serving_default")}
    )
    indices, similarities = slow_search(model, queries, 4)
    found = results["neighbours"]
    np.testing.assert_array_equal(found["indices"], indices)
    np.testing.assert_allclose(found["similarities"], similarities, atol=1e-6)
    np.testing.assert_array_equal(found["labels"], LABELS[indices])
    assert set(results["serving_default"]) == {"embeddings"}, "the model's own default"

    content = (version_dir / "saved_model.pb").read_bytes()
    graph_def = saved_model_pb2.SavedModel.FromString(content).meta_graphs[0].graph_def
    nodes = [*graph_def.node, *(n for f in graph_def.library.function for n in f.node_def)]
    constants = [n.attr["value"].tensor.ByteSize() for n in nodes if n.op == "Const"]
    # The index has 6,000 bytes, its labels 1,200. What is constant are axes, k, the bounds of a
    # cosine; and the names of the variables to restore.
    assert 0 < max(constants) < 1000
    stored = sum(path.stat().st_size for path in (version_dir / "variables").glob("*.data*"))
    parameters = sum(weight.nbytes for weight in model.encoder.get_weights())
    assert 6000 + 1200 + parameters <= stored < 6000 + 1200 + parameters + 2000


def test_the_index_is_written_once_however_many_endpoints_read_it(tmp_path, model):
    class Two(NeighbourIndex):
        def endpoints(self):
            endpoints = super().endpoints()
            return {"again": endpoints["neighbours"], **endpoints}

    embeddings = np.random.default_rng(0).normal(size=(20_000, DIM))
    index = Two(model, embeddings, num_neighbours=3)
    version_dir = serving.export(index, tmp_path / "search", check=False)
    stored = sum(path.stat().st_size for path in (version_dir / "variables").glob("*.data*"))
    assert 400_000 <= stored < 410_000
    # The graphs, and nothing of the 400,000 bytes.
    assert (version_dir / "saved_model.pb").stat().st_size < 100_000


def test_an_export_is_not_refused_for_neighbours_that_rounding_exchanges(tmp_path, model):
    """One side may round so that another of equal images comes first."""
    from kgen.serving import integrity

    index = NeighbourIndex(model, np.concatenate([GALLERY] * 3), num_neighbours=5)
    given = integrity._run_in_python

    def exchanged(endpoint, arrays):
        return {
            key: value[:, ::-1] if value.dtype == np.int32 else value
            for key, value in given(endpoint, arrays).items()
        }

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(integrity, "_run_in_python", exchanged)
        serving.export(index, tmp_path / "search", warmup_batch_sizes=[2])

    def shifted(endpoint, arrays):
        return {
            key: value - np.float32(0.01) if value.dtype == np.float32 else value
            for key, value in given(endpoint, arrays).items()
        }

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(integrity, "_run_in_python", shifted)
        with pytest.raises(ValueError, match="differs from Python's"):
            serving.export(index, tmp_path / "other", warmup_batch_sizes=[2])


def test_it_counts_among_the_bytes_that_an_export_needs(model):
    index = NeighbourIndex(model, GALLERY, labels=LABELS)
    without = endpoints.num_variable_bytes(endpoints.trace_endpoints(model))
    with_index = endpoints.num_variable_bytes(endpoints.trace_endpoints(index))
    assert with_index - without == 300 * DIM * 4 + 300 * 4


def poisoned(embeddings, row, value):
    return np.where(np.arange(len(embeddings))[:, None] == row, value, embeddings)


EMBEDDINGS = np.random.default_rng(0).normal(size=(20, DIM))


@pytest.mark.parametrize(
    ("gallery", "arguments", "message"),
    [
        (GALLERY[:5], {}, "num_neighbours=10 is more than the 5 images"),
        (EMBEDDINGS, dict(num_neighbours=21), "more than the 20"),
        (EMBEDDINGS, dict(num_neighbours=0), "num_neighbours must be"),
        (poisoned(EMBEDDINGS, 3, np.nan), {}, "gallery embeddings hold NaN or infinity: 1 of 20"),
        (poisoned(EMBEDDINGS, 3, 0.0), {}, "1 of 20 gallery embeddings are all 0.*number 3"),
        (EMBEDDINGS[:, :3], {}, "have 3 numbers, those of the model 5"),
        (EMBEDDINGS[0], {}, "Expected gallery images of shape"),
        (GALLERY[:, :2], {}, "The gallery images: Expected images of shape"),
        (255 * GALLERY, {}, r"The gallery images: Expected pixels in \[0, 1\]"),
        (EMBEDDINGS, dict(labels=np.arange(19)), r"shape \(20,\), received shape \(19,\)"),
        (EMBEDDINGS, dict(labels=np.ones(20)), "dtype float64"),
        (EMBEDDINGS, dict(labels=np.full(20, 2**40)), "range of int32"),
    ],
)
def test_wrong_galleries(model, gallery, arguments, message):
    with pytest.raises(ValueError, match=message):
        NeighbourIndex(model, gallery, **arguments)


def test_a_network_is_no_model(model):
    with pytest.raises(TypeError, match="Sequential, which has no embed"):
        NeighbourIndex(model.encoder, GALLERY)


def test_names_of_files_are_found_and_served(model, tmp_path):
    names = [f"cats/{row}.png" for row in range(300)]
    dataset = tf.data.Dataset.from_tensor_slices((GALLERY, names)).batch(64)
    index = NeighbourIndex(model, dataset, num_neighbours=2)
    assert index.neighbours(GALLERY[[7]])["names"].numpy()[0, 0] == b"cats/7.png"
    assert "labels" not in index.neighbours(GALLERY[:1])
    both = NeighbourIndex(model, GALLERY, labels=LABELS, names=names, num_neighbours=2)
    version = serving.export(both, tmp_path / "search")
    (found,) = serving.run_requests(version, [("neighbours", {"images": GALLERY[[7, 9]]})])
    assert found["names"][:, 0].tolist() == [b"cats/7.png", b"cats/9.png"]
    assert found["labels"][:, 0].tolist() == [LABELS[7], LABELS[9]]
    for order in ((GALLERY, LABELS, names), (GALLERY, names, LABELS)):
        dataset = tf.data.Dataset.from_tensor_slices(order).batch(64)
        again = NeighbourIndex(model, dataset, num_neighbours=2).neighbours(GALLERY[[7, 9]])
        assert again["names"].numpy().tolist() == found["names"].tolist()
        np.testing.assert_array_equal(again["labels"], found["labels"])
    for order in ((GALLERY, LABELS, LABELS), (GALLERY, names, LABELS, LABELS)):
        dataset = tf.data.Dataset.from_tensor_slices(order).batch(64)
        with pytest.raises(ValueError, match=r"\(images, labels, names\), received"):
            NeighbourIndex(model, dataset)
    with pytest.raises(ValueError, match=r"one string per image of the gallery, shape \(300,\)"):
        NeighbourIndex(model, GALLERY, names=names[:5])
