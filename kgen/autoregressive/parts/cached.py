"""The cached sampler: a pixel costs one column of each layer, not a pass over the image.

What is kept, for each tensor that a causal convolution reads, is its current row and the few rows
above that a window reaches: memory grows with the width of the image, time with its number of
pixels.

A segment writes all that others read into one array, and reads all that the rows above give from
another, so that a pixel costs few operations beside its matrix products: without XLA it is their
number that takes the time.

Reference:
    Ramachandran et al. 2017, "Fast Generation for Convolutional Autoregressive Models".
"""

import tensorflow as tf

from kgen.autoregressive.parts.plan import GIVEN, PIXEL, ROW, Plan
from kgen.layers import CausalConv2D, DepthToSpace, RowConv2D


class CachedSampler:
    """Draws images from a network pixel by pixel.

    Args:
        network: see `kgen.autoregressive.parts.plan.Plan`. If it orders the channels of a
            pixel, a pixel is computed once for each.
        likelihood: head on levels.

    Raises:
        ValueError: as `Plan` does, or if both network and likelihood couple the channels.
    """

    def __init__(self, network, likelihood):
        self.plan = Plan(network)
        self.likelihood = likelihood
        self.num_passes = self.plan.output.channel_groups
        if likelihood.couples_channels and self.num_passes > 1:
            raise ValueError(
                f"network '{network.name}' orders the channels of a pixel, and {likelihood!r} "
                "couples them too: build it with channel_groups=1."
            )
        self.image_shape = tuple(network.inputs[0].shape[1:])

    def cache_size(self):
        """How many float32 numbers are kept for an image while it is drawn."""
        plan, width = self.plan, self.image_shape[1]

        def size(tensors, num_columns):
            return sum(t.num_channels for t in tensors) * num_columns

        rows_above = sum(t.num_rows * size([t], width // t.scale) for t in plan.buffered)
        held = sum(size([t], width // t.scale) for t in plan.held)
        current_rows = sum(
            size(segment.stored, segment.num_left + width // segment.scale)
            + size(segment.row_parts, width // segment.scale)
            for segment in plan.segments
        )
        return rows_above + held + current_rows

    def __call__(self, images, known, uniforms, temperature, *others):
        """Draw the unknown pixels in raster order: the images that `naive_fill` gives.

        Args:
            images: float32 `(batch, height, width, channels)`; read where `known`.
            known: bool `(batch, height, width)`.
            uniforms: float32 `(batch, height, width, likelihood.noise_size(channels))` in (0, 1).
            temperature: float32 `(batch,)`.
            *others: the network's further inputs.

        Returns:
            float32, the shape of `images`.
        """
        height, width, channels = self.image_shape
        batch = tf.shape(images)[0]
        run = _Run(self.plan, others, width)
        temperature = temperature[:, None]
        # All that is known of a pixel beforehand in one array, pixels first: one read per pixel.
        pixels = tf.concat([images, tf.cast(known, tf.float32)[..., None], uniforms], axis=-1)
        pixels = tf.transpose(pixels, (1, 2, 0, 3))
        sizes = [channels, 1, uniforms.shape[-1]]

        def fill_pixel(row, column, packs, lines, pixel):
            image, is_known, noise = tf.split(pixel, sizes, axis=-1)
            drawn = tf.zeros_like(image)
            for _ in range(self.num_passes):
                params, lines = run.pixel(row, column, packs, lines, drawn)
                drawn = self.likelihood.sample_from_uniforms(
                    tf.cast(params, tf.float32), noise, temperature
                )
                drawn = tf.where(is_known > 0.5, image, drawn)
            return run.write_image(row, column, packs, lines, drawn)

        def fill_row(row, state, rows):
            buffers, held, lines = state
            buffers, held, packs = run.start_row(row, buffers, held)
            row_pixels = pixels[row]
            arrays = tuple(
                tf.TensorArray(tf.float32, line.shape[0], clear_after_read=False).unstack(line)
                for line in lines
            )
            _, arrays = tf.while_loop(
                lambda column, _: column < width,
                lambda column, arrays: (
                    column + 1,
                    fill_pixel(row, column, packs, arrays, row_pixels[column]),
                ),
                (tf.constant(0), arrays),
                maximum_iterations=width,
            )
            lines = tuple(
                tf.ensure_shape(array.stack(), line.shape)
                for array, line in zip(arrays, lines, strict=True)
            )
            buffers = run.end_row(row, buffers, lines)
            # The image is what its segment stores first.
            image_line = lines[0][self.plan.segments[0].num_left :, :, :channels]
            return row + 1, (buffers, held, lines), rows.write(row, image_line)

        rows = tf.TensorArray(tf.float32, height, element_shape=(width, None, channels))
        _, _, rows = tf.while_loop(
            lambda row, *_: row < height,
            fill_row,
            (tf.constant(0), run.initial_state(batch), rows),
            maximum_iterations=height,
        )
        return tf.transpose(rows.stack(), (2, 0, 1, 3))


class _Run:
    """The steps of one call, with what is computed once: GIVEN tensors and the weights."""

    def __init__(self, plan, others, width):
        self.plan = plan
        self.width = width
        self.given = dict(zip(plan.inputs[1:], others, strict=True))
        for tensor in plan.given:
            self.given[tensor] = tensor.call(self.given)
        self.weights = {
            tensor: tensor.operation.row_weights()
            for segment in plan.segments
            for tensor in segment.tensors
            if tensor.node and isinstance(tensor.operation, CausalConv2D)
        }

    def initial_state(self, batch):
        """Zeros, the padding: the rows above, row parts behind strides, and the current rows."""
        buffers = tuple(
            tf.zeros((batch, t.num_rows, self.width // t.scale, t.num_channels))
            for t in self.plan.buffered
        )
        held = tuple(
            tf.zeros((batch, 1, self.width // t.scale, t.num_channels)) for t in self.plan.held
        )
        lines = tuple(
            tf.zeros(
                (
                    segment.num_left + self.width // segment.scale,
                    batch,
                    sum(t.num_channels for t in segment.stored),
                )
            )
            for segment in self.plan.segments
        )
        return buffers, held, lines

    def start_row(self, row, buffers, held):
        """The row parts of a row, which each segment reads as one array of columns."""
        above = dict(zip(self.plan.buffered, buffers, strict=True))
        values = dict(zip(self.plan.held, held, strict=True))
        for group in self.plan.row_groups:
            scale = group[0].scale

            def compute(group=group):
                new = dict(values)
                for tensor in group:
                    new[tensor] = self._row_part(tensor, new, above, row)
                return [new[tensor] for tensor in group]

            results = _where_aligned(
                scale, [row], compute, lambda group=group: [values[t] for t in group]
            )
            values.update(zip(group, results, strict=True))
        packs = [self._pack(segment, values, row) for segment in self.plan.segments]
        for tensor in self.plan.buffered:
            if tensor.kind == ROW:
                above[tensor] = _push(tensor, above[tensor], values[tensor], row)
        return tuple(above.values()), tuple(values[t] for t in self.plan.held), packs

    def _row_part(self, tensor, values, above, row):
        """float32 `(batch, 1, width / scale, channels)`."""
        layer = tensor.operation
        if isinstance(layer, (CausalConv2D, RowConv2D)):
            source = tensor.sources[0]
            rows = []
            if layer.num_rows_above:
                rows.append(above[source][:, -layer.num_rows_above :])
            if tensor.kind == PIXEL:
                result = layer.above(rows[0])
            elif isinstance(layer, RowConv2D) and layer.shift_down:
                result = layer.row(rows[0])
            else:
                result = layer.row(tf.concat([*rows, values[source]], axis=1))
        elif isinstance(layer, DepthToSpace):
            result = layer.row(values[tensor.sources[0]], row // tensor.scale)
        else:
            sources = {
                source: self._given_row(source, row // tensor.scale)
                if source.kind == GIVEN
                else values[source]
                for source in tensor.sources
            }
            result = tensor.call(sources)
        return tf.cast(result, tf.float32)

    def _given_row(self, tensor, row):
        value = self.given[tensor]
        if tensor.is_map:
            return value[:, row][:, None]
        return tf.reshape(value, (-1, 1, 1, tensor.num_channels))

    def _pack(self, segment, values, row):
        """What a segment reads of a row: float32 `(width / scale, batch, channels)`, or None."""
        parts = [
            tf.cast(self._given_row(t, row // segment.scale), tf.float32)
            if t.kind == GIVEN
            else values[t]
            for t in segment.row_parts
        ]
        if not parts:
            return None
        return tf.transpose(tf.concat(parts, axis=-1)[:, 0], (1, 0, 2))

    def pixel(self, row, column, packs, lines, image):
        """The network's output at a pixel whose value is `image` so far, and the new lines."""
        lines = list(lines)
        values = self._image_values(row, column, packs, lines, image)
        for index, segment in enumerate(self.plan.segments[1:], start=1):
            place = index, row, column, packs, lines
            if segment.scale == 1:
                values, lines[index] = self._run_segment(*place, values)
            else:
                # Those of one scale read one another's lines, not one another's values.
                lines[index] = _where_aligned(
                    segment.scale,
                    [row, column],
                    lambda place=place, values=values: self._run_segment(*place, values)[1],
                    lambda index=index: lines[index],
                )
        return values[self.plan.output], tuple(lines)

    def _run_segment(self, index, row, column, packs, lines, values):
        segment = self.plan.segments[index]
        values = self._segment_values(segment, row, column, packs[index], lines, values)
        stored = [values[tensor] for tensor in segment.stored]
        return values, self.write(index, column, lines, stored)[index] if stored else lines[index]

    def _image_values(self, row, column, packs, lines, image):
        first, values = self.plan.segments[0], {self.plan.inputs[0]: image}
        return self._segment_values(first, row, column, packs[0], lines, values)

    def write_image(self, row, column, packs, lines, image):
        """The lines once the pixel is drawn."""
        values = self._image_values(row, column, packs, lines, image)
        return self.write(0, column, lines, [values[t] for t in self.plan.segments[0].stored])

    def _segment_values(self, segment, row, column, pack, lines, values):
        """`values` and those of a segment's tensors, each `(batch, channels)`."""
        values, reads = dict(values), {}

        def stored(tensor, num_left):
            """The value of a tensor some pixels to the left."""
            key = tensor.segment, num_left
            if key not in reads:
                reads[key] = self._read(tensor.segment, column, lines, num_left)
            return reads[key][tensor]

        def value(tensor):
            if tensor in values:
                return values[tensor]
            if tensor.kind == ROW or (tensor.kind == GIVEN and tensor.is_map):
                return parts[tensor]
            if tensor.kind == GIVEN:
                return tf.reshape(self.given[tensor], (-1, tensor.num_channels))
            return stored(tensor, 0)

        if segment.row_parts:
            sizes = [tensor.num_channels for tensor in segment.row_parts]
            parts = tf.split(pack[column // segment.scale], sizes, axis=-1)
            parts = dict(zip(segment.row_parts, parts, strict=True))
        else:
            parts = {}
        for tensor in segment.tensors:
            if tensor in values:
                continue
            layer = tensor.operation
            if isinstance(layer, CausalConv2D):
                source = tensor.sources[0]
                taps = [stored(source, left) for left in range(layer.num_left, 0, -1)]
                if layer.reads_current:
                    taps.append(value(source))
                values[tensor] = layer.pixel(taps, self.weights[tensor], parts.get(tensor))
            elif isinstance(layer, DepthToSpace):
                place = row // tensor.scale, column // tensor.scale
                values[tensor] = layer.pixel(value(tensor.sources[0]), *place)
            else:
                values[tensor] = tensor.call({source: value(source) for source in tensor.sources})
        return values

    def _read(self, segment, column, lines, num_left):
        index = column // segment.scale + segment.num_left - num_left
        values = lines[self.plan.segments.index(segment)].read(index)
        sizes = [tensor.num_channels for tensor in segment.stored]
        values = tf.split(tf.ensure_shape(values, (None, sum(sizes))), sizes, axis=-1)
        return dict(zip(segment.stored, values, strict=True))

    def write(self, index, column, lines, values):
        """The lines with the stored values of a segment at a pixel."""
        segment = self.plan.segments[index]
        values = [tf.cast(value, tf.float32) for value in values]
        values = values[0] if len(values) == 1 else tf.concat(values, axis=-1)
        place = column // segment.scale + segment.num_left
        return (*lines[:index], lines[index].write(place, values), *lines[index + 1 :])

    def end_row(self, row, buffers, lines):
        """The buffers with the rows that are now complete."""
        buffers = dict(zip(self.plan.buffered, buffers, strict=True))
        for segment, line in zip(self.plan.segments, lines, strict=True):
            if not any(tensor in buffers for tensor in segment.stored):
                continue
            complete = tf.transpose(line[segment.num_left :], (1, 0, 2))[:, None]
            sizes = [tensor.num_channels for tensor in segment.stored]
            parts = tf.split(complete, sizes, axis=-1)
            for tensor, part in zip(segment.stored, parts, strict=True):
                if tensor in buffers:
                    buffers[tensor] = _push(tensor, buffers[tensor], part, row)
        return tuple(buffers.values())


def _push(tensor, rows, new, row):
    """Drop the first of the kept rows and append the new one."""
    return _where_aligned(
        tensor.scale, [row], lambda: tf.concat([rows, new], axis=1)[:, 1:], lambda: rows
    )


def _where_aligned(scale, places, compute, otherwise):
    """`compute()` where `scale` divides the row and column, else `otherwise()`."""
    if scale == 1:
        return compute()
    aligned = tf.reduce_all([place % scale == 0 for place in places])
    return tf.cond(aligned, compute, otherwise)
