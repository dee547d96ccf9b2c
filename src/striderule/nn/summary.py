"""A model as a table, without computing it: what each layer makes, holds, costs and sees, and how it is computed."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from striderule.functional.planned import Array, noting, typical
from striderule.functional.precision import Standing, standing, under
from striderule.geometry.problem import Convolution, LocalConvolution, TransposedConvolution
from striderule.nn.layer import Layer
from striderule.planning import Plan

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sight:
    """What an output sees: its receptive field on each axis, and how far neighbours lie apart, in input positions."""

    size: tuple[Fraction, ...]
    step: tuple[Fraction, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One layer: shapes, numbers of parameters and multiply-adds, bytes that must be moved, what an output sees.

    `sees` is the size of the receptive field, the largest where outputs differ; empty where it is the whole input.
    `algorithm` is empty where nothing is planned.
    """

    name: str
    kind: str
    input_shape: Shape
    output_shape: Shape
    parameters: int
    multiply_adds: int
    bytes: int
    sees: Shape
    algorithm: str


@dataclass(frozen=True, slots=True)
class Summary:
    """What `summary` found. Printing it shows a table; ``rows`` and ``to_dict()`` are the data."""

    model: str
    rows: tuple[Row, ...]
    parameters: int
    trained: int

    @property
    def multiply_adds(self) -> int:
        """Of all layers."""
        return sum(row.multiply_adds for row in self.rows)

    @property
    def bytes(self) -> int:
        """Moved by all layers at least."""
        return sum(row.bytes for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data."""
        totals = {name: getattr(self, name) for name in ("parameters", "trained", "multiply_adds", "bytes")}
        return {"model": self.model, "rows": [asdict(row) for row in self.rows], **totals}

    def __str__(self) -> str:
        """Return the table."""
        head = ("layer", "kind", "output", "parameters", "multiply-adds", "bytes", "sees", "algorithm")
        lines = [
            (
                row.name, row.kind, _times(row.output_shape), f"{row.parameters:,}", f"{row.multiply_adds:,}",
                _bytes(row.bytes), _times(row.sees) or "all", row.algorithm or "-",
            )
            for row in self.rows
        ]  # fmt: skip
        total = ("total", "", "", f"{self.parameters:,}", f"{self.multiply_adds:,}", _bytes(self.bytes), "", "")
        widths = [max(len(line[place]) for line in (head, *lines, total)) for place in range(len(head))]
        rule = "-" * (sum(widths) + 2 * len(widths) - 2)
        shown = [_line(head, widths), rule, *(_line(line, widths) for line in lines), rule, _line(total, widths)]
        frozen = self.parameters - self.trained
        if frozen:
            shown.append(f"{frozen:,} of the parameters are frozen")
        return "\n".join([self.model, *shown])


def _line(entries: tuple[str, ...], widths: list[int]) -> str:
    """Return a line of the table; numbers end below each other."""
    numbers = (3, 4, 5)
    padded = [
        entry.rjust(width) if place in numbers else entry.ljust(width)
        for place, (entry, width) in enumerate(zip(entries, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()


def summary(model: Layer, input_shape: tuple[int, ...], *, dtype: Any = "float32") -> Summary:
    """Describe a model layer by layer, for inputs of a shape. Nothing is computed.

    Parameters
    ----------
    model
        A layer.
    input_shape
        Of the input, with its batch axis: (batch, channels, *spatial).
    dtype
        Its type. Default: float32.

    Returns
    -------
    Summary
        Printing it shows a table: the shape of each layer's output, parameters, multiply-adds, the bytes that must be
        moved at least (input, parameters and output once), the receptive field in pixels of the input, and the
        algorithm that is chosen where weights are packed. ``.rows`` and ``.to_dict()`` are the same as data.

    Raises
    ------
    InvalidArgument, InvalidType
        What the model itself would raise for such an input.

    Examples
    --------
    >>> from striderule import nn
    >>> model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(8, 4, 3))
    >>> found = summary(model, (1, 3, 32, 32))
    >>> [(row.output_shape, row.multiply_adds, row.sees) for row in found.rows]
    [((1, 8, 32, 32), 221184, (3, 3)), ((1, 8, 16, 16), 0, (4, 4)), ((1, 4, 14, 14), 56448, (8, 8))]
    >>> found.parameters
    516
    """
    x = typical(Array(tuple(input_shape), dtype))
    itself = (Fraction(1),) * max(0, x.ndim - 2)
    held_here = Standing(standing().precision, packed=True)
    with _evaluating(model), under(held_here), noting() as plans, _watched(model, _Watch(plans)) as watch:
        watch.see(x, Sight(itself, itself))
        model.forward(x)
    held = {id(one): one for one in model.all_held().values() if not one.buffer}.values()
    trained = sum(one.value.size for one in held if one.trained)
    return Summary(type(model).__name__, tuple(watch.rows), sum(one.value.size for one in held), trained)


@contextlib.contextmanager
def _evaluating(model: Layer) -> Iterator[None]:
    """Let layers be in evaluation mode, and put each back into its own."""
    modes = [(layer, layer.training) for _, layer in model.layers()]
    for layer, _ in modes:
        layer.training = False
    try:
        yield
    finally:
        for layer, mode in modes:
            layer.training = mode


@dataclass
class _Watch:
    """What passes through the layers: plans, rows, and what arrays see of the input."""

    plans: list[Plan]
    rows: list[Row] = field(default_factory=list)
    # By the identity of an array, which is kept so that no other gets it; None sees everything.
    sights: dict[int, tuple[Any, Sight | None]] = field(default_factory=dict)
    # The layers under way, outermost first: what their inputs see, the shapes of these, plans and arrays before.
    under_way: list[tuple[Sight | None, Shape, int, int]] = field(default_factory=list)

    def see(self, x: Any, sight: Sight | None) -> None:
        """Keep what an array sees."""
        self.sights[id(x)] = (x, sight)

    def passed(self, name: str, layer: Layer, x: Any) -> Any:
        """Run a layer, and keep what there is to tell of it."""
        known = self.sights[id(x)][1] if id(x) in self.sights else self._between(x.shape)
        before, first, count = len(self.plans), len(self.sights), len(self.rows)
        self.under_way.append((known, x.shape, before, first))
        y = type(layer).forward(layer, x)
        if len(self.rows) == count or layer.held():
            self.rows.insert(count, self._row(name, layer, x, y, self.plans[before:], known))
        if id(y) not in self.sights:
            self.see(y, self._between(y.shape))
        self.under_way.pop()
        return y

    def _between(self, shape: Shape) -> Sight | None:
        """Return what an array sees that no layer gave: it was made inside the innermost layer under way."""
        if not self.under_way:
            return None
        known, before, plans, sights = self.under_way[-1]
        inner = [sight for _, sight in list(self.sights.values())[sights:]]
        return _widest([known, *inner]) if inner else _after(known, before, shape, self.plans[plans:])

    def _row(self, name: str, layer: Layer, x: Any, y: Any, plans: list[Plan], known: Sight | None) -> Row:
        # What a layer that it is made of does is in rows of its own.
        inner = sum(1 for child in layer.children().values() for _ in child.layers())
        plans = plans[: len(plans) - inner] if inner and len(plans) > inner else plans
        held = [one.value for one in layer.held().values() if one is not None]
        sight = _after(known, x.shape, y.shape, plans)
        # Rows of zeros that fill up the products of linear layers do not count.
        flat = bool(held) and held[0].ndim == 2
        adds = sum(plan.work.operations for plan in plans if _multiplies(plan.problem))
        adds = y.size // y.shape[-1] * held[0].size if flat else adds
        return Row(
            name or type(layer).__name__,
            type(layer).__name__,
            tuple(x.shape),
            tuple(y.shape),
            sum(one.value.size for one in layer.held().values() if one is not None and not one.buffer),
            adds,
            x.nbytes + y.nbytes + sum(value.nbytes for value in held),
            () if sight is None else tuple(math.ceil(size) for size in sight.size),
            ", ".join(dict.fromkeys(plan.chosen.label for plan in plans)),
        )


@contextlib.contextmanager
def _watched(model: Layer, watch: _Watch) -> Iterator[_Watch]:
    """Let every layer's forward be seen; afterwards layers are as before."""
    found = list(model.layers())
    try:
        for name, layer in found:
            vars(layer)["forward"] = lambda x, name=name, layer=layer: watch.passed(name, layer, x)
        yield watch
    finally:
        for _, layer in found:
            vars(layer).pop("forward", None)


