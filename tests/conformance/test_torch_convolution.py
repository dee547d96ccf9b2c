"""Convolutions equal PyTorch's over drawn parameters: values, shapes, types and refusals.

What PyTorch refuses is refused here too, except for the first table of docs/extensions.md, section "Convolutions"; what
it accepts is accepted, except for the second table. Every row must be met by a draw, and be written there.
"""

import math
import random
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

import striderule as sr
from striderule.errors import StrideruleError

torch = pytest.importorskip("torch")
F = pytest.importorskip("torch.nn.functional")

pytestmark = pytest.mark.conformance

DOCUMENT = Path(__file__).parents[2] / "docs" / "extensions.md"
FLOATS = ("float32", "float64", "complex64", "complex128")
INTEGERS = ("bool", "uint8", "int8", "int16", "int32", "int64")


@dataclass
class Case:
    """One drawn call of both libraries."""

    name: str
    rank: int
    arrays: list
    words: dict
    rows: Counter = field(default_factory=Counter)

    @property
    def transposed(self):
        return "transpose" in self.name

    def entries(self, word):
        """Return the numbers of a word of every axis, or nothing for words of padding."""
        value = self.words.get(word, 0)
        return () if isinstance(value, str) else value if isinstance(value, tuple) else (value,) * self.rank

    def uses_one_entry(self):
        return any(isinstance(value, tuple) and len(value) == 1 for value in self.words.values())


def x_of(case):
    return case.arrays[0]


EXTENSIONS = {
    "bare spatial arrays": lambda case: len(case.arrays) == 3 and x_of(case).ndim == case.rank == case.arrays[1].ndim,
    "integers and booleans": lambda case: any(a is not None and a.dtype.kind in "biu" for a in case.arrays),
    "operands of different types": lambda case: len({a.dtype for a in case.arrays if a is not None}) > 1,
    "negative padding": lambda case: any(not isinstance(p, tuple) and p < 0 for p in case.entries("padding")),
    "padding for each side": lambda case: any(isinstance(p, tuple) for p in case.entries("padding")),
    '`padding="same"` with a stride': lambda case: case.words.get("padding") == "same"
    and any(s != 1 for s in case.entries("stride")),
    "other padding words": lambda case: case.words.get("padding") in ("full", "causal", "same_lower", "SAME"),
    "words of padding in transposed": lambda case: case.transposed and isinstance(case.words.get("padding"), str),
    "no channels out": lambda case: len(case.arrays) > 1 and 0 in case.arrays[1].shape[:2],
    "empty spatial axes": lambda case: 0 in x_of(case).shape[-case.rank :],
    "a sequence of one number": lambda case: case.name in ("unfold", "fold") and case.uses_one_entry(),
    "any number of spatial axes": lambda case: case.name in ("unfold", "fold"),
    "no channels in": lambda case: case.name in ("unfold", "fold") and 0 in x_of(case).shape,
}

STRICTER = {
    "a transposed convolution whose padding crops": lambda case: case.transposed,
    "rules hold for an empty batch": lambda case: 0 in x_of(case).shape,
}

OTHER = {
    "a convolution without channels in": lambda case: case.name[:4] == "conv" and 0 in case.arrays[1].shape,
    "convolutions of integers": lambda case: case.name[:4] == "conv" and x_of(case).dtype.kind in "iu",
    "`fold` of booleans": lambda case: case.name == "fold" and x_of(case).dtype == bool,
}


def section():
    """Return the section "Convolutions" of the list of differences."""
    text = DOCUMENT.read_text(encoding="utf-8")
    return text.split("## Convolutions\n")[1].split("\n## ")[0]


def explained(case, table, seen, what):
    """Count the rows that explain a difference; there must be one."""
    rows = [row for row, holds in table.items() if holds(case)]
    shapes = [None if a is None else (a.shape, str(a.dtype)) for a in case.arrays]
    assert rows, f"{what}: {case.name} {shapes} {case.words}"
    seen.update(rows)


