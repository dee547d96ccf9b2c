"""What the image functions refuse, each by its message."""

import numpy as np
import pytest

from striderule.errors import InvalidArgument, InvalidType
from striderule.functional.images import convolve, correlate
from striderule.functional.names import IMAGE_NAMES
from striderule.planning.rules import RULES

IMAGE = np.arange(30.0).reshape(5, 6)
BLUR = np.ones((3, 3))


@pytest.mark.parametrize("function", [correlate, convolve])
@pytest.mark.parametrize("name", sorted(IMAGE_NAMES))
def test_names_of_other_libraries_are_answered(function, name):
    with pytest.raises(InvalidType) as refusal:
        function(IMAGE, BLUR, **{name: None})
    assert str(refusal.value) == f"{function.__name__} has no argument {name!r}; write {IMAGE_NAMES[name]}"


def test_the_image_cannot_be_given_twice():
    with pytest.raises(InvalidType, match="got both 'image' and 'input'"):
        correlate(IMAGE, kernel=BLUR, input=IMAGE)


def test_unknown_names_are_pythons_error():
    with pytest.raises(TypeError, match="colour"):
        correlate(IMAGE, BLUR, colour=1)


@pytest.mark.parametrize(
    ("keywords", "kind", "message"),
    [
        ({"mode": "mirror"}, InvalidArgument, "mode must be one of full, same, valid, got 'mirror'.*boundary='mirror'"),
        ({"mode": "constant"}, InvalidArgument, "boundary='constant'"),
        ({"mode": "reflect"}, InvalidArgument, "boundary='mirror' .* or boundary='symmetric'"),
        ({"boundary": "reflect"}, InvalidArgument, "boundary='reflect' means two things: write 'mirror'"),
        ({"boundary": "round"}, InvalidArgument, "boundary must be one of constant, edge, .*got 'round'"),
        ({"boundary": "same"}, InvalidArgument, "boundary must be one of .*got 'same'"),
        ({"boundary": ("wrap",)}, InvalidArgument, "boundary must be one word or one entry for each of the 2 axes"),
        (
            {"boundary": ("wrap", ("edge",) * 3)},
            InvalidArgument,
            r"boundary of an axis must be one word or \(before, aft",
        ),
        ({"boundary": 0}, InvalidType, "boundary must be a word or a tuple of words, got 0"),
        ({"stride": 0}, InvalidArgument, "stride must be at least 1 in every axis, got 0"),
        ({"stride": (2, -1)}, InvalidArgument, r"stride must be at least 1 in every axis, got \(2, -1\)"),
        (
            {"stride": (1, 1, 1)},
            InvalidArgument,
            "stride must be one integer or one for each of the 2 .* got 3 entries",
        ),
        ({"stride": 1.5}, InvalidType, "stride must be an integer, got 1.5"),
        ({"dilation": 0}, InvalidArgument, "dilation must be at least 1 in every axis, got 0"),
        ({"dilation": "2"}, InvalidType, "dilation must be an integer, got '2'"),
        ({"origin": 2}, InvalidArgument, "origin must keep the centre on the kernel, from -1 to 1 for 3 taps .* got 2"),
        ({"origin": (0, -2)}, InvalidArgument, "from -1 to 1 for 3 taps on kernel axis 1, got -2"),
        ({"origin": 1, "mode": "full"}, InvalidArgument, "only mode='same' has, got origin=1 with mode='full'"),
        ({"axes": (0, 2)}, InvalidArgument, "axes must be from -2 to 1 for an image of 2 axes, got 2"),
        ({"axes": (1, -1)}, InvalidArgument, r"axes must name each axis once, got \(1, -1\)"),
        ({"channel_axis": 5}, InvalidArgument, "channel_axis must be from -2 to 1 for an image of 2 axes, got 5"),
        (
            {"channel_axis": -1},
            InvalidArgument,
            r"kernel must have one axis for each filtered axis: its shape \(3, 3\)",
        ),
        (
            {"mode": "valid", "dilation": 3},
            InvalidArgument,
            "mode='valid' needs an image at least as large as the kernel",
        ),
        ({"nan": "omit"}, InvalidArgument, "nan must be 'propagate' or 'normalize', got 'omit'"),
        ({"overflow": "clip"}, InvalidArgument, "overflow must be 'saturate' or 'wrap', got 'clip'"),
        ({"precision": "low"}, InvalidArgument, "precision must be one of highest, high, medium, got 'low'"),
        (
            {"algorithm": "fft"},
            InvalidArgument,
            f"algorithm must be None or one of {', '.join(sorted(RULES))}.*got 'fft'",
        ),
        ({"dtype": "words"}, InvalidType, "dtype must be a NumPy type, got 'words'"),
        ({"dtype": object}, InvalidType, "dtype must be bool, an integer, float16 to float64 or a complex type"),
        ({"dilation": 2**60, "mode": "full"}, InvalidArgument, "than can be addressed"),
    ],
)
def test_arguments_that_do_not_fit(keywords, kind, message):
    for function in (correlate, convolve):
        with pytest.raises(kind, match=message):
            function(IMAGE, BLUR, **keywords)


def test_words_are_checked_even_where_the_image_is_empty():
    with pytest.raises(InvalidArgument, match="algorithm must be"):
        correlate(np.zeros((0, 0)), BLUR, algorithm="fft")
    with pytest.raises(InvalidArgument, match="stride must be"):
        correlate(np.zeros((0, 0)), BLUR, stride=0)


@pytest.mark.parametrize(
    ("image", "kernel", "kind", "message"),
    [
        (3.0, [1.0], InvalidArgument, "image must have at least one axis, got a single number"),
        (IMAGE, np.ones((3, 0)), InvalidArgument, r"kernel must have at least one tap on every axis.*\(3, 0\)"),
        (
            IMAGE,
            np.ones(3),
            InvalidArgument,
            r"its shape \(3,\) has 1, but axes \(0, 1\) of the image of shape \(5, 6\)",
        ),
        (IMAGE, 2.0, InvalidArgument, r"its shape \(\) has 0"),
        (np.zeros((9, 9, 3)), BLUR, InvalidArgument, r"axes=\(0, 1\), or name the axis .* example channel_axis=-1"),
        ([[1, 2], [3]], BLUR, InvalidArgument, "image must be rectangular"),
        (IMAGE, [["a"]], InvalidType, "kernel must be a NumPy array, got builtins.str"),
        (IMAGE, np.array([["a"]]), InvalidType, "kernel has the element type <U1"),
        (IMAGE.astype(object), BLUR, InvalidType, "image has the element type object"),
        (
            np.ma.masked_array(IMAGE, IMAGE > 3),
            BLUR,
            InvalidType,
            "image is a masked array.*mask=~numpy.ma.getmaskarray",
        ),
        (IMAGE, np.ma.masked_array(BLUR), InvalidType, "kernel is a masked array"),
        ("photo.png", BLUR, InvalidType, "image must be a NumPy array, got builtins.str"),
    ],
)
def test_arrays_that_do_not_fit(image, kernel, kind, message):
    with pytest.raises(kind, match=message):
        correlate(image, kernel)
