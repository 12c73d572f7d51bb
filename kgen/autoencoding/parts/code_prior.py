"""A learned prior of a VQ-VAE's codes: another model, trained on the codes of images."""

import keras
import numpy as np
import tensorflow as tf

from kgen import checks, data, heads, specs
from kgen.epochs import set_epoch
from kgen.training.data import as_array, unpack
from kgen.verbs import Sampling


class CodePrior(Sampling):
    """Mixin for models of discrete codes, whose `prior` learns after them, by `fit_prior`.

        maximize over the prior's weights   mean_x log p(k(x)),     k(x) = encode(x)
        sample:                             k ~ p(k),   x = decode(k)

    A code map is to the prior an image `(rows, columns, 1)` on the levels k / (num_codes - 1); the
    codes of a vector are one row. The prior is a kgen model of its own, with its own `compile`,
    optimizer, `steps` and seed; the `fit` of this model leaves it as it is. Files hold both.

    Such a model has a `quantizer` and `code_shape`, and defines `encode` and `decode`.
    """

    prior = None

    def _set_prior(self, prior):
        """Check and keep a prior: a model, a function that makes one, or None."""
        if prior is None:
            self.prior = None
            return
        num_codes = self.quantizer.num_codes
        map_shape = self._map_shape()
        # Models, heads and classes have one, functions that make a model have none.
        if callable(prior) and not hasattr(prior, "get_config"):
            with self.distribute_strategy.scope():
                prior = prior(map_shape, num_codes)
        wanted = f"such as kgen.GatedPixelCNN.for_codes({map_shape}, {num_codes})"
        if not isinstance(prior, Sampling) or not isinstance(prior, keras.Model):
            name = prior.__name__ if isinstance(prior, type) else type(prior).__name__
            raise ValueError(f"prior must be a model of code maps, {wanted}; received {name}.")
        spec = specs.x_and_y(prior.data_spec)[0]
        if spec != specs.Images((*map_shape, 1), num_codes):
            levels = getattr(spec, "num_levels", None)
            raise ValueError(
                f"prior must be a model of maps {(*map_shape, 1)} on {num_codes} levels, "
                f"{wanted}; received one of {spec}" + (f" on {levels}." if levels else ".")
            )
        if not isinstance(getattr(prior, "likelihood", heads.Categorical(2)), heads.Categorical):
            raise ValueError(
                f"Codes have no order: the prior's likelihood must be heads.Categorical("
                f"{num_codes}), received {prior.likelihood!r}."
            )
        # Not through the check of a compiled model's arguments: no step holds the prior.
        keras.Model.__setattr__(self, "prior", prior)
        self._prior_is_of = self.add_weight(
            name="prior_is_of",
            shape=(),
            dtype="int64",
            initializer=keras.initializers.Constant(-1),
            trainable=False,
            aggregation="only_first_replica",
        )

    @property
    def learns_apart(self):
        """The prior."""
        return () if self.prior is None else (self.prior,)

    def _named_variables(self):
        of_prior = {} if self.prior is None else {"prior_is_of": self._prior_is_of}
        return {**super()._named_variables(), **of_prior}

    def fit_prior(
        self,
        x,
        y=None,
        *,
        prior=None,
        optimizer=None,
        batch_size=128,
        epochs=1,
        validation_data=None,
        **kwargs,
    ):
        """Train the prior on the codes of images, once this model has been trained.

            vqvae.fit(images, epochs=20)
            vqvae.fit_prior(images, prior=kgen.GatedPixelCNN.for_codes, epochs=50)
            vqvae.sample(16, seed=0)

        The images are encoded once, 4 bytes per code in memory. The order of an epoch's codes is a
        function of (the prior's seed, epoch), so that a run with `kgen.callbacks.BackupAndRestore`
        resumes as if it had not been interrupted. To train on, call it again.

        Args:
            x: float32 images `(n, height, width, channels)`, or a tf.data.Dataset of batches,
                with the condition as y where the prior has one.
            y: the condition of each image where the prior has one.
            prior: where the model has none yet: a function `(code_shape, num_codes) -> kgen model`,
                such as `kgen.GatedPixelCNN.for_codes`, or that model.
            optimizer: a Keras optimizer or its name; None for that of the last call, at first
                "adam". To choose more, call `model.prior.compile` before.
            batch_size: int >= 1, code maps per step.
            epochs: int >= 1.
            validation_data: images, `(images, condition)` or a tf.data.Dataset; None for none.
            **kwargs: of the prior's `fit`, such as `callbacks`, `verbose`; callbacks see the prior.

        Returns:
            keras.callbacks.History, in nats per code map.

        Raises:
            ValueError: without a prior, for a second one, or for data that are not the model's.
            TypeError: for data that are neither arrays nor a tf.data.Dataset.
        """
        for name in ("sample_weight", "class_weight", "validation_split", "shuffle"):
            if name in kwargs:
                raise ValueError(f"fit_prior takes no {name}: leave it out.")
        if prior is not None and self.prior is not None:
            raise ValueError(f"This {type(self).__name__} has a prior already: leave prior= out.")
        if prior is None and self.prior is None:
            raise ValueError(
                f"This {type(self).__name__} has no prior: give fit_prior one, "
                "prior=kgen.GatedPixelCNN.for_codes."
            )
        checks.positive_integer("batch_size", batch_size)
        learned, measured = self._encoded(x, y, batch_size), None
        if validation_data is not None:
            parts = validation_data if isinstance(validation_data, tuple) else (validation_data,)
            measured = self._encoded(*(*parts, None)[:2], batch_size)
        if prior is not None:
            self._set_prior(prior)
        how = dict(batch_size=batch_size, seed=self.prior.seed)
        if measured is not None:
            kwargs["validation_data"] = self._batches_of_maps(*measured, **how)
        if optimizer is not None or not self.prior.compiled:
            with self.distribute_strategy.scope():
                self.prior.compile(optimizer or "adam")
        self._prior_is_of.assign(self.steps)
        learned = self._batches_of_maps(*learned, shuffle=True, **how)
        return self.prior.fit(learned, epochs=epochs, **kwargs)

    def _encoded(self, x, y, batch_size):
        """The code maps of images as the prior reads them, and their condition, or None."""
        batches = [
            (self._maps(self.encode(images)).numpy(), given)
            for images, given in _batches(x, y, batch_size)
        ]
        if not batches:
            raise ValueError("The data set is empty: it gave no batch.")
        maps, given = zip(*batches, strict=True)
        if given[0] is None:
            return np.concatenate(maps), None
        return np.concatenate(maps), keras.tree.map_structure(
            lambda *parts: np.concatenate(parts), *given
        )

    def _batches_of_maps(self, maps, given, **how):
        spec = self.prior.data_spec
        if given is not None and not isinstance(spec, tuple):
            # Labels that the prior does not learn from are for its `fit` to speak of.
            spec = (spec, None)
        return data.from_arrays((maps, given), spec=spec, **how)

    def _maps(self, codes):
        """Codes as images on levels: float32 `(batch, rows, columns, 1)`."""
        codes = tf.reshape(codes, (-1, *self._map_shape(), 1))
        return tf.cast(codes, tf.float32) / (self.quantizer.num_codes - 1)

    def _codes(self, maps):
        """The inverse of `_maps`."""
        codes = tf.cast(tf.round(maps * (self.quantizer.num_codes - 1)), tf.int32)
        return tf.reshape(codes, (-1, *self.code_shape))

    def _map_shape(self):
        """`(rows, columns)` of a code map."""
        if len(self.code_shape) > 2:
            raise ValueError(
                f"A prior learns codes of shape (rows, columns) or (count,); those of this "
                f"{type(self).__name__} have shape {self.code_shape}."
            )
        return (1,) * (2 - len(self.code_shape)) + self.code_shape

    # Sampling.

    @property
    def sample_spec(self):
        """What `decode` gives: means, which lie on no levels."""
        return super().sample_spec.of_means()

    def sample(self, num_samples, *, seed=None, **options):
        """Draw codes from the prior and decode them.

        Args:
            num_samples: int >= 1.
            seed: int, or None for a fresh one. Image i is a function of `(seed, i)` and the
                options of its row, in Python and from the served model.
            **options: of the prior's `sample`: `temperature`, `condition`, `jit_compile`.

        Returns:
            float32 `(num_samples, *image_shape)`, images in [0, 1]: the likelihood's means.

        Raises:
            ValueError: if the prior is not there, not trained, or of codes that have moved since.
        """
        self._check_prior_is_fitted()
        return self.decode(self._codes(self.prior.sample(num_samples, seed=seed, **options)))

    def _check_prior_is_fitted(self):
        if self.prior is None or int(self._prior_is_of.numpy()) < 0:
            how = "epochs=30" if self.prior else "prior=kgen.GatedPixelCNN.for_codes, epochs=30"
            raise ValueError(
                f"This {type(self).__name__} has no trained prior to draw codes from: call "
                f"fit_prior(images, {how}) first."
            )
        if int(self._prior_is_of.numpy()) != int(self.steps.numpy()):
            raise ValueError(
                f"This {type(self).__name__} was trained since its fit_prior, and its codes mean "
                "something else now: call fit_prior(images) again."
            )

    def _sample_inputs(self):
        return {} if self.prior is None else self.prior._sample_inputs()

    def _sample_rows(self, seeds, *rows):
        return self.decode(self._codes(self.prior._sample_rows(seeds, *rows)))

    def endpoints(self):
        """Those of `kgen.verbs.Sampling` once the prior has been trained."""
        endpoints = super().endpoints()
        if self.prior is None or int(self._prior_is_of.numpy()) < 0:
            return {name: each for name, each in endpoints.items() if "sample" not in name}
        self._check_prior_is_fitted()
        return endpoints


