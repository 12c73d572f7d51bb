"""What every network promises, as a fixture."""

import keras
import numpy as np
import pytest


@pytest.fixture
def plain_model(tmp_path):
    """A check: known shapes, float32 outputs, `.keras` round trip, `clone_model`."""

    def check(network, inputs, output_shape):
        assert network.output_shape == (None, *output_shape)
        outputs = network(inputs).numpy()
        assert outputs.dtype == np.float32 and outputs.shape[1:] == tuple(output_shape)
        network.save(tmp_path / "network.keras")
        restored = keras.saving.load_model(tmp_path / "network.keras")
        np.testing.assert_array_equal(restored(inputs), outputs)
        clone = keras.models.clone_model(network)
        assert clone.input_shape == network.input_shape
        assert not {id(v) for v in clone.variables} & {id(v) for v in network.variables}
        clone.set_weights(network.get_weights())
        np.testing.assert_array_equal(clone(inputs), outputs)
        return outputs

    return check
