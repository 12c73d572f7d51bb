"""The verb `complete`."""

import tensorflow as tf

from kgen import checks, specs
from kgen.endpoints import Endpoint
from kgen.quantities import QUANTITIES


class Completion:
    """Promise: `complete(images, mask=mask)` keeps the known pixels and draws the others.

    A model defines `complete` and

        _complete_rows(images, known, seeds, *conditions)
            the same in an endpoint, from int32 seeds `(batch, 2)`

    and has the `_sample_inputs` of `kgen.verbs.Sampling`. Brings the endpoint `complete`, whose
    `mask` is 1 for a known pixel.
    """

    def _checked_mask(self, images, mask):
        """The images as a tensor, and which of their pixels are known, bool `(batch, h, w)`.

        Raises:
            ValueError: for images or a mask of another shape or dtype.
        """
        mask = tf.convert_to_tensor(mask)
        size = self.image_shape[:2]
        if mask.dtype != tf.bool or tuple(mask.shape[-2:]) != size or mask.shape.rank not in (2, 3):
            raise ValueError(
                f"Expected a bool mask of shape {size} or (batch, {size[0]}, {size[1]}), True "
                f"where a pixel is known; received shape {tuple(mask.shape)} and dtype "
                f"{mask.dtype.name}."
            )
        images = tf.convert_to_tensor(images)
        checks.images(tf.zeros_like(images), self.image_shape)
        if mask.shape.rank == 3 and mask.shape[0] != images.shape[0]:
            raise ValueError(
                f"Received {mask.shape[0]} masks for {images.shape[0]} images: one each, or one of "
                f"shape {size} for all."
            )
        return images, tf.broadcast_to(mask, (len(images), *size))

    def endpoints(self):
        """`complete`."""
        spec = specs.x_and_y(self.data_spec)[0]
        inputs = {
            "images": spec,
            "mask": specs.Values(self.image_shape[:2], "int32", QUANTITIES["mask"]),
            "seed": specs.Seeds(),
            **self._sample_inputs(),
        }

        def complete(images, mask, *rows):
            return {"images": self._complete_rows(images, mask > 0, *rows)}

        return {**super().endpoints(), "complete": Endpoint(complete, inputs, {"images": spec})}
