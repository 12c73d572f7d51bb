"""What of a network must be computed when, if its output is wanted pixel by pixel.

Each tensor of the network is of one of three kinds:

    GIVEN   known before the first pixel: labels, another network's maps, what follows from them
    ROW     a function of the rows above: what `RowConv2D` gives; computed once per row
    PIXEL   a function of earlier pixels; computed once per pixel

A `CausalConv2D` on PIXEL inputs is the sum of two parts: what the rows above give, a convolution
once per row, and what the pixels to the left give, a matrix product once per pixel. ROW tensors and
these parts from above are the plan's row parts.

Behind strides a tensor has a `scale` of 2, 4, ...: it exists only at rows and columns that `scale`
divides. Operations of one scale that can run one after the other form a group.

Of its own pixel a tensor may see nothing, or all, or some channels in order: R, G, B are then its
`channel_groups`, and layers that would mix them would let a channel see itself.
"""

import dataclasses

import keras

from kgen.layers import CausalConv2D, DepthToSpace, RowConv2D

GIVEN, ROW, PIXEL = range(3)

ELEMENTWISE_LAYERS = (
    keras.layers.Activation,
    keras.layers.Add,
    keras.layers.Dropout,
    keras.layers.ELU,
    keras.layers.Identity,
    keras.layers.LeakyReLU,
    keras.layers.Multiply,
    keras.layers.ReLU,
    keras.layers.Rescaling,
    keras.layers.Subtract,
)
POINTWISE_LAYERS = (*ELEMENTWISE_LAYERS, keras.layers.Concatenate, keras.layers.Dense)


@dataclasses.dataclass(eq=False)
class Tensor:
    """One tensor of the network.

    Attributes:
        kind: GIVEN, ROW or PIXEL.
        scale: int, 1 for maps as large as the image.
        spec: the symbolic Keras tensor.
        node: the Keras node that makes it, None for an input.
        sources: the tensors that the node reads.
        num_left: how many pixels to its left are read.
        num_rows: how many rows above are read.
        sees_itself: whether it depends on its own pixel, as the image itself does, and not
            through a mask A.
        channel_groups: int; G > 1 if it depends on its own pixel's channels in order: its G parts
            on the parts of the pixel up to theirs, or below theirs if not `sees_itself`.
        segment: of a PIXEL tensor, the segment that computes it.
    """

    kind: int
    scale: int
    spec: keras.KerasTensor
    node: object = None
    sources: tuple = ()
    num_left: int = 0
    num_rows: int = 0
    sees_itself: bool = False
    channel_groups: int = 1
    segment: object = None

    @property
    def operation(self):
        """The layer that makes it."""
        return self.node.operation

    @property
    def num_channels(self):
        """Size of the last axis."""
        return self.spec.shape[-1]

    @property
    def is_map(self):
        """Whether it has a height and a width beyond 1."""
        return len(self.spec.shape) == 4 and tuple(self.spec.shape[1:3]) != (1, 1)

    @property
    def has_part_above(self):
        """Whether it is a PIXEL tensor to which the rows above give a part."""
        convolves = self.kind == PIXEL and isinstance(
            getattr(self.node, "operation", None), CausalConv2D
        )
        return convolves and self.operation.num_rows_above > 0

    def call(self, values):
        """Run its layer on `values`, a dict from its sources to tensors."""
        filled = {id(source.spec): values[source] for source in self.sources}
        args, kwargs = self.node.arguments.fill_in(filled)
        outputs = keras.tree.flatten(self.operation(*args, **kwargs))
        return outputs[[id(spec) for spec in self.node.outputs].index(id(self.spec))]


@dataclasses.dataclass(eq=False)
class Segment:
    """PIXEL tensors of one scale, computed one after the other.

    Attributes:
        scale: int.
        tensors: in the order of computation.
        stored: those of them that other pixels, rows or segments read.
        row_parts: what they read of the row parts and of GIVEN maps.
    """

    scale: int
    tensors: list
    stored: list = dataclasses.field(default_factory=list)
    row_parts: list = dataclasses.field(default_factory=list)

    @property
    def num_left(self):
        """The widest reach to the left."""
        return max((tensor.num_left for tensor in self.stored), default=0)


