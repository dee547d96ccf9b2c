"""Arrays in memory as users have it: other orders, gaps, turned axes; and between pages that cannot be touched."""

import ctypes
import mmap

import numpy as np


def other_memory(x, kind, channel=1):
    """Return the same values in another memory; `kind` is one of the numbers below `KINDS`."""
    if kind == 1 and x.ndim > channel:  # channels last
        return np.moveaxis(np.moveaxis(x, channel, -1).copy(), -1, channel)
    if kind == 2 and x.ndim:  # turned
        turned = (slice(None, None, -1),) * x.ndim
        return x[turned].copy()[turned]
    if kind == 3 and x.ndim:  # gaps
        wide = np.zeros([2 * n for n in x.shape], x.dtype)[(slice(None, None, 2),) * x.ndim]
        wide[...] = x
        return wide
    if kind == 4:
        return np.asfortranarray(x)
    if kind == 5 and x.nbytes:  # not aligned
        shifted = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
        shifted[...] = x
        return shifted
    return x


KINDS = 6


def channels_last(x):
    """Return equal values whose channels, axis 1, lie side by side."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


def guarded(values, *, before=False):
    """Return a copy that ends where, or with `before` begins where, a page begins or ends that cannot be touched."""
    size = max(values.nbytes, 1)
    pages = -(-size // mmap.PAGESIZE)
    room = mmap.mmap(-1, (pages + 2) * mmap.PAGESIZE)
    whole = np.frombuffer(room, np.uint8)
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    for page in (0, pages + 1):
        place = ctypes.c_void_p(whole.ctypes.data + page * mmap.PAGESIZE)
        assert protect(place, ctypes.c_size_t(mmap.PAGESIZE), 0) == 0
    start = mmap.PAGESIZE if before else (pages + 1) * mmap.PAGESIZE - values.nbytes
    copy = whole[start : start + values.nbytes].view(values.dtype).reshape(values.shape)
    copy[...] = values
    return copy


def standing(values, steps, *, before=False):
    """Return the values `steps` elements apart, against a page that cannot be touched; see `guarded`.

    Steps may be negative, and zero: then one of the values stands for all along that axis.
    """
    reach = [(n - 1) * step for n, step in zip(values.shape, steps, strict=True)]
    low, high = (sum(limit(end, 0) for end in reach) for limit in (min, max))
    room = guarded(np.full(high - low + 1, 7, values.dtype), before=before)
    strides = [step * values.itemsize for step in steps]
    view = np.ndarray(values.shape, values.dtype, room, -low * values.itemsize, strides)
    view[...] = values
    return view
