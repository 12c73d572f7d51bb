"""Heads of numbers of any scale and of tables, against SciPy and their own densities."""

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

from kgen import heads, specs

AGE, SEX, SMOKES, INCOME, HEIGHT = range(5)
UNKNOWN = np.float32("nan")


def table(count=400):
    random = np.random.RandomState(0)
    columns = [
        random.normal(50, 10, count),
        random.randint(3, size=count),
        random.randint(2, size=count),
        random.normal(1e5, 3e4, count),
        random.normal(1.7, 0.1, count),
    ]
    return np.stack(columns, axis=1).astype("float32")


def columns_head():
    head = heads.Columns(
        [
            ("age", heads.Normal()),
            ("sex", heads.Categorical(3)),
            ("smokes", heads.Bernoulli()),
            ("income", heads.StudentT()),
            ("height", heads.Normal()),
        ]
    )
    head.scaling.adapt(table())
    return head


def random_params(head, size, batch):
    return np.random.RandomState(1).normal(size=(batch, head.params_size(size))).astype("float32")


def by_scipy(rows, params):
    """log p of each value, float64 `(batch, 5)`; 0 where it is not known."""
    rows, params = rows.astype("float64"), params.astype("float64")
    mean, scale = table().mean(axis=0, dtype="float64"), table().std(axis=0, dtype="float64")
    age, sex, smokes, income, height = np.split(params, [2, 5, 6, 9], axis=1)

    def loc_and_scale(part, column):
        loc = mean[column] + scale[column] * part[:, 0]
        return loc, scale[column] * (1e-3 + np.logaddexp(0, part[:, 1]))

    categories = scipy.special.log_softmax(sex, axis=1)
    codes = np.nan_to_num(rows[:, SEX]).astype(int)
    df = 2 + np.logaddexp(0, income[:, 2])
    values = [
        scipy.stats.norm.logpdf(rows[:, AGE], *loc_and_scale(age, AGE)),
        categories[np.arange(len(rows)), codes],
        scipy.stats.bernoulli.logpmf(rows[:, SMOKES], scipy.special.expit(smokes[:, 0])),
        scipy.stats.t.logpdf(rows[:, INCOME], df, *loc_and_scale(income, INCOME)),
        scipy.stats.norm.logpdf(rows[:, HEIGHT], *loc_and_scale(height, HEIGHT)),
    ]
    return np.where(np.isnan(rows), 0.0, np.stack(values, axis=1))


def test_a_row_is_the_sum_over_its_columns():
    head, rows = columns_head(), table()[:6]
    params = random_params(head, (5,), 6)
    expected = by_scipy(rows, params).sum(axis=1)
    np.testing.assert_allclose(head(params).log_prob(rows), expected, rtol=1e-5)


def test_what_is_not_known_counts_in_neither_density_nor_gradient():
    head, rows = columns_head(), table()[:6]
    rows[0, AGE] = rows[1, SEX] = rows[2, SMOKES] = rows[2, INCOME] = UNKNOWN
    params = tf.Variable(random_params(head, (5,), 6))
    with tf.GradientTape() as tape:
        log_prob = head(params).log_prob(rows)
    np.testing.assert_allclose(log_prob, by_scipy(rows, params.numpy()).sum(axis=1), rtol=1e-5)
    gradient = tape.gradient(log_prob, params).numpy()
    assert np.isfinite(gradient).all()
    assert not gradient[0, :2].any() and gradient[1:, :2].any()


def test_draws_are_rows_of_the_distribution():
    """20,000 draws of one row: codes by their frequencies, numbers by Kolmogorov's distance."""
    head = columns_head()
    params = random_params(head, (5,), 1)
    draws = head(params).sample(20_000, seed=(0, 1)).numpy()[:, 0]
    head.spec((5,)).check(draws)
    log_probs = np.stack([by_scipy(np.full((1, 5), code, "f4"), params)[0] for code in (0, 1, 2)])
    for column, count in ((SEX, 3), (SMOKES, 2)):
        shares = np.bincount(draws[:, column].astype(int), minlength=count) / len(draws)
        np.testing.assert_allclose(shares, np.exp(log_probs[:count, column]), atol=0.015)
    df = 2 + np.logaddexp(0, params[0, 8])
    mean, scale = table().mean(axis=0), table().std(axis=0)
    for column, law, first in ((AGE, scipy.stats.norm(), 0), (INCOME, scipy.stats.t(df), 6)):
        standardized = (draws[:, column] - mean[column]) / scale[column] - params[0, first]
        standardized /= 1e-3 + np.logaddexp(0, params[0, first + 1])
        # Above 0.0138 with probability 0.001.
        assert scipy.stats.kstest(standardized, law.cdf).statistic < 0.0138


