"""Every refusal of the convolutions of layers: the argument, its value, the rule and the way out, before any work."""

import inspect
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

import striderule as sr
from striderule.algorithms import table
from striderule.errors import InvalidArgument, InvalidType, StrideruleError
from striderule.planning.rules import RULES

X, W, W_TRANSPOSED = np.ones((1, 4, 5, 5)), np.ones((2, 4, 3, 3)), np.ones((4, 2, 3, 3))
GIANT = as_strided(np.zeros(1), (1, 1, 2**30, 2**29), (0, 0, 0, 0))


def conv2d(x=X, weight=W, *rest, **words):
    return lambda: sr.conv2d(x, weight, *rest, **words)


def transpose2d(x=X, weight=W_TRANSPOSED, *rest, **words):
    return lambda: sr.conv_transpose2d(x, weight, *rest, **words)


ARGUMENTS = [
    # wrong rank
    (
        conv2d(x=np.ones((1, 1, 4, 5, 5))),
        r"^conv2d needs an input of 4 axes \(batch, channels, height, width\) or 3 without batch, got 5 "
        r"\(shape \(1, 1, 4, 5, 5\)\); a bare array without channels needs a weight of the same rank$",
    ),
    (conv2d(x=np.ones((5, 5))), r"^conv2d needs an input of 4 axes .* got 2 \(shape \(5, 5\)\)"),
    (
        conv2d(weight=np.ones((3, 3))),
        r"^conv2d needs a weight of 4 axes \(out channels, in channels / groups, height, width\), got 2 "
        r"\(shape \(3, 3\)\); a weight of 2 axes goes with an input of 2 axes, here the input has the shape \(1, 4, ",
    ),
    (lambda: sr.conv1d(1.0, [1.0]), r"^conv1d needs a weight of 3 axes \(out channels, in channels / groups, width\)"),
    (
        lambda: sr.conv3d(np.ones((2, 2)), np.ones((1, 1, 1, 1, 1))),
        r"^conv3d .* \(batch, channels, depth, height, width\)",
    ),
    (lambda: sr.conv(X, np.ones(())), r"^conv needs at least one spatial axis, got rank=0, weight shape \(\)$"),
    (lambda: sr.conv(X, W, rank=-1), r"^conv needs at least one spatial axis, got rank=-1"),
    (lambda: sr.conv(np.ones((2, 2)), np.ones((1, 1, *[1] * 5))), r"^conv needs an input of 7 axes .*5 spatial axes\)"),
    (
        transpose2d(weight=np.ones((4, 3, 3))),
        r"^conv_transpose2d needs a weight of 4 axes \(in channels, out channels / gro",
    ),
    # channels and groups
    (conv2d(groups=3), "^groups must divide the 4 input channels, got groups=3$"),
    (conv2d(weight=np.ones((3, 2, 3, 3)), groups=2), "^groups must divide the 3 output channels, got groups=2$"),
    (
        conv2d(weight=np.ones((2, 3, 3, 3))),
        "^weight has 3 input channels a group and groups=1, so the input must have 3 ch",
    ),
    (
        transpose2d(weight=np.ones((3, 2, 3, 3))),
        r"^weight of a transposed convolution is \(in, out / groups, \*kernel\)",
    ),
    (
        lambda: sr.conv2d(np.ones((5, 5, 4)), W, layout="NCHW"),
        "^weight has 4 input channels a group and groups=1, so the input must have 4 channels, got 5",
    ),
    # strides, sizes
    (conv2d(stride=(2, 0)), r"^stride must be at least 1 in every axis, got \(2, 0\)$"),
    (conv2d(dilation=-1), "^dilation must be at least 1 in every axis, got -1$"),
    (
        conv2d(stride=(1, 2, 3)),
        r"^stride must be one integer or one for each of the 2 spatial axes, got 3 entries: \(1, 2, 3",
    ),
    (conv2d(stride=2**63), r"^stride must be below 2\*\*63, got 9223372036854775808$"),
    (conv2d(weight=np.ones((2, 4, 6, 3))), "^the kernel is larger than the padded input: .* pad more"),
    (conv2d(x=np.ones((1, 4, 0, 5))), "^the kernel is larger than the padded input"),
    (conv2d(padding=-3), "^the kernel is larger than the padded input"),
    (conv2d(weight=np.ones((2, 4, 0, 3))), "^weight must have at least one tap on every spatial axis"),
    (transpose2d(padding=9), "^no output is left: padding .* crops the whole output"),
    (transpose2d(output_padding=1), "^output_padding must be smaller than stride or dilation in every axis"),
    # sizes that overflow
    (
        conv2d(padding=2**62),
        "^the padded input would have the shape .*, more elements than can be addressed; use a smaller",
    ),
    (conv2d(padding=2**61, stride=2**61), "^the padded input would have the shape"),
    (lambda: sr.conv2d(GIANT, np.ones((1, 1, 1, 1))), "^the padded input would have the shape"),
    (transpose2d(stride=2**60), "^the output would have the shape"),
    (lambda: sr.unfold(GIANT, 1), "^the padded input would have the shape"),
    # boundaries
    (
        lambda: sr.conv1d(np.ones((1, 1, 0)), np.ones((1, 1, 1)), padding=1, boundary="mirror"),
        "^boundary='mirror' cannot extend axis 0, which has no elements; use boundary='constant'$",
    ),
    (conv2d(boundary="reflect"), "^boundary='reflect' means two things: write 'mirror' .* or 'symmetric' for"),
    # unknown words
    (conv2d(boundary="mirrored"), "^boundary must be one of constant, edge, symmetric, mirror, wrap"),
    (conv2d(boundary="same"), "write padding='same'$"),
    (conv2d(padding="wrap"), "write boundary='wrap'$"),
    (conv2d(padding="some"), "^padding must be numbers or one of valid, same, same_lower, full, causal, got 'some'$"),
    (
        transpose2d(padding="full"),
        "^padding of a transposed convolution must be numbers, 'valid', 'same' or 'same_lower'",
    ),
    (conv2d(layout="NHCW"), "^layout must be NCHW or NHWC for 2 spatial axes, got 'NHCW'$"),
    (conv2d(layout="NWC"), "^layout must be NCHW or NHWC for 2 spatial axes, got 'NWC'$"),
    (
        lambda: sr.conv(X[..., None, None], W[..., None, None], layout="NHWC"),
        "^layout must be channels_first or channels_l",
    ),
    (conv2d(precision="double"), "^precision must be one of highest, high, medium, got 'double'$"),
    (conv2d(algorithm="fast"), f"^algorithm must be None or one of {', '.join(sorted(RULES))}, got 'fast'$"),
    (conv2d(activation="rely"), "^activation must be one of celu, elu, .*, tanhshrink.*, got 'rely'$"),
    # operands beside
    (conv2d(X, W, np.ones(3)), r"^bias must have one value for each of the 2 output channels, got the shape \(3,\)$"),
    (conv2d(X, W, 1.0), r"^bias must have one value for each of the 2 output channels, got the shape \(\)$"),
    (
        conv2d(X, W, np.ones((2, 3, 3))),
        r"^bias must have one value for each of the 2 output channels, got the shape \(2, ",
    ),
    (
        conv2d(residual=np.ones((1, 2, 3, 1))),
        r"^residual must have the shape of the result \(1, 2, 3, 3\), got \(1, 2, 3, 1\)$",
    ),
    (conv2d(fill=1j), "^fill=1j is complex, but the result is float64; pass a complex input$"),
    (
        conv2d(X.astype(int), W.astype(int), fill=0.5),
        "^fill=0.5 is no integer, but the operands are; pass them as floats",
    ),
    (conv2d(X.astype(int), W.astype(int), fill=np.nan), "^fill=nan is no integer"),
    (conv2d(X.astype(int), W.astype(int), fill=1 + 0j), r"^fill=\(1\+0j\) is no integer"),
    (conv2d(X * 1j, dtype=float), r"^dtype=float64 would lose the imaginary part; take .real or abs\(\) of the result"),
    (conv2d(X * 1j, dtype="int8"), r"^dtype=int8 would lose the imaginary part"),
    (conv2d([[1, 2], [3]]), "^x must be rectangular: its nested lists have different lengths$"),
    (conv2d(X, [[1, 2], [3]]), "^weight must be rectangular"),
]

