"""Writes optimizers.json: what Keras's optimizers and learning rate schedules do.

python make_optimizers.py   (Keras 3.15 on TensorFlow; computed in float64)
"""
import json
import os

os.environ["KERAS_BACKEND"] = "tensorflow"
import keras
import numpy as np

keras.config.set_floatx("float64")
schedules = keras.optimizers.schedules
o = keras.optimizers
NAMES = ["dense/kernel", "dense/bias", "conv/kernel", "embedding/embeddings"]
SHAPES = [(3, 2), (2,), (2, 2, 2), (2, 3)]
STEPS = 6

random = np.random.default_rng(7)
start = [random.normal(size=shape).round(4) for shape in SHAPES]
gradients = [[random.normal(size=shape).round(4) for shape in SHAPES] for _ in range(STEPS)]

OPTIMIZERS = [
    o.SGD(), o.SGD(0.1, momentum=0.9), o.SGD(0.1, momentum=0.9, nesterov=True),
    o.SGD(0.1, weight_decay=0.05), o.SGD(0.1, clipnorm=0.5), o.SGD(0.1, clipvalue=0.4),
    o.SGD(0.1, global_clipnorm=1.5), o.SGD(0.1, global_clipnorm=1e6),
    o.SGD(0.1, momentum=0.9, use_ema=True, ema_momentum=0.8),
    o.SGD(0.1, use_ema=True, ema_momentum=0.8, ema_overwrite_frequency=2),
    o.SGD(0.1, momentum=0.9, gradient_accumulation_steps=2),
    o.SGD(0.1, loss_scale_factor=4.0),
    o.RMSprop(), o.RMSprop(0.02, rho=0.8, epsilon=1e-3), o.RMSprop(0.02, momentum=0.7),
    o.RMSprop(0.02, centered=True), o.RMSprop(0.02, momentum=0.7, centered=True, weight_decay=0.1),
    o.Adam(), o.Adam(0.05, beta_1=0.8, beta_2=0.95, epsilon=1e-4), o.Adam(0.05, amsgrad=True),
    o.Adam(0.05, weight_decay=0.02, clipnorm=1.0),
    o.Adam(0.05, gradient_accumulation_steps=3, clipnorm=0.3, weight_decay=0.02,
           use_ema=True, ema_overwrite_frequency=2),
    o.Adam(schedules.CosineDecay(0.0, 5, warmup_target=0.1, warmup_steps=2), weight_decay=0.1),
    o.AdamW(), o.AdamW(0.05, weight_decay=0.1, amsgrad=True),
    o.Adamax(), o.Adamax(0.05, beta_1=0.8, beta_2=0.9),
    o.Adadelta(), o.Adadelta(1.0, rho=0.8, epsilon=1e-4),
    o.Adagrad(), o.Adagrad(0.1, initial_accumulator_value=0.01),
    o.Nadam(), o.Nadam(0.05, beta_1=0.8, beta_2=0.9), o.Nadam(0.05, gradient_accumulation_steps=2),
    o.Ftrl(), o.Ftrl(0.1, l1_regularization_strength=0.3, l2_regularization_strength=0.1),
    o.Ftrl(0.1, learning_rate_power=-0.7, l2_shrinkage_regularization_strength=0.05, beta=0.2),
    o.Lion(), o.Lion(0.01, beta_1=0.95, beta_2=0.9, weight_decay=0.3),
    o.Adafactor(), o.Adafactor(0.3, beta_2_decay=-0.6, clip_threshold=0.5),
    o.Lamb(), o.Lamb(0.05, beta_1=0.8, beta_2=0.9, weight_decay=0.1),
    o.Muon(), o.Muon(0.05, nesterov=False, ns_steps=3, rms_rate=None, adam_lr_ratio=0.5),
    o.Muon(0.05, exclude_layers=["dense"], exclude_embeddings=False, adam_weight_decay=None),
    o.LossScaleOptimizer(o.Adam(0.05), initial_scale=8.0, dynamic_growth_steps=2),
]

SCHEDULES = [
    schedules.ExponentialDecay(0.1, 7, 0.5), schedules.ExponentialDecay(0.1, 7, 0.5, staircase=True),
    schedules.InverseTimeDecay(0.1, 7, 0.5), schedules.InverseTimeDecay(0.1, 7, 0.5, staircase=True),
    schedules.PolynomialDecay(0.1, 7), schedules.PolynomialDecay(0.1, 7, 0.01, power=2.0),
    schedules.PolynomialDecay(0.1, 7, 0.01, power=0.5, cycle=True),
    schedules.PiecewiseConstantDecay([3, 8], [0.3, 0.2, 0.1]), schedules.PiecewiseConstantDecay([5], [1.0, 0.5]),
    schedules.CosineDecay(0.1, 9), schedules.CosineDecay(0.1, 9, alpha=0.2),
    schedules.CosineDecay(0.01, 9, alpha=0.1, warmup_target=0.2, warmup_steps=4),
    schedules.CosineDecayRestarts(0.1, 3), schedules.CosineDecayRestarts(0.1, 4, t_mul=1.0, m_mul=0.5, alpha=0.1),
    schedules.CosineDecayRestarts(0.1, 3, t_mul=1.5, m_mul=0.8),
]


def flat(values):
    return [np.asarray(value, dtype="float64").ravel().tolist() for value in values]


def steps_of(optimizer):
    """Weights after each step, and the optimizer's variables after the last one."""
    variables = []
    for name, value in zip(NAMES, start):
        layer, leaf = name.split("/")
        with keras.name_scope(layer):
            variables.append(keras.Variable(value, name=leaf, dtype="float64"))
    after = []
    for index, step in enumerate(gradients):
        step = [keras.ops.convert_to_tensor(gradient) for gradient in step]
        if isinstance(optimizer, o.LossScaleOptimizer) and index == 4:
            step[1] = step[1] * float("inf")
        optimizer.apply(step, variables)
        after.append(flat(variable.numpy() for variable in variables))
    return {
        "class": type(optimizer).__name__,
        "config": optimizer.get_config() | {"learning_rate": learning_rate_of(optimizer)},
        "weights": [after[2], after[-1]],
        "variables": flat(variable.numpy() for variable in optimizer.variables),
        "names": [variable.path.split("/")[-1] for variable in optimizer.variables],
        "rate": float(optimizer.learning_rate),
    }


def learning_rate_of(optimizer):
    rate = optimizer.get_config().get("learning_rate")
    if isinstance(optimizer, o.LossScaleOptimizer):
        return None
    return keras.saving.serialize_keras_object(rate) if not isinstance(rate, (float, dict)) else rate


def rates_of(schedule):
    rates = [float(schedule(keras.ops.convert_to_tensor(step, "int64"))) for step in range(20)]
    return {"class": type(schedule).__name__, "config": schedule.get_config(), "rates": rates}


golden = {
    "names": NAMES,
    "shapes": SHAPES,
    "start": flat(start),
    "gradients": [flat(step) for step in gradients],
    "optimizers": [steps_of(optimizer) for optimizer in OPTIMIZERS],
    "schedules": [rates_of(schedule) for schedule in SCHEDULES],
}
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "optimizers.json"), "w") as file:
    json.dump(golden, file, separators=(",", ":"))
