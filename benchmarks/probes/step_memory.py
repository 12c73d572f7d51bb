"""Peak memory of a training step of one contender."""

from benchmarks import libraries, memory
from benchmarks.cases import FAMILIES, synthetic_images

NUM_BATCHES = 4


def measure(library, family, case, contender, batch_size, threads):
    """Peaks in MB once the contender is warm.

    Args:
        library: a name of `libraries.REQUIREMENTS`.
        family: a name of `FAMILIES`.
        case: a name in it.
        contender: a name that the library's file of the family yields.
        batch_size: int.
        threads: int, PyTorch's.

    Returns:
        None if the contender is left out, else dict with `step`, what the model and its steps
        allocate beyond what the library had allocated when it was imported, and `process`, all that
        is resident, its libraries included. On a GPU `step` is the peak of what is allocated there.
    """
    if not libraries.is_at_hand(library, threads):
        return None
    chosen = FAMILIES[family][case]
    images = synthetic_images(NUM_BATCHES * batch_size, chosen.num_levels)
    make = libraries.contenders(library, family, chosen, images, batch_size)[contender]
    _first_operation(library)
    before = memory.megabytes("RssAnon")
    train = make()
    if train is None:
        return None
    # Twice: PyTorch compiles a second time where it finds that sizes change.
    train()
    train()
    memory.forget_peak()
    train()
    step, process = memory.allocated_peak() - before, memory.megabytes("VmHWM")
    gpu = _peak_on_gpu(library)
    return dict(step=step if gpu is None else gpu, process=process)


def _first_operation(library):
    """Let the library start its threads and whatever else it allocates once."""
    if library in ("kgen", "keras"):
        import tensorflow as tf

        tf.ones((8, 8)) @ tf.ones((8, 8))
    else:
        import torch

        torch.ones((8, 8)) @ torch.ones((8, 8))


def _peak_on_gpu(library):
    if library in ("kgen", "keras"):
        import tensorflow as tf

        if tf.config.get_visible_devices("GPU"):
            return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 1e6
    else:
        import torch

        if torch.get_default_device().type == "cuda":
            return torch.cuda.max_memory_allocated() / 1e6
    return None
