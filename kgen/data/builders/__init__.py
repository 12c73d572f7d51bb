"""kgen's own TFDS builders. Once imported, `tfds.load` knows them as well. None needs a network."""

from kgen.data.builders.digits import Digits as Digits
from kgen.data.builders.emoji import Emoji as Emoji
from kgen.data.builders.gaussians import GaussianGrid as GaussianGrid
from kgen.data.builders.gaussians import GaussianRing as GaussianRing
from kgen.data.builders.idx_images import IdxImages as IdxImages
from kgen.data.builders.image_folder import ImageFolder as ImageFolder
from kgen.data.builders.shapes import Shapes as Shapes

NAMES = tuple(
    builder.name
    for builder in (Digits, Emoji, GaussianGrid, GaussianRing, IdxImages, ImageFolder, Shapes)
)
