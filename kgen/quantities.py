"""What the entries of a tensor mean: unit and range, as model cards and pages say it."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Quantity:
    """The meaning of the entries of a tensor.

    Attributes:
        description: what an entry is.
        unit: its unit; "1" where it has none.
        minimum: least value, or None.
        maximum: largest value, or None.
        exclusive_minimum: a bound that all values are above, or None.
        num_levels: how many values an entry takes, evenly from 0 to 1, or None.
    """

    description: str
    unit: str = "1"
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: float | None = None
    num_levels: int | None = None

    def as_dict(self):
        """`description`, `unit` and what there is of the rest, in the words of JSON Schema."""
        bounds = {
            "minimum": self.minimum,
            "maximum": self.maximum,
            "exclusiveMinimum": self.exclusive_minimum,
            "num_levels": self.num_levels,
        }
        known = {name: value for name, value in bounds.items() if value is not None}
        return {"description": self.description, "unit": self.unit} | known


INT32 = {"minimum": -(2**31), "maximum": 2**31 - 1}
SHARE = {"minimum": 0.0, "maximum": 1.0}

# What a name means in an endpoint that says nothing else of it.
QUANTITIES = {
    "images": Quantity("pixels, channels last: 0 is black, 1 the full intensity", **SHARE),
    "png_bytes": Quantity("a PNG file, 8 bits per channel", unit="bytes"),
    "seed": Quantity("any two integers: the same row draws the same sample", **INT32),
    "latents": Quantity("a latent vector; the prior says where these lie, mostly near 0"),
    "start": Quantity("the latent vector where a path begins"),
    "end": Quantity("the latent vector where a path ends"),
    "weight": Quantity("the place on a path: 0 is its start, 1 its end", **SHARE),
    "temperature": Quantity(
        "below 1 samples are more alike and more likely; 1 draws from the model itself",
        exclusive_minimum=0.0,
    ),
    "continuous": Quantity("the continuous codes, as trained", minimum=-1.0, maximum=1.0),
    "continuous_means": Quantity("the continuous codes that an image shows, on average"),
    "mask": Quantity("1 where a pixel is known, 0 where it is drawn", minimum=0, maximum=1),
    "log_prob": Quantity("the log-likelihood of an example, given its label if any", unit="nats"),
    "reconstruction": Quantity("the log-likelihood of an example given its code", unit="nats"),
    "bits_per_dim": Quantity("-log2 p per pixel and channel", unit="bits"),
    "logits": Quantity(
        "higher for what looks real: log odds, a critic's value, or minus an energy", unit="nats"
    ),
    "embeddings": Quantity("a representation, scaled to length 1"),
    "projections": Quantity("what the loss compares, scaled to length 1"),
    "similarities": Quantity("cosines with these rows, at most 1 but for rounding"),
    "probabilities": Quantity("the probability of each class", **SHARE),
    "category_probabilities": Quantity("the probability of each category", **SHARE),
}
