"""The kernel that turns one picture into another, learned by gradient descent, and checked by least squares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striderule import kernels, nn
from striderule.errors import InvalidArgument
from striderule.nn.training import loss_and_gradient

Array = NDArray[Any]

STEPS = 1000
MOMENTUM = 0.98
LARGEST = 15
# Pieces of pictures that are learned from: at most so many, of so many rows and columns.
PIECES, SIDE = 32, 64


@dataclass(frozen=True)
class Learned:
    """A learned kernel: target = weight correlated with the source, plus bias, and what that leaves.

    `losses` are mean squared errors of every step, of the variance of the target; `exact` and `exact_bias` are what
    least squares give for the same pixels.
    """

    weight: Array
    bias: float
    losses: list[float]
    exact: Array
    exact_bias: float
    left_out: int
    samples: int

    def __call__(self, plane: Array) -> Array:
        """Return what the kernel makes of a plane (rows, columns), where it fits within."""
        return _windows(plane.astype(np.float64), self.weight) + self.bias

    @property
    def agreement(self) -> float:
        """The largest difference from the kernel of least squares, as a part of the largest of its numbers."""
        return float(np.abs(self.weight - self.exact).max() / max(float(np.abs(self.exact).max()), 1e-30))


@dataclass(frozen=True)
class Likeness:
    """A kernel with a name, how alike the learned one is (from -1 to 1), and how many times as large."""

    name: str
    kernel: Array
    cosine: float
    factor: float


def learn(
    source: Array,
    target: Array,
    size: tuple[int, int],
    *,
    limits: tuple[float, float] | None = None,
    steps: int = STEPS,
    seed: int = 0,
    tell: Callable[[float], None] | None = None,
) -> Learned:
    """Learn the kernel of `size` that, correlated with `source`, gives `target`, up to a constant.

    A layer with one kernel and a bias goes downhill on the mean squared error, by SGD with Nesterov's momentum, all
    pixels in every step. Pixels next to the border, whose windows reach beyond it, do not count; neither do those at
    the ends of the target's range, where values may have been clipped, unless few others are left.

    Parameters
    ----------
    source, target
        (planes, rows, columns), of the same shape: the colours of a picture, say. All planes share the kernel.
    size
        (rows, columns) of the kernel, 1 to 15. Its centre is (rows // 2, columns // 2), as that of `correlate`.
    limits
        The ends of the target's range. Default: none.
    steps
        How many steps downhill. Default: 1000.
    seed
        Of the first weights, and of which pieces of large pictures are learned from. Default: 0.
    tell
        Called with the loss after every step.

    Raises
    ------
    InvalidArgument
        For other shapes, kernels that do not fit, and pictures in which nothing changes.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> source = rng.random((1, 20, 20))
    >>> target = source + np.roll(source, 1, axis=2)  # each pixel and its left neighbour
    >>> learn(source, target, (1, 3), steps=200).weight.round(2).tolist()[0][:2]
    [1.0, 1.0]
    """
    _check(source, target, size)
    x, y, counted = _pieces(source, target, size, limits, np.random.default_rng(seed))
    middle, spread = float(x.mean()), float(x.std())
    aim, reach = float(y[counted].mean()), float(y[counted].std())
    if spread == 0 or reach == 0:
        raise InvalidArgument(
            f"nothing changes in the {'source' if spread == 0 else 'target'}, so there is no kernel to learn"
        )
    inputs, aims = ((x - middle) / spread).astype(np.float32), ((y - aim) / reach).astype(np.float32)
    weight, bias, losses = _downhill(inputs, aims, counted, size, steps, seed, tell)
    # Back in the units of the pictures: y = aim + reach * (w (x - middle) / spread + b).
    weight = weight * (reach / spread)
    exact, exact_bias = _least_squares(x, y, counted, size)
    return Learned(
        weight.astype(np.float32),
        aim + reach * bias - middle * float(weight.sum()),
        losses,
        exact,
        exact_bias,
        int((~counted).sum()),
        counted.size,
    )


def closest(weight: Array) -> Likeness:
    """Return the kernel with a name that is most alike: the largest cosine of the angle between both, as vectors.

    The name is empty where none has anything in common with it.

    >>> found = closest(np.array([[2.0, 0, -2], [4, 0, -4], [2, 0, -2]]))
    >>> found.name, found.cosine, found.factor
    ('sobel:axis=1', -1.0, -2.0)
    """
    flat = weight.astype(np.float64).reshape(-1)
    best = Likeness("", weight, 0.0, 1.0)
    for name, kernel in _named(weight.shape).items():
        other = kernel.astype(np.float64).reshape(-1)
        product, square = float(flat @ other), float(other @ other)
        cosine = product / max(float(np.sqrt((flat @ flat) * square)), 1e-30)
        if abs(cosine) > abs(best.cosine) + 1e-9:
            best = Likeness(name, kernel, round(cosine, 12), product / square)
    return best


def _named(shape: tuple[int, ...]) -> dict[str, Array]:
    """Return kernels of a shape, by the names that the command line knows them under."""
    found: dict[str, Any] = {}
    for name in ("sobel", "scharr", "prewitt", "roberts"):
        found |= {f"{name}:axis={axis}": getattr(kernels, name)(axis) for axis in (0, 1)}
    found |= {name: getattr(kernels, name)() for name in ("laplace", "edge", "sharpen", "emboss")}
    found["laplace:2"] = kernels.laplace(2)
    if min(shape) == max(shape):
        found[f"box:{shape[0]}"] = kernels.box(shape[0])
        if shape[0] % 2:
            for sigma in (0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 4.0):
                found[f"gaussian:{sigma:g},size={shape[0]}"] = kernels.gaussian(sigma, size=shape[0])
    found = {name: np.asarray(kernel) for name, kernel in found.items()}
    middle = np.zeros(shape)
    middle[shape[0] // 2, shape[1] // 2] = 1
    # One of another size may stand in the middle of zeros.
    return {"identity": middle} | {
        name: _framed(kernel, shape)
        for name, kernel in found.items()
        if all(n <= wanted for n, wanted in zip(kernel.shape, shape, strict=True))
    }


def _framed(kernel: Array, shape: tuple[int, ...]) -> Array:
    """Return a kernel in a larger one of zeros, its centre on the centre."""
    out = np.zeros(shape, kernel.dtype)
    start = [wanted // 2 - n // 2 for n, wanted in zip(kernel.shape, shape, strict=True)]
    out[start[0] : start[0] + kernel.shape[0], start[1] : start[1] + kernel.shape[1]] = kernel
    return out


def _check(source: Array, target: Array, size: tuple[int, int]) -> None:
    if source.shape != target.shape or source.ndim != 3:
        raise InvalidArgument(f"source and target must have one shape, got {source.shape} and {target.shape}")
    if not 1 <= min(size) <= max(size) <= LARGEST:
        raise InvalidArgument(f"size must be 1 to {LARGEST} rows and columns, got {size[0]} x {size[1]}")
    inside = [n - k + 1 for n, k in zip(source.shape[1:], size, strict=True)]
    if min(inside) < 1 or source.shape[0] * inside[0] * inside[1] < 2 * (size[0] * size[1] + 1):
        rows, columns = source.shape[1:]
        raise InvalidArgument(
            f"pictures of {columns} x {rows} have too few pixels to learn {size[0]} x {size[1]} numbers; take larger "
            "ones"
        )


def _pieces(
    source: Array, target: Array, size: tuple[int, int], limits: tuple[float, float] | None, rng: np.random.Generator
) -> tuple[Array, Array, Array]:
    """Return inputs (count, 1, ...), targets where the kernel fits, and which of these count."""
    top, left = (k // 2 for k in size)
    inside = [n - k + 1 for n, k in zip(source.shape[1:], size, strict=True)]
    high, wide = (min(SIDE, n) for n in inside)
    if source.shape[0] * (inside[0] // high) * (inside[1] // wide) <= PIECES:
        high, wide = inside
    places = [
        (plane, row, column)
        for plane in range(source.shape[0])
        for row in range(0, inside[0] - high + 1, high)
        for column in range(0, inside[1] - wide + 1, wide)
    ]
    chosen = sorted(rng.choice(len(places), min(PIECES, len(places)), replace=False).tolist())
    x, y = [], []
    for plane, row, column in (places[k] for k in chosen):
        x.append(source[plane, row : row + high + size[0] - 1, column : column + wide + size[1] - 1])
        y.append(target[plane, row + top : row + top + high, column + left : column + left + wide])
    inputs, aims = (np.stack(one)[:, None].astype(np.float64) for one in (x, y))
    counted = np.ones(aims.shape, bool) if limits is None else (aims > limits[0]) & (aims < limits[1])
    if counted.mean() < 0.1:  # a picture of black and white
        counted[...] = True
    return inputs, aims, counted


def _downhill(
    x: Array,
    y: Array,
    counted: Array,
    size: tuple[int, int],
    steps: int,
    seed: int,
    tell: Callable[[float], None] | None,
) -> tuple[Array, float, list[float]]:
    """Return weights, bias and losses."""
    layer = nn.Conv2d(1, 1, size, seed=seed)
    # The curvature is at most twice the trace of the second moments, and pixels have variance 1.
    optimiser = nn.SGD(layer, lr=0.5 / (size[0] * size[1] + 1), momentum=MOMENTUM, nesterov=True)
    part = counted / np.float32(counted.sum())

    def loss(found: Array, aim: Array) -> tuple[float, Array]:
        off = found - aim
        return float((off * off * part).sum()), 2 * off * part

    layer.train().want_input_gradient(False)
    losses = []
    for _ in range(steps):
        value, gradient = loss_and_gradient(loss, layer(x), y)
        optimiser.zero_gradients()
        layer.backward(gradient)
        optimiser.step()
        losses.append(value)
        if tell is not None:
            tell(value)
    layer.release()
    return np.array(layer.weight[0, 0], np.float64), float(layer.bias[0]), losses


def _least_squares(x: Array, y: Array, counted: Array, size: tuple[int, int]) -> tuple[Array, float]:
    """Return the best kernel and constant, from the normal equations in 64 bits."""
    taps = size[0] * size[1] + 1
    square, right = np.zeros((taps, taps)), np.zeros(taps)
    middle = x.mean()
    for piece, aim, used in zip(x[:, 0] - middle, y[:, 0], counted[:, 0], strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(piece, size)[used].reshape(-1, taps - 1)
        rows = np.concatenate([windows, np.ones((len(windows), 1))], axis=1)
        square += rows.T @ rows
        right += rows.T @ aim[used]
    found = np.linalg.lstsq(square, right, rcond=None)[0]
    weight = found[:-1].reshape(size)
    return weight, float(found[-1] - middle * weight.sum())


def _windows(plane: Array, weight: Array) -> Array:
    """Correlate where the kernel fits within, in 64 bits."""
    rows, columns = (n - k + 1 for n, k in zip(plane.shape, weight.shape, strict=True))
    sums = np.zeros((rows, columns))
    for i, j in np.ndindex(*weight.shape):
        sums += float(weight[i, j]) * plane[i : i + rows, j : j + columns]
    return sums
