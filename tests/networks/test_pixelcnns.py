"""The networks of the convolutional autoregressive models, as plain Keras models."""

import numpy as np
import pytest

from kgen import networks, specs

NETWORKS = {
    "pixelcnn": (dict(filters=6, num_blocks=1, channel_groups=3, head_filters=(6, 3)), []),
    "gated_pixelcnn": (
        dict(
            filters=3, num_layers=2, channel_groups=3, head_filters=(3,), condition=specs.Labels(2)
        ),
        [[1]],
    ),
    "pixelcnn_plus_plus": (
        dict(filters=2, num_blocks=1, dropout=0.5, condition=specs.Labels(2)),
        [[1]],
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_is_a_plain_model(name, plain_model):
    kwargs, labels = NETWORKS[name]
    network = getattr(networks, name)((4, 6, 3), 6, **kwargs)
    images = np.zeros((1, 4, 6, 3), "float32")
    inputs = [images, *map(np.array, labels)] if labels else images
    plain_model(network, inputs, (4, 6, 6))


def test_plus_plus_halves_while_it_can():
    """Up to three scales; each but the first has a pair of layers that halve the maps."""
    for shape, num_scales in (((5, 8, 1), 1), ((6, 10, 1), 2), ((16, 16, 1), 3)):
        network = networks.pixelcnn_plus_plus(shape, 2, filters=2, num_blocks=1)
        strides = [getattr(layer, "strides", 1) for layer in network.layers]
        assert strides.count(2) == 2 * (num_scales - 1)


BAD = {
    "filters": ("pixelcnn", dict(filters=0), "filters must be an integer of at least 1"),
    "num_blocks": ("pixelcnn", dict(num_blocks=-1), "num_blocks must be at least 0"),
    "num_layers": ("gated_pixelcnn", dict(num_layers=0), "num_layers must be an integer"),
    "condition": ("gated_pixelcnn", dict(condition=3), "condition must be kgen.specs.Labels"),
    "dropout": ("pixelcnn_plus_plus", dict(dropout=1.0), r"dropout must be in \[0, 1\)"),
    "num_scales": (
        "pixelcnn_plus_plus",
        dict(num_scales=3),
        "Images of 4 x 6 can be halved 1 times, which gives 2 scales; received num_scales=3",
    ),
}


@pytest.mark.parametrize(("name", "kwargs", "message"), BAD.values(), ids=BAD.keys())
def test_bad_sizes(name, kwargs, message):
    with pytest.raises(ValueError, match=message):
        getattr(networks, name)((4, 6, 3), 6, **kwargs)


@pytest.mark.parametrize("name", ["pixelcnn", "gated_pixelcnn", "pixel_rnn"])
def test_channel_groups_share_sizes_that_are_no_multiple(name):
    """Each later channel of a pixel sees the earlier ones, no earlier one a later."""
    width = dict(hidden_units=16) if name == "pixel_rnn" else dict(filters=16, head_filters=(16,))
    network = getattr(networks, name)((4, 4, 3), 6, channel_groups=3, **width)
    images = np.random.default_rng(0).uniform(size=(1, 4, 4, 3)).astype("float32")
    before = network(images).numpy()
    images[0, 1, 1, 1] = 1.0 - images[0, 1, 1, 1]
    changed = np.abs(network(images).numpy() - before)[0]
    assert changed[0].max() == 0 and changed[1, 1, :4].max() == 0
    assert changed[1, 1, 4:].max() > 0 and changed[2].max() > 0
