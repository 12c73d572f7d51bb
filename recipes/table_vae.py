"""VAEs of a table: which rows are unlike the others, and rows that nobody measured.

    python recipes/table_vae.py
    python recipes/table_vae.py --table=wine --likelihood=normal

One VAE learns the rows of one class alone; the bound on log p(x) then tells them from the others. A
conditional VAE learns all rows and their classes; a classifier that is trained on rows drawn from
it is tested on real ones. Columns of any scale go in as they are: networks and likelihood
standardize (`kgen.heads.Standardized`). Published are both, the first with its figures.

References:
    Kingma & Welling 2014, "Auto-Encoding Variational Bayes".
    Takahashi et al. 2018, "Student-t Variational Autoencoder for Robust Density Estimation".
    Sohn et al. 2015, "Learning Structured Output Representation using Deep Conditional Generative
    Models".
"""

import dataclasses
import functools
import pathlib

import kgen
from kgen import checks, evaluation, experiment, heads, networks, plots, serving, specs
from kgen.experiment import option


@dataclasses.dataclass(frozen=True)
class Config(experiment.RunFlags):
    """The flags beside those of every recipe, and defaults of these."""

    table: str = option("breast_cancer", "breast_cancer or wine, as scikit-learn holds them")
    normal_class: int = option(1, "the class whose rows are learned alone: 1 is benign")
    likelihood: str = option("student_t", "student_t or normal, of each column")
    latent_dim: int = option(6, "size of the latent vector")
    hidden_units: int = option(64, "size of the two hidden layers of each network")
    epochs: int = option(150, "passes over the training rows")
    learning_rate: float = option(2e-3, "Adam's")
    bound_samples: int = option(200, "samples of the bound of a row", may_change=True)
    run_dir: str = "runs/table_vae"


TINY = Config(hidden_units=8, epochs=1, bound_samples=2)

LIKELIHOODS = {"student_t": heads.StudentT, "normal": heads.Normal}


def load(config):
    """`(rows, labels)` to train on, 70 %, and the same to test on; and the names of the columns."""
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    tables = {"breast_cancer": datasets.load_breast_cancer, "wine": datasets.load_wine}
    table = experiment.choose("table", config.table, tables)()
    train_rows, test_rows, train_labels, test_labels = train_test_split(
        table.data.astype("float32"),
        table.target.astype("int32"),
        test_size=0.3,
        random_state=config.seed,
        stratify=table.target,
    )
    return (train_rows, train_labels), (test_rows, test_labels), list(table.feature_names)


def build(config, dim, condition=None):
    """A VAE of `dim` columns, not yet compiled."""
    units = 2 * (config.hidden_units,)
    return kgen.VAE.for_vectors(
        dim,
        latent_dim=config.latent_dim,
        encoder=functools.partial(networks.dense_encoder, hidden_units=units),
        decoder=functools.partial(networks.dense_decoder, hidden_units=units),
        likelihood=experiment.choose("likelihood", config.likelihood, LIKELIHOODS)(),
        condition=condition,
        seed=config.seed,
    )


def fit(model, rows, labels, config, name):
    """Train a model; an interrupted run resumes. Returns it."""
    model.compile(kgen.optimizers.Adam(config.learning_rate))
    batches = kgen.data.from_arrays(
        rows if labels is None else (rows, labels),
        spec=model.data_spec,
        batch_size=config.batch_size,
        shuffle=True,
        seed=config.seed,
    )
    backup = experiment.backup(config, name)
    model.fit(batches, epochs=config.epochs, verbose=0, callbacks=[backup])
    return model


def detection(model, train, test, config):
    """How well the bound tells the learned class from the others, beside an isolation forest.

    Returns:
        dict of name -> dict with `value` and `protocol`.
    """
    from sklearn.ensemble import IsolationForest
    from sklearn.metrics import roc_auc_score

    rows, labels = test
    is_other = labels != config.normal_class
    bound = model.importance_weighted_bound(
        rows, num_samples=config.bound_samples, seed=config.seed
    )
    forest = IsolationForest(random_state=config.seed).fit(train)
    scores = {
        "roc_auc": (-bound.numpy(), f"minus the bound of {config.bound_samples} samples"),
        "roc_auc_of_isolation_forest": (-forest.score_samples(rows), "scikit-learn's forest"),
    }
    protocol = (
        f"class {config.normal_class} against the others, {len(rows)} test rows, "
        f"{is_other.mean():.0%} of other classes; learned from {len(train)} rows of the class"
    )
    metrics = {
        name: dict(value=float(roc_auc_score(is_other, score)), protocol=f"{what}, {protocol}")
        for name, (score, what) in scores.items()
    }
    mean = float(bound.numpy()[~is_other].mean())
    what = f"nats per test row of the class, bound of {config.bound_samples} samples"
    return metrics | {"test_bound": dict(value=mean, protocol=what)}


def synthesis(model, train, test, config):
    """The accuracy of a classifier that learned from drawn rows, beside one that had real rows.

    The drawn rows have the classes of the training rows.

    Returns:
        dict of name -> dict with what `kgen.evaluation.accuracy` gives and `protocol`.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows, labels = train
    drawn = model.sample(len(labels), condition=labels, seed=config.seed).numpy()
    metrics = {}
    for name, source in {"real": rows, "synthetic": drawn}.items():
        classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        predictions = classifier.fit(source, labels).predict(test[0])
        metrics[f"accuracy_{name}"] = dict(
            evaluation.accuracy(predictions, test[1]),
            protocol=f"logistic regression trained on {len(labels)} {name} rows, {len(test[1])} "
            "real test rows",
        )
    share = metrics["accuracy_real"]["majority_share"]
    return metrics | {"majority_share": dict(value=share, protocol="of the test rows")}


def column_pairs(model, real, names, *, seed):
    """The first two columns of real rows and of as many drawn ones, in standard deviations."""
    mean, deviation = real[:, :2].mean(axis=0), real[:, :2].std(axis=0)
    drawn = model.sample(len(real), seed=seed).numpy()
    panels = [
        (f"{title}: {names[0]}, {names[1]}", (rows[:, :2] - mean) / deviation)
        for title, rows in (("real", real), ("drawn", drawn))
    ]
    return plots.point_densities(panels, limit=4.0, columns=2, num_bins=41, side=240)


def main(config):
    """Train, evaluate, draw, export. Returns the metrics that it writes."""
    experiment.check_folders(config, "table_vae")
    checks.positive_integer("bound_samples", config.bound_samples)
    train, test, names = load(config)
    normal = train[0][train[1] == config.normal_class]
    dim, condition = len(names), specs.Labels(int(train[1].max()) + 1)
    seconds = {}
    with experiment.timer(seconds, "training"):
        detector = fit(build(config, dim), normal, None, config, "detector")
        generator = fit(build(config, dim, condition), *train, config, "generator")
    with experiment.timer(seconds, "evaluation"):
        metrics = detection(detector, normal, test, config)
        metrics |= synthesis(generator, train, test, config)
    pictures = {
        "samples": functools.partial(column_pairs, real=normal, names=names, seed=config.seed)
    }
    protocol = f"{config.table} of scikit-learn, 30 % held out, {config.likelihood}"
    experiment.publish(detector, "table_vae", config, metrics, pictures, seconds, protocol=protocol)
    serving.export(generator, pathlib.Path(config.export_dir) / "table_vae_of_classes")
    for name in ("detector", "generator"):
        experiment.backup(config, name).clear()
    return metrics


if __name__ == "__main__":
    experiment.run(main, Config)
