"""Gradients of filters in their image: central differences, fast routines, and that nothing public is forgotten."""

import numpy as np
import pytest

import striderule as sr
from public_names import public_functions
from striderule import filters
from striderule.errors import InvalidArgument, InvalidType
from striderule.functional.gradients.vjp import rule_of
from striderule.functional.gradients.without import WITHOUT

# Names, and what is passed behind the image.
FILTERS = [
    ("gaussian", 1.2), ("gaussian", (0, 1.0)), ("box", 3), ("box", (1, 4)), ("mean", 2), ("motion", 5, 30),
    ("sobel",), ("sobel", 1), ("prewitt",), ("scharr", 0), ("roberts",), ("gradient_magnitude", 1.1), ("gradient",),
    ("gradient", 1.0), ("laplace",), ("log", 1.2), ("dog", 1.0), ("sharpen",), ("unsharp_mask", 1.5), ("emboss",),
    ("variance", 3), ("std", (3, 2)), ("structure_tensor",), ("corner_harris",), ("corner_harris", "eps"),
    ("pyramid_reduce",), ("pyramid_reduce", 1.7), ("pyramid_expand", 1.3),
]  # fmt: skip
BOUNDARIES = ["symmetric", "mirror", "edge", "wrap", "constant", (("constant", "wrap"), ("mirror", "edge"))]
NUMBERED = list(enumerate(FILTERS))


def first(result):
    return result[0] if isinstance(result, tuple) else result


def check(op, operands, words):
    """Compare the gradients with central differences in a drawn direction; NaN tells that nothing was there."""
    rng = np.random.default_rng(3)
    y, pullback = sr.vjp(op, *operands, **words)
    gy, step = rng.standard_normal(first(y).shape), 1e-6
    for place, gradient in enumerate(pullback(gy)):
        if gradient is None:
            continue
        direction, sides = rng.standard_normal(operands[place].shape), []
        for sign in (1, -1):
            moved = list(operands)
            moved[place] = operands[place] + sign * step * direction
            sides.append(first(op(*moved, **words)))
        expected = float(np.nansum(gy * (sides[0] - sides[1]))) / (2 * step)
        scale = float(np.linalg.norm(gradient) * np.linalg.norm(direction)) + 1
        assert abs(float((gradient * direction).sum()) - expected) < 2e-6 * scale, place


def drawn(*shape):
    return np.random.default_rng(0).standard_normal(shape) + 3


@pytest.mark.parametrize(("number", "call"), NUMBERED, ids=str)
def test_central_differences(number, call):
    name, *rest = call
    op, mask = getattr(filters, name), np.random.default_rng(1).random((13, 12)) > 0.25
    mask[3:8, 2:7] = False
    numpy = {} if name in ("variance", "std") else {"algorithm": "windows"}
    check(op, [drawn(13, 12), *rest], {"boundary": BOUNDARIES[number % 6], "fill": 0.5, **numpy})
    gaps = {"mask": mask, "confidence": True}
    check(op, [drawn(13, 12), *rest], {"boundary": BOUNDARIES[(number + 1) % 6], **gaps, **numpy})
    if number % 3 == 0:
        check(op, [drawn(13, 12), *rest], {"nan": "normalize", "fill": np.nan, "boundary": "constant", **numpy})


@pytest.mark.parametrize("name", ["sobel", "gaussian", "log"])
def test_generated_code_around_gaps(name):
    words = {"mask": np.random.default_rng(1).random((13, 12)) > 0.4}
    check(getattr(filters, name), [drawn(13, 12), *([1.2] if name != "sobel" else [])], words)


@pytest.mark.parametrize("name", ["gaussian", "sobel", "variance", "structure_tensor"])
def test_volumes_and_axes(name):
    rest = {"gaussian": [1], "log": [1], "variance": [3]}.get(name, [])
    check(getattr(filters, name), [drawn(5, 6, 4), *rest], {})
    check(getattr(filters, name), [drawn(5, 6, 4), *rest], {"axes": (1, 0), "channel_axis": -1})


def test_long_kernels_take_passes():
    check(filters.log, [drawn(40, 30), 13.0], {})
    check(filters.dog, [drawn(40, 30), 9.0, 14.0], {"boundary": "mirror"})
    check(filters.unsharp_mask, [drawn(40, 30), 14.0], {})