def compare(case, ours, theirs, bound, seen):
    """Call both libraries and hold the difference against the tables."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = theirs().numpy()
    except (RuntimeError, ValueError, TypeError, IndexError):
        expected = None
    try:
        found = ours()
    except StrideruleError:
        found = None
    if found is None or expected is None:
        if found is not None:
            explained(case, EXTENSIONS, seen, "PyTorch refuses what is accepted here")
        elif expected is not None:
            explained(case, STRICTER, seen, "PyTorch accepts what is refused here")
        seen["refused" if found is None else "extended"] += 1
        return
    same = found.shape == expected.shape and found.dtype == expected.dtype
    if same and (abs(found - expected) <= bound(found) if found.dtype != bool else found == expected).all():
        seen["equal"] += 1
        return
    if found.dtype.kind in "iu" and expected.dtype.kind in "iu" and found.shape == expected.shape:
        np.testing.assert_array_equal(found.astype(expected.dtype), expected)  # the same but for overflow
    explained(case, OTHER, seen, f"other values: {found.shape} {found.dtype} {expected.shape} {expected.dtype}")


def tensor(array):
    return None if array is None else torch.from_numpy(array)


def numbers(draw, shape, dtype):
    """Return random numbers of any type."""
    generator = np.random.default_rng(draw.randrange(2**32))
    if np.dtype(dtype).kind in "biu":
        return generator.integers(0, 9, shape).astype(dtype)
    real = generator.standard_normal(shape)
    return (real + 1j * generator.standard_normal(shape) if np.dtype(dtype).kind == "c" else real).astype(dtype)


def rarely(draw, share, one, other):
    return one if draw.random() < share else other


def per_axis(draw, rank, low, high, odd=0.08):
    """Return one integer, or one an axis; sometimes too few or too many."""
    if draw.random() < 0.4:
        return draw.randint(low, high)
    count = rarely(draw, odd, draw.choice([1, rank + 1]), rank)
    return tuple(draw.randint(low, high) for _ in range(count))


def draw_case(draw, *, transposed, bad):
    """Draw a call; `bad` is the share of arguments that break a rule."""
    rank = draw.randint(1, 3)
    groups = rarely(draw, bad, draw.choice([0, -1, 3]), draw.choice([1, 1, 2, 3]))
    per_in, per_out = (rarely(draw, bad / 2, 0, draw.randint(1, 3)) for _ in range(2))
    channels = per_in * max(groups, 1) + rarely(draw, bad, 1, 0)
    others = per_out * max(groups, 1) + rarely(draw, bad / 2, 1, 0)
    limit = (12, 8, 5)[rank - 1]
    size = [rarely(draw, bad / 2, 0, draw.randint(1, limit)) for _ in range(rank)]
    kernel = [rarely(draw, bad / 4, 0, draw.randint(1, 4)) for _ in range(rank)]
    x = [rarely(draw, 0.1, 0, 2), channels, *size]
    x = rarely(draw, 0.3, x[1:], x)
    x = rarely(draw, bad / 4, [1, *x], x)
    weight = [channels, per_out, *kernel] if transposed else [others, per_in, *kernel]
    weight = rarely(draw, bad / 4, weight[1:], weight)
    if draw.random() < bad / 4:
        x, weight = size, kernel
    words = {
        "stride": per_axis(draw, rank, rarely(draw, bad / 2, 0, 1), 3, bad),
        "dilation": per_axis(draw, rank, rarely(draw, bad / 2, 0, 1), 3, bad),
        "padding": per_axis(draw, rank, rarely(draw, bad / 2, -1, 0), 3, bad),
        "groups": groups,
    }
    if draw.random() < bad / 4:
        words["padding"] = ((0, 1),) * rank
    if transposed:
        words["output_padding"] = per_axis(draw, rank, rarely(draw, bad / 2, -1, 0), rarely(draw, bad, 2, 0), bad)
    if draw.random() < (bad if transposed else 0.2):
        words["padding"] = draw.choice(
            ["same", "valid", *(["full", "causal", "same_lower", "SAME", "some"] if bad else [])]
        )
    dtype = draw.choice(FLOATS)
    types = [dtype] * 3 if draw.random() > bad / 3 else [draw.choice([*FLOATS, *INTEGERS]) for _ in range(3)]
    out = per_out * groups if transposed else others
    bias = rarely(draw, 0.5, None, [max(out, 0) + rarely(draw, bad, 1, 0)])
    arrays = [
        None if shape is None else numbers(draw, shape, kind)
        for shape, kind in zip([x, weight, bias], types, strict=True)
    ]
    return Case(("conv_transpose" if transposed else "conv") + f"{rank}d", rank, arrays, words)


def error_bound(case):
    """Return the function that bounds the difference of two results.

    Each library adds up n products x w and a bias; in any order the error is at most (n + 2) u sum(|x| |w|), with u the
    unit roundoff (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1; four times that for complex).
    """

    def bound(found):
        x, weight, bias = (None if a is None else np.abs(a).astype(float) for a in case.arrays)
        sums = getattr(sr, case.name)(x, weight, bias, **case.words)
        terms = math.prod(weight.shape[1:]) if not case.transposed else weight.size
        unit = np.finfo(found.dtype).eps / 2 if found.dtype.kind in "fc" else 0
        return 2 * (terms + 2) * unit * sums * (4 if found.dtype.kind == "c" else 1)

    return bound


@pytest.fixture(scope="module")
def seen():
    return Counter()


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("bad", "count"), [(0.0, 600), (0.15, 1250)])
def test_drawn_convolutions(transposed, bad, count, seen):
    draw = random.Random(7 + transposed)
    now = Counter()
    for _ in range(count):
        case = draw_case(draw, transposed=transposed, bad=bad)
        compare(
            case,
            lambda case=case: getattr(sr, case.name)(*case.arrays, **case.words),
            lambda case=case: getattr(F, case.name)(*map(tensor, case.arrays), **case.words),
            error_bound(case),
            now,
        )
    assert now["equal"] > count / 8
    assert not bad or now["refused"] > count / 8
    seen.update(now)


def draw_windows(draw, name, *, bad):
    """Draw a call of unfold or fold."""
    words = {
        word: per_axis(draw, 2, rarely(draw, bad / 4, low - 1, low), high, bad / 2)
        for word, low, high in (("kernel_size", 1, 3), ("dilation", 1, 3), ("padding", 0, 2), ("stride", 1, 3))
    }
    size, channels = [rarely(draw, bad / 4, 0, draw.randint(1, 7)) for _ in range(2)], rarely(draw, bad / 4, 0, 2)
    lead = rarely(draw, 0.3, [], [rarely(draw, 0.1, 0, 2)])
    shape = [*lead, channels, *size]
    if name == "fold":
        windows, taps = 1, 1
        for axis, n in enumerate(size):
            here = [value[axis % len(value)] if isinstance(value, tuple) else value for value in words.values()]
            k, d, p, s = here
            windows *= max(0, (n + 2 * p - d * (k - 1) - 1) // max(s, 1) + 1)
            taps *= k
        words["output_size"] = rarely(draw, 0.1, size[0], tuple(size))
        shape = [*lead, channels * taps + rarely(draw, bad / 2, 1, 0), windows + rarely(draw, bad / 2, 1, 0)]
    shape = rarely(draw, bad / 4, shape[1:], shape)
    dtype = draw.choice([*FLOATS, "float16"]) if draw.random() > bad else draw.choice(INTEGERS)
    return Case(name, 2, [numbers(draw, shape, dtype)], words)


@pytest.mark.parametrize("name", ["unfold", "fold"])
@pytest.mark.parametrize(("bad", "count"), [(0.0, 600), (0.2, 1200)])
def test_drawn_windows(name, bad, count, seen):
    draw = random.Random(11)
    now = Counter()
    for _ in range(count):
        case = draw_windows(draw, name, bad=bad)
        x = x_of(case)
        # unfold moves numbers; fold adds up at most 9 of them, float16 in float16 there
        unit = 0 if name == "unfold" or x.dtype.kind in "biu" else np.finfo(x.dtype).eps
        compare(
            case,
            lambda case=case: getattr(sr, case.name)(*case.arrays, **case.words),
            lambda case=case: getattr(F, case.name)(*map(tensor, case.arrays), **case.words),
            lambda found, unit=unit: 9 * unit * 9 * 4,
            now,
        )
    assert now["equal"] > count / 5
    seen.update(now)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
def test_padding_modes_of_layers(rank, mode):
    word = {"reflect": "mirror"}.get(mode, mode)
    draw = random.Random(rank)
    layer = {1: torch.nn.Conv1d, 2: torch.nn.Conv2d, 3: torch.nn.Conv3d}[rank]
    compared = 0
    for _ in range(30):
        size = [draw.randint(3, 8) for _ in range(rank)]
        words = {
            "padding": draw.choice(["same", 2, tuple(draw.randint(0, 2) for _ in range(rank))]),
            "dilation": draw.randint(1, 2),
            "groups": draw.choice([1, 2]),
        }
        if words["padding"] != "same":
            words["stride"] = draw.randint(1, 3)
        kernel = tuple(draw.randint(1, 3) for _ in range(rank))
        module = layer(2, 4, kernel, padding_mode=mode, dtype=torch.float64, **words)
        x = numbers(draw, (2, 2, *size), "float64")
        weight, bias = module.weight.detach().numpy(), module.bias.detach().numpy()
        call = getattr(sr, f"conv{rank}d")
        try:
            expected = module(torch.from_numpy(x)).detach().numpy()
        except RuntimeError:  # the kernel does not fit
            with pytest.raises(StrideruleError):
                call(x, weight, bias, boundary=word, **words)
            continue
        np.testing.assert_allclose(call(x, weight, bias, boundary=word, **words), expected, rtol=0, atol=1e-13)
        compared += 1
    assert compared > 15


def test_same_padding_of_even_kernels_stands_on_the_same_side():
    for kernel in range(1, 7):
        for dilation in (1, 2, 3):
            x, weight = np.arange(20.0).reshape(1, 1, 20), np.arange(1.0, kernel + 1).reshape(1, 1, -1)
            expected = F.conv1d(torch.from_numpy(x), torch.from_numpy(weight), padding="same", dilation=dilation)
            np.testing.assert_array_equal(sr.conv1d(x, weight, padding="same", dilation=dilation), expected.numpy())


def test_large_float32_layers_agree():
    draw = random.Random(3)
    for shape, weight_shape, words in (
        ((2, 64, 28, 28), (32, 64, 3, 3), {"padding": 1}),
        ((1, 48, 14, 14), (48, 1, 7, 7), {"groups": 48, "stride": 2}),
        ((4, 256, 7, 7), (64, 256, 1, 1), {}),
    ):
        x, weight = numbers(draw, shape, "float32"), numbers(draw, weight_shape, "float32")
        exact = F.conv2d(tensor(x).double(), tensor(weight).double(), **words).numpy()
        found = sr.conv2d(x, weight, **words)
        assert np.linalg.norm(found - exact) <= 1e-6 * np.linalg.norm(exact)
        theirs = F.conv2d(tensor(x), tensor(weight), **words).numpy()
        assert np.linalg.norm(found - theirs) <= 2e-6 * np.linalg.norm(exact)


@pytest.mark.parametrize("row", [*EXTENSIONS, *STRICTER, *OTHER])
def test_every_difference_is_listed_and_was_met(row, seen):
    assert row in section()
    assert seen[row], "no draw meets this row"
