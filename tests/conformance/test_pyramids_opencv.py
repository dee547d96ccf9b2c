"""Pyramids with like="opencv" against cv2, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from striderule import filters

pytestmark = pytest.mark.conformance
cv2 = pytest.importorskip("cv2")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(16, 24), (15, 9), (7, 3), (33, 20, 3)])
def test_pyramids(dtype: Any, shape: tuple[int, ...]) -> None:
    image = (np.random.default_rng(5).random(shape) * 250).astype(dtype)
    if dtype is np.int16:
        image -= 100
    tolerance = 0 if np.issubdtype(dtype, np.integer) else 1e-4
    reduced = filters.pyramid_reduce(image, like="opencv")
    np.testing.assert_allclose(reduced, cv2.pyrDown(image), atol=tolerance)
    bordered = filters.pyramid_reduce(image, like="opencv", boundary="symmetric")
    np.testing.assert_allclose(bordered, cv2.pyrDown(image, borderType=cv2.BORDER_REFLECT), atol=tolerance)
    np.testing.assert_allclose(filters.pyramid_expand(image, like="opencv"), cv2.pyrUp(image), atol=tolerance)
    layers = filters.pyramid_gaussian(image, 1, like="opencv")
    np.testing.assert_array_equal(layers[1], reduced)
