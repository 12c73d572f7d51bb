"""What the recipes of exact likelihood share."""

import keras

from kgen import callbacks, data, evaluation, plots
from kgen.recipe.flags import cosine_adam, fingerprint, set_up, strategy, verbosity
from kgen.recipe.results import check_folders, mean_term, publish, timer


def pixel_model(config, name, build, *, labels=False, optimizer=None):
    """Train, measure, draw and publish a model of exact likelihood: what their recipes share.

    Args:
        config: the configuration, with `dataset`, `train_split`, `test_split`, `data_dir`,
            `binarize`, `batch_size`, `epochs`, `learning_rate`, `strategy`, `mixed_precision`,
            `seed`, `run_dir`, `export_dir`.
        name: the recipe's.
        build: function from the configuration to the model, not yet compiled.
        labels: bool, whether the model trains on `(images, labels)`.
        optimizer: function from the number of steps to an optimizer; by default Adam, whose
            learning rate falls to 0 along a cosine.

    Returns:
        The metrics that it writes.
    """
    # First: a strategy of several workers must exist before TensorFlow does anything else.
    replicas = strategy(config.strategy)
    set_up(config)
    check_folders(config, name)
    binarize = None if config.binarize == "none" else config.binarize
    load = dict(
        batch_size=config.batch_size,
        seed=config.seed,
        data_dir=config.data_dir or None,
        labels=labels,
    )
    train = data.load(config.dataset, config.train_split, shuffle=True, binarize=binarize, **load)
    # A figure is measured on one draw, whatever epoch it is.
    test_binarize = "fixed" if binarize == "dynamic" else binarize
    test = data.load(config.dataset, config.test_split, binarize=test_binarize, **load)
    steps = config.epochs * int(train.cardinality())
    with replicas.scope():
        model = build(config)
        model.compile((optimizer or cosine_adam(config))(steps))
    check_folders(config, name, model=model)
    backup = callbacks.BackupAndRestore(f"{config.run_dir}/backup", fingerprint=fingerprint(config))
    images, classes = next(iter(test)) if labels else (next(iter(test)), None)
    images, classes = images[:8], None if classes is None else classes[:8]
    pictures = {
        "samples": lambda model: plots.sample_grid(model, seed=config.seed),
        "completions": lambda model: plots.completion_grid(
            model, images, classes, seed=config.seed
        ),
    }
    seconds = {}
    with timer(seconds, "training"):
        model.fit(
            train,
            validation_data=test,
            epochs=config.epochs,
            verbose=verbosity(),
            callbacks=[
                keras.callbacks.TensorBoard(config.run_dir),
                callbacks.PictureLogger(config.run_dir, pictures, every=max(1, config.epochs // 5)),
                backup,  # Last: once an epoch is backed up, it is not run again.
            ],
        )
    with timer(seconds, "evaluation"):
        nats = mean_term(model, test, "loss")["value"]
    metrics = {
        "test_negative_log_likelihood": dict(
            value=nats,
            bits_per_dim=float(evaluation.bits_per_dim(-nats, model.image_shape)),
            protocol=f"exact -log p, mean over the test images, nats, {model.num_levels} levels"
            + (", given the label" if labels else ""),
        )
    }
    if not replicas.extended.should_checkpoint:
        return metrics
    publish(
        model,
        name,
        config,
        metrics=metrics,
        pictures=pictures,
        seconds=seconds,
        protocol=f"{config.dataset}, binarize={config.binarize}",
    )
    backup.clear()
    return metrics