def test_the_typical_row_has_means_and_the_likeliest_codes():
    head = columns_head()
    params = random_params(head, (5,), 6)
    rows = heads.location(head(params)).numpy()
    mean, scale = table().mean(axis=0), table().std(axis=0)
    np.testing.assert_array_equal(rows[:, SEX], params[:, 2:5].argmax(axis=1))
    np.testing.assert_array_equal(rows[:, SMOKES], params[:, 5] > 0)
    expected = mean[INCOME] + scale[INCOME] * params[:, 6]
    np.testing.assert_allclose(rows[:, INCOME], expected, rtol=1e-5)


@pytest.mark.parametrize("head", [heads.Normal(), heads.StudentT(4.0)], ids=repr)
def test_a_density_of_its_own_scale(head):
    """That of the standardized signal, less the logarithms of the scales."""
    signals = np.random.RandomState(0).normal([1e4, -3.0], [10.0, 1e-3], (7, 5, 2)).astype("f4")
    scaled = heads.Standardized(head, 2)
    scaled.scaling.adapt(signals)
    mean, scale = signals.mean((0, 1), dtype="f8"), signals.std((0, 1), dtype="f8")
    params = np.random.RandomState(1).normal(size=(7, 5, scaled.params_size((5, 2))))
    expected = head(params).log_prob(((signals - mean) / scale).astype("float32"))
    expected -= 5 * np.log(scale).sum()
    distribution = scaled(params)
    # The signals have 24 bits for a mean of 10,000 and a scale of 10.
    np.testing.assert_allclose(distribution.log_prob(signals), expected, rtol=1e-4, atol=2e-3)
    assert distribution.sample(seed=(0, 1)).shape == (7, 5, 2)
    means = mean + scale * params[..., :2]
    np.testing.assert_allclose(heads.location(distribution), means, rtol=1e-5)


def test_student_t_from_uniforms_has_its_quantiles():
    head, random = heads.StudentT(), np.random.RandomState(0)
    params = np.tile(np.float32([[0.5, 0.2, -1.0]]), (20_000, 1))
    draws = head.sample_from_uniforms(params, random.uniform(size=(20_000, 2)).astype("float32"))
    df, scale = 2 + np.logaddexp(0, -1.0), 1e-3 + np.logaddexp(0, 0.2)
    law = scipy.stats.t(df, 0.5, scale)
    assert scipy.stats.kstest(draws[:, 0], law.cdf).statistic < 0.0138


def test_files_and_errors():
    head = columns_head()
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(head))
    assert repr(copy) == repr(head) and copy.spec((5,)) == head.spec((5,))
    scaled = heads.Standardized(heads.StudentT(3.0), 2)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(scaled))
    assert repr(copy) == repr(scaled)
    with pytest.raises(ValueError, match="df must be above 1"):
        heads.StudentT(0.5)
    with pytest.raises(ValueError, match="takes a head of real numbers"):
        heads.Standardized(heads.Bernoulli(), 2)
    with pytest.raises(ValueError, match="a name each, all different"):
        heads.Columns([("a", heads.Normal()), ("a", heads.Normal())])
    with pytest.raises(ValueError, match="Column 'a' needs a head such as"):
        heads.Columns([("a", heads.ContinuousBernoulli())])
    with pytest.raises(ValueError, match="made for 5 values"):
        head.params_size((4,))
    with pytest.raises(ValueError, match="params whose last axis is 11, received 3"):
        head(np.zeros((2, 3), "float32"))


def test_a_spec_of_rows_names_the_column():
    spec = specs.Rows((("age", None), ("sex", 2)))
    spec.check(np.float32([[31.5, 1], [UNKNOWN, UNKNOWN]]))
    with pytest.raises(ValueError, match=r"Column 'sex' holds integer codes 0 \.\. 1, received 2"):
        spec.check(np.float32([[1, 2]]))
    with pytest.raises(ValueError, match="received 0.5"):
        spec.check(np.float32([[1, 0.5]]))
    with pytest.raises(ValueError, match="infinite"):
        spec.check(np.float32([[np.inf, 0]]))
    assert "age, sex (0 .. 1)" in spec.quantity().description
