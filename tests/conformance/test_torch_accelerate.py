"""`accelerate` on whole models: what is fused, and that nothing else changes, whatever becomes of the model."""

import copy
import doctest
import io
import json
import re
from pathlib import Path

import pytest

from striderule.errors import InvalidArgument

torch = pytest.importorskip("torch")
st = pytest.importorskip("striderule.torch")

F, nn = torch.nn.functional, torch.nn

pytestmark = pytest.mark.conformance


class Block(nn.Module):
    """As published networks write it: rectifiers and sums in place."""

    def __init__(self, inputs, outputs, stride=1):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = (
            nn.Conv2d(outputs, outputs, 3, padding=1, groups=2),
            nn.BatchNorm2d(outputs, affine=False),
        )
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride > 1:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, x):
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Hardswish())
        self.blocks = nn.Sequential(Block(8, 8), Block(8, 12, 2))
        self.up, self.norm = nn.ConvTranspose2d(12, 6, 2, stride=2, groups=3), nn.BatchNorm2d(6)
        self.fc = nn.Linear(6, 5)

    def forward(self, x):
        x = F.max_pool2d(self.stem(x), 2)
        x = F.leaky_relu(self.norm(self.up(self.blocks(x))), 0.2)
        return self.fc(F.dropout(F.adaptive_avg_pool2d(x, 1).flatten(1), training=self.training))


def spread(model, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.dtype.is_floating_point:
                value.copy_(0.3 * torch.randn(value.shape, generator=generator) + (0.5 if value.ndim == 1 else 0))
                if name.endswith("running_var"):
                    value.abs_().add_(0.5)
    return model.eval()


def image(*shape, seed=1):
    return torch.randn(*(shape or (2, 3, 21, 23)), generator=torch.Generator().manual_seed(seed))


def close(one, other):
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4 * float(other.abs().max()))


def pair(build=Network):
    ours, theirs = spread(build()), spread(build())
    return ours, theirs, st.accelerate(ours)


def program(model):
    return model.__dict__.get("_program")


@torch.inference_mode()
def same(ours, theirs, x=None):
    x = image() if x is None else x
    close(ours(x.clone()), theirs(x.clone()))


def test_convolutions_take_along_what_follows():
    ours, theirs, report = pair()
    assert report.fused == {
        "stem.0": ["stem.1", "hardswish"],
        "blocks.0.conv1": ["blocks.0.bn1", "relu"],
        "blocks.0.conv2": ["blocks.0.bn2", "addition", "relu"],
        "blocks.1.conv1": ["blocks.1.bn1", "relu"],
        "blocks.1.conv2": ["blocks.1.bn2", "addition", "relu"],
        "blocks.1.downsample.0": ["blocks.1.downsample.1"],
        "up": ["norm", "leaky_relu"],
    }
    assert "fused: what follows 7 convolutions (15 steps)" in str(report)
    assert type(ours).__name__ == "Network"
    assert isinstance(ours, Network)
    for x in (image(), image(1, 3, 30, 22), image().to(memory_format=torch.channels_last), image().double()):
        if x.dtype == torch.float64:
            ours.double(), theirs.double()
        same(ours, theirs, x)
        assert program(ours) is not None
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert all(torch.equal(one, theirs.state_dict()[name]) for name, one in ours.state_dict().items())


def test_what_was_written_counts():
    ours, theirs, _ = pair()
    same(ours, theirs)
    for change in (
        lambda model: model.stem[1].running_mean.add_(1),
        lambda model: model.blocks[0].conv1.weight.mul_(2),
        lambda model: setattr(model.up, "bias", nn.Parameter(torch.ones(6))),
        lambda model: setattr(model, "fc", nn.Linear(6, 5, bias=False).requires_grad_(False).eval()),
        lambda model: model.load_state_dict(spread(copy.deepcopy(model), 3).state_dict()),
        lambda model: model.blocks.append(Block(12, 12).eval()),
        lambda model: setattr(model, "norm", nn.Identity().eval()),
    ):
        for model in (ours, theirs):
            torch.manual_seed(0)
            with torch.no_grad():
                change(model)
        same(ours, theirs)
        assert program(ours) is not None


def test_copies_and_files():
    ours, theirs, _ = pair()
    same(ours, theirs)
    twin = copy.deepcopy(ours)
    file = io.BytesIO()
    torch.save(ours, file)
    file.seek(0)
    read = torch.load(file, weights_only=False)
    with torch.no_grad():
        twin.stem[0].weight.zero_()
    same(ours, theirs)
    same(read, theirs)
    assert isinstance(read, Network)
    assert program(read) is not None
    with torch.no_grad():
        theirs.stem[0].weight.zero_()
    same(twin, theirs)


def test_hooks_see_what_they_saw():
    ours, theirs, _ = pair()
    seen = {}
    for name, model in (("ours", ours), ("theirs", theirs)):
        model.stem[1].register_forward_hook(lambda *told, name=name: seen.update({name: told[2].clone()}))
        model.blocks[0].register_forward_pre_hook(lambda _, args: (args[0] + 1,))
    same(ours, theirs)
    close(seen["ours"], seen["theirs"])
    calls = []
    handle = nn.modules.module.register_module_forward_hook(lambda module, *_: calls.append(module))
    try:
        same(ours, theirs)
    finally:
        handle.remove()
    assert ours.blocks[0].conv1 in calls


