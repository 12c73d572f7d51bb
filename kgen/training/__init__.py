"""The bases that own the training step."""

from kgen.training.base import BaseModel as BaseModel
from kgen.training.game import AdversarialModel as AdversarialModel
from kgen.training.game import GameModel as GameModel
from kgen.training.objective import ObjectiveModel as ObjectiveModel
from kgen.training.statistics import StatisticsModel as StatisticsModel
