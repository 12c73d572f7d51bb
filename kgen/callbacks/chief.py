"""Which of several workers writes files."""


def is_chief(model):
    """Whether this worker is the one that writes files."""
    return model.distribute_strategy.extended.should_checkpoint
