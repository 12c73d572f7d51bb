"""The verb `discriminate`: how real an example looks."""

from kgen import specs
from kgen.endpoints import Endpoint
from kgen.losses.reconstruction import per_example


class Discrimination:
    """Mixin for models with a `discriminator`, a network from examples to logits `(batch, 1)`."""

    def call(self, inputs, training=False):
        """What `discriminate` gives: what `predict` gives."""
        return self.discriminate(inputs)

    def discriminate(self, images):
        """The discriminator's logits of images: float32 `(batch,)`, higher for what looks real."""
        return per_example(self.discriminator(images, training=False))

    def _discriminate_inputs(self):
        """What is judged beside an example: name -> spec."""
        return {}

    def endpoints(self):
        """`discriminate`, behind those of the other verbs."""
        spec, beside = specs.x_and_y(self.data_spec)[0], self._discriminate_inputs()

        def discriminate(examples, *rows):
            return {"logits": self.discriminate(examples, **dict(zip(beside, rows, strict=True)))}

        judged = Endpoint(discriminate, {spec.noun: spec, **beside})
        return {**super().endpoints(), "discriminate": judged}
