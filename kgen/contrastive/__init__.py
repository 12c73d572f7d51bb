"""Self-supervised representations: models that compare views, and their losses."""

from kgen.contrastive.barlow_twins import BarlowTwins as BarlowTwins
from kgen.contrastive.byol import BYOL as BYOL
from kgen.contrastive.cpc import CPC as CPC
from kgen.contrastive.exemplar_metric import ExemplarMetric as ExemplarMetric
from kgen.contrastive.exemplar_network import ExemplarNetwork as ExemplarNetwork
from kgen.contrastive.moco import MoCo as MoCo
from kgen.contrastive.npid import NPID as NPID
from kgen.contrastive.simclr import SimCLR as SimCLR
from kgen.contrastive.simsiam import SimSiam as SimSiam
from kgen.contrastive.vicreg import VICReg as VICReg
