"""The confidence map: the share of the kernel's magnitude that met valid pixels, against plain loops."""

from functools import partial

import numpy as np
import pytest

from oracles.images import looped
from striderule import Array, convolve, correlate, explain, filters, kernels
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


@pytest.mark.parametrize("algorithm", ["stencil", "windows", "separable", "fourier"])
@pytest.mark.parametrize("words", [{"mode": "full"}, {"mode": "valid"}, {"boundary": "constant"}])
def test_correlation_and_convolution(words, algorithm):
    rng = np.random.default_rng(5)
    image, mask = rng.random((20, 21)), rng.random((20, 21)) < 0.6
    kernel = np.outer(rng.random(4) - 0.5, rng.random(3) - 0.5)
    near = 1e-6 if algorithm == "fourier" else 1e-12
    for function, turned in ((correlate, kernel), (convolve, kernel[::-1, ::-1])):
        result, confidence = function(image, kernel, mask=mask, confidence=True, algorithm=algorithm, **words)
        np.testing.assert_array_equal(result, function(image, kernel, mask=mask, algorithm=algorithm, **words))
        there = function(mask.astype(float), abs(kernel), fill=1, algorithm="windows", **words)
        np.testing.assert_allclose(confidence, there / abs(turned).sum(), rtol=near, atol=near)
    result, confidence = correlate(image.astype(np.uint8), kernel, confidence=True, **words)
    assert (confidence.dtype, confidence.shape) == (np.float32, result.shape)
    assert (confidence == 1).all()
    out = np.empty(image.shape, np.uint8)
    words = {"mask": mask, "confidence": True, "dtype": np.uint8}
    assert correlate(image, abs(kernel), out=out, **words)[0] is out
    np.testing.assert_array_equal(out, correlate(image, abs(kernel), **words)[0])
    with pytest.raises(InvalidType, match="confidence must be True or False"):
        correlate(image, kernel, confidence=1)


def test_what_is_explained_is_what_runs():
    """Kernels of few taps take one reading, whatever is asked for; a mask that is only described is whole."""
    image, mask = Array((300, 400)), Array((300, 400), "bool")
    for words in ({}, {"confidence": True}):
        for call in (partial(correlate, kernel=[[1, 0, -1]]), filters.sobel, partial(filters.box, size=3)):
            plan = explain(call, image, mask=mask, **words)
            assert (plan.algorithm, len(plan.passes)) == ("stencil", 1)
    holed = np.where(np.eye(300) > 0, np.nan, 1)
    assert explain(filters.laplace, holed, nan="normalize").algorithm == "stencil"
    passes = explain(filters.gaussian, holed, 3, nan="normalize", confidence=True).passes
    assert [plan.algorithm for plan in passes] == ["separable"] * 2


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
