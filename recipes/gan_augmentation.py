"""Whether samples of a conditional GAN help a classifier, as more training data or in place of it.

    python recipes/gan_augmentation.py
    python recipes/gan_augmentation.py --dataset=fashion_mnist --epochs=15

A decision tree learns from real training images, from generated ones, and from both; each time it
is tested on real test images that neither the tree nor the GAN has seen.

Reference:
    Ravuri & Vinyals 2019, "Classification Accuracy Score for Conditional Generative Models", for
    the classifier that learns from generated images alone.
"""

import dataclasses

import numpy as np

import kgen
from kgen import evaluation, experiment, plots, specs
from kgen.experiment import option


@dataclasses.dataclass(frozen=True)
class Config(experiment.Flags):
    """The flags beside those of every recipe, and defaults of these."""

    dataset: str = option("digits", "any TFDS data set of labelled images; digits needs no network")
    latent_dim: int = option(64, "size of the latent vector")
    epochs: int = 100
    learning_rate: float = option(2e-4, "Adam's, of both players; its beta_1 is 0.5")
    num_generated: int = option(
        0, "labelled samples to draw; 0: as many as training images", may_change=True
    )
    num_trees: int = option(
        10, "decision trees, of different random states, to average over", may_change=True
    )
    run_dir: str = "runs/gan_augmentation"


TINY = Config(train_split="train[:500]", epochs=1, batch_size=250, num_generated=100, num_trees=2)


def build(config):
    """The model of a configuration, not yet compiled."""
    info = experiment.info(config)
    if info.num_classes is None:
        raise ValueError(f"--dataset={config.dataset} has no labels to condition on.")
    return kgen.ConditionalGAN.for_images(
        info.image_shape,
        condition=specs.Labels(info.num_classes),
        latent_dim=config.latent_dim,
        seed=config.seed,
    )


def predictions(train, test, config):
    """What each of the trees takes each test image for.

    Args:
        train: pair of images and labels.
        test: pair of images and labels, which are not looked at.
        config: the configuration.

    Returns:
        ints `(num_trees, num_test_images)`.
    """
    from sklearn.tree import DecisionTreeClassifier

    (images, labels), (test_images, _) = train, test
    predicted = []
    for index in range(config.num_trees):
        tree = DecisionTreeClassifier(random_state=config.seed + index)
        tree.fit(images.reshape(len(images), -1), labels)
        predicted.append(tree.predict(test_images.reshape(len(test_images), -1)))
    return np.array(predicted)


def figure(shares, protocol):
    """The mean over the test images with its standard error, and its protocol."""
    error = float(np.std(shares, ddof=1) / np.sqrt(len(shares)))
    return dict(value=float(np.mean(shares)), standard_error=error, protocol=protocol)


def beside(predicted, labels):
    """The mean balanced accuracy of the trees, and the share of the most frequent class."""
    each = [evaluation.accuracy(tree, labels) for tree in predicted]
    balanced = float(np.mean([result["balanced_accuracy"] for result in each]))
    return dict(balanced_accuracy=balanced, majority_share=each[0]["majority_share"])


def accuracies(model, train, test, config):
    """The accuracies of trees that learned from real, generated and both, and their differences.

    The generated images have the class frequencies of the training images.

    Returns:
        dict of name -> dict with `value`, `standard_error` and `protocol`; those of accuracies
        have `balanced_accuracy` and `majority_share` too.
    """
    images, labels = train
    wanted = np.resize(labels, config.num_generated or len(labels))
    generated = evaluation.draw_samples(model, len(wanted), condition=wanted, seed=config.seed)
    sources = {
        "real": (images, labels),
        "generated": (generated, wanted),
        "both": (np.concatenate([images, generated]), np.concatenate([labels, wanted])),
    }
    counts = {
        "real": f"{len(images)} real images",
        "generated": f"{len(generated)} generated images",
        "both": f"{len(images)} real and {len(generated)} generated images",
    }
    protocol = (
        f"scikit-learn's DecisionTreeClassifier on pixels, mean of {config.num_trees} random "
        f"states from {config.seed}, {len(test[0])} real test images, standard error over these; "
    )
    found = {name: predictions(source, test, config) for name, source in sources.items()}
    # Of each test image, the share of the trees that are right.
    shares = {name: (each == test[1]).mean(axis=0) for name, each in found.items()}
    metrics = {
        f"accuracy_{name}": figure(value, f"{protocol}trained on {counts[name]}")
        | beside(found[name], test[1])
        for name, value in shares.items()
    }
    for name in ("generated", "both"):
        metrics[f"gain_{name}"] = figure(
            shares[name] - shares["real"],
            f"accuracy_{name} less accuracy_real, standard error over the test images, one GAN",
        )
    return metrics


def class_grid(model, *, rows=8, seed=0):
    """One column per class."""
    images = model.sample(rows * model.condition.num_classes, seed=seed)
    return plots.image_grid(images, columns=model.condition.num_classes)


def main(config):
    """Train, evaluate, draw, export. Returns the metrics that it writes."""
    strategy = experiment.start(config, "gan_augmentation")
    train = experiment.load(
        config, config.train_split, shuffle=True, drop_remainder=True, labels=True
    )
    with strategy.scope():
        model = build(config)
        model.compile(kgen.optimizers.Adam(config.learning_rate, beta_1=0.5))
    pictures = {"samples": lambda model: class_grid(model, seed=config.seed)}
    seconds = {}
    with experiment.timer(seconds, "training"):
        experiment.train(model, train, config, pictures=pictures)
    if not experiment.is_chief(model):
        return {}
    with experiment.timer(seconds, "evaluation"):
        metrics = accuracies(
            model,
            experiment.arrays(config, config.train_split),
            experiment.arrays(config, config.test_split),
            config,
        )
    protocol = f"{experiment.data_name(config)}, test images"
    experiment.publish(
        model, "gan_augmentation", config, metrics, pictures, seconds, protocol=protocol
    )
    return metrics


if __name__ == "__main__":
    experiment.run(main, Config)
