"""The verb `log_prob`."""

from kgen import specs
from kgen.endpoints import Endpoint
from kgen.quantities import QUANTITIES
from kgen.verbs.scoring import Scoring


class Density(Scoring):
    """Promise: `log_prob(x)` is the exact log density, float32 `(batch,)` in nats per example.

    A model defines

        _score(x, *conditions)
            log p(x | conditions), its inputs checked; in a graph too

    and, where the density is given more, `_density_inputs`. Brings the endpoint `log_prob`.
    """

    score_meaning = QUANTITIES["log_prob"]

    def _density_inputs(self):
        """What the density is given: name -> spec."""
        return self.condition_inputs

    def log_prob(self, x):
        """`log p(x)`, exact.

        Args:
            x: a batch of the x of `data_spec`.

        Returns:
            float32 `(batch,)`, nats per example.
        """
        return self._score(x)

    def call(self, inputs, training=False):
        """`log_prob`: what `predict` gives."""
        return self._score(inputs)

    def endpoints(self):
        """`log_prob`."""
        spec = specs.x_and_y(self.data_spec)[0]
        score = Endpoint(
            lambda *rows: {"log_prob": self._score(*rows)},
            {spec.noun: spec, **self._density_inputs()},
        )
        return {**super().endpoints(), "log_prob": score}
