"""A network whose shapes are not known, or that is none, is refused wherever networks are given."""

import functools
import inspect

import keras
import pytest
from cases import CASES

import kgen
from kgen import specs
from kgen.training.saving import argument_names

SHAPE = (8, 8, 1)


def unbuilt(*shapes, **kwargs):
    return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(3)

    def call(self, inputs):
        return self.dense(inputs)


def one_of_each_class():
    seen = {}
    for case in CASES:
        seen.setdefault(case.name.split("_of_")[0].split("_colour")[0], case)
    return list(seen.values())


@pytest.mark.parametrize("case", one_of_each_class(), ids=lambda case: case.name)
def test_of_constructors(case):
    model = case.build()
    arguments = {name: getattr(model, name) for name in argument_names(type(model))}
    arguments = {name: value for name, value in arguments.items() if name != "name"}
    # A prior of codes is a model of its own, not a network.
    networks = [
        name
        for name, value in arguments.items()
        if isinstance(value, keras.Model) and not hasattr(value, "data_spec")
    ]
    for name in networks:
        for network, message in (
            (
                unbuilt(),
                rf"{name} '\w+' has no variables yet. Give it keras.Input\(shape\)",
            ),
            (Subclassed(), rf"{name} 'subclassed\w*' has no variables yet"),
            (keras.layers.Dense(3), f"{name} must be a keras.Model, received Dense"),
        ):
            with pytest.raises(ValueError, match=message):
                type(model)(**{**arguments, name: network})


MAKERS = {
    name: model
    for name, model in vars(kgen).items()
    if inspect.isclass(model) and hasattr(model, "for_images")
}
ROLES = "encoder decoder generator discriminator projector network features pixel_network upsampler"


@pytest.mark.parametrize("name", MAKERS)
def test_of_functions(name):
    """`for_images` takes functions, and looks at what these return."""
    make, given = MAKERS[name].for_images, {}
    if name in ("ACGAN", "ConditionalGAN"):
        given["condition"] = specs.Labels(3)
    if name in ("ExemplarNetwork", "NPID"):
        given["num_instances"] = 16
    make = functools.partial(make, SHAPE, **given)
    for role in set(ROLES.split()) & set(inspect.signature(make).parameters):
        for network in (unbuilt(), 5):
            message = f"{role} must be a function that makes a network.*{type(network).__name__}"
            with pytest.raises(ValueError, match=message):
                make(**{role: network})
        with pytest.raises(ValueError, match="has no variables yet"):
            make(**{role: unbuilt})
