"""How `fourier` cuts a signal: pure arithmetic on sizes, for the cost model and for the algorithm alike.

Overlap-save (Oppenheim and Schafer, Discrete-Time Signal Processing, section 8.7.3): a block of `length` inputs, its
transform multiplied by that of the taps, gives length - extent + 1 outputs; the others are wrapped around, and dropped.
Blocks overlap by extent - 1 inputs, where extent = (kernel - 1) * dilation + 1.
"""

from __future__ import annotations

from math import log2

from striderule.geometry.problem import Convolution

# Seconds that NumPy takes: a transform of float64 for each input and level (log2 of the length), a product of spectra
# for each input of a block, an input checked and copied, an operation.
LEVEL, PRODUCT, COPIED, OPERATION = 0.23e-9, 1.2e-9, 3e-9, 5e-6
# Bytes of the transformed taps, at most.
SPECTRA = 1 << 25
# The longest block: what is longer leaves the caches.
LONGEST = 1 << 16


def lengths(problem: Convolution) -> list[int]:
    """Return the lengths to choose from: powers of two, of which at least half of a block is outputs."""
    least = 1 << max(5, (2 * problem.extent[0] - 1).bit_length())
    whole = 1 << max(5, (problem.padded_size[0] - 1).bit_length())
    return [least << more for more in range(16) if more == 0 or least << more <= min(whole, LONGEST)]


def block_count(problem: Convolution, length: int) -> int:
    """Return how many blocks cover the outputs of an image."""
    return -(-problem.output_size[0] // (length - problem.extent[0] + 1))


def seconds(problem: Convolution, length: int) -> float:
    """Return the predicted time with blocks of a length."""
    blocks = problem.batch * block_count(problem, length)
    pairs = problem.out_channels * (problem.in_channels // problem.groups)
    channels = problem.in_channels + problem.out_channels
    transforms = (blocks * channels + pairs) * length * log2(length) * LEVEL
    products = blocks * pairs * length * PRODUCT
    copied = problem.batch * (
        problem.in_channels * problem.padded_size[0] + problem.out_channels * problem.output_size[0]
    )
    operations = pairs + problem.batch * (10 + problem.in_channels) + blocks * problem.in_channels
    return transforms + products + copied * COPIED + operations * OPERATION


def block_length(problem: Convolution) -> int:
    """Return the quickest length of blocks, for one image.

    >>> block_length(Convolution.from_shapes((1, 1, 480_000), (1, 1, 4001)))
    32768
    """
    return min(lengths(problem), key=lambda length: seconds(problem, length) if problem.batch else length)


def spectra_bytes(problem: Convolution) -> int:
    """Return the bytes of the transformed taps."""
    pairs = problem.out_channels * (problem.in_channels // problem.groups)
    return pairs * (block_length(problem) // 2 + 1) * 16


def error(length: int) -> float:
    """Return the bound of the error of a block's sums, as a part of the norm of inputs times that of taps.

    Each of the three transforms errs by no more than about a unit in the last place's half for every level (the average
    is far less: Schatzman, "Accuracy of the discrete Fourier transform and the fast Fourier transform", 1996).
    """
    return 3 * log2(length) * 2.0**-53
