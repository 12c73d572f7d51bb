"""What the table of results says beside the metrics: a row here is a row there."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        file: name of the run's metrics in `results/`.
        recipe: name of the script, without its ending.
        flags: what the command says beyond the script; a test compares them with the file.
        paper: authors and year.
        data: data set and what a pixel is.
        figure: the figures, as text with fields. A figure that is typed by hand says that it is
            not in the metrics, and names the command that gives it.
        others: the paper's number where its data is at hand, or a rival's measured on the same;
            with fields, if `rival` names a file.
        rival: name of the rival's metrics in `rivals/`.
    """

    file: str
    recipe: str
    flags: str
    paper: str
    data: str
    figure: str
    others: str = ""
    rival: str = ""


_EXACT = "{test_nll:.2f} nats, {test_nll.bits_per_dim:.3f} bits/dim, exact"
_BOLD_EXACT = "{test_nll:,.1f} nats, **{test_nll.bits_per_dim:.3f}** bits/dim, exact"
_ELBO = (
    "ELBO **{test_elbo:,.2f}** nats ({test_elbo.bits_per_dim:.3f} bits/dim), bound with 100 "
    "samples {test_importance_weighted_bound:,.2f} nats "
    "({test_importance_weighted_bound.bits_per_dim:.3f} bits/dim)"
)
_FID = "FID {frechet_distance:+-.1f}, coverage {coverage:+-.2f}"
_QUALITY = "precision {precision:.2f}, recall {recall:.2f}"
_FLOOR = "{frechet_distance_of_real_images:+-.2f}"
_KINGMA = "Kingma & Welling 2014"
_OORD = "van den Oord et al. 2016"
_GULRAJANI = "Gulrajani et al. 2017"
_RING = "gaussian_ring_wgan_gp"
_GRID = "gaussian_grid_wgan_gp"


def _architectures(setting, strong=""):
    """The FIDs of the four GANs of `gan_ablation.py` under one setting."""
    names = ("dcgan", "lsgan", "wgan", "wgan_gp")
    figures = [f"{{frechet_distance_{name}_{setting}:.1f}}" for name in names]
    return ", ".join(figures[:-1] + [strong + figures[-1] + strong])


def _probes(supervised=False):
    """Linear probes on few labels before and after the training, and nearest neighbours."""
    parts = []
    for percent in (1, 10, 100):
        before, after = (
            f"{{{kind}_{percent}_percent:.1%}}"
            for kind in ("random_initialization", "self_supervised")
        )
        beside = f" (supervised {{supervised_{percent}_percent:.1%}})" if supervised else ""
        strong = "**" if percent == 1 else ""
        parts.append(f"{percent} %: {before} to {strong}{after}{strong}{beside}")
    neighbours = "{random_initialization_neighbours:.1%} to {self_supervised_neighbours:.1%}"
    return (
        f"linear probe, untrained to trained encoder, on {', '.join(parts)} of the labels; nearest "
        f"neighbours {neighbours}; rank {{embedding_rank:.0f}} of 128"
    )


_FASHION = "--dataset=fashion_mnist --flip --stem_strides=2"
_FEW = f"{_FASHION} --epochs=2 --supervised_steps=0"
_CIFAR = "--dataset=image_folder/size=32,source=cifar10_jpeg --flip --stem_strides=2"
_COLOUR_FID = (
    "FID **{frechet_distance:.1f}** +- {frechet_distance.standard_deviation:.1f} on features of "
    f"its own classifier, floor {_FLOOR}; {_QUALITY}"
)

