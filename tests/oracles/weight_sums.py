"""Gradients with respect to weights in float64, and how near those of routines must be."""

from dataclasses import replace

import numpy as np

from striderule.algorithms.windows import weight_gradient as windows
from striderule.geometry.gradients import weight_gradient


def exact_sums(problem, x, gy):
    """Return the gradient in float64, and that of the magnitudes."""
    wide = [one.astype(np.float64) for one in (x, gy)]
    gradient = weight_gradient(replace(problem, dtype="float64"))
    return windows.weight_gradient(gradient, *wide), windows.weight_gradient(gradient, *map(np.abs, wide))


def close(got, problem, x, gy):
    """Compare with sums in float64, in units of the sums of the magnitudes."""
    expected, magnitudes = exact_sums(problem, x, gy)
    assert got.dtype == problem.dtype
    assert got.shape == weight_gradient(problem).output_shape
    assert (np.abs(got - expected) <= 40 * np.finfo(problem.dtype).eps * magnitudes).all()