def _batches(x, y, batch_size):
    """Pairs of images and their condition, None where there is none."""
    if isinstance(x, tf.data.Dataset):
        if int(x.cardinality()) == tf.data.INFINITE_CARDINALITY:
            raise ValueError("The data set has no end: fit_prior encodes all of it. Take a part.")
        # What an epoch holds is then the same in a run that resumes.
        set_epoch(0)
        for batch in x:
            images, given, sample_weight = unpack(batch)
            if sample_weight is not None:
                raise ValueError("fit_prior takes no sample weights: leave them out.")
            yield images, given if given is None else keras.tree.map_structure(np.asarray, given)
        return
    if not hasattr(x, "shape"):
        raise TypeError(
            f"fit_prior takes arrays or a tf.data.Dataset of batches, received {type(x).__name__}."
        )
    y = as_array(y)
    columns = [] if y is None else [np.asarray(part) for part in keras.tree.flatten(y)]
    lengths = sorted({len(x), *map(len, columns)})
    if len(lengths) > 1:
        raise ValueError(f"x and y must have as many rows, received {lengths}.")
    for start in range(0, len(x), batch_size):
        stop = start + batch_size
        parts = [column[start:stop] for column in columns]
        yield x[start:stop], None if y is None else keras.tree.pack_sequence_as(y, parts)
