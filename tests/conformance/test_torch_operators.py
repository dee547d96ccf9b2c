"""`striderule.torch`: operators that PyTorch's own checks accept, and models whose layers are replaced."""

import copy
import io

import numpy as np
import pytest

from striderule.errors import InvalidArgument, InvalidType

torch = pytest.importorskip("torch")
st = pytest.importorskip("striderule.torch")
operators = pytest.importorskip("striderule.torch.operators")

F, nn = torch.nn.functional, torch.nn

pytestmark = [pytest.mark.conformance, pytest.mark.filterwarnings("ignore:Using padding=.same.:UserWarning")]


def drawn(*shape, dtype=torch.float64, seed=0, grad=True):
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(*shape, dtype=dtype, generator=generator).requires_grad_(grad)


CASES = [
    ("conv1d", (2, 4, 9), (6, 2, 3), {"stride": 2, "padding": 1, "groups": 2}),
    ("conv2d", (2, 3, 7, 6), (4, 3, 3, 2), {"padding": (1, 2), "dilation": 2}),
    ("conv2d", (3, 7, 6), (4, 3, 2, 2), {"padding": "same"}),
    ("conv3d", (1, 2, 4, 5, 4), (3, 2, 2, 3, 2), {"stride": (1, 2, 1), "padding": "valid"}),
    ("conv_transpose1d", (2, 4, 5), (4, 3, 3), {"stride": 2, "output_padding": 1, "padding": 1}),
    ("conv_transpose2d", (2, 4, 4, 3), (4, 2, 3, 3), {"stride": 2, "groups": 2, "padding": 1}),
    ("conv_transpose3d", (1, 2, 3, 3, 2), (2, 2, 2, 2, 2), {"stride": 2, "dilation": 2}),
]


def operands(name, x, weight, words, dtype=torch.float64):
    channels = weight[1] * words.get("groups", 1) if "transpose" in name else weight[0]
    return [drawn(*shape, dtype=dtype, seed=i) for i, shape in enumerate((x, weight, (channels,)))]


@pytest.mark.parametrize(("name", "x", "weight", "words"), CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_gradients(name, x, weight, words, dtype):
    ours, theirs = (operands(name, x, weight, words, dtype) for _ in range(2))
    y, expected = getattr(st, name)(*ours, **words), getattr(F, name)(*theirs, **words)
    tolerance = 1e-12 if dtype == torch.float64 else 2e-5
    torch.testing.assert_close(y, expected, rtol=tolerance, atol=tolerance)
    gy = torch.randn_like(expected)
    y.backward(gy), expected.backward(gy)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=tolerance, atol=10 * tolerance)


@pytest.mark.parametrize(("name", "x", "weight", "words"), CASES)
def test_gradcheck(name, x, weight, words):
    assert torch.autograd.gradcheck(lambda *args: getattr(st, name)(*args, **words), operands(name, x, weight, words))


@pytest.mark.parametrize("transposed", [False, True])
def test_opcheck(transposed):
    x, weight = drawn(2, 4, 5, 6), drawn(4, 3, 3, 2) if transposed else drawn(3, 4, 3, 2)
    words = ([2, 1], [1, 1, 0, 1], [1, 2], 1, transposed, [1, 0] if transposed else [0, 0], "highest")
    torch.library.opcheck(operators.convolve, (x, weight, drawn(3), *words))
    torch.library.opcheck(operators.convolve, (x, weight, None, *words))
    gy = operators.convolve(x, weight, None, *words).detach()
    backward = (gy, x.detach(), weight.detach(), *words, [True, False, True])
    torch.library.opcheck(operators.convolve_backward, backward, test_utils=("test_schema", "test_faketensor"))


def test_memory_is_shared_and_formats_are_kept():
    x, weight = drawn(1, 8, 5, 5, dtype=torch.float32, grad=False), drawn(4, 8, 3, 3, dtype=torch.float32, grad=False)
    assert operators.array_of(x).ctypes.data == x.data_ptr()
    last = st.conv2d(x.to(memory_format=torch.channels_last), weight, padding=1)
    assert last.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(last, st.conv2d(x, weight, padding=1))


