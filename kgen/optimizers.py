"""Optimizers through TensorFlow's fused kernels."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="kgen")
class Adam(keras.optimizers.Adam):
    """Keras' Adam, one kernel a variable: a step reads and writes each number once.

        m <- m + (1 - beta_1) (g - m)
        v <- v + (1 - beta_2) (g^2 - v)
        w <- w - rate sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(v) + epsilon)

    Keras computes this in some twenty operations a variable, each with an intermediate of its size.
    Arguments, variables and saved state are those of `keras.optimizers.Adam`, weight decay,
    clipping, averaged weights and gradient accumulation included, and so are the numbers, within
    the rounding of beta_2 to float32: 1e-5 of a step. What the kernel does not do is left to Keras:
    `amsgrad=True`, sparse gradients, and variables of other dtypes than float32.

    Reference: Kingma & Ba 2015, "Adam: A Method for Stochastic Optimization", algorithm 1 in the
    order of operations that its section 2 ends with.
    """

    def update_step(self, gradient, variable, learning_rate):
        """One update of one variable."""
        is_sparse = isinstance(gradient, tf.IndexedSlices)
        if self.amsgrad or is_sparse or variable.dtype != tf.float32:
            super().update_step(gradient, variable, learning_rate)
            return
        index = self._get_variable_index(variable)
        if isinstance(variable, keras.Variable):
            variable = variable.value
        step = tf.cast(self.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, tf.float32),
        )
