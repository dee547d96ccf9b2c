"""The confidence map: the share of the kernel's magnitude that met valid pixels, against plain loops."""

import numpy as np
import pytest

from oracles.images import looped
from striderule import filters, kernels
from striderule.errors import InvalidArgument, InvalidType

# name: (the filter, the kernels whose magnitudes count)
CASES = {
    "gaussian": (lambda x, **k: filters.gaussian(x, 0.8, **k), [kernels.gaussian(0.8)]),
    "box": (lambda x, **k: filters.box(x, (2, 3), **k), [kernels.box((2, 3))]),
    "sobel": (lambda x, **k: filters.sobel(x, 0, **k), [kernels.sobel(0)]),
    "both": (filters.sobel, [kernels.sobel(0), kernels.sobel(1)]),
    "roberts": (filters.roberts, [kernels.roberts(0), kernels.roberts(1)]),
    "laplace": (filters.laplace, [kernels.laplace()]),
    "log": (lambda x, **k: filters.log(x, 0.7, **k), [kernels.log(0.7, ndim=2)]),
    "dog": (lambda x, **k: filters.dog(x, 0.5, 0.9, **k), [kernels.gaussian(0.5), kernels.gaussian(0.9)]),
    "sharpen": (filters.sharpen, [kernels.sharpen()]),
    "unsharp": (lambda x, **k: filters.unsharp_mask(x, 0.6, **k), [kernels.gaussian(0.6)]),
    "emboss": (filters.emboss, [kernels.emboss()]),
    "motion": (lambda x, **k: filters.motion(x, 4, 30, **k), [kernels.motion(4, 30)]),
    "gabor": (lambda x, **k: filters.gabor(x, 0.3, n_stds=2, **k), [kernels.gabor(0.3, n_stds=2)]),
    "slope": (
        lambda x, **k: filters.gradient_magnitude(x, 0.7, **k),
        [kernels.gaussian(0.7, order=(1, 0)), kernels.gaussian(0.7, order=(0, 1))],
    ),
    "direction": (lambda x, **k: filters.gradient(x, **k)[1:], [kernels.sobel(0), kernels.sobel(1)]),
    "tensor": (lambda x, **k: filters.structure_tensor(x, 0.8, **k)[2:], [kernels.gaussian(0.8)]),
    "harris": (lambda x, **k: filters.corner_harris(x, sigma=0.8, **k), [kernels.gaussian(0.8)]),
}


def shares(present, each, boundary, outside):
    """Return the share by definition: all kernels' magnitudes over valid pixels, by all their magnitudes."""
    met = sum(looped(present, np.abs(one), boundary=boundary, fill=outside).astype(float) for one in each)
    return met / sum(np.abs(one).sum() for one in each)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("boundary", ["symmetric", "constant", ("wrap", ("edge", "constant"))])
def test_against_loops(name, boundary):
    rng = np.random.default_rng(list(CASES).index(name))
    image, mask = rng.random((8, 9)), rng.random((8, 9)) < 0.6
    function, each = CASES[name]
    result, confidence = function(image, mask=mask, boundary=boundary, confidence=True)
    np.testing.assert_allclose(confidence, shares(mask.astype(float), each, boundary, 1), rtol=1e-12, atol=1e-14)
    plain = function(image, mask=mask, boundary=boundary)
    np.testing.assert_array_equal(result, plain if isinstance(plain, np.ndarray) else plain[-1])
    holed = np.where(mask, image, np.nan)
    again = function(holed, nan="normalize", fill=np.nan, boundary=boundary, confidence=True)[1]
    np.testing.assert_allclose(again, shares(mask.astype(float), each, boundary, 0), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", CASES)
def test_all_is_certain_without_gaps(name):
    confidence = CASES[name][0](np.ones((5, 6), np.uint8), confidence=True)[1]
    assert confidence.dtype == np.float32
    assert confidence.shape == (5, 6)
    assert (confidence == 1).all()


def test_refusals():
    with pytest.raises(InvalidType, match="confidence must be True or False"):
        filters.box(np.ones((3, 3)), 3, confidence=1)
    with pytest.raises(InvalidArgument, match="confidence must not be asked for together with like='scipy'"):
        filters.box(np.ones((3, 3)), 3, like="scipy", confidence=True)
    with pytest.raises(InvalidArgument, match="canny has no use for confidence"):
        filters.canny(np.ones((3, 3)), confidence=True)
