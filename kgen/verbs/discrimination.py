"""The verb `discriminate`: how real an example looks."""

from kgen import specs
from kgen.endpoints import Endpoint
from kgen.losses.reconstruction import per_example
from kgen.verbs.conditioning import Conditioning, inputs


class Discrimination(Conditioning):
    """Mixin for models with a `discriminator`, a network from examples to logits `(batch, 1)`.

    A conditional one takes `[examples, *condition]`.
    """

    def call(self, inputs, training=False):
        """What `discriminate` gives: what `predict` gives."""
        x, *given = self._images_and_given(inputs)
        return self.discriminate(x, **self._as_condition(given))

    def discriminate(self, images, *, condition=None):
        """The discriminator's logits of images: float32 `(batch,)`, higher for what looks real."""
        images = self.checked_examples(images)
        batch = inputs(images, self._given(condition, images))
        return per_example(self.discriminator(batch, training=False))

    def _discriminate_inputs(self):
        """What is judged beside an example: name -> spec."""
        return self.condition_inputs

    def endpoints(self):
        """`discriminate`, behind those of the other verbs."""
        spec, beside = specs.x_and_y(self.data_spec)[0], self._discriminate_inputs()

        def discriminate(examples, *rows):
            given = self._as_condition(rows) if beside else {}
            return {"logits": self.discriminate(examples, **given)}

        judged = Endpoint(discriminate, {spec.noun: spec, **beside})
        return {**super().endpoints(), "discriminate": judged}
