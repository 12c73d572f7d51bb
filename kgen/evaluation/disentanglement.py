"""How well the dimensions of a code stand for known factors, one each: MIG and DCI."""

import numpy as np

from kgen import checks


def mutual_information_gap(factors, codes, *, num_bins=20):
    """The gap between the two codes that know most of a factor (MIG); higher is better.

        MIG = 1/K sum_k (I(z_j; v_k) - max_{i != j} I(z_i; v_k)) / H(v_k),  j = argmax_i I(z_i; v_k)

    in [0, 1]: 1 if each factor is known by one code alone, 0 if two codes know it equally well, or
    none does. Mutual information is that of the codes' histograms: few examples for many bins
    overestimate it.

        images, factors = ...                                   # kgen.data.load("shapes", ...)
        result = mutual_information_gap(factors, model.encode(images))

    Args:
        factors: ints `(n, num_factors)`.
        codes: floats `(n, dim)`, dim >= 2, such as the means of a posterior.
        num_bins: int >= 2, bins of equal width per code.

    Returns:
        dict with `value`, `by_factor` (the gap of each), `num_examples` and `protocol`.

    Raises:
        ValueError: for arrays of other shapes or lengths, NaN, or a factor of one value.

    Reference: Chen et al. 2018, "Isolating Sources of Disentanglement in Variational
        Autoencoders", eq. 6, by histograms of the codes as in Locatello et al. 2019.
    """
    from sklearn.metrics import mutual_info_score

    checks.integer_at_least("num_bins", num_bins, 2)
    factors, codes = _checked(factors, codes)
    binned = [np.digitize(code, np.histogram_bin_edges(code, num_bins)[1:-1]) for code in codes.T]
    gaps = []
    for factor in factors.T:
        information = sorted(mutual_info_score(factor, code) for code in binned)
        gaps.append((information[-1] - information[-2]) / mutual_info_score(factor, factor))
    return dict(
        value=float(np.mean(gaps)),
        by_factor=[float(gap) for gap in gaps],
        num_examples=len(codes),
        protocol=f"mutual information gap of {factors.shape[1]} factors, {codes.shape[1]} codes in "
        f"{num_bins} bins, {len(codes)} examples",
    )


def disentanglement_completeness_informativeness(
    factors, codes, test_factors, test_codes, *, seed=0
):
    """DCI: what random forests that tell the factors from the codes look at; higher is better.

        R_ij = importance of code i for factor j
        D = sum_i rho_i (1 - H(R_i. / sum R_i.) / log K),  rho_i = sum_j R_ij / sum R
        C = 1/K sum_j (1 - H(R_.j / sum R_.j) / log dim)
        I = share of test factors that the forests name rightly, mean over the factors

    D is 1 if each code serves one factor, C if each factor is served by one code.

    Args:
        factors: ints `(n, num_factors)`, at least 2.
        codes: floats `(n, dim)`, dim >= 2.
        test_factors: ints `(m, num_factors)`.
        test_codes: floats `(m, dim)`.
        seed: int, of the forests.

    Returns:
        dict of `disentanglement`, `completeness`, `informativeness`, each a dict with `value` and
        `protocol`.

    Raises:
        ValueError: for arrays of other shapes or lengths, NaN, or a factor of one value.

    Reference: Eastwood & Williams 2018, "A Framework for the Quantitative Evaluation of
        Disentangled Representations", section 2, with random forests, the second of their two
        choices, as classifiers, since the factors have few values.
    """
    from sklearn.ensemble import RandomForestClassifier

    factors, codes = _checked(factors, codes)
    test_factors, test_codes = _checked(test_factors, test_codes)
    if factors.shape[1] != test_factors.shape[1] or codes.shape[1] != test_codes.shape[1]:
        raise ValueError(
            f"Training and test differ: {factors.shape[1]} and {test_factors.shape[1]} factors, "
            f"{codes.shape[1]} and {test_codes.shape[1]} codes."
        )
    importances, accuracies = [], []
    for factor, test_factor in zip(factors.T, test_factors.T, strict=True):
        # With all codes at each split, the better of two is chosen, not the one that was drawn.
        forest = RandomForestClassifier(
            50, max_features=None, min_samples_leaf=5, random_state=seed, n_jobs=-1
        )
        forest.fit(codes, factor)
        importances.append(forest.feature_importances_)
        accuracies.append(forest.score(test_codes, test_factor))
    importance = np.stack(importances, axis=1)
    weights = importance.sum(axis=1) / importance.sum()
    values = dict(
        disentanglement=float(np.sum(weights * _focus(importance))),
        completeness=float(np.mean(_focus(importance.T))),
        informativeness=float(np.mean(accuracies)),
    )
    protocol = (
        f"of DCI by random forests of 50 trees, {factors.shape[1]} factors, "
        f"{codes.shape[1]} codes, {len(codes)} training and {len(test_codes)} test examples, "
        f"seed {seed}"
    )
    return {
        name: dict(value=value, protocol=f"{name} {protocol}") for name, value in values.items()
    }


def _focus(importance):
    """1 - H / log n of each row as a distribution: 1 for one entry, 0 for even ones or zeros."""
    total = importance.sum(axis=1, keepdims=True)
    shares = np.divide(importance, total, out=np.full_like(importance, 1.0), where=total > 0)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    entropy = -(shares * logs).sum(axis=1)
    focus = 1.0 - entropy / np.log(importance.shape[1])
    return np.where(total[:, 0] > 0, focus, 0.0)


def _checked(factors, codes):
    factors, codes = np.asarray(factors), np.asarray(codes, np.float64)
    fits = factors.ndim == codes.ndim == 2 and len(factors) == len(codes) > 0
    if not fits or not np.issubdtype(factors.dtype, np.integer) or codes.shape[1] < 2:
        raise ValueError(
            "Expected integer factors (n, num_factors) and codes (n, dim), dim >= 2, received "
            f"shapes {factors.shape} ({factors.dtype}) and {codes.shape}."
        )
    if not np.isfinite(codes).all():
        raise ValueError("The codes hold NaN or infinite values.")
    constant = [index for index in range(factors.shape[1]) if len(np.unique(factors[:, index])) < 2]
    if constant or factors.shape[1] < 2:
        raise ValueError(
            f"Expected at least 2 factors of several values each, received {factors.shape[1]}, of "
            f"which {constant} have one value."
        )
    return factors, codes
