"""Contrastive predictive coding."""

import keras
import numpy as np
import tensorflow as tf

from kgen import checks
from kgen.losses import contrastive as losses
from kgen.networks import cpc_context, patch_encoder
from kgen.replicas import first_row, gather
from kgen.training import ObjectiveModel
from kgen.training.hyperparameters import Hyperparameter
from kgen.verbs import Projection
from kgen.verbs.representation import normalized


@keras.saving.register_keras_serializable(package="kgen")
class CPC(Projection, ObjectiveModel):
    """Contrastive predictive coding (van den Oord et al. 2018): the rows below, from those above.

        z[r, c] = encoder(patch at row r, column c)      overlapping patches on a grid
        h = context(z)                                   h[r, c] sees rows up to r only
        f_k(r, c; z') = exp(z' . W_k h[r, c] / t)
        loss = -mean over k, r, c of log( f_k(r, c; z[r + k, c]) / sum over z' of f_k(r, c; z') )

    z' runs over the same image's other patches and those of all other images of the batch, on all
    replicas, in the rows that step k predicts.

    What is learned is the encoder: `embed` normalizes the mean of z over the grid. `project` is the
    mean of h over its last row, which has seen the whole image.

    Args:
        encoder: keras.Model from patches `(size, size, channels)` to vectors. Without batch
            normalization: its statistics would carry what is to be predicted.
        context: keras.Model from `(rows, columns, encoder's size)` to `(rows, columns, any size)`
            that sees no later row, such as `kgen.networks.cpc_context`.
        image_shape: `(height, width, channels)`.
        stride: int, pixels from one patch to the next.
        num_steps: int, how many rows ahead are predicted.
        temperature: float > 0, t.
        **kwargs: `seed`, `name`, `dtype`.

    Raises:
        ValueError: for networks that do not fit the grid, a context that sees later rows, or a grid
            with too few rows for `num_steps`.

    Reference: van den Oord, Li & Vinyals 2018, "Representation Learning with Contrastive Predictive
    Coding", eq. 3 and 4, section 3.2. The paper has t = 1 and augments each patch by itself.
    """

    temperature = Hyperparameter(checks.positive_number)

    def __init__(
        self, encoder, context, image_shape, *, stride, num_steps=2, temperature=1.0, **kwargs
    ):
        super().__init__(**kwargs)
        self.encoder = checks.vector_network("encoder", encoder)
        self.image_shape = checks.image_shape(image_shape)
        self.data_spec = self.image_spec
        self.stride = checks.positive_integer("stride", stride)
        self.num_steps = checks.positive_integer("num_steps", num_steps)
        self.temperature = temperature
        self.context = _checked_context(context, self._grid())
        input_dim, dim = context.output_shape[-1], encoder.output_shape[-1]
        self.prediction_kernels = [
            self.add_weight(
                name=f"prediction_{step}", shape=(input_dim, dim), initializer="glorot_uniform"
            )
            for step in range(1, num_steps + 1)
        ]

    @classmethod
    def for_images(
        cls,
        image_shape,
        *,
        patch_size=None,
        stride=None,
        embedding_dim=128,
        encoder=patch_encoder,
        context=cpc_context,
        **kwargs,
    ):
        """A CPC with small networks.

        Args:
            image_shape: `(height, width, channels)`.
            patch_size: int, pixels; about two sevenths of the smaller side by default.
            stride: int, pixels from one patch to the next; half of `patch_size` by default.
            embedding_dim: int, size of the encoder's and the context's vectors.
            encoder: function `(patch_shape, embedding_dim) -> keras.Model` from `kgen.networks`.
            context: function `(rows, columns, embedding_dim) -> keras.Model` likewise.
            **kwargs: `num_steps`, `temperature`, `seed`, `name`, `dtype`.
        """
        image_shape = checks.image_shape(image_shape)
        if patch_size is None:
            patch_size = max(2, round(min(image_shape[:2]) * 2 / 7))
        if stride is None:
            stride = max(1, checks.positive_integer("patch_size", patch_size) // 2)
        checks.positive_integer("stride", stride)
        patches = encoder((patch_size, patch_size, image_shape[-1]), embedding_dim)
        # At least one row and column: the constructor says what a larger patch lacks.
        grid = [max(1, (side - patch_size) // stride + 1) for side in image_shape[:2]]
        return cls(patches, context((*grid, embedding_dim)), image_shape, stride=stride, **kwargs)

    def _grid(self):
        """The shape `(rows, columns, dim)` of an image's vectors."""
        *size, channels = self.encoder.input_shape[1:]
        if len(size) != 2 or None in size or channels != self.image_shape[-1]:
            raise ValueError(
                f"encoder '{self.encoder.name}' takes {self.encoder.input_shape[1:]}, expected "
                f"patches (height, width, {self.image_shape[-1]}) of images {self.image_shape}."
            )
        grid = [
            (side - part) // self.stride + 1
            for side, part in zip(self.image_shape[:2], size, strict=True)
        ]
        if grid[0] <= self.num_steps or grid[1] < 1:
            raise ValueError(
                f"Patches of {tuple(size)} every {self.stride} pixels make {max(grid[0], 0)} rows "
                f"and {max(grid[1], 0)} columns of an image {self.image_shape}; num_steps="
                f"{self.num_steps} needs at least {self.num_steps + 1} rows. Use smaller patches, "
                "a smaller stride or fewer steps."
            )
        return (*grid, self.encoder.output_shape[-1])

    def _vectors(self, images, training):
        """The encoder's vectors on the grid, float32 `(batch, rows, columns, dim)`."""
        height, width, channels = self.encoder.input_shape[1:]
        window, strides = [1, height, width, 1], [1, self.stride, self.stride, 1]
        patches = tf.image.extract_patches(images, window, strides, [1, 1, 1, 1], "VALID")
        rows, columns, dim = self._grid()
        patches = tf.reshape(patches, (-1, height, width, channels))
        vectors = tf.cast(self.encoder(patches, training=training), tf.float32)
        return tf.reshape(vectors, (-1, rows, columns, dim))

    def objective(self, x, y=None, training=False):
        """InfoNCE in nats, the mean over the steps and the predicted patches of an image."""
        vectors = self._vectors(x, training)
        contexts = tf.cast(self.context(vectors, training=training), tf.float32)
        steps = [
            self._predict(contexts[:, :-step], vectors[:, step:], kernel)
            for step, kernel in enumerate(self.prediction_kernels, start=1)
        ]
        return {"loss": tf.add_n(steps) / self.num_steps}

    def _predict(self, contexts, targets, kernel):
        """The loss of one step: float32 `(batch,)`."""
        shape = tf.shape(targets)
        dim = targets.shape[-1]
        # As one matrix: oneDNN's product of (50, 1, 3, 32) with (32, 32) wrote beyond its memory.
        contexts = tf.reshape(contexts, (-1, contexts.shape[-1]))
        predictions = tf.matmul(contexts, tf.cast(kernel, tf.float32))
        candidates = tf.reshape(gather(targets), (-1, dim))
        positives = first_row(targets) * shape[1] * shape[2] + tf.range(tf.reduce_prod(shape[:3]))
        values = losses.info_nce_among(
            predictions,
            candidates,
            positives,
            temperature=self.temperature,
        )
        return tf.reduce_mean(tf.reshape(values, shape[:3]), axis=[1, 2])

    def features(self, images, *, training=False):
        """The mean of the encoder's vectors over the grid.

        Args:
            images: float32 `(batch, height, width, channels)` in [0, 1].
            training: bool, for the encoder.

        Returns:
            float32 `(batch, embedding_dim)`.
        """
        images = self.checked_examples(images)
        return tf.reduce_mean(self._vectors(images, training), axis=[1, 2])

    def project(self, images):
        """The mean of the context's last row, of length 1.

        Args:
            images: as for `embed`.

        Returns:
            float32 `(batch, context's size)`.
        """
        images = self.checked_examples(images)
        contexts = self.context(self._vectors(images, training=False), training=False)
        return normalized(tf.reduce_mean(tf.cast(contexts, tf.float32)[:, -1], axis=1))


def _checked_context(context, grid):
    """Return the context network, or raise ValueError if it does not fit or sees later rows."""
    received = checks.network("context", context).input_shape
    if tuple(received[1:]) != grid:
        raise ValueError(
            f"context '{context.name}' takes {tuple(received[1:])}, but the encoder's vectors "
            f"make a grid of {grid}."
        )
    if tuple(context.output_shape[1:3]) != grid[:2]:
        raise ValueError(
            f"context '{context.name}' must keep the grid {grid[:2]}, received outputs of shape "
            f"{context.output_shape}."
        )
    cuts = range(1, grid[0])
    random = np.random.RandomState(0)
    vectors = random.normal(size=(len(cuts), *grid)).astype("float32")
    changed = vectors.copy()
    for each, cut in zip(changed, cuts, strict=True):
        # Not a shift, which a normalization would take away again.
        each[cut:] = random.normal(size=each[cut:].shape)
    before, after = (np.asarray(context(x, training=False)) for x in (vectors, changed))
    for cut, *outputs in zip(cuts, before, after, strict=True):
        # Not a difference of rounding: the rows above must not notice at all.
        if not np.array_equal(*(output[:cut] for output in outputs)):
            raise ValueError(
                f"context '{context.name}' sees later rows: what it gives above row {cut} changes "
                "with the rows from there on, which it is to predict. Use kgen.layers.RowConv2D, "
                "or kgen.networks.cpc_context."
            )
    return context