class Plan:
    """The tensors of a network by kind, and the order of their computation.

    Args:
        network: functional or sequential keras.Model from images `(batch, height, width,
            channels)`, or from a list that begins with them, to `(batch, height, width,
            params_size)`.

    Attributes:
        inputs: the tensors of the network's inputs, the images first.
        output: the tensor of its output.
        given: GIVEN tensors in the order of computation.
        row_groups: lists of row parts, each of one scale, in the order of computation.
        segments: first that of the images and what sees its own pixel, which is computed once more
            when the pixel is drawn; then the others in order.
        held: row parts behind strides, which serve several rows.
        buffered: tensors of which rows above are read.

    Raises:
        ValueError: for a layer that cannot be computed pixel by pixel, or that would see pixels to
            come; the message names it.
    """

    def __init__(self, network):
        network = _functional(network)
        self._tensors = {}
        image, *others = network.inputs
        self._tensors[id(image)] = Tensor(
            PIXEL, 1, image, sees_itself=True, channel_groups=image.shape[-1]
        )
        for spec in others:
            self._tensors[id(spec)] = Tensor(GIVEN, 1, spec)
        self.inputs = list(self._tensors.values())
        for node in _nodes(network):
            self._add(node)
        self.output = self._tensors[id(network.outputs[0])]
        is_map = self.output.kind == PIXEL and self.output.spec.shape[1:3] == image.shape[1:3]
        if len(network.outputs) != 1 or not is_map:
            raise ValueError(
                f"network '{network.name}' must have one output, as large as the images and made "
                "from their pixels."
            )
        if self.output.sees_itself:
            raise ValueError(
                f"network '{network.name}' sees the pixel that it predicts: on each way from the "
                "images there must be a CausalConv2D with see_current=False or a RowConv2D with "
                "shift_down=True. If it orders the channels, channel_groups must be their number "
                "in each layer that is not elementwise."
            )
        tensors = self._tensors.values()
        self.given = [tensor for tensor in tensors if tensor.kind == GIVEN and tensor.node]
        row_parts = [t for t in tensors if t.kind == ROW or t.has_part_above]
        self.row_groups = _grouped(row_parts, ROW)
        self.held = [t for group in self.row_groups for t in group if t.scale > 1]
        self.buffered = [t for t in tensors if t.kind != GIVEN and t.num_rows]
        self.segments = self._segments([t for t in tensors if t.kind == PIXEL and t.node])

    def _add(self, node):
        """Classify what a node gives, and note how far it reads."""
        layer = node.operation
        sources = tuple(self._tensors[id(spec)] for spec in node.input_tensors)
        kind = max(source.kind for source in sources)
        scales = {source.scale for source in sources if source.kind != GIVEN} or {1}
        scale = max(scales)
        if kind != GIVEN:
            if len(scales) > 1 or len(node.outputs) > 1 or getattr(layer, "axis", -1) != -1:
                raise ValueError(
                    f"The layer '{layer.name}' must join maps of one size along axis=-1 to one map."
                )
            if isinstance(layer, (CausalConv2D, RowConv2D)):
                source = sources[0]
                source.num_rows = max(source.num_rows, layer.num_rows_above)
                if isinstance(layer, RowConv2D):
                    if kind == PIXEL and not layer.shift_down:
                        raise ValueError(
                            f"The layer '{layer.name}' would see pixels to the right: the first "
                            "RowConv2D behind an image needs shift_down=True."
                        )
                    kind = ROW
                elif kind == PIXEL:
                    source.num_left = max(source.num_left, layer.num_left)
                scale *= layer.strides
            elif isinstance(layer, DepthToSpace):
                scale //= 2
            elif not isinstance(layer, POINTWISE_LAYERS) and not getattr(layer, "pointwise", False):
                raise ValueError(
                    f"The layer '{layer.name}' ({type(layer).__name__}) cannot be computed pixel "
                    "by pixel. Use kgen.layers.CausalConv2D and RowConv2D, Keras layers that act "
                    "on each pixel alone, or set pointwise = True on a layer of yours that does."
                )
        sees_itself, groups = _own_pixel(layer, sources) if kind == PIXEL else (False, 1)
        if scale < 1 or (sees_itself and scale > 1):
            raise ValueError(
                f"The layer '{layer.name}' changes the size of maps that see their own pixel. Put "
                "it behind a CausalConv2D with see_current=False."
            )
        for spec in node.outputs:
            self._tensors[id(spec)] = Tensor(
                kind, scale, spec, node, sources, sees_itself=sees_itself, channel_groups=groups
            )

    def _segments(self, computed):
        image = self.inputs[0]
        later = [tensor for tensor in computed if not tensor.sees_itself]
        segments = [Segment(1, [image, *(t for t in computed if t.sees_itself)])]
        segments += [Segment(group[0].scale, group) for group in _grouped(later, PIXEL)]
        for segment in segments:
            for tensor in segment.tensors:
                tensor.segment = segment
        # The image is read back when its row is complete.
        stored = {image: None}
        for segment in segments:
            parts = {}
            for tensor in segment.tensors:
                if tensor.has_part_above:
                    parts[tensor] = None
                for source in tensor.sources:
                    if source.kind == ROW or (source.kind == GIVEN and source.is_map):
                        parts[source] = None
                    elif source.kind == PIXEL and source.segment is not segment:
                        stored[source] = None
                if tensor.num_left or tensor.num_rows:
                    stored[tensor] = None
            segment.row_parts = list(parts)
        for tensor in stored:
            tensor.segment.stored.append(tensor)
        return segments


