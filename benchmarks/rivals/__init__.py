"""One file a library and family: the model, written the way that library's users write it.

Each has a function `contenders(case, images, batch_size)` that yields `(name, make)`. `make()`
builds the model and returns `train`, or None where the contender cannot be had, which it says.
`train()` passes once over the images and returns when all steps are done.
"""
