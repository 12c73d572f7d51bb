"""A version appears whole or not at all, under a number that only grows."""

import concurrent.futures
import contextlib
import errno
import os
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from kgen import serving
from kgen.serving import publishing
from tests.serving.stand_in import single

REPOSITORY = pathlib.Path(__file__).parents[2]


def write_file(folder):
    (folder / "content").write_text(folder.name)


def names(directory):
    return sorted(path.name for path in directory.iterdir() if path.name != ".last_version")


def double(x):
    return {"y": 2 * x}


def test_versions_only_grow(tmp_path):
    base = tmp_path / "models" / "vae"
    assert publishing.list_versions(base) == []
    assert publishing.publish(base, write_file) == base / "1"
    (base / "1").rename(base / "9")
    (base / "notes").mkdir()
    assert publishing.publish(base, write_file) == base / "10"
    assert (base / "9" / "content").read_text().startswith(".tmp-1-")
    assert publishing.list_versions(base) == [9, 10]
    assert names(base) == ["10", "9", "notes"]


def test_a_number_taken_meanwhile_is_skipped(tmp_path):
    def write(folder):
        write_file(folder)
        (tmp_path / "1").mkdir()
        (tmp_path / "1" / "other").touch()

    assert publishing.publish(tmp_path, write).name == "2"
    assert names(tmp_path / "1") == ["other"]


def test_concurrent_exporters(tmp_path):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: publishing.publish(tmp_path, write_file), range(24)))
    assert publishing.list_versions(tmp_path) == list(range(1, 25))
    assert len(names(tmp_path)) == 24
    contents = {(tmp_path / str(i) / "content").read_text() for i in range(1, 25)}
    assert len(contents) == 24


def test_all_is_synchronised_before_the_rename(tmp_path, monkeypatch):
    events = []
    fsync, rename = os.fsync, os.rename
    monkeypatch.setattr(
        os, "fsync", lambda fd: (events.append(os.readlink(f"/proc/self/fd/{fd}")), fsync(fd))
    )
    monkeypatch.setattr(os, "rename", lambda a, b: (events.append("rename"), rename(a, b)))

    def write(folder):
        (folder / "variables").mkdir()
        (folder / "variables" / "data").write_text("1")
        write_file(folder)

    publishing.publish(tmp_path, write)
    before = {pathlib.Path(path).name for path in events[: events.index("rename")]}
    assert {"variables", "data", "content"} < before
    assert any(name.startswith(".tmp-1-") for name in before)
    assert events[-1] == str(tmp_path)


def test_a_failing_export_leaves_nothing(tmp_path):
    publishing.publish(tmp_path, write_file)

    def fail(folder):
        write_file(folder)
        raise KeyError("from the writer")

    with pytest.raises(KeyError, match="from the writer"):
        publishing.publish(tmp_path, fail)
    assert names(tmp_path) == ["1"]


def test_only_abandoned_folders_are_removed(tmp_path):
    # The number of a living process: the dead exporter's number may have been given to another.
    dead = tmp_path / f".tmp-3-{os.getpid()}-0123abcd"
    dead.mkdir()
    write_file(dead)
    (tmp_path / ".tmp-file").touch()

    def export_inside(folder):
        write_file(folder)
        publishing.publish(tmp_path, write_file)
        assert folder.exists(), "a living exporter's folder was removed"

    publishing.publish(tmp_path, export_inside)
    assert names(tmp_path) == [".tmp-file", "1", "2"]


def test_file_in_the_way(tmp_path):
    base = tmp_path / "base"
    base.write_text("a file")
    for path in (base, base / "below"):
        with pytest.raises(OSError, match=f"Cannot publish a model in {path}.*in the way"):
            serving.check_writable(path)
    assert base.read_text() == "a file"


@pytest.mark.parametrize(
    ("number", "advice"), [(errno.EROFS, "read-only"), (errno.ENOSPC, "free space")]
)
def test_unwritable_folder_is_known_before_tracing(tmp_path, monkeypatch, number, advice):
    def refuse(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "mkdir", refuse)

    def never(x):
        raise AssertionError("traced")

    with pytest.raises(OSError, match=f"{tmp_path}.*{advice}") as caught:
        serving.export(single(never), tmp_path)
    assert caught.value.errno == number
    assert names(tmp_path) == []


def test_too_full_a_disk_is_known_before_writing(tmp_path):
    serving.check_writable(tmp_path, num_bytes=1)
    with pytest.raises(OSError, match="bytes needed.*The disk is full") as caught:
        serving.check_writable(tmp_path, num_bytes=2**60)
    assert caught.value.errno == errno.ENOSPC
    assert names(tmp_path) == []


