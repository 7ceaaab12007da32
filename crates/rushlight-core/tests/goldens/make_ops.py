#!/usr/bin/env python3
"""Makes `ops.safetensors` and `ops.json`, the golden values of the ops and of their gradients.

Run from anywhere, in an environment with the packages below (benches/peers/setup.sh makes one):

    python crates/rushlight-core/tests/goldens/make_ops.py

The files here were made with Python 3.11, torch 2.15.0, numpy 2.4.6, scipy 1.17.1, tensorflow 2.21.0, keras 3.15.1 and
safetensors 0.8.0, on x86-64. Every number is drawn with a generator seeded by its case's name, so a second run gives
the same inputs; outputs may differ in the last bits with other versions.
"""

import os
import platform
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
sys.dont_write_bytecode = True
FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))

import keras  # noqa: E402
import numpy  # noqa: E402
import safetensors  # noqa: E402
import scipy  # noqa: E402
import tensorflow  # noqa: E402
import torch  # noqa: E402

import families  # noqa: E402
from recorder import Recorder  # noqa: E402


def main():
    libraries = (torch, numpy, scipy, tensorflow, keras, safetensors)
    made_with = ", ".join([f"python {platform.python_version()}"] + [f"{lib.__name__} {lib.__version__}" for lib in libraries])
    recorder = Recorder()
    for family in families.ALL:
        before = len(recorder.cases)
        family.record(recorder)
        print(f"{family.__name__}: {len(recorder.cases) - before} cases")
    recorder.write(FOLDER, made_with)
    for file in ("ops.safetensors", "ops.json"):
        print(f"{file}: {(FOLDER / file).stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
