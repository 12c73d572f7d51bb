"""Load on a server of models, and what the development server adds to a call in process.

    python -m benchmarks.serving                                           # a server of its own
    python -m benchmarks.serving --publish_every=5 --rollback              # new versions meanwhile
    python -m benchmarks.serving --address=gpu:8500 --model=vae --signature=sample
    python -m benchmarks.serving --address=grpcs://gpu:8443 --token=... --certificates=tls.crt
    python -m benchmarks.serving --latency                  # what the server adds to a call
    python -m benchmarks.serving --quick

Batching is TF Serving's: start it once with --enable_batching and once without, run both, and tell
the results apart by --note; docs/serving.md has the commands. The development server has none. Call
the server itself: behind a proxy that limits the rate, the limit would be measured.
"""

import contextlib
import dataclasses
import os
import pathlib
import statistics
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf

import kgen
from benchmarks import interleaved, load, machine, rounds
from kgen import recipe, serving
from kgen.recipe import option
from kgen.serving import c_api, local, warmup

GOAL_MS = 3.0
LATENCY_ROWS = 32
# The last quarter of a run over the second.
MEMORY_GROWTH = 1.1


@dataclasses.dataclass(frozen=True)
class Config:
    """The flags, with their defaults and help."""

    address: str = option(
        "", "host:port (gRPC) or http(s)://host:port of a server; empty: start a development server"
    )
    protocol: str = option("grpc", "of the development server that is started: grpc or rest")
    model: str = option("vae", "name of the model")
    signature: str = option("sample", "what is called")
    rows: int = option(8, "images a request")
    clients: int = option(64, "threads, each with one request at a time")
    seconds: float = option(60.0, "how long")
    publish_every: float = option(0.0, "seconds between two new versions; 0: none")
    rollback: bool = option(False, "take a new version out of service once")
    latency: bool = option(False, "measure what the development server adds, instead of load")
    rounds: int = option(20, "rounds of --latency, each of 20 calls a contender")
    token: str = option("", "sent as a bearer token")
    certificates: str = option("", "PEM file of the certificates to trust; the system's by default")
    note: str = option("", "kept with the figures, such as 'batching on'")
    quick: bool = option(False, "a small model for seconds: shows that all runs, measures nothing")
    output: str = option("runs/benchmarks/serving/results.json", "where the figures go")


QUICK = dict(clients=4, rows=4, seconds=6.0, rounds=2)


def export_models(config, folder, num_models):
    """Exports VAEs that differ in their weights; returns the folders of their versions."""
    networks = dict(
        encoder=lambda shape, size: kgen.networks.dense_encoder(shape, size, hidden_units=(16,)),
        decoder=lambda size, shape: kgen.networks.dense_decoder(size, shape, hidden_units=(16,)),
    )
    versions = []
    for seed in range(num_models):
        keras.utils.set_random_seed(seed)
        model = kgen.VAE.for_images((28, 28, 1), 16, **(networks if config.quick else {}))
        draws = np.random.default_rng(seed)
        for variable in model.trainable_variables:
            # Untrained decoders would all give nearly the same image.
            variable.assign_add(draws.normal(size=variable.shape, scale=0.1))
        versions.append(serving.export(model, folder / f"{config.model}_{seed}", check=False))
    return versions


def make_inputs(client, config):
    """The inputs of the signature; the same for all requests, so that answers can be compared."""
    signatures = client.signatures()
    if config.signature not in signatures:
        raise ValueError(
            f"--signature={config.signature} does not exist. One of: {', '.join(signatures)}."
        )
    specs = [
        tf.TensorSpec(tensor.shape, tensor.dtype, name=name)
        for name, tensor in signatures[config.signature].inputs.items()
    ]
    return warmup.synthesize_inputs(specs, config.rows)


