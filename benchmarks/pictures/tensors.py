"""PyTorch's ways: padding, then a convolution or a pooling of one channel; numbers become floats first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import striderule as sr
from benchmarks.pictures.jobs import Array, Job, waves

Call = Callable[[], Array]
MODES = {"mirror": "reflect", "wrap": "circular"}
# More taps than this take it seconds.
MOST = 200


def ways(torch: Any, job: Job, image: Array) -> dict[str, Call]:
    """Return PyTorch's ways to do the job by their names; none where it cannot."""
    if (
        job.boundary not in MODES
        or image.dtype == np.uint16
        or job.work not in ("correlate", "gaussian", "box", "bank")
    ):
        return {}
    kind = torch.float64 if job.result == "float64" else torch.float32
    x = torch.from_numpy(image)
    steps = _steps(torch, job, kind)
    if steps is None:
        return {}
    kernels, sizes = steps
    pads = [side for k in reversed(sizes) for side in (k // 2, k - 1 - k // 2)]
    functional, rank = torch.nn.functional, len(sizes)
    convolve = functional.conv3d if rank == 3 else functional.conv2d
    pool = functional.avg_pool3d if rank == 3 else functional.avg_pool2d

    def call() -> Array:
        with torch.inference_mode():
            y = functional.pad(x.to(kind)[None, None], pads, mode=MODES[job.boundary])
            if job.work == "box":
                y = pool(y, sizes, stride=1)
            for kernel in kernels:
                y = convolve(y, kernel)
            if job.result == "uint8":
                y = y.round_().clamp_(0, 255).to(torch.uint8)
            return np.asarray((y[0] if job.work == "bank" else y[0, 0]).numpy())

    return {"PyTorch": call}


def _steps(torch: Any, job: Job, kind: Any) -> tuple[list[Any], list[int]] | None:
    """Return the weights of the convolutions one after the other, and the size of the whole window."""
    rank = len(job.shape)
    if job.work == "box":
        size = int(job.argument)
        return ([], [size] * rank) if size**rank <= MOST else None
    if job.work == "bank":
        bank = np.stack(waves(job))
        return ([torch.from_numpy(bank)[:, None].to(kind)], list(bank.shape[1:])) if bank[0].size <= MOST else None
    if job.work == "correlate":
        if job.kernel.size > MOST:
            return None
        return [torch.from_numpy(job.kernel)[None, None].to(kind)], list(job.kernel.shape)
    profile = torch.from_numpy(sr.kernels.gaussian(job.number, ndim=1)).to(kind)
    if len(profile) > MOST:
        return None
    shapes = [[1, 1] + [len(profile) if i == axis else 1 for i in range(rank)] for axis in range(rank)]
    return [profile.reshape(shape) for shape in shapes], [len(profile)] * rank
