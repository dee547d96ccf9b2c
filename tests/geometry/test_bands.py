"""Blocks of large images: they cover every output once, and have every position that their outputs read."""

import itertools

import numpy as np

from striderule.geometry.bands import Reach, blocks, cut, span


def draw(rng):
    size = int(rng.integers(1, 400))
    before, after = (int(n) for n in rng.integers(0, 12, 2))
    stride = int(rng.integers(1, 4))
    return Reach(size, -(-size // stride), before, after, stride, tuple(bool(n) for n in rng.integers(0, 2, 2)))


def test_blocks_cover_the_outputs_and_hold_what_they_read():
    rng = np.random.default_rng(3)
    for _ in range(300):
        axes = [draw(rng) for _ in range(int(rng.integers(1, 3)))]
        counts = cut(axes, int(rng.integers(20, 4000)))
        covered = np.zeros([axis.outputs for axis in axes], int)
        for spans in blocks(axes, counts):
            covered[tuple(slice(one.start, one.stop) for one in spans)] += 1
            for axis, one, count in zip(axes, spans, counts, strict=True):
                if count == 1:
                    assert (one.low, one.high, one.skipped) == (0, axis.size, 0)
                    continue
                assert one.low % axis.stride == 0
                assert one.skipped == one.start - one.low // axis.stride
                first = one.start * axis.stride - axis.before
                last = (one.stop - 1) * axis.stride + axis.after
                assert one.low <= (first if axis.wraps[0] else max(first, 0))
                assert one.high == (last + 1 if axis.wraps[1] else min(last + 1, axis.size))
                # What a border may repeat is there.
                assert one.high - one.low >= axis.halo + 2
        assert (covered == 1).all()


def test_blocks_are_as_small_as_asked_where_axes_can_be_cut():
    for sizes, halo in itertools.product([(65536, 65536), (3, 10**9), (2, 40000, 40000)], [0, 8, 200]):
        axes = [Reach(n, n, halo if n > 10 else 0, halo if n > 10 else 0) for n in sizes]
        counts = cut(axes, 1 << 24)
        read = [axis.read(count) for axis, count in zip(axes, counts, strict=True)]
        assert np.prod(read, dtype=float) <= 1 << 24


def test_rows_are_cut_first_and_columns_where_rows_would_read_too_much():
    narrow, wide = Reach(65536, 65536, 8, 8), Reach(65536, 65536, 200, 200)
    assert cut([narrow, narrow], 1 << 24)[1] == 1
    assert cut([wide, wide], 1 << 24)[1] > 1
    assert cut([narrow, narrow], 1 << 24, [False, True])[0] == 1


def test_an_axis_that_reads_all_of_itself_is_not_cut():
    assert cut([Reach(100, 100, 50, 50)], 10) == (1,)
    assert span(Reach(100, 100, 50, 50), 0, 100).low == 0