def measure_load(config):
    """Puts load on the server of the address, or on one that is started; returns the figures."""
    publishes = config.publish_every > 0
    if config.address and (publishes or config.rollback):
        raise ValueError("--publish_every and --rollback need a server of their own: no --address.")
    if config.rollback and not publishes:
        raise ValueError(
            "--rollback needs --publish_every: else there is no version to go back to."
        )
    with contextlib.ExitStack() as stack:
        server, addresses = None, [config.address]
        if not config.address:
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            versions = export_models(config, folder / "exported", 2 if publishes else 1)
            served = folder / "served" / config.model
            load.publish_copy(served, versions[0])
            if publishes:
                # Alone, under a name of its own, to be asked for its answers.
                load.publish_copy(folder / "served" / "second", versions[1])
            server = stack.enter_context(local.serving(folder / "served"))
            is_rest = config.protocol == "rest"
            addresses = [server.rest_address if is_rest else server.grpc_address]

        def open_client(model=config.model):
            return serving.Client(
                addresses[0],
                model,
                token=config.token or None,
                certificates=config.certificates or None,
                # Two parts a request, both of which must be of one version.
                max_batch_size=max(config.rows // 2, 1) if publishes else None,
            )

        references = {}
        with open_client() as client:
            inputs = make_inputs(client, config)
            references["first"] = client.predict(config.signature, **inputs)
        if publishes:
            with open_client("second") as client:
                references["second"] = client.predict(config.signature, **inputs)
        memory = publisher = None
        if server is not None:
            memory = load.Memory(server.process.pid)
            memory.start()
            stack.callback(memory.stop)
        if publishes:
            num_expected = int(config.seconds / config.publish_every)
            publisher = load.Publisher(
                served,
                versions,
                every=config.publish_every,
                rollback_after=max(num_expected // 2, 1) if config.rollback else 0,
            )
            publisher.start()
            # Also when the clients cannot begin: it would publish into a folder that is gone.
            stack.callback(publisher.stop)
        tally, passed = load.run_clients(
            open_client,
            (config.signature, inputs),
            references,
            num_clients=config.clients,
            seconds=config.seconds,
        )
        figures = summarize(tally, passed, config.rows)
        if publisher is not None:
            publisher.stop()
            figures.update(
                published=publisher.num_published,
                rolled_back=publisher.num_rolled_back,
                publisher_error=publisher.error,
            )
        if memory is not None:
            figures.update(memory_mb_by_quarter=memory.stop())
        return figures


def summarize(tally, passed, rows):
    """The figures of a `load.Tally`."""
    answered = len(tally.seconds)
    percentiles = np.percentile(tally.seconds, [50, 90, 99, 100]) if answered else [None] * 4
    return dict(
        requests=answered,
        requests_per_second=answered / passed,
        images_per_second=answered * rows / passed,
        milliseconds={
            name: value and 1e3 * float(value)
            for name, value in zip(("p50", "p90", "p99", "max"), percentiles, strict=True)
        },
        failed=sum(tally.errors.values()),
        errors=dict(tally.errors.most_common(10)),
        mixed=tally.mixed,
        unknown=tally.unknown,
        answers_by_version={str(name): count for name, count in tally.versions.items()},
    )


def print_load(config, figures, why_not=""):
    """Prints the figures of load, and whether they meet the goal."""
    where = config.address or f"a development server over {config.protocol}"
    print(
        f"\n{config.clients} clients of {where}, {config.signature}, {config.rows} rows a request"
    )
    times = figures["milliseconds"]
    print(
        f"  {figures['requests_per_second']:,.1f} requests/s, "
        f"{figures['images_per_second']:,.0f} images/s"
    )
    if figures["requests"]:
        print("  " + ", ".join(f"{name} {value:,.1f} ms" for name, value in times.items()))
    print(
        f"  {figures['requests']:,} answered, {figures['failed']} failed, "
        f"{figures['mixed']} mixed, {figures['unknown']} unlike those before the run"
    )
    for message, count in figures["errors"].items():
        print(f"    {count} x {message}")
    if "published" in figures:
        print(
            f"  {figures['published']} versions published, {figures['rolled_back']} rolled back, "
            f"answers by version: {figures['answers_by_version']}"
        )
    if figures.get("memory_mb_by_quarter"):
        quarters = figures["memory_mb_by_quarter"]
        text = ", ".join(f"{value:,.0f}" for value in quarters)
        ratio = quarters[-1] / quarters[1]
        print(f"  memory by quarter of the run: {text} MB, last / second {ratio:.3f}")
    missed = shortfalls(figures)
    words = f"MISSED: {'; '.join(missed)}" if missed else "met"
    print(f"  goal: {f'no verdict, {why_not}' if why_not else words}")


def shortfalls(figures):
    """What of the goal of a run under load was missed; an empty list if nothing was."""
    found = []
    if not figures["requests"]:
        found.append("no request was answered")
    found += [f"{figures[name]} {name}" for name in ("failed", "mixed") if figures[name]]
    if "published" in figures:
        if figures["unknown"]:
            found.append(f"{figures['unknown']} answers are those of no version")
        if figures["publisher_error"]:
            found.append(figures["publisher_error"])
        if not {"first", "second"} <= set(figures["answers_by_version"]):
            found.append("no new version was loaded in time: run for longer")
    quarters = figures.get("memory_mb_by_quarter")
    # The first quarter still fills caches and pools of threads.
    if quarters and quarters[-1] > MEMORY_GROWTH * quarters[1]:
        found.append(f"memory grew by a factor of {quarters[-1] / quarters[1]:.2f}")
    return found


def measure_latency(config):
    """Median milliseconds of `decode` at batch 32: through the server, and in process."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (version,) = export_models(config, folder / "exported", 1)
        load.publish_copy(folder / "served" / config.model, version)
        latents = np.random.default_rng(0).normal(size=(LATENCY_ROWS, 16)).astype(np.float32)
        loaded = tf.saved_model.load(str(version))
        decode = loaded.signatures["decode"]
        tensors = serving.read_signatures(version)["decode"]
        session = c_api.Session(c_api.load_library(), str(version))
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(local.serving(folder / "served"))
            client = stack.enter_context(serving.Client(server.grpc_address, config.model))
            contenders = {
                "server, gRPC": lambda: client.decode(latents),
                "in process, C API": lambda: session.run(
                    [(tensors.inputs["latents"].name, latents)],
                    [tensors.outputs["images"].name],
                )[0],
                "in process, Python": lambda: decode(tf.constant(latents))["images"].numpy(),
            }
            answers = [work() for work in contenders.values()]
            for work in contenders.values():
                for _ in range(10):
                    work()
            seconds = interleaved.seconds_between(contenders, {}, config.rounds, 20)
        session.close()
    for answer in answers[1:]:
        np.testing.assert_allclose(answer, answers[0], atol=1e-4)
    medians = {
        name: [1e3 * statistics.median(turns) for turns in by_round]
        for name, by_round in seconds.items()
    }
    added = {
        name: [a - b for a, b in zip(medians["server, gRPC"], values, strict=True)]
        for name, values in medians.items()
        if name != "server, gRPC"
    }
    return dict(milliseconds_by_round=medians, added_by_round=added)


def print_latency(figures, why_not=""):
    """Prints medians over the rounds with their quartiles."""
    print(f"\nVAE decode, {LATENCY_ROWS} rows: milliseconds, median of the rounds (quartiles)")
    for name, values in figures["milliseconds_by_round"].items():
        print(f"  {name:36} {_spread(values)}")
    for name, values in figures["added_by_round"].items():
        verdict = latency_verdict(values, why_not)
        print(f"  the server adds to {name:17} {_spread(values)}  goal {GOAL_MS:g}: {verdict}")


def latency_verdict(values, why_not=""):
    """Whether what the server adds, in milliseconds a round, meets the goal."""
    lower, _, upper = _quartiles(values)
    if why_not:
        return f"no verdict, {why_not}"
    if lower <= GOAL_MS < upper:
        return "no verdict, the goal lies between the quartiles: run again"
    return "met" if upper <= GOAL_MS else "MISSED"


def _spread(values):
    lower, median, upper = _quartiles(values)
    return f"{median:7.2f}  ({lower:.2f} - {upper:.2f})"


def _quartiles(values):
    return statistics.quantiles(values, n=4, method="inclusive")


def main(config):
    """Measure, print and write the figures. Returns them."""
    if config.quick:
        config = dataclasses.replace(config, **QUICK)
    before = machine.start(config.quick)
    start = time.monotonic()
    figures = measure_latency(config) if config.latency else measure_load(config)
    if config.latency:
        print_latency(figures, rounds.obstacle(before, config.quick))
    else:
        # Failed and mixed answers count on a busy machine too.
        print_load(config, figures, "--quick measures nothing" if config.quick else "")
    settings = dataclasses.asdict(config) | {"token": "set" if config.token else ""}
    content = dict(
        results=figures, config=settings, machine=before, seconds=time.monotonic() - start
    )
    os.makedirs(os.path.dirname(config.output) or ".", exist_ok=True)
    recipe.write_json(config.output, content)
    print(f"\nThe figures are in {config.output}.")
    return content


if __name__ == "__main__":
    recipe.run(main, Config)
