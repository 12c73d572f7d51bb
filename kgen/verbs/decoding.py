"""The verbs `decode` and `interpolate`."""

import tensorflow as tf

from kgen import checks, specs
from kgen.endpoints import Endpoint
from kgen.verbs.conditioning import Conditioning


class Decoding(Conditioning):
    """Promise: `decode(latents)` gives examples.

    A model has `latent_dim`, or its own `latent_spec` and `latent_name`, and defines

        decode(latents, *, condition=None)

    Brings the endpoint `decode`.
    """

    latent_name = "latents"

    @property
    def latent_spec(self):
        """The spec of one latent."""
        return specs.Values((self.latent_dim,))

    def _decode_inputs(self):
        """What an example is decoded given, beside its latent: name -> spec."""
        return self.condition_inputs

    def _decode_rows(self, latents, *rows):
        """`decode` in an endpoint, `rows` in the order of `_decode_inputs`."""
        return self.decode(latents, **self._as_condition(rows))

    def endpoints(self):
        """`decode`."""
        spec = specs.x_and_y(self.data_spec)[0]
        decode = Endpoint(
            lambda *rows: {spec.noun: tf.cast(self._decode_rows(*rows), tf.float32)},
            {self.latent_name: self.latent_spec, **self._decode_inputs()},
            {spec.noun: spec.of_means()},
        )
        return {"decode": decode, **super().endpoints()}


class Interpolation(Decoding):
    """Promise: `interpolate(start, end=end)` decodes the path between two batches of latents.

    Brings the endpoint `interpolate`: one point of each path, at its `weight`. The path is the
    straight line, unless a model overrides `_point_between`.
    """

    def interpolate(self, start, *, end, num_steps=8, condition=None):
        """Decode the paths between two batches of latents.

        Args:
            start: float32 `(batch, latent_dim)`, such as `encode` or `sample_latents` gives.
            end: the same shape.
            num_steps: int >= 2, both ends included.
            condition: one row per path where the model has a condition, else None.

        Returns:
            float32 `(batch, num_steps, *shape)`.

        Raises:
            ValueError: for latents of another shape, or fewer than two steps.
        """
        return self._decode_path(self._point_between, start, end, num_steps, condition)

    def _decode_path(self, between, start, end, num_steps, condition):
        start, end = self._checked_ends(start, end, num_steps)
        conditions = {} if condition is None else {"condition": condition}
        steps = [
            self.decode(between(start, end, tf.fill(tf.shape(start)[:1], weight)), **conditions)
            for weight in tf.unstack(tf.linspace(0.0, 1.0, num_steps))
        ]
        return tf.stack(steps, axis=1)

    def _checked_ends(self, start, end, num_steps):
        """Both ends as float32 tensors, or ValueError for what is no batch of latents."""
        checks.integer_at_least("num_steps", num_steps, 2)
        start, end = (tf.convert_to_tensor(each, tf.float32) for each in (start, end))
        for name, latents in (("start", start), ("end", end)):
            if latents.shape.rank != 2 or latents.shape[1] != self.latent_dim:
                raise ValueError(
                    f"{name}: expected latents (batch, {self.latent_dim}), received "
                    f"{tuple(latents.shape)}."
                )
        return start, end

    def _point_between(self, start, end, weight):
        """Points between latents, all `(batch, latent_dim)`, with `weight` float32 `(batch,)`."""
        return linear_interpolation(start, end, weight)

    def endpoints(self):
        """`interpolate`, and `decode`."""
        spec = specs.x_and_y(self.data_spec)[0]

        def interpolate(start, end, weight, *rows):
            point = self._decode_rows(self._point_between(start, end, weight), *rows)
            return {spec.noun: tf.cast(point, tf.float32)}

        inputs = {"start": self.latent_spec, "end": self.latent_spec, "weight": specs.Values()}
        served = Endpoint(
            interpolate, {**inputs, **self._decode_inputs()}, {spec.noun: spec.of_means()}
        )
        endpoints = super().endpoints()
        return {"decode": endpoints.pop("decode"), "interpolate": served, **endpoints}


def linear_interpolation(start, end, weight):
    """`(1 - w) a + w b` by row: float32 `(batch, dim)`, with `weight` float32 `(batch,)`."""
    return start + weight[:, None] * (end - start)


def spherical_interpolation(start, end, weight):
    """`sin((1 - w) t) / sin(t) a + sin(w t) / sin(t) b` by row, t the angle between a and b.

    Args:
        start: float32 `(batch, dim)`.
        end: the same shape.
        weight: float32 `(batch,)`.

    Returns:
        float32 `(batch, dim)`; the straight line's point where a and b are nearly parallel.

    Reference: White 2016, "Sampling Generative Networks", section 2.1.
    """
    cosine = tf.reduce_sum(
        tf.math.l2_normalize(start, axis=-1) * tf.math.l2_normalize(end, axis=-1), axis=-1
    )
    angle = tf.acos(tf.clip_by_value(cosine, -1.0, 1.0))[:, None]
    sine = tf.sin(angle)
    straight = linear_interpolation(start, end, weight)
    weight = weight[:, None]
    safe = tf.where(sine < 1e-4, 1.0, sine)
    curved = tf.sin((1.0 - weight) * angle) / safe * start + tf.sin(weight * angle) / safe * end
    return tf.where(sine < 1e-4, straight, curved)
