"""Pictures of what a model has learned.

A function that draws returns an array; `save_png` is what writes it. So the same picture goes to a
file, to TensorBoard (`kgen.callbacks.PictureLogger`) or into a notebook.

The models only need the verbs that a picture uses: `sample`, `encode` (or `embed`), `decode`,
`reconstruct`.
"""

from kgen.plots.curves import training_curves as training_curves
from kgen.plots.densities import point_densities as point_densities
from kgen.plots.files import save_png as save_png
from kgen.plots.grids import completion_grid as completion_grid
from kgen.plots.grids import image_grid as image_grid
from kgen.plots.grids import reconstruction_grid as reconstruction_grid
from kgen.plots.grids import sample_grid as sample_grid
from kgen.plots.latents import codes_of as codes_of
from kgen.plots.latents import interpolation_grid as interpolation_grid
from kgen.plots.latents import latent_manifold as latent_manifold
from kgen.plots.latents import latent_scatter as latent_scatter
from kgen.plots.latents import latent_traversal as latent_traversal
from kgen.plots.pictures import check_picture as check_picture
