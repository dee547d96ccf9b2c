"""`pad` equals PyTorch's over drawn parameters, refusals included."""

import random

import numpy as np
import pytest

import striderule as sr
from striderule.errors import StrideruleError

torch = pytest.importorskip("torch")
F = pytest.importorskip("torch.nn.functional")

pytestmark = pytest.mark.conformance
REFUSED = (RuntimeError, ValueError, TypeError, NotImplementedError)

# PyTorch pads 1, 2 or 3 last axes of arrays of these ranks in modes other than constant; here any axes of any array.
RANKS = {1: (2, 3), 2: (3, 4), 3: (4, 5)}


def unreliable(mode, shape, pad):
    """Tell where PyTorch's circular mode reads what it never wrote: one side cropped, the other wider than is left."""
    if mode != "circular":
        return False
    for n, before, after in zip(shape[::-1], pad[::2], pad[1::2], strict=False):
        kept = n + min(before, 0) + min(after, 0)
        if (before > 0 > after) or max(before, after) > kept:
            return True
    return False


def extended(mode, x, pad):
    """Tell whether we deliberately go further: other ranks, other axes empty, or cropped to nothing."""
    if mode == "constant":
        return False
    if any(n + before + after == 0 for n, before, after in zip(x.shape[::-1], pad[::2], pad[1::2], strict=False)):
        return True
    return x.ndim not in RANKS.get(len(pad) // 2, ()) or 0 in x.shape


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_pad(mode):
    draw = random.Random(mode)
    outcomes = []
    for _ in range(1500):
        shape = [draw.randint(1, 5) for _ in range(draw.randint(1, 5))]
        if draw.random() < 0.1:
            shape[draw.randrange(len(shape))] = 0
        x = np.arange(1, np.prod(shape) + 1).reshape(shape).astype(draw.choice(["float32", "int16", "float64"]))
        axes = draw.choice([axes for axes, ranks in RANKS.items() if len(shape) in ranks] or [1])
        if draw.random() < 0.15:
            axes = draw.randint(0, 6)
        pad = [draw.choice([-2, -1, 0, 0, 1, 1, 2, 3]) for _ in range(2 * axes - (draw.random() < 0.03 and axes > 0))]
        value = draw.choice([None, None, 0, 3.0]) if draw.random() < 0.5 else None
        if unreliable(mode, shape, pad):
            continue
        try:
            expected = F.pad(torch.from_numpy(x), pad, mode, value).numpy()
        except REFUSED:
            if not extended(mode, x, pad):
                with pytest.raises(StrideruleError):
                    sr.pad(x, pad, mode, value)
                outcomes.append("refused")
            continue
        found = sr.pad(x, pad, mode, value)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
        outcomes.append("equal")
    assert outcomes.count("equal") > 300
    assert outcomes.count("refused") > 50


@pytest.mark.parametrize("mode", ["symmetric", "mirror", "wrap", "edge"])
def test_our_boundaries_are_numpys_whatever_the_width(mode):
    draw = random.Random(mode)
    names = {"mirror": "reflect"}
    for _ in range(200):
        x = np.arange(draw.randint(1, 6))
        pad = (draw.randint(0, 15), draw.randint(0, 15))
        np.testing.assert_array_equal(sr.pad(x, pad, mode), np.pad(x, pad, names.get(mode, mode)))
