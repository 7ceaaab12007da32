"""Writes data/: pictures, records and arrays by others' hands, and what is in them (expected.json).

python make_data.py   (TensorFlow, NumPy and Pillow)
"""
import json
import os

import numpy as np
import tensorflow as tf
from PIL import Image

folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")
for name in ("pictures/cats", "pictures/dogs"):
    os.makedirs(os.path.join(folder, name), exist_ok=True)
rows, columns = np.mgrid[0:13, 0:18]
photo = np.stack([rows * 15 + columns, columns * 12, 200 - rows * 10], -1).astype("uint8")
grey = (rows * 9 + columns * 5).astype("uint8")
random = np.random.default_rng(1)
Image.fromarray(photo).save(f"{folder}/pictures/cats/photo.jpg", quality=92)
Image.fromarray(grey).save(f"{folder}/pictures/dogs/grey.jpg", quality=92)
Image.fromarray(random.integers(0, 256, (9, 7, 4), dtype="uint8")).save(f"{folder}/pictures/cats/opaque.png")
Image.fromarray(photo).convert("P", palette=Image.ADAPTIVE, colors=16).save(f"{folder}/pictures/dogs/palette.png")
Image.fromarray((grey.astype("uint16") * 257)).save(f"{folder}/pictures/dogs/sixteen.png")

expected = {}
for path in ("cats/opaque.png", "cats/photo.jpg", "dogs/grey.jpg", "dogs/palette.png", "dogs/sixteen.png"):
    data = tf.io.read_file(f"{folder}/pictures/{path}")
    picture = tf.io.decode_image(data, channels=3, expand_animations=False)
    expected[path] = {
        "dims": picture.shape.as_list(),
        "pixels": picture.numpy().ravel().tolist(),
        "resized": tf.image.resize(picture, (6, 10)).numpy().round(4).ravel().tolist(),
    }


def feature(value):
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    if value.dtype.kind == "f":
        return tf.train.Feature(float_list=tf.train.FloatList(value=value))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=value))


with tf.io.TFRecordWriter(f"{folder}/examples.tfrecord") as writer:
    for index in range(5):
        features = {
            "x": feature(np.array([index * 0.5, -index, 1e-3])),
            "y": feature(np.array([index * 1000 - 2])),
            "name": feature(f"example {index}".encode()),
        }
        example = tf.train.Example(features=tf.train.Features(feature=features))
        writer.write(example.SerializeToString())
np.savez_compressed(f"{folder}/arrays.npz", x=np.arange(12, dtype="float32").reshape(4, 3), y=np.arange(4, dtype="int32"))
with open(f"{folder}/expected.json", "w") as file:
    json.dump(expected, file, separators=(",", ":"))
