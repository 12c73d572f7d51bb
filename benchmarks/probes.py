"""What is measured in a process of its own, since it is about the process: memory, devices, peaks.

Nothing here imports TensorFlow before it must: PyTorch's memory is measured without it.
"""

import contextlib
import dataclasses
import functools
import math
import pathlib
import statistics
import time

import numpy as np

from benchmarks import cases, harness


def peak(quick=False, dtype="float32"):
    """Gigaflops of large matrix products, and gigabytes a second, read and written, of copies.

    Each is the best of ten calls, since what disturbs a call only slows it down, and an addition
    and a multiplication count as two. `missing` says why there is no figure.
    """
    import tensorflow as tf

    if dtype == "bfloat16" and not tf.config.get_visible_devices("GPU") and not has_bfloat16():
        return dict(missing="the processor has no units for bfloat16")
    rows, length = (256, 1 << 16) if quick else (3072, 1 << 26)
    # Scaled so that a long chain of products neither grows nor fades.
    matrix = tf.cast(tf.random.stateless_normal((rows, rows), (0, 0)) / rows**0.5, dtype)
    vector = tf.ones(length, dtype)
    # Moved by 1, since TensorFlow would hand an unchanged tensor on.
    copied = 2e-9 * vector.dtype.size * length / best_seconds(lambda x: x + 1, vector, quick)
    product = best_seconds(lambda x: x @ matrix, matrix, quick)
    return dict(gigaflops=2e-9 * rows**3 / product, gigabytes_a_second=copied)


def has_bfloat16():
    """Whether the processor multiplies bfloat16 by itself, as Linux reports it."""
    flags = pathlib.Path("/proc/cpuinfo").read_text().split()
    return bool({"avx512_bf16", "amx_bf16", "bf16"}.intersection(flags))


def best_seconds(link, start, quick, jit_compile=False):
    """Seconds of a link of a chain in one `tf.function`, in the best of ten calls of 50 ms."""
    import tensorflow as tf

    @tf.function(autograph=False, jit_compile=jit_compile)
    def chain(x, count):
        # One at a time: as a graph of its own each link would be folded into the next.
        return tf.while_loop(
            lambda index, _: index < count,
            lambda index, x: (index + 1, link(x)),
            (0, x),
            parallel_iterations=1,
        )[1]

    def seconds(count):
        begin = time.perf_counter()
        # To a number, so that a GPU has done all before the clock is read.
        float(tf.reshape(chain(start, tf.constant(count)), [-1])[0])
        return time.perf_counter() - begin

    seconds(1)
    count = 1 if quick else max(1, math.ceil(0.05 / seconds(1)))
    while not quick and seconds(count) < 0.05:
        count *= 2
    return min(seconds(count) for _ in range(10)) / count


def products(shapes, rows, count, quick=False):
    """Seconds of the products of a draw, one pixel after the other, of `rows` images at a time.

    An addition and a maximum over the outputs make each wait for the one before, where a network
    has its bias and its ReLU. The `shapes` are `[inputs, outputs]` of the matrices of a pixel in
    order, `count` the pixels of an image.
    """
    import tensorflow as tf

    draws = [tf.random.stateless_normal(shape, (i, 0)) for i, shape in enumerate(shapes)]
    matrices = [draw / shape[0] ** 0.5 for draw, shape in zip(draws, shapes, strict=True)]
    inputs = [tf.random.stateless_normal((rows, size), (size, 1)) for size, _ in shapes]

    def link(column):
        for given, matrix in zip(inputs, matrices, strict=True):
            # None can begin before the last one has ended, and no number of it can be left out.
            product = tf.matmul(given + column, matrix)
            column = 0.1 * tf.reduce_max(product, axis=-1, keepdims=True)
        return column

    start = tf.zeros((rows, 1))
    return dict(
        operations=2 * count * rows * sum(a * b for a, b in shapes),
        seconds=count * best_seconds(link, start, quick),
        seconds_xla=count * best_seconds(link, start, quick, jit_compile=True),
    )


