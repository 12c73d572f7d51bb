"""A VAE of partly labelled data: model M2 of Kingma et al. 2014."""

import functools

import numpy as np
import pytest

import kgen
from kgen import heads, networks, specs

SHAPE = (4, 4, 1)
DENSE = dict(
    encoder=functools.partial(networks.dense_encoder, hidden_units=(32,)),
    decoder=functools.partial(networks.dense_decoder, hidden_units=(32,)),
    classifier=functools.partial(networks.dense_encoder, hidden_units=(16,)),
)


def build(**kwargs):
    how = {**DENSE, **dict(latent_dim=2, likelihood=heads.Normal(scale=0.2), seed=0), **kwargs}
    model = kgen.SemiSupervisedVAE.for_images(SHAPE, condition=specs.Labels(2), **how)
    model.compile(kgen.optimizers.Adam(5e-3))
    return model


def halves(count, seed):
    """Bright on the left (0) or on the right (1), with noise and a brightness of its own."""
    random = np.random.RandomState(seed)
    labels = random.randint(2, size=count).astype("int32")
    images = random.uniform(0.0, 0.3, size=(count, *SHAPE))
    levels = random.uniform(0.3, 0.6, size=(count, 1, 1, 1))
    images[labels == 0, :, :2] += levels[labels == 0]
    images[labels == 1, :, 2:] += levels[labels == 1]
    return images.astype("float32"), labels


def test_the_loss_is_the_papers():
    """Eq. 6, 7 and 9 from the bounds given each class and the classifier, in NumPy."""
    model = build(classification_weight=3.0)
    images, labels = halves(6, 0)
    labels[3:] = -1
    terms = {name: term.numpy() for name, term in model.objective(images, labels).items()}
    bounds = model._bounds_by_class(images, model.noise_seed(False), False)
    losses = (bounds["reconstruction"] + bounds["kl"]).numpy() + np.log(2.0)
    q = model.classify(images).numpy()
    for row, label in enumerate(labels):
        if label >= 0:
            expected = losses[row, label] - 3.0 * np.log(q[row, label])
        else:
            expected = (q[row] * (losses[row] + np.log(q[row]))).sum()
        assert terms["loss"][row] == pytest.approx(expected, rel=1e-4)


def test_unlabelled_images_help_a_few_labels(tmp_path):
    images, labels = halves(600, 0)
    given = np.where(np.arange(600) < 6, labels, -1).astype("int32")
    model = build()
    model.fit(images, given, batch_size=50, epochs=15, verbose=0)
    test, test_labels = halves(300, 1)
    assert (model.classify(test).numpy().argmax(1) == test_labels).mean() > 0.95
    drawn = model.sample(2, condition=[0, 1], seed=0).numpy()[..., 0]
    sides = drawn[:, :, :2].mean((1, 2)) - drawn[:, :, 2:].mean((1, 2))
    assert sides[0] > 0.1 and sides[1] < -0.1


def test_bad_labels_and_conditions():
    model = build()
    images, labels = halves(8, 0)
    with pytest.raises(ValueError, match=r"labels in 0 \.\. 1 or -1, received values from -2"):
        model.fit(images, labels - 2, verbose=0)
    with pytest.raises(ValueError, match=r"labels in 0 \.\. 1, received values from -1"):
        model.sample(2, condition=-1)
    with pytest.raises(ValueError, match="needs condition=kgen.specs.Labels"):
        kgen.SemiSupervisedVAE.for_images(SHAPE, condition=specs.Attributes(1), **DENSE)
    with pytest.raises(ValueError, match="one importance sample"):
        build(num_importance_samples=2)
