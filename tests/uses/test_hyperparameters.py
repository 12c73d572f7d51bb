"""Numbers that change while a model trains: by hand, in callbacks, along a schedule, resumed."""

import keras
import numpy as np
import pytest

import kgen

IMAGES = np.random.default_rng(0).random((32, 8, 8, 1)).astype("float32")


def vae(**arguments):
    networks = dict(encoder=kgen.networks.dense_encoder, decoder=kgen.networks.dense_decoder)
    model = kgen.VAE.for_images((8, 8, 1), latent_dim=2, **networks, **arguments)
    model.compile(keras.optimizers.SGD(0.0))
    return model


@pytest.fixture(scope="module")
def trained():
    model = vae()
    model.fit(IMAGES, batch_size=16, verbose=0)
    return model


def test_a_value_set_after_fit_counts_in_training_validation_and_config(trained):
    for beta in (4.0, 0.1):
        trained.beta = beta
        logs = trained.fit(IMAGES, batch_size=32, validation_data=IMAGES, verbose=0).history
        for prefix in ("", "val_"):
            terms = {name: logs[prefix + name][0] for name in ("loss", "reconstruction", "kl")}
            expected = terms["reconstruction"] + beta * terms["kl"]
            assert terms["loss"] == pytest.approx(expected, rel=1e-5)
        assert trained.get_config()["beta"] == beta


def test_a_value_out_of_range_is_refused(trained):
    before = trained.beta
    with pytest.raises(ValueError, match="beta must be at least 0.0"):
        trained.beta = -1.0
    assert trained.beta == before


def test_what_is_built_into_the_step_is_refused(trained):
    with pytest.raises(ValueError, match="num_importance_samples is built into the compiled step"):
        trained.num_importance_samples = 5
    with pytest.raises(ValueError, match="VAE.seed is built into"):
        trained.seed = 3
    model = vae(num_importance_samples=2)
    with pytest.raises(ValueError, match="no separate KL"):
        model.beta = 2.0
    gan = kgen.GAN.for_images((8, 8, 1), latent_dim=2, ema_decay=None)
    with pytest.raises(ValueError, match="ema_decay cannot change from None to 0.9"):
        gan.ema_decay = 0.9
    with pytest.raises(ValueError, match="consensus_weight cannot change from 0.0 to 0.5"):
        gan.consensus_weight = 0.5


def test_a_value_set_in_a_callback_counts_at_the_next_step():
    class Raise(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            self.model.beta = float(batch)

    model = vae(beta=2.0)
    terms = [model.fit(IMAGES[:16], batch_size=16, verbose=0, shuffle=False).history["kl"][0]]
    history = model.fit(IMAGES, batch_size=16, verbose=0, callbacks=[Raise()]).history
    # Betas 0 and 1 over two steps: half the mean KL, which the first step did not see.
    assert history["reconstruction"][0] < history["loss"][0]
    assert history["loss"][0] < history["reconstruction"][0] + history["kl"][0]
    assert terms[0] > 0 and model.beta == 1.0


def test_anneal_follows_its_schedule_and_logs_it():
    ramp = keras.optimizers.schedules.PolynomialDecay(0.0, 4, end_learning_rate=1.0)
    model = vae()
    anneal = kgen.callbacks.Anneal("beta", ramp)
    history = model.fit(IMAGES, batch_size=16, epochs=3, verbose=0, callbacks=[anneal]).history
    # Steps 0 to 5 have the values 0, 1/4, 1/2, 3/4, 1, 1.
    assert history["beta"] == [0.25, 0.75, 1.0]
    with pytest.raises(ValueError, match="VAE has no number 'gamma'.*One of: beta, free_bits"):
        model.fit(IMAGES, verbose=0, callbacks=[kgen.callbacks.Anneal("gamma", ramp)])
    with pytest.raises(ValueError, match="schedule must be a function"):
        kgen.callbacks.Anneal("beta", 0.5)


def test_a_warm_up_goes_on_from_a_new_beta():
    model = vae(beta=2.0, kl_warmup_epochs=4)
    model.fit(IMAGES, epochs=2, verbose=0)
    assert float(model.kl_weight.numpy()) == 0.5
    model.beta = 8.0
    assert float(model.kl_weight.numpy()) == 2.0


def test_a_resumed_run_has_the_value_and_says_where_it_resumes(tmp_path, capsys):
    class Halve(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.beta /= 2.0

    for epochs in (2, 3):
        model = vae()
        callbacks = [Halve(), kgen.callbacks.BackupAndRestore(tmp_path)]
        model.fit(IMAGES, epochs=epochs, verbose=2, callbacks=callbacks)
        assert model.beta == 0.5**epochs
    said = capsys.readouterr().out
    assert said.count(f"Resuming after epoch 2 from {tmp_path}") == 1
