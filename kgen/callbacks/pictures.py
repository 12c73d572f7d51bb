"""Pictures of what is being learned, while `fit` runs."""

import pathlib

import keras
import numpy as np
import tensorflow as tf

from kgen import checks, plots
from kgen.callbacks.chief import is_chief
from kgen.files import check_folder


class PictureLogger(keras.callbacks.Callback):
    """Draws pictures at the end of every n-th epoch: as PNG files and for TensorBoard.

    Files count epochs from 1, as the lines that `fit` prints: the picture after "Epoch 3/10" is
    `<log_dir>/<name>-0003.png`. In TensorBoard it has step 2, as Keras' own callback counts the
    losses beside it. For runs that resume exactly, let the functions draw with fixed seeds
    (`kgen.plots` does).

    Args:
        log_dir: Folder of the files and of the TensorBoard events.
        pictures: Dict of name -> function that takes the model and returns a uint8 array of shape
            `(height, width, channels)` with 1, 3 or 4 channels, such as `kgen.plots.sample_grid`.
        every: Draw after each `every`-th epoch, counted from the first epoch.

    Raises:
        ValueError: If `pictures` is empty, a name cannot be a file name, a value cannot be called,
            or `every` is below 1. When training begins, if a function returns something else than
            a picture: each is called once then, and what it raises is raised.
        OSError: When training begins, if `log_dir` cannot be written.
    """

    def __init__(self, log_dir, pictures, *, every=1):
        super().__init__()
        if not pictures:
            raise ValueError("Expected at least one picture. Received none.")
        for name, draw in pictures.items():
            if not name or pathlib.PurePath(name).name != name or not callable(draw):
                raise ValueError(
                    "Expected pictures to map names that can be file names to functions of the "
                    f"model. Received {name!r}: {draw!r}."
                )
        self.every = checks.positive_integer("every", every)
        self.log_dir = pathlib.Path(log_dir)
        self.pictures = dict(pictures)
        self._writer = None

    def on_train_begin(self, logs=None):
        """Draws every picture once, so that what fails does so before the first epoch."""
        if not is_chief(self.model):
            return
        check_folder(self.log_dir, "log_dir")
        for name in self.pictures:
            self._draw(name)

    def on_epoch_end(self, epoch, logs=None):
        """Draws and writes every picture."""
        if (epoch + 1) % self.every or not is_chief(self.model):
            return
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(str(self.log_dir))
        for name in self.pictures:
            picture = self._draw(name)
            plots.save_png(picture, self.log_dir / f"{name}-{epoch + 1:04d}.png")
            with self._writer.as_default(step=epoch):
                tf.summary.image(name, picture[np.newaxis])
        self._writer.flush()

    def on_train_end(self, logs=None):
        """Closes the TensorBoard events."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _draw(self, name):
        return plots.check_picture(self.pictures[name](self.model), name=f"picture {name!r}")