def test_the_precision_is_that_of_torch_unless_told():
    rng = np.random.default_rng(0)
    x, weight = (
        torch.from_numpy(rng.standard_normal(shape, np.float32)) for shape in ((1, 64, 28, 28), (64, 64, 3, 3))
    )
    before, found = torch.get_float32_matmul_precision(), {}
    try:
        for word in ("highest", "high"):
            torch.set_float32_matmul_precision(word)
            found[word] = st.conv2d(x, weight)
            assert torch.equal(st.conv2d(x, weight, precision="highest"), found["highest"])
            assert torch.equal(st.conv2d(x, weight, precision=word), found[word])
    finally:
        torch.set_float32_matmul_precision(before)


def test_it_is_compiled_without_breaks():
    x, weight = drawn(1, 3, 6, 6, grad=False), drawn(4, 3, 3, 3, grad=False)

    def double(x, weight):
        return 2 * st.conv2d(x, weight, padding=1, precision="highest")

    compiled = torch.compile(double, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, weight), double(x, weight))


def test_refusals():
    with pytest.raises(InvalidArgument, match="4 axes"):
        st.conv2d(drawn(3, 3), drawn(1, 1, 3, 3))
    with pytest.raises(InvalidArgument, match="stride"):
        st.conv2d(drawn(1, 1, 3, 3), drawn(1, 1, 3, 3), stride=0)
    with pytest.raises(InvalidType, match=r"torch\.nn\.Module"):
        st.accelerate(lambda x: x)


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True),
        nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.GELU(approximate="tanh"), nn.AvgPool2d(2),
        nn.ConvTranspose2d(16, 8, 2, stride=2), nn.Hardswish(), nn.Conv2d(8, 4, 1, padding_mode="reflect"),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 5),
    )  # fmt: skip


def test_a_model_is_accelerated_in_place():
    model, x = network().eval(), drawn(2, 3, 21, 22, dtype=torch.float32, grad=False)
    expected, state = model(x).detach(), {name: value.clone() for name, value in model.state_dict().items()}
    report = st.accelerate(model, x)
    assert report.model is model
    assert list(report.kept) == ["8"]
    assert "padding_mode" in report.kept["8"]
    assert set(report.replaced) == {"0", "1", "2", "3", "4", "5", "6", "7", "9"}
    assert report.gain > 0
    assert 0 <= report.difference < 1e-5
    assert "times as fast" in str(report)
    assert isinstance(model[0], nn.Conv2d)
    for grad in (torch.no_grad, torch.enable_grad):
        with grad():
            torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-5)
    assert state.keys() == model.state_dict().keys()
    with torch.no_grad():
        torch.testing.assert_close(copy.deepcopy(model)(x), expected, rtol=1e-4, atol=1e-5)
        file = io.BytesIO()
        torch.save(model, file)
        file.seek(0)
        torch.testing.assert_close(torch.load(file, weights_only=False)(x), expected, rtol=1e-4, atol=1e-5)


def test_written_weights_are_packed_anew():
    model, x = network().eval(), drawn(2, 3, 21, 22, dtype=torch.float32, grad=False)
    st.accelerate(model)
    with torch.no_grad():
        before = model(x)
        model[0].weight.mul_(2)
        model[0].bias.zero_()
        changed = model(x)
        twin = network().eval()
        twin.load_state_dict(model.state_dict())
        torch.testing.assert_close(changed, twin(x), rtol=1e-4, atol=1e-5)
        assert not torch.equal(before, changed)


def test_it_trains_as_before():
    pair = [network(), network()]
    st.accelerate(pair[0])
    x, target = drawn(4, 3, 20, 20, dtype=torch.float32, grad=False), torch.tensor([0, 1, 2, 3])
    for model in pair:
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(3):
            optimiser.zero_grad()
            F.cross_entropy(model(x), target).backward()
            optimiser.step()
    for one, other in zip(pair[0].parameters(), pair[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)
