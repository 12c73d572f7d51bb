"""What the recipes of self-supervised representations share."""

import functools

import keras
import numpy as np

from kgen import callbacks, contrastive, data, evaluation, plots
from kgen.recipe.flags import cosine_adam, fingerprint, set_up, strategy, verbosity
from kgen.recipe.results import check_folders, publish, timer

FRACTIONS = (0.01, 0.1, 1.0)


def representation(config, name, build, *, views="two"):
    """Train, probe, draw and publish a self-supervised model: what their recipes share.

    Side by side stand, on 1 %, 10 % and all of the labels: logistic regression on the features of
    the untrained encoder, the same on the trained one's, and the encoder trained on these labels.

    Args:
        config: the configuration, with `dataset`, `train_split`, `test_split`, `data_dir`, `flip`,
            `batch_size`, `epochs`, `learning_rate`, `supervised_steps`, `index_size`, `strategy`,
            `mixed_precision`, `seed`, `run_dir`, `export_dir`.
        name: the recipe's.
        build: function from the configuration and the number of training images to the model, not
            yet compiled.
        views: what the model trains on: "two" views of each image, "one", or "instances", one view
            and the number of the image.

    Returns:
        The metrics that it writes.
    """
    # First: a strategy of several workers must exist before TensorFlow does anything else.
    replicas = strategy(config.strategy)
    set_up(config)
    check_folders(config, name)
    load = dict(data_dir=config.data_dir or None, labels=True)
    labelled = _arrays(data.load(config.dataset, config.train_split, **load))
    test = _arrays(data.load(config.dataset, config.test_split, **load))
    images = labelled[0]
    augmentation = _augmentation(images.shape[1:], config.flip)
    train = _views(images, augmentation, views, config)
    with replicas.scope():
        model = build(config, len(images))
        model.compile(cosine_adam(config)(config.epochs * int(train.cardinality())))
    check_folders(config, name, model=model)
    backup = callbacks.BackupAndRestore(
        f"{config.run_dir}/backup",
        fingerprint=fingerprint(config, but=("supervised_steps", "index_size")),
    )
    # Not the test images: a choice by what is shown each epoch would look at them.
    probe = evaluation.class_balanced_subset(labelled[1], 0.1, seed=config.seed)
    middle = len(probe) // 2
    pictures = {
        "embedding": lambda model: plots.latent_scatter(model, test[0][:1000], test[1][:1000]),
    }
    seconds, metrics = {}, {}
    with timer(seconds, "random_initialization"):
        metrics |= _probes("random_initialization", model.features, labelled, test, config)
    with timer(seconds, "training"):
        model.fit(
            train,
            epochs=config.epochs,
            verbose=verbosity(),
            callbacks=[
                callbacks.OnlineProbe(
                    *(
                        (images[rows], labelled[1][rows])
                        for rows in (probe[:middle], probe[middle:])
                    ),
                    every=max(1, config.epochs // 10),
                ),
                keras.callbacks.TensorBoard(config.run_dir),
                callbacks.PictureLogger(config.run_dir, pictures, every=max(1, config.epochs // 5)),
                callbacks.ProjectorLogger(config.run_dir, test[0][:1000], test[1][:1000]),
                backup,  # Last: once an epoch is backed up, it is not run again.
            ],
        )
    with timer(seconds, "evaluation"):
        metrics |= _probes("self_supervised", model.features, labelled, test, config)
        metrics |= _geometry(model, test[0], augmentation, config)
    with timer(seconds, "supervised"):
        for fraction in FRACTIONS if config.supervised_steps else ():
            metrics[f"supervised_{_percent(fraction)}"] = _supervised(
                build(config, len(images)), labelled, test, augmentation, fraction, config
            )
    _print_table(metrics)
    if not replicas.extended.should_checkpoint:
        return metrics
    # Not during training: it takes seconds, where principal components are there at once.
    pictures["embedding"] = functools.partial(_map, test, config)
    pictures["views"] = lambda _: plots.image_grid(
        _some_views(images, augmentation, config), columns=8
    )
    rows = evaluation.class_balanced_subset(
        labelled[1], min(1.0, config.index_size / len(images)), seed=config.seed
    )
    publish(
        model,
        name,
        config,
        metrics=metrics,
        pictures=pictures,
        seconds=seconds,
        protocol=config.dataset,
        served=contrastive.NeighbourIndex(model, images[rows], labels=labelled[1][rows]),
    )
    backup.clear()
    return metrics


def _arrays(dataset):
    batches = [tuple(np.asarray(part) for part in batch) for batch in dataset]
    return tuple(np.concatenate(parts) for parts in zip(*batches, strict=True))


def _augmentation(image_shape, flip):
    if image_shape[-1] == 1:
        return data.grey_augmentation(image_shape, flip=flip)
    if min(image_shape[:2]) > 100:
        return data.imagenet_augmentation(image_shape)
    return data.colour_augmentation(image_shape, flip=flip)


def _views(images, augmentation, views, config):
    numbers = np.arange(len(images)) if views == "instances" else None
    order = dict(batch_size=config.batch_size, shuffle=True, seed=config.seed)
    dataset = data.from_arrays((images, numbers), drop_remainder=True, **order)
    make = data.two_views if views == "two" else data.one_view
    return make(dataset, augmentation, seed=config.seed)


def _map(test, config, model):
    """The embeddings of test images in the plane, in the colours of their labels."""
    from sklearn.manifold import TSNE

    projection = TSNE(metric="cosine", random_state=config.seed)
    return plots.latent_scatter(model, test[0][:1000], test[1][:1000], projection=projection)


def _some_views(images, augmentation, config):
    """Eight images in a row, below them their first and their second views."""
    dataset = data.from_arrays(images[:8], batch_size=8)
    ((first, second),) = next(iter(data.two_views(dataset, augmentation, seed=config.seed)))
    return np.concatenate([images[:8], first, second])


def _probes(what, features, labelled, test, config):
    """The linear probe on few and on all labels, and the nearest neighbours."""
    known, labels = evaluation.embed_dataset(features, labelled)
    unknown, test_labels = evaluation.embed_dataset(features, test)
    sets = (known, labels, unknown, test_labels)
    curve = evaluation.low_shot_curve(*sets, fractions=FRACTIONS, seed=config.seed)
    metrics = {f"{what}_{_percent(fraction)}": result for fraction, result in curve.items()}
    metrics[f"{what}_neighbours"] = evaluation.knn_probe(*sets)
    return metrics


def _geometry(model, images, augmentation, config):
    dataset = data.from_arrays(images[:2000], batch_size=500)
    pairs = [pair for (pair,) in data.two_views(dataset, augmentation, seed=config.seed)]
    first, second = (
        np.concatenate([model.embed(views) for views in side]) for side in zip(*pairs, strict=True)
    )
    return {
        "alignment": evaluation.alignment(first, second),
        "uniformity": evaluation.uniformity(first),
        "embedding_rank": evaluation.embedding_rank(first),
    }


def _supervised(model, labelled, test, augmentation, fraction, config):
    """The test accuracy of an encoder like the model's and a linear layer, trained on labels."""
    images, labels = labelled
    rows = evaluation.class_balanced_subset(labels, fraction, seed=config.seed)
    classes, indices = np.unique(labels, return_inverse=True)
    classifier = Classifier(model, len(classes))
    # Few images are repeated, each time in other views: an epoch of one step takes as long as ten.
    order = np.tile(rows, -(-50 * config.batch_size // len(rows)))
    dataset = data.from_arrays(
        (images[order], indices[order]),
        batch_size=config.batch_size,
        shuffle=True,
        seed=config.seed,
        drop_remainder=True,
    ).take(config.supervised_steps)
    epochs = -(-config.supervised_steps // int(dataset.cardinality()))
    steps = epochs * int(dataset.cardinality())
    classifier.compile(
        cosine_adam(config)(steps),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        auto_scale_loss=False,
    )
    views = data.one_view(dataset, augmentation, seed=config.seed)
    classifier.fit(views, epochs=epochs, shuffle=False, verbose=0)
    right = classes[classifier.predict(test[0], 500, verbose=0).argmax(axis=1)] == test[1]
    value = float(right.mean())
    return dict(
        value=value,
        standard_error=float(np.sqrt(value * (1.0 - value) / len(right))),
        num_labels=len(rows),
        protocol=f"accuracy of the same encoder trained on {len(rows)} labels for {steps} steps of "
        f"{config.batch_size} augmented images",
    )


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


def _percent(fraction):
    return f"{round(100 * fraction)}_percent"


def _print_table(metrics):
    kinds = ("random_initialization", "self_supervised", "supervised")
    print(f"{'labels':>14}" + "".join(f"{kind:>24}" for kind in kinds))
    for what in (*map(_percent, FRACTIONS), "neighbours"):
        values = [metrics.get(f"{kind}_{what}", {}).get("value") for kind in kinds]
        cells = ("" if value is None else f"{100 * value:.1f} %" for value in values)
        print(f"{what.replace('_percent', ' %'):>14}" + "".join(f"{cell:>24}" for cell in cells))
