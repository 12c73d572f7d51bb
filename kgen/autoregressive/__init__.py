"""Models of exact likelihood, one pixel after the other."""

from kgen.autoregressive.gated_pixelcnn import GatedPixelCNN as GatedPixelCNN
from kgen.autoregressive.multiscale_pixelcnn import MultiScalePixelCNN as MultiScalePixelCNN
from kgen.autoregressive.pixel_vae import PixelVAE as PixelVAE
from kgen.autoregressive.pixelcnn import PixelCNN as PixelCNN
from kgen.autoregressive.pixelcnn_plus_plus import PixelCNNPlusPlus as PixelCNNPlusPlus
