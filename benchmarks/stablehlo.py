"""kgen's own compiled training step where there is JAX and no TensorFlow.

    python -m benchmarks.stablehlo export --family=vae --case="dense VAE" --folder=step
    python -m benchmarks.stablehlo time --folder=step

`export` needs kgen: it writes the step that `compile(jit_compile=True)` trains with, as XLA sees
it, with its arguments. `time` needs JAX alone, whose runtime compiles that program and runs it.
What it measures is the compiled step; what `fit` does around it is left out. The program's updates
of its arguments in place are left out too, so that each call writes new weights.
"""

import argparse
import json
import pathlib
import re
import statistics
import time

import numpy as np

from benchmarks import machine
from benchmarks.cases import FAMILIES, synthetic_images

RUNTIME = "jax, exported StableHLO"
NUM_CALLS, NUM_ROUNDS = 20, 9


def export(family, case, folder, batch_size=0, mixed_precision=False):
    """Write `step.mlir`, `arguments.npz` and `step.json`.

    Args:
        family: a name of `FAMILIES`.
        case: a name in it.
        folder: path.
        batch_size: int; 0: that of the case.
        mixed_precision: bool; float16 on a GPU, bfloat16 on a CPU.

    Raises:
        ValueError: if the program's parameters are not the arguments that were gathered.
    """
    import dataclasses
    import importlib

    import tensorflow as tf

    from benchmarks import arithmetic, precision

    chosen = dataclasses.replace(FAMILIES[family][case], mixed_precision=mixed_precision)
    batch_size = batch_size or chosen.batch_size
    images = synthetic_images(batch_size, chosen.num_levels)
    kgen_file, keras_file = (
        importlib.import_module(f"benchmarks.rivals.{library}_{family}")
        for library in ("kgen", "keras")
    )
    batch = next(iter(keras_file.batches(images, batch_size)))
    with precision.of_keras(mixed_precision):
        model = kgen_file.model(chosen, images.shape[1:], jit_compile=True)
        step = tf.function(model.train_step, jit_compile=True, autograph=False)
        traced = step.get_concrete_function(batch)
        program = step.experimental_get_compiler_ir(batch)(stage="stablehlo")
    parts = [*tf.nest.flatten(batch), *traced.captured_inputs]
    arguments = [_value(part).numpy() for part in parts]
    program = without_attributes(program)
    check(program, arguments)
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "step.mlir").write_text(program)
    np.savez(folder / "arguments.npz", *arguments)
    about = dict(
        family=family,
        case=case,
        batch_size=batch_size,
        mixed_precision=mixed_precision,
        gigaflops_a_step=1e-9 * arithmetic.of_step(family, chosen, images, batch_size),
        arguments=[dict(shape=list(a.shape), dtype=a.dtype.name) for a in arguments],
        exported_on=machine.description(),
    )
    (folder / "step.json").write_text(json.dumps(about, indent=2) + "\n")


def _value(part):
    """What a program has where the graph has `part`: of a variable its value."""
    import tensorflow as tf

    if part.dtype != tf.resource:
        return part
    # The graph knows its variables as handles alone where a fused kernel updates them.
    dtype = tf.as_dtype(part._handle_data.shape_and_type[0].dtype)
    return tf.raw_ops.ReadVariableOp(resource=part, dtype=dtype)


def without_attributes(program):
    """The program without the attributes of its module, whose dialect JAX does not know."""
    return re.sub(r"^(module @\S+) attributes \{.*\} \{$", r"\1 {", program, flags=re.MULTILINE)


def check(program, arguments):
    """Compare the parameters of the program with the arguments, in number and in shape."""
    signature = re.search(r"func\.func (?:public )?@main\((.*?)\) ->", program, re.DOTALL)[1]
    wanted = re.findall(r"%arg\d+: tensor<((?:\d+x)*)\w+>", signature)
    wanted = [tuple(map(int, shape.split("x")[:-1])) for shape in wanted]
    found = [argument.shape for argument in arguments]
    if wanted != found:
        raise ValueError(f"The step's parameters are {wanted}; its arguments are {found}.")