def _functional(network):
    """A functional model of the same layers, or ValueError if the network's graph is not known."""
    if isinstance(network, keras.Sequential) and network.built:
        return keras.Model(network.inputs, network.outputs, name=network.name)
    if not hasattr(network, "_nodes_by_depth"):
        raise ValueError(
            f"network '{network.name}' is a {type(network).__name__}. Make it a functional model: "
            "keras.Model(inputs, outputs)."
        )
    return network


def _nodes(network):
    """The nodes of a functional model in an order in which they can be computed.

    Keras has no public way to its graph: `_nodes_by_depth` is what its own `call` goes through.
    """
    for depth in sorted(network._nodes_by_depth, reverse=True):
        for node in network._nodes_by_depth[depth]:
            if not node.is_input:
                yield node


def _own_pixel(layer, sources):
    """`sees_itself` and `channel_groups` of what a layer makes of `sources`."""
    seeing = [source for source in sources if source.sees_itself or source.channel_groups > 1]
    orders = {source.channel_groups for source in seeing}
    hides = isinstance(layer, CausalConv2D) and not layer.see_current
    groups = getattr(layer, "channel_groups", 1)
    if not seeing or (hides and groups == 1):
        return False, 1
    if isinstance(layer, ELEMENTWISE_LAYERS):
        groups = max(orders)
    if groups == 1 or orders != {groups}:
        # Without order, each channel sees all of them.
        return True, 1
    of_pixels = {source.sees_itself for source in sources if source.kind == PIXEL}
    if len(of_pixels) > 1:
        # Their sum is known only when the pixel is drawn: too late for its next channel.
        return True, 1
    return of_pixels.pop() and not hides, groups


def _grouped(tensors, kind):
    """Lists of `tensors` of one scale, such that each waits only for earlier ones.

    What waits are tensors of `kind`, for sources of the same kind.
    """
    pending, done, groups = list(tensors), set(), []
    waits_for = set(tensors)
    while pending:
        scale, group, later = None, [], []
        for tensor in pending:
            sources = tensor.sources if tensor.kind == kind else ()
            waiting = any(s in waits_for and s.kind == kind and s not in done for s in sources)
            if not waiting and scale in (None, tensor.scale):
                scale = tensor.scale
                group.append(tensor)
                done.add(tensor)
            else:
                later.append(tensor)
        groups.append(group)
        pending = later
    return groups