def test_disk_that_fills_up_while_writing(tmp_path):
    """A file size limit makes real writes fail half-way, as a full disk does."""
    serving.export(single(double), tmp_path, check=False)
    weights = tf.Variable(np.zeros((3, 2**18), np.float32))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
    try:
        with pytest.raises(OSError, match=f"Cannot publish a model in {tmp_path}.*unchanged"):
            serving.export(single(lambda x: {"y": x @ weights}), tmp_path, check=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == ["1"]


def test_disk_that_is_full_after_the_rename(tmp_path, monkeypatch):
    """The version is there, and nothing says that it is not."""
    publishing.publish(tmp_path, write_file)
    replace = os.replace

    def fill(source, target):
        if pathlib.Path(target).name == ".last_version":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fill)
        assert publishing.publish(tmp_path, write_file) == tmp_path / "2"
        # A rollback needs the number to be remembered: it changes nothing without.
        with pytest.raises(OSError, match="Cannot roll back.*free space.*unchanged"):
            publishing.rollback(tmp_path)
    assert publishing.list_versions(tmp_path) == [1, 2]
    assert list(tmp_path.glob(".tmp-*"))
    assert publishing.publish(tmp_path, write_file) == tmp_path / "3"
    assert names(tmp_path) == ["1", "2", "3"]


# Exports version after version, in one process per moment. At "random" the test kills it; at
# another moment the process kills itself. TensorFlow is imported once and the processes are forked
# before its first operation starts a thread. What ended each is printed.
EXPORTERS = textwrap.dedent(
    """
    import os, signal, sys
    import tensorflow as tf
    from kgen import serving
    from tests.serving.stand_in import single

    def export_for_ever(base, moment):
        bias = tf.Variable([1.0, 2.0, 3.0])
        model = single(lambda x: {"y": x + bias})
        serving.export(model, base, check=False)
        rename = os.rename

        def killing_rename(source, target):
            if moment == "after rename":
                rename(source, target)
            os.kill(os.getpid(), signal.SIGKILL)

        if moment != "random":
            os.rename = killing_rename
        print("ready", os.getpid(), moment, flush=True)
        while True:
            serving.export(model, base, check=False)

    processes = []
    for base, moment in zip(sys.argv[1::2], sys.argv[2::2]):
        processes.append(os.fork())
        if processes[-1] == 0:
            export_for_ever(base, moment)
    print("ended by", *[os.waitpid(process, 0)[1] for process in processes], flush=True)
    """
)


