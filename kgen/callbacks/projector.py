"""Codes of images for TensorBoard's embedding projector."""

import math
import pathlib

import keras
import numpy as np

from kgen import plots
from kgen.callbacks.chief import is_chief
from kgen.files import check_folder, replace_atomically

_MAX_SPRITE_SIDE = 8192


class ProjectorLogger(keras.callbacks.Callback):
    """Writes the codes of images for TensorBoard's embedding projector when training ends.

    `tensorboard --logdir <log_dir>` then shows, under PROJECTOR, each image at its code. Written
    are `tensors.tsv`, `sprite.png`, `projector_config.pbtxt` and, with labels, `metadata.tsv`.
    Codes are what the model's verb `encode` gives, or where it has none, `embed`; those of higher
    rank are flattened.

    Args:
        log_dir: Folder of the files.
        images: float32 array in [0, 1], shape `(num_images, height, width, channels)`.
        labels: Integers or strings, shape `(num_images,)`, or None.

    Raises:
        ValueError: If the images are not of that form, do not fit on one sprite sheet of 8192 x
            8192 pixels, or there is not one label per image.
        OSError: When training begins, if `log_dir` cannot be written.
    """

    def __init__(self, log_dir, images, labels=None):
        super().__init__()
        images = np.asarray(images)
        if labels is not None and len(labels) != len(images):
            raise ValueError(
                f"Expected one label per image, {len(images)}. Received {len(labels)} labels."
            )
        self.log_dir = pathlib.Path(log_dir)
        self.images = images
        self.labels = labels
        self._sprite = _sprite_sheet(images)

    def on_train_begin(self, logs=None):
        """Encodes two images, so that what fails does not do so after the training."""
        if is_chief(self.model):
            check_folder(self.log_dir, "log_dir")
            plots.codes_of(self.model, self.images[:2])

    def on_train_end(self, logs=None):
        """Encodes the images and writes the files."""
        if not is_chief(self.model):
            return
        from google.protobuf import text_format
        from tensorboard.plugins import projector

        codes = plots.codes_of(self.model, self.images)
        with replace_atomically(self.log_dir / "tensors.tsv") as stream:
            np.savetxt(stream, codes.reshape(len(codes), -1), fmt="%.7g", delimiter="\t")
        plots.save_png(self._sprite, self.log_dir / "sprite.png", scale=1)
        config = projector.ProjectorConfig()
        embedding = config.embeddings.add(tensor_name="codes", tensor_path="tensors.tsv")
        embedding.tensor_shape.extend([len(codes), codes[0].size])
        embedding.sprite.image_path = "sprite.png"
        side = math.ceil(math.sqrt(len(self.images)))
        height, width = (size // side for size in self._sprite.shape[:2])
        embedding.sprite.single_image_dim.extend([width, height])
        if self.labels is not None:
            embedding.metadata_path = "metadata.tsv"
            lines = (" ".join(str(label).split()) + "\n" for label in self.labels)
            with replace_atomically(self.log_dir / "metadata.tsv") as stream:
                stream.write("".join(lines).encode())
        # Last, because TensorBoard reads the other files as soon as it sees this one.
        with replace_atomically(self.log_dir / "projector_config.pbtxt") as stream:
            stream.write(text_format.MessageToString(config).encode())


def _sprite_sheet(images):
    side = math.ceil(math.sqrt(len(images)))
    # TensorBoard wants as many rows as columns.
    filled = np.zeros((side * side, *images.shape[1:]), dtype=images.dtype)
    filled[: len(images)] = images
    sheet = plots.image_grid(filled, columns=side, padding=0)
    if max(sheet.shape[:2]) > _MAX_SPRITE_SIDE:
        raise ValueError(
            f"Expected images that fit on a sprite sheet of {_MAX_SPRITE_SIDE} x "
            f"{_MAX_SPRITE_SIDE} pixels, TensorBoard's limit. Received {len(images)} images, a "
            f"sheet of {sheet.shape[0]} x {sheet.shape[1]}. Pass fewer images."
        )
    return sheet
