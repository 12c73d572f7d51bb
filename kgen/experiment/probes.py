"""What recipes of self-supervised representations measure and draw, each as one function.

Side by side stand, on 1 %, 10 % and all of the labels: logistic regression on the features of the
untrained encoder, the same on the trained one's, and the encoder trained on these labels.
"""

import keras
import numpy as np

from kgen import callbacks, data, evaluation, optimizers, plots
from kgen.experiment import steps

FRACTIONS = (0.01, 0.1, 1.0)


def augmentation(image_shape, *, flip):
    """The layers of `kgen.data` for images of this size and these channels.

    Args:
        image_shape: `(height, width, channels)`.
        flip: bool, whether views are mirrored left and right: for clothes, not for digits.
    """
    if image_shape[-1] == 1:
        return data.grey_augmentation(image_shape, flip=flip)
    if min(image_shape[:2]) > 100:
        return data.imagenet_augmentation(image_shape)
    return data.colour_augmentation(image_shape, flip=flip)


def online_probe(images, labels, config):
    """The callback that measures the embeddings ten times, on a tenth of the training images.

    Not on test images: whoever chooses by what each epoch shows would look at them.
    """
    rows = evaluation.class_balanced_subset(labels, 0.1, seed=config.seed)
    # By turns of each class: of few images one half might lack a class.
    rows = rows[np.argsort(labels[rows], kind="stable")]
    halves = rows[::2], rows[1::2]
    return callbacks.OnlineProbe(
        *((images[half], labels[half]) for half in halves), every=max(1, config.epochs // 10)
    )


def probes(what, model, train, test, *, seed):
    """The linear probe on few and on all labels, and the nearest neighbours.

    Args:
        what: str, with which the names of the figures begin.
        model: a model with the verb `features`.
        train: pair of images and labels.
        test: pair of images and labels.
        seed: int, of the choice of labels.

    Returns:
        dict of name -> dict with `value` and `protocol`.
    """
    sets = (
        *evaluation.embed_dataset(model.features, train),
        *evaluation.embed_dataset(model.features, test),
    )
    curve = evaluation.low_shot_curve(*sets, fractions=FRACTIONS, seed=seed)
    metrics = {f"{what}_{_percent(fraction)}": result for fraction, result in curve.items()}
    return metrics | {f"{what}_neighbours": evaluation.knn_probe(*sets)}


def geometry(model, images, augmentation, *, seed):
    """Alignment, uniformity and rank of the embeddings of two views of at most 2,000 images."""
    batches = data.from_arrays(images[:2000], batch_size=500)
    pairs = [pair for (pair,) in data.two_views(batches, augmentation, seed=seed)]
    first, second = (
        np.concatenate([model.embed(views) for views in side]) for side in zip(*pairs, strict=True)
    )
    return {
        "alignment": evaluation.alignment(first, second),
        "uniformity": evaluation.uniformity(first),
        "embedding_rank": evaluation.embedding_rank(first),
    }


def supervised(make_model, train, test, augmentation, config):
    """The test accuracy of encoders that are trained on few and on all labels.

    Args:
        make_model: function without arguments that gives a new model with `encoder` and `features`.
        train: pair of images and labels.
        test: pair of images and labels.
        augmentation: list of layers, as for the self-supervised training.
        config: with `supervised_steps`, 0 for none, `batch_size`, `learning_rate` and `seed`.

    Returns:
        dict of name -> dict with what `kgen.evaluation.accuracy` gives, `num_labels` and
        `protocol`.
    """
    return {
        f"supervised_{_percent(fraction)}": _supervised(
            make_model(), train, test, augmentation, fraction, config
        )
        for fraction in (FRACTIONS if config.supervised_steps else ())
    }


def neighbour_index(model, images, labels, config):
    """What is served: the model with `config.index_size` training images, as many per class.

    Pictures from a folder are answered with their files' names too.
    """
    share = min(1.0, config.index_size / len(images))
    rows = evaluation.class_balanced_subset(labels, share, seed=config.seed)
    names = steps.filenames(config, config.train_split)
    names = None if names is None else names[rows]
    return evaluation.NeighbourIndex(
        model,
        images[rows],
        labels=labels[rows],
        names=names,
        num_neighbours=min(10, len(rows)),
    )


def tsne_scatter(model, images, labels, *, seed):
    """Embeddings in the plane by t-SNE, in the colours of their labels; it takes seconds."""
    from sklearn.manifold import TSNE

    projection = TSNE(metric="cosine", random_state=seed)
    return plots.latent_scatter(model, images, labels, projection=projection)


def view_grid(images, augmentation, *, seed):
    """Eight images in a row, below them their first and their second views."""
    batches = data.from_arrays(images[:8], batch_size=8)
    ((first, second),) = next(iter(data.two_views(batches, augmentation, seed=seed)))
    return plots.image_grid(np.concatenate([images[:8], first, second]), columns=8)


def print_probes(metrics):
    """Print the accuracies of `probes` and `supervised` as a table, in percent.

    In brackets stands the balanced accuracy, below the table the share of the most frequent class.
    """
    kinds = ("random_initialization", "self_supervised", "supervised")
    print(f"{'labels':>14}" + "".join(f"{kind:>24}" for kind in kinds))
    for what in (*map(_percent, FRACTIONS), "neighbours"):
        found = [metrics.get(f"{kind}_{what}") for kind in kinds]
        cells = ("" if each is None else _both_accuracies(each) for each in found)
        print(f"{what.replace('_percent', ' %'):>14}" + "".join(f"{cell:>24}" for cell in cells))
    share = metrics["self_supervised_neighbours"]["majority_share"]
    print(f"(In brackets: balanced accuracy. One constant answer reaches {100 * share:.1f} %.)")


class Classifier(keras.Model):
    """A linear layer on the features of a self-supervised model, both trained."""

    def __init__(self, model, num_classes):
        super().__init__()
        # The model itself would bring its projector along, which no label moves.
        self.encoder, self._features = model.encoder, model.features
        self.classes = keras.layers.Dense(num_classes)

    def call(self, inputs, training=False):
        """Logits `(batch, num_classes)`."""
        return self.classes(self._features(inputs, training=training))


def _supervised(model, train, test, augmentation, fraction, config):
    images, labels = train
    rows = evaluation.class_balanced_subset(labels, fraction, seed=config.seed)
    classes, indices = np.unique(labels, return_inverse=True)
    classifier = Classifier(model, len(classes))
    # Few images are repeated, each time in other views: an epoch of one step takes as long as ten.
    order = np.tile(rows, -(-50 * config.batch_size // len(rows)))
    batches = data.from_arrays(
        (images[order], indices[order]),
        batch_size=config.batch_size,
        shuffle=True,
        seed=config.seed,
        drop_remainder=True,
    ).take(config.supervised_steps)
    epochs = -(-config.supervised_steps // int(batches.cardinality()))
    steps = epochs * int(batches.cardinality())
    decay = keras.optimizers.schedules.CosineDecay(config.learning_rate, steps)
    classifier.compile(
        optimizers.Adam(decay),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        auto_scale_loss=False,
    )
    views = data.one_view(batches, augmentation, seed=config.seed)
    classifier.fit(views, epochs=epochs, shuffle=False, verbose=0)
    predictions = classes[classifier.predict(test[0], 500, verbose=0).argmax(axis=1)]
    return dict(
        evaluation.accuracy(predictions, test[1]),
        num_labels=len(rows),
        protocol=f"accuracy of the same encoder trained on {len(rows)} labels for {steps} steps of "
        f"{config.batch_size} augmented images",
    )


def _both_accuracies(metric):
    return f"{100 * metric['value']:.1f} % ({100 * metric['balanced_accuracy']:.1f} %)"


def _percent(fraction):
    return f"{round(100 * fraction)}_percent"
