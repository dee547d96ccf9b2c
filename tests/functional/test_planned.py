"""Plans of calls, without computing, and calls with everything bound."""

import contextlib
import pickle
import tracemalloc

import numpy as np
import pytest

import striderule as sr
from striderule.algorithms import table
from striderule.errors import InvalidArgument, InvalidType, StrideruleError
from striderule.functional.planned import NO_CHOICE, without_choice
from striderule.functional.standin import stand_in
from striderule.planning import Plan, Plans

RANDOM = np.random.default_rng(7)


def noise(*shape, dtype="float32"):
    return RANDOM.standard_normal(shape).astype(dtype)


# Every kind of operation that has a choice: (function, arguments of which arrays become stand-ins, keywords).
CALLS = [
    (sr.conv1d, (noise(2, 3, 9), noise(4, 3, 3)), {}),
    (
        sr.conv2d,
        (noise(2, 4, 9, 9), noise(6, 2, 3, 3), noise(6)),
        {"groups": 2, "activation": "gelu", "padding": "same"},
    ),
    (sr.conv2d, (noise(9, 9, 4), noise(6, 4, 3, 3)), {"layout": "NHWC", "boundary": "mirror", "padding": 1}),
    (sr.conv2d, (noise(9, 9).astype("uint8"), noise(3, 3).astype("int8")), {}),
    (sr.conv3d, (noise(1, 2, 5, 5, 5), noise(3, 2, 2, 2, 2)), {"residual": noise(1, 3, 4, 4, 4)}),
    (sr.conv_transpose2d, (noise(1, 4, 5, 5), noise(4, 3, 4, 4)), {"stride": 2, "dtype": "float64"}),
    (sr.depthwise_conv2d, (noise(1, 4, 8, 8), noise(8, 3, 3)), {}),
    (sr.locally_connected1d, (noise(2, 5), noise(3, 2, 3, 3)), {}),
    (sr.tiled_conv2d, (noise(1, 4), noise(1, 2, 1, 1)), {}),
    (sr.unfold, (noise(1, 2, 7, 7), 3), {}),
    (sr.fold, (noise(1, 18, 25), (7, 7), 3), {}),
    (sr.max_pool2d, (noise(1, 4, 8, 8), 2), {}),
    (sr.max_pool2d, (noise(1, 4, 8, 8), 2), {"return_indices": True}),
    (sr.avg_pool1d, (noise(4, 8), 2), {"dtype": "int16"}),
    (sr.lp_pool2d, (noise(1, 4, 8, 8), 2.0, 2), {}),
    (sr.adaptive_avg_pool2d, (noise(1, 4, 9, 7), 3), {}),
    (sr.adaptive_max_pool1d, (noise(1, 4, 9), 3), {}),
    (sr.fractional_max_pool2d, (noise(1, 4, 9, 9), 2), {"output_size": 5, "seed": 1}),
    (sr.correlate, (noise(9, 9), noise(3, 3)), {"boundary": "wrap", "stride": 2}),
    (sr.convolve, (noise(9, 9).astype("uint8"), noise(5).astype("int8")), {"axes": 0}),
]
# Filters that take no complex images; no mask; and those with routines of their own for most types, in which nothing is
# chosen.
REAL = {"canny", "corner_harris", "gradient", "match_template", "structure_tensor"}
UNMASKED = {"pyramid_gaussian", "pyramid_laplacian"}
PYRAMIDS = {"pyramid_reduce", "pyramid_expand", "pyramid_gaussian", "pyramid_laplacian"}
PLANLESS = {"canny", "corner_harris", "std", "structure_tensor", "variance", *PYRAMIDS}
NAMES = [f"{op.__name__}-{number}" for number, (op, _, _) in enumerate(CALLS)]


def as_stand_ins(values, op=None):
    """Return arrays' shapes and types in their place; the taps of image filters have a say in the plan."""
    kept = values[1:] if op in (sr.correlate, sr.convolve) else ()
    return tuple(
        sr.Array(value.shape, value.dtype)
        if isinstance(value, np.ndarray) and not any(value is one for one in kept)
        else value
        for value in values
    )


