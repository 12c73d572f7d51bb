"""One file per rival: the models, written the way that library's users write them.

Each has a function `contenders(case, images, batch_size)` that yields `cases.Contender`s.
"""
