"""What one example of a model's data is.

A model says what it takes in `data_spec`, a structure of specs in Keras' `(x, y)` form:

    Images((28, 28, 1))                       x alone, as a VAE
    (Images((28, 28, 1)), Labels(10))         x and y, as a GAN with labels
    ((Images(s), Images(s)),)                 x is a pair, and there is no y, as SimCLR
    (Images(a), Images(b))                    x and y, both images, as pix2pix

One walk over this structure serves the check of what `fit` is given, `kgen.data.from_arrays`, the
warm-up requests and the model card of an export, and the examples of the tests.
"""

from kgen.specs.conditions import Attributes as Attributes
from kgen.specs.conditions import Labels as Labels
from kgen.specs.kinds import Clips as Clips
from kgen.specs.kinds import Images as Images
from kgen.specs.kinds import Points as Points
from kgen.specs.kinds import Rows as Rows
from kgen.specs.kinds import Signals as Signals
from kgen.specs.kinds import Tokens as Tokens
from kgen.specs.kinds import Waveforms as Waveforms
from kgen.specs.spec import Seeds as Seeds
from kgen.specs.spec import Spec as Spec
from kgen.specs.spec import Values as Values
from kgen.specs.structure import condition_parts as condition_parts
from kgen.specs.structure import describe as describe
from kgen.specs.structure import example as example
from kgen.specs.structure import of_shape as of_shape
from kgen.specs.structure import pack as pack
from kgen.specs.structure import pairs as pairs
from kgen.specs.structure import x_and_y as x_and_y
