"""The verb `sample`."""

from kgen import checks, specs
from kgen.endpoints import Endpoint
from kgen.png import encode_png
from kgen.seeds import seed_rows
from kgen.verbs.conditioning import Conditioning


class Sampling(Conditioning):
    """Promise: `sample(num_samples, *, seed=None)` draws examples, each a function of `(seed, i)`.

    A model defines

        _sample_rows(seeds, *conditions)
            one example per row of `seeds`, int32 `(batch, 2)`; in a graph too

    and, where it is drawn given more, `_sample_inputs`. Brings the endpoints `sample`, and
    `sample_png` for images of 1 or 3 channels.
    """

    @property
    def sample_spec(self):
        """The spec of what is drawn: the x of `data_spec`."""
        return specs.x_and_y(self.data_spec)[0]

    def _sample_inputs(self):
        """What an example is drawn given, beside its seed: name -> spec."""
        return self.condition_inputs

    def sample(self, num_samples, *, condition=None, seed=None):
        """Draw examples.

        Args:
            num_samples: int >= 1.
            condition: where the model has one: a value for all examples or one for each, or None
                for all classes in turn.
            seed: int, or None for a fresh one. Example i is a function of `(seed, i)` and its
                condition alone, in Python and from the served model, where it is row `(seed, i)` of
                the input `seed`.

        Returns:
            float32 `(num_samples, *shape)`, images in [0, 1].
        """
        checks.positive_integer("num_samples", num_samples)
        if condition is None:
            condition = self.conditions_in_turn(num_samples)
        given = self._given(condition, num_samples)
        return self._sample_rows(seed_rows(seed, num_samples), *given)

    def endpoints(self):
        """`sample`, and `sample_png` for images of 1 or 3 channels."""
        inputs = {"seed": specs.Seeds(), **self._sample_inputs()}
        spec = self.sample_spec
        endpoints = {
            "sample": Endpoint(
                lambda *rows: {spec.noun: self._sample_rows(*rows)}, inputs, {spec.noun: spec}
            )
        }
        if isinstance(spec, specs.Images) and spec.shape[-1] in (1, 3):
            endpoints["sample_png"] = Endpoint(
                lambda *rows: {"png_bytes": encode_png(self._sample_rows(*rows))}, inputs
            )
        return {**endpoints, **super().endpoints()}
