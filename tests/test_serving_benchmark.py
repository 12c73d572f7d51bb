"""The load test of servers: what it counts, and that it runs."""

import json

import numpy as np
import pytest

from benchmarks import load, serving

FIRST = {"images": np.zeros((4, 2)), "png_bytes": np.array([b"a"] * 4, object)}
SECOND = {"images": np.ones((4, 2)), "png_bytes": np.array([b"b"] * 4, object)}


def rows_of(*parts):
    return {key: np.array([part[key][i] for i, part in enumerate(parts)]) for key in FIRST}


def test_the_rows_of_an_answer_tell_their_version():
    references = {"first": FIRST, "second": SECOND}
    assert load.sources(FIRST, references) == {"first"}
    assert load.sources(SECOND, references) == {"second"}
    assert load.sources(rows_of(FIRST, FIRST, SECOND, FIRST), references) == {"first", "second"}
    # Rounded otherwise: still the same; all else is nobody's.
    for change, found in ((1e-5, {"second"}), (0.1, {None, "second"})):
        answer = {key: values.copy() for key, values in SECOND.items()}
        answer["images"][2, 1] += change
        assert load.sources(answer, references) == found
    text = {**FIRST, "png_bytes": np.array([b"a", b"a", b"c", b"a"], object)}
    assert load.sources(text, references) == {"first", None}


def test_quick_soak_and_quick_latency(tmp_path, capsys, monkeypatch):
    output = tmp_path / "load.json"
    config = serving.Config(quick=True, publish_every=1.0, rollback=True, output=str(output))
    # On a busy machine a run may end before the server has loaded the second version.
    for seconds in (6.0, 12.0, 24.0, 48.0):
        monkeypatch.setitem(serving.QUICK, "seconds", seconds)
        serving.main(config)
        figures = json.loads(output.read_text())["results"]
        assert figures["requests"] > 0 and figures["milliseconds"]["p50"] > 0
        assert (figures["failed"], figures["mixed"], figures["unknown"]) == (0, 0, 0), figures
        assert figures["published"] >= 3 and figures["rolled_back"] == 1
        assert figures["publisher_error"] is None
        assert len(figures["memory_mb_by_quarter"]) == 4
        if len(figures["answers_by_version"]) == 2:
            break
    assert set(figures["answers_by_version"]) == {"first", "second"}
    assert "goal: " in capsys.readouterr().out

    output = tmp_path / "latency.json"
    serving.main(serving.Config(quick=True, latency=True, output=str(output)))
    figures = json.loads(output.read_text())["results"]
    assert [len(values) for values in figures["added_by_round"].values()] == [2, 2]
    assert "the server adds" in capsys.readouterr().out


GOOD = dict(
    requests=10,
    failed=0,
    mixed=0,
    unknown=0,
    published=3,
    publisher_error=None,
    answers_by_version={"first": 5, "second": 5},
    # The first quarter is not the measure.
    memory_mb_by_quarter=[50.0, 100.0, 120.0, 110.0],
)


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({}, []),
        ({"requests": 0}, ["no request was answered"]),
        ({"failed": 2, "mixed": 1}, ["2 failed", "1 mixed"]),
        ({"unknown": 3}, ["3 answers are those of no version"]),
        ({"publisher_error": "OSError: full"}, ["OSError: full"]),
        ({"answers_by_version": {"first": 9, "None": 1}}, ["no new version was loaded in time"]),
        ({"memory_mb_by_quarter": [1.0, 100.0, 100.0, 111.0]}, ["memory grew by a factor of 1.11"]),
        ({"memory_mb_by_quarter": []}, []),
    ],
)
def test_the_goal_of_a_run_under_load(changes, missed):
    found = serving.shortfalls(GOOD | changes)
    assert len(found) == len(missed)
    assert all(text in item for text, item in zip(missed, found, strict=True))


def test_a_server_that_was_not_started_for_it_may_have_new_versions():
    figures = {key: GOOD[key] for key in ("requests", "failed", "mixed")} | {"unknown": 3}
    assert serving.shortfalls(figures) == []


def test_the_goal_of_latency():
    assert serving.latency_verdict([1.0, 2.0, 2.5]) == "met"
    assert serving.latency_verdict([3.5, 4.0, 5.0]) == "MISSED"
    assert "between the quartiles" in serving.latency_verdict([1.0, 2.9, 9.0])
    assert serving.latency_verdict([1.0, 2.0], "it was busy") == "no verdict, it was busy"


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
        load.run_clients(Client, ("sample", {}), {}, num_clients=5, seconds=60)


def test_flags_that_do_not_go_together():
    with pytest.raises(ValueError, match="server of their own"):
        serving.main(serving.Config(address="localhost:1", publish_every=5.0))
    with pytest.raises(ValueError, match="no version to go back to"):
        serving.main(serving.Config(rollback=True))
