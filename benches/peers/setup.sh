#!/usr/bin/env bash
# Makes a virtual environment with the peers that Rushlight is measured against.
# usage: setup.sh <folder of the environment>
# TORCH_INDEX may name a package index with PyTorch's CPU build, which is smaller by gigabytes and as fast.
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: $0 <folder of the environment>" >&2; exit 2; }
python3 -m venv "$1"
pip="$1/bin/pip"
"$pip" install -q ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch
"$pip" install -q tensorflow-cpu keras jax onnx onnxruntime numpy scipy safetensors
"$1/bin/python" - <<'PYTHON'
import importlib.metadata as metadata
for package in ("torch", "tensorflow-cpu", "keras", "jax", "onnxruntime", "numpy", "scipy", "safetensors"):
    print(package, metadata.version(package))
PYTHON