@pytest.fixture
def nothing_is_computed(monkeypatch):
    def family(*_):
        raise AssertionError("an algorithm was asked for")

    monkeypatch.setattr(table, "family", family)


@pytest.mark.parametrize(("op", "args", "kwargs"), CALLS[:1] + CALLS[2:], ids=NAMES[:1] + NAMES[2:])
@pytest.mark.usefixtures("nothing_is_computed")
def test_arrays_and_stand_ins_have_the_same_plan(op, args, kwargs):
    plan = sr.explain(op, *args, **kwargs)
    assert isinstance(plan, Plan)
    assert sr.explain(op, *as_stand_ins(args, op), **kwargs) == plan
    first, *rest = as_stand_ins(args, op)
    assert sr.explain(op, *rest, input=first, **kwargs) == plan if not rest else True
    assert plan.algorithm in str(plan)


@pytest.mark.parametrize(("op", "args", "kwargs"), CALLS, ids=NAMES)
def test_a_plan_is_what_the_call_takes(op, args, kwargs, monkeypatch):
    """The algorithm of the plan is the one that the call asks the table for, and forcing another one is obeyed."""
    asked = []
    family = table.family
    monkeypatch.setattr(table, "family", lambda name, word=None: asked.append(word) or family(name, word))
    op(*args, **kwargs)
    assert sr.explain(op, *args, **kwargs).algorithm in asked
    forced = sr.explain(op, *args, **kwargs, algorithm="reference")
    assert (forced.algorithm, forced.forced) == ("reference", True)


def test_the_problem_is_that_of_the_arguments():
    plan = sr.explain(sr.conv2d, sr.Array((1, 64, 56, 56)), sr.Array((64, 64, 3, 3)), padding=1)
    assert plan.work.operations == 115_605_504
    assert plan.problem.padding == ((1, 1), (1, 1))
    assert plan.passes == (plan,)
    assert sr.explain(sr.max_pool2d, sr.Array((1, 4, 8, 8), "uint8"), 2).work.dtype == "uint8"


@pytest.mark.usefixtures("nothing_is_computed")
def test_calls_of_several_passes_list_them():
    plan = sr.explain(sr.filters.sobel, sr.Array((480, 640, 3), "uint8"), channel_axis=-1)
    assert (plan.algorithm, plan.problem.kernel, plan.problem.out_channels) == ("stencil", (3, 3), 2)
    plan = sr.explain(sr.filters.gradient_magnitude, sr.Array((480, 640, 3), "uint8"), 2.0, channel_axis=-1)
    assert isinstance(plan, Plans)
    assert str(plan).startswith(f"gradient_magnitude: {len(plan.passes)} passes, ")
    two = sr.explain(sr.depthwise_separable_conv2d, sr.Array((3, 8, 8)), sr.Array((3, 3, 3)), sr.Array((8, 3)))
    assert [one.problem.groups for one in two.passes] == [3, 1]
    assert len(sr.explain(sr.filters.sobel, sr.Array((9, 9)), axis=0).passes) >= 1


def test_masks_take_one_pass_and_complex_numbers_more():
    image, kernel = noise(9, 9), noise(3, 3)
    assert isinstance(sr.explain(sr.correlate, image, kernel), Plan)
    assert len(sr.explain(sr.correlate, image, kernel, mask=image > 0).passes) == 1
    assert len(sr.explain(sr.correlate, image + 1j, kernel + 1j).passes) == 4


