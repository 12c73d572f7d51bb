"""The verb `score`: how normal an example is."""

import numpy as np
import tensorflow as tf

from kgen import specs
from kgen.chunks import in_chunks
from kgen.endpoints import Endpoint
from kgen.quantities import Quantity
from kgen.verbs.conditioning import Conditioning


class Scoring(Conditioning):
    """Promise: `score(x)` is one number per example, higher for what looks like the training data.

    A model that knows a likelihood gives that, else a bound, the likelihood of its reconstruction,
    or the discriminator's value: `score_meaning` says which. Scores order the examples of one
    model: for anomaly detection a threshold is chosen on normal examples. Those of two models
    cannot be compared.

    A model defines

        _score(x, *conditions)
            float32 `(batch,)`, its inputs checked; a row's score does not depend on the others;
            in a graph too

    Brings the endpoint `score`.
    """

    score_meaning = Quantity("higher for what looks like the training data")

    def _score_inputs(self):
        """What an example is scored given, beside itself: name -> spec."""
        return self.condition_inputs

    def score(self, x, *, condition=None):
        """How normal examples are, in chunks of 256 rows, which bounds the memory.

            anomalies = np.argsort(model.score(images))[:10]

        Args:
            x: a batch of any size of the x of `data_spec`.
            condition: one row per example where the score is conditional, else None.

        Returns:
            float32 `(batch,)`; higher is more normal.
        """
        given = self._given(condition, np.shape(x)[0]) if self._score_inputs() else []
        rows = [np.asarray(part) for part in (x, *given)]
        score = in_chunks(lambda at: self._score(*(part[at] for part in rows)), np.arange(len(x)))
        return tf.constant(score, tf.float32)

    def endpoints(self):
        """`score`, behind those of the other verbs."""
        spec = specs.x_and_y(self.data_spec)[0]
        score = Endpoint(
            lambda *rows: {"scores": self._score(*rows)},
            {spec.noun: spec, **self._score_inputs()},
            {"scores": self.score_meaning},
        )
        return {**super().endpoints(), "score": score}
