"""Exports a model as the next version of a SavedModel that TF Serving serves."""

import errno
import pathlib
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from kgen.serving import integrity, model_card, publishing, warmup
from kgen.serving.endpoints import (
    TracedEndpoint,
    num_variable_bytes,
    trace_endpoints,
    variables,
)


def export(
    model,
    directory,
    *,
    warmup_batch_sizes: Sequence[int] = (1, 8, 32),
    check: bool = True,
    metrics: Mapping | None = None,
    config: Mapping | None = None,
) -> pathlib.Path:
    """Traces, checks, warms and publishes `model.endpoints()` as the next version.

    The version appears whole under `directory/<number>` or not at all; earlier versions are not
    touched. Each endpoint becomes a signature of the same name, and the first one
    `serving_default` too. The folder holds the weights once, the warm-up requests of TF Serving,
    and `assets.extra/model_card.json`; see `kgen.serving.model_card`.

    Args:
        model: has a method `endpoints()`; see `kgen.serving.endpoints.trace_endpoints`.
        directory: base folder of the model's versions, `saved_models/vae`.
        warmup_batch_sizes: a warm-up request is written for each signature and each of these batch
            sizes. Give the server's `allowed_batch_sizes`.
        check: load the folder with the server's C++ loader before it is published, run each
            warm-up request there, and compare with Python. About two seconds.
        metrics: for the model card: name -> dict with `value` and `protocol`.
        config: for the model card: what the model was trained with, the seed included.

    Returns:
        The path of the published version.

    Raises:
        OSError: the folder cannot be written or the disk is full; raised before tracing where it
            can be known.
        TypeError: the model has no endpoints.
        ValueError: an endpoint cannot be served, a weight is NaN, or the written model differs
            from Python's, or a row's result depends on the rows beside it.
        RuntimeError: the written model does not load.
    """
    directory = pathlib.Path(directory)
    batch_sizes = _checked_batch_sizes(warmup_batch_sizes)
    publishing.check_writable(directory)
    endpoints = trace_endpoints(model)
    _check_no_nan(endpoints)
    num_bytes = num_variable_bytes(endpoints)
    publishing.check_writable(directory, num_bytes=num_bytes)
    named = [*((item.name, item) for item in endpoints), ("serving_default", endpoints[0])]
    if len(named) * len(batch_sizes) > warmup.MAX_RECORDS:
        raise ValueError(
            f"{len(named)} signatures at {len(batch_sizes)} batch sizes are more than the "
            f"{warmup.MAX_RECORDS} warm-up requests that TF Serving accepts: give fewer."
        )
    inputs = [
        (name, endpoint.endpoint.example(batch_size))
        for name, endpoint in named
        for batch_size in batch_sizes
    ]

    def write(folder: pathlib.Path) -> None:
        _write_saved_model(folder, endpoints)
        _check_weights_once(folder, num_bytes)
        warmup.write_warmup(folder, inputs, model_name=directory.absolute().name)
        model_card.write(folder, model, endpoints, metrics=metrics, config=config)
        if check:
            integrity.check_version(folder, endpoints, inputs)

    return publishing.publish(directory, write)


def _checked_batch_sizes(batch_sizes: Sequence[int]) -> list[int]:
    batch_sizes = sorted(set(batch_sizes))
    if not batch_sizes or not all(isinstance(size, int) and size > 0 for size in batch_sizes):
        raise ValueError(f"warmup_batch_sizes: expected positive integers, received {batch_sizes}.")
    return batch_sizes


def _write_saved_model(folder: pathlib.Path, endpoints: Sequence[TracedEndpoint]) -> None:
    # Without track(): it would store every weight a second time.
    archive = keras.export.ExportArchive()
    for endpoint in endpoints:
        archive.add_endpoint(endpoint.name, endpoint.function)
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    try:
        archive.write_out(str(folder), options=options, verbose=False)
    except tf.errors.OpError as error:
        is_full = isinstance(error, tf.errors.ResourceExhaustedError)
        number = errno.ENOSPC if is_full else errno.EIO
        raise OSError(number, error.message) from error


def _check_no_nan(endpoints: Sequence[TracedEndpoint]) -> None:
    # The outputs do not tell: relu(NaN) is 0.
    names = [
        variable.name
        for variable in variables(endpoints)
        if variable.dtype.is_floating and tf.reduce_any(tf.math.is_nan(variable))
    ]
    if names:
        raise ValueError(
            f"{len(names)} weights hold NaN, the first is {names[0]!r}: training diverged. Export "
            "an earlier checkpoint."
        )


def _check_weights_once(folder: pathlib.Path, num_bytes: int) -> None:
    written = sum(path.stat().st_size for path in (folder / "variables").glob("variables.data-*"))
    # The object graph is stored beside the weights: a few hundred bytes a variable.
    if not num_bytes <= written <= 1.05 * num_bytes + 2**16:
        raise RuntimeError(
            f"The endpoints use {num_bytes:,} bytes of variables, but {written:,} bytes were "
            "written: each weight must be stored once."
        )
