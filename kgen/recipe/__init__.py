"""What recipes share: flags from a dataclass, strategy, precision, results."""

from kgen.recipe.flags import choose as choose
from kgen.recipe.flags import cosine_adam as cosine_adam
from kgen.recipe.flags import fingerprint as fingerprint
from kgen.recipe.flags import option as option
from kgen.recipe.flags import run as run
from kgen.recipe.flags import set_up as set_up
from kgen.recipe.flags import strategy as strategy
from kgen.recipe.flags import verbosity as verbosity
from kgen.recipe.image_generators import image_generator as image_generator
from kgen.recipe.pixel_models import pixel_model as pixel_model
from kgen.recipe.representations import representation as representation
from kgen.recipe.results import check_folders as check_folders
from kgen.recipe.results import mean_term as mean_term
from kgen.recipe.results import publish as publish
from kgen.recipe.results import report as report
from kgen.recipe.results import save_model as save_model
from kgen.recipe.results import timer as timer
from kgen.recipe.results import write_json as write_json
from kgen.recipe.results import write_metrics as write_metrics