TYPES = [
    (conv2d(stride=1.0), "^stride must be an integer, got 1.0$"),
    (conv2d(stride=(1, 1.5)), "^each entry of stride must be an integer, got 1.5$"),
    (conv2d(stride=None), "^stride must be an integer, got None$"),
    (conv2d(groups=True), "^groups must be an integer, got True$"),
    (conv2d(padding=0.5), "^padding must be an integer, got 0.5$"),
    (lambda: sr.conv(X, W, rank="2"), "^rank must be an integer, got '2'$"),
    (conv2d(boundary=0), "^boundary must be a word or a tuple of words, got 0$"),
    (conv2d(fill="zero"), "^fill must be a number, got 'zero'$"),
    (conv2d(fill=[0]), r"^fill must be a number, got \[0\]$"),
    (conv2d(dtype="float33"), "^dtype must be a NumPy type, got 'float33'$"),
    (conv2d(dtype=object), "^dtype must be bool, an integer, float16 to float64 or a complex type, got object$"),
    (conv2d(dtype=np.longdouble), "^dtype must be bool, an integer, float16 to float64 or a complex type, got"),
    (conv2d(activation=3), r"^activation must be a word, \(word, \*parameters\) or None, got 3$"),
    (conv2d(activation=()), r"^activation must be a word, \(word, \*parameters\) or None, got \(\)$"),
    (conv2d(activation=("relu", 1, 2)), r"^activation 'relu' does not take the parameters \(1, 2\)$"),
    (conv2d(X * 1j, activation="relu"), "^relu of complex numbers is not defined"),
    (
        conv2d(x="image.png"),
        "^x must be a NumPy array, got builtins.str: .*; pass a NumPy array or nested lists of numbers$",
    ),
    (conv2d(x=None), "^x must be a NumPy array, got builtins.NoneType"),
    (conv2d(weight={}), "^weight must be a NumPy array, got builtins.dict"),
    (conv2d(X, W, SimpleNamespace()), "^bias must be a NumPy array, got types.SimpleNamespace"),
    (conv2d(residual={1}), "^residual must be a NumPy array, got builtins.set"),
    (
        conv2d(x=X.astype(object)),
        r"^x has the element type object; use booleans, .*, for example x.astype\(numpy.float64\)$",
    ),
    (conv2d(x=X.astype(np.longdouble)), "^x has the element type float128; use"),
    (conv2d(x=X.astype(np.clongdouble)), "^x has the element type complex256; use"),
    (conv2d(x=np.array([["a"]])), "^x has the element type <U1"),
    (conv2d(x=X.astype("M8[s]")), "^x has the element type datetime64"),
    (conv2d(weight=np.zeros((2, 2), "i4,f4")), "^weight has the element type"),
    (
        conv2d(x=np.ma.masked_array(X, X > 0)),
        r"^x is a masked array, whose mask would be lost; pass x.filled\(value\), or its data with mask=~numpy.ma",
    ),
    (conv2d(x=[np.ma.masked_array([1.0])]), "^an entry of x is a masked array"),
    (lambda: sr.conv2d(X, input=X, weight=W), "^conv2d got both 'x' and 'input', which name the same argument$"),
    (lambda: sr.conv2d(x=X, input=X, weight=W), "^conv2d got both 'x' and 'input'"),
]


