"""Values that are not finite under passes: each result is what the definition makes of them, and the others stay."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from striderule.algorithms.images.terms import Terms
from striderule.algorithms.separable import stencil as separable
from striderule.algorithms.windows import stencil as windows
from striderule.geometry.problem import Convolution

VALUES = {"nan": np.nan, "infinity": np.inf, "both": np.array([np.inf, -np.inf, np.nan])}


def problem_of(x, planes, kernel, **words):
    size = x.shape[planes:]
    gaps = words.get("dilation", (1,) * len(size))
    sides = [(k // 2 * d, (k - 1 - k // 2) * d) for k, d in zip(kernel.shape, gaps, strict=True)]
    return Convolution.from_shapes(
        (int(np.prod(x.shape[:planes])), 1, *size), (1, 1, *kernel.shape), padding=sides, zero_taps="skip",
        dtype="float32", stored=(x.dtype.name, "float32"), **words,
    )  # fmt: skip


def check(problem, x, value, kernel, variant="rank1", fill=0.0):
    """Compare with the sweep tap by tap, and with the passes over the image before it was spoilt."""
    rng = np.random.default_rng(5)
    clean = separable.stencil(problem, x, kernel, fill, variant=variant)
    spoilt = x.copy()
    places = rng.integers(0, x.size, 3)
    spoilt[np.unravel_index(places, x.shape)] = value
    got = separable.stencil(problem, spoilt, kernel, fill, variant=variant)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(windows, "stencil", None)  # it serves where no code can be made, and nowhere else
        again = separable.stencil(problem, spoilt, kernel, fill, variant=variant)
    assert np.array_equal(got, again, equal_nan=True)
    wanted = windows.stencil(problem, spoilt, kernel, fill)
    finite = np.isfinite(wanted)
    assert not finite.all()
    assert np.array_equal(got[~finite], wanted[~finite], equal_nan=True)
    # Taps of zero, too, keep passes away from what is not finite.
    near = windows.stencil(problem, (~np.isfinite(spoilt)).astype(np.float32), np.ones(kernel.shape, np.float32)) > 0
    assert np.array_equal(got[~near], clean[~near])
    assert np.allclose(got[finite], wanted[finite], rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("count", [2, 3])
def test_sums_of_outer_products(value, count):
    rng = np.random.default_rng(count)
    parts = Terms(tuple((rng.normal(size=17), rng.normal(size=9)) for _ in range(count)))
    kernel = parts.dense().astype(np.float32)
    x = rng.normal(size=(140, 530)).astype(np.float32)
    for words in ({"boundary": "wrap"}, {"boundary": ("mirror", "edge"), "dilation": (2, 1)}, {"stride": (2, 3)}):
        check(problem_of(x, 0, kernel, **words), x, VALUES[value], kernel, f"rank{count}")
    planes = rng.normal(size=(2, 50, 60, 3)).astype(np.float16).transpose(0, 3, 1, 2)
    check(problem_of(planes, 2, kernel, boundary="symmetric"), planes, VALUES[value], kernel, f"rank{count}")


@pytest.mark.parametrize("value", VALUES)
def test_long_profiles_with_taps_of_zero(value):
    rng = np.random.default_rng(2)
    odd = np.arange(-12.0, 13)
    for shape, profiles in (
        ((60, 70), [odd, np.ones(5)]),
        ((60, 70), [np.ones(3), odd]),
        ((600,), [odd]),
        ((30, 33, 28), [odd, odd, np.ones(2)]),
    ):
        x = rng.normal(size=shape).astype(np.float32)
        kernel = Terms.outer([profile.astype(np.float32) for profile in profiles], 7.0)
        check(problem_of(x, 0, kernel, boundary="constant"), x, VALUES[value], kernel, fill=2.0)


def test_large_numbers_that_terms_would_overflow():
    x = np.zeros((40, 50), np.float32)
    x[20, 25] = 3e38
    # Alone, each product is far too large; together they leave little.
    parts = Terms(((np.full(5, 40.0), np.full(5, 40.0)), (np.full(5, 40.0), np.linspace(-40.1, -39.9, 5))))
    kernel = parts.dense().astype(np.float32)
    problem = problem_of(x, 0, kernel)
    got = separable.stencil(problem, x, kernel, variant="rank2")
    assert np.array_equal(np.isnan(got), np.zeros(x.shape, bool))
    wanted = windows.stencil(problem, x, kernel)
    assert np.array_equal(np.isinf(got), np.isinf(wanted))
