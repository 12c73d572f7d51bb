"""One of the workers of `test_two_workers_...`: TF_CONFIG says which. Writes its weights."""

import os
import pathlib
import sys

os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import numpy as np
import tensorflow as tf

# Before anything else: the strategy must come before the first operation.
strategy = tf.distribute.MultiWorkerMirroredStrategy()
sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from test_distribution import build_autoencoder, worker_data  # noqa: E402


def main(target):
    with strategy.scope():
        model = build_autoencoder()
    history = model.fit(worker_data(), epochs=1, verbose=0).history
    results = model.evaluate(worker_data(), verbose=0, return_dict=True)
    numbers = dict(loss=history["loss"], evaluated_loss=results["loss"])
    weights = {f"weight_{i}": variable.numpy() for i, variable in enumerate(model.variables)}
    np.savez(target, **numbers, **weights)


if __name__ == "__main__":
    main(sys.argv[1])
