"""Problems are checked once, frozen, and say in words what breaks a rule."""

from dataclasses import FrozenInstanceError

import pytest

from striderule.errors import InvalidArgument, InvalidType
from striderule.geometry.problem import Convolution, LocalConvolution, TransposedConvolution, Unfold


def test_a_convolution_knows_its_sizes():
    problem = Convolution.from_shapes(
        (2, 6, 9, 11),
        (4, 3, 3, 2),
        stride=(2, 3),
        padding=(1, (0, -2)),
        dilation=2,
        groups=2,
        boundary=("wrap", ("edge", "zeros")),
    )
    assert problem.rank == 2
    assert problem.extent == (5, 3)
    assert problem.padded_size == (11, 9)
    assert problem.output_shape == (2, 4, 4, 3)
    assert problem.terms == 3 * 3 * 2
    assert problem.multiply_adds == 2 * 4 * 4 * 3 * 18
    assert problem.boundary == (("wrap", "wrap"), ("edge", "constant"))
    assert problem.bounded(7).bound == 7


def test_problems_are_values():
    one, two = (Convolution.from_shapes((1, 3, 8), (4, 3, 3), padding="same") for _ in range(2))
    assert one == two == Convolution.from_shapes((1, 3, 8), (4, 3, 3), padding=1)
    assert len({one, two}) == 1
    assert eval(repr(one), {"Convolution": Convolution}) == one
    with pytest.raises(FrozenInstanceError):
        one.batch = 2


def test_a_transposed_convolution_knows_its_sizes():
    problem = TransposedConvolution.from_shapes(
        (2, 4, 5, 3),
        (4, 3, 3, 2),
        stride=(2, 3),
        padding=(1, (0, -2)),
        output_padding=(1, 0),
        dilation=(1, 2),
        groups=2,
    )
    assert problem.rank == 2
    assert problem.output_shape == (2, 6, 10, 11)
    assert problem.terms == 2 * 3 * 2
    assert problem.multiply_adds == 2 * 4 * 15 * 3 * 6
    assert problem.bounded(7).bound == 7


@pytest.mark.parametrize("words", ["same", ("same",), ("SAME", "same_lower"), ("same_lower", "same")])
def test_same_of_a_transposed_convolution_multiplies_the_size(words):
    for stride, kernel, dilation in ((2, 3, 1), (3, 2, 1), (4, 1, 1), (1, 4, 2), (2, 5, 3)):
        problem = TransposedConvolution.from_shapes(
            (1, 1, 5, 4), (1, 1, kernel, kernel), stride=stride, padding=words, dilation=dilation
        )
        assert problem.output_size == (5 * stride, 4 * stride)
        word = words if isinstance(words, str) else words[0]
        before, after = problem.padding[0]
        assert after - before in ((0, 1) if word.lower() == "same" else (0, -1))


def test_same_upper_is_same_in_a_transposed_convolution():
    shapes = (1, 1, 5), (1, 1, 4)
    upper = TransposedConvolution.from_shapes(*shapes, stride=3, padding="SAME_UPPER")
    assert upper == TransposedConvolution.from_shapes(*shapes, stride=3, padding="same")


def test_local_and_unfold_problems():
    local = LocalConvolution.from_shapes((2, 2, 6), (3, 2, 4, 3), tile="output")
    assert (local.output_shape, local.out_channels, local.tile) == ((2, 3, 4), 3, (4,))
    assert local.multiply_adds == 2 * 3 * 4 * 6
    assert local.dtype == "float32"
    assert local.bounded(9).plain.bound == 9
    unfold = Unfold.from_shape((2, 3, 5, 6), (2, 3), stride=2, padding="same")
    assert (unfold.output_size, unfold.columns_shape) == ((3, 3), (2, 18, 9))


def convolution(x=(1, 4, 5, 5), weight=(2, 4, 3, 3), **words):
    return lambda: Convolution.from_shapes(x, weight, **words)


def transposed(x=(1, 4, 5), weight=(4, 2, 3), **words):
    return lambda: TransposedConvolution.from_shapes(x, weight, **words)


def unfold(x=(1, 4, 5, 5), kernel=3, **words):
    return lambda: Unfold.from_shape(x, kernel, **words)