def step_memory(library, family, case, contender, batch_size, mixed_precision=False):
    """`PeakMemory.peaks` of a training step once the contender is warm, or `left_out`, why not."""
    chosen = dataclasses.replace(cases.FAMILIES[family][case], mixed_precision=mixed_precision)
    images = cases.synthetic_images(4 * batch_size, chosen.num_levels)
    # This makes the data sets and tensors that hold the images.
    make = cases.contenders(library, chosen, images, batch_size)[contender].make
    _first_operation(library)
    memory = harness.PeakMemory(library)
    precision = contextlib.nullcontext
    if library in cases.OF_TENSORFLOW:
        precision = cases.rival("kgen", family).precision
    try:
        with precision(mixed_precision):
            train = make()
        # Twice: PyTorch compiles a second time where it finds that sizes change.
        train()
        train()
    except cases.LeftOut as reason:
        return dict(left_out=str(reason))
    memory.forget()
    train()
    return memory.peaks()


def _first_operation(library):
    """Let the library start its threads and import whatever else it needs once."""
    if library in cases.OF_TENSORFLOW:
        import tensorflow as tf

        tf.ones((8, 8)) @ tf.ones((8, 8))
    else:
        import torch

        weight = torch.ones((8, 8), requires_grad=True)
        (weight @ weight).sum().backward()
        # Its first optimizer imports a part of the compiler.
        torch.optim.Adam([weight], fused=True).step()


def draw_memory(contender, version, num_images, side, levels, **sizes):
    """`draw` and `process`, peaks in MB of a draw of `benchmarks.sampling` once it is warm."""
    noise = np.random.default_rng(0).random((num_images, side, side, 1), np.float32)
    if "torch" in contender.lower():
        rival = cases.rival("torch", "pixelcnn")
        _first_operation("torch")
        memory = harness.PeakMemory("torch")
        found = rival.samplers(rival.network(1 if levels == 2 else levels, **sizes), noise)
        # No further: making PyTorch's second sampler starts a compiler.
        draw = next(draw for name, draw in found if name == contender)
    else:
        from benchmarks import sampling

        sampling.c_api.load_library()
        _first_operation("kgen")
        memory = harness.PeakMemory("kgen")
        if contender == "kgen, served":
            draw, _ = sampling.served_sampler(version, num_images)
        else:
            model = sampling.build(sampling.Config(levels=levels, **sizes), side)
            draws = sampling.kgen_rival.cached_samplers(model, num_images)
            draw = (draws | sampling.kgen_rival.naive_samplers(model, noise))[contender]
    draw()
    memory.forget()
    draw()
    peaks = memory.peaks()
    return dict(draw=peaks["step"], process=peaks["process"])


def scaling(batch_size, num_batches, num_rounds, *, side=28, num_images=0, data_dir=""):
    """Training kgen's convolutional VAE: images a second by round, and peak memory.

    With `num_images` so many are streamed from the shards in `data_dir`. The shuffle buffer is
    filled before the rounds, and all of the data are read once after them, so that the memory is
    that of a whole epoch. Images in memory do not count.
    """
    import keras
    import tensorflow as tf

    import kgen
    from benchmarks.rivals.kgen import in_memory_batches
    from kgen import data

    keras.utils.set_random_seed(0)
    # Cut once and repeated: what is measured is the training, not the making of images.
    images = None if num_images else cases.synthetic_images(4 * batch_size, side=side)
    _first_operation("kgen")
    memory = harness.PeakMemory("kgen")
    if num_images:
        how = dict(shuffle=True, cache=False, drop_remainder=True, data_dir=data_dir)
        batches = data.load(f"synthetic_images/{num_images}", batch_size=batch_size, **how)
    else:
        batches = in_memory_batches(images, batch_size)
    del images
    model = kgen.VAE.for_images((side, side, 1))
    model.compile(kgen.optimizers.Adam(1e-3))
    times = []

    def end(epoch, logs):
        # The device has done all once a number is there.
        float(logs["loss"])
        times.append(time.perf_counter())
        if epoch == 0:
            memory.forget()

    begin = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: times.append(time.perf_counter()), on_epoch_end=end
    )
    # One iterator for all rounds: neither fit's own cost nor that of the buffer is in them.
    how = dict(epochs=num_rounds + 1, steps_per_epoch=num_batches, callbacks=[begin], verbose=0)
    model.fit(batches.repeat(), **how)
    if num_images:
        read = int(batches.reduce(tf.constant(0), lambda count, _: count + 1))
        if read != num_images // batch_size:
            raise RuntimeError(f"Read {read} batches of {batch_size}, not all of {num_images}.")
    seconds = [b - a for a, b in zip(times[2::2], times[3::2], strict=True)]
    return dict(
        images_per_second=[num_batches * batch_size / each for each in seconds],
        milliseconds_a_step=1e3 * statistics.median(seconds) / num_batches,
        **{f"{key}_megabytes": value for key, value in memory.peaks().items()},
    )