@pytest.mark.parametrize(("call", "message"), ARGUMENTS)
def test_values_are_refused(call, message):
    with pytest.raises(InvalidArgument, match=message):
        call()


@pytest.mark.parametrize(("call", "message"), TYPES)
def test_kinds_are_refused(call, message):
    with pytest.raises(InvalidType, match=message):
        call()


WAYS_OUT = {
    "torch": r"pass tensor.detach\(\).cpu\(\).numpy\(\)",
    "dask.array.core": r"compute it first .*, or apply the function to its blocks with dask.array.map_ov.*",
    "xarray.core.dataarray": r"pass its values \(x.values\), or use xarray.apply_ufunc",
    "cupy": r"copy it to the host first: cupy.asnumpy\(x\)",
    "jax": r"pass numpy.asarray\(x\)",
    "tensorflow.python": r"pass x.numpy\(\)",
    "PIL.Image": r"pass numpy.asarray\(image\)",
    "pandas.core.frame": r"pass x.to_numpy\(\)",
    "zarr": r"read the part you need: x\[...\]",
    "h5py": r"read the part you need: x\[...\]",
    "numba.cuda": "copy it to the host as a NumPy array first",
    "somewhere": r"convert it yourself with numpy.asarray\(x\), knowing that it is loaded whole",
}


