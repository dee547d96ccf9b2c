"""Batch normalisation in training with residual and activation, forward and backward in one call of code each."""

from __future__ import annotations

from array import array
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.direct import giving_way, proof
from striderule.algorithms.direct.native import Call
from striderule.algorithms.direct.normalization_units import cut_of
from striderule.algorithms.direct.trained_normalization_routine import (
    GRADIENT_POINTERS,
    POINTERS,
    Form,
    forward_routine,
    gradient_routine,
)
from striderule.algorithms.windows import trained_normalization as windows
from striderule.codegen.target import Target, current

Array = npt.NDArray[Any]
Ints = tuple[int, ...]
# Activations that can stand behind; what they cut off is seen in their result.
ACTIVATIONS = ("relu", "relu6")


class Trained(NamedTuple):
    """The calls for arrays of one shape, of float32, that are contiguous."""

    shape: Ints
    activation: str | None
    onward: Call
    back: Call

    def forward(
        self, x: Array, residual: Array | None, weight: Array | None, bias: Array | None,
        running_mean: Array | None, running_var: Array | None,
    ) -> tuple[Array, Array]:  # fmt: skip
        """Return activation(normalised x + residual), and mean and 1 / sqrt(var + eps) of the channels in float64.

        The numbers of channels are float32 and contiguous. The running ones, both or none, are moved.
        """
        result, statistics = memory.empty(self.shape, np.float32), np.empty((2, self.shape[1]))
        self.onward.run(
            x, residual, result, weight, bias, running_mean, running_var, statistics[0], statistics[1]
        )  # fmt: skip
        return result, statistics

    def backward(
        self, x: Array, gy: Array, y: Array, weight: Array | None, statistics: Array, *, apart: bool
    ) -> tuple[Array, Array, Array, Array]:
        """Return the gradients of x, weight, bias and, if it is wanted `apart`, of the residual; else some array."""
        gx, sums = memory.empty(self.shape, np.float32), np.empty((2, self.shape[1]), np.float32)
        gz = gy if self.activation is None else memory.empty(self.shape, np.float32) if apart else gx
        self.back.run(x, gy, y, gz, gx, weight, statistics[0], statistics[1], sums[0], sums[1])
        return gx, sums[1], sums[0], gz


def bound(shape: Ints, activation: str | None, residual: bool, eps: float, momentum: float) -> Trained | None:
    """Return what computes arrays of a shape; None where lines of channels do better, or there is no machine code."""
    return giving_way.attempt(_bound, shape, activation, residual, eps, momentum, current())


@lru_cache(maxsize=256)
def _bound(
    shape: Ints, activation: str | None, residual: bool, eps: float, momentum: float, target: Target
) -> Trained | None:
    cut = cut_of(shape, "f", None)
    if cut is None:
        return None
    form, channels = Form(activation, residual), shape[1]

    def trial() -> bool:
        words = (np.zeros(shape, np.float32), *[np.zeros(channels, np.float32)] * 2, activation, residual)
        return proof.agree(_both_ways, windows.both_ways, *words)

    name, back_name = form.name("trained_normalization"), form.name("trained_normalization_gradient")
    routine = proof.compiled(name, form, lambda: forward_routine(form, target), target, trial)
    back_routine = proof.compiled(back_name, form, lambda: gradient_routine(form, target), target, trial)
    bits = (int(np.float64(value).view(np.int64)) for value in (eps, momentum))
    onward = cut.call(routine.address, len(POINTERS), *bits)
    back = cut.call(back_routine.address, len(GRADIENT_POINTERS))
    # What stands for numbers that are not given: ones, zeros, and what is moved for nobody.
    ones, zeros, idle = np.ones(channels, np.float32), np.zeros(channels, np.float32), np.zeros((2, channels), "f")
    _stand(onward, POINTERS, weight=ones, bias=zeros, running_mean=idle[0], running_var=idle[1])
    _stand(back, GRADIENT_POINTERS, weight=ones)
    onward.kept = back.kept = ones, zeros, idle
    return Trained(shape, activation, onward, back)


def _stand(call: Call, pointers: tuple[str, ...], **arrays: Array) -> None:
    words: array[int] = call.words
    for word, one in arrays.items():
        words[pointers.index(word)] = memory.address(one)


def _both_ways(x: Array, weight: Array, bias: Array, activation: str | None, residual: bool) -> tuple[Array, ...]:
    """Return result, statistics and gradients where the gradient of the result is x turned around."""
    found = bound(x.shape, activation, residual, 4.0, 0.5)
    assert found is not None  # a trial of it runs
    y, statistics = found.forward(x, x if residual else None, weight, bias, None, None)
    gx, gweight, gbias, gz = found.backward(x, x[::-1].copy(), y, weight, statistics, apart=True)
    return y, statistics, gx, gweight, gbias, gz
