"""One file a library: the same model, written the way that library's users write it.

Each has a function `contenders(case, images, batch_size)` that yields `(name, train)`, where
`train()` passes once over the images and returns when all steps are done.
"""