def time_step(folder, num_calls=NUM_CALLS, num_rounds=NUM_ROUNDS):
    """Compile an exported step with JAX and time it.

    Args:
        folder: what `export` wrote.
        num_calls: int, steps a round.
        num_rounds: int, after one of warm-up.

    Returns:
        dict with `runtime`, `device`, `images_per_second` (one a round), `gigaflops`,
        `share_of_peak` and what `export` wrote about the step.
    """
    import jax
    from jax.extend.backend import get_backend
    from jaxlib import xla_client

    # Counters are 64 bits wide.
    jax.config.update("jax_enable_x64", True)
    folder = pathlib.Path(folder)
    about = json.loads((folder / "step.json").read_text())
    client = get_backend()
    step = client.compile_and_load(
        (folder / "step.mlir").read_text(),
        xla_client.DeviceList(tuple(client.local_devices()[:1])),
        xla_client.CompileOptions(),
    )
    with np.load(folder / "arguments.npz") as stored:
        arguments = [jax.device_put(stored[name]) for name in stored.files]
    speeds = []
    for _ in range(num_rounds + 1):
        start = time.perf_counter()
        for _ in range(num_calls):
            outputs = step.execute_sharded(arguments)
        for shards in outputs.disassemble_into_single_device_arrays():
            jax.block_until_ready(shards)
        speeds.append(num_calls * about["batch_size"] / (time.perf_counter() - start))
    speeds = speeds[1:]
    rate = about["gigaflops_a_step"] * statistics.median(speeds) / about["batch_size"]
    return dict(
        about,
        runtime=RUNTIME,
        jax=jax.__version__,
        device=client.local_devices()[0].device_kind,
        images_per_second=speeds,
        gigaflops=rate,
        share_of_peak=rate / peak(about["mixed_precision"]),
    )


def peak(mixed_precision, rows=4096):
    """Gigaflops of a product of two square matrices in JAX, the best of ten calls.

    Args:
        mixed_precision: bool, whether in bfloat16, not in float32.
        rows: int.
    """
    import jax
    import jax.numpy as jnp

    matrix = jnp.ones((rows, rows), jnp.bfloat16 if mixed_precision else jnp.float32)
    product = jax.jit(lambda x: x @ x)
    product(matrix).block_until_ready()
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        product(matrix).block_until_ready()
        seconds.append(time.perf_counter() - start)
    return 2e-9 * rows**3 / min(seconds)


def main():
    """Export a step, or time one and write and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=("export", "time"))
    parser.add_argument("--folder", default="runs/benchmarks/stablehlo")
    parser.add_argument("--family", choices=FAMILIES, default="vae")
    parser.add_argument("--case", help="a model of the family; the first by default")
    parser.add_argument("--batch_size", type=int, default=0, help="0: that of the case")
    parser.add_argument("--mixed_precision", action="store_true")
    flags = parser.parse_args()
    if flags.command == "export":
        case = flags.case or next(iter(FAMILIES[flags.family]))
        export(flags.family, case, flags.folder, flags.batch_size, flags.mixed_precision)
        print(f"The step of the {case} is in {flags.folder}.")
        return
    found = time_step(flags.folder)
    path = pathlib.Path(flags.folder) / "results.json"
    path.write_text(json.dumps(found, indent=2) + "\n")
    speeds = found["images_per_second"]
    print(
        f"{found['case']} ({RUNTIME}) on {found['device']}: {statistics.median(speeds):,.0f} "
        f"images a second ({min(speeds):,.0f} - {max(speeds):,.0f}), {found['gigaflops']:,.1f} "
        f"gigaflops, {found['share_of_peak']:.1%} of the peak of a matrix product"
    )


if __name__ == "__main__":
    main()
