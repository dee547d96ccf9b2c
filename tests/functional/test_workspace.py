"""Large operands are not copied whole on the way, and small ones are not taken one by one."""

import tracemalloc

import numpy as np
import pytest

import striderule as sr
from striderule.algorithms import memory
from striderule.algorithms.windows import convolution

MEGABYTE = 1 << 20


def beyond_the_result(call):
    """Return the most memory in use during a call, without that of its result, in bytes."""
    tracemalloc.start()
    try:
        result = call()
        # Memory of results is rounded up by up to an eighth, so that it can be used again.
        return tracemalloc.get_traced_memory()[1] - memory._rounded(result.nbytes)
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
def test_workspace_is_bounded(monkeypatch, call, megabytes):
    # Memory that waits to be used again would not be seen.
    monkeypatch.setattr(memory._waiting, "take", lambda _: None)
    monkeypatch.setattr(memory._waiting, "give", lambda _: None)
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
    sr.conv2d(np.ones((256, 16, 8, 8), np.float32), weight, **words, algorithm="windows")
    assert 0 < len(steps) < 40


def test_what_taps_of_a_transposed_convolution_spread_is_one_product(monkeypatch):
    products = []
    matmul = convolution.chained_matmul
    monkeypatch.setattr(convolution, "chained_matmul", lambda *args: (products.append(1), matmul(*args))[1])
    x, weight = np.ones((8, 4, 20), np.float32), np.ones((4, 2, 200), np.float32)
    sr.conv_transpose1d(x, weight, stride=50, algorithm="windows")
    assert len(products) == 1
