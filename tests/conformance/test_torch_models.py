"""Networks equal the same ones written in PyTorch: names, shapes, files, outputs, and gradients of a small one."""

import numpy as np
import pytest

from striderule import models
from striderule import nn as layers

torch = pytest.importorskip("torch")
files = pytest.importorskip("safetensors.torch")
networks = pytest.importorskip("benchmarks.networks")
nn, F = torch.nn, torch.nn.functional

pytestmark = pytest.mark.conformance


class LeNet(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, classes)

    def forward(self, x):
        x = F.avg_pool2d(torch.tanh(self.conv1(x)), 2)
        x = F.avg_pool2d(torch.tanh(self.conv2(x)), 2).flatten(1)
        return self.fc3(torch.tanh(self.fc2(torch.tanh(self.fc1(x)))))


class DenseLayer(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, 128, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(128), nn.Conv2d(128, 32, 3, padding=1, bias=False)

    def forward(self, x):
        new = self.conv2(F.relu(self.norm2(self.conv1(F.relu(self.norm1(x))))))
        return torch.cat([x, new], 1)


class Transition(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, inputs // 2, 1, bias=False)

    def forward(self, x):
        return F.avg_pool2d(self.conv(F.relu(self.norm(x))), 2)


class DenseNet(nn.Module):
    def __init__(self, classes):
        super().__init__()
        parts, inputs = {}, 64
        parts["conv0"], parts["norm0"] = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        parts["relu0"], parts["pool0"] = nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        for block, count in enumerate((6, 12, 24, 16), 1):
            dense = nn.Sequential()
            for i in range(1, count + 1):
                dense.add_module(f"denselayer{i}", DenseLayer(inputs))
                inputs += 32
            parts[f"denseblock{block}"] = dense
            if block < 4:
                parts[f"transition{block}"] = Transition(inputs)
                inputs //= 2
        parts["norm5"] = nn.BatchNorm2d(inputs)
        self.features = nn.Sequential()
        for name, part in parts.items():
            self.features.add_module(name, part)
        self.classifier = nn.Linear(inputs, classes)

    def forward(self, x):
        return self.classifier(F.relu(self.features(x)).mean((2, 3)))


class Last(nn.Module):
    def __init__(self, *order):
        super().__init__()
        self.order = order

    def forward(self, x):
        return x.permute(*self.order)


class ChannelNorm(nn.LayerNorm):
    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class NextBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(width, width, 7, padding=3, groups=width), Last(0, 2, 3, 1), nn.LayerNorm(width, eps=1e-6),
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), Last(0, 3, 1, 2),
        )  # fmt: skip
        self.layer_scale = nn.Parameter(torch.full((width, 1, 1), 1e-6))

    def forward(self, x):
        return x + self.layer_scale * self.block(x)


class ConvNeXt(nn.Module):
    def __init__(self, classes):
        super().__init__()
        widths, counts = (96, 192, 384, 768), (3, 3, 9, 3)
        parts = [nn.Sequential(nn.Conv2d(3, 96, 4, 4), ChannelNorm(96, eps=1e-6))]
        for i, (width, count) in enumerate(zip(widths, counts, strict=True)):
            if i:
                parts.append(nn.Sequential(ChannelNorm(widths[i - 1], eps=1e-6), nn.Conv2d(widths[i - 1], width, 2, 2)))
            parts.append(nn.Sequential(*(NextBlock(width) for _ in range(count))))
        self.features = nn.Sequential(*parts)
        self.classifier = nn.Sequential(ChannelNorm(768, eps=1e-6), nn.Flatten(), nn.Linear(768, classes))

    def forward(self, x):
        return self.classifier(F.adaptive_avg_pool2d(self.features(x), 1))


NETWORKS = {
    "lenet5": (LeNet, (2, 1, 32, 32)),
    "resnet18": (lambda classes: networks.ResNet(networks.Basic, (2, 2, 2, 2), classes), (2, 3, 64, 64)),
    "resnet50": (lambda classes: networks.ResNet(networks.Bottleneck, (3, 4, 6, 3), classes), (1, 3, 64, 64)),
    "vgg16": (networks.VGG, (1, 3, 64, 64)),
    "densenet121": (DenseNet, (1, 3, 64, 64)),
    "mobilenet_v2": (networks.MobileNet, (2, 3, 64, 64)),
    "convnext_tiny": (ConvNeXt, (1, 3, 64, 64)),
}


