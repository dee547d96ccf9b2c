"""The curve of an activation function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from striderule.errors import InvalidArgument, InvalidType
from striderule.figures.canvas import BLUE, FAINT, FONT, INK, PAPER, Sheet, SheetAxes, check_axes, heading, ink

# Those of one argument; prelu needs its slope, softmax an axis.
NAMES = (
    "celu", "elu", "gelu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "logsigmoid", "mish", "relu", "relu6",
    "selu", "sigmoid", "silu", "softplus", "softsign", "tanh", "tanhshrink",
)  # fmt: skip
POINTS_DRAWN = 801


def activation(
    function: str | Callable[[NDArray[Any]], Any],
    *,
    limits: Sequence[float] = (-5.0, 5.0),
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw an activation function.

    Parameters
    ----------
    function
        The name of one, such as "relu", or a function from an array to an array of the same shape.
    limits
        The first and the last argument.
    ax
        The Axes to draw into; by default one in a new Figure.
    title
        Written above; by default the name of the function.

    Returns
    -------
    Axes
        Its last line is the curve.

    Raises
    ------
    InvalidArgument, InvalidType
        For unknown names, limits that do not increase, and functions that change the shape.

    Examples
    --------
    >>> ax = activation(np.abs, limits=(-2, 2))
    >>> ax.get_title(), float(ax.lines[-1].get_ydata().max())
    ('absolute', 2.0)
    """
    check_axes(ax)
    curve, name = _callable(function)
    low, high = _limits(limits)
    x = np.linspace(low, high, POINTS_DRAWN)
    y = np.asarray(curve(x))
    if y.shape != x.shape:
        raise InvalidArgument(f"function must keep the shape of its argument, got {y.shape} from {x.shape}")
    if ax is None:
        figure = Sheet(figsize=(3.4, 2.6), facecolor=PAPER)
        ax = figure.add_axes((0.12, 0.12, 0.83, 0.74), axes_class=SheetAxes, facecolor=PAPER)
    for line in (ax.axhline, ax.axvline):
        line(0, color=FAINT, linewidth=0.9)
    ax.plot(x, y, color=BLUE if ink(ax) == INK else "#6fb3e8", linewidth=2.2)
    ax.set_xlim(low, high)
    for side in ("top", "right", "left", "bottom"):
        ax.spines[side].set_visible(False)
    ax.tick_params(labelsize=8, color=FAINT, labelcolor=ink(ax), labelfontfamily=FONT)
    heading(ax, name if title is None else title)
    return ax


def _callable(function: Any) -> tuple[Callable[[Any], Any], str]:
    """Return the function and what it is called."""
    if isinstance(function, str):
        if function not in NAMES:
            raise InvalidArgument(
                f"function must be one of {', '.join(NAMES)}, got {function!r}; of others pass the function itself, "
                "such as lambda x: x * x"
            )
        return getattr(import_module("striderule.functional.activation"), function), function
    if not callable(function):
        raise InvalidType(f"function must be a name or a function, got {function!r}")
    return function, str(getattr(function, "__name__", "")).replace("<lambda>", "")


def _limits(limits: Any) -> tuple[float, float]:
    try:
        low, high = (float(limit) for limit in limits)
    except (TypeError, ValueError):
        raise InvalidArgument(f"limits must be two numbers, the first and the last argument, got {limits!r}") from None
    if not (np.isfinite([low, high]).all() and low < high):
        raise InvalidArgument(f"limits must be two finite numbers that increase, got {(low, high)}")
    return low, high
