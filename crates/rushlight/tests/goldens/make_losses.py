"""Writes losses.json: what Keras's losses and metrics do.

python make_losses.py   (Keras 3.15 on TensorFlow; computed in float64, but for CTC, which TensorFlow has in float32)
"""
import json
import os

os.environ["KERAS_BACKEND"] = "tensorflow"
import keras
import numpy as np
import tensorflow as tf

keras.config.set_floatx("float64")
l, m = keras.losses, keras.metrics
random = np.random.default_rng(3)


def probabilities(*shape):
    values = random.uniform(0.05, 1.0, size=shape)
    return (values / values.sum(-1, keepdims=True)).round(4)


def one_hot(numbers, classes):
    return np.eye(classes)[numbers]


numbers = random.integers(0, 4, size=(6,))
steps = random.integers(0, 4, size=(2, 3))
DATA = {
    "regression": (random.normal(size=(5, 3)).round(3), random.normal(size=(5, 3)).round(3)),
    "sequences": (random.normal(size=(2, 4, 3)).round(3), random.normal(size=(2, 4, 3)).round(3)),
    "column": (random.normal(size=(5,)).round(3), random.normal(size=(5, 1)).round(3)),
    "positive": (random.uniform(0.1, 3, size=(5, 3)).round(3), random.uniform(0.1, 3, size=(5, 3)).round(3)),
    "distributions": (probabilities(5, 4), probabilities(5, 4)),
    "classes": (one_hot(numbers, 4), probabilities(6, 4)),
    "class_logits": (one_hot(numbers, 4), random.normal(size=(6, 4)).round(3)),
    "sparse": (numbers, probabilities(6, 4)),
    "sparse_logits": (numbers, random.normal(size=(6, 4)).round(3)),
    "sparse_steps": (steps, random.normal(size=(2, 3, 4)).round(3)),
    "binary": (random.integers(0, 2, size=(6, 3)).astype("float64"), random.uniform(0.01, 0.99, size=(6, 3)).round(3)),
    "binary_logits": (random.integers(0, 2, size=(6, 3)).astype("float64"), random.normal(size=(6, 3)).round(3)),
    "yes_or_no": (random.integers(0, 2, size=(40,)).astype("float64"), random.uniform(0, 1, size=(40,)).round(3)),
    "signed": (random.choice([-1.0, 1.0], size=(6, 3)), random.normal(size=(6, 3)).round(3)),
    "labels": (np.array([[1, 2, 0], [3, 3, 1], [2, 0, 0], [0, 0, 0]]), random.normal(size=(4, 7, 4)).round(3)),
    "embeddings": (np.array([0, 1, 0, 2, 1, 1]), None),
    "maps": (random.integers(0, 3, size=(2, 4, 4)), random.integers(0, 3, size=(2, 4, 4))),
}
embeddings = random.normal(size=(6, 4))
DATA["embeddings"] = (DATA["embeddings"][0], (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).round(6))