@pytest.mark.parametrize("name", sorted(set(sr.filters.__all__) - {"magnitude", "quantize"}))
@pytest.mark.parametrize("dtype", ["uint8", "float16", "complex64"])
@pytest.mark.usefixtures("nothing_is_computed")
def test_every_filter_is_planned_without_filling_memory(name, dtype):
    arguments = {"bank": ([np.ones((3, 3))],), "gaussian": (2.0,), "gradient_magnitude": (2.0,), "log": (2.0,)}
    arguments |= {"gabor": (0.2,), "motion": (5,), "match_template": (np.ones((3, 3)),)}
    given = arguments.get(name, (3,) if name in ("box", "mean", "dog", "std", "variance") else ())
    for more in ({}, {"mask": sr.Array((6000, 6000), "bool")}, {"nan": "normalize"}):
        refuses = (dtype == "complex64" and name in REAL) or ("mask" in more and name in UNMASKED)
        tracemalloc.start()
        try:
            with pytest.raises(StrideruleError) if refuses else contextlib.nullcontext():
                plan = sr.explain(getattr(sr.filters, name), sr.Array((6000, 6000), dtype), *given, **more)
            peak = tracemalloc.get_traced_memory()[1]
        finally:  # what is traced takes several times as long, in every test that follows
            tracemalloc.stop()
        assert peak < 5e6
        if not refuses and not plan.passes:
            assert name in PLANLESS
            assert str(plan).startswith(f"{name}: nothing to choose")


def test_functions_without_a_choice_say_so():
    plan = sr.explain(sr.softmax, sr.Array((3, 4)), 1)
    assert (plan.passes, plan.algorithm) == ((), "")
    assert str(plan) == "softmax: nothing to choose: computed slice by slice along its axis, in generated code"
    for x, algorithm, means in (
        (sr.Array((3, 4)), None, "in generated code"),
        (sr.Array((3, 4), "complex64"), None, "in NumPy"),
        ([1j], None, "in NumPy"),
        ([1.0], "windows", "in NumPy"),
        ([1.0], "reference", "in plain Python"),
    ):
        assert str(sr.explain(sr.sigmoid, x, algorithm=algorithm)).endswith(f"element by element, {means}")
    assert without_choice(sr.relu) == NO_CHOICE["activation"]
    assert without_choice(sr.conv2d) is None
    for name in ("relu", "gelu", "prelu", "log_softmax", "batch_norm", "pad", "pixel_shuffle"):
        assert str(sr.explain(getattr(sr, name), sr.Array((3, 4)))).startswith(f"{name}: nothing to choose")


def test_layers_are_planned_and_compiled():
    layer = sr.nn.ConvLayer(3, 4, 3, seed=0)
    x = noise(1, 3, 8, 8)
    assert sr.explain(layer, x).problem.out_channels == 4
    f, expected = sr.compile(layer, x), layer(x)
    with layer.edit():
        layer.weight[...] = 0
    np.testing.assert_array_equal(f(x), expected)


def test_refusals_are_those_of_the_call():
    with pytest.raises(InvalidArgument, match="so the input must have 3 channels, got 4"):
        sr.explain(sr.conv2d, sr.Array((1, 4, 8, 8)), sr.Array((2, 3, 3, 3)))
    with pytest.raises(InvalidArgument, match="algorithm must be None or one of"):
        sr.explain(sr.conv2d, sr.Array((1, 4, 8, 8)), sr.Array((2, 4, 3, 3)), algorithm="magic")
    with pytest.raises(InvalidType, match="op must be a function of striderule or a layer, got 3"):
        sr.explain(3)
    with pytest.raises(InvalidType, match=r"striderule.Array stands for an array only in striderule.explain"):
        sr.conv2d(sr.Array((1, 4, 8, 8)), noise(2, 4, 3, 3))


def test_stand_ins_for_arrays():
    assert sr.Array((2, 3)).dtype == np.float32
    assert sr.Array(5, np.uint8) == sr.Array((5,), "uint8")
    with pytest.raises(InvalidArgument, match=r"shape must have sizes of at least 0, got \(2, -1\)"):
        sr.Array((2, -1))
    with pytest.raises(InvalidType, match="dtype must be"):
        sr.Array((2,), "U3")


def test_stand_ins_answer_as_arrays_of_equal_numbers():
    ones, full = stand_in((4, 1, 3), "int8", 5), np.full((4, 1, 3), 5, "int8")
    other = np.float32(2)
    for operation in (
        lambda a: a + other,
        lambda a: a * 2,
        lambda a: (a > 3).any(),
        lambda a: a.sum(axis=(0, 2)),
        lambda a: a.min(),
        lambda a: a.max(axis=1, keepdims=True),
        lambda a: np.abs(a.astype("int64")).sum(),
        lambda a: a.reshape(2, -1),
        lambda a: a[None, ..., :2],
        lambda a: np.moveaxis(a, 0, -1),
        lambda a: np.where(a > 2, a, 0),
        lambda a: np.zeros_like(a, bool),
        lambda a: np.stack([a, a]),
        lambda a: np.broadcast_to(a, (2, 4, 1, 3)),
        lambda a: np.frexp(a.astype("float32"))[1],
    ):
        found, expected = operation(ones), operation(full)
        assert np.shape(found) == np.shape(expected)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(np.asarray(found), expected)


