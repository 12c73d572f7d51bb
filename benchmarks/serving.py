"""Load on a server of models: requests a second, how long they wait, errors, memory.

    python -m benchmarks.serving                                           # a server of its own
    python -m benchmarks.serving --publish_every=5 --rollback              # new versions meanwhile
    python -m benchmarks.serving --latency                  # what the server adds to a call
    python -m benchmarks.serving --address=grpcs://gpu:8443 --token=... --certificates=tls.crt

Batching is TF Serving's: start it once with --enable_batching and once without, run both, and tell
the results apart by --note; docs/serving.md has the commands. The development server has none. Call
the server itself: behind a proxy that limits the rate, the limit would be measured.
"""

import collections
import contextlib
import dataclasses
import json
import pathlib
import shutil
import statistics
import tempfile
import threading
import time

import keras
import numpy as np
import tensorflow as tf

import kgen
from benchmarks import harness
from benchmarks.harness import option
from kgen import serving
from kgen.serving import c_api, local, publishing, warmup

# The last quarter of a run over the second; the first still fills caches and pools of threads.
MEMORY_GROWTH = 1.1
# Kernels round otherwise at other batch sizes; the models of a run differ by much more.
TOLERANCE = 1e-3
LATENCY_ROWS = 32
LATENCY_GOAL_MS = 3.0


@dataclasses.dataclass(frozen=True)
class Config(harness.Config):
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
    rounds: int = option(20, "rounds of --latency, each of 20 calls per contender")
    token: str = option("", "sent as a bearer token")
    certificates: str = option("", "PEM file of the certificates to trust; the system's by default")
    note: str = option("", "kept with the figures, such as 'batching on'")
    output: str = option("runs/benchmarks/serving/results.json", "where the figures go")


def sources(answer, references):
    """Which references the rows of an answer are from.

    Args:
        answer: output name -> array, rows first.
        references: version -> the same for each version.

    Returns:
        A set of versions, with None for rows that are those of no reference.
    """
    found = {}
    for version, reference in references.items():
        equal = True
        for key, values in answer.items():
            if values.dtype.kind in "OS":
                rows = values == reference[key]
            else:
                rows = np.isclose(values, reference[key], rtol=TOLERANCE, atol=TOLERANCE)
            equal &= rows.reshape(len(values), -1).all(axis=1)
        if equal.all():
            return {version}
        found[version] = equal
    rows = zip(*found.values(), strict=True)
    return {next((v for v, yes in zip(found, row, strict=True) if yes), None) for row in rows}


def run_clients(open_client, signature, inputs, references, config):
    """Calls a server from many threads, each as soon as it has its answer.

    Returns:
        The seconds of all answers, the `sources` of each, the errors, and the seconds that passed.

    Raises:
        RuntimeError: a client cannot begin.
    """
    answers, errors, refusals = [], [], []
    starting, stopping = threading.Barrier(config.clients + 1), threading.Event()

    def call_again_and_again():
        with contextlib.ExitStack() as stack:
            try:
                client = stack.enter_context(open_client())
                client.signatures()
                starting.wait()
            except Exception as error:
                # The first is the reason; those after it only saw that all is called off.
                refusals.append(error)
                starting.abort()
                return
            while not stopping.is_set():
                start = time.perf_counter()
                try:
                    answer = client.predict(signature, **inputs)
                except Exception as error:  # also what no server should make a client raise
                    errors.append(f"{type(error).__name__}: {error}"[:300])
                else:
                    passed = time.perf_counter() - start
                    answers.append((passed, sources(answer, references)))

    threads = [
        threading.Thread(target=call_again_and_again, daemon=True) for _ in range(config.clients)
    ]
    for thread in threads:
        thread.start()
    try:
        starting.wait()
    except threading.BrokenBarrierError:
        raise RuntimeError(f"A client cannot begin: {refusals[0]}") from refusals[0]
    start = time.perf_counter()
    stopping.wait(config.seconds)
    stopping.set()
    for thread in threads:
        thread.join()
    seconds, found = zip(*answers, strict=True) if answers else ((), ())
    return seconds, found, errors, time.perf_counter() - start


@contextlib.contextmanager
def in_background(work):
    """Runs `work(ended)`, which returns when the event `ended` is set; raises what it raised."""
    ended, errors = threading.Event(), []

    def run():
        try:
            work(ended)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    if errors:
        raise errors[0]


