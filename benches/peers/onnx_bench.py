#!/usr/bin/env python3
"""Times inference by ONNX Runtime, of the net that torch_bench.py builds.

usage: onnx_bench.py <net> [--batch-size 1]
"""

import io
import logging
import sys
import warnings

sys.dont_write_bytecode = True
warnings.simplefilter("ignore")
logging.disable(logging.WARNING)

import torch_bench  # noqa: E402  (reads the arguments)

import onnxruntime  # noqa: E402
import torch  # noqa: E402

from nets import NETS  # noqa: E402
from timing import report  # noqa: E402


def main():
    options = torch_bench.options
    net = NETS[options.net]
    torch.manual_seed(0)
    model = torch_bench.build(net).eval()
    inputs = torch_bench.random_inputs(net, options.batch_size).contiguous()
    file = io.BytesIO()
    torch.onnx.export(model, (inputs,), file, dynamo=False, opset_version=17, input_names=["x"], output_names=["y"])
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    session = onnxruntime.InferenceSession(file.getvalue(), settings, providers=["CPUExecutionProvider"])
    feed = {"x": inputs.numpy()}
    output = session.run(["y"], feed)[0]
    with torch.inference_mode():
        assert torch.allclose(model(inputs), torch.from_numpy(output), rtol=1e-3, atol=1e-3)
    versions = {"onnxruntime": onnxruntime.__version__}
    report("onnxruntime", "inference", options, versions, None, lambda: session.run(["y"], feed)[0])


if __name__ == "__main__":
    main()
