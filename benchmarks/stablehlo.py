"""kgen's own compiled training step where there is JAX and no TensorFlow.

    python -m benchmarks.stablehlo export --family=vae --case="dense VAE" --folder=step
    python -m benchmarks.stablehlo time --folder=step

`export` needs kgen: it writes the step that `compile(jit_compile=True)` trains with, as XLA sees
it, with its arguments. `time` needs JAX alone, whose runtime compiles that program and runs it.
What it measures is the compiled step; what `fit` does around it is left out. The program's updates
of its arguments in place are left out too, so that each call writes new weights.
"""

import argparse
import dataclasses
import json
import pathlib
import re
import statistics

import numpy as np

from benchmarks import harness
from benchmarks.cases import FAMILIES, synthetic_images

RUNTIME = "jax, exported StableHLO"


def export(family, case, folder, batch_size=0, mixed_precision=False):
    """Write `step.mlir`, `arguments.npz` and `step.json`; a batch size of 0 is that of the case."""
    import tensorflow as tf

    from benchmarks import arithmetic
    from benchmarks.rivals import kgen as ours

    chosen = dataclasses.replace(FAMILIES[family][case], mixed_precision=mixed_precision)
    batch_size = batch_size or chosen.batch_size
    images = synthetic_images(batch_size, chosen.num_levels)
    batch = next(iter(ours.batches(chosen, images, batch_size)))
    with ours.precision(mixed_precision):
        model = ours.model(chosen, images.shape[1:], jit_compile=True)
        step = tf.function(model.train_step, jit_compile=True, autograph=False)
        traced = step.get_concrete_function(batch)
        program = step.experimental_get_compiler_ir(batch)(stage="stablehlo")

    def value(part):
        if part.dtype != tf.resource:
            return part
        # The graph knows its variables as handles alone where a fused kernel updates them.
        dtype = tf.as_dtype(part._handle_data.shape_and_type[0].dtype)
        return tf.raw_ops.ReadVariableOp(resource=part, dtype=dtype)

    parts = [*tf.nest.flatten(batch), *traced.captured_inputs]
    arguments = [value(part).numpy() for part in parts]
    # JAX does not know the dialect of the module's attributes.
    program = re.sub(r"^(module @\S+) attributes \{.*\} \{$", r"\1 {", program, flags=re.MULTILINE)
    check(program, arguments)
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "step.mlir").write_text(program)
    np.savez(folder / "arguments.npz", *arguments)
    about = dict(family=family, case=case, batch_size=batch_size, mixed_precision=mixed_precision)
    about |= dict(
        gigaflops_a_step=arithmetic.gigaflops_of_step(chosen, images, batch_size),
        arguments=[dict(shape=list(a.shape), dtype=a.dtype.name) for a in arguments],
        exported_on=harness.description(),
    )
    harness.write(folder / "step.json", json.dumps(about, indent=2) + "\n")


def check(program, arguments):
    """Compare the parameters of the program with the arguments, in number and in shape."""
    signature = re.search(r"func\.func (?:public )?@main\((.*?)\) ->", program, re.DOTALL)[1]
    wanted = re.findall(r"%arg\d+: tensor<((?:\d+x)*)\w+>", signature)
    wanted = [tuple(map(int, shape.split("x")[:-1])) for shape in wanted]
    found = [argument.shape for argument in arguments]
    if wanted != found:
        raise ValueError(f"The step's parameters are {wanted}; its arguments are {found}.")


def time_step(folder, num_calls=20, num_rounds=9):
    """Compile an exported step with JAX and time it; its speed, and what `export` wrote of it."""
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

    def run():
        for _ in range(num_calls):
            outputs = step.execute_sharded(arguments)
        jax.block_until_ready(outputs.disassemble_into_single_device_arrays())

    seconds = harness.seconds_by_round({"step": run}, num_rounds)["step"]
    speeds = [num_calls * about["batch_size"] / each for each in seconds]
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
    """Gigaflops of a product of two square matrices in JAX, the best of ten calls."""
    import jax
    import jax.numpy as jnp

    matrix = jnp.ones((rows, rows), jnp.bfloat16 if mixed_precision else jnp.float32)
    product = jax.jit(lambda x: x @ x)
    work = dict(product=lambda: product(matrix).block_until_ready())
    return 2e-9 * rows**3 / min(harness.seconds_by_round(work, 10)["product"])


def main():
    """Export a step, or time one and write and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=("export", "time"))
    parser.add_argument("--folder", default="runs/benchmarks/stablehlo")
    parser.add_argument("--family", choices=FAMILIES, default="vae")
    parser.add_argument("--case", help="a model of the family; the first by default")
    parser.add_argument("--mixed_precision", action="store_true")
    flags = parser.parse_args()
    if flags.command == "export":
        case = flags.case or next(iter(FAMILIES[flags.family]))
        export(flags.family, case, flags.folder, mixed_precision=flags.mixed_precision)
        print(f"The step of the {case} is in {flags.folder}.")
        return
    found = time_step(flags.folder)
    path = pathlib.Path(flags.folder) / "results.json"
    harness.write(path, json.dumps(found, indent=2) + "\n")
    print(
        f"{found['case']} ({RUNTIME}) on {found['device']}: images a second "
        f"{harness.spread(found['images_per_second'], 0)}, {found['gigaflops']:,.1f} gigaflops, "
        f"{found['share_of_peak']:.1%} of the peak of a matrix product"
    )


if __name__ == "__main__":
    main()
