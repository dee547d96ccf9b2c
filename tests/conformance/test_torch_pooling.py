"""Pooling equals PyTorch's over drawn parameters: values, indices, shapes and refusals."""

import random
import warnings

import numpy as np
import pytest

import striderule as sr
from striderule.errors import StrideruleError

torch = pytest.importorskip("torch")
F = pytest.importorskip("torch.nn.functional")

pytestmark = pytest.mark.conformance
CASES = 125
FLOATS = ("float32", "float64", "float16")


def same_answer(ours, theirs, *, extends=False, rtol=1e-6, atol=1e-6):
    """Compare two calls: both give equal values and types, or both refuse, except where we deliberately go further."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = theirs()
    except (RuntimeError, ValueError, TypeError, IndexError, ZeroDivisionError):
        if extends:
            return "extended"
        with pytest.raises(StrideruleError):
            ours()
        return "refused"
    found = ours()
    pairs = zip(found, expected, strict=True) if isinstance(expected, tuple) else [(found, expected)]
    for mine, other in pairs:
        assert mine.dtype == other.numpy().dtype
        np.testing.assert_allclose(mine, other.numpy(), rtol=rtol, atol=atol)
    return "equal"


def pick_per_axis(draw, rank, low, high):
    """Return one integer, or one an axis."""
    if draw.random() < 0.4:
        return draw.randint(low, high)
    return tuple(draw.randint(low, high) for _ in range(rank))


def draw_array(draw, rank, dtype, *, special=False):
    """Return a random array with or without batch axis; with `special` it holds ties, NaN and infinity."""
    shape = [draw.randint(1, 9) for _ in range(rank)]
    lead = [draw.randint(1, 3)] if draw.random() < 0.3 else [draw.choice([0, 1, 2]), draw.randint(1, 3)]
    generator = np.random.default_rng(draw.randrange(2**32))
    x = generator.integers(-9, 10, (*lead, *shape)) / 2
    if special:
        x[generator.random(x.shape) < 0.1] = np.nan
        x[generator.random(x.shape) < 0.1] = -np.inf
    return x.astype(dtype)


def tolerance(dtype):
    return {"rtol": 2e-3, "atol": 2e-3} if dtype == "float16" else {"rtol": 2e-6, "atol": 2e-6}


def shorter_than_kernel(x, rank, kernel):
    """Tell whether a kernel is longer than the input: PyTorch's 3-D averages alone refuse that, padded or not."""
    return bool((np.array(x.shape[-rank:]) < np.broadcast_to(kernel, rank)).any())


def window_arguments(draw, rank):
    kernel = pick_per_axis(draw, rank, 0 if draw.random() < 0.05 else 1, 4)
    stride = None if draw.random() < 0.3 else pick_per_axis(draw, rank, 0 if draw.random() < 0.05 else 1, 4)
    padding = pick_per_axis(draw, rank, -1 if draw.random() < 0.05 else 0, draw.choice([0, 1, 2]))
    return kernel, stride, padding


