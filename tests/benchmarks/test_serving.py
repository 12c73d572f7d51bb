"""The load test of servers: what it counts, and that it runs."""

import json

import numpy as np
import pytest

from benchmarks import serving


def test_whose_answers_the_rows_are():
    one, two = np.zeros((4, 2)), np.ones((4, 2))
    text = np.array([b"a", b"b", b"c", b"d"], object)
    references = {
        "first": dict(images=one, png_bytes=text),
        "second": dict(images=two, png_bytes=text[::-1]),
    }
    sources = serving.sources
    assert sources(references["first"], references) == {"first"}
    assert sources(references["second"] | dict(images=two + 1e-5), references) == {"second"}
    assert sources(references["first"] | dict(images=one + 0.1), references) == {None}
    assert sources(references["first"] | dict(png_bytes=text[::-1]), references) == {None}
    mixed = {
        key: np.concatenate([references["first"][key][:2], references["second"][key][2:]])
        for key in ("images", "png_bytes")
    }
    assert sources(mixed, references) == {"first", "second"}
    mixed["png_bytes"][0] = b"?"
    assert sources(mixed, references) == {"first", "second", None}


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_quick_run(tmp_path, capsys, protocol):
    output = tmp_path / "load.json"
    config = serving.Config(quick=True, protocol=protocol, output=str(output))
    serving.main(config)
    figures = json.loads(output.read_text())["results"]
    assert figures["requests"] > 0 and figures["milliseconds"]["p50"] > 0
    assert (figures["failed"], figures["mixed"], figures["unlike"]) == (0, 0, 0), figures
    assert len(figures["memory_mb_by_quarter"]) == 4
    assert "goal: no verdict" in capsys.readouterr().out


def test_versions_change_under_load(tmp_path):
    output = tmp_path / "load.json"
    serving.main(
        serving.Config(
            seconds=12.0,
            clients=4,
            publish_every=1.5,
            rollback=True,
            output=str(output),
        )
    )
    figures = json.loads(output.read_text())["results"]
    assert (figures["failed"], figures["mixed"], figures["unlike"]) == (0, 0, 0), figures
    assert figures["published"] > 2 and figures["rolled_back"] == 1
    assert set(figures["answers_by_version"]) == {"first", "second"}


def test_latency(tmp_path, capsys):
    output = tmp_path / "latency.json"
    serving.main(serving.Config(quick=True, latency=True, output=str(output)))
    milliseconds = json.loads(output.read_text())["results"]
    assert len(milliseconds) == 3 and all(len(values) == 2 for values in milliseconds.values())
    assert "the server adds to in process, C API" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (dict(rollback=True), "--rollback needs --publish_every"),
        (dict(publish_every=1.0, address="host:1"), "needs a server of its own"),
        (dict(protocol="http"), "One of: grpc, rest"),
    ],
)
def test_flags_that_do_not_fit(flags, message):
    with pytest.raises(ValueError, match=message):
        serving.main(serving.Config(quick=True, **flags))


# The first quarter is not the measure.
GOOD = dict(
    requests=10, failed=0, mixed=0, unlike=0, memory_mb_by_quarter=[50.0, 100.0, 120.0, 110.0]
)


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({}, []),
        ({"requests": 0}, ["no request was answered"]),
        ({"failed": 2, "mixed": 3, "unlike": 1}, ["2 failed", "3 mixed", "1 unlike"]),
        ({"published": 2, "answers_by_version": {"first": 9}}, ["no new version was loaded"]),
        ({"memory_mb_by_quarter": [1.0, 100.0, 100.0, 111.0]}, ["memory grew by a factor of 1.11"]),
        ({"memory_mb_by_quarter": []}, []),
    ],
)
def test_the_goal_of_a_run_under_load(changes, missed):
    found = serving.shortfalls(GOOD | changes)
    assert len(found) == len(missed)
    assert all(text in item for text, item in zip(missed, found, strict=True))


class Client:
    """The third to be opened cannot ask its server."""

    opened = 0

    def __enter__(self):
        Client.opened += 1
        self.number = Client.opened
        return self

    def __exit__(self, *exception):
        pass

    def signatures(self):
        if self.number == 3:
            raise OSError("too many open files")


def test_a_client_that_cannot_begin_ends_the_run():
    with pytest.raises(RuntimeError, match="A client cannot begin: too many open files"):
        serving.run_clients(Client, "sample", {}, {}, serving.Config(clients=5))
