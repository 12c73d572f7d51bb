"""What models promise: a mixin per promise, with its methods and its endpoints.

The same verb means the same in every model. Everything after the first argument is keyword-only,
randomness is `seed`, and a verb that a model cannot honour is absent.
"""

from kgen.verbs.bound import EvidenceBound as EvidenceBound
from kgen.verbs.completion import Completion as Completion
from kgen.verbs.conditioning import Conditioning as Conditioning
from kgen.verbs.decoding import Decoding as Decoding
from kgen.verbs.decoding import Interpolation as Interpolation
from kgen.verbs.density import Density as Density
from kgen.verbs.discrimination import Discrimination as Discrimination
from kgen.verbs.reconstruction import Reconstruction as Reconstruction
from kgen.verbs.representation import Projection as Projection
from kgen.verbs.representation import Representation as Representation
from kgen.verbs.sampling import Sampling as Sampling
from kgen.verbs.scoring import Scoring as Scoring
