"""Kernels written on the command line."""

import numpy as np
import pytest

from striderule import kernels
from striderule.cli.specs import KernelError, names, parse, usage


@pytest.mark.parametrize(
    ("text", "kernel"),
    [
        ("gaussian:2", kernels.gaussian(2)),
        ("gaussian:1,5", kernels.gaussian(1, 5)),
        ("gaussian:sigma=2,size=5", kernels.gaussian(2, size=5)),
        ("gaussian:(1,2)", kernels.gaussian((1, 2))),
        ("gaussian:1,order=(0,1)", kernels.gaussian(1, order=(0, 1))),
        ("box:5", kernels.box(5)),
        ("box:(3,5)", kernels.box((3, 5))),
        ("sobel:axis=0", kernels.sobel(0)),
        ("sobel:1", kernels.sobel(1)),
        ("scharr:0,normalize=true", kernels.scharr(0, normalize=True)),
        ("laplace:connectivity=2", kernels.laplace(connectivity=2)),
        ("identity", kernels.identity()),
        ("sharpen", kernels.sharpen()),
        (" [[0,-1,0],[-1,5,-1],[0,-1,0]] ", np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]])),
        ("[[1e-1, .5]]", np.array([[0.1, 0.5]])),
        ("((1,),(2,))", np.array([[1], [2]])),
        ("[[true,false]]", np.array([[1, 0]])),
    ],
)
def test_one_kernel(text, kernel):
    (part,) = parse(text).parts
    assert np.array_equal(part, kernel)


@pytest.mark.parametrize("name", ["sobel", "scharr", "prewitt", "roberts"])
def test_gradients_without_axis_are_pairs(name):
    found = parse(name)
    function = getattr(kernels, name)
    assert [part.tolist() for part in found.parts] == [function(0).tolist(), function(1).tolist()]
    assert found.is_derivative


def test_gabor_is_a_pair():
    real, imaginary = parse("gabor:0.2,theta=1").parts
    assert np.array_equal(real + 1j * imaginary, kernels.gabor(0.2, theta=1))


@pytest.mark.parametrize(
    ("text", "derivative"),
    [("sobel:0", True), ("laplace", True), ("log:2", True), ("dog:1", True), ("[[-1,1]]", True), ("sharpen", False),
     ("emboss", False), ("box:3", False), ("[[0]]", False), ("unsharp:2", False)],
)  # fmt: skip
def test_which_kernels_are_derivatives(text, derivative):
    assert parse(text).is_derivative is derivative


def test_small_whole_numbers_stay_exact():
    assert parse("[[1,-300]]").parts[0].dtype == np.int16
    assert parse("[[1,40000]]").parts[0].dtype == np.int64


def test_file(tmp_path):
    path = tmp_path / "k.npy"
    np.save(path, np.array([[0.5, 0.25]]))
    assert parse(str(path)).parts[0].tolist() == [[0.5, 0.25]]
    np.save(path, np.array([object()]), allow_pickle=True)
    with pytest.raises(KernelError, match="is no plain NumPy array"):
        parse(str(path))
    path.write_bytes(b"nothing")
    with pytest.raises(KernelError, match="is no plain NumPy array"):
        parse(str(path))
    with pytest.raises(KernelError, match=r"the kernel file gone\.npy does not exist"):
        parse("gone.npy")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gausian:2", r"unknown kernel 'gausian'; did you mean gaussian\? known: box, disk, "),
        ("", "unknown kernel ''; known: "),
        ("gaussian_profile:2", "unknown kernel"),
        ("gaussian", r"gaussian is written gaussian:sigma\[,size\].*missing a required argument: 'sigma'"),
        ("gaussian:", r"missing a required argument: 'sigma'"),
        ("gaussian:2,width=3", "unexpected keyword argument 'width'"),
        ("gaussian:ndim=3,sigma=1", "gaussian is written gaussian:sigma"),
        ("gaussian:-1", "gaussian: sigma must be"),
        ("gaussian:(1,2,3)", r"gaussian is written gaussian:sigma.* for pictures, got a kernel of 3 dimensions"),
        ("box:1,7", r"box is written box:size for pictures, .*; two sizes are written \(3,5\)"),
        ("gaussian:sigma=2,sigma=3", "gaussian is written gaussian:sigma"),
        ("box:__import__('os')", "box is written box:size with plain values"),
        ("box:5)(", "box is written box:size with plain values"),
        ("box:**{}", "box is written box:size with plain values"),
        ("sobel:2", "sobel: axis"),
        ("[[1,2],[3]]", "the kernel must have rows of equal length"),
        ("[1,2,1]", r"must have two dimensions \(rows of numbers\), got shape \(3,\); write a row as"),
        ("[[[1]]]", "must have two dimensions"),
        ("[[]]", "must have two dimensions"),
        ("[[1,2", "--kernel must be rows of numbers"),
        ("[[a]]", "--kernel must be rows of numbers"),
        ("[['a']]", "must hold real numbers"),
        ("[[1j]]", "must hold real numbers"),
        ("[[1e999]]", "must hold finite numbers"),
        ("[[1e300,1]]", r"the kernel must hold numbers that float32 holds, up to 3.4e38, got 1e\+300"),
    ],
)
def test_refusals(text, message):
    with pytest.raises(KernelError, match=message):
        parse(text)


def test_every_name_has_a_usage():
    for name in names():
        assert usage(name).startswith(name)
    assert usage("sobel") == "sobel[:axis][,normalize=]"
    assert usage("gaussian", brief=True) == "gaussian:sigma[,size]"
