"""Normalisation and pixel shuffle equal PyTorch's over drawn parameters."""

import random

import numpy as np
import pytest

import striderule as sr
from striderule.errors import StrideruleError

torch = pytest.importorskip("torch")
F = pytest.importorskip("torch.nn.functional")

pytestmark = pytest.mark.conformance
TOLERANCE = {
    "float64": {"rtol": 1e-11, "atol": 1e-11},
    "float32": {"rtol": 3e-5, "atol": 1e-5},
    "float16": {"rtol": 5e-3, "atol": 5e-3},
}
REFUSED = (RuntimeError, ValueError, TypeError, ZeroDivisionError)


def statistics(generator, channels, dtype):
    return generator.normal(size=channels).astype(dtype), generator.uniform(0.2, 2, channels).astype(dtype)


def tensors(*arrays):
    return [None if array is None else torch.from_numpy(array.copy()) for array in arrays]


def test_batch_norm():
    draw = random.Random(1)
    outcomes = []
    for _ in range(500):
        generator = np.random.default_rng(draw.randrange(2**32))
        dtype = draw.choice(sorted(TOLERANCE))
        shape = (draw.randint(0, 4), draw.randint(1, 5), *(draw.randint(1, 5) for _ in range(draw.randint(0, 3))))
        x = generator.normal(2, 3, shape).astype(dtype)
        channels = shape[1] + (shape[0] > 0 and draw.random() < 0.05)  # PyTorch checks no empty batch
        mean, var = statistics(generator, channels, dtype)
        weight, bias = (statistics(generator, shape[1], dtype)[0] if draw.random() < 0.6 else None for _ in range(2))
        training = draw.random() < 0.5
        if shape[0] > 0 and draw.random() < 0.2:
            mean = var = None
        elif shape[0] > 0 and draw.random() < 0.05:
            mean = None
        eps = draw.choice([1e-5, 1e-3, 0.0, -1.0])
        words = {"training": training, "momentum": draw.uniform(0, 1), "eps": eps}
        theirs = tensors(mean, var)
        try:
            expected = F.batch_norm(torch.from_numpy(x), *theirs, *tensors(weight, bias), **words).numpy()
        except REFUSED:
            with pytest.raises(StrideruleError):
                sr.batch_norm(x, mean, var, weight, bias, **words)
            outcomes.append("refused")
            continue
        found = sr.batch_norm(x, mean, var, weight, bias, **words)
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, **TOLERANCE[dtype])
        if mean is not None:
            np.testing.assert_allclose(mean, theirs[0].numpy(), **TOLERANCE[dtype])
            np.testing.assert_allclose(var, theirs[1].numpy(), **TOLERANCE[dtype])
        outcomes.append("equal")
    assert outcomes.count("equal") > 200
    assert outcomes.count("refused") > 80


def test_local_response_norm():
    draw = random.Random(2)
    outcomes = []
    for _ in range(500):
        generator = np.random.default_rng(draw.randrange(2**32))
        dtype = draw.choice(["float32", "float64"])
        x = generator.normal(0, 3, [draw.randint(1, 5) for _ in range(draw.randint(2, 5))]).astype(dtype)
        size = draw.randint(-1, 9)
        rest = (draw.uniform(0, 0.5), draw.uniform(-1, 1), draw.uniform(0.2, 2))
        try:
            expected = F.local_response_norm(torch.from_numpy(x), size, *rest).numpy()
        except REFUSED:
            with pytest.raises(StrideruleError):
                sr.local_response_norm(x, size, *rest)
            outcomes.append("refused")
            continue
        found = sr.local_response_norm(x, size, *rest)
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, **TOLERANCE[dtype])
        outcomes.append("equal")
    assert outcomes.count("equal") > 200
    assert outcomes.count("refused") > 80


@pytest.mark.parametrize("name", ["pixel_shuffle", "pixel_unshuffle"])
def test_pixel_shuffle(name):
    draw = random.Random(name)
    outcomes = []
    for _ in range(400):
        factor = draw.randint(0, 3)
        lead = [draw.randint(0, 3) for _ in range(draw.randint(0, 2))]
        channels, height, width = (draw.randint(1, 4) for _ in range(3))
        if draw.random() < 0.7 and name == "pixel_shuffle":
            channels *= factor**2
        elif draw.random() < 0.7:
            height, width = height * factor, width * factor
        shape = [*lead, channels, height, width] if draw.random() < 0.95 else [height, width]
        x = np.arange(np.prod(shape)).reshape(shape).astype(draw.choice(["float32", "int8", "int64", "bool"]))
        try:
            expected = getattr(F, name)(torch.from_numpy(x), factor).numpy()
        except REFUSED:
            with pytest.raises(StrideruleError):
                getattr(sr, name)(x, factor)
            outcomes.append("refused")
            continue
        found = getattr(sr, name)(x, factor)
        assert found.dtype == expected.dtype
        if x.size == 0:  # PyTorch's pixel_unshuffle leaves empty arrays as they are
            assert found.size == 0
            continue
        np.testing.assert_array_equal(found, expected)
        outcomes.append("equal")
    assert outcomes.count("equal") > 100
    assert outcomes.count("refused") > 50