@pytest.mark.parametrize("module", WAYS_OUT)
@pytest.mark.parametrize("place", ["x", "weight", "bias", "residual", "entry"])
def test_lazy_and_foreign_arrays_are_refused_without_being_loaded(module, place):
    def loads(self, *args, **kwargs):
        raise AssertionError("the array was loaded")

    members = {"__array__": loads, "__array_interface__": property(loads), "__len__": loads, "__module__": module}
    if module in ("cupy", "numba.cuda"):
        members["__cuda_array_interface__"] = {}
    foreign = type("Array", (), members)()
    words = {
        "x": X,
        "weight": np.ones((4, 4, 3, 3)),
        ("x" if place == "entry" else place): [foreign] if place == "entry" else foreign,
    }
    where = "an entry of x" if place == "entry" else place
    refusal = f"^{where} must be a NumPy array, got {module}.Array: lazy and foreign arrays are not loaded; "
    for function in (sr.conv2d, sr.conv_transpose2d):
        with pytest.raises(InvalidType, match=refusal + WAYS_OUT[module] + "$"):
            function(**words)


NAMES = [
    "conv", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    "depthwise_conv1d", "depthwise_conv2d", "depthwise_conv3d", "depthwise_separable_conv2d", "fold",
    "locally_connected1d", "locally_connected2d", "locally_connected3d", "pointwise_conv2d", "tiled_conv2d", "unfold",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_function_refuses_wrong_words(name):
    rank = int(name[-2]) if name[-2].isdigit() else 2
    size, kernel = (4,) * rank, (2,) * rank
    x = np.ones((1, 1, *size))
    weight = np.ones((1, 1, *(1,) * rank)) if name == "pointwise_conv2d" else np.ones((1, 1, *kernel))
    if name.startswith(("locally", "tiled")):
        weight = np.ones((1, 1, *(3,) * rank, *kernel))
    positional = {
        "fold": (np.ones((1, 4, 9)), (4, 4), 2),
        "unfold": (x, kernel),
        "depthwise_separable_conv2d": (x, weight, np.ones((1, 1))),
    }.get(name, (x, weight))
    function = getattr(sr, name)
    parameters = inspect.signature(function).parameters
    expected = function(*positional)
    out = np.full(expected.shape, 7.0)
    wrong = {
        "algorithm": "slow", "precision": "double", "boundary": "reflect", "layout": "NCC", "activation": "rely",
        "dtype": "no type", "stride": 0, "dilation": 0, "padding": "some", "groups": 0, "fill": "zero",
        "residual": np.ones(2), "bias": np.ones(5), "output_padding": -1, "depthwise_bias": np.ones(5),
        "depthwise_activation": "rely",
    }  # fmt: skip
    given = {word: value for word, value in wrong.items() if word in parameters}
    assert {"algorithm", "out"} <= set(parameters)
    for word, value in given.items():
        with pytest.raises(StrideruleError, match=rf"^{word}\b"):
            function(*positional, **{word: value}, out=out)
    with pytest.raises(InvalidArgument, match=r"^out must have the shape"):
        function(*positional, out=np.ones(1))
    with pytest.raises(InvalidArgument, match=r"^out overlaps an input"):
        whole = np.ones(positional[0].size + out.size)
        shared = whole[: positional[0].size].reshape(positional[0].shape)
        function(shared, *positional[1:], out=whole[positional[0].size - 1 :][: out.size].reshape(out.shape))
    assert (out == 7).all()
    first = next(iter(parameters))
    np.testing.assert_array_equal(
        function(input=positional[0], **dict(zip(list(parameters)[1:], positional[1:], strict=False))), expected
    )
    with pytest.raises(InvalidType, match=rf"^{name} got both '{first}' and 'input'"):
        function(*positional, input=positional[0])


def test_nothing_is_computed_before_a_refusal(monkeypatch):
    def family(*args):
        module = ModuleType("algorithms")
        for operation in ("convolution", "local_convolution", "transposed_convolution", "unfold", "fold"):
            setattr(module, operation, lambda *args: pytest.fail("it was computed"))
        return module

    monkeypatch.setattr(table, "family", family)
    for call, message in ARGUMENTS:
        with pytest.raises(InvalidArgument, match=message):
            call()
    for call, message in TYPES:
        with pytest.raises(InvalidType, match=message):
            call()
    separable = (np.ones((1, 2, 4, 4)), np.ones((2, 3, 3)), np.ones((1, 2)))
    for words in ({"bias": np.ones(2)}, {"out": np.ones(3)}, {"activation": "rely"}, {"residual": np.ones(3)}):
        for operands in (separable, tuple(part.astype(int) for part in separable)):
            with pytest.raises(InvalidArgument):
                sr.depthwise_separable_conv2d(*operands, **words)


def test_arrays_of_libraries_that_are_numpy_arrays_are_taken(tmp_path):
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    np.testing.assert_array_equal(sr.conv2d(mapped, W), sr.conv2d(X, W))
    assert type(sr.conv2d(mapped, W)) is np.ndarray
