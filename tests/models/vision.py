"""Vision models: of the `transformers` library, and a ResNet written out."""

import torch
from gossamer.tests.models.language import network
from gossamer.tests.models.sample import Sample, model
from torch import nn
from torch.export import Dim


def pictures(net: nn.Module, size: int = 32) -> Sample:
    """`net` seeing two pictures; the batch is dynamic."""
    return Sample(net, (), {"pixel_values": torch.randn(2, 3, size, size)}, {"pixel_values": {0: Dim.DYNAMIC}})


VIT = {"image_size": 32, "patch_size": 8, "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
RESNET = {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 1], "layer_type": "basic"}


@model("ViT")
def vit() -> Sample:
    return pictures(network("ViTModel", "ViTConfig", **VIT, intermediate_size=128))


@model("Swin")
def swin() -> Sample:
    sizes = {"image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [2, 1], "num_heads": [2, 4]}
    return pictures(network("SwinModel", "SwinConfig", **sizes, window_size=4))


@model("ConvNeXt")
def convnext() -> Sample:
    return pictures(network("ConvNextModel", "ConvNextConfig", hidden_sizes=[8, 16], depths=[1, 1], num_stages=2))


@model("ResNet (transformers)")
def resnet() -> Sample:
    return pictures(network("ResNetForImageClassification", "ResNetConfig", **RESNET))


@model("ResNet (transformers), training")
def resnet_training() -> Sample:
    return pictures(network("ResNetForImageClassification", "ResNetConfig", **RESNET).train())


class BasicBlock(nn.Module):
    """Two convolutions beside a shortcut, in place as torchvision has them."""

    def __init__(self, inner: int, outer: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outer)
        self.relu = nn.ReLU(inplace=True)
        shortcut = nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))
        self.downsample = shortcut if stride != 1 or inner != outer else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class ResNet(nn.Module):
    """ResNet-18's shape with few channels."""

    def __init__(self, widths: tuple[int, ...] = (8, 16, 32, 32)):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0], 7, 2, 3, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)
        )
        self.pool = nn.MaxPool2d(3, 2, 1)
        blocks, inner = [], widths[0]
        for stage, outer in enumerate(widths):
            blocks += [BasicBlock(inner, outer, 2 if stage else 1), BasicBlock(outer, outer, 1)]
            inner = outer
        self.blocks = nn.Sequential(*blocks)
        self.average = nn.AdaptiveAvgPool2d(1)
        self.classify = nn.Linear(inner, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classify(torch.flatten(self.average(self.blocks(self.pool(self.stem(x)))), 1))


@model("ResNet-18")
def resnet18() -> Sample:
    return Sample(ResNet().eval(), (torch.randn(2, 3, 32, 32),), {}, ({0: Dim.DYNAMIC},))


@model("ResNet-18, training")
def resnet18_training() -> Sample:
    return Sample(ResNet().train(), (torch.randn(2, 3, 32, 32),), {}, ({0: Dim.DYNAMIC},))
