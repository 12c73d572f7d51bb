"""What a representation is worth, and whether it collapses, while `fit` runs."""

import warnings

import numpy as np

from kgen import checks, evaluation
from kgen.callbacks.chief import is_chief
from kgen.callbacks.evaluation import EvaluationLogger
from kgen.evaluation.features import labelled_batches
from kgen.evaluation.probes import checked_data

# Below this share of an even spread, embeddings count as one point, above it as a few directions.
_SMALL_SPREAD = 0.1


# The share of their first values that moving averages may still hold.
_SETTLED = 0.05


class OnlineProbe(EvaluationLogger):
    """Measures embeddings after every n-th epoch, and warns when they collapse.

    Into the epoch's logs go

    - `knn_accuracy` of `kgen.evaluation.knn_probe` from `train` to `test`, and what it must be read
      beside, `knn_balanced_accuracy` and `knn_majority_share`: see `kgen.evaluation.accuracy`;
    - `embedding_rank` and `embedding_spread` of the test images, as in
      `kgen.evaluation.embedding_rank`;
    - `projection_rank` and `projection_spread`, the same of what `project` gives, where the model
      has that verb. That is where the loss compares images: it collapses first, and often alone.

    So `History`, TensorBoard, `EarlyStopping(monitor="knn_accuracy", mode="max")` see them; which
    epochs are measured, and what callbacks see in the others, is as in `EvaluationLogger`. The
    labels are never shown to the model. To choose a model or an epoch by the accuracy, let `test`
    be a part of the training images that is held out, not the images of the final result.

    When a rank is below `min_rank`, a `RuntimeWarning` says so, once until it has recovered.
    Measured is the model in inference: before the moving averages of batch normalization have
    reached the data (some hundred steps at Keras' momentum of 0.99, some tens at 0.9), ranks are
    too low, and nothing is warned of. The time of a measurement is that of embedding all images; a
    few thousand are enough.

    With several workers all of them measure, so that they see the same logs; only the first one
    writes and warns.

    Args:
        train: Labelled images whose labels vote: tf.data.Dataset of `(images, labels)`, which ends,
            or a pair of arrays. Images float32 in [0, 1], labels integers `(n,)`.
        test: As `train`, other images.
        every: Number of epochs from one measurement to the next.
        num_neighbours: Integer >= 1, as in `knn_probe`.
        temperature: Float > 0, as in `knn_probe`.
        min_rank: Float >= 0; an effective rank below it, below half the size of the vectors and
            below half the number of test images counts as a collapse; 0 never warns. A
            representation that tells apart C clusters and nothing else has a rank of about C;
            untrained and trained networks usually have tens.
        log_dir: Folder of TensorBoard's events, or None for none, as in `EvaluationLogger`.

    Raises:
        ValueError: For arguments out of range, data without labels, and where they are arrays,
            labels of one class or of classes that `train` lacks. When training begins, for images
            that the model does not take, or that give no vectors: it embeds two of them.

    Reference: Wu et al. 2018 for the vote; Garrido et al. 2023 for the rank; Jing et al. 2022,
        "Understanding Dimensional Collapse in Contrastive Self-supervised Learning".
    """

    def __init__(
        self,
        train,
        test,
        *,
        every=1,
        num_neighbours=20,
        temperature=0.07,
        min_rank=5.0,
        log_dir=None,
    ):
        super().__init__(self._measure, every=every, log_dir=log_dir)
        self.train, self.test = train, test
        self.num_neighbours = checks.positive_integer("num_neighbours", num_neighbours)
        self.temperature = checks.positive_number("temperature", temperature)
        self.min_rank = checks.at_least("min_rank", min_rank, 0.0)
        labels = [_labels(role, data) for role, data in (("training", train), ("test", test))]
        if all(whole is not None for whole in labels):
            # Of one column of zeros: what is looked at are the labels.
            (features, labels), (test_features, test_labels) = (
                (np.zeros((len(whole), 1)), whole) for whole in labels
            )
            checked_data(features, labels, test_features, test_labels)
        self._collapsed = set()

    def on_train_begin(self, logs=None):
        """Forgets the training before this one."""
        super().on_train_begin(logs)
        self._collapsed = set()
        for role, data in (("training", self.train), ("test", self.test)):
            images, _ = next(labelled_batches(role, data))
            with checks.role("OnlineProbe"):
                for function in self._spaces().values():
                    evaluation.embed_dataset(function, images[:2], role=role)

    def _spaces(self):
        """What is measured: name -> the model, or a function of images."""
        project = getattr(self.model, "project", None)
        return {"embedding": self.model} | ({"projection": project} if callable(project) else {})

    def _measure(self, model):
        features, labels = evaluation.embed_dataset(model, self.train, role="training")
        test_features, test_labels = evaluation.embed_dataset(model, self.test, role="test")
        accuracy = evaluation.knn_probe(
            features,
            labels,
            test_features,
            test_labels,
            num_neighbours=self.num_neighbours,
            temperature=self.temperature,
        )
        spaces = {"embedding": test_features}
        if "projection" in self._spaces():
            spaces["projection"], _ = evaluation.embed_dataset(
                model.project, self.test, role="test"
            )
        results = {
            "knn_accuracy": accuracy,
            # On classes of unequal size features of zeros have a high accuracy too.
            **{
                f"knn_{name}": dict(value=accuracy[name])
                for name in ("balanced_accuracy", "majority_share")
            },
        }
        for name, vectors in spaces.items():
            rank = evaluation.embedding_rank(vectors)
            results[f"{name}_rank"] = rank
            results[f"{name}_spread"] = dict(value=rank["spread"])
            self._look_for_collapse(name, rank, vectors.shape)
        return results

    def _look_for_collapse(self, name, rank, shape):
        # The rank of few images is low without any collapse.
        limit = min(self.min_rank, shape[0] / 2, shape[1] / 2)
        if rank["value"] >= limit or not _is_settled(self.model):
            self._collapsed.discard(name)
            return
        if name in self._collapsed or not is_chief(self.model):
            return
        self._collapsed.add(name)
        if rank["spread"] < _SMALL_SPREAD:
            meaning = "all images have nearly the same one, and it tells nothing of them"
        else:
            meaning = "they lie along few directions, and most of the dimensions are lost"
        warnings.warn(
            f"The representation has collapsed: the {name}s of {shape[0]} test images, vectors of "
            f"{shape[1]} numbers, have an effective rank of {rank['value']:.2f}, below "
            f"{limit:g}, and a spread of {rank['spread']:.3f} (1 is even): {meaning}. A "
            "loss that still falls means nothing then. Check what prevents it in this method: "
            "negatives (batch size, temperature), the stopped gradient and the predictor (BYOL, "
            "SimSiam), batch normalization in the projector, the variance and covariance terms "
            "(VICReg, Barlow Twins); lower the learning rate.",
            RuntimeWarning,
            stacklevel=2,
        )


def _labels(role, data):
    """All labels of a pair of arrays; of a data set None, after a look at its first batch."""
    images, labels = next(labelled_batches(role, data))
    if labels is None:
        raise ValueError(
            f"Expected {role} data with labels, (images, labels): the probe votes with them. "
            "Received images alone; with kgen.data.load, say labels=True."
        )
    labels = np.asarray(labels)
    if labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"Expected {role} labels to be integers, one per image, shape ({len(images)},), "
            f"received shape {labels.shape} and dtype {labels.dtype}."
        )
    return np.asarray(data[1]) if isinstance(data, tuple) else None


def _is_settled(model):
    """Whether the moving averages of batch normalization have reached the data."""
    waiting, momenta, steps = [model], [], int(getattr(model, "steps", 0))
    while waiting:
        layer = waiting.pop()
        waiting += getattr(layer, "layers", ())
        if getattr(layer, "moving_mean", None) is not None:
            momenta.append(float(layer.momentum))
    return all(momentum**steps < _SETTLED for momentum in momenta)
