import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen.data import from_arrays, load, set_epoch
from kgen.epochs import current_epoch

NUM_EXAMPLES = 50
POINTS = np.arange(NUM_EXAMPLES, dtype=np.float32)[:, None]


def order(dataset):
    return np.concatenate([batch.numpy().ravel() for batch in dataset]).astype(int).tolist()


def points(**options):
    return from_arrays(POINTS, **{"batch_size": 8, "shuffle": True, **options})


def orders(dataset, epochs):
    result = []
    for epoch in epochs:
        set_epoch(epoch)
        result.append(order(dataset))
    return result


def test_order_is_a_function_of_seed_and_epoch():
    first, second, again = orders(points(), (0, 1, 0))
    assert first == again != second
    assert orders(points(), (1,)) == [second]
    assert orders(points(seed=1), (0,)) != [first]


def test_every_example_exactly_once():
    for epoch_order in orders(points(), range(4)):
        assert sorted(epoch_order) == list(range(NUM_EXAMPLES))


def test_order_does_not_depend_on_the_batch_size():
    assert order(points(batch_size=8)) == order(points(batch_size=50))


def test_resuming_at_an_epoch_gives_its_order():
    whole_run = orders(points(), range(5))
    assert orders(points(), (3, 4)) == whole_run[3:]


def test_iterating_does_not_advance_the_order():
    dataset = points()
    assert order(dataset) == order(dataset)


def test_without_shuffle_the_order_is_that_of_the_data():
    assert orders(points(shuffle=False), (0, 1)) == [list(range(NUM_EXAMPLES))] * 2


def test_global_seed_does_not_matter(data_dir):
    def first_labels(cache):
        dataset = load(
            "digits", shuffle=True, labels=True, batch_size=16, cache=cache, data_dir=data_dir
        )
        return next(iter(dataset))[1].numpy().tolist()

    for cache in (True, False):
        before = first_labels(cache)
        keras.utils.set_random_seed(123)
        assert first_labels(cache) == before


@pytest.mark.parametrize("cache", [True, False])
def test_loaded_data_follow_the_epoch(data_dir, cache):
    def labels(dataset):
        return [label for _, batch in dataset for label in batch.numpy().tolist()]

    def build():
        return load(
            "digits", "test", shuffle=True, labels=True, cache=cache, seed=3, data_dir=data_dir
        )

    epochs = []
    for epoch in (0, 1, 0):
        set_epoch(epoch)
        epochs.append(labels(build()))
    assert epochs[0] == epochs[2] != epochs[1]
    assert sorted(epochs[0]) == sorted(epochs[1])


def test_cardinality_is_known():
    assert int(points().cardinality()) == 7
    assert int(points(drop_remainder=True).cardinality()) == 6
    assert len(list(points(drop_remainder=True))) == 6
    assert points(drop_remainder=True).element_spec.shape == (8, 1)


def test_negative_epoch():
    with pytest.raises(ValueError, match="at least 0, received -1"):
        set_epoch(-1)


@pytest.fixture
def strategy():
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def test_replicas_share_the_batches_of_one_device(strategy):
    with strategy.scope():
        dataset = points(batch_size=12)
        distributed = strategy.experimental_distribute_dataset(dataset)
    for epoch in (0, 2, 1, 0):
        with strategy.scope():
            set_epoch(epoch)
        expected = [batch.numpy().ravel().tolist() for batch in dataset]
        received = []
        for batch in distributed:
            parts = strategy.experimental_local_results(batch)
            assert len(parts) == 2
            received.append(np.concatenate([part.numpy().ravel() for part in parts]).tolist())
        assert received == expected
    assert int(distributed.cardinality) == 5


class SetEpoch(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        set_epoch(epoch)


def test_keras_fit_takes_the_order_of_each_epoch():
    seen = []

    class Recorder(keras.Model):
        def train_step(self, data):
            seen.extend(data.numpy().ravel().astype(int).tolist())
            return {"loss": tf.constant(0.0)}

    dataset = points()
    model = Recorder()
    model.build((None, 1))
    model.compile(run_eagerly=True)
    model.fit(dataset, epochs=4, initial_epoch=2, callbacks=[SetEpoch()], shuffle=False, verbose=0)
    epochs = [seen[:NUM_EXAMPLES], seen[NUM_EXAMPLES:]]
    assert epochs == orders(dataset, (2, 3))


def test_current_epoch_is_read_when_run():
    read = tf.function(current_epoch)
    set_epoch(5)
    assert int(read()) == 5
    set_epoch(6)
    assert int(read()) == 6