@pytest.mark.parametrize(("op", "args", "kwargs"), CALLS, ids=NAMES)
def test_compiled_calls_give_the_same_bits(op, args, kwargs):
    f = sr.compile(op, *args, **kwargs)
    again = pickle.loads(pickle.dumps(f))
    expected = op(*args, **kwargs)
    for call in (f, sr.compile(op, sr.Array(args[0].shape, args[0].dtype), *args[1:], **kwargs), again):
        found = call(args[0])
        assert type(found) is type(expected)
        pairs = zip(found, expected, strict=True) if isinstance(expected, tuple) else [(found, expected)]
        for one, other in pairs:
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)
    plan = sr.explain(op, *args, **kwargs)
    assert [one.algorithm for one in f.plan.passes] == [one.algorithm for one in plan.passes]
    assert all(one.packed == (one.work.weights > 0) for one in f.plan.passes)
    assert not any(one.packed for one in plan.passes)


def test_compiled_weights_are_copies():
    x, weight, bias = noise(1, 3, 8, 8), noise(4, 3, 3, 3), noise(4)
    expected = sr.conv2d(x, weight, bias)
    f = sr.compile(sr.conv2d, x, weight, bias=bias)
    weight[...], bias[...] = 0, 0
    np.testing.assert_array_equal(f(x), expected)
    out = np.empty_like(expected)
    assert f(x, out=out) is out
    np.testing.assert_array_equal(out, expected)
    assert repr(f) == "<compiled conv2d of Array((1, 3, 8, 8), 'float32')>"


def test_compiled_calls_refuse_other_arrays():
    f = sr.compile(sr.conv2d, input=sr.Array((1, 3, 8, 8)), weight=noise(4, 3, 3, 3))
    for other in (noise(2, 3, 8, 8), noise(1, 3, 8, 8, dtype="float64")):
        with pytest.raises(
            InvalidArgument, match=r"x must have the shape \(1, 3, 8, 8\) and the type float32, which this"
        ):
            f(other)
    with pytest.raises(InvalidArgument, match="out is given to each call"):
        sr.compile(sr.conv2d, noise(1, 3, 8, 8), noise(4, 3, 3, 3), out=noise(1, 4, 6, 6))
    with pytest.raises(InvalidArgument, match="only the first argument may be a stand-in"):
        sr.compile(sr.conv2d, noise(1, 3, 8, 8), sr.Array((4, 3, 3, 3)))
    with pytest.raises(InvalidType, match="compile needs the first argument"):
        sr.compile(sr.conv2d, weight=noise(4, 3, 3, 3))
    with pytest.raises(InvalidType, match="op must be a function"):
        sr.compile("conv2d", noise(3))
    with pytest.raises(InvalidArgument, match="so the input must have 3 channels"):
        sr.compile(sr.conv2d, sr.Array((1, 4, 8, 8)), noise(2, 3, 3, 3))


@pytest.mark.parametrize("words", [{}, {"mask": np.arange(80).reshape(8, 10) > 3}, {"nan": "normalize"}])
def test_what_is_explained_writes_to_nothing(words):
    image, out = np.ones((8, 10), np.float32), np.full((8, 10), 7, np.float32)
    sr.explain(sr.correlate, image, np.ones((3, 3), np.float32), out=out, **words)
    sr.explain(sr.filters.box, image, 3, out=out, **words)
    sr.explain(sr.filters.sobel, image, out=out, **words)
    sr.explain(sr.filters.bank, image, [np.ones((3, 3), np.float32)], out=out[np.newaxis], **words)
    assert (out == 7).all()
