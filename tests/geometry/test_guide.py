"""The relations of Dumoulin and Visin, "A guide to convolution arithmetic for deep learning" (arXiv:1603.07285).

Each test is named after a relation, writes its formula down as the guide does, and compares over ranges of the input
size i, kernel size k, stride s and padding p. Primes (i', k', s', p', o') are those of the transposed convolution.
"""

from itertools import product

import pytest

from striderule.errors import InvalidArgument
from striderule.geometry import dilated_extent, output_size, pool_output_size, transposed_output_size

SIZES = range(1, 16)
KERNELS = range(1, 8)
STRIDES = range(1, 6)
PADDINGS = range(5)


def counted(i, k, s=1, p=0, d=1):
    """Count the positions of a window that slides over an array of length i with p positions added to both sides."""
    reach = max(t * d for t in range(k))
    return sum(1 for start in range(0, i + 2 * p, s) if start + reach < i + 2 * p)


def fitting(*ranges):
    """Yield (i, k, s, p) for which the kernel fits the padded input."""
    return ((i, k, s, p) for i, k, s, p in product(*ranges) if i + 2 * p >= k)


def test_relation_1_no_zero_padding_unit_strides():
    for i, k, _, _ in fitting(SIZES, KERNELS, [1], [0]):
        assert output_size(i, k) == (i - k) + 1 == counted(i, k)


def test_relation_2_zero_padding_unit_strides():
    for i, k, _, p in fitting(SIZES, KERNELS, [1], PADDINGS):
        assert output_size(i, k, padding=p) == (i - k) + 2 * p + 1 == counted(i, k, p=p)


def test_relation_3_half_or_same_padding():
    for i, n in product(SIZES, range(4)):
        k = 2 * n + 1
        assert output_size(i, k, padding=k // 2) == i == counted(i, k, p=k // 2)


def test_relation_4_full_padding():
    for i, k in product(SIZES, KERNELS):
        assert output_size(i, k, padding=k - 1) == i + (k - 1) == counted(i, k, p=k - 1)


def test_relation_5_no_zero_padding_non_unit_strides():
    for i, k, s, _ in fitting(SIZES, KERNELS, STRIDES, [0]):
        assert output_size(i, k, s) == (i - k) // s + 1 == counted(i, k, s)


def test_relation_6_zero_padding_non_unit_strides():
    for i, k, s, p in fitting(SIZES, KERNELS, STRIDES, PADDINGS):
        assert output_size(i, k, s, p) == (i + 2 * p - k) // s + 1 == counted(i, k, s, p)


def test_relation_7_pooling():
    for i, k, s, _ in fitting(SIZES, KERNELS, STRIDES, [0]):
        assert pool_output_size(i, k, s) == (i - k) // s + 1 == counted(i, k, s)


def test_relation_8_transposed_no_zero_padding_unit_strides():
    for i, k, _, _ in fitting(SIZES, KERNELS, [1], [0]):
        o = output_size(i, k)
        # k' = k, s' = s, p' = k - 1
        assert transposed_output_size(o, k) == output_size(o, k, padding=k - 1) == o + (k - 1) == i


def test_relation_9_transposed_zero_padding_unit_strides():
    for i, k, _, p in fitting(SIZES, KERNELS, [1], PADDINGS):
        o = output_size(i, k, padding=p)
        # k' = k, s' = s, p' = k - p - 1, which crops where it is negative
        assert transposed_output_size(o, k, padding=p) == o + (k - 1) - 2 * p == i
        assert output_size(o, k, padding=k - p - 1) == i


def test_relation_10_transposed_half_or_same_padding():
    for i, n in product(SIZES, range(4)):
        k = 2 * n + 1
        # k' = k, s' = s, p' = p
        assert transposed_output_size(i, k, padding=n) == i + (k - 1) - 2 * n == i == output_size(i, k, padding=n)


def test_relation_11_transposed_full_padding():
    for i, k in product(SIZES, KERNELS):
        o = output_size(i, k, padding=k - 1)
        # k' = k, s' = s, p' = 0
        assert transposed_output_size(o, k, padding=k - 1) == o - (k - 1) == i == output_size(o, k)


def test_relation_12_transposed_no_zero_padding_non_unit_strides():
    cases = [(i, k, s) for i, k, s, _ in fitting(SIZES, KERNELS, STRIDES, [0]) if (i - k) % s == 0]
    for i, k, s in cases:
        o = output_size(i, k, s)
        stretched = o + (s - 1) * (o - 1)
        # a convolution of the input stretched by s - 1 zeros: k' = k, s' = 1, p' = k - 1
        assert transposed_output_size(o, k, s) == s * (o - 1) + k == output_size(stretched, k, padding=k - 1) == i


def test_relation_13_transposed_zero_padding_non_unit_strides():
    cases = [
        case for case in fitting(SIZES, KERNELS, STRIDES, PADDINGS) if (case[0] + 2 * case[3] - case[1]) % case[2] == 0
    ]
    for i, k, s, p in cases:
        o = output_size(i, k, s, p)
        stretched = o + (s - 1) * (o - 1)
        # k' = k, s' = 1, p' = k - p - 1
        assert transposed_output_size(o, k, s, p) == s * (o - 1) + k - 2 * p == i
        assert output_size(stretched, k, padding=k - p - 1) == i


def test_relation_14_transposed_with_the_odd_rest():
    rests = set()
    for i, k, s, p in fitting(SIZES, KERNELS, STRIDES, PADDINGS):
        o = output_size(i, k, s, p)
        a = (i + 2 * p - k) % s
        rests.add(a)
        # a zeros are added after: the output padding that tells apart the s sizes with the same output
        assert transposed_output_size(o, k, s, p, output_padding=a) == s * (o - 1) + a + k - 2 * p == i
        stretched = o + (s - 1) * (o - 1)
        assert output_size(stretched, k, padding=((k - p - 1, k - p - 1 + a),)) == i
    assert rests == set(range(5))


def test_relation_15_dilated():
    for i, k, s, p, d in product(SIZES, KERNELS, STRIDES, range(3), range(1, 5)):
        assert dilated_extent(k, d) == k + (k - 1) * (d - 1)
        if i + 2 * p < k + (k - 1) * (d - 1):
            with pytest.raises(InvalidArgument, match="no output is left on axis 0"):
                output_size(i, k, s, p, d)
            continue
        o = (i + 2 * p - k - (k - 1) * (d - 1)) // s + 1
        assert output_size(i, k, s, p, d) == o == counted(i, k, s, p, d)
        # and its transpose, in the manner of relation 14
        a = (i + 2 * p - dilated_extent(k, d)) % s
        assert transposed_output_size(o, k, s, p, d, a) == i


def test_every_output_padding_leads_back_to_the_same_output():
    for o, k, s, p in fitting(SIZES, KERNELS, STRIDES, range(3)):
        if s * (o - 1) + k - 2 * p < 1:
            continue
        sizes = [transposed_output_size(o, k, s, p, output_padding=a) for a in range(s)]
        assert sizes == list(range(sizes[0], sizes[0] + s))
        assert all(output_size(i, k, s, p) == o for i in sizes)
