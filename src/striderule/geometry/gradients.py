"""The gradients of a convolution, as convolutions of other geometry.

Let L be a number that depends on y, and g its gradient with respect to y. Along one axis, for one image,

    y[o, j] = sum over c, t of w[o, c, t] * x[c, j * s + t * d - p]                   (stride s, dilation d, padding p)

**Input.** x[c, i] meets w[o, c, t] in y[o, j] for every j and t with j * s + t * d - p = i, so

    dL/dx[c, i] = sum over o, t, j with j * s + t * d - p = i of w[o, c, t] * g[o, j]

which spreads g with the same weight: the transposed convolution of the same stride, dilation and padding, whose weight
has its axes as (in, out / groups), so that w serves as it is. Windows need not reach the end of x: what
(n + p + p' - e) modulo s leaves, e = d * (k - 1) + 1, are positions that no window sees. They are the transposed
convolution's output padding, and their gradient is zero.

With s = 1 each i meets exactly one j a tap, and with t' = k - 1 - t that is a convolution again,

    dL/dx[c, i] = sum over o, t' of w[o, c, k - 1 - t'] * g[o, i + t' * d - (e - 1 - p)]

of the turned weight, whose in and out channels have changed places, with the padding e - 1 - p.

**Weight.** w[o, c, t] meets x[c, j * s + t * d - p] in y[o, j] for every image n and position j:

    dL/dw[o, c, t] = sum over n, j of g[n, o, j] * x[n, c, j * s + t * d - p]

which correlates x with g: the stride and the dilation have changed places, and images are what is summed over.

**Transposed convolution.** y = T(x, w) is linear in x, and T is the transpose of a convolution C, so the gradient with
respect to x is C of g. Since <g, T(x, w)> = <C(g, w), x>, the gradient with respect to w is that of C, for the input g
and the output gradient x.

**Boundaries.** What stands outside is a copy of something inside, so its gradient is added there (`fold_back` in
`striderule.algorithms.windows.extend`); the derivations above then hold for the extended x, with a padding of 0.

Source: chapter 4 of Dumoulin and Visin, arXiv:1603.07285; Goodfellow, Bengio and Courville, Deep Learning (2016),
section 9.5, equations 9.11 and 9.13.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from striderule.geometry.problem import Arithmetic, Convolution, Ints, TransposedConvolution

# Derivations of the latest layers are kept: deriving takes longer than the gradient of a small layer.
KEPT = 512


@dataclass(frozen=True, slots=True)
class WeightGradient:
    """The gradient of a convolution with respect to its weight.

    gw[o, c, t] = sum over n, j of gy[n, o, j] * x[n, c, j * stride + t * dilation - before]

    `plain` is the convolution; what is outside x is zero.
    """

    plain: Convolution

    @property
    def output_shape(self) -> Ints:
        """(out channels, in channels / groups, *kernel): the shape of the weight."""
        plain = self.plain
        return (plain.out_channels, plain.in_channels // plain.groups, *plain.kernel)

    @property
    def dtype(self) -> Arithmetic:
        """The type in which sums are formed."""
        return self.plain.dtype

    @property
    def terms(self) -> int:
        """Number of products in one sum."""
        count = self.plain.batch
        for n in self.plain.output_size:
            count *= n
        return count

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of the definition, padding counted: as many as the convolution has."""
        return self.plain.multiply_adds


@lru_cache(maxsize=KEPT)
def bordered(problem: Convolution) -> bool:
    """Tell whether something else than nothing is read outside: a boundary other than constant on a padded side."""
    sides = zip(problem.padding, problem.boundary, strict=True)
    return any(pad > 0 and word != "constant" for pads, words in sides for pad, word in zip(pads, words, strict=True))


@lru_cache(maxsize=KEPT)
def extended(problem: Convolution) -> Convolution:
    """Return the same convolution of the input as it is with its padding."""
    return _with_zeros_outside(replace(problem, size=problem.padded_size, padding=((0, 0),) * problem.rank))


@lru_cache(maxsize=KEPT)
def input_gradient(problem: Convolution | TransposedConvolution) -> Convolution | TransposedConvolution:
    """Return what gives the gradient with respect to the input from that of the output, which takes the input's place.

    A `TransposedConvolution` takes the weight as it is. A `Convolution` of stride 1 takes it `turned` where `problem`
    is a convolution, and as it is where it is transposed. Borders are zero: see `extended`.

    >>> input_gradient(Convolution.from_shapes((1, 3, 8), (4, 3, 3), stride=2, padding=1)).output_shape
    (1, 3, 8)
    >>> input_gradient(Convolution.from_shapes((1, 3, 8), (4, 3, 3), padding=1)).padding
    ((1, 1),)
    """
    if isinstance(problem, TransposedConvolution):
        return _transpose_of(problem)
    channels = problem.out_channels, problem.in_channels
    if max(problem.stride) == 1:
        extents = problem.extent
        turned = zip(extents, problem.padding, strict=True)
        padding = tuple((e - 1 - before, e - 1 - after) for e, (before, after) in turned)
        size = problem.output_size
        turned_over = replace(problem, in_channels=channels[0], out_channels=channels[1], size=size, padding=padding)
        return _with_zeros_outside(turned_over)
    left = tuple(
        (n - e) % s for n, e, s in zip(problem.padded_size, problem.extent, problem.stride, strict=True)
    )  # positions behind the last window
    return TransposedConvolution(
        problem.batch, *channels, problem.output_size, problem.kernel, problem.stride, problem.dilation,
        problem.padding, left, problem.groups, problem.dtype,
    )  # fmt: skip


def is_turned(problem: Convolution | TransposedConvolution) -> bool:
    """Tell whether `input_gradient` of the problem takes the weight turned."""
    return isinstance(problem, Convolution) and max(problem.stride) == 1


@lru_cache(maxsize=KEPT)
def weight_gradient(problem: Convolution | TransposedConvolution) -> WeightGradient:
    """Return what gives the gradient with respect to the weight.

    Its operands are x and gy for a convolution, gy and x for a transposed one.

    >>> weight_gradient(Convolution.from_shapes((2, 3, 8), (4, 3, 3), stride=2, padding=1)).output_shape
    (4, 3, 3)
    """
    if isinstance(problem, TransposedConvolution):
        return WeightGradient(_transpose_of(problem))
    return WeightGradient(_with_zeros_outside(problem))


def _with_zeros_outside(problem: Convolution) -> Convolution:
    """Return the same convolution of floats alone, whatever is outside."""
    return replace(problem, boundary=(("constant", "constant"),) * problem.rank, stored=(), bound=None)


def _transpose_of(problem: TransposedConvolution) -> Convolution:
    """Return the convolution that a transposed one is the transpose of; output padding is what it leaves away."""
    sides = zip(problem.padding, problem.output_padding, strict=True)
    padding = tuple((before, after - extra) for (before, after), extra in sides)
    words = (("constant", "constant"),) * problem.rank
    return Convolution(
        problem.batch, problem.out_channels, problem.in_channels, problem.output_size, problem.kernel, problem.stride,
        problem.dilation, padding, problem.groups, words, "count", problem.dtype,
    )  # fmt: skip