ROWS = [
    Row(
        "vae_digits",
        "vae",
        "",
        _KINGMA,
        "digits, 17 levels",
        _ELBO + ", KL {test_kl:.2f} nats",
    ),
    Row(
        "vae_fashion_mnist",
        "vae",
        "--dataset=fashion_mnist --binarize=threshold --likelihood=bernoulli --epochs=20",
        _KINGMA,
        "Fashion-MNIST, binarized at 1/2",
        "ELBO **{test_elbo:.2f}** nats, bound with 100 samples "
        "{test_importance_weighted_bound:.2f} nats, {active_units:.0f} of 16 latents active",
        "-120.40, the same network in PyTorch, mean of two seeds, not in the metrics: "
        "`python -m benchmarks.reference_vae_torch --epochs=20 --seed=0`, and `--seed=1`",
    ),
    Row("gan_digits", "gan", "", "Goodfellow et al. 2014", "digits", _FID),
    Row("dcgan_digits", "dcgan", "", "Radford et al. 2016", "digits", _FID),
    Row(
        "dcgan_fashion_mnist",
        "dcgan",
        "--dataset=fashion_mnist --width=32 --batch_size=128 --epochs=8",
        "Radford et al. 2016",
        "Fashion-MNIST",
        "FID **{frechet_distance:.1f}** +- {frechet_distance.standard_deviation:.1f} on features "
        "of its own classifier (test accuracy {frechet_distance.classifier_accuracy:.1%}), 10,000 "
        "against the 10,000 test images; "
        f"floor, 10,000 training images, {_FLOOR}; {_QUALITY}",
    ),
    Row("wgan_gp_digits", "wgan_gp", "", _GULRAJANI, "digits", _FID),
    Row(
        "wgan_gp_fashion_mnist",
        "wgan_gp",
        "--dataset=fashion_mnist --width=32 --discriminator_steps=2 --batch_size=128 --epochs=5",
        _GULRAJANI,
        "Fashion-MNIST",
        "FID **{frechet_distance:.1f}** +- {frechet_distance.standard_deviation:.1f} after 5 "
        f"epochs, the same classifier, counts and floor, {_FLOOR}, as DCGAN's; {_QUALITY}",
    ),
    Row(
        "conditional_gan_digits",
        "conditional_gan",
        "",
        "Mirza & Osindero 2014, Miyato & Koyama 2018",
        "digits",
        f"{_FID}, {_QUALITY}",
    ),
    Row(
        "infogan",
        "infogan",
        "",
        "Chen et al. 2016",
        "digits",
        "categories agree with the classes at **{test_matched_accuracy:.1%}**, chosen with a "
        "look at the test images; `--seed=1` and `--seed=2`, not in the metrics: 83.8 and 74.7 %",
    ),
    Row(
        "mode_collapse",
        "mode_collapse",
        "--steps=5850",
        "Metz et al. 2017, Gulrajani et al. 2017",
        "8 Gaussians on a ring, 25 on a grid",
        f"WGAN-GP: ring **{{{_RING}_modes_covered:.0f}}/8** modes, "
        f"{{{_RING}_high_quality_share:.1%}} of its points near one; grid "
        f"{{{_GRID}_modes_covered:.0f}}/25, {{{_GRID}_high_quality_share:.1%}}",
    ),
    Row(
        "mode_collapse_grid_wgan_gp",
        "mode_collapse",
        "--datasets=gaussian_grid --models=wgan_gp",
        "the same, a third longer, which is the default",
        "25 on a grid",
        f"WGAN-GP: **{{{_GRID}_modes_covered:.0f}}/25**, **{{{_GRID}_high_quality_share:.1%}}**",
    ),
    Row(
        "gan_augmentation",
        "gan_augmentation",
        "",
        "",
        "digits",
        "decision tree's accuracy on real test images: trained on real {accuracy_real:.3f}, on "
        "generated {accuracy_generated:.3f}, on both {accuracy_both:.3f}, each +- 0.02",
    ),
    Row(
        "gan_ablation",
        "gan_ablation",
        "",
        f"{_GULRAJANI}, table of architectures",
        "digits",
        f"FID of DCGAN, LSGAN, WGAN, WGAN-GP: baseline {_architectures('baseline')}; no batch "
        "normalization and constant filters in the generator "
        f"{_architectures('plain_generator', '**')}; tanh everywhere "
        f"{_architectures('tanh')}; those below 30 +- 0.5 to 1.3",
    ),
    Row("pixelcnn_digits", "pixelcnn", "", _OORD, "digits, 17 levels", _EXACT),
    Row(
        "gated_pixelcnn_digits",
        "gated_pixelcnn",
        "",
        _OORD,
        "digits, 17 levels",
        "**{test_nll:.2f}** nats, **{test_nll.bits_per_dim:.3f}** bits/dim, exact, given the label",
    ),
    Row(
        "gated_pixelcnn_fashion_mnist",
        "gated_pixelcnn",
        "--dataset=fashion_mnist --epochs=1",
        _OORD,
        "Fashion-MNIST, 256 levels",
        _BOLD_EXACT + ", given the label, after 1 epoch",
    ),
    Row(
        "pixelcnn_plus_plus_digits",
        "pixelcnn_plus_plus",
        "",
        "Salimans et al. 2017",
        "digits, 17 levels",
        _EXACT,
    ),
    Row(
        "pixelcnn_plus_plus_fashion_mnist",
        "pixelcnn_plus_plus",
        "--dataset=fashion_mnist --epochs=1 --dropout=0",
        "Salimans et al. 2017",
        "Fashion-MNIST, 256 levels",
        _BOLD_EXACT + ", after 1 epoch",
    ),
    Row(
        "vae_fashion_mnist_256_levels",
        "vae",
        "--dataset=fashion_mnist --epochs=8",
        f"{_KINGMA}, beside the two above",
        "Fashion-MNIST, 256 levels",
        _ELBO.replace("**", "").replace(",.2f", ",.1f") + ", after 8 epochs",
    ),
    Row(
        "made_digits",
        "made",
        "",
        "Germain et al. 2015",
        "digits, binarized at 1/2",
        _EXACT + ", 4 masks",
    ),
    Row(
        "made_orders_digits",
        "made",
        "--num_masks=16 --order_agnostic --learning_rate=5e-3 --epochs=200",
        "the same, 16 orders",
        "digits, binarized at 1/2",
        "**{test_nll:.2f}** nats, {test_nll.bits_per_dim:.3f} bits/dim, exact",
    ),
    Row("pixel_rnn_digits", "pixel_rnn", "", _OORD, "digits, 17 levels", _EXACT),
    Row(
        "pixel_vae_digits",
        "pixel_vae",
        "",
        _GULRAJANI,
        "digits, 17 levels",
        _ELBO.replace("**", "") + ", KL {test_kl:.2f} nats, {active_units:.0f} of 16 latents "
        "active; `--free_bits=0`, which leaves the latents idle, not in the metrics: ELBO -80.38",
    ),
    Row(
        "simclr_digits",
        "simclr",
        "",
        "Chen et al. 2020",
        "digits",
        _probes(supervised=True),
    ),
    Row("moco_digits", "moco", "", "He et al. 2020", "digits", _probes(supervised=True)),
    Row(
        "exemplar_digits",
        "exemplar",
        "--supervised_steps=0",
        "Dosovitskiy et al. 2014",
        "digits",
        _probes(),
    ),
    Row(
        "exemplar_metric_digits",
        "exemplar",
        "--method=metric --supervised_steps=0",
        "Doersch & Zisserman 2017",
        "digits",
        _probes(),
    ),
    Row(
        "simsiam_digits",
        "byol",
        "--method=simsiam --supervised_steps=0",
        "Chen & He 2021",
        "digits",
        _probes(),
    ),
    Row(
        "simclr_fashion_mnist",
        "simclr",
        f"{_FASHION} --epochs=6 --supervised_steps=500",
        "Chen et al. 2020",
        "Fashion-MNIST",
        _probes(supervised=True),
        "the same network on lightly's loss and torchvision's views in PyTorch, one seed: "
        "{linear_probe_1_percent:.1%}, {linear_probe_10_percent:.1%}, "
        "{linear_probe_100_percent:.1%}; neighbours {neighbours:.1%}: "
        "`python -m benchmarks.reference_simclr_lightly`",
        rival="simclr_lightly",
    ),
    Row(
        "moco_fashion_mnist",
        "moco",
        f"{_FASHION} --epochs=6 --supervised_steps=50",
        "He et al. 2020",
        "Fashion-MNIST",
        _probes(),
    ),
    *(
        Row(f"{method}_fashion_mnist", recipe, flags, paper, "Fashion-MNIST", _probes())
        for method, recipe, flags, paper in (
            ("byol", "byol", _FEW, "Grill et al. 2020"),
            ("barlow_twins", "byol", f"{_FEW} --method=barlow_twins", "Zbontar et al. 2021"),
            ("vicreg", "byol", f"{_FEW} --method=vicreg", "Bardes et al. 2022"),
            ("simsiam", "byol", f"{_FEW} --method=simsiam", "Chen & He 2021"),
            ("exemplar_metric", "exemplar", f"{_FEW} --method=metric", "Doersch & Zisserman 2017"),
            ("npid", "exemplar", f"{_FEW} --method=memory_bank", "Wu et al. 2018"),
            (
                "cpc",
                "cpc",
                "--dataset=fashion_mnist --flip --patch_size=8 --epochs=2 --supervised_steps=0",
                "van den Oord et al. 2018",
            ),
        )
    ),
    Row(
        "vqvae_digits",
        "vqvae",
        "",
        "van den Oord et al. 2017",
        "digits",
        "FID {frechet_distance:+-.1f}, coverage {coverage:+-.2f}; of reconstructions FID "
        "{frechet_distance_of_reconstructions:.1f}; {test_code_negative_log_likelihood:.1f} nats "
        "for the 4 x 4 codes; beta, codebook and prior chosen with a look at the test images",
    ),
    Row(
        "vae_emoji",
        "vae",
        "--dataset=emoji --latent_dim=64 --epochs=80",
        _KINGMA,
        "emoji, colour, 32 x 32",
        _ELBO + ", KL {test_kl:.0f} nats",
    ),
    Row(
        "simclr_cifar10_jpeg",
        "simclr",
        f"{_CIFAR} --epochs=5 --supervised_steps=0",
        "Chen et al. 2020",
        "CIFAR-10, JPEG copy",
        _probes(),
    ),
    Row(
        "dcgan_emoji",
        "dcgan",
        "--dataset=emoji --width=32 --epochs=90",
        "Radford et al. 2016",
        "emoji, colour, 32 x 32",
        _COLOUR_FID,
    ),
    Row(
        "gated_pixelcnn_emoji",
        "gated_pixelcnn",
        "--dataset=emoji/size=16 --levels=8 --filters=48 --epochs=20",
        _OORD,
        "emoji, colour, 16 x 16, 8 levels",
        _BOLD_EXACT + ", given the category",
    ),
    Row(
        "wgan_gp_emoji",
        "wgan_gp",
        "--dataset=emoji --width=32 --epochs=500",
        "Gulrajani et al. 2017",
        "emoji, colour, 32 x 32",
        _COLOUR_FID,
    ),
    Row(
        "moco_cifar10_jpeg",
        "moco",
        f"{_CIFAR} --epochs=20 --supervised_steps=0",
        "He et al. 2020",
        "CIFAR-10, JPEG copy",
        _probes(),
    ),
    Row(
        "conditional_gan_emoji",
        "conditional_gan",
        "--dataset=emoji --width=32 --epochs=90",
        "Mirza & Osindero 2014, Miyato & Koyama 2018",
        "emoji, colour, 32 x 32, given the category",
        _COLOUR_FID,
    ),
    Row(
        "anomaly_detection_digits",
        "anomaly_detection",
        "--held_out=8",
        "An & Cho 2015",
        "digits, the class 8 held out",
        "ROC AUC **{roc_auc:.3f}**, average precision {average_precision:.3f}; by the distance of "
        "pixels to the nearest training image {pixel_neighbour_roc_auc:.3f} and "
        "{pixel_neighbour_average_precision:.3f}",
    ),
    *(
        Row(
            f"beta_vae_{beta}_shapes",
            "beta_vae",
            f"--beta={beta} --epochs=12",
            "Higgins et al. 2017",
            "shapes, colour, 32 x 32",
            "MIG **{mutual_information_gap:.3f}**, DCI {disentanglement:.3f}, {completeness:.3f}, "
            "{informativeness:.3f}; {active_units:.0f} of 10 latents active, KL {test_kl:.1f} nats",
        )
        for beta in (1, 4, 20)
    ),
]