LOSSES = [
    ("regression", l.MeanSquaredError()), ("sequences", l.MeanSquaredError()), ("column", l.MeanSquaredError()),
    ("regression", l.MeanSquaredError(reduction="sum")),
    ("regression", l.MeanSquaredError(reduction="mean_with_sample_weight")),
    ("regression", l.MeanSquaredError(reduction="none")),
    ("regression", l.MeanAbsoluteError()), ("positive", l.MeanAbsolutePercentageError()),
    ("regression", l.MeanSquaredLogarithmicError()), ("positive", l.MeanSquaredLogarithmicError()),
    ("regression", l.CosineSimilarity()), ("sequences", l.CosineSimilarity(axis=1)),
    ("regression", l.Huber()), ("regression", l.Huber(delta=0.4)), ("regression", l.LogCosh()),
    ("distributions", l.KLDivergence()), ("positive", l.Poisson()),
    ("signed", l.Hinge()), ("binary_logits", l.Hinge()), ("signed", l.SquaredHinge()),
    ("class_logits", l.CategoricalHinge()),
    ("binary", l.BinaryCrossentropy()), ("binary_logits", l.BinaryCrossentropy(from_logits=True)),
    ("binary", l.BinaryCrossentropy(label_smoothing=0.2)),
    ("binary", l.BinaryFocalCrossentropy()), ("binary_logits", l.BinaryFocalCrossentropy(from_logits=True, gamma=1.5)),
    ("binary", l.BinaryFocalCrossentropy(apply_class_balancing=True, alpha=0.7, label_smoothing=0.1)),
    ("classes", l.CategoricalCrossentropy()), ("class_logits", l.CategoricalCrossentropy(from_logits=True)),
    ("class_logits", l.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)),
    ("distributions", l.CategoricalCrossentropy(label_smoothing=0.3)),
    ("classes", l.CategoricalFocalCrossentropy()),
    ("class_logits", l.CategoricalFocalCrossentropy(from_logits=True, alpha=0.5, gamma=1.0, label_smoothing=0.1)),
    ("sparse", l.SparseCategoricalCrossentropy()), ("sparse_logits", l.SparseCategoricalCrossentropy(from_logits=True)),
    ("sparse_steps", l.SparseCategoricalCrossentropy(from_logits=True)),
    ("sparse_logits", l.SparseCategoricalCrossentropy(from_logits=True, ignore_class=1)),
    ("sparse", l.CategoricalGeneralizedCrossEntropy(q=0.3)),
    ("labels", l.CTC()), ("binary", l.Dice()), ("binary", l.Dice(axis=-1)),
    ("binary", l.Tversky(alpha=0.3, beta=0.7)), ("binary", l.Tversky(axis=-1)),
    ("embeddings", l.Circle()), ("embeddings", l.Circle(gamma=8.0, margin=0.2)),
]

METRICS = [
    ("sparse", m.SparseCategoricalAccuracy()), ("sparse_steps", m.SparseCategoricalAccuracy()),
    ("classes", m.CategoricalAccuracy()), ("binary", m.BinaryAccuracy()), ("binary", m.BinaryAccuracy(threshold=0.3)),
    ("class_logits", m.TopKCategoricalAccuracy(k=2)), ("sparse_logits", m.SparseTopKCategoricalAccuracy(k=3)),
    ("binary", m.Precision()), ("binary", m.Precision(thresholds=[0.2, 0.6])), ("classes", m.Precision(top_k=2)),
    ("classes", m.Precision(class_id=1, thresholds=0.2)), ("binary", m.Recall()), ("classes", m.Recall(top_k=1)),
    ("binary", m.TruePositives()), ("binary", m.TrueNegatives(thresholds=[0.2, 0.6])),
    ("binary", m.FalsePositives()), ("binary", m.FalseNegatives()),
    ("yes_or_no", m.AUC()), ("yes_or_no", m.AUC(curve="PR")), ("yes_or_no", m.AUC(num_thresholds=11)),
    ("yes_or_no", m.AUC(num_thresholds=11, curve="PR", summation_method="minoring")),
    ("yes_or_no", m.AUC(num_thresholds=11, summation_method="majoring")),
    ("yes_or_no", m.AUC(thresholds=[0.1, 0.4, 0.5])), ("binary_logits", m.AUC(from_logits=True)),
    ("yes_or_no", m.SensitivityAtSpecificity(0.4)), ("yes_or_no", m.SpecificityAtSensitivity(0.4, num_thresholds=20)),
    ("yes_or_no", m.PrecisionAtRecall(0.6)), ("yes_or_no", m.RecallAtPrecision(0.4)),
    ("classes", m.F1Score()), ("classes", m.F1Score(average="macro")), ("binary", m.F1Score(average="micro", threshold=0.5)),
    ("binary", m.FBetaScore(beta=2.0, average="weighted", threshold=0.4)),
    ("maps", m.MeanIoU(num_classes=3)), ("maps", m.IoU(num_classes=3, target_class_ids=[0, 2])),
    ("maps", m.MeanIoU(num_classes=3, ignore_class=1)), ("binary", m.BinaryIoU()),
    ("binary", m.BinaryIoU(target_class_ids=[1], threshold=0.3)), ("classes", m.OneHotMeanIoU(num_classes=4)),
    ("classes", m.OneHotIoU(num_classes=4, target_class_ids=[1])),
    ("regression", m.MeanSquaredError()), ("sequences", m.MeanAbsoluteError()), ("regression", m.RootMeanSquaredError()),
    ("sequences", m.RootMeanSquaredError()), ("positive", m.MeanAbsolutePercentageError()),
    ("positive", m.MeanSquaredLogarithmicError()), ("regression", m.CosineSimilarity()), ("regression", m.LogCoshError()),
    ("regression", m.R2Score()), ("regression", m.R2Score(class_aggregation="variance_weighted_average")),
    ("regression", m.R2Score(num_regressors=2)), ("distributions", m.KLDivergence()), ("positive", m.Poisson()),
    ("signed", m.Hinge()), ("signed", m.SquaredHinge()), ("class_logits", m.CategoricalHinge()),
    ("binary", m.BinaryCrossentropy()), ("classes", m.CategoricalCrossentropy()),
    ("sparse_logits", m.SparseCategoricalCrossentropy(from_logits=True)),
]


