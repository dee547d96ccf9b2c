"""An image, colours last, and one kernel for all its channels, with the mirror at the border."""

from __future__ import annotations

import numpy as np

import striderule as sr
from benchmarks.shapes import Shape
from benchmarks.ways.contest import OURS, Contest, Setting, Way, operands, ours


def contest(shape: Shape, setting: Setting) -> Contest:
    """Return the contest of a filter: us, SciPy and OpenCV."""
    x, weight = operands(shape)
    grey = shape.channels[0] == 1
    image = x[0, 0] if grey else np.ascontiguousarray(np.moveaxis(x[0], 0, -1))
    kernel, axis = weight[0, 0], None if grey else -1
    axes = kernel if grey else kernel[..., None]
    found = {OURS: ours(setting, sr.correlate, image, kernel, boundary="mirror", channel_axis=axis)}
    ndimage, cv2 = setting.peers.get("scipy.ndimage"), setting.peers.get("cv2")
    if ndimage is not None:
        done = np.empty_like(image)
        found["SciPy"] = Way(lambda: ndimage.correlate(image, axes, output=done, mode="mirror"), lambda _: done)
    if cv2 is not None:
        out = np.empty_like(image)
        found["OpenCV"] = Way(lambda: cv2.filter2D(image, -1, kernel, dst=out, borderType=cv2.BORDER_REFLECT_101))
    wide = image.astype(np.float64), kernel.astype(np.float64)
    exact = sr.correlate(*wide, boundary="mirror", channel_axis=axis, algorithm="windows")
    return Contest(found, exact)
