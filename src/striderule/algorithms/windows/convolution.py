"""Convolution from strided views and tensor products.

Two ways, by what the problem looks like:

- *columns*: the windows of a block of outputs are copied into a matrix and multiplied by the weights (BLAS does the
  work). Best where a sum runs over many channels.
- *taps*: for each tap, a shifted view of the input times one number is added to the block. Best for depthwise
  layers and single images, where a sum has few terms; it alone can leave zero padding out of the sums.

Every tap counts here, zero or not: images, whose zero taps contribute nothing, have `stencil`.

Blocks are cut by the problem of one image, so that results never depend on the batch size, and bound the workspace.
Images so small that one block holds several are taken together: each has its own matrix, or its own elements.
Float sums are formed in chains of at most `CHAIN` terms, which are then added pairwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from striderule.algorithms.windows.extend import extend
from striderule.geometry.problem import Convolution, LocalConvolution, TransposedConvolution, Unfold
from striderule.planning.cost import COLUMNS, SWEEP
from striderule.planning.schedule import CHAIN

Array = npt.NDArray[Any]
Ints = tuple[int, ...]
# What an array is indexed with: integers and slices mixed, which numpy's annotations do not follow.
Index = tuple[Any, ...]

# float64 holds every integer up to here, so BLAS can form exact integer sums.
EXACT = 2**53


def arithmetic(dtype: str, bound: int | None) -> np.dtype[Any]:
    """Return the type to multiply in: float64 serves integers whose sums are proved to fit it exactly."""
    if np.dtype(dtype).kind in "iu" and bound is not None and bound < EXACT:
        return np.dtype(np.float64)
    return np.dtype(dtype)


def holding(dtype: str, bound: int | None) -> np.dtype[Any]:
    """Return the type to keep sums in: half the room where integers are proved to fit it."""
    return np.dtype(np.int32 if np.dtype(dtype).kind in "iu" and bound is not None and bound < 2**31 else dtype)


def windows_of(padded: Array, problem: Convolution | Unfold) -> Array:
    """Return the view (..., *output, *kernel) of padded images (..., *padded size)."""
    rank = len(problem.size)
    steps = padded.strides[-rank:]
    shape = (*padded.shape[:-rank], *problem.output_size, *problem.kernel)
    # An axis of one window or one tap is never stepped along: its step may be too large to be an address.
    strides = (
        *padded.strides[:-rank],
        *(step * s if n > 1 else 0 for step, s, n in zip(steps, problem.stride, problem.output_size, strict=True)),
        *(step * d if k > 1 else 0 for step, d, k in zip(steps, problem.dilation, problem.kernel, strict=True)),
    )
    return as_strided(padded, shape, strides, writeable=False)


def blocks(size: Ints, elements: int, budget: int) -> Iterator[Index]:
    """Cut outputs of `elements` each into boxes of about `budget` in all; the last axis stays whole longest."""
    if 0 in size:
        return
    left = max(1, budget // max(1, elements))
    steps: list[int] = []
    for n in reversed(size):
        steps.insert(0, min(n, left))
        left = max(1, left // n)
    for corner in product(*(range(0, n, step) for n, step in zip(size, steps, strict=True))):
        yield tuple(slice(c, min(c + s, n)) for c, s, n in zip(corner, steps, size, strict=True))


def batches(batch: int, elements: int, budget: int) -> Iterator[slice]:
    """Cut a batch of images of `elements` each into pieces of about `budget` in all."""
    step = max(1, budget // max(1, elements))
    for first in range(0, batch, step):
        yield slice(first, min(first + step, batch))


def meeting(windows: Index, stride: Ints, shift: Ints, size: Ints) -> tuple[Index, Index] | None:
    """Return the indices j of `windows` for which j * stride + shift lies in [0, size), and those positions.

    Both as one slice an axis; None where there are none.
    """
    used, reached = [], []
    for window, step, offset, n in zip(windows, stride, shift, size, strict=True):
        low = max(window.start, -(offset // step))
        high = min(window.stop, (n - 1 - offset) // step + 1)
        if low >= high:
            return None
        start = low * step + offset
        used.append(slice(low, high))
        reached.append(slice(start, start + (high - low - 1) * step + 1, step))
    return tuple(used), tuple(reached)


def _shifts(problem: TransposedConvolution | Unfold, tap: Ints) -> Ints:
    """Return where a tap of the window at 0 lies: tap * dilation - padding before."""
    return tuple(t * d - p[0] for t, d, p in zip(tap, problem.dilation, problem.padding, strict=True))


def in_chains(new: Callable[[], Array], add: Callable[[Array, Any], None], terms: Sequence[Any]) -> Array:
    """Return the sum of `terms`: `add` puts one onto an array made by `new`.

    At most `CHAIN` are added one after the other; longer sums are halved and the halves added, so that rounding errors
    grow with the logarithm of their number (Higham, "The accuracy of floating point summation", SIAM 1993).
    """
    if len(terms) <= CHAIN:
        total = new()
        for term in terms:
            add(total, term)
        return total
    half = len(terms) // 2
    total = in_chains(new, add, terms[:half])
    total += in_chains(new, add, terms[half:])
    return total


def chained_matmul(a: Array, b: Array) -> Array:
    """Return a @ b with sums cut into chains of at most `CHAIN` terms, which are added pairwise."""
    terms = a.shape[-1]
    if terms <= CHAIN:
        short: Array = np.matmul(a, b)
        return short
    half = -(-terms // (2 * CHAIN)) * CHAIN
    total = chained_matmul(a[..., :half], b[..., :half, :])
    total += chained_matmul(a[..., half:], b[..., half:, :])
    return total


def convolution(problem: Convolution, x: Array, weight: Array, fill: Any = 0) -> Array:
    """out[n, o, j] = sum over c and t of weight[o, c, t] * x[n, c, j * stride + t * dilation - before]."""
    dtype = arithmetic(problem.dtype, problem.bound)
    out = np.empty(problem.output_shape, holding(problem.dtype, problem.bound))
    if out.size == 0 or problem.terms == 0:
        out[...] = 0
        return out
    weight = weight.astype(dtype, copy=False)
    way = _taps if _goes_by_taps(problem, weight, fill) else _columns
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        way(problem, x, weight, fill, dtype, out)
    return out


def _goes_by_taps(problem: Convolution, weight: Array, fill: Any) -> bool:
    """Tell whether the sums are short, or their terms must be left out one by one."""
    per_group = problem.in_channels // problem.groups
    if per_group * problem.out_channels // problem.groups <= 4:
        return True
    finite = weight.dtype.kind not in "fc" or bool(np.isfinite(weight).all())
    return fill == 0 and not finite and any(side > 0 for pair in problem.padding for side in pair)


def _columns(problem: Convolution, x: Array, weight: Array, fill: Any, dtype: np.dtype[Any], out: Array) -> None:
    """Block by block: out = weights (out, in * taps) @ columns (in * taps, outputs), for all groups at once."""
    groups, rank = problem.groups, problem.rank
    matrix = weight.reshape(groups, problem.out_channels // groups, problem.terms)
    terms = problem.terms * groups
    for part in batches(problem.batch, terms * prod(problem.output_size), COLUMNS):
        # Data becomes wider block by block; before that only where a fill value need not fit its type.
        padded = extend(x[part], problem.padding, problem.boundary, fill, dtype if fill else x.dtype)
        view = windows_of(padded, problem)
        # (n, channels, *output, *kernel) -> (n, channels, *kernel, *output): a sum's terms first, as in the weights
        view = view.transpose(0, 1, *range(2 + rank, 2 + 2 * rank), *range(2, 2 + rank))
        for block in blocks(problem.output_size, terms, COLUMNS):
            cut = view[(slice(None),) * (2 + rank) + block]
            columns = cut.reshape(len(cut), groups, problem.terms, -1).astype(dtype, copy=False)
            sums = chained_matmul(matrix, columns)
            shape = (len(cut), problem.out_channels, *cut.shape[2 + rank :])
            out[(part, slice(None), *block)] = sums.reshape(shape)


def _taps(problem: Convolution, x: Array, weight: Array, fill: Any, dtype: np.dtype[Any], out: Array) -> None:
    """Sweep blocks of rows tap by tap: out[group, o] += weight[group, o, c, t] * shifted input[group, c]."""
    groups = problem.groups
    per_in, per_out = problem.in_channels // groups, problem.out_channels // groups
    weights = weight.reshape(groups, per_out, per_in, *problem.kernel)
    implicit = tuple(
        tuple(side > 0 and word == "constant" and fill == 0 for side, word in zip(pair, words, strict=True))
        for pair, words in zip(problem.padding, problem.boundary, strict=True)
    )
    # Zero padding is not written out: the sums run over what is inside. Everything else is.
    explicit = tuple(
        tuple(0 if zero else side for side, zero in zip(pair, zeros, strict=True))
        for pair, zeros in zip(problem.padding, implicit, strict=True)
    )
    before = tuple(pair[0] if zeros[0] else 0 for pair, zeros in zip(problem.padding, implicit, strict=True))
    for part in batches(problem.batch, prod(problem.output_shape[1:]), SWEEP):
        # A fill value need not fit the type of the data: then the data is made wider first.
        wide = dtype if fill else x.dtype
        source = extend(x[part], explicit, problem.boundary, fill, wide)  # type: ignore[arg-type]
        source = source.reshape(len(source), groups, per_in, *source.shape[2:])
        target = out[part].reshape(len(source), groups, per_out, *problem.output_size)
        for block in blocks(problem.output_size, problem.out_channels, SWEEP):
            target[(..., *block)] = _sweep(problem, source, weights, before, block, dtype)


def _sweep(
    problem: Convolution, source: Array, weights: Array, before: Ints, block: Index, dtype: np.dtype[Any]
) -> Array:
    """Return the sums of one block of outputs, (n, groups, out, *block), from images (n, groups, in, *size)."""
    groups, per_out, per_in = weights.shape[:3]
    shape = (len(source), groups, per_out, *(part.stop - part.start for part in block))
    scratch = np.empty(shape, dtype)

    def add(total: Array, term: tuple[Index, int]) -> None:
        tap, c = term
        region = _region(problem, tap, source.shape[3:], before, block)
        if region is None:
            return
        inside, shifted = region
        scale = weights[(slice(None), slice(None), c, *tap)].reshape(groups, per_out, *(1,) * problem.rank)
        part = scratch[(..., *inside)]
        values = source[(slice(None), slice(None), c, *shifted)][:, :, None]
        np.multiply(values, scale, out=part, dtype=dtype, casting="unsafe")
        total[(..., *inside)] += part

    terms = list(product(np.ndindex(*problem.kernel), range(per_in)))
    return in_chains(lambda: np.zeros(shape, dtype), add, terms)


def _region(problem: Convolution, tap: Ints, size: Ints, before: Ints, block: Index) -> tuple[Index, Index] | None:
    """Return where in the block a tap falls inside the source, and the part of the source that it meets there."""
    shifts = tuple(t * d - b for t, d, b in zip(tap, problem.dilation, before, strict=True))
    met = meeting(block, problem.stride, shifts, size)
    if met is None:
        return None
    used, reached = met
    return tuple(slice(u.start - w.start, u.stop - w.start) for u, w in zip(used, block, strict=True)), reached


def local_convolution(problem: LocalConvolution, x: Array, weight: Array, fill: Any = 0) -> Array:
    """As `convolution`, with the weights of the output position modulo the tile.

    Weights that no two outputs share are multiplied where they stand, others as matrices, one for each of the tile.
    """
    plain, tile = problem.plain, problem.tile
    dtype = arithmetic(plain.dtype, plain.bound)
    out = np.empty(plain.output_shape, holding(plain.dtype, plain.bound))
    if out.size == 0 or plain.terms == 0:
        out[...] = 0
        return out
    weight = weight.astype(dtype, copy=False)
    finite = weight.dtype.kind not in "fc" or bool(np.isfinite(weight).all())
    keep_out = not finite and fill == 0
    inside = windows_of(extend(np.ones(plain.size, bool), plain.padding, plain.boundary, 0), plain)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        for n in range(plain.batch):
            view = windows_of(extend(x[n], plain.padding, plain.boundary, fill, dtype), plain)
            if tile == plain.output_size:
                _unshared(plain, view, weight, inside if keep_out else None, out[n])
                continue
            for share in np.ndindex(*tile):
                positions = tuple(slice(t, None, step) for t, step in zip(share, tile, strict=True))
                shared = view[(slice(None), *positions)]
                target = out[n][(slice(None), *positions)]
                mask = inside[positions] if keep_out else None
                weights = weight[(slice(None), slice(None), *share)]
                for block in blocks(target.shape[1:], plain.terms * plain.groups, COLUMNS):
                    part = None if mask is None else mask[block]
                    target[(slice(None), *block)] = _shared(plain, shared[(slice(None), *block)], weights, part)
    return out


def _unshared(problem: Convolution, view: Array, weight: Array, inside: Array | None, out: Array) -> None:
    """Write the sums of the windows (in, *positions, *kernel), each with weights of its own, to out.

    Weights and windows follow each other alike in memory, so they are multiplied as they stand, and summed over the
    channels before the taps. `inside` tells taps on zero padding, to which an infinite weight contributes nothing.
    """
    groups, taps = problem.groups, prod(problem.kernel)
    per_in, per_out = problem.in_channels // groups, problem.out_channels // groups
    for block in blocks(problem.output_size, per_in * taps, SWEEP):
        outside = None if inside is None else ~inside[block]
        for group in range(groups):
            windows = np.ascontiguousarray(view[(slice(group * per_in, (group + 1) * per_in), *block)])
            products = np.empty_like(windows)
            for o in range(group * per_out, (group + 1) * per_out):
                np.multiply(weight[(o, slice(None), *block)], windows, out=products)
                if outside is not None:
                    np.copyto(products, 0, where=outside)
                sums = _over_channels(products)
                out[(o, *block)] = sums.reshape(*sums.shape[: problem.rank], taps).sum(axis=-1)


def _over_channels(products: Array) -> Array:
    """Return the sum over the first axis, in chains of at most `CHAIN` terms that are added pairwise."""
    terms = len(products)
    if terms <= CHAIN:
        short: Array = products.sum(axis=0, dtype=products.dtype)
        return short
    return _over_channels(products[: terms // 2]) + _over_channels(products[terms // 2 :])


def _shared(problem: Convolution, view: Array, weights: Array, inside: Array | None) -> Array:
    """Return the outputs (out, *positions) of the windows (in, *positions, *kernel) that share `weights`.

    `inside` (*positions, *kernel) tells taps on zero padding, to which an infinite weight contributes nothing.
    """
    groups, rank = problem.groups, problem.rank
    per_in, taps = problem.in_channels // groups, prod(problem.kernel)
    order = (*range(rank, 2 * rank), *range(rank))
    columns = view.transpose(0, *(1 + axis for axis in order)).reshape(groups, problem.terms, -1)
    matrix = weights.reshape(groups, problem.out_channels // groups, problem.terms)
    sums = chained_matmul(matrix, columns)
    if inside is not None:
        # Outputs at the border are formed anew from the taps inside; those with the same ones together.
        patterns, which = np.unique(inside.transpose(order).reshape(taps, -1), axis=1, return_inverse=True)
        for number, hits in enumerate(patterns.T):
            if not hits.all():
                keep, there = np.tile(hits, per_in), which.reshape(-1) == number
                sums[:, :, there] = chained_matmul(matrix[:, :, keep], columns[:, keep][:, :, there])
    return sums.reshape(problem.out_channels, *view.shape[1 : 1 + rank])


def transposed_convolution(problem: TransposedConvolution, x: Array, weight: Array) -> Array:
    """out[n, o, i * stride + t * dilation - before] += x[n, c, i] * weight[c, o, t].

    One matrix product makes what several taps spread; then it is added up tap by tap.
    """
    dtype = arithmetic(problem.dtype, problem.bound)
    out = np.zeros(problem.output_shape, holding(problem.dtype, problem.bound))
    if out.size == 0 or x.size == 0:
        return out
    groups = problem.groups
    per_in, per_out = problem.in_channels // groups, problem.out_channels // groups
    weights = weight.astype(dtype, copy=False).reshape(groups, per_in, per_out, -1).transpose(0, 3, 2, 1)
    taps = list(np.ndindex(*problem.kernel))
    products = problem.out_channels * prod(problem.size)
    together = min(len(taps), max(1, COLUMNS // products))
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        for part in batches(problem.batch, products * together, COLUMNS):
            source = x[part].reshape(-1, groups, per_in, prod(problem.size))
            target = out[part].reshape(len(source), groups, per_out, *problem.output_size)
            for some in batches(groups, len(source) * together * products // groups, COLUMNS):
                spread = _Spread(problem, source[:, some].astype(dtype, copy=False), weights[some], together)
                target[:, some] = in_chains(spread.zeros, spread.add, list(enumerate(taps)))
    return out


class _Spread:
    """What the taps of a transposed convolution spread, made for `together` successive ones at a time."""

    def __init__(self, problem: TransposedConvolution, source: Array, weights: Array, together: int) -> None:
        self.problem, self.source, self.weights, self.together = problem, source, weights, together
        self.inputs = tuple(slice(0, n) for n in problem.size)
        self.first, self.products = -1, source

    def zeros(self) -> Array:
        """Return outputs (n, groups, out, *output size) on which nothing is spread yet."""
        groups, _, per_out, _ = self.weights.shape
        return np.zeros((len(self.source), groups, per_out, *self.problem.output_size), self.source.dtype)

    def add(self, target: Array, term: tuple[int, Index]) -> None:
        """Add what one tap spreads (its number, the tap) to `target`."""
        number, tap = term
        met = meeting(self.inputs, self.problem.stride, _shifts(self.problem, tap), self.problem.output_size)
        if met is not None:
            used, reached = met
            target[(..., *reached)] += self._of(number)[(..., *used)]

    def _of(self, number: int) -> Array:
        first = number - number % self.together
        if first != self.first:
            groups, _, per_out, per_in = self.weights.shape
            matrix = self.weights[:, first : first + self.together].reshape(groups, -1, per_in)
            products = chained_matmul(matrix, self.source)
            shape = (len(self.source), groups, -1, per_out, *self.problem.size)
            self.first, self.products = first, products.reshape(shape)
        return self.products[:, :, number - first]


def unfold(problem: Unfold, x: Array, fill: Any = 0) -> Array:
    """columns[n, (c, t), j] = x[n, c, j * stride + t * dilation - before]."""
    rank = len(problem.size)
    columns = np.empty((problem.batch, problem.channels, *problem.kernel, *problem.output_size), x.dtype)
    order = (0, *range(1 + rank, 1 + 2 * rank), *range(1, 1 + rank))
    for n in range(problem.batch):
        padded = extend(x[n], problem.padding, problem.boundary, fill)
        columns[n] = windows_of(padded, problem).transpose(order)
    return columns.reshape(problem.columns_shape)


def fold(problem: Unfold, columns: Array) -> Array:
    """x[n, c, j * stride + t * dilation - before] += columns[n, (c, t), j]; what falls outside is dropped."""
    parts = columns.reshape((problem.batch, problem.channels, *problem.kernel, *problem.output_size))
    dtype = np.dtype(np.float32) if columns.dtype == np.float16 else columns.dtype
    dtype = np.dtype(np.int64) if dtype.kind in "biu" else dtype
    shape = (problem.batch, problem.channels, *problem.size)
    whole: Index = (slice(None), slice(None))
    counts = tuple(slice(0, count) for count in problem.output_size)

    def add(target: Array, tap: Index) -> None:
        met = meeting(counts, problem.stride, _shifts(problem, tap), problem.size)
        if met is not None:
            used, reached = met
            target[(*whole, *reached)] += parts[(*whole, *tap, *used)]

    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        return in_chains(lambda: np.zeros(shape, dtype), add, list(np.ndindex(*problem.kernel)))
