"""``like=``: the table, its errors, and a few known answers of the libraries (all of them are in tests/conformance)."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from striderule import filters
from striderule.errors import InvalidArgument, InvalidType
from striderule.filters import like
from striderule.filters.peers import opencv, scipy, skimage

PEERS = {"scipy": scipy, "skimage": skimage, "opencv": opencv}
STEP = np.array([[0, 0, 100, 100, 100]] * 4, np.uint8)


def test_every_row_of_the_table_is_computed():
    for name, rules in like.TABLE.items():
        assert callable(getattr(filters, name))
        for library in rules:
            assert callable(getattr(PEERS[library], name))


def test_the_page_in_docs_names_every_row():
    page = (Path(__file__).parents[2] / "docs" / "filters.md").read_text("utf-8")
    named = {rule.function for rules in like.TABLE.values() for rule in rules.values()}
    assert {function for function in named if f"`{function}`" not in page} == set()


def test_nothing_is_imported_from_the_libraries():
    code = (
        "import sys, numpy as np; from striderule import filters as f; x = np.ones((6, 6), np.uint8); "
        "[f.gaussian(x, 1, like=w) for w in ('scipy', 'skimage', 'opencv')]; "
        "print({'scipy', 'skimage', 'cv2'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_filters_do_without_a_compiler():
    code = (
        "import sys, warnings, numpy as np; from striderule import filters as f; assert 'llvmlite' not in sys.modules; "
        "sys.modules['llvmlite'] = None; warnings.simplefilter('ignore'); x = np.eye(20); "
        "print(f.canny(x).any(), f.match_template(x, x[:3, :3]).max().round(6))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True 1.0"


def test_the_step_edge_has_each_librarys_scale_and_type():
    ours = filters.sobel(STEP, 1)
    assert ours.dtype == np.float32
    np.testing.assert_array_equal(ours[1], [0, 400, 400, 0, 0])
    truncated = filters.sobel(STEP, 1, like="scipy")
    assert truncated.dtype == np.uint8
    np.testing.assert_array_equal(truncated[1], [0, 144, 144, 0, 0])  # 400 wraps around
    scaled = filters.sobel(STEP, 1, like="skimage")
    assert scaled.dtype == np.float64
    np.testing.assert_allclose(scaled[1], [0, 100 / 255, 100 / 255, 0, 0])
    saturated = filters.sobel(STEP, 1, like="opencv")
    assert saturated.dtype == np.uint8
    np.testing.assert_array_equal(saturated[1], [0, 255, 255, 0, 0])


def test_defaults_are_the_librarys():
    np.testing.assert_array_equal(filters.sobel(STEP, like="scipy"), filters.sobel(STEP, -1, like="scipy"))
    both = filters.sobel(STEP, like="skimage")
    np.testing.assert_allclose(both, filters.sobel(STEP, 1, like="skimage") / np.sqrt(2), atol=1e-15)
    np.testing.assert_array_equal(filters.box(STEP, like="scipy"), filters.box(STEP, 3, like="scipy"))
    np.testing.assert_array_equal(filters.gaussian(STEP, like="skimage"), filters.gaussian(STEP, 1, like="skimage"))
    colour = np.random.default_rng(1).integers(0, 256, (6, 7, 3), np.uint8)
    blue = filters.gaussian(colour, 1, like="opencv")[..., 2]
    np.testing.assert_array_equal(blue, filters.gaussian(colour[..., 2], 1, like="cv2"))


def test_what_is_given_wins():
    image = np.random.default_rng(2).integers(0, 256, (8, 9), np.uint8)
    mirrored = filters.gaussian(image, 1, like="opencv")
    np.testing.assert_array_equal(mirrored, filters.gaussian(image, 1, like="opencv", boundary="mirror"))
    assert (mirrored != filters.gaussian(image, 1, like="opencv", boundary="wrap")).any()
    deep = filters.sobel(image, 0, like="opencv", dtype=np.int16)
    np.testing.assert_array_equal(deep, filters.sobel(image, 0, boundary="mirror"))
    saturated = filters.sobel(STEP, 1, like="scipy", overflow="saturate")
    np.testing.assert_array_equal(saturated[1], [0, 255, 255, 0, 0])
    floats = filters.gaussian(image, 1, like="scipy", dtype=np.float64)
    np.testing.assert_allclose(floats, filters.gaussian(image.astype(float), 1), rtol=1e-13)
    filled = filters.laplace(image, like="skimage", boundary="constant", fill=7)
    assert (filled != filters.laplace(image, like="skimage", boundary="constant")).any()


def test_out_with_like():
    out = np.empty(STEP.shape, np.uint8)
    assert filters.gaussian(STEP, 1, like="scipy", out=out) is out
    np.testing.assert_array_equal(out, filters.gaussian(STEP, 1, like="scipy"))
    with pytest.raises(InvalidArgument, match="out must have the type of the result float64"):
        filters.gaussian(STEP, 1, like="skimage", out=out)
    with pytest.raises(InvalidArgument, match="out must not be given here"):
        filters.gabor(STEP, 0.2, like="skimage", out=out)


def test_saturated_casts_of_wide_integers():
    values = np.array([-1.0, 2.0**31, -(2.0**40), 2.0**63, 2.0**63 + 4096, 3.9, -3.9])
    np.testing.assert_array_equal(scipy.stored(values[[0, 5, 6]], np.dtype("u8")), [2**64 - 1, 3, 2**64 - 3])
    np.testing.assert_array_equal(scipy.stored(values[3:5], np.dtype("u8")), [2**63, 2**63 + 4096])
    np.testing.assert_array_equal(scipy.stored(np.array([2.0**64, 2.0**70]), np.dtype("u8")), [0, 0])
    np.testing.assert_array_equal(scipy.stored(values[[1, 5, 6]], np.dtype("i4")), [-(2**31), 3, -3])
    np.testing.assert_array_equal(scipy.stored(values[[0, 2]], np.dtype("u4")), [2**32 - 1, 0])
    np.testing.assert_array_equal(scipy.stored(values[5:], np.dtype("?")), [True, True])


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("sigma", [0.3, 0.8, 2.0])
def test_fixed_point_weights_sum_to_one(sigma, bits):
    weights = np.exp(-0.5 * (np.arange(-6, 7) / sigma) ** 2)
    weights /= weights.sum()
    fixed = opencv.fixed_point(weights, bits)
    assert fixed.sum() == 2**bits
    assert np.abs(fixed / 2**bits - weights).max() < 7 / 2**bits
    np.testing.assert_array_equal(fixed, fixed[::-1])


X = np.ones((4, 5), np.uint8)
REFUSED = [
    (
        lambda: filters.sobel(X, like="matlab"),
        "like must be one of 'scipy', 'skimage', 'opencv', got 'matlab'; sobel knows",
    ),
    (lambda: filters.sobel(X, like=1), "like must be one of"),
    (
        lambda: filters.scharr(X, like="scipy"),
        "SciPy has no filter like scharr; it is in 'skimage' .*, 'opencv' .cv2.Scharr.",
    ),
    (lambda: filters.gabor(X, 0.2, like="opencv"), "OpenCV has no filter like gabor; it is in 'skimage'"),
    (lambda: filters.sobel(X, like="opencv"), "cv2.Sobel needs axis; pass axis="),
    (lambda: filters.sobel(X, (0, 1), like="opencv"), "axis must be one axis together with like='opencv'"),
    (lambda: filters.sobel(X, (0, 1), like="scipy"), "axis must be one axis together with like='scipy'"),
    (lambda: filters.box(X, like="opencv"), "cv2.blur needs size"),
    (lambda: filters.gaussian(X, like="scipy"), "scipy.ndimage.gaussian_filter needs sigma"),
    (lambda: filters.gaussian(X, like="opencv"), "cv2.GaussianBlur needs sigma or size"),
    (lambda: filters.gaussian(X, 1, size=4, like="opencv"), "size must be odd for cv2.GaussianBlur, got 4"),
    (lambda: filters.gaussian(X, 1, size=4, like="scipy"), "size must be odd for scipy.ndimage.gaussian_filter, got"),
    (lambda: filters.gaussian(X, 1, size=3, like="skimage"), "skimage.filters.gaussian has no size, got size=3"),
    (lambda: filters.gaussian(X, 1, order=1, like="opencv"), "cv2.GaussianBlur has no order, got order=1"),
    (lambda: filters.gaussian(X, 1, truncate=3, like="opencv"), "cv2.GaussianBlur has no truncate"),
    (lambda: filters.laplace(X, connectivity=2, like="scipy"), "scipy.ndimage.laplace has no connectivity"),
    (lambda: filters.sobel(X, 0, normalize=True, like="skimage"), "skimage.filters.sobel has no normalize"),
    (lambda: filters.laplace(X, like="scipy", mask=X > 0), "scipy.ndimage.laplace has no mask"),
    (lambda: filters.laplace(X, like="scipy", nan="normalize"), "nan must be 'propagate' together with like='scipy'"),
    (
        lambda: filters.laplace(X, like="scipy", algorithm="reference"),
        "algorithm must not be given together with like=",
    ),
    (lambda: filters.laplace(X, like="scipy", boundary="reflect"), "'reflect' means two things"),
    (lambda: filters.gaussian(X, (1, 2, 3), like="scipy"), "sigma must be one number or one for each of the 2 axes"),
    (lambda: filters.roberts(np.ones(3), like="skimage"), "roberts filters 2 axes"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_refusals(call, message):
    with pytest.raises(InvalidArgument, match=message):
        call()


@pytest.mark.parametrize(
    ("library", "dtype"), [("scipy", "f2"), ("skimage", "c8"), ("opencv", "i1"), ("opencv", "i8"), ("opencv", "?")]
)
def test_types_that_a_library_does_not_take(library, dtype):
    with pytest.raises(InvalidType, match=r"takes .*, got an image of"):
        filters.gaussian(np.ones((4, 5), dtype), 1, like=library)