REFUSALS = [
    (convolution(stride=(2, 0)), r"^stride must be at least 1 in every axis, got \(2, 0\)$"),
    (convolution(dilation=0), "^dilation must be at least 1 in every axis, got 0$"),
    (convolution(groups=0), "^groups must be at least 1, got 0$"),
    (convolution(groups=-2), "^groups must be at least 1, got -2$"),
    (convolution(groups=3), "^groups must divide the 4 input channels, got groups=3$"),
    (convolution(weight=(3, 2, 3, 3), groups=2), "^groups must divide the 3 output channels, got groups=2$"),
    (
        convolution(weight=(2, 3, 3, 3)),
        r"^weight has 3 input channels a group and groups=1, so the input must have 3 channels, got 4 "
        r"\(input shape \(1, 4, 5, 5\), weight shape \(2, 3, 3, 3\)\)$",
    ),
    (
        convolution(weight=(2, 4, 7, 3)),
        r"^the kernel is larger than the padded input: its extent \(kernel \(7, 3\), dilation \(1, 1\)\) is \(7, 3\), "
        r"the padded input has \(5, 5\); pad more \(padding='same'\) or use a smaller kernel or dilation$",
    ),
    (convolution(dilation=(1, 3)), r"is \(3, 7\), the padded input has \(5, 5\)"),
    (convolution(padding=-2), r"is \(3, 3\), the padded input has \(1, 1\)"),
    (convolution(weight=(2, 4, 0, 3)), r"^weight must have at least one tap on every spatial axis, got \(0, 3\)$"),
    (
        convolution(x=(1, 4, 0, 5), padding=2, boundary=("edge", "wrap")),
        "^boundary='edge' cannot extend axis 0, which has no elements; use boundary='constant'$",
    ),
    (
        convolution(padding=2**62),
        "^the padded input would have the shape .*, more elements than can be addressed; use a sm",
    ),
    (convolution(x=(0, 4, 5, 5), padding=2**62), "^the padded input would have the shape"),
    (convolution(x=(2**31, 1, 1, 1), weight=(2**31, 1, 1, 1)), "^the output would have the shape"),
    (convolution(boundary="reflect"), "^boundary='reflect' means two things"),
    (transposed(groups=3), "^groups must be at least 1 and divide the 4 input channels, got 3$"),
    (transposed(groups=0), "^groups must be at least 1 and divide the 4 input channels, got 0$"),
    (transposed(stride=0), "^stride must be at least 1 in every axis, got 0$"),
    (
        transposed(weight=(3, 2, 3)),
        r"^weight of a transposed convolution is \(in, out / groups, \*kernel\): its first axis has 3, but ",
    ),
    (
        transposed(output_padding=2, stride=2),
        r"^output_padding must be smaller than stride or dilation in every axis, got \(2,\) with stride \(2,\) and "
        r"dilation \(1,\)$",
    ),
    (transposed(output_padding=-1), "^output_padding must be at least 0 in every axis, got -1$"),
    (
        transposed(padding=4),
        r"^no output is left: padding \(\(4, 4\),\) crops the whole output \(-1,\); use a smaller padd",
    ),
    (
        transposed(padding="full"),
        "^padding of a transposed convolution must be numbers, 'valid', 'same' or 'same_lower', got 'full'$",
    ),
    (transposed(padding=("causal",)), r"'valid', 'same' or 'same_lower', got \('causal',\)$"),
    (transposed(padding=(1, 2)), "in one dimension a pair is written nested"),
    (transposed(padding=-(2**62)), "^the output would have the shape"),
    (transposed(weight=(4, 2, 0)), "^weight must have at least one tap"),
    (unfold(kernel=0), "^kernel_size must be at least 1 in every axis, got 0$"),
    (unfold(kernel=6), "^the kernel is larger than the padded input"),
    (unfold(stride=0), "^stride must be at least 1"),
    (unfold(padding=2**62, stride=2**62), "^the padded input would have the shape"),
    (unfold(x=(2**20, 2**20, 2**10, 2**10), kernel=2**10, padding=0), "more elements than can be addressed"),
    (unfold(x=(2**17, 2**17, 2**10, 2**10), kernel=2**8), "^the output would have the shape"),
    (unfold(x=(1, 1, 0, 3), padding=2, boundary="mirror"), "^boundary='mirror' cannot extend axis 0"),
    (
        lambda: LocalConvolution.from_shapes((1, 2, 6), (3, 2, 3, 3), tile="output"),
        r"^weight of a locally connected layer is \(out, in / groups, \*output size, \*kernel\): axes 2 to 2 must be "
        r"the output size \(4,\), got \(3,\)$",
    ),
    (
        lambda: LocalConvolution.from_shapes((1, 2, 6), (3, 2, 0, 3), tile="any"),
        r"^weight must have at least one kernel on every tile axis, got \(0,\)$",
    ),
]


@pytest.mark.parametrize(("call", "message"), REFUSALS)
def test_refusals(call, message):
    with pytest.raises(InvalidArgument, match=message):
        call()


@pytest.mark.parametrize("groups", [1.0, None, True, "1"])
def test_groups_is_an_integer(groups):
    for call in (convolution(groups=groups), transposed(groups=groups)):
        with pytest.raises(InvalidType, match="groups must be an integer, got"):
            call()
