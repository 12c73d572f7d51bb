"""Classical models, tiny."""

import kgen
from cases.parts import Case

CASES = [
    Case(
        "gaussian_mixture",
        lambda: kgen.GaussianMixture(2, 3),
        follows=("weights", "means", "covariances", "center"),
        same_on_replicas=True,
    ),
]
