"""Large operands are not copied whole on the way, and small ones are not taken one by one."""

import tracemalloc

import numpy as np
import pytest

import striderule as sr
from striderule.algorithms.windows import convolution

MEGABYTE = 1 << 20


def beyond_the_result(call):
    """Return the most memory in use during a call, without its result, in bytes."""
    tracemalloc.start()
    try:
        result = call()
        return tracemalloc.get_traced_memory()[1] - result.nbytes
    finally:
        tracemalloc.stop()


floats = np.broadcast_to(np.float32(0.5), (16, 1024, 1024)).copy()  # 64 MiB
bytes_ = np.ones((4096, 4096), np.uint8)  # 16 MiB


@pytest.mark.parametrize(
    ("call", "megabytes"),
    [
        (lambda: sr.softmax(floats, 0), 16),
        (lambda: sr.log_softmax(floats, 1), 16),
        (lambda: sr.pad(floats, (1, 1, 1, 1), mode="reflect"), 8),
        (lambda: sr.conv_transpose2d(floats, np.ones((16, 1, 2, 2), np.float32), stride=2, groups=16), 40),
        (lambda: sr.conv2d(bytes_, np.ones((3, 3), np.uint8), padding=1), 16),
        (lambda: sr.conv2d(bytes_.reshape(16, 1024, 1024), np.ones((8, 16, 3, 3), np.uint8)), 48),
        (lambda: sr.filters.gaussian(floats, 1, axes=(1, 2)), 80),
    ],
)
def test_workspace_is_bounded(call, megabytes):
    assert beyond_the_result(call) < megabytes * MEGABYTE


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        (np.ones((16, 16, 3, 3), np.float32), {"padding": 1}),
        (np.ones((16, 1, 3, 3), np.float32), {"padding": 1, "groups": 16}),
    ],
)
def test_small_images_are_taken_together(monkeypatch, weight, words):
    steps = []
    extend = convolution.extend
    monkeypatch.setattr(convolution, "extend", lambda *args: (steps.append(1), extend(*args))[1])
    sr.conv2d(np.ones((256, 16, 8, 8), np.float32), weight, **words)
    assert len(steps) < 40


def test_what_taps_of_a_transposed_convolution_spread_is_one_product(monkeypatch):
    products = []
    matmul = convolution.chained_matmul
    monkeypatch.setattr(convolution, "chained_matmul", lambda *args: (products.append(1), matmul(*args))[1])
    sr.conv_transpose1d(np.ones((8, 4, 20), np.float32), np.ones((4, 2, 200), np.float32), stride=50)
    assert len(products) == 1