def has_empty_window(x, rank, kernel, stride, padding, dilation, ceil_mode):
    """Tell whether a window of the max pooling meets no element: PyTorch then names a place outside the input."""
    from striderule.geometry.pooling import Pooling

    problem = Pooling.from_shape("max", (1, 1, *x.shape[-rank:]), kernel, stride, padding, dilation, ceil_mode)
    return any(not problem.positions(axis, j) for axis in range(rank) for j in range(problem.output_size[axis]))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_max_pool(rank):
    draw = random.Random(rank)
    ours, theirs = getattr(sr, f"max_pool{rank}d"), getattr(F, f"max_pool{rank}d")
    outcomes = []
    for _ in range(2 * CASES):
        x = draw_array(draw, rank, draw.choice(FLOATS), special=draw.random() < 0.5)
        arguments = (*window_arguments(draw, rank), pick_per_axis(draw, rank, 1, 2), draw.random() < 0.5)
        indices = draw.random() < 0.6

        def mine(x=x, arguments=arguments, indices=indices):
            return ours(x, *arguments, return_indices=indices)

        def other(x=x, arguments=arguments, indices=indices):
            return theirs(torch.from_numpy(x), *arguments, return_indices=indices)

        try:
            if indices and has_empty_window(x, rank, *arguments):
                continue
        except StrideruleError:
            pass
        outcomes.append(same_answer(mine, other))
    assert outcomes.count("equal") > CASES // 2
    assert outcomes.count("refused") > 10


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64"])
def test_max_pool_of_integers(dtype):
    draw = random.Random(dtype)
    for _ in range(40):
        x = (draw_array(draw, 2, "float64") * 10).astype(dtype)
        kernel = draw.randint(1, 3)

        def mine(x=x, kernel=kernel):
            return sr.max_pool2d(x, kernel, 1, kernel // 2, return_indices=True)

        def other(x=x, kernel=kernel):
            return F.max_pool2d(torch.from_numpy(x), kernel, 1, kernel // 2, return_indices=True)

        same_answer(mine, other)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_avg_pool(rank):
    draw = random.Random(10 + rank)
    ours, theirs = getattr(sr, f"avg_pool{rank}d"), getattr(F, f"avg_pool{rank}d")
    outcomes = []
    for _ in range(2 * CASES):
        dtype = draw.choice(FLOATS if rank < 3 else FLOATS[:2])  # PyTorch has no 3-D averages of float16
        x = draw_array(draw, rank, dtype)
        more = [draw.random() < 0.5, draw.random() < 0.5]
        if rank > 1:
            more.append(draw.choice([None, None, 0, 3, -2]))
        arguments = (*window_arguments(draw, rank), *more)

        def mine(x=x, arguments=arguments):
            return ours(x, *arguments)

        def other(x=x, arguments=arguments):
            return theirs(torch.from_numpy(x), *arguments)

        extends = rank == 3 and shorter_than_kernel(x, rank, arguments[0])
        outcomes.append(same_answer(mine, other, extends=extends, **tolerance(dtype)))
    assert outcomes.count("equal") > CASES // 2
    assert outcomes.count("refused") > 10


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_lp_pool(rank):
    draw = random.Random(20 + rank)
    ours, theirs = getattr(sr, f"lp_pool{rank}d"), getattr(F, f"lp_pool{rank}d")
    outcomes = []
    for _ in range(CASES):
        x = draw_array(draw, rank, draw.choice(["float32", "float64"]))
        norm = draw.choice([1, 2, 3, 1.5, 4, 0.5, -1, -2, float("inf"), float("-inf"), 0])
        if norm not in (1, 2, 4):
            # What a negative or vanishing sum gives is left to the rounding of either side.
            x = np.abs(x) + x.dtype.type(0.5)
        kernel, stride, _ = window_arguments(draw, rank)
        kernel = kernel if rank > 1 else (kernel if isinstance(kernel, int) else kernel[0])
        arguments = (norm, kernel, stride, draw.random() < 0.5)

        def mine(x=x, arguments=arguments):
            return ours(x, *arguments)

        def other(x=x, arguments=arguments):
            return theirs(torch.from_numpy(x), *arguments)

        extends = rank == 3 and arguments[3] and shorter_than_kernel(x, rank, kernel)
        outcomes.append(same_answer(mine, other, extends=extends, rtol=2e-5, atol=1e-5))
    assert outcomes.count("equal") > CASES // 3


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kind", ["avg", "max"])
def test_adaptive(kind, rank):
    draw = random.Random(30 + rank)
    name = f"adaptive_{kind}_pool{rank}d"
    ours, theirs = getattr(sr, name), getattr(F, name)
    outcomes = []
    for _ in range(CASES):
        dtype = draw.choice(FLOATS)
        x = draw_array(draw, rank, dtype, special=kind == "max" and draw.random() < 0.5)
        size = pick_per_axis(draw, rank, -1 if draw.random() < 0.05 else 0, 12)
        if rank > 1 and isinstance(size, tuple) and draw.random() < 0.4:
            size = (None, *size[1:])
        extra = {"return_indices": True} if kind == "max" and draw.random() < 0.7 else {}

        def mine(x=x, size=size, extra=extra):
            return ours(x, size, **extra)

        def other(x=x, size=size, extra=extra):
            return theirs(torch.from_numpy(x), size, **extra)

        outcomes.append(same_answer(mine, other, **tolerance(dtype)))
    assert outcomes.count("equal") > CASES * 3 // 4


def fits_exactly(x, rank, kernel, sizes):
    """Tell whether the windows fit, on some axis without an element to spare."""
    size = np.array(x.shape[-rank:])
    if "output_ratio" in sizes:
        wanted = np.array([int(n * ratio) for n, ratio in zip(size.tolist(), sizes["output_ratio"], strict=True)])
    else:
        wanted = np.broadcast_to(sizes["output_size"], rank)
    spare = size - (wanted + np.broadcast_to(kernel, rank) - 1)
    return bool((spare >= 0).all() and (spare == 0).any())


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("dtype", FLOATS)
def test_fractional(rank, dtype):
    draw = random.Random(40 + rank)
    name = f"fractional_max_pool{rank}d"
    ours, theirs = getattr(sr, name), getattr(F, name)
    outcomes = []
    for _ in range(CASES):
        x = draw_array(draw, rank, dtype, special=draw.random() < 0.3)
        lead = (1, *x.shape[:1]) if x.ndim == rank + 1 else x.shape[:2]
        generator = np.random.default_rng(draw.randrange(2**32))
        samples = np.minimum(generator.random((*lead, rank)), 0.99).astype(dtype)
        kernel = pick_per_axis(draw, rank, 1, 3)
        if draw.random() < 0.5:
            sizes = {"output_size": pick_per_axis(draw, rank, 0, 5)}
        else:
            sizes = {"output_ratio": tuple(draw.uniform(0.2, 1) for _ in range(rank))}
        sizes["return_indices"] = draw.random() < 0.7

        def mine(x=x, kernel=kernel, sizes=sizes, samples=samples):
            return ours(x, kernel, **sizes, _random_samples=samples)

        def other(x=x, kernel=kernel, sizes=sizes, samples=samples):
            return theirs(torch.from_numpy(x), kernel, **sizes, _random_samples=torch.from_numpy(samples))

        # In three dimensions PyTorch demands one element more than the windows need.
        outcomes.append(same_answer(mine, other, extends=rank == 3 and fits_exactly(x, rank, kernel, sizes)))
    assert outcomes.count("equal") > CASES // 4
    assert outcomes.count("refused") > 10


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_max_unpool(rank):
    draw = random.Random(50 + rank)
    pool, ours, theirs = (
        getattr(F, f"max_pool{rank}d"),
        getattr(sr, f"max_unpool{rank}d"),
        getattr(F, f"max_unpool{rank}d"),
    )
    outcomes = []
    while len(outcomes) < CASES:
        x = draw_array(draw, rank, draw.choice(["float32", "float64"]))
        kernel, stride, padding = window_arguments(draw, rank)
        try:
            values, indices = pool(torch.from_numpy(x), kernel, stride, padding, return_indices=True)
        except RuntimeError:
            continue
        size = draw.choice([None, x.shape[-rank:], x.shape[-rank:], tuple(n + 3 for n in x.shape[-rank:])])

        def mine(values=values, indices=indices, arguments=(kernel, stride, padding, size)):
            return ours(values.numpy(), indices.numpy(), *arguments)

        def other(values=values, indices=indices, arguments=(kernel, stride, padding, size)):
            return theirs(values, indices, *arguments)

        try:
            lost = 0 in other().shape and x.shape[0] > 0
        except (RuntimeError, ValueError):
            lost = False
        if lost:
            # PyTorch drops the values when the output has no positions; here that is refused.
            with pytest.raises(StrideruleError, match="has no positions"):
                mine()
            continue
        outcomes.append(same_answer(mine, other))
    assert outcomes.count("equal") > CASES // 3
    assert outcomes.count("refused") > 10


@pytest.mark.parametrize(
    ("name", "shape", "arguments"),
    [
        ("max_pool2d", (1, 1, 4, 4), (2, 2, 2)),
        ("max_pool2d", (1, 1, 4, 4), (2, 0)),
        ("max_pool2d", (1, 1, 0, 4), (2,)),
        ("max_pool2d", (1, 1, 1, 4, 4), (2,)),
        ("max_pool2d", (1, 1, 4, 4), ((2, 2, 2),)),
        ("max_pool2d", (1, 1, 4, 4), (2.0,)),
        ("max_pool1d", (1, 1, 4), (2, 1, 0, 0)),
        ("max_pool1d", (1, 1, 1, 4), (2,)),
        ("avg_pool2d", (1, 1, 1, 4), (2,)),
        ("avg_pool3d", (1, 1, 4, 4, 4), (2, 2, 0, False, True, 0)),
        ("adaptive_avg_pool1d", (1, 1, 4), (None,)),
        ("adaptive_avg_pool2d", (1, 1, 0, 4), (2,)),
        ("adaptive_max_pool2d", (1, 1, 4, 4), (-2,)),
        ("fractional_max_pool2d", (1, 1, 6, 6), (2,)),
        ("fractional_max_pool2d", (1, 1, 6, 6), (2, 6)),
    ],
)
def test_refusals(name, shape, arguments):
    x = np.ones(shape, np.float32)
    if name == "adaptive_avg_pool1d":
        # PyTorch has None for two and three axes only; here it means the same everywhere.
        assert sr.adaptive_avg_pool1d(x, None).shape == shape
        return
    with pytest.raises((RuntimeError, ValueError, TypeError)):
        getattr(F, name)(torch.from_numpy(x), *arguments)
    with pytest.raises(StrideruleError):
        getattr(sr, name)(x, *arguments)
