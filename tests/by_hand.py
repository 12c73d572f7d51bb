"""The smallest models of the two bases, whose steps can be computed by hand."""

import keras
import numpy as np
import tensorflow as tf

import kgen

# Python steps: nothing is traced, so that the tests take milliseconds. What is compiled is tested
# with the real models.
EAGER = dict(run_eagerly=True)


@keras.saving.register_keras_serializable(package="tests")
class Linear(kgen.ObjectiveModel):
    """loss_i = (w x_i - y_i)^2, with everything that happened written down."""

    terms = ("loss", "output")

    def __init__(self, network, power=2.0, *, use_noise=False, **kwargs):
        super().__init__(**kwargs)
        self.network = network
        self.power = power
        self.use_noise = use_noise
        self.epochs, self.seeds = [], []
        self.num_updates = self.add_weight(name="num_updates", initializer="zeros", trainable=False)

    def objective(self, x, y=None, training=False):
        output = tf.cast(self.network(x, training=training)[:, 0], tf.float32)
        if self.use_noise:
            seed = self.noise_seed(training)
            self.seeds.append(tuple(seed.numpy()))
            output += tf.random.stateless_normal(tf.shape(output), seed)
        target = 0.0 if y is None else tf.reshape(tf.cast(y, tf.float32), (-1,))
        return dict(loss=tf.abs(output - target) ** self.power, output=output)

    def before_epoch(self, epoch):
        self.epochs.append(epoch)

    def after_step(self):
        self.num_updates.assign_add(1.0)


@keras.saving.register_keras_serializable(package="tests")
class Duel(kgen.AdversarialModel):
    """Two players of one weight each that write down the images of every step."""

    terms = ("distance",)

    def __init__(self, generator, discriminator, **kwargs):
        super().__init__(**kwargs)
        self.generator = generator
        self.discriminator = discriminator
        self.seen, self.seeds = [], []
        self.num_updates = self.add_weight(name="num_updates", initializer="zeros", trainable=False)

    def discriminator_objective(self, x, y=None, training=False):
        self.note("discriminator", x, training)
        return dict(loss=(self.discriminator(x) - self.discriminator(self.generator(x)))[:, 0])

    def generator_objective(self, x, y=None, training=False):
        self.note("generator", x, training)
        made = self.generator(x)
        return dict(loss=self.discriminator(made)[:, 0], distance=tf.abs(made - x)[:, 0])

    def note(self, player, x, training):
        if tf.executing_eagerly():
            self.seen.append((player, x.numpy()[:, 0].tolist()))
            self.seeds.append(tuple(self.noise_seed(training).numpy()))

    def after_step(self):
        self.num_updates.assign_add(1.0)


def dense(weight=1.0, **kwargs):
    layer = keras.layers.Dense(
        1, use_bias=False, kernel_initializer=keras.initializers.Constant(weight), **kwargs
    )
    return keras.Sequential([keras.Input((1,)), layer])


def linear(optimizer=None, *, weight=1.0, compile_arguments=EAGER, regularizer=None, **kwargs):
    model = Linear(dense(weight, kernel_regularizer=regularizer), **kwargs)
    model.compile(optimizer or keras.optimizers.SGD(0.1), **compile_arguments)
    return model


def duel(generator_rate=0.1, discriminator_rate=0.1, compile_arguments=EAGER, **kwargs):
    model = Duel(dense(0.5), dense(2.0), **kwargs)
    sgd = keras.optimizers.SGD
    model.compile(
        generator_optimizer=sgd(generator_rate),
        discriminator_optimizer=sgd(discriminator_rate),
        **compile_arguments,
    )
    return model


def column(*values):
    return np.array(values, "float32")[:, None]


def weight_of(network):
    return float(network.trainable_variables[0].numpy()[0, 0])
