"""Every model once, tiny. The contract tests run over this table: a new system adds a row."""

from cases import adversarial, autoencoding, autoregressive, classical, contrastive
from cases.parts import AVERAGES as AVERAGES
from cases.parts import CONVOLUTIONAL as CONVOLUTIONAL
from cases.parts import DENSE_PLAYERS as DENSE_PLAYERS
from cases.parts import FEATURES as FEATURES
from cases.parts import FOLLOWS as FOLLOWS
from cases.parts import GATED as GATED
from cases.parts import MOVING as MOVING
from cases.parts import PIXEL_RNN as PIXEL_RNN
from cases.parts import PIXELCNN as PIXELCNN
from cases.parts import READERS as READERS
from cases.parts import RESIDUAL as RESIDUAL
from cases.parts import SHAPE as SHAPE
from cases.parts import SMALL as SMALL
from cases.parts import STANDARDIZED as STANDARDIZED
from cases.parts import TABLE as TABLE
from cases.parts import Case as Case
from cases.parts import compiled as compiled
from cases.parts import dcgan as dcgan
from cases.parts import embedder as embedder
from cases.parts import examples as examples
from cases.parts import projector as projector
from cases.parts import vae as vae

CASES = [
    *autoencoding.CASES,
    *adversarial.CASES,
    *autoregressive.CASES,
    *classical.CASES,
    *contrastive.CASES,
]