def test_killed_exports_leave_whole_versions(tmp_path):
    moments = ["random", "random", "before rename", "after rename"]
    bases = [tmp_path / str(i) / "base" for i in range(len(moments))]
    arguments = [str(each) for pair in zip(bases, moments, strict=True) for each in pair]
    exporters = subprocess.Popen(
        [sys.executable, "-c", EXPORTERS, *arguments],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        ready = [exporters.stdout.readline().split(maxsplit=2) for _ in moments]
        assert sorted(moment.strip() for _, _, moment in ready) == sorted(moments)
        for _, process, moment in ready:
            if moment.strip() == "random":
                time.sleep(random.uniform(0.0, 0.6))
                os.kill(int(process), signal.SIGKILL)
        assert exporters.stdout.readline() == "ended by 9 9 9 9\n"
        assert exporters.wait(60) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(exporters.pid, signal.SIGKILL)
        exporters.wait()
        exporters.stdout.close()

    assert publishing.list_versions(bases[2]) == [1]
    assert len(list(bases[2].glob(".tmp-*"))) == 1
    assert publishing.list_versions(bases[3]) == [1, 2]
    for base in bases:
        last = publishing.list_versions(base)[-1]
        zero = {"x": np.zeros((1, 3), np.float32)}
        outputs = serving.run_signatures(base / str(last), {"run": zero})["run"]
        np.testing.assert_array_equal(outputs["y"], [[1, 2, 3]])
        # The next export works, and clears what the killed one left.
        following = serving.export(single(double), base, check=False)
        assert following.name == str(last + 1)
        assert not list(base.glob(".tmp-*"))


def test_the_number_of_a_removed_version_is_not_given_again(tmp_path):
    for expected in ("1", "2"):
        assert publishing.publish(tmp_path, write_file).name == expected
    shutil.rmtree(tmp_path / "2")
    assert publishing.publish(tmp_path, write_file).name == "3"


def test_rollback_serves_the_version_before(tmp_path):
    for _ in range(3):
        publishing.publish(tmp_path, write_file)
    assert publishing.rollback(tmp_path) == tmp_path / "2"
    assert publishing.list_versions(tmp_path) == [1, 2]
    assert (tmp_path / ".rolled_back-3" / "content").exists()
    assert publishing.publish(tmp_path, write_file).name == "4"
    # Brought back by a copy, and taken out again.
    shutil.rmtree(tmp_path / "4")
    shutil.copytree(tmp_path / ".rolled_back-3", tmp_path / "3")
    assert publishing.rollback(tmp_path) == tmp_path / "2"
    assert len(list(tmp_path.glob(".rolled_back-3*"))) == 2
    assert publishing.rollback(tmp_path) == tmp_path / "1"
    assert publishing.publish(tmp_path, write_file).name == "5"


@pytest.mark.parametrize("count", [0, 1])
def test_no_rollback_without_an_earlier_version(tmp_path, count):
    for _ in range(count):
        publishing.publish(tmp_path, write_file)
    with pytest.raises(ValueError, match="an earlier one to serve"):
        publishing.rollback(tmp_path)
    assert publishing.list_versions(tmp_path) == list(range(1, count + 1))


def test_a_number_published_by_hand_and_rolled_back_is_not_given_again(tmp_path):
    publishing.publish(tmp_path, write_file)
    shutil.copytree(tmp_path / "1", tmp_path / "7")
    publishing.rollback(tmp_path)
    assert publishing.publish(tmp_path, write_file).name == "8"


def test_prune_keeps_the_newest(tmp_path):
    for _ in range(6):
        publishing.publish(tmp_path, write_file)
    publishing.rollback(tmp_path)
    publishing.publish(tmp_path, write_file)
    (tmp_path / "notes").mkdir()
    assert publishing.prune(tmp_path) == [1, 2, 3]
    assert names(tmp_path) == [".rolled_back-6", "4", "5", "7", "notes"]
    assert publishing.prune(tmp_path, keep=5) == []
    assert publishing.prune(tmp_path, keep=1) == [4, 5, 6]
    assert names(tmp_path) == ["7", "notes"]
    assert publishing.prune(tmp_path, keep=1) == []
    assert publishing.publish(tmp_path, write_file).name == "8"
    for wrong in (0, -1, 1.5):
        with pytest.raises(ValueError, match="1 or more"):
            publishing.prune(tmp_path, keep=wrong)


def test_a_prune_that_was_killed_is_finished_by_the_next_export(tmp_path, monkeypatch):
    for _ in range(2):
        publishing.publish(tmp_path, write_file)
    with monkeypatch.context() as patch:
        patch.setattr(publishing.shutil, "rmtree", lambda *_, **__: None)
        assert publishing.prune(tmp_path, keep=1) == [1]
    assert names(tmp_path)[0].startswith(".tmp-1-")
    publishing.publish(tmp_path, write_file)
    assert names(tmp_path) == ["2", "3"]


def write_parts(folder):
    for i in range(20):
        (folder / str(i)).write_text("whole")


def is_whole(version):
    return all((version / str(i)).read_text() == "whole" for i in range(20))


def test_a_watcher_sees_whole_versions_only(tmp_path):
    """Exporters, rollbacks and removals at once, watched as a server does."""
    for _ in range(3):
        publishing.publish(tmp_path, write_parts)
    stop, given, seen = threading.Event(), [], 0

    def export():
        for _ in range(25):
            given.append(int(publishing.publish(tmp_path, write_parts).name))

    def remove():
        while not stop.is_set():
            publishing.prune(tmp_path, keep=2)
            with contextlib.suppress(ValueError):  # A single version is left.
                publishing.rollback(tmp_path)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        exporters = [pool.submit(export) for _ in range(2)]
        removers = [pool.submit(remove) for _ in range(2)]
        try:
            while not all(future.done() for future in exporters):
                versions = publishing.list_versions(tmp_path)
                assert versions, "no version was served"
                try:
                    whole = is_whole(tmp_path / str(versions[-1]))
                except FileNotFoundError:
                    # The folder as such went away, by its rename; the server looks again.
                    whole = not (tmp_path / str(versions[-1])).exists()
                assert whole
                seen += 1
        finally:
            stop.set()
        for future in exporters + removers:
            future.result()
    assert seen > 20
    assert sorted(given) == list(range(4, 54)), "each number is given once"


# Publishes version after version of 20 files. It imports the module by its path, since 20 imports
# of TensorFlow would take a minute.
PUBLISHER = textwrap.dedent(
    """
    import importlib.util, sys, time

    spec = importlib.util.spec_from_file_location("publishing", sys.argv[1])
    publishing = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(publishing)

    def write(folder):
        for i in range(20):
            with open(folder / str(i), "w") as stream:
                for part in ("wh", "ole"):
                    stream.write(part)
                    stream.flush()
                    time.sleep(2e-4)

    publishing.publish(sys.argv[2], write)
    print("ready", flush=True)
    while True:
        publishing.publish(sys.argv[2], write)
    """
)


def test_killed_at_20_random_moments(tmp_path):
    """The old state or the whole new one, 20 times on one folder.

    What is killed is `publishing.publish` with a writer of small files; an export, which brings its
    own writer, is killed in `test_killed_exports_leave_whole_versions`.
    """
    generator = random.Random(0)
    last, unfinished = 0, 0
    for _ in range(20):
        process = subprocess.Popen(
            [sys.executable, "-c", PUBLISHER, publishing.__file__, str(tmp_path)],
            stdout=subprocess.PIPE,
        )
        try:
            assert process.stdout.readline() == b"ready\n"
            time.sleep(generator.uniform(0.0, 0.1))
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        versions = publishing.list_versions(tmp_path)
        assert versions == list(range(1, len(versions) + 1))
        assert all(is_whole(tmp_path / str(version)) for version in versions[last:])
        last = len(versions)
        unfinished += bool(list(tmp_path.glob(".tmp-[0-9]*")))
    assert unfinished > 5, "the kills did not fall into exports"
    assert last >= 20
    publishing.publish(tmp_path, write_parts)
    assert not list(tmp_path.glob(".tmp-[0-9]*"))
