"""Many clients of one server at a time: their latencies and errors, and whose answers they got."""

import collections
import contextlib
import dataclasses
import pathlib
import shutil
import statistics
import threading
import time

import numpy as np

from kgen import serving
from kgen.serving import publishing

# The rows of an answer are those of a reference up to the rounding of kernels at other batch
# sizes; the models of a run differ by much more.
TOLERANCE = 1e-3


@dataclasses.dataclass
class Tally:
    """What happened to the requests.

    Attributes:
        seconds: of each request that was answered.
        errors: message -> count.
        mixed: answers whose rows are those of different versions.
        unknown: answers with rows that are those of no version.
        versions: which references were seen -> count.
    """

    seconds: list = dataclasses.field(default_factory=list)
    errors: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    mixed: int = 0
    unknown: int = 0
    versions: collections.Counter = dataclasses.field(default_factory=collections.Counter)

    def add(self, other):
        """Adds what another client saw."""
        self.seconds += other.seconds
        self.errors += other.errors
        self.versions += other.versions
        self.mixed += other.mixed
        self.unknown += other.unknown


def sources(answer, references):
    """Which references the rows of an answer are from.

    Args:
        answer: output name -> array, rows first.
        references: name -> the same for each version.

    Returns:
        A set of names, with None for rows that are those of no reference.
    """
    num_rows = len(next(iter(answer.values())))
    found = np.zeros((len(references), num_rows), bool)
    for i, reference in enumerate(references.values()):
        found[i] = _equal_rows(answer, reference)
    names = list(references)
    # One that two references agree on is the first one's, unless the second explains all rows.
    for i, name in enumerate(names):
        if found[i].all():
            return {name}
    return {names[rows.argmax()] if rows.any() else None for rows in found.T}


def _equal_rows(answer, reference):
    equal = True
    for key, values in answer.items():
        if values.dtype.kind in "OS":
            rows = values == reference[key]
        else:
            rows = np.isclose(values, reference[key], rtol=TOLERANCE, atol=TOLERANCE)
        equal &= rows.reshape(len(values), -1).all(axis=1)
    return equal


def run_clients(open_client, request, references, *, num_clients, seconds):
    """Calls a server from many threads, each as soon as it has its answer.

    Args:
        open_client: returns a `kgen.serving.Client`; called once a thread.
        request: the name of the signature and a dict of its inputs.
        references: see `sources`.
        num_clients: threads.
        seconds: how long.

    Returns:
        A `Tally` of all, and the seconds that passed.

    Raises:
        RuntimeError: a client cannot begin.
    """
    signature, inputs = request
    tallies = [Tally() for _ in range(num_clients)]
    refusals = []
    starting = threading.Barrier(num_clients + 1)
    stopping = threading.Event()

    def call_again_and_again(tally):
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
                    tally.errors[f"{type(error).__name__}: {error}"[:300]] += 1
                    continue
                tally.seconds.append(time.perf_counter() - start)
                found = sources(answer, references)
                tally.mixed += len(found) > 1
                tally.unknown += None in found
                tally.versions.update(found)

    threads = [
        threading.Thread(target=call_again_and_again, args=(tally,), daemon=True)
        for tally in tallies
    ]
    for thread in threads:
        thread.start()
    try:
        starting.wait()
    except threading.BrokenBarrierError:
        raise RuntimeError(f"A client cannot begin: {refusals[0]}") from refusals[0]
    start = time.perf_counter()
    stopping.wait(seconds)
    stopping.set()
    for thread in threads:
        thread.join()
    total = Tally()
    for tally in tallies:
        total.add(tally)
    return total, time.perf_counter() - start


def publish_copy(directory, version_dir):
    """Publishes a copy of a version as the next one of another folder."""

    def copy(folder):
        shutil.copytree(version_dir, folder, dirs_exist_ok=True)

    return publishing.publish(directory, copy)


class Publisher(threading.Thread):
    """Publishes a version every few seconds, by turns from the given folders.

    Args:
        directory: base folder of the model's versions.
        folders: exported versions to publish copies of.
        every: seconds between two.
        rollback_after: number of versions after which the newest is rolled back, once; 0: never.
    """

    def __init__(self, directory, folders, *, every, rollback_after=0):
        super().__init__(name="publisher", daemon=True)
        self._directory, self._folders, self._every = pathlib.Path(directory), folders, every
        self._rollback_after = rollback_after
        self._stopping = threading.Event()
        self.num_published = self.num_rolled_back = 0
        self.error = None

    def run(self):
        """Publishes until `stop`."""
        try:
            while not self._stopping.wait(self._every):
                if self._rollback_after and self.num_published == self._rollback_after:
                    serving.rollback(self._directory)
                    self.num_rolled_back, self._rollback_after = 1, 0
                    continue
                source = self._folders[(self.num_published + 1) % len(self._folders)]
                publish_copy(self._directory, source)
                self.num_published += 1
                serving.prune(self._directory, keep=3)
        except (OSError, ValueError) as error:
            self.error = f"{type(error).__name__}: {error}"

    def stop(self):
        """Ends after what is under way."""
        self._stopping.set()
        self.join()


class Memory(threading.Thread):
    """Looks at the memory of a process every second.

    Args:
        pid: the process.
        every: seconds between two looks.
    """

    def __init__(self, pid, *, every=0.5):
        super().__init__(name="memory", daemon=True)
        self._status, self._every = pathlib.Path("/proc", str(pid), "status"), every
        self._stopping = threading.Event()
        self.megabytes = []

    def run(self):
        """Looks until `stop`."""
        while not self._stopping.wait(self._every):
            lines = dict(line.split(":", 1) for line in self._status.read_text().splitlines())
            self.megabytes.append(int(lines["VmRSS"].split()[0]) / 1024)

    def stop(self):
        """Ends; returns the means of the quarters of the run, in MB."""
        self._stopping.set()
        self.join()
        quarters = np.array_split(self.megabytes, 4) if len(self.megabytes) >= 4 else []
        return [statistics.fmean(quarter) for quarter in quarters]
