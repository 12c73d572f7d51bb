"""The nearest of a stored gallery of images, served with the model."""

import numpy as np
import tensorflow as tf

from kgen import checks, specs
from kgen.endpoints import Endpoint
from kgen.evaluation.representations import checked_features, embed_dataset, unit_rows
from kgen.quantities import Quantity


class NeighbourIndex:
    """A model with a gallery of embeddings, in which it finds the nearest ones of an image.

        cos(x, i) = u(x) . u_i,    u(x) = embed(x) / |embed(x)|

    The search is exact: one product with all stored embeddings. They are one variable, as large as
    memory allows, not a constant of the graph, which a SavedModel limits to 2 GB; an export holds
    it once. The index does not follow a later training of the model: make a new one.

        index = NeighbourIndex(model, training_images, num_neighbours=5)
        index.neighbours(images)["indices"]
        kgen.serving.export(index, "saved_models/search")

    A folder of pictures is found again by the names of its files:

        NeighbourIndex(model, kgen.data.load("/my/photos", features=("image", "filename")))
        features = ("image", "label", "filename")  # and by their labels

    Args:
        model: has the verb `embed`, `endpoints()` and `image_shape`, as the contrastive models.
        gallery: images, embedded here once: tf.data.Dataset of batches of images, of `(images,
            labels)`, of `(images, names)` or of `(images, labels, names)`; array or tensor `(n,
            height, width, channels)`, or a pair of images and labels; float32 in [0, 1]. Or their
            embeddings, array or tensor `(n, dim)`, whose length does not matter.
        labels: ints in the range of int32, `(n,)`, or None for those of the data set, if it has
            any.
        names: strings `(n,)`, such as file names, or None for those of the data set.
        num_neighbours: int, k, from 1 to n.

    Raises:
        TypeError: for a model without these.
        ValueError: for k above n, NaN, embeddings of another size than the model's, an embedding
            of zeros, or another number of labels.
    """

    def __init__(self, model, gallery, *, labels=None, names=None, num_neighbours=10):
        for name in ("embed", "endpoints", "image_shape"):
            if not hasattr(model, name):
                raise TypeError(
                    f"Expected a model with embed, endpoints and image_shape, received "
                    f"{type(model).__name__}, which has no {name}."
                )
        self.model = model
        self.image_shape = checks.image_shape(model.image_shape)
        self.num_neighbours = checks.positive_integer("num_neighbours", num_neighbours)
        if isinstance(gallery, (np.ndarray, tf.Tensor)) and len(gallery.shape) == 2:
            embeddings, found = np.asarray(gallery), []
        else:
            embeddings, *found = _embedded(model, gallery)
        embeddings = unit_rows(checked_features("gallery embeddings", embeddings))
        self._check(embeddings)
        for values in found:
            if values.dtype.kind in "OSU":
                names = values if names is None else names
            else:
                labels = values if labels is None else labels
        self._index = tf.Variable(embeddings, trainable=False, dtype=tf.float32, name="index")
        self._labels = None
        if labels is not None:
            self._labels = tf.Variable(
                _int32(labels, len(embeddings)), trainable=False, name="index_labels"
            )
        self._names = None
        if names is not None:
            self._names = tf.Variable(
                _strings(names, len(embeddings)), trainable=False, name="index_names"
            )

    @property
    def size(self):
        """How many images the gallery has."""
        return self._index.shape[0]

    def neighbours(self, images):
        """The nearest of the gallery, nearest first.

        Args:
            images: float32 `(batch, height, width, channels)` in [0, 1].

        Returns:
            dict with `indices`, int32 `(batch, k)`, rows of the gallery from 0; `similarities`,
            float32 `(batch, k)`, cosines in [-1, 1]; if the index has labels, `labels`, int32
            `(batch, k)`; and if it has names, `names`, string `(batch, k)`. Of equal cosines the
            first in the gallery comes first.
        """
        units = tf.math.l2_normalize(tf.cast(self.model.embed(images), tf.float32), axis=-1)
        cosines = tf.matmul(units, self._index, transpose_b=True)
        similarities, indices = tf.math.top_k(cosines, self.num_neighbours)
        # Rounding may go a little beyond 1.
        results = {"indices": indices, "similarities": tf.clip_by_value(similarities, -1.0, 1.0)}
        if self._labels is not None:
            results["labels"] = tf.gather(self._labels, indices)
        if self._names is not None:
            results["names"] = tf.gather(self._names, indices)
        return results

    def endpoints(self):
        """Those of the model, its default first, and `neighbours`."""
        row = Quantity("a row of the gallery, the nearest first", minimum=0, maximum=self.size - 1)
        label, name = Quantity("the label of that row"), Quantity("the name of that row")
        images = {"images": specs.Images(self.image_shape)}
        served = Endpoint(self.neighbours, images, {"indices": row, "labels": label, "names": name})
        return {**self.model.endpoints(), "neighbours": served}

    def _check(self, embeddings):
        count, dim = embeddings.shape
        if self.num_neighbours > count:
            raise ValueError(
                f"num_neighbours={self.num_neighbours} is more than the {count} images of the "
                "gallery. Lower it, or give more images."
            )
        expected = self.model.embed(tf.zeros((1, *self.image_shape))).shape[-1]
        if dim != expected:
            raise ValueError(
                f"The gallery embeddings have {dim} numbers, those of the model {expected}. Give "
                "what this model's embed returns, or images."
            )
        zero = np.flatnonzero(~embeddings.any(axis=1))
        if len(zero):
            raise ValueError(
                f"{len(zero)} of {count} gallery embeddings are all 0, the first is number "
                f"{zero[0]}: they have no direction. The model may have collapsed."
            )


def _embedded(model, gallery):
    """The embeddings of images, and the labels or names beside them, in any order."""
    spec = gallery.element_spec if isinstance(gallery, tf.data.Dataset) else None
    beside = spec[1:] if isinstance(spec, tuple) else ()
    if len(beside) < 2 or gallery.cardinality() == tf.data.INFINITE_CARDINALITY:
        embeddings, found = embed_dataset(model, gallery, role="gallery")
        return embeddings, *([] if found is None else [found])
    kinds = [getattr(part, "dtype", None) == tf.string for part in beside]
    if len(beside) > 2 or kinds[0] == kinds[1]:
        raise ValueError(
            "Expected a gallery of images, labels and names: (images, labels, names), received "
            f"{len(spec)} entries, {sum(kinds)} of them names."
        )
    columns = [[], [], []]
    for batch in gallery:
        embedded, _ = embed_dataset(model, batch[0], role="gallery")
        for column, values in zip(columns, (embedded, *batch[1:]), strict=True):
            column.append(np.asarray(values))
    if not columns[0]:
        raise ValueError("The gallery data set is empty: it gave no batch.")
    return [np.concatenate(column) for column in columns]


def _strings(names, count):
    names = np.asarray(names)
    if names.shape != (count,) or names.dtype.kind not in "OSU":
        raise ValueError(
            f"Expected names, one string per image of the gallery, shape ({count},), received "
            f"shape {names.shape} and dtype {names.dtype}."
        )
    return tf.constant(names.tolist(), tf.string)


def _int32(labels, count):
    labels = np.asarray(labels)
    if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"Expected integer labels, one per image of the gallery, shape ({count},), received "
            f"shape {labels.shape} and dtype {labels.dtype}."
        )
    if labels.min() < tf.int32.min or labels.max() > tf.int32.max:
        raise ValueError(
            f"Expected labels in the range of int32, received {labels.min()} to {labels.max()}."
        )
    return labels.astype(np.int32)
