"""Image filters written as plain loops, from the definition and nothing else: the oracle of the image tests."""

import itertools

import numpy as np


def outside(i, n, word):
    """Walk from pixel to pixel until the image is reached; None is the fill value."""
    while not 0 <= i < n:
        if word == "constant":
            return None
        if word == "edge":
            i = max(0, min(i, n - 1))
        elif word == "wrap":
            i += n if i < 0 else -n
        elif word == "symmetric":
            i = -1 - i if i < 0 else 2 * n - 1 - i
        elif n == 1:
            i = 0
        else:
            i = -i if i < 0 else 2 * (n - 1) - i
    return i


def sides_of(boundary, rank):
    """Return (before, after) words for each axis."""
    entries = (boundary,) * rank if isinstance(boundary, str) else boundary
    return [(entry, entry) if isinstance(entry, str) else tuple(entry) for entry in entries]


def windows(image, shape, *, flip, mode, boundary, stride, dilation, origin):
    """Yield (output index, [(tap, pixel index or None), ...]) for an image all of whose axes are filtered."""
    words = sides_of(boundary, image.ndim)
    starts = []
    for n, k, s, d, o in zip(image.shape, shape, stride, dilation, origin, strict=True):
        extent = d * (k - 1) + 1
        if mode == "same":  # position of the first tap slid
            first = -d * ((k - 1) // 2 - o) if flip else -d * (k // 2 + o)
            count = n
        elif mode == "full":
            first, count = 1 - extent, n + extent - 1
        else:
            first, count = 0, n - extent + 1
        starts.append([first + j for j in range(0, count, s)])
    for index in itertools.product(*(range(len(entry)) for entry in starts)):
        pairs = []
        for tap in itertools.product(*map(range, shape)):
            slid = tuple(k - 1 - t for t, k in zip(tap, shape, strict=True)) if flip else tap
            where = []
            for axis, (i, t) in enumerate(zip(index, slid, strict=True)):
                position = starts[axis][i] + t * dilation[axis]
                word = words[axis][0] if position < 0 else words[axis][1]
                where.append(outside(position, image.shape[axis], word))
            pairs.append((tap, None if None in where else tuple(where)))
        yield index, tuple(len(entry) for entry in starts), pairs


def looped(image, kernel, *, flip=False, mode="same", boundary="symmetric", fill=0, stride=1, dilation=1, origin=0):
    """Return the filtered image; every axis is filtered."""
    rank = image.ndim
    stride, dilation, origin = (
        tuple(value) if isinstance(value, tuple) else (value,) * rank for value in (stride, dilation, origin)
    )
    result = None
    settings = {"flip": flip, "mode": mode, "boundary": boundary}
    pixels, taps = image.astype(object), kernel.astype(object)
    for index, shape, pairs in windows(
        image, kernel.shape, stride=stride, dilation=dilation, origin=origin, **settings
    ):
        if result is None:
            result = np.zeros(shape, object)
        result[index] = sum(
            taps[tap] * (fill if where is None else pixels[where]) for tap, where in pairs if taps[tap] != 0
        )
    return result


def looped_with_gaps(image, kernel, missing, *, outside_missing=False, fill=0, mode="same", boundary="symmetric"):
    """Return the filter of the pixels that are not missing; a missing one counts as the mean of its window."""
    rank = image.ndim
    result = None
    one, none = (1,) * rank, (0,) * rank
    for index, shape, pairs in windows(
        image, kernel.shape, flip=False, mode=mode, boundary=boundary, stride=one, dilation=one, origin=none
    ):
        if result is None:
            result = np.zeros(shape)
        there, gone = [], []
        for tap, where in pairs:
            if kernel[tap] == 0:
                continue
            if outside_missing if where is None else missing[where]:
                gone.append(kernel[tap])
            else:
                there.append((kernel[tap], fill if where is None else float(image[where])))
        total = sum(w * x for w, x in there)
        if gone and there:
            mean = sum(abs(w) * x for w, x in there) / sum(abs(w) for w, _ in there)
            total += mean * sum(gone)
        result[index] = np.nan if gone and not there else total
    return result
