"""What happens around the steps of `fit`: pictures, figures, backups, a stop at divergence."""

from kgen.callbacks.anneal import Anneal as Anneal
from kgen.callbacks.backup import BackupAndRestore as BackupAndRestore
from kgen.callbacks.evaluation import EvaluationLogger as EvaluationLogger
from kgen.callbacks.pictures import PictureLogger as PictureLogger
from kgen.callbacks.probe import OnlineProbe as OnlineProbe
from kgen.callbacks.projector import ProjectorLogger as ProjectorLogger
from kgen.training.divergence import DivergenceGuard as DivergenceGuard
