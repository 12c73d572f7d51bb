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


def test_quick_soak_and_quick_latency(tmp_path, capsys):
    output = tmp_path / "load.json"
    config = serving.Config(quick=True, publish_every=1.0, rollback=True, output=str(output))
    serving.main(config)
    figures = json.loads(output.read_text())["results"]
    assert figures["requests"] > 0 and figures["milliseconds"]["p50"] > 0
    assert (figures["failed"], figures["mixed"], figures["unknown"]) == (0, 0, 0), figures
    assert figures["published"] >= 3 and figures["rolled_back"] == 1
    assert figures["publisher_error"] is None
    # On a busy machine the run may end before the server has loaded the second.
    assert set(figures["answers_by_version"]) <= {"first", "second"}
    assert len(figures["memory_mb_by_quarter"]) == 4

    output = tmp_path / "latency.json"
    serving.main(serving.Config(quick=True, latency=True, output=str(output)))
    figures = json.loads(output.read_text())["results"]
    assert [len(values) for values in figures["added_by_round"].values()] == [2, 2]
    assert "the server adds" in capsys.readouterr().out


def test_flags_that_do_not_go_together():
    with pytest.raises(ValueError, match="server of their own"):
        serving.main(serving.Config(address="localhost:1", publish_every=5.0))
    with pytest.raises(ValueError, match="no version to go back to"):
        serving.main(serving.Config(rollback=True))
