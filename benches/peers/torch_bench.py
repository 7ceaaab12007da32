#!/usr/bin/env python3
"""Times PyTorch, channels_last: forward + softmax cross-entropy + backward + SGD, on one resident random batch.

usage: torch_bench.py <net> [--batch-size 64] [--compile | --compile-step]            (default: eager)
"""

import os
import sys

os.environ["CUDA_VISIBLE_DEVICES"] = ""
sys.dont_write_bytecode = True

from timing import arguments, report  # noqa: E402

options = arguments({"compile": "torch.compile of the model", "compile-step": "the whole train step compiled (nets without state)"})
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
    if net["stem"] == "imagenet":
        parts = [nn.Conv2d(net["input_shape"][-1], channels, 7, stride=2, padding=3, bias=False)]
        parts += normalized(channels) + [nn.MaxPool2d(3, stride=2, padding=1)]
    else:
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


def vgg(net):
    channels, side, parts = net["input_shape"][-1], net["input_shape"][0], []
    for filters in net["blocks"]:
        for count in filters:
            parts += [nn.Conv2d(channels, count, 3, padding=1), nn.ReLU(inplace=True)]
            channels = count
        parts.append(nn.MaxPool2d(2))
        side //= 2
    return nn.Sequential(*parts, nn.Flatten(), *dense_layers(channels * side * side, net["dense"], net["classes"]))


class Residual(nn.Module):
    def __init__(self, channels, filters, stride):
        super().__init__()
        self.path = nn.Sequential(
            nn.Conv2d(channels, filters, 3, stride, padding=1, bias=False), *normalized(filters),
            nn.Conv2d(filters, filters, 3, padding=1, bias=False), normalized(filters)[0],
        )
        same = stride == 1 and channels == filters
        self.shortcut = nn.Identity() if same else nn.Sequential(
            nn.Conv2d(channels, filters, 1, stride, bias=False), normalized(filters)[0],
        )

    def forward(self, x):
        return F.relu(self.path(x) + self.shortcut(x), inplace=True)


def resnet(net):
    channels = net["stages"][0][0]
    parts = [nn.Conv2d(net["input_shape"][-1], channels, 3, padding=1, bias=False), *normalized(channels)]
    for stage, (filters, blocks) in enumerate(net["stages"]):
        for block in range(blocks):
            parts.append(Residual(channels, filters, 2 if stage > 0 and block == 0 else 1))
            channels = filters
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, net["classes"]))


def dense_layers(features, hidden, classes):
    parts = []
    for units in hidden:
        parts += [nn.Linear(features, units), nn.ReLU(inplace=True)]
        features = units
    return [*parts, nn.Linear(features, classes)]


def mobilenet(net):
    channels = net["first_filters"]
    parts = [nn.Conv2d(net["input_shape"][-1], channels, 3, padding=1, bias=False), *normalized(channels)]
    for filters, stride in net["blocks"]:
        parts += [nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels, bias=False), *normalized(channels)]
        parts += [nn.Conv2d(channels, filters, 1, bias=False), *normalized(filters)]
        channels = filters
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, net["classes"]))


class Recurrent(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.lstm = nn.LSTM(net["input_shape"][-1], net["units"], batch_first=True)
        # Keras has one bias; PyTorch's second one stays zero
        self.lstm.bias_hh_l0.requires_grad_(False).zero_()
        self.classes = nn.Linear(net["units"], net["classes"])

    def forward(self, x):
        return self.classes(self.lstm(x)[0][:, -1])


def lstm(net):
    return Recurrent(net)


class Block(nn.Module):
    def __init__(self, net):
        super().__init__()
        width = net["width"]
        self.norms = nn.ModuleList([nn.LayerNorm(width, eps=1e-3) for _ in range(2)])
        self.attention = nn.MultiheadAttention(width, net["heads"], batch_first=True)
        self.dense = nn.Sequential(nn.Linear(width, net["hidden"]), nn.ReLU(inplace=True), nn.Linear(net["hidden"], width))

    def forward(self, x):
        y = self.norms[0](x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.dense(self.norms[1](x))


class Mean(nn.Module):
    def forward(self, x):
        return x.mean(1)


def transformer(net):
    width = net["width"]
    blocks = [Block(net) for _ in range(net["blocks"])]
    first, last = nn.Linear(net["input_shape"][-1], width), nn.LayerNorm(width, eps=1e-3)
    return nn.Sequential(first, *blocks, last, Mean(), nn.Linear(width, net["classes"]))


def mlp(net):
    return nn.Sequential(*dense_layers(*net["input_shape"], net["hidden"], net["classes"]))


def build(net):
    builders = [densenet, vgg, resnet, mobilenet, lstm, transformer, mlp]
    model = {builder.__name__: builder for builder in builders}[net["kind"]](net)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == net["parameters"]
    return model


def random_inputs(net, batch_size):
    if len(net["input_shape"]) < 3:
        return torch.randn(batch_size, *net["input_shape"])
    height, width, channels = net["input_shape"]
    return torch.randn(batch_size, channels, height, width).contiguous(memory_format=torch.channels_last)


def whole_step(model, inputs, labels, momentum):
    """Gradients and update as one function of all weights, compiled whole."""
    weights = {name: weight.detach().clone() for name, weight in model.named_parameters() if weight.requires_grad}
    velocities = {name: torch.zeros_like(weight) for name, weight in weights.items()}

    @torch.compile
    def step(weights, velocities, inputs, labels):
        def loss_of(weights):
            return F.cross_entropy(torch.func.functional_call(model, weights, (inputs,)), labels)

        gradients, loss = torch.func.grad_and_value(loss_of)(weights)
        for name, gradient in gradients.items():
            if momentum:
                velocities[name].mul_(momentum).add_(gradient)
                gradient = velocities[name]
            weights[name].sub_(0.1 * gradient)
        return loss

    return lambda: step(weights, velocities, inputs, labels).item()


def main():
    torch.set_num_threads(options.threads)
    torch.set_num_interop_threads(1)
    torch.manual_seed(0)
    net = NETS[options.net]
    model = build(net).to(memory_format=torch.channels_last)
    inputs = random_inputs(net, options.batch_size)
    labels = torch.randint(0, net["classes"], (options.batch_size,))
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=net["momentum"])
    run = torch.compile(model) if options.compile else model

    def train():
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(run(inputs), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    def infer():
        with torch.inference_mode():
            return run(inputs).numpy()

    versions = {"torch": torch.__version__}
    if options.compile_step:
        report("torch", "compile-step", options, versions, whole_step(model, inputs, labels, net["momentum"]), None)
        return
    report("torch", "compile" if options.compile else "eager", options, versions, in_mode(model, True, train), in_mode(model, False, infer))


def in_mode(model, training, call):
    def run():
        if model.training != training:
            model.train(training)
        return call()

    return run


if __name__ == "__main__":
    main()
