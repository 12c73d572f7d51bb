"""Autoregressive models, tiny."""

import functools

import kgen
from cases.parts import GATED, PIXEL_RNN, PIXELCNN, SHAPE, SMALL, STANDARDIZED, Case
from kgen import heads, networks, specs

CASES = [
    Case(
        "made_of_vectors",
        lambda: kgen.MADE.for_vectors(
            3,
            network=functools.partial(
                networks.made_network, hidden_units=(8,), num_masks=3, order_agnostic=True
            ),
        ),
        follows=STANDARDIZED,
    ),
    Case(
        "nade_of_vectors",
        lambda: kgen.NADE.for_vectors(
            3,
            likelihood=heads.StudentT(),
            network=functools.partial(networks.nade_network, hidden_units=8),
        ),
        follows=STANDARDIZED,
        exports=False,
    ),
    Case(
        "pixelcnn",
        lambda: kgen.PixelCNN.for_images(SHAPE, likelihood=heads.Categorical(4), network=PIXELCNN),
        same_on_replicas=True,
    ),
    Case(
        "pixelcnn_of_attributes",
        lambda: kgen.PixelCNN.for_images(
            SHAPE,
            likelihood=heads.Categorical(4),
            condition=specs.Attributes(2),
            network=PIXELCNN,
        ),
        exports=False,
    ),
    Case(
        "pixelcnn_colour",
        lambda: kgen.PixelCNN.for_images(
            (3, 4, 3), likelihood=heads.DiscretizedLogistic(3), network=PIXELCNN
        ),
    ),
    Case(
        "gated_pixelcnn",
        lambda: kgen.GatedPixelCNN.for_images(
            SHAPE,
            likelihood=heads.Bernoulli(),
            condition=specs.Labels(3),
            network=functools.partial(
                networks.gated_pixelcnn, filters=4, num_layers=2, head_filters=(4,)
            ),
        ),
        same_on_replicas=True,
    ),
    Case(
        "pixelcnn_plus_plus",
        lambda: kgen.PixelCNNPlusPlus.for_images(
            (4, 6, 1),
            likelihood=heads.DiscretizedLogisticMixture(4, 2),
            network=functools.partial(networks.pixelcnn_plus_plus, filters=3, num_blocks=1),
        ),
    ),
    Case(
        "made",
        lambda: kgen.MADE.for_images(
            SHAPE,
            network=functools.partial(networks.made_network, hidden_units=(8,)),
            likelihood=heads.Categorical(4),
        ),
        same_on_replicas=True,
    ),
    Case(
        "made_orders_colour",
        lambda: kgen.MADE.for_images(
            (3, 2, 3),
            network=functools.partial(
                networks.made_network, hidden_units=(8, 7), num_masks=3, order_agnostic=True
            ),
            likelihood=heads.Categorical(4),
        ),
    ),
    Case(
        "made_orders_of_labels",
        lambda: kgen.MADE.for_images(
            (3, 2, 3),
            condition=specs.Labels(3),
            network=functools.partial(
                networks.made_network, hidden_units=(8, 7), num_masks=3, order_agnostic=True
            ),
            likelihood=heads.Categorical(4),
        ),
        exports=False,
    ),
    Case(
        "nade_of_labels",
        lambda: kgen.NADE.for_images(
            SHAPE,
            condition=specs.Labels(3),
            network=functools.partial(networks.nade_network, hidden_units=8),
            likelihood=heads.Categorical(4),
        ),
        exports=False,
    ),
    Case(
        "pixel_rnn_of_labels",
        lambda: kgen.PixelRNN.for_images(
            SHAPE,
            condition=specs.Labels(3),
            likelihood=heads.Categorical(4),
            network=functools.partial(networks.pixel_rnn, hidden_units=2, num_layers=1),
        ),
        exports=False,
    ),
    Case(
        "nade",
        lambda: kgen.NADE.for_images(
            SHAPE,
            network=functools.partial(networks.nade_network, hidden_units=8),
            likelihood=heads.Categorical(4),
        ),
        same_on_replicas=True,
    ),
    Case(
        "pixel_rnn",
        lambda: kgen.PixelRNN.for_images(SHAPE, likelihood=heads.Categorical(4), network=PIXEL_RNN),
        same_on_replicas=True,
    ),
    Case(
        "pixel_rnn_diagonal_colour",
        lambda: kgen.PixelRNN.for_images(
            (3, 4, 3),
            likelihood=heads.Categorical(4),
            network=functools.partial(PIXEL_RNN, kind="diagonal"),
        ),
    ),
    Case(
        "pixel_vae",
        lambda: kgen.PixelVAE.for_images(
            SHAPE,
            latent_dim=2,
            likelihood=heads.Categorical(4),
            num_maps=3,
            pixel_network=GATED,
            kl_warmup_epochs=2,
            **SMALL,
        ),
        follows=("kl_weight",),
    ),
    Case(
        "multiscale_pixelcnn_colour",
        lambda: kgen.MultiScalePixelCNN.for_images(
            (4, 3, 3),
            likelihood=heads.DiscretizedLogisticMixture(4, num_components=2),
            num_maps=3,
            network=GATED,
            upsampler=functools.partial(networks.convolutional_feature_decoder, filters=(3,)),
        ),
    ),
]
