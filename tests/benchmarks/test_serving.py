"""The load test of servers: what it counts, and that it runs."""

import json

import numpy as np
import pytest

from benchmarks import serving


def test_an_answer_equals_another_up_to_its_rounding():
    answer = {"images": np.ones((4, 2)), "png_bytes": np.array([b"b"] * 4, object)}
    assert serving.equals(answer, answer)
    assert serving.equals(answer | dict(images=np.ones((4, 2)) + 1e-5), answer)
    assert not serving.equals(answer | dict(images=np.ones((4, 2)) + 0.1), answer)
    text = np.array([b"b", b"b", b"c", b"b"], object)
    assert not serving.equals(answer | dict(png_bytes=text), answer)


def test_quick_run(tmp_path, capsys):
    output = tmp_path / "load.json"
    serving.main(serving.Config(quick=True, output=str(output)))
    figures = json.loads(output.read_text())["results"]
    assert figures["requests"] > 0 and figures["milliseconds"]["p50"] > 0
    assert (figures["failed"], figures["unlike"]) == (0, 0), figures
    assert len(figures["memory_mb_by_quarter"]) == 4
    assert "goal: no verdict" in capsys.readouterr().out


# The first quarter is not the measure.
GOOD = dict(requests=10, failed=0, unlike=0, memory_mb_by_quarter=[50.0, 100.0, 120.0, 110.0])


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({}, []),
        ({"requests": 0}, ["no request was answered"]),
        ({"failed": 2, "unlike": 1}, ["2 failed", "1 unlike"]),
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
