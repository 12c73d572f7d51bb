"""What the recipes of GANs share."""

import keras

from kgen import callbacks, data, evaluation, plots
from kgen.recipe.flags import fingerprint, set_up, strategy, verbosity
from kgen.recipe.results import check_folders, publish, timer


def image_generator(config, name, build, *, labels=False):
    """Train, measure, draw and publish a generator of images: what the GANs' recipes share.

    Args:
        config: the configuration, with `dataset`, `data_dir`, `batch_size`, `epochs`,
            `num_samples`, `classifier_dir`, `strategy`, `mixed_precision`, `seed`, `run_dir`,
            `export_dir`.
        name: the recipe's.
        build: function from the configuration to the compiled model.
        labels: bool, whether the model trains on `(images, labels)`.

    Returns:
        The metrics that it writes.
    """
    # First: a strategy of several workers must exist before TensorFlow does anything else.
    replicas = strategy(config.strategy)
    set_up(config)
    check_folders(config, name)
    load = dict(batch_size=config.batch_size, seed=config.seed, data_dir=config.data_dir or None)
    train = data.load(
        config.dataset, "train", shuffle=True, drop_remainder=True, labels=labels, **load
    )
    test = data.load(config.dataset, "test", **load)
    with replicas.scope():
        model = build(config)
    check_folders(config, name, model=model)
    backup = callbacks.BackupAndRestore(
        f"{config.run_dir}/backup",
        fingerprint=fingerprint(config, but=("num_samples", "classifier_dir")),
    )
    pictures = {
        "samples": lambda model: plots.sample_grid(model, seed=config.seed),
        "interpolations": lambda model: plots.interpolation_grid(model, seed=config.seed),
    }
    seconds = {}
    is_chief = replicas.extended.should_checkpoint
    if is_chief:
        # Before the training: data without labels must not fail after it.
        with timer(seconds, "classifier"):
            features = evaluation.classifier_features(
                config.dataset, cache_dir=config.classifier_dir, data_dir=config.data_dir or None
            )
    with timer(seconds, "training"):
        model.fit(
            train,
            epochs=config.epochs,
            verbose=verbosity(),
            callbacks=[
                keras.callbacks.TensorBoard(config.run_dir),
                callbacks.PictureLogger(config.run_dir, pictures, every=max(1, config.epochs // 5)),
                backup,  # Last: once an epoch is backed up, it is not run again.
            ],
        )
    if not is_chief:
        return {}
    with timer(seconds, "evaluation"):
        metrics = evaluation.sample_quality(
            model,
            test,
            features.extractor,
            classifier=features.classifier,
            num_samples=config.num_samples,
            train=data.load(config.dataset, "train", **load),
            seed=config.seed,
        )
    protocol = f"{config.dataset}, test images"
    publish(
        model, name, config, metrics=metrics, pictures=pictures, seconds=seconds, protocol=protocol
    )
    backup.clear()
    return metrics
