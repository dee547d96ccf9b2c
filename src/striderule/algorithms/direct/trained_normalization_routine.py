"""Batch normalisation in training with what stands around it, in the tile language: one routine each way.

y = activation(normalised x + residual), where the statistics of the batch move the running ones. Backward, the gradient
behind the activation is written while its sums are made, to where that of the residual belongs, or to where gx will
stand: from there it is read again. The arithmetic is that of `normalization_units_routine`, so the bits are, too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from striderule.algorithms.direct.activation import ACTIVATIONS
from striderule.algorithms.direct.activation_gradient import GRADIENTS
from striderule.algorithms.direct.normalization_units_routine import SIZES, Gradient, Normalized
from striderule.codegen.target import Target
from striderule.codegen.tile import FLOAT32, FLOAT64, Mask, Pointer, Routine, Size, Vector

POINTERS = ("x", "residual", "y", "weight", "bias", "running_mean", "running_var", "means", "factors")
NUMBERS = ("eps", "momentum")
GRADIENT_POINTERS = ("x", "gy", "y", "gz", "gx", "weight", "means", "factors", "plain", "products")


@dataclass(frozen=True, slots=True)
class Form:
    """What comes behind the normalisation: an activation without parameters, and before it a residual."""

    activation: str | None
    residual: bool

    def name(self, word: str) -> str:
        """What the routine that does `word` is called."""
        return "_".join([word, self.activation or "linear", *(["residual"] if self.residual else [])])


def forward_routine(form: Form, target: Target) -> str:
    """Return the routine of the result as LLVM IR."""
    name = form.name("trained_normalization")
    return _Forward(form, Routine(name, target, FLOAT32, pointers=POINTERS, sizes=SIZES, numbers=NUMBERS)).text()


def gradient_routine(form: Form, target: Target) -> str:
    """Return the routine of all gradients as LLVM IR."""
    name = form.name("trained_normalization_gradient")
    return _Backward(form, Routine(name, target, FLOAT32, pointers=GRADIENT_POINTERS, sizes=SIZES)).text()


class _Forward(Normalized):
    def __init__(self, form: Form, r: Routine) -> None:
        super().__init__(r, "float32")
        self.form = form

    def pivot(self, unit: Size, x: Pointer) -> Vector:  # noqa: ARG002 - of a channel, whose values begin at `x`
        """Return the first value of a channel, if that is a number."""
        r = self.r
        first = r.convert(r.broadcast(x), FLOAT64)
        return r.select(r.absolute(first).less(math.inf), first, first.like(0.0))

    def number(self, word: str, at: Size) -> Vector:
        """Return a number of a channel, in every lane."""
        return self.r.convert(self.r.broadcast(self.r.pointer(word, FLOAT32) + at), FLOAT64)

    def tell(self, unit: Size, mean: Vector, squares: Vector, count: Vector) -> None:
        """Write mean and 1 / sqrt(var + eps) of a channel, and move its running statistics."""
        r = self.r
        r.store_first(mean, r.pointer("means", FLOAT64) + unit)
        factor = mean.like(1.0) / r.square_root(squares / count + r.number("eps", FLOAT64))
        r.store_first(factor, r.pointer("factors", FLOAT64) + unit)
        share = r.number("momentum", FLOAT64)
        for word, value in (("running_mean", mean), ("running_var", squares / (count - 1.0))):
            moved = (share.like(1.0) - share) * self.number(word, unit) + share * value
            r.store_first(r.convert(moved, FLOAT32), r.pointer(word, FLOAT32) + unit)

    def finished(self, values: Vector, at: Size, mask: Mask | None) -> Vector:
        """Return the activation of values and residual."""
        r = self.r
        if self.form.residual:
            values = values + r.load(r.pointer("residual", FLOAT32) + at, mask)
        return values if self.form.activation is None else ACTIVATIONS[self.form.activation](r, values)


class _Backward(Gradient):
    numbers = FLOAT32

    def __init__(self, form: Form, r: Routine) -> None:
        super().__init__(r, "float32")
        self.form, self.kept = form, "gy" if form.activation is None else "gz"

    def gradient(self, start: Size, at: Size, rest: Size | None) -> Vector:
        """Return the gradient behind the activation, which is kept."""
        r = self.r
        if self.form.activation is None:
            return super().gradient(start, at, rest)
        mask = None if rest is None else r.first_lanes(rest)
        gy, y, gz = (r.pointer(word, FLOAT32) + start + at for word in ("gy", "y", "gz"))
        found = GRADIENTS[self.form.activation](r, r.load(y, mask), r.load(gy, mask))
        r.store(found, gz, mask)
        return r.convert(found, FLOAT64)