def test_training_goes_on_as_before():
    ours, theirs, _ = pair()
    same(ours, theirs)
    x, target = image(), torch.tensor([1, 4])
    for model in (ours, theirs):
        torch.manual_seed(0)
        model.train()
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(2):
            optimiser.zero_grad()
            F.cross_entropy(model(x), target).backward()
            optimiser.step()
        model.eval()
    for (name, one), other in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-4, msg=name)
    theirs.load_state_dict(ours.state_dict())
    same(ours, theirs)
    grads = [image().requires_grad_(), image().requires_grad_()]
    for model, leaf in zip((ours, theirs), grads, strict=True):
        model(leaf).sum().backward()
    close(grads[0].grad, grads[1].grad)


class Odd(nn.Module):
    """Sums that broadcast, values seen twice, writes in between, layers used twice."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.norm, self.row = nn.BatchNorm2d(4), nn.Parameter(torch.ones(1, 1, 1, 7))

    def forward(self, x):
        y = self.first(x)
        shared = F.relu(y) + y  # y is seen twice
        shared += self.row  # broadcast
        wide = self.second(shared) + shared[:, :1]  # broadcast, after the convolution
        before = self.second(wide)
        wide.mul_(2)  # what the convolution above has read
        late = F.relu(before)
        kept = late
        late += self.norm(self.second(wide))
        pooled = self.norm(self.second(F.max_pool2d(late, 2, ceil_mode=True)).tanh())
        return torch.cat([kept.sigmoid().flatten(1), pooled.flatten(1)], 1), x.shape


def test_odd_models():
    ours, theirs, _ = pair(Odd)
    x = image(2, 3, 7, 7)
    with torch.inference_mode():
        found, expected = ours(x), theirs(x)
    close(found[0], expected[0])
    assert found[1] == expected[1]
    assert program(ours) is not None


class Choosing(nn.Module):
    """A way that depends on the values, and parts that do not."""

    def __init__(self):
        super().__init__()
        self.part, self.options = nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU()), nn.ModuleList([nn.Conv2d(3, 2, 1)])

    def forward(self, x, again=False):
        x = self.part(x)
        if x.sum() > 0 or again:
            x = self.options[0](x)
        return x


class Constant(nn.Sequential):
    def forward(self, x):
        return super().forward(x) + torch.rand(1)


def test_models_that_cannot_be_traced():
    ours, theirs, report = pair(Choosing)
    assert report.fused == {"part.0": ["relu"]}
    same(ours, theirs)
    same(ours, theirs, -image().abs())
    assert program(ours) is None
    assert program(ours.part) is not None
    with torch.inference_mode():
        close(ours(image(), again=True), theirs(image(), again=True))
    random = spread(Constant(nn.Conv2d(3, 4, 3), nn.ReLU()))
    assert not st.accelerate(random).fused
    with torch.inference_mode():
        assert not torch.equal(random(image()), random(image()))


class Means(nn.Sequential):
    def forward(self, x):
        x = super().forward(x)
        return (
            x.mean((2, 3)),
            torch.mean(x, [-1, -2], keepdim=True),
            x.mean((-2, -1), True),
            x.mean(1),
            x[0].mean((0, 1)),
        )


def test_means():
    ours, theirs, _ = pair(lambda: Means(nn.Conv2d(3, 4, 3), nn.Dropout(0.3), nn.Tanh()))
    with torch.inference_mode():
        for one, other in zip(ours(image()), theirs(image()), strict=True):
            close(one, other)
            assert one.shape == other.shape
    assert sum(type(step).__name__ == "Computed" for step, _ in program(ours).steps) == 4
    assert sum(type(step).__name__ == "Same" for step, _ in program(ours).steps) == 1


def small():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())


def test_the_program_is_left_where_it_does_not_serve():
    ours, theirs, _ = pair(small)
    with torch.no_grad():
        close(torch.compile(ours, backend="aot_eager")(image()), theirs(image()))
        with torch.autocast("cpu", torch.bfloat16):
            assert ours(image()).dtype == theirs(image()).dtype == torch.bfloat16
        with pytest.raises(InvalidArgument, match="channels"):
            ours(image(2, 4, 21, 23))
    with torch.inference_mode():
        ours, theirs, _ = pair(small)  # tensors whose writes PyTorch does not count
    same(ours, theirs)
    with torch.inference_mode():
        for model in (ours, theirs):
            model[0].weight.mul_(2)
    same(ours, theirs)


def test_results_depend_on_neither_batch_nor_repetition():
    ours, _, _ = pair()
    x = image(3, 3, 21, 23)
    with torch.inference_mode():
        everyone = ours(x)
        assert torch.equal(everyone, ours(x))
        alone = torch.cat([ours(one[None]) for one in x])
    assert torch.allclose(everyone, alone, rtol=1e-5)
    assert st.accelerate(ours).model is ours
    with torch.inference_mode():
        assert torch.equal(everyone, ours(x))


def test_the_benchmark_prints_and_writes(tmp_path, capsys, monkeypatch):
    benchmark, networks = (pytest.importorskip(f"benchmarks.{name}") for name in ("accelerate", "networks"))
    monkeypatch.setitem(networks.NETWORKS, "small", small)
    benchmark.main(["small", "--size", "8", "--rounds", "1", "--json", str(tmp_path / "found.json")])
    assert re.search(r"\| small +(\| +[\d.]+ +){4}\|", capsys.readouterr().out)
    (found,) = json.loads((tmp_path / "found.json").read_text())["networks"]
    assert found["ratio"] > 0
    assert 0 <= found["difference"] < 1e-5
    with pytest.raises(SystemExit):
        benchmark.main(["none"])
    assert "no network 'none'" in capsys.readouterr().err


def test_the_page_runs():
    page = Path(__file__).parents[2] / "docs" / "pytorch.md"
    blocks = re.findall(r"^```py\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    test = doctest.DocTestParser().get_doctest("".join(blocks), {}, "pytorch.md", str(page), 0)
    assert len(test.examples) >= 10
    assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False).run(test).failed == 0
