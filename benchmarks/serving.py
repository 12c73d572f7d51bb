"""Load on a server of models: requests a second, how long they wait, errors, memory.

    python -m benchmarks.serving                                           # a server of its own
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
import tempfile
import threading
import time

import numpy as np
import tensorflow as tf

import kgen
from benchmarks import harness
from benchmarks.harness import option
from kgen import serving
from kgen.serving import local, warmup

# The last quarter of a run over the second; the first still fills caches and pools of threads.
MEMORY_GROWTH = 1.1
# Kernels round otherwise at other batch sizes.
TOLERANCE = 1e-3


@dataclasses.dataclass(frozen=True)
class Config(harness.Config):
    address: str = option(
        "", "host:port (gRPC) or http(s)://host:port of a server; empty: start a development server"
    )
    model: str = option("vae", "name of the model")
    signature: str = option("sample", "what is called")
    rows: int = option(8, "images a request")
    clients: int = option(64, "threads, each with one request at a time")
    seconds: float = option(60.0, "how long")
    token: str = option("", "sent as a bearer token")
    certificates: str = option("", "PEM file of the certificates to trust; the system's by default")
    note: str = option("", "kept with the figures, such as 'batching on'")
    output: str = option("runs/benchmarks/serving/results.json", "where the figures go")


def equals(answer, reference):
    """Whether an answer is another one, up to the rounding of its kernels."""
    return all(
        np.array_equal(values, reference[key])
        if values.dtype.kind in "OS"
        else np.allclose(values, reference[key], rtol=TOLERANCE, atol=TOLERANCE)
        for key, values in answer.items()
    )


def run_clients(open_client, signature, inputs, reference, config):
    """Calls a server from many threads, each as soon as it has its answer.

    Returns:
        The seconds of all answers, how many of them are not the reference, the errors, and the
        seconds that passed.

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
                    answers.append((passed, not equals(answer, reference)))

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
    seconds, unlike = zip(*answers, strict=True) if answers else ((), ())
    return seconds, sum(unlike), errors, time.perf_counter() - start


def measure_load(config):
    """Puts load on the server of the address, or on one that is started; returns the figures."""
    megabytes, ended = [], threading.Event()

    def look(server):
        status = pathlib.Path("/proc", str(server.process.pid), "status")
        while not ended.wait(0.5):
            megabytes.append(int(status.read_text().split("VmRSS:")[1].split()[0]) / 1024)

    with contextlib.ExitStack() as stack:
        address = config.address
        if not address:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            model = kgen.VAE.for_images((28, 28, 1))
            serving.export(model, pathlib.Path(folder) / config.model, check=False)
            server = stack.enter_context(local.serving(folder))
            address = server.grpc_address
            threading.Thread(target=look, args=[server], daemon=True).start()
            stack.callback(ended.set)

        def open_client():
            secrets = dict(token=config.token or None, certificates=config.certificates or None)
            return serving.Client(address, config.model, **secrets)

        with open_client() as client:
            signatures = client.signatures()
            harness.choose("signature", config.signature, signatures)
            tensors = signatures[config.signature].inputs.items()
            specs = [tf.TensorSpec(tensor.shape, tensor.dtype, name) for name, tensor in tensors]
            # The same for all requests, so that answers can be compared.
            inputs = warmup.synthesize_inputs(specs, config.rows)
            reference = client.predict(config.signature, **inputs)
        run = run_clients(open_client, config.signature, inputs, reference, config)
    seconds, unlike, errors, passed = run
    percentiles = dict(p50=50, p90=90, p99=99, max=100) if seconds else {}
    quarters = np.array_split(megabytes, 4) if len(megabytes) >= 4 else []
    return dict(
        requests=len(seconds),
        requests_per_second=len(seconds) / passed,
        images_per_second=len(seconds) * config.rows / passed,
        milliseconds={k: 1e3 * float(np.percentile(seconds, p)) for k, p in percentiles.items()},
        failed=len(errors),
        errors=dict(collections.Counter(errors).most_common(10)),
        unlike=unlike,
        memory_mb_by_quarter=[float(np.mean(quarter)) for quarter in quarters],
    )


def shortfalls(figures):
    """What of the goal of a run under load was missed; an empty list if nothing was."""
    found = [] if figures["requests"] else ["no request was answered"]
    if figures["failed"]:
        found.append(f"{figures['failed']} failed")
    if figures["unlike"]:
        found.append(f"{figures['unlike']} unlike the one before the run")
    quarters = figures["memory_mb_by_quarter"]
    if quarters and quarters[-1] > MEMORY_GROWTH * quarters[1]:
        found.append(f"memory grew by a factor of {quarters[-1] / quarters[1]:.2f}")
    return found


def print_load(config, figures):
    """Prints the figures of load, and whether they meet the goal."""
    where = config.address or "a development server"
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
        f"{figures['unlike']} unlike the one before the run; memory by quarter: {memory} MB\n"
        f"  goal: {'no verdict, --quick measures nothing' if config.quick else words}"
    )


def main(config):
    """Measure, print and write the figures. Returns them."""
    harness.check(config, rows=1, clients=1)
    quick = dict(clients=4, rows=4, seconds=3.0)
    config = dataclasses.replace(config, **quick) if config.quick else config
    before = harness.start(config)
    figures = measure_load(config)
    print_load(config, figures)
    settings = dataclasses.asdict(config) | {"token": "set" if config.token else ""}
    content = dict(results=figures, config=settings, machine=before)
    harness.write(config.output, json.dumps(content, indent=2) + "\n")
    print(f"\nThe figures are in {config.output}.")
    return content


if __name__ == "__main__":
    harness.run(main, Config)
