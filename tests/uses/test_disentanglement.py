"""MIG and DCI against cases that are known, and the shapes that the factors draw."""

import numpy as np
import pytest

import kgen
from kgen import evaluation
from kgen.data.builders.shapes import FACTORS, draw

RANDOM = np.random.RandomState(0)
VALUES = RANDOM.randint([3, 4, 5], size=(3000, 3))


def both(codes):
    gap = evaluation.mutual_information_gap(VALUES, codes)["value"]
    half = len(codes) // 2
    dci = evaluation.disentanglement_completeness_informativeness(
        VALUES[:half], codes[:half], VALUES[half:], codes[half:]
    )
    return gap, {name: figure["value"] for name, figure in dci.items()}


def test_one_code_per_factor():
    gap, dci = both(np.c_[VALUES, RANDOM.normal(size=3000)] * [1.0, -3.0, 0.1, 1.0])
    assert gap == pytest.approx(1.0, abs=0.01)
    assert dci == pytest.approx(dict.fromkeys(dci, 1.0), abs=0.01)


def test_each_factor_in_two_codes():
    """Two equal codes: no gap, each still serves one factor, no factor is in one code."""
    gap, dci = both(np.repeat(VALUES, 2, axis=1) + RANDOM.normal(scale=0.05, size=(3000, 6)))
    assert gap == pytest.approx(0.0, abs=0.02)
    assert dci["disentanglement"] > 0.9 and dci["informativeness"] > 0.98
    # log 2 of log 6 is lost at most.
    assert 1 - np.log(2) / np.log(6) - 0.02 < dci["completeness"] < 0.95


def test_codes_that_know_nothing():
    gap, dci = both(RANDOM.normal(size=(3000, 4)))
    assert gap < 0.02 and dci["disentanglement"] < 0.1 and dci["completeness"] < 0.1
    assert dci["informativeness"] == pytest.approx(np.mean([1 / 3, 1 / 4, 1 / 5]), abs=0.04)


def test_a_rotated_code_is_entangled():
    rotation = np.array([[2, -1, 2], [2, 2, -1], [-1, 2, 2]]) / 3
    gap, dci = both((VALUES - VALUES.mean(0)) / VALUES.std(0) @ rotation)
    assert gap < 0.5 and dci["disentanglement"] < 0.7


def test_bad_arrays():
    with pytest.raises(ValueError, match=r"integer factors \(n, num_factors\) and codes"):
        evaluation.mutual_information_gap(VALUES, np.zeros((5, 2)))
    with pytest.raises(ValueError, match=r"of which \[0\] have one value"):
        evaluation.mutual_information_gap(np.c_[0 * VALUES[:, :1], VALUES], np.zeros((3000, 2)))


def test_shapes_move_as_their_factors_say():
    """The centre of what is no background moves by two pixels per step of column and row."""

    def centre(*factors):
        figure = np.abs(draw(factors).astype(float) - 225).sum(-1)
        places = np.indices(figure.shape).reshape(2, -1)
        return (places * figure.ravel()).sum(1) / figure.sum()

    start = centre(0, 0, 1, 0, 3, 3)
    np.testing.assert_allclose(centre(0, 0, 1, 0, 4, 3) - start, [0, 2], atol=0.05)
    np.testing.assert_allclose(centre(0, 0, 1, 0, 3, 5) - start, [4, 0], atol=0.05)
    sizes = [(draw((1, 2, scale, 0, 3, 3)) != 225).any(-1).sum() for scale in range(4)]
    assert sizes == sorted(sizes) and sizes[3] > 2 * sizes[0]
    # Every combination shows something else.
    rows = RANDOM.randint(list(FACTORS.values()), size=(300, 6))
    assert len({draw(row).tobytes() for row in rows}) == len(np.unique(rows, axis=0))


def test_the_data_set(tmp_path):
    batches = kgen.data.load(
        "shapes", "test", features=("image", "factors"), data_dir=str(tmp_path), batch_size=16
    )
    images, factors = next(iter(batches))
    assert images.shape == (16, 32, 32, 3) and factors.shape == (16, 6)
    np.testing.assert_array_equal(np.round(255 * images[3].numpy()), draw(factors[3].numpy()))
    described = kgen.data.info("shapes", data_dir=str(tmp_path))
    assert described.num_examples == {"train": 27648, "test": 3072}
