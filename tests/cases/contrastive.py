"""Representation learners, tiny."""

import kgen
from cases.parts import MOVING, SHAPE, Case, embedder, projector
from kgen import networks

CASES = [
    Case(
        "simclr",
        lambda: kgen.SimCLR(embedder(), projector()),
        follows=MOVING,
        same_on_replicas=True,
    ),
    Case(
        "simclr_colour",
        lambda: kgen.SimCLR(embedder((7, 5, 3)), projector(), temperature=0.1),
        follows=MOVING,
    ),
    Case(
        "moco",
        lambda: kgen.MoCo(embedder(), projector(), queue_size=80),
        follows=(*MOVING, "queue", "key_encoder", "key_projector"),
    ),
    Case(
        "byol",
        lambda: kgen.BYOL(embedder(), projector(), networks.prediction_head(2, 3)),
        follows=(*MOVING, "target_encoder", "target_projector"),
    ),
    Case(
        "simsiam",
        lambda: kgen.SimSiam(
            embedder(), projector(normalize_output=True), networks.prediction_head(2, 3)
        ),
        follows=MOVING,
    ),
    Case(
        "barlow_twins",
        lambda: kgen.BarlowTwins(embedder(), projector(use_bias=False)),
        follows=MOVING,
    ),
    Case(
        "vicreg",
        lambda: kgen.VICReg(embedder(), projector(use_bias=False)),
        follows=MOVING,
    ),
    Case(
        "exemplar_metric",
        lambda: kgen.ExemplarMetric(embedder(), projector()),
        follows=MOVING,
    ),
    Case(
        "exemplar_network",
        lambda: kgen.ExemplarNetwork(embedder(), 16),
        follows=MOVING,
    ),
    Case(
        "npid",
        lambda: kgen.NPID(embedder(), projector(), 16),
        follows=(*MOVING, "bank"),
    ),
    Case(
        "cpc",
        lambda: kgen.CPC.for_images(SHAPE, patch_size=2, stride=1, embedding_dim=3),
        same_on_replicas=True,
    ),
]
