"""Image correlations bound to arrays that stand alike: what later calls of an image function go straight to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from striderule.algorithms import table
from striderule.algorithms.images.terms import Terms
from striderule.functional.recipes import Recipe, awaited, clear_of, offer
from striderule.geometry.problem import Convolution
from striderule.planning import Plan

Array = npt.NDArray[Any]
Ints = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Filtered(Recipe):
    """An algorithm bound to an image and its result, whose axes it sees in another order: `order`, `back` from it.

    Without an order it sees them as they are.
    """

    bound: Any
    order: Ints | None
    back: Ints | None
    roles: ClassVar[tuple[str, ...]] = ("image", "out")

    def perform(self, *arrays: Any) -> Any:
        """Return the result, or None where that takes more."""
        return self.run(*arrays)

    def run(self, *arrays: Any) -> Any:
        """Return the result, or None where the call must be checked anew."""
        image, out = arrays[0], arrays[-1]
        if not image.flags.aligned or not (out is None or (clear_of(out, *arrays[:-1]) and out.flags.aligned)):
            return None
        if self.order is None:
            return self.bound.run(image, out)
        target = None if out is None else out.transpose(self.order)
        result = self.bound.run(image.transpose(self.order), target)
        return result if result is None else self.seen(result) if out is None else out

    def seen(self, result: Any) -> Any:
        """Return a result with its axes in the image's order."""
        return result.transpose(self.back)


class Correlated(Filtered):
    """The same where the kernel is an argument: who finds this has looked at its values."""

    roles: ClassVar[tuple[str, ...]] = ("image", "kernel", "out")
    __slots__ = ()


class Several(Filtered):
    """The same with a tuple of results."""

    __slots__ = ()

    def seen(self, result: Any) -> Any:
        """Return the results with their axes in the image's order."""
        return tuple(one.transpose(self.back) for one in result)


def offered(
    kind: type[Filtered] | None,
    plan: Plan,
    operands: tuple[Convolution, Array, Array | Terms, Any],
    axes: Ints,
    image: Array,
    out: Array | None,
    *,
    results: tuple[str, ...] | None = None,
) -> Any:
    """Offer the planned algorithm bound to arrays like these, and return what it gives; None where it is not bound.

    The operands are those of the algorithm's ``stencil`` (its ``together``, with `results`), which sees `axes` of image
    and out as the last ones. Without a `kind` nothing is offered.
    """
    if kind is None or not awaited():
        return None
    bind = getattr(table.family("stencil", plan.algorithm), "bound_for", None)
    if bind is None or (isinstance(operands[2], Terms) and plan.algorithm != "separable"):
        return None
    words = {"results": results} if results is not None else table.in_variant(plan.variant)
    order = [axis for axis in range(image.ndim) if axis not in axes] + list(axes)
    bound = bind(*operands, None if out is None else out.transpose(order), **words)
    if bound is None:
        return None
    same = order == sorted(order)
    recipe = kind(bound, None if same else tuple(order), None if same else tuple(int(i) for i in np.argsort(order)))
    offer(recipe)
    return recipe.perform(image, out)
