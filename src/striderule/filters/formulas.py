"""What a call of a filter comes to, noted on its way (`striderule.functional.tracing`) for its gradient: `adjoints`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from striderule.filters.passes import Operator
    from striderule.filters.pyramids import Step
    from striderule.filters.request import Array, Request


class Formula:
    """What a result is made of; its request holds the image."""


@dataclass(frozen=True)
class Linear(Formula):
    """The sum of what operators give, each times its factor, and of the image times `identity`.

    A missing pixel of that image is what the first operator gives for it.
    """

    operators: tuple[Operator, ...]
    factors: tuple[float, ...] = (1.0,)
    identity: float = 0.0


@dataclass(frozen=True)
class Length(Formula):
    """The root of the sum of the squares of what operators give."""

    operators: tuple[Operator, ...]


@dataclass(frozen=True)
class Tensor(Formula):
    """The first element of a structure tensor, or the corner measure that it gives: its formula, k and eps."""

    slopes: tuple[Operator, ...]
    blur: tuple[Array, ...]
    response: tuple[str, float, float] | None = None


@dataclass(frozen=True)
class Deviations(Formula):
    """The variance of the elements under a window, or its root."""

    request: Request
    sizes: tuple[int, ...]
    root: bool


@dataclass(frozen=True)
class Resampled(Formula):
    """A step along every axis, which gives so many elements."""

    request: Request
    steps: tuple[Step, ...]
    size: tuple[int, ...]


@dataclass(frozen=True)
class Coefficients(Formula):
    """The coefficients of correlation of a template and the windows that it lies on."""

    request: Request
    template: Array
    pad_input: bool