def weights_of(name, integers=False):
    count = len(DATA[name][0])
    return np.array([(3 * index + 2) % 5 for index in range(count)], dtype="float64") / (1 if integers else 2)


def value(tensor):
    return np.asarray(tensor, dtype="float64").ravel().tolist()


def config_of(thing):
    """The configuration; Keras forgets the arguments of some."""
    forgotten = {key: value for key, value in getattr(thing, "_fn_kwargs", {}).items() if key in ("axis", "delta")}
    return dict(thing.get_config()) | (forgotten if type(thing).__name__ in ("CosineSimilarity", "Huber") else {})


def loss_case(name, loss):
    targets, predictions = DATA[name]
    case = {"data": name, "class": type(loss).__name__, "config": config_of(loss)}
    for key, weights in [("plain", None), ("weighted", weights_of(name))]:
        if key == "weighted" and type(loss).__name__ in ("Dice", "Tversky"):
            continue
        if weights is not None and name in ("sequences", "sparse_steps"):
            weights = weights[:, None]
        x = tf.Variable(predictions, dtype="float64")
        with tf.GradientTape() as tape:
            result = loss(targets, x, sample_weight=weights)
        case[key] = value(result)
        case[key + "_gradient"] = value(tf.convert_to_tensor(tape.gradient(result, x)))
    return case


def metric_case(name, metric):
    targets, predictions = DATA[name]
    if "TopK" in type(metric).__name__:
        predictions = predictions.astype("float32")
    whole = "IoU" in type(metric).__name__
    results = {"data": name, "class": type(metric).__name__, "config": config_of(metric)}
    half = (len(targets) + 1) // 2
    for key, weights in [("plain", None), ("weighted", weights_of(name, whole))]:
        if key == "weighted" and name in ("maps",) or key == "weighted" and name == "binary" and whole:
            continue
        if key == "weighted" and name == "sequences" and type(metric).__name__ == "Sum":
            continue
        metric.reset_state()
        for part in (slice(0, half), slice(half, None)):
            metric.update_state(targets[part], predictions[part], None if weights is None else weights[part])
        results[key] = value(metric.result())
    return results


def jsonable(thing):
    if isinstance(thing, (np.floating, np.integer)):
        return thing.item()
    raise TypeError(type(thing))


golden = {
    "data": {
        name: {"shapes": [list(np.shape(part)) for part in parts], "integers": bool(np.asarray(parts[0]).dtype.kind == "i"),
               "targets": value(parts[0]), "predictions": value(parts[1])}
        for name, parts in DATA.items()
    },
    "losses": [loss_case(*case) for case in LOSSES],
    "metrics": [metric_case(*case) for case in METRICS],
}
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "losses.json"), "w") as file:
    json.dump(golden, file, separators=(",", ":"), default=jsonable)
