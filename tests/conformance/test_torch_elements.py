"""Poolings and activations as PyTorch operators: values and gradients, and what PyTorch's own checks say."""

import pytest

torch = pytest.importorskip("torch")
st = pytest.importorskip("striderule.torch")
elements = pytest.importorskip("striderule.torch.elements")

F, nn, ops = torch.nn.functional, torch.nn, torch.ops.striderule

pytestmark = pytest.mark.conformance

CASES = [
    *((name, (2, 3, 5), ()) for name in elements.ACTIVATIONS),
    ("leaky_relu", (4,), (0.3,)),
    ("elu", (4, 2), (0.7,)),
    ("gelu", (2, 3), ("tanh",)),
    ("max_pool1d", (2, 3, 9), ([3], [2], [1], [1], True)),
    ("max_pool2d", (2, 3, 7, 8), ([3, 2], [2, 2], [1, 0], [1, 2], True)),
    ("max_pool2d", (3, 7, 8), (2,)),
    ("max_pool3d", (1, 2, 5, 4, 6), ([2, 2, 3],)),
    ("avg_pool1d", (3, 9), ([3], [2], [1])),
    ("avg_pool2d", (2, 3, 7, 8), ([3, 2], [2, 3], [1, 1], True, False)),
    ("avg_pool3d", (1, 2, 5, 4, 6), (2, [], 1)),
    ("adaptive_avg_pool1d", (2, 3, 7), ([3],)),
    ("adaptive_avg_pool2d", (2, 3, 7, 8), ([3, 5],)),
    ("adaptive_avg_pool3d", (1, 2, 5, 4, 6), ([1, 1, 1],)),
]


def drawn(*shape, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return (3 * torch.randn(*shape, dtype=dtype, generator=generator)).requires_grad_()


def theirs(name, x, *words):
    function = getattr(torch if name in ("sigmoid", "tanh") else F, name)
    if name == "gelu":
        return function(x, approximate=words[0] if words else "none")
    words = [None if word == [] else word for word in words]
    return function(x, *words[:3], dilation=words[3], ceil_mode=words[4]) if len(words) > 4 and "max" in name else (
        function(x, *words)
    )  # fmt: skip


@pytest.mark.parametrize(("name", "shape", "words"), CASES)
def test_values_and_gradients(name, shape, words):
    operator = getattr(ops, name)
    for dtype, tolerance in ((torch.float64, 1e-8), (torch.float32, 1e-5)):  # some constants of PyTorch are float32
        x, twin = drawn(*shape, dtype=dtype), drawn(*shape, dtype=dtype)
        y, expected = operator(x, *words), theirs(name, twin, *words)
        torch.testing.assert_close(y, expected, rtol=tolerance, atol=tolerance)
        gy = torch.randn_like(expected)
        y.backward(gy), expected.backward(gy)
        torch.testing.assert_close(x.grad, twin.grad, rtol=tolerance, atol=4 * tolerance)
    assert torch.autograd.gradcheck(lambda one: operator(one, *words), drawn(*shape))
    fake = torch.empty(shape, device="meta")
    assert operator(fake, *words).shape == expected.shape


@pytest.mark.parametrize(("name", "words"), [("gelu", ()), ("max_pool2d", (3, 2, 1, 1, True))])
def test_opcheck(name, words):
    torch.library.opcheck(elements.OPERATORS[name], (drawn(2, 3, 5, 6, dtype=torch.float32), *words))


@pytest.mark.parametrize(("name", "words"), [("silu", ()), ("avg_pool2d", (2,))])
def test_bfloat16_computes_in_float32(name, words):
    x, twin = (drawn(2, 3, 4, 4, dtype=torch.bfloat16) for _ in "ab")
    y, expected = getattr(ops, name)(x, *words), theirs(name, twin, *words)
    y.sum().backward(), expected.sum().backward()
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(x.grad, twin.grad)


def test_formats_are_kept():
    x = drawn(2, 8, 6, 5, dtype=torch.float32).detach().to(memory_format=torch.channels_last)
    for y in (ops.relu(x), ops.max_pool2d(x, 2), ops.adaptive_avg_pool2d(x, 3)):
        assert y.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(ops.max_pool2d(x, 2), F.max_pool2d(x, 2))
    torch.library.opcheck(ops.avg_pool2d.default, (x, 2), test_utils=("test_schema", "test_faketensor"))


def test_layers_take_the_operators_where_gradients_are_wanted():
    layers = [
        nn.ReLU(),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.GELU("tanh"),
        nn.AdaptiveAvgPool2d((None, 2)),
        nn.ReLU(True),
    ]
    ours, x, twin = nn.Sequential(nn.Conv2d(3, 4, 3), *layers), *(drawn(1, 3, 9, 7, dtype=torch.float32) for _ in "ab")
    state = nn.Sequential(nn.Conv2d(3, 4, 3), *layers)
    state.load_state_dict(ours.state_dict())
    expected = state(twin)
    st.accelerate(ours)
    y = ours(x)
    names, node = [], y.grad_fn
    while node is not None:
        names.append(type(node).__name__)
        node = node.next_functions[0][0] if node.next_functions else None
    assert sum("striderule" in name.lower() for name in names) == 5, names
    torch.testing.assert_close(y, expected)
    y.sum().backward(), expected.sum().backward()
    torch.testing.assert_close(x.grad, twin.grad)