def export_models(config, folder, num_models=2):
    """Exports VAEs that differ in their weights; returns the folders of their versions."""
    versions = []
    for seed in range(num_models):
        keras.utils.set_random_seed(seed)
        model = kgen.VAE.for_images((28, 28, 1), latent_dim=16)
        draws = np.random.default_rng(seed)
        for variable in model.trainable_variables:
            # Untrained decoders would all give nearly the same image.
            variable.assign_add(draws.normal(size=variable.shape, scale=0.1))
        versions.append(serving.export(model, folder / f"{config.model}_{seed}", check=False))
    return versions


def publish_copy(directory, version):
    """Publishes a copy of an exported version as the next one of another folder."""
    publishing.publish(directory, lambda to: shutil.copytree(version, to, dirs_exist_ok=True))


def measure_load(config):
    """Puts load on the server of the address, or on one that is started; returns the figures."""
    publishes = config.publish_every > 0
    if config.address and publishes:
        raise ValueError("--publish_every needs a server of its own: leave --address out.")
    if config.rollback and not publishes:
        raise ValueError("--rollback needs --publish_every: else no version could be gone back to.")
    events, megabytes = collections.Counter(), []

    def look(ended):
        status = pathlib.Path("/proc", str(server.process.pid), "status")
        while not ended.wait(0.5):
            megabytes.append(int(status.read_text().split("VmRSS:")[1].split()[0]) / 1024)

    def publish(ended):
        half = max(int(config.seconds / config.publish_every) // 2, 1)
        while not ended.wait(config.publish_every):
            if config.rollback and events["published"] == half and not events["rolled_back"]:
                serving.rollback(served)
                events["rolled_back"] += 1
                continue
            events["published"] += 1
            publish_copy(served, versions[events["published"] % 2])
            serving.prune(served, keep=3)

    def open_client(model=config.model):
        return serving.Client(
            address,
            model,
            token=config.token or None,
            certificates=config.certificates or None,
            # Two parts a request, both of which must be of one version.
            max_batch_size=max(config.rows // 2, 1) if publishes else None,
        )

    with contextlib.ExitStack() as stack:
        address = config.address
        if not address:
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            versions = export_models(config, folder / "exported")
            served = folder / "served" / config.model
            publish_copy(served, versions[0])
            # Alone, under a name of its own, to be asked for its answers.
            publish_copy(folder / "served" / "second", versions[1])
            server = stack.enter_context(local.serving(folder / "served"))
            address = server.rest_address if config.protocol == "rest" else server.grpc_address
        with open_client() as client:
            signatures = client.signatures()
            harness.choose("signature", config.signature, signatures)
            tensors = signatures[config.signature].inputs.items()
            specs = [tf.TensorSpec(tensor.shape, tensor.dtype, name) for name, tensor in tensors]
            # The same for all requests, so that answers can be compared.
            inputs = warmup.synthesize_inputs(specs, config.rows)
            references = {"first": client.predict(config.signature, **inputs)}
        if publishes:
            with open_client("second") as client:
                references["second"] = client.predict(config.signature, **inputs)
            stack.enter_context(in_background(publish))
        if not config.address:
            stack.enter_context(in_background(look))
        run = run_clients(open_client, config.signature, inputs, references, config)
    seconds, found, errors, passed = run
    percentiles = dict(p50=50, p90=90, p99=99, max=100) if seconds else {}
    quarters = np.array_split(megabytes, 4) if len(megabytes) >= 4 else []
    return dict(
        requests=len(seconds),
        requests_per_second=len(seconds) / passed,
        images_per_second=len(seconds) * config.rows / passed,
        milliseconds={k: 1e3 * float(np.percentile(seconds, p)) for k, p in percentiles.items()},
        failed=len(errors),
        errors=dict(collections.Counter(errors).most_common(10)),
        mixed=sum(len(versions) > 1 for versions in found),
        unlike=sum(None in versions for versions in found),
        answers_by_version=dict(collections.Counter(str(v) for names in found for v in names)),
        **(dict(events) if publishes else {}),
        memory_mb_by_quarter=[float(np.mean(quarter)) for quarter in quarters],
    )


def shortfalls(figures):
    """What of the goal of a run under load was missed; an empty list if nothing was."""
    found = [] if figures["requests"] else ["no request was answered"]
    found += [f"{figures[name]} {name}" for name in ("failed", "mixed", "unlike") if figures[name]]
    if "published" in figures and len(figures["answers_by_version"]) < 2:
        found.append("no new version was loaded in time: run for longer")
    quarters = figures["memory_mb_by_quarter"]
    if quarters and quarters[-1] > MEMORY_GROWTH * quarters[1]:
        found.append(f"memory grew by a factor of {quarters[-1] / quarters[1]:.2f}")
    return found


def print_load(config, figures):
    """Prints the figures of load, and whether they meet the goal."""
    where = config.address or f"a development server over {config.protocol}"
    times = ", ".join(f"{key} {ms:,.1f} ms" for key, ms in figures["milliseconds"].items())
    memory = ", ".join(f"{value:,.0f}" for value in figures["memory_mb_by_quarter"])
    # Failed and unlike answers count on a busy machine too.
    missed = "; ".join(shortfalls(figures))
    words = f"MISSED: {missed}" if missed else "met"
    print(
        f"\n{config.clients} clients of {where}, {config.signature}, {config.rows} rows a request\n"
        f"  {figures['requests_per_second']:,.1f} requests/s, "
        f"{figures['images_per_second']:,.0f} images/s; {times}\n"
        f"  {figures['requests']:,} answered, {figures['failed']} failed, "
        f"{figures['mixed']} mixed, {figures['unlike']} unlike those before the run; "
        f"memory by quarter: {memory} MB"
    )
    for message, count in figures["errors"].items():
        print(f"    {count} x {message}")
    if "published" in figures:
        print(
            f"  {figures['published']} versions published, {figures.get('rolled_back', 0)} rolled "
            f"back; answers by version: {figures['answers_by_version']}"
        )
    print(f"  goal: {'no verdict, --quick measures nothing' if config.quick else words}")


def measure_latency(config):
    """Milliseconds of `decode` through the server and in process: name -> median per round."""
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (version,) = export_models(config, folder / "exported", 1)
        publish_copy(folder / "served" / config.model, version)
        latents = np.random.default_rng(0).normal(size=(LATENCY_ROWS, 16)).astype(np.float32)
        loaded = tf.saved_model.load(str(version))
        tensors = serving.read_signatures(version)["decode"]
        fed, fetched = tensors.inputs["latents"].name, tensors.outputs["images"].name
        session = c_api.Session(c_api.load_library(), str(version))
        stack.callback(session.close)
        server = stack.enter_context(local.serving(folder / "served"))
        client = stack.enter_context(serving.Client(server.grpc_address, config.model))
        decode = loaded.signatures["decode"]
        contenders = {
            "server, gRPC": lambda: client.decode(latents),
            "in process, C API": lambda: session.run([(fed, latents)], [fetched])[0],
            "in process, Python": lambda: decode(tf.constant(latents))["images"].numpy(),
        }
        answer, *others = [work() for work in contenders.values()]
        for other in others:
            np.testing.assert_allclose(other, answer, atol=1e-4)
        turns = harness.seconds_between(contenders, {}, config.rounds + 1, 20)
    # The first round is one of warm-up.
    return {
        name: [1e3 * statistics.median(turn) for turn in by_round[1:]]
        for name, by_round in turns.items()
    }


def print_latency(config, milliseconds, before):
    """Prints medians of the rounds with their quartiles, and whether the goal is met."""
    print(f"\nVAE decode, {LATENCY_ROWS} rows: milliseconds, median of the rounds (quartiles)")
    served = milliseconds["server, gRPC"]
    for name, values in milliseconds.items():
        low, middle, high = harness.quartiles(values)
        print(f"  {name:36} {middle:7.2f}  ({low:.2f} - {high:.2f})")
    for name, values in list(milliseconds.items())[1:]:
        added = harness.quartiles([a - b for a, b in zip(served, values, strict=True)])
        words = harness.verdict(
            added,
            LATENCY_GOAL_MS,
            "quartiles",
            at_most=True,
            why_not=harness.obstacle_after(config, before),
        )
        print(f"  the server adds to {name:17} {added[1]:7.2f}  goal {LATENCY_GOAL_MS:g}: {words}")


def main(config):
    """Measure, print and write the figures. Returns them."""
    harness.check(config, rows=1, clients=1, rounds=2)
    harness.choose("protocol", config.protocol, ("grpc", "rest"))
    quick = dict(clients=4, rows=4, seconds=3.0, rounds=2)
    config = dataclasses.replace(config, **quick) if config.quick else config
    before = harness.start(config)
    figures = measure_latency(config) if config.latency else measure_load(config)
    if config.latency:
        print_latency(config, figures, before)
    else:
        print_load(config, figures)
    settings = dataclasses.asdict(config) | {"token": "set" if config.token else ""}
    content = dict(results=figures, config=settings, machine=before)
    harness.write(config.output, json.dumps(content, indent=2) + "\n")
    print(f"\nThe figures are in {config.output}.")
    return content


if __name__ == "__main__":
    harness.run(main, Config)
