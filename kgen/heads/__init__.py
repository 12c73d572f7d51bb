"""Parameter tensors -> TFP distributions: the bridge between Keras 3 and TFP."""

from kgen.heads.flows import AutoregressiveFlowPrior as AutoregressiveFlowPrior
from kgen.heads.flows import CouplingFlowPrior as CouplingFlowPrior
from kgen.heads.flows import InverseAutoregressiveFlow as InverseAutoregressiveFlow
from kgen.heads.head import Head as Head
from kgen.heads.head import location as location
from kgen.heads.likelihoods import Bernoulli as Bernoulli
from kgen.heads.likelihoods import Categorical as Categorical
from kgen.heads.likelihoods import ContinuousBernoulli as ContinuousBernoulli
from kgen.heads.likelihoods import DiscretizedLogistic as DiscretizedLogistic
from kgen.heads.likelihoods import Normal as Normal
from kgen.heads.mixtures import DiscretizedLogisticMixture as DiscretizedLogisticMixture
from kgen.heads.posteriors import DiagonalLaplace as DiagonalLaplace
from kgen.heads.posteriors import DiagonalLogistic as DiagonalLogistic
from kgen.heads.posteriors import DiagonalNormal as DiagonalNormal
from kgen.heads.posteriors import LogNormal as LogNormal
from kgen.heads.posteriors import MixtureOfNormals as MixtureOfNormals
from kgen.heads.posteriors import RelaxedOneHotCategorical as RelaxedOneHotCategorical
from kgen.heads.priors import MixtureOfNormalsPrior as MixtureOfNormalsPrior
from kgen.heads.priors import VampPrior as VampPrior
from kgen.heads.standard_priors import Prior as Prior
from kgen.heads.standard_priors import StandardLogNormal as StandardLogNormal
from kgen.heads.standard_priors import StandardNormal as StandardNormal
from kgen.heads.standard_priors import UniformRelaxedOneHot as UniformRelaxedOneHot