def test_several_arrays():
    rng = np.random.default_rng(2)
    for words in ({}, {"pad_input": True}, {"pad_input": True, "boundary": "symmetric"}, {"axes": (1, 0)}):
        check(filters.match_template, [drawn(9, 8), rng.standard_normal((3, 4))], words)
    check(filters.bank, [drawn(9, 8), rng.standard_normal((4, 3, 3))], {"boundary": "wrap", "stride": 2})
    check(filters.magnitude, [drawn(4, 5), rng.standard_normal((4, 5)), rng.standard_normal((4, 5))], {})


def test_nothing_gives_nothing():
    even = np.full((6, 6), 7.0)
    for name, *rest in (("sobel",), ("std", 3), ("variance", 3), ("roberts",)):
        y, pullback = sr.vjp(getattr(filters, name), even, *rest)
        assert not pullback(np.ones(y.shape))[0].any()
    _, pullback = sr.vjp(filters.magnitude, np.array([0.0, 3.0]), np.array([0.0, 4.0]))
    assert [one.tolist() for one in pullback([1.0, 10.0])] == [[0, 6], [0, 8]]
    y, pullback = sr.vjp(filters.match_template, even, np.eye(3))
    assert not any(one.any() for one in pullback(np.ones(y.shape)))


def test_variance_of_small_differences_on_a_high_level():
    x = np.random.default_rng(4).standard_normal((9, 9))
    gy = np.ones((9, 9))
    low, high = (sr.vjp(filters.variance, x + level, 3)[1](gy)[0] for level in (0, 1e6))
    np.testing.assert_allclose(high, low, atol=1e-7)


@pytest.mark.parametrize(
    "call",
    [("gaussian", 2.0), ("box", 9), ("sobel",), ("laplace",), ("unsharp_mask", 3.0), ("std", 5),
     ("corner_harris",), ("pyramid_reduce",), ("pyramid_expand",)],
    ids=str,
)  # fmt: skip
def test_float32_through_the_fast_routines(call):
    name, *rest = call
    op, image = getattr(filters, name), np.random.default_rng(5).random((150, 170))
    y, pullback = sr.vjp(op, image, *rest, boundary="mirror")
    gy = np.random.default_rng(6).standard_normal(y.shape)
    if name != "std":
        pullback = sr.vjp(op, image, *rest, boundary="mirror", algorithm="windows")[1]
    expected = pullback(gy)[0]
    found = sr.vjp(op, image.astype(np.float32), *rest, boundary="mirror")[1](gy.astype(np.float32))[0]
    assert found.dtype == np.float32
    assert np.linalg.norm(found - expected) <= 2e-5 * np.linalg.norm(expected)


def test_types_and_results_in_place():
    half = drawn(8, 8).astype(np.float16)
    y, pullback = sr.vjp(filters.sobel, half)
    assert (y.dtype, pullback(np.ones(y.shape))[0].dtype) == (np.float16, np.float16)
    y, pullback = sr.vjp(filters.sobel, np.arange(16, dtype=np.uint8).reshape(4, 4))
    assert pullback(np.ones(y.shape)) == (None,)
    image = drawn(8, 8)
    expected = sr.vjp(filters.sobel, image)[1](np.ones((8, 8)))[0]
    y, pullback = sr.vjp(filters.sobel, image, out=image)
    assert y is image
    np.testing.assert_array_equal(pullback(np.ones((8, 8)))[0], expected)


def test_refusals():
    with pytest.raises(InvalidArgument, match="sobel has no gradient with like='scipy'"):
        sr.vjp(filters.sobel, drawn(4, 4), like="scipy")
    with pytest.raises(InvalidArgument, match="around missing pixels"):
        sr.vjp(filters.match_template, drawn(5, 5), np.eye(3), mask=drawn(5, 5) > 3)
    with pytest.raises(InvalidType, match="canny has no gradient: its result is true or false"):
        sr.vjp(filters.canny, drawn(5, 5))
    with pytest.raises(InvalidType, match="uint8, which has no gradient"):
        sr.vjp(filters.gaussian, np.ones((4, 4), np.uint8), 1)


def test_every_public_function_has_a_gradient_or_a_reason():
    apart = {"errors", "figures", "geometry", "kernels", "models", "nn", "tour"}
    public = {name: value for name, value in public_functions().items() if name.split(".")[0] not in apart}
    without = set()
    for name, function in public.items():
        try:
            rule_of(function)
        except InvalidType:
            without.add(name)
    assert without == set(WITHOUT)
