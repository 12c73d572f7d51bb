"""What a model generates given: labels, attributes, or several of them."""

import keras
import tensorflow as tf

from kgen import checks, specs


class Conditioning:
    """Promise: with `condition`, every verb takes `condition=`, and `fit` takes it as y.

        GAN.for_images((28, 28, 1), condition=specs.Labels(10))                    fit(x, labels)
        VAE.for_images(shape, condition=(specs.Labels(10), specs.Attributes(3)))   fit(x, (y, a))

    In a verb a condition is one value for all rows, or one per row; several are a tuple. An
    endpoint has one input for each, named after its spec.
    """

    condition = None

    def _set_condition(self, condition):
        """Check and keep the condition: None, a spec, or a tuple of specs."""
        parts = specs.condition_parts(condition)
        # A saved model's tuple comes back as a list.
        self.condition = parts if isinstance(condition, (tuple, list)) else condition

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The inverse of `get_config`; up to version 0.1 a condition was `num_classes`."""
        num_classes = config.get("num_classes")
        config = {name: value for name, value in config.items() if name != "num_classes"}
        if num_classes is not None:
            labels = specs.Labels(num_classes)
            config["condition"] = keras.saving.serialize_keras_object(labels)
        return super().from_config(config, custom_objects)

    def _with_condition(self, spec):
        """A `data_spec` of examples of `spec` and what they are given."""
        return spec if self.condition is None else (spec, self.condition)

    @property
    def predict_spec(self):
        """`predict` takes examples with what they are given."""
        return super().predict_spec if self.condition is None else self.data_spec

    def predict_step(self, data):
        """`call` of a batch of `predict_spec`."""
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        if y is None or specs.x_and_y(self.predict_spec)[1] is None:
            return super().predict_step(data)
        return self((x, y), training=False)

    @property
    def condition_inputs(self):
        """The inputs that endpoints have for the condition: name -> spec."""
        inputs = {}
        for spec in specs.condition_parts(self.condition):
            count = sum(type(other) is type(spec) for other in inputs.values())
            inputs[spec.noun if not count else f"{spec.noun}_{count + 1}"] = spec
        return inputs

    def _parts(self, values):
        """`(role, spec, value)` of each part of a condition."""
        wanted = specs.describe(self.condition)
        if self.condition is None:
            if values is not None:
                raise ValueError(
                    f"{type(self).__name__} was made without a condition, received one: make it "
                    "with condition=, such as kgen.specs.Labels(10)."
                )
            return []
        if values is None:
            raise ValueError(
                f"{type(self).__name__} was made with a condition: pass condition=, {wanted}."
            )
        if not isinstance(self.condition, tuple):
            return [("condition", self.condition, values)]
        if not isinstance(values, (tuple, list)) or len(values) != len(self.condition):
            raise ValueError(f"condition: expected {wanted}, received {type(values).__name__}.")
        roles = (f"condition[{index}]" for index in range(len(values)))
        return list(zip(roles, self.condition, values, strict=True))

    def _given(self, condition, examples):
        """The parts of a condition as tensors, checked: a list, empty without a condition.

        Args:
            condition: as the verbs take it: one value for all rows, or one per row.
            examples: int, or what has that many rows.
        """
        count = examples if isinstance(examples, int) else examples.shape[0]
        rows = []
        for role, spec, value in self._parts(condition):
            value = tf.convert_to_tensor(value)
            rank = len(spec.shape)
            if value.shape.rank == rank:
                size = tf.shape(examples)[0] if count is None else count
                value = tf.broadcast_to(value, (size, *value.shape))
            elif value.shape.rank == rank + 1 and None not in (count, value.shape[0]):
                if value.shape[0] != count:
                    raise ValueError(
                        f"{role}: expected one value or {count}, one per example, received "
                        f"{value.shape[0]}."
                    )
            rows.append(_checked(role, spec, value))
        return rows

    def _given_y(self, y):
        """The same from the y of a batch, which is ignored without a condition."""
        return [] if self.condition is None else [_checked(*part) for part in self._parts(y)]

    def _given_rows(self, rows):
        """The same from an endpoint's inputs, in the order of `condition_inputs`."""
        return self._given_y(self._packed(rows))

    def _as_condition(self, rows):
        """Such inputs as the argument `condition` of a verb."""
        return {} if self.condition is None else {"condition": self._packed(rows)}

    def _packed(self, rows):
        if self.condition is None:
            return None
        return tuple(rows) if isinstance(self.condition, tuple) else rows[0]

    def conditions_in_turn(self, count):
        """All classes in turn, and of several labels all combinations, for `condition=`.

        Args:
            count: int >= 1, number of rows.

        Returns:
            int32 `(count,)`, or a tuple of such; None without a condition.

        Raises:
            ValueError: where attributes are among the conditions: they have no turn.
        """
        values, period = [], 1
        for spec in specs.condition_parts(self.condition):
            if not isinstance(spec, specs.Labels):
                raise ValueError(
                    f"{type(self).__name__} generates given {specs.describe(self.condition)}: "
                    "pass condition=. Only labels have values to take in turn."
                )
            values.append(tf.range(count) // period % spec.num_classes)
            period *= spec.num_classes
        return self._packed(values)

    def _images_and_given(self, inputs):
        """The x of a call, and the parts of its condition: of `(x, condition)`, or of x alone."""
        if self.condition is None:
            return (inputs,)
        if not isinstance(inputs, (list, tuple)) or len(inputs) != 2:
            raise ValueError(
                f"{type(self).__name__} was made with a condition: pass "
                f"{specs.describe(self.data_spec)}, or a data set of such pairs."
            )
        x, given = inputs
        return (x, *(given if isinstance(self.condition, tuple) else (given,)))


def inputs(x, given):
    """What a network takes: `x`, or the list of it and what it is given."""
    return [x, *given] if given else x


def _checked(role, spec, value):
    if isinstance(spec, specs.Labels):
        with checks.role(role):
            return checks.label_tensor(value, spec.num_classes)
    value = tf.cast(value, tf.float32)
    if tf.executing_eagerly():
        spec.check(value, role)
    return value
