"""Convolutions of layers written as plain loops, from the definition and nothing else, and draws of their arguments."""

import itertools

import numpy as np

from oracles.images import outside

WORDS = ("constant", "edge", "symmetric", "mirror", "wrap")


def every(shape):
    """Yield every index of a shape."""
    return itertools.product(*map(range, shape))


def per_axis(value, rank):
    return tuple(value) if isinstance(value, tuple | list) else (value,) * rank


def per_side(value, rank):
    """Return (before, after) for each axis."""
    return [tuple(entry) if isinstance(entry, tuple) else (entry, entry) for entry in per_axis(value, rank)]


def positions(n, kernel, stride, dilation, before, after):
    """Return the starts of the windows of one axis, found by trying every padded position."""
    last = (kernel - 1) * dilation
    return [start for start in range(-before, n + after, stride) if start + last < n + after]


def looped_convolution(
    x, weight, *, stride=1, padding=0, dilation=1, groups=1, boundary="constant", fill=0, shared=True, tile=None
):
    """Return the sums as Python numbers, for x (batch, channels, *size) and weight (out, in / groups, *kernel).

    With `shared` false the weight is (out, in / groups, *tile, *kernel). Zero padding contributes nothing.
    """
    rank = x.ndim - 2
    size, kernel = x.shape[2:], weight.shape[-rank:]
    stride, dilation = per_axis(stride, rank), per_axis(dilation, rank)
    sides, words = per_side(padding, rank), per_side(boundary, rank)
    axes = [positions(*axis, *pad) for *axis, pad in zip(size, kernel, stride, dilation, sides, strict=True)]
    x, weight = x.astype(object), weight.astype(object)
    out = np.zeros((x.shape[0], weight.shape[0], *map(len, axes)), object)
    per_in, per_out = x.shape[1] // groups, weight.shape[0] // groups
    tile = (1,) * rank if shared else weight.shape[2 : 2 + rank]
    for j in every(out.shape[2:]):
        share = () if shared else tuple(i % t for i, t in zip(j, tile, strict=True))
        for tap in every(kernel):
            where = []
            for axis, n in enumerate(size):
                i = axes[axis][j[axis]] + tap[axis] * dilation[axis]
                where.append(outside(i, n, words[axis][0] if i < 0 else words[axis][1]))
            if None in where and fill == 0:
                continue
            for n, o in every(out.shape[:2]):
                for c in range(per_in):
                    value = fill if None in where else x[(n, o // per_out * per_in + c, *where)]
                    out[(n, o, *j)] += weight[(o, c, *share, *tap)] * value
    return out


def looped_transposed(x, weight, *, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """Return what inputs spread over the output, for x (batch, in, *size) and weight (in, out / groups, *kernel)."""
    rank = x.ndim - 2
    stride, dilation, extra = (per_axis(value, rank) for value in (stride, dilation, output_padding))
    sides = per_side(padding, rank)
    kernel = weight.shape[2:]
    x, weight = x.astype(object), weight.astype(object)
    reach = [s * (n - 1) + d * (k - 1) + 1 for s, n, d, k in zip(stride, x.shape[2:], dilation, kernel, strict=True)]
    size = [r - before - after + a for r, (before, after), a in zip(reach, sides, extra, strict=True)]
    per_in, per_out = x.shape[1] // groups, weight.shape[1]
    out = np.zeros((x.shape[0], per_out * groups, *size), object)
    for i in every(x.shape[2:]):
        for tap in every(kernel):
            where = [a * s + t * d - p[0] for a, s, t, d, p in zip(i, stride, tap, dilation, sides, strict=True)]
            if any(not 0 <= w < n for w, n in zip(where, size, strict=True)):
                continue
            for n, c, o in every((x.shape[0], x.shape[1], per_out)):
                out[(n, c // per_in * per_out + o, *where)] += x[(n, c, *i)] * weight[(c, o, *tap)]
    return out


def looped_unfold(x, kernel, *, stride=1, padding=0, dilation=1, boundary="constant", fill=0):
    """Return the columns (batch, channels * taps, windows)."""
    rank = x.ndim - 2
    stride, dilation = per_axis(stride, rank), per_axis(dilation, rank)
    sides, words = per_side(padding, rank), per_side(boundary, rank)
    axes = [positions(*axis, *pad) for *axis, pad in zip(x.shape[2:], kernel, stride, dilation, sides, strict=True)]
    rows = []
    for c, *tap in every((x.shape[1], *kernel)):
        row = []
        for start in itertools.product(*axes):
            at = [i + t * d for i, t, d in zip(start, tap, dilation, strict=True)]
            where = [outside(i, n, w[i >= 0]) for i, n, w in zip(at, x.shape[2:], words, strict=True)]
            row.append([fill] * x.shape[0] if None in where else list(x[(slice(None), c, *where)]))
        rows.append(row)
    shape = (x.shape[1] * int(np.prod(kernel)), int(np.prod([len(axis) for axis in axes])), x.shape[0])
    return np.array(rows, object).reshape(shape).transpose(2, 0, 1)


def some(rng, low, high, rank):
    """Return one integer for all axes, or one for each."""
    if rng.random() < 0.3:
        return int(rng.integers(low, high))
    return tuple(int(value) for value in rng.integers(low, high, rank))


def draw_padding(rng, rank, low=-1, high=4):
    """Return padding as a number, numbers or pairs."""
    if rng.random() < 0.2:
        return int(rng.integers(low, high))
    pairs = [tuple(int(value) for value in rng.integers(low, high, 2)) for _ in range(rank)]
    return tuple(pair if rng.random() < 0.6 else pair[0] for pair in pairs)


def draw_boundary(rng, rank):
    """Return one word, or one entry an axis."""
    if rng.random() < 0.3:
        return str(rng.choice(WORDS))
    return tuple(
        tuple(str(word) for word in rng.choice(WORDS, 2)) if rng.random() < 0.6 else str(rng.choice(WORDS))
        for _ in range(rank)
    )


def draw_convolution(rng, rank=None, *, groups=None):
    """Return (shape of x, shape of weight, keywords) of a small convolution that has an output."""
    rank = rank or int(rng.integers(1, 4))
    while True:
        groups_now = groups or int(rng.choice([1, 1, 2, 3]))
        size = rng.integers(1, (13, 7, 5)[rank - 1], rank).tolist()
        kernel = rng.integers(1, (6, 4, 4)[rank - 1], rank).tolist()
        keywords = {
            "stride": some(rng, 1, 4, rank),
            "padding": draw_padding(rng, rank),
            "dilation": some(rng, 1, 4, rank),
            "groups": groups_now,
            "boundary": draw_boundary(rng, rank),
            "fill": int(rng.integers(-2, 3)),
        }
        pads, gaps = per_side(keywords["padding"], rank), per_axis(keywords["dilation"], rank)
        if all(n + sum(p) >= d * (k - 1) + 1 for n, p, d, k in zip(size, pads, gaps, kernel, strict=True)):
            break
    per_in, per_out = (int(value) for value in rng.integers(1, 4, 2))
    x = (int(rng.integers(1, 3)), per_in * groups_now, *size)
    return x, (per_out * groups_now, per_in, *kernel), keywords


def draw_transposed(rng, rank=None):
    """Return (shape of x, shape of weight, keywords) of a small transposed convolution that has an output."""
    rank = rank or int(rng.integers(1, 4))
    while True:
        groups = int(rng.choice([1, 1, 2]))
        size = rng.integers(1, (9, 5, 4)[rank - 1], rank).tolist()
        kernel = rng.integers(1, (6, 4, 3)[rank - 1], rank).tolist()
        stride, dilation = some(rng, 1, 4, rank), some(rng, 1, 4, rank)
        steps, gaps = per_axis(stride, rank), per_axis(dilation, rank)
        extra = tuple(int(rng.integers(0, max(s, d))) for s, d in zip(steps, gaps, strict=True))
        padding = draw_padding(rng, rank)
        axes = zip(size, kernel, steps, gaps, per_side(padding, rank), extra, strict=True)
        if all(s * (n - 1) + d * (k - 1) + 1 - sum(p) + a > 0 for n, k, s, d, p, a in axes):
            break
    per_in, per_out = (int(value) for value in rng.integers(1, 4, 2))
    keywords = {"stride": stride, "padding": padding, "output_padding": extra, "groups": groups, "dilation": dilation}
    return (int(rng.integers(1, 3)), per_in * groups, *size), (per_in * groups, per_out, *kernel), keywords


def values(rng, shape, dtype):
    """Return small random values: every sum of their products is exact in every type, except that floats are odd."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind == "u":
        return rng.integers(0, 9, shape).astype(dtype)
    if dtype.kind == "i":
        return rng.integers(-9, 10, shape).astype(dtype)
    real = rng.standard_normal(shape)
    return (real + 1j * rng.standard_normal(shape) if dtype.kind == "c" else real).astype(dtype)
