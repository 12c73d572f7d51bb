"""Classical models, fitted by sufficient statistics."""

from kgen.classical.gaussian_mixture import GaussianMixture as GaussianMixture
