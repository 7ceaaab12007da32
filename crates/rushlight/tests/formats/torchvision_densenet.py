"""torchvision's and Keras Applications' DenseNets by the command, beside torchvision and Keras themselves.

    python torchvision_densenet.py FOLDER RUSHLIGHT [121 169 201]

Needs torch, torchvision, safetensors and keras. Weights and statistics are random: nothing is downloaded.
"""

import os
import pathlib
import subprocess
import sys

os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np

folder, command, sizes = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3:] or ["121", "169", "201"]
folder.mkdir(parents=True, exist_ok=True)


def run(*arguments):
    subprocess.run([command, *map(str, arguments)], check=True, cwd=folder, stdout=subprocess.DEVNULL)


def difference(got, wanted):
    return abs(got - wanted).max() / max(1.0, abs(wanted).max())


def from_torchvision(size, images):
    import torch
    import torchvision
    from safetensors.torch import save_file

    torch.manual_seed(int(size))
    model = getattr(torchvision.models, f"densenet{size}")(weights=None).eval()
    for name, array in model.state_dict().items():
        if "running_mean" in name:
            array.normal_(0.0, 0.2)
        elif "running_var" in name:
            array.uniform_(0.5, 1.5)
    save_file(model.state_dict(), folder / "torchvision.safetensors")
    with torch.no_grad():
        wanted = model(torch.from_numpy(images.transpose(0, 3, 1, 2)).contiguous()).numpy()
    run("convert", "torchvision.safetensors", "torchvision.keras", "--model", f"densenet-{size}")
    run("predict", "torchvision.keras", "--input", "x.npy", "--output", "y.npy")
    names = len([name for name in model.state_dict() if "num_batches" not in name])
    print(f"densenet-{size} torchvision: {names} names, largest difference {difference(np.load(folder / 'y.npy'), wanted):.1e}")


def from_keras(size, images):
    import keras

    keras.utils.clear_session()
    keras.utils.set_random_seed(int(size))
    model = getattr(keras.applications, f"DenseNet{size}")(weights=None, classifier_activation=None)
    generator = np.random.default_rng(1)
    for weight in model.weights:
        if "moving_mean" in weight.path:
            weight.assign(generator.normal(0.0, 0.2, weight.shape))
        elif "moving_variance" in weight.path:
            weight.assign(generator.uniform(0.5, 1.5, weight.shape))
    wanted = model.predict(images, verbose=0)
    np.savez(folder / "keras.npz", **{weight.path: weight.numpy() for weight in model.weights})
    model.save_weights(folder / "keras.weights.h5")
    model.save(folder / "legacy.h5")
    for file in ("keras.npz", "keras.weights.h5", "legacy.h5"):
        run("convert", file, "again.keras", "--model", f"densenet-{size}")
        run("predict", "again.keras", "--input", "x.npy", "--output", "y.npy")
        print(f"densenet-{size} Keras, {file}: {len(model.weights)} arrays, largest difference {difference(np.load(folder / 'y.npy'), wanted):.1e}")


x = np.random.default_rng(3).normal(size=(2, 224, 224, 3)).astype("float32")
np.save(folder / "x.npy", x)
for size in sizes:
    from_torchvision(size, x)
    from_keras(size, x)