def replicas(batch_size, num_batches, num_rounds):
    """Two logical devices that share the processor, in turns with one.

    Beside their speeds: after three steps of SGD the largest difference of a weight from that on
    one device, and its largest movement.
    """
    import keras
    import tensorflow as tf

    import kgen
    from benchmarks.rivals.kgen import in_memory_batches

    # The devices are logical ones of the processor: a GPU beside them would take the one model.
    tf.config.set_visible_devices([], "GPU")
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )
    # One MirroredStrategy for all: a second one in the same process fails.
    mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    strategies = {"one device": tf.distribute.get_strategy(), "two replicas": mirrored}
    batches = in_memory_batches(cases.synthetic_images(4 * batch_size), batch_size)

    def build(strategy, model_class, optimizer):
        keras.utils.set_random_seed(0)
        with strategy.scope():
            model = model_class.for_images((28, 28, 1))
            model.compile(optimizer(1e-3))
        return model

    ends = []
    for strategy in strategies.values():
        # A VAE draws other noise on each replica; without noise the step is to be the same.
        model = build(strategy, kgen.Autoencoder, keras.optimizers.SGD)
        start = [variable.numpy() for variable in model.trainable_variables]
        model.fit(batches.take(3), verbose=0)
        ends.append([variable.numpy() for variable in model.trainable_variables])

    def largest(left, right):
        return max(float(np.abs(a - b).max()) for a, b in zip(left, right, strict=True))

    found = batches.repeat().take(num_batches)
    models = {name: build(s, kgen.VAE, kgen.optimizers.Adam) for name, s in strategies.items()}
    work = {name: lambda m=m: m.fit(found, verbose=0) for name, m in models.items()}
    seconds = harness.seconds_by_round(work, num_rounds)
    size = num_batches * batch_size
    return dict(
        images_per_second={name: [size / s for s in each] for name, each in seconds.items()},
        largest_difference=largest(*ends),
        largest_movement=largest(ends[0], start),
    )


def tfp_sampling(side, num_images, filters, num_rounds, num_turns):
    """TensorFlow Probability's PixelCNN, which needs Keras 2, beside kgen's PixelCNN++.

    Both have the network of Salimans et al. 2017 with the same filters, blocks and scales; the two
    libraries' versions of it differ in details, and so do the counts of weights.
    """
    import tensorflow as tf
    import tensorflow_probability as tfp

    import kgen

    shape = (side, side, 1)
    sizes = dict(num_resnet=1, num_hierarchies=2, num_filters=filters, num_logistic_mix=5)
    theirs = tfp.distributions.PixelCNN(shape, **sizes, dropout_p=0.0, use_weight_norm=False)
    draw = tf.function(lambda: theirs.sample(num_images, seed=0))
    draw()
    likelihood = kgen.heads.DiscretizedLogisticMixture(num_components=5)
    network = functools.partial(
        kgen.networks.pixelcnn_plus_plus, filters=filters, num_blocks=1, num_scales=2
    )
    ours = kgen.PixelCNNPlusPlus.for_images(shape, likelihood=likelihood, network=network)
    fast = {"kgen, cached": lambda: ours.sample(num_images, seed=0).numpy()}
    slow = {"TFP, naive": lambda: draw().numpy()}
    fast["kgen, cached"]()
    seconds = harness.seconds_between(fast, slow, num_rounds, num_turns)
    counts = sum(int(tf.size(v)) for v in theirs.trainable_variables), ours.count_params()
    return dict(
        seconds={name: seconds[name] for name in (*slow, *fast)},
        weights=dict(zip((*slow, *fast), counts, strict=True)),
    )
