"""Networks as PyTorch's users write them, of layers of `torch.nn`, with torchvision's names of parameters.

Half of them call activations and poolings as functions, as many published ones do. `vgg16`, `resnet50` and
`mobilenet_v2` have random weights that keep the size of what passes: He's scale in front of a rectifier, and statistics
and scales of normalisations around those of a trained network.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - as everybody calls it
from torch import Tensor, nn


class VGG(nn.Module):
    """VGG-16, arXiv:1409.1556."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for channels in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
            if channels:
                layers += [nn.Conv2d(inputs, channels, 3, padding=1), nn.ReLU()]
                inputs = channels
            else:
                layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)
        dense = [nn.Linear(25088, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout()]
        self.classifier = nn.Sequential(*dense, nn.Linear(4096, classes))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits of (batch, 3, height, width)."""
        found: Tensor = self.classifier(F.adaptive_avg_pool2d(self.features(x), 7).flatten(1))
        return found


class Basic(nn.Module):
    """Two convolutions of 3x3 that add to their input."""

    wider = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(body(x) + x)."""
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """A 3x3 between two 1x1, which add to their input."""

    wider = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)
        self.downsample = _shortcut(inputs, 4 * width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(body(x) + x)."""
        y = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        return F.relu(self.bn3(self.conv3(y)) + (x if self.downsample is None else self.downsample(x)))


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class ResNet(nn.Module):
    """ResNet, arXiv:1512.03385."""

    def __init__(self, block: type[Basic | Bottleneck], counts: tuple[int, ...], classes: int = 1000) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        inputs, stages = 64, []
        for stage, count in enumerate(counts):
            blocks: list[nn.Module] = []
            for i in range(count):
                blocks.append(block(inputs, 64 << stage, 2 if stage and not i else 1))
                inputs = block.wider * (64 << stage)
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits of (batch, 3, height, width)."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        found: Tensor = self.fc(x.mean((2, 3)))
        return found


def _conv_norm_relu6(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU6())


class Inverted(nn.Module):
    """A depthwise 3x3 between two 1x1, which make the channels more for it and fewer again."""

    def __init__(self, inputs: int, outputs: int, stride: int, wider: int) -> None:
        super().__init__()
        wide = inputs * wider
        layers: list[nn.Module] = [_conv_norm_relu6(inputs, wide, 1)] if wider > 1 else []
        layers += [_conv_norm_relu6(wide, wide, 3, stride, wide), nn.Conv2d(wide, outputs, 1, bias=False)]
        self.conv = nn.Sequential(*layers, nn.BatchNorm2d(outputs))
        self.joined = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Return what is added to x, or the sum where the shapes agree."""
        found: Tensor = x + self.conv(x) if self.joined else self.conv(x)
        return found


class MobileNet(nn.Module):
    """MobileNetV2, arXiv:1801.04381."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        layers: list[nn.Module] = [_conv_norm_relu6(3, 32, 3, 2)]
        inputs = 32
        for wider, outputs, count, stride in (
            (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
        ):  # fmt: skip
            for i in range(count):
                layers.append(Inverted(inputs, outputs, 1 if i else stride, wider))
                inputs = outputs
        self.features = nn.Sequential(*layers, _conv_norm_relu6(inputs, 1280, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits of (batch, 3, height, width)."""
        found: Tensor = self.classifier(self.features(x).mean((2, 3)))
        return found


def _resnet50() -> ResNet:
    return ResNet(Bottleneck, (3, 4, 6, 3))


NETWORKS: dict[str, Callable[[], nn.Module]] = {"vgg16": VGG, "resnet50": _resnet50, "mobilenet_v2": MobileNet}


def network(name: str, seed: int = 0) -> nn.Module:
    """Return one of `NETWORKS` for inference, with random weights that keep the size of what passes."""
    model, generator = NETWORKS[name](), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                fan_in = module.weight[0].numel()
                module.weight.normal_(0, (2 / fan_in) ** 0.5, generator=generator)
                if module.bias is not None:
                    module.bias.normal_(0, 0.1, generator=generator)
            elif isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.0, generator=generator)
                module.bias.normal_(0, 0.1, generator=generator)
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.normal_(0, 0.1, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
    return model.eval()