def _multiplies(problem: Any) -> bool:
    return isinstance(problem, Convolution | TransposedConvolution | LocalConvolution)


def _widest(sights: list[Sight | None]) -> Sight | None:
    """Return the largest field of several ways, which end with one step."""
    known = [sight for sight in sights if sight is not None]
    if len(known) < len(sights) or len({len(sight.size) for sight in known}) != 1:
        return None
    axes = range(len(known[0].size))
    return Sight(
        tuple(max(sight.size[axis] for sight in known) for axis in axes),
        tuple(max(sight.step[axis] for sight in known) for axis in axes),
    )


def _after(sight: Sight | None, before: Shape, after: Shape, plans: list[Plan]) -> Sight | None:
    """Return what is seen through a layer: by its windows, else by what became of the sizes."""
    if sight is None or len(after) != len(before) or len(before) - 2 != len(sight.size):
        return None
    windows = [plan.problem for plan in plans if len(getattr(plan.problem, "kernel", ())) == len(sight.size)]
    for problem in windows:
        sight = _through(sight, problem)
    if windows:
        return sight
    pairs = list(zip(before[2:], after[2:], strict=True))
    # Windows of adaptive pooling have up to ceil(n / m) + 1 positions, or n / m where that is whole.
    grown = [0 if n == m else n // m - 1 if n % m == 0 else -(-n // m) if n > m else 1 for n, m in pairs]
    size = tuple(s + more * step for s, more, step in zip(sight.size, grown, sight.step, strict=True))
    return Sight(size, tuple(step * Fraction(n, m) for step, (n, m) in zip(sight.step, pairs, strict=True)))


def _through(sight: Sight, problem: Any) -> Sight:
    """Return what is seen through the windows of a problem."""
    axes = len(sight.size)
    stride = getattr(problem, "stride", (1,) * axes)
    dilation = getattr(problem, "dilation", (1,) * axes)
    extent = [(k - 1) * d + 1 for k, d in zip(problem.kernel, dilation, strict=True)]
    if isinstance(problem, TransposedConvolution):
        extent = [-(-e // s) for e, s in zip(extent, stride, strict=True)]
        steps = [step / s for step, s in zip(sight.step, stride, strict=True)]
    else:
        steps = [step * s for step, s in zip(sight.step, stride, strict=True)]
    size = [s + (e - 1) * step for s, e, step in zip(sight.size, extent, sight.step, strict=True)]
    return Sight(tuple(size), tuple(steps))


def _times(shape: Shape) -> str:
    return "x".join(map(str, shape))


def _bytes(count: int) -> str:
    """Return a number of bytes with three digits.

    >>> _bytes(1_234_567)
    '1.23 MB'
    """
    units = ("B", "kB", "MB", "GB", "TB")
    place = min(len(units) - 1, int(math.log10(max(count, 1))) // 3)
    value = np.format_float_positional(count / 1000**place, 3, fractional=False, trim="-")
    return f"{value} {units[place]}"
