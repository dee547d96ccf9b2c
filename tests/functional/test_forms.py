"""What is found out about the kernels of image filters, and what it decides."""

import numpy as np
import pytest

import striderule as sr
from striderule.functional.forms import form_of
from striderule.functional.standin import stand_in
from striderule.planning.forms import KernelForm, Rank

SOBEL = np.multiply.outer([1, 2, 1], [-1, 0, 1])


def gabor(size=17):
    grid = np.arange(size) - size // 2
    y, x = np.meshgrid(grid, grid, indexing="ij")
    return np.exp(-(x**2 + y**2) / 32) * np.cos(0.6 * x + 0.4 * y)


@pytest.mark.parametrize(
    ("kernel", "words"),
    [
        (SOBEL, "3x3 taps, 3 of which are zero, rank 1, symmetric in axis 0, antisymmetric in axis 1"),
        (np.ones((3, 5)), "3x5 equal taps, rank 1, symmetric in both axes"),
        (np.array([1, 2, 3]), "3 taps"),
        (np.array([1, 2, 1]), "3 taps, symmetric"),
        (gabor(), "17x17 taps, rank 2"),
        (sr.kernels.gaussian(2), "17x17 taps, rank 1, symmetric in both axes"),
        (np.ones((3, 3, 2)) * [1.0, 2.0], "3x3x2 taps, rank 1, symmetric in axes 0 and 1"),
        (np.random.default_rng(0).normal(size=(9, 9)), "9x9 taps"),
    ],
)  # fmt: skip
def test_what_a_kernel_is_in_words(kernel, words):
    assert str(form_of(kernel)) == words


def test_ranks_bound_what_they_leave_out():
    rng = np.random.default_rng(1)
    left, right = np.linalg.qr(rng.normal(size=(15, 15)))[0], np.linalg.qr(rng.normal(size=(15, 15)))[0]
    kernel = left @ np.diag([1, 0.5, 1e-4, 1e-9, *[0] * 11]) @ right
    ranks = form_of(kernel).ranks
    assert [one.count for one in ranks] == [2, 3, 4]
    for one, value in zip(ranks[:2], (1e-4, 1e-9), strict=True):
        assert one.random_left == pytest.approx(value / np.linalg.norm([1, 0.5]), rel=0.01)
        assert one.left >= one.random_left
        assert one.growth >= 1


def test_float32_kernels_have_the_rank_that_rounding_leaves():
    assert form_of(gabor().astype(np.float32)).ranks[-1].count == 2
    assert form_of(sr.kernels.gaussian(3).astype(np.float32)).ranks == (
        form_of(sr.kernels.gaussian(3).astype(np.float32)).ranks[0],
    )


def test_of_stand_ins_and_complex_kernels_nothing_is_known():
    assert form_of(stand_in((3, 3), np.dtype(np.float32), 1)) is None
    assert form_of(np.ones((3, 3), complex)) is None


def test_zeros_have_no_rank():
    assert form_of(np.zeros((3, 3))).ranks == ()
    assert str(KernelForm((1, 1), 1, (), ranks=(Rank(1),))) == "1x1 taps, rank 1"


def test_kernels_of_low_rank_are_computed_as_passes():
    image = sr.Array((1000, 1000))
    plan = sr.explain(sr.correlate, image, gabor(15))
    assert plan.chosen.label == "separable:rank2"
    assert "rank 2" in str(plan)
    assert sr.explain(sr.correlate, image, np.random.default_rng(0).normal(size=(25, 25))).algorithm != "separable"
    assert sr.explain(sr.filters.gaussian, image, 3).algorithm == "separable"
    assert sr.explain(sr.filters.box, image, 9).to_dict()["kernel"] == "9x9 equal taps, rank 1, symmetric in both axes"


def test_each_precision_has_its_rank():
    rng = np.random.default_rng(2)
    left, right = np.linalg.qr(rng.normal(size=(25, 25)))[0], np.linalg.qr(rng.normal(size=(25, 25)))[0]
    kernel = left @ np.diag([1, 0.5, 1e-4, 1e-7, *[0] * 21]) @ right
    image = rng.normal(size=(400, 300)).astype(np.float32)
    exact = sr.correlate(image.astype(np.float64), kernel, algorithm="windows")
    for precision, label, promise in (("medium", "separable:rank2", 5e-3), ("highest", "separable:rank3", 1e-6)):
        words = {"precision": precision, "dtype": np.float32}
        assert sr.explain(sr.correlate, image, kernel.astype(np.float32), **words).chosen.label == label
        got = sr.correlate(image, kernel.astype(np.float32), **words)
        assert np.linalg.norm(got - exact) <= promise * np.linalg.norm(exact)


@pytest.mark.parametrize("shape", [(3, 3), (9, 9), (25, 31)])
def test_integers_by_integers_of_low_rank_are_exact(shape):
    rng = np.random.default_rng(3)
    kernel = np.multiply.outer(rng.integers(-3, 4, shape[0]), rng.integers(-2, 5, shape[1]))
    image = rng.integers(0, 256, (400, 300), np.uint8)
    for algorithm in (None, "separable"):
        got = sr.correlate(image, kernel.astype(np.int16), algorithm=algorithm)
        assert got.dtype == np.int32
        assert np.array_equal(got, sr.correlate(image, kernel.astype(np.int16), algorithm="windows"))
