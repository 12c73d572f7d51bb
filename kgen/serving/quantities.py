"""What the standard inputs and outputs of endpoints mean: units and ranges, for the model card."""

import dataclasses
import operator
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Quantity:
    """The meaning of the entries of a tensor.

    Attributes:
        description: what an entry is.
        unit: its unit; "1" where it has none.
        minimum: least value, or None.
        maximum: largest value, or None.
        exclusive_minimum: a bound that all values are above, or None.
        num_values: of indices 0 .. n - 1, the model's attribute that holds n; a model without it
            uses the name for something else.
    """

    description: str
    unit: str = "1"
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: float | None = None
    num_values: str | None = None


INT32 = {"minimum": -(2**31), "maximum": 2**31 - 1}
SHARE = {"minimum": 0.0, "maximum": 1.0}

# A tensor of one of these names has this meaning in every model of kgen.
QUANTITIES = {
    "images": Quantity("pixels, channels last: 0 is black, 1 the full intensity", **SHARE),
    "png_bytes": Quantity("a PNG file, 8 bits a channel", unit="bytes"),
    "seed": Quantity("any two integers: the same row draws the same sample", **INT32),
    "latents": Quantity("a latent vector; the prior says where these lie, mostly near 0"),
    "start": Quantity("the latent vector where a path begins"),
    "end": Quantity("the latent vector where a path ends"),
    "weight": Quantity("the place on a path: 0 is its start, 1 its end", **SHARE),
    "temperature": Quantity(
        "below 1 samples are more alike and more likely; 1 draws from the model itself",
        exclusive_minimum=0.0,
    ),
    "labels": Quantity("a class", minimum=0, num_values="num_classes"),
    "categories": Quantity("a category", minimum=0, num_values="num_categories"),
    "codes": Quantity("an entry of the codebook", minimum=0, num_values="quantizer.num_codes"),
    "continuous": Quantity("the continuous codes, as trained", minimum=-1.0, maximum=1.0),
    "continuous_means": Quantity("the continuous codes that an image shows, on average"),
    "mask": Quantity("1 where a pixel is known, 0 where it is drawn", minimum=0, maximum=1),
    "log_prob": Quantity("the log-likelihood of an image, given its label if any", unit="nats"),
    "bits_per_dim": Quantity("-log2 p a pixel and channel", unit="bits"),
    "logits": Quantity(
        "higher for what looks real: log odds, a critic's value, or minus an energy", unit="nats"
    ),
    "embeddings": Quantity("a representation, scaled to length 1"),
    "projections": Quantity("what the loss compares, scaled to length 1"),
    "indices": Quantity("a row of the gallery, the nearest first", minimum=0, num_values="size"),
    "similarities": Quantity("cosines with these rows, at most 1 but for rounding"),
    "probabilities": Quantity("the probability of each class", **SHARE),
    "category_probabilities": Quantity("the probability of each category", **SHARE),
}
POINTS = Quantity("coordinates of points, on the scale of the training data")


def describe(name: str, shape: Sequence[int | None], model) -> dict:
    """What a model card says of an input or output.

    Args:
        name: its name.
        shape: its shape with the batch.
        model: the model, asked for the number of its classes, codes or levels.

    Returns:
        `description`, `unit` and, where there are bounds, `minimum`, `maximum` and
        `exclusiveMinimum`, the words of JSON Schema; `num_levels` where pixels take that many
        values from 0 to 1. Empty for a name of the user's own.
    """
    if name not in QUANTITIES:
        return {}
    quantity = POINTS if name == "images" and len(shape) != 4 else QUANTITIES[name]
    maximum = quantity.maximum
    if quantity.num_values is not None:
        try:
            maximum = operator.attrgetter(quantity.num_values)(model) - 1
        except AttributeError:
            return {}
    bounds = {
        "minimum": quantity.minimum,
        "maximum": maximum,
        "exclusiveMinimum": quantity.exclusive_minimum,
        # A model of levels takes no image off them.
        "num_levels": getattr(model, "num_levels", None) if name == "images" else None,
    }
    return {"description": quantity.description, "unit": quantity.unit} | {
        key: value for key, value in bounds.items() if value is not None
    }