def spread(network, seed=0):
    """Give statistics, scales and shifts other values than those of a fresh network, so that each of them counts."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith(("running_var", "layer_scale")):
                value.copy_(0.5 + torch.rand(value.shape, generator=generator))
            elif value.ndim == 1 and value.dtype.is_floating_point:
                shift = 1.0 if name.endswith("weight") else 0.0
                value.copy_(shift + 0.2 * torch.randn(value.shape, generator=generator))
    return network


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs(name, tmp_path):
    build, shape = NETWORKS[name]
    torch.manual_seed(0)
    theirs = spread(build(10)).eval()
    ours = getattr(models, name)(10, seed=0).eval()
    if name == "vgg16":  # of half a gigabyte
        ours.load_state({word: value.numpy() for word, value in theirs.state_dict().items()})
    else:
        path = tmp_path / "network.safetensors"
        files.save_file(theirs.state_dict(), path)
        layers.load(ours, path)
    x = np.random.default_rng(0).standard_normal(shape, np.float32)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(x)).numpy()
    y = ours(x)
    assert y.shape == expected.shape
    assert np.abs(y - expected).max() <= 1e-4 * np.abs(expected).max()


def test_files_go_both_ways(tmp_path):
    """A `.pth` is read without its pickles, as docs/networks.md says; what is saved here PyTorch loads."""
    theirs, path = spread(LeNet(10)), tmp_path / "lenet.safetensors"
    torch.save(
        {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in theirs.state_dict().items()}}, tmp_path / "x.pth"
    )
    state = torch.load(tmp_path / "x.pth", map_location="cpu", weights_only=True)["state_dict"]
    files.save_file({k.removeprefix("module."): v.contiguous() for k, v in state.items()}, path)
    ours = layers.load(models.lenet5(10), path)
    layers.save(ours, path)
    again = LeNet(10)
    again.load_state_dict(files.load_file(path))
    for name, value in theirs.state_dict().items():
        np.testing.assert_array_equal(again.state_dict()[name].numpy(), value.numpy())
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)).bfloat16()
    files.save_file(network.state_dict(), path)
    layer = layers.load(layers.Sequential(layers.Conv2d(2, 3, 3), layers.BatchNorm2d(3)), path)
    np.testing.assert_array_equal(layer[0].weight, network[0].weight.float().detach().numpy())


def test_u_net():
    network = models.unet(1, 2, width=8, depth=2, seed=0).eval()
    weights = {name: torch.from_numpy(np.array(value)) for name, value in network.state().items()}

    def double(x, at):
        for i in (1, 2):
            x = F.relu(F.conv2d(x, weights[f"{at}.conv{i}.weight"], weights[f"{at}.conv{i}.bias"], padding=1))
        return x

    def level(x, at, depth):
        if depth == 0:
            return double(x, at)
        across = double(x, f"{at}.down")
        below = level(F.max_pool2d(across, 2), f"{at}.bridge.below.level", depth - 1)
        up = f"{at}.bridge.below.up"
        raised = F.conv_transpose2d(below, weights[f"{up}.weight"], weights[f"{up}.bias"], stride=2)
        return double(torch.cat([across, raised], 1), f"{at}.join")

    x = np.random.default_rng(1).standard_normal((2, 1, 16, 12), np.float32)
    expected = F.conv2d(level(torch.from_numpy(x), "level", 2), weights["last.weight"], weights["last.bias"]).numpy()
    np.testing.assert_allclose(network(x), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["lenet5", "resnet18"])
def test_gradients(name):
    build, shape = NETWORKS[name]
    torch.manual_seed(1)
    theirs = spread(build(10)).train()
    state = {word: value.numpy() for word, value in theirs.state_dict().items()}
    ours = getattr(models, name)(10, seed=0).load_state(state).train()
    rng = np.random.default_rng(2)
    x, gy = rng.standard_normal((4, *shape[1:]), np.float32), rng.standard_normal((4, 10), np.float32)
    tensor = torch.tensor(x, requires_grad=True)
    theirs(tensor).backward(torch.from_numpy(gy))
    ours(x)
    gx = ours.backward(gy)
    assert np.abs(gx - tensor.grad.numpy()).max() <= 1e-3 * float(tensor.grad.abs().max())
    found = ours.gradients()
    for word, parameter in theirs.named_parameters():
        expected = parameter.grad.numpy()
        assert np.abs(found[word] - expected).max() <= 1e-3 * np.abs(expected).max() + 1e-6, word
    for word, value in theirs.state_dict().items():
        if "running" in word:
            np.testing.assert_allclose(ours.state()[word], value.numpy(), rtol=1e-4, atol=1e-5)
