#!/usr/bin/env python3
"""Times PyTorch, channels_last: forward + softmax cross-entropy + backward + SGD with momentum 0.9, on one resident random batch.

usage: torch_bench.py <net> [--batch-size 64] [--compile]            (default: eager)
"""

import os
import sys

os.environ["CUDA_VISIBLE_DEVICES"] = ""
sys.dont_write_bytecode = True

from timing import arguments, report  # noqa: E402

options = arguments({"compile": "torch.compile of the model"})
os.environ["OMP_NUM_THREADS"] = str(options.threads)

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

from nets import NETS  # noqa: E402


class DenseLayer(nn.Module):
    def __init__(self, channels, growth, bottleneck):
        super().__init__()
        parts = []
        if bottleneck:
            parts += normalized(channels) + [nn.Conv2d(channels, 4 * growth, 1, bias=False)]
            channels = 4 * growth
        parts += normalized(channels) + [nn.Conv2d(channels, growth, 3, padding=1, bias=False)]
        self.parts = nn.Sequential(*parts)

    def forward(self, x):
        return torch.cat([x, self.parts(x)], 1)


def normalized(channels):
    # Keras's defaults: epsilon 1e-3, and momentum 0.99 counts what is kept
    return [nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01), nn.ReLU(inplace=True)]


def densenet(net):
    channels = net["first_filters"]
    parts = [nn.Conv2d(net["input_shape"][-1], channels, 3, padding=1, bias=False)]
    for b, count in enumerate(net["layers"]):
        for _ in range(count):
            parts.append(DenseLayer(channels, net["growth"], net["bottleneck"]))
            channels += net["growth"]
        if b + 1 < len(net["layers"]):
            narrow = int(channels * net["compression"])
            parts += normalized(channels) + [nn.Conv2d(channels, narrow, 1, bias=False), nn.AvgPool2d(2)]
            channels = narrow
    parts += normalized(channels) + [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, net["classes"])]
    return nn.Sequential(*parts)


def main():
    torch.set_num_threads(options.threads)
    torch.set_num_interop_threads(1)
    torch.manual_seed(0)
    net = NETS[options.net]
    model = densenet(net).to(memory_format=torch.channels_last)
    assert sum(p.numel() for p in model.parameters()) == net["parameters"]
    height, width, channels = net["input_shape"]
    images = torch.randn(options.batch_size, channels, height, width).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, net["classes"], (options.batch_size,))
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    run = torch.compile(model) if options.compile else model

    def train():
        model.train()
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(run(images), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    def infer():
        model.eval()
        with torch.inference_mode():
            return run(images).numpy()

    report("torch", "compile" if options.compile else "eager", options, {"torch": torch.__version__}, train, infer)


if __name__ == "__main__":
    main()
