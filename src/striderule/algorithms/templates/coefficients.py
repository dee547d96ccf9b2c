"""Correlation coefficients on generated code: the call of `routine`."""

from __future__ import annotations

import math
from array import array
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.direct import giving_way, proof
from striderule.algorithms.templates.routine import LINES, NUMBERS, POINTERS, SIZES, Form, coefficients_routine
from striderule.codegen import workers
from striderule.codegen.target import current

Array = npt.NDArray[Any]

# Rows of a task, unless the window is higher: rows that a task reads beside its own are no more than its own. Columns.
BAND, STRIP = 64, 512
# The elements of images that are served.
SERVED = frozenset(
    ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")
)
SLACK = 16


def coefficients(
    x: Array,
    products: Array,
    window: tuple[int, int],
    total: float,
    power: float,
    middle: float,
    noise: float,
    floor: float,
) -> bool:
    """Replace sums of products by correlation coefficients; tell whether there was generated code to do it.

    Parameters
    ----------
    x : ndarray of two axes, rows of elements side by side
        The image, extended where windows reach beyond it: products.shape[axis] + window[axis] - 1 elements an axis.
    products : ndarray of two axes, likewise
        The sums of products of every window with the template, or with another that is off by a constant: float32,
        float64, or int32, in whose place float32 is written.
    window : (int, int)
        The template's size.
    total, power : float
        The sum of what the windows were multiplied with, and the sum of squares of its deviations from its mean.
    middle : float
        A number near the image's elements, which is taken from them before they are squared.
    noise, floor : float
        A window counts as constant if its squared deviations are at most `noise` of its sum of squares, or the product
        of both norms is at most `floor`; its coefficient is 0.
    """
    if x.dtype.name not in SERVED or not x.dtype.isnative:
        return False
    form = Form(x.dtype.name, products.dtype.name)
    routine = giving_way.attempt(_compiled, form)
    if routine is None:
        return False
    (height, width), count = products.shape, math.prod(window)
    strip, band = min(width, STRIP), min(height, max(BAND, window[0]))
    line = (strip + window[1] + 2 * SLACK) // SLACK * SLACK
    strips, bands, threads = -(-width // strip), -(-height // band), workers.get_num_threads()
    work = memory.room("templates", 8 * threads * LINES * line)
    flags = array("q", bytes(8 * threads))
    sizes = {
        "height": height, "width": width, "x_row": x.strides[0], "y_row": products.strides[0], "rows": window[0],
        "columns": window[1], "band": band, "strip": strip, "strips": strips, "line": line, "room": LINES * line,
        "threads": threads,
    }  # fmt: skip
    addresses = {
        "x": memory.address(x), "y": memory.address(products), "work": work.address, "flags": flags.buffer_info()[0],
    }  # fmt: skip
    numbers = {
        "middle": middle, "total": total, "share": 1.0 / count, "power": power, "noise": noise, "floor": floor,
    }  # fmt: skip
    bits = np.array([numbers[word] for word in NUMBERS], np.float64).view(np.int64).tolist()
    words = array("q", (*(addresses[word] for word in POINTERS), *(sizes[word] for word in SIZES), *bits))
    workers.run(routine.address, words.buffer_info()[0], strips * bands)
    return True


def _compiled(form: Form) -> Any:
    target = current()
    return proof.compiled(form.name, form, lambda: coefficients_routine(form, target), target, lambda: _agrees(form))


def _agrees(form: Form) -> bool:
    """Compare the routine with NumPy on a small drawn image."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (30, 40)).astype(form.source)
    template = rng.integers(-4, 5, (5, 7)).astype(np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), template.shape)
    products = (windows * template).sum(axis=(2, 3)).astype(form.products)
    rest = template - template.mean()
    power = float((rest * rest).sum())
    expected = (windows * rest).sum(axis=(2, 3)) / np.sqrt(windows.var(axis=(2, 3)) * template.size * power)
    done = coefficients(x, products, (5, 7), float(template.sum()), power, 0.0, 1e-13, 0.0)
    got = products.view(np.float32) if form.products == "int32" else products
    return done and bool(np.allclose(got, expected, atol=1e-5))
