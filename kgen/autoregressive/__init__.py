"""Models of exact likelihood, one pixel after the other."""

from kgen.autoregressive.gated_pixelcnn import GatedPixelCNN as GatedPixelCNN
from kgen.autoregressive.made import MADE as MADE
from kgen.autoregressive.multiscale_pixelcnn import MultiScalePixelCNN as MultiScalePixelCNN
from kgen.autoregressive.nade import NADE as NADE
from kgen.autoregressive.pixel_rnn import PixelRNN as PixelRNN
from kgen.autoregressive.pixel_vae import PixelVAE as PixelVAE
from kgen.autoregressive.pixelcnn import PixelCNN as PixelCNN
from kgen.autoregressive.pixelcnn_plus_plus import PixelCNNPlusPlus as PixelCNNPlusPlus
