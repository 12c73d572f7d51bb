"""The verb `complete`."""

import tensorflow as tf

from kgen import specs
from kgen.endpoints import Endpoint
from kgen.quantities import QUANTITIES


class Completion:
    """Promise: `complete(images, mask=mask)` keeps the known pixels and draws the others.

    A model defines `complete` and

        _complete_rows(images, known, seeds, *conditions)
            the same in an endpoint, from int32 seeds `(batch, 2)`

    and has `_sides`, the shape of a mask, and the `_sample_inputs` of `kgen.verbs.Sampling`. Brings
    the endpoint `complete`, whose `mask` is 1 for a known pixel.
    """

    def _checked_mask(self, images, mask):
        """The images as a tensor, and which of their pixels are known, bool `(batch, h, w)`, or
        which entries of vectors `(batch, dim)`.

        Raises:
            ValueError: for images or a mask of another shape or dtype.
        """
        mask = tf.convert_to_tensor(mask)
        size, rank = self._sides, len(self._sides)
        fits = tuple(mask.shape[-rank:]) == size and mask.shape.rank in (rank, rank + 1)
        if mask.dtype != tf.bool or not fits:
            raise ValueError(
                f"Expected a bool mask of shape {size} or (batch, {', '.join(map(str, size))}), "
                f"True where a pixel is known; received shape {tuple(mask.shape)} and dtype "
                f"{mask.dtype.name}."
            )
        images, spec = tf.convert_to_tensor(images), specs.x_and_y(self.data_spec)[0]
        spec.check(tf.zeros_like(images))
        if mask.shape.rank > rank and mask.shape[0] != images.shape[0]:
            raise ValueError(
                f"Received {mask.shape[0]} masks for {images.shape[0]} images: one each, or one of "
                f"shape {size} for all."
            )
        return images, tf.broadcast_to(mask, (len(images), *size))

    def endpoints(self):
        """`complete`."""
        spec = specs.x_and_y(self.data_spec)[0]
        inputs = {
            spec.noun: spec,
            "mask": specs.Values(self._sides, "int32", QUANTITIES["mask"]),
            "seed": specs.Seeds(),
            **self._sample_inputs(),
        }

        def complete(images, mask, *rows):
            return {spec.noun: self._complete_rows(images, mask > 0, *rows)}

        return {**super().endpoints(), "complete": Endpoint(complete, inputs, {spec.noun: spec})}
