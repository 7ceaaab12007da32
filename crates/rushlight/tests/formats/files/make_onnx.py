"""Makes torch.onnx and torch.npz beside it: a small dense net as PyTorch exports it (needs torch, onnx, numpy)."""

import pathlib

import numpy as np
import torch
from torch import nn

HERE = pathlib.Path(__file__).parent


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, 3, 3, padding=1, bias=False)

    def forward(self, x):
        return torch.cat([x, self.conv(torch.relu(self.norm(x)))], 1)


model = nn.Sequential(
    nn.Conv2d(2, 4, 3, stride=2, padding=1),
    nn.MaxPool2d(3, stride=1, padding=1),
    Block(4),
    Block(7),
    nn.Conv2d(10, 10, 3, groups=5),
    nn.ReLU6(),
    nn.AvgPool2d(2),
    nn.AdaptiveAvgPool2d(1),
    nn.Flatten(),
    nn.Linear(10, 6),
    nn.Tanh(),
    nn.Linear(6, 3),
    nn.Softmax(dim=1),
)
torch.manual_seed(1)
generator = torch.Generator().manual_seed(2)
with torch.no_grad():
    for tensor in list(model.parameters()) + list(model.buffers()):
        if tensor.dtype == torch.float32:
            tensor.copy_(torch.rand(tensor.shape, generator=generator) - 0.3)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.abs_().add_(0.5)
model.eval()
x = torch.rand((4, 2, 12, 12), generator=generator)
torch.onnx.export(
    model,
    (x,),
    HERE / "torch.onnx",
    input_names=["x"],
    output_names=["y"],
    dynamic_axes={"x": {0: "batch"}, "y": {0: "batch"}},
    dynamo=False,
    opset_version=17,
    training=torch.onnx.TrainingMode.PRESERVE,
    do_constant_folding=False,
)
np.savez(HERE / "torch.npz", input_0=x.numpy(), output_0=model(x).detach().numpy())
