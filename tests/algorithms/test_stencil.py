"""Image correlation on generated code, on every target that this machine runs, against NumPy and the plain loops."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import striderule as sr
from oracles.images import looped
from oracles.memories import KINDS, guarded, other_memory, standing
from striderule.algorithms.direct import proof
from striderule.algorithms.reference import stencil as reference
from striderule.algorithms.stencil import call, cutting, stencil
from striderule.algorithms.stencil.cutting import Cut
from striderule.algorithms.windows import stencil as windows
from striderule.codegen import target
from striderule.errors import InvalidArgument
from striderule.functional import recipes
from striderule.geometry.problem import Convolution

TARGETS = target.available()
BOUNDARIES = ["constant", "edge", "mirror", "symmetric", "wrap"]
TYPES = ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "float16", "float32", "float64"]


@pytest.fixture(params=TARGETS, ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    monkeypatch.setattr(call, "current", lambda: request.param)
    return request.param


def drawn_image(rng, shape, dtype):
    """Draw small numbers, of which sums are exact in every type."""
    return rng.integers(0 if dtype[0] in "ub" else -9, 2 if dtype == "bool" else 10, shape).astype(dtype)


def drawn(rng, most=4e4):
    """Draw a problem, its image and its kernel, of which a part is zero."""
    while True:
        rank = int(rng.choice([1, 2, 2, 2, 3]))
        size = rng.choice([1, 2, 3, 7, 40, 75] if rank < 3 else [1, 2, 5, 9, 20], rank).tolist()
        kernel = rng.choice([1, 2, 3, 3, 4, 5, 9], rank).tolist()
        source = str(rng.choice(TYPES))
        work = str(rng.choice(["float32", "float64", *(["int32", "int64"] if source[0] in "bui" else [])]))
        final = str(rng.choice([work, *TYPES]))
        dilation = rng.choice([1, 1, 2, 3], rank).tolist()
        reach = [(k - 1) * d for k, d in zip(kernel, dilation, strict=True)]
        padding = [(r // 2, r - r // 2) for r in reach] if rng.integers(4) else [(r, r) for r in reach]
        words = {
            "stride": rng.choice([1, 1, 1, 2, 3], rank).tolist(),
            "dilation": dilation,
            "padding": padding,
            "boundary": [tuple(pair) for pair in rng.choice(BOUNDARIES, (rank, 2)).tolist()],
            "dtype": work,
            "stored": (source, final),
            "overflow": str(rng.choice(["saturate", "wrap"])) if source[0] in "bui" else "saturate",
        }
        planes = rng.integers(1, 4, int(rng.choice([0, 0, 1, 2]))).tolist()
        problem = Convolution.from_shapes((int(np.prod(planes)), 1, *size), (1, 1, *kernel), zero_taps="skip", **words)
        if problem.multiply_adds <= most:
            break
    x = other_memory(drawn_image(rng, (*planes, *size), source), int(rng.integers(KINDS)), channel=0)
    taps = rng.integers(-3, 4, kernel).astype(work)
    return problem, x, taps, int(rng.integers(2))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("many", [1, 1 << 15], ids=["written", "looped"])
def test_drawn_images_give_what_numpy_gives(machine, seed, many, monkeypatch):
    """Small integers: all sums are exact, whatever their type and order."""
    monkeypatch.setattr(cutting, "MANY", many)
    call._call_for.cache_clear()
    rng = np.random.default_rng(seed + 10 * TARGETS.index(machine))
    for _ in range(3 if many == 1 else 8):
        problem, x, taps, fill = drawn(rng)
        expected = windows.stencil(problem, x, taps, fill)
        found = stencil.stencil(problem, x, taps, fill)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected, f"{problem}, strides {x.strides}")
        out = other_memory(np.full_like(expected, 1), int(rng.integers(KINDS)), channel=0)
        assert stencil.stencil(problem, x, taps, fill, out) is out
        np.testing.assert_array_equal(out, expected, f"{problem}, strides {x.strides}, {out.strides}")
    call._call_for.cache_clear()


def test_reals_have_the_digits_of_float64(machine):
    rng = np.random.default_rng(4)
    for kernel, dtype in (((3, 3), "float32"), ((15, 16), "float32"), ((1, 200), "float32"), ((3, 3), "float64")):
        x, taps = rng.standard_normal((70, 300)).astype(dtype), rng.standard_normal(kernel).astype(dtype)
        exact = sr.correlate(x.astype(np.float64), taps.astype(np.float64), algorithm="windows")
        found = sr.correlate(x, taps, algorithm="stencil")
        unit = float(np.finfo(dtype).eps)
        assert np.linalg.norm(found - exact) <= 3 * unit * np.linalg.norm(exact)


def test_the_loops_of_the_definition_agree(machine):
    rng = np.random.default_rng(5)
    for boundary in (*BOUNDARIES, (("wrap", "edge"), ("constant", "mirror"))):
        x, taps = rng.integers(0, 256, (5, 37)).astype(np.uint8), rng.integers(-2, 3, (4, 3))
        found = sr.correlate(x, taps, boundary=boundary, fill=7, algorithm="stencil")
        np.testing.assert_array_equal(found, looped(x, taps, boundary=boundary, fill=7))


@pytest.mark.parametrize("many", [1, 1 << 15], ids=["written", "looped"])
@pytest.mark.parametrize("layout", ["columns", "channels", "turned"])
def test_nothing_outside_of_the_operands_is_touched(machine, layout, many, monkeypatch):
    monkeypatch.setattr(cutting, "MANY", many)
    call._call_for.cache_clear()
    rng = np.random.default_rng(6)
    steps = {"columns": (200, 1), "channels": (603, 3), "turned": (-200, -1)}[layout]
    for source, final, stride in (("float32", "float32", 1), ("uint8", "uint8", 1), ("uint16", "float32", 2)):
        for boundary, pads in (("constant", 0), ("mirror", 1)):
            image = drawn_image(rng, (9, 200), source)
            taps = rng.integers(0, 3, (3, 3)).astype(np.float32)
            problem = Convolution.from_shapes(
                (1, 1, 9, 200), (1, 1, 3, 3), padding=pads, boundary=boundary, zero_taps="skip", stride=(1, stride),
                stored=(source, final),
            )  # fmt: skip
            expected = windows.stencil(problem, image, taps)
            for before in (False, True):
                out = guarded(np.ones_like(expected), before=before)
                stencil.stencil(problem, standing(image, steps, before=before), guarded(taps), 0, out)
                np.testing.assert_array_equal(out, expected)
    call._call_for.cache_clear()


@pytest.mark.parametrize("kernel", [(3, 3), (1, 6), (5, 7)])
@pytest.mark.parametrize("source", ["float32", "uint8"])
def test_streamed_results_are_the_same_at_any_address(machine, kernel, source, monkeypatch):
    """Aligned to vectors, to elements and to bytes; in lines that are as aligned and others; between guard pages."""
    monkeypatch.setattr(call, "FAR", 0)
    monkeypatch.setattr(cutting, "STREAMED", 128)
    call._call_for.cache_clear()
    rng = np.random.default_rng(14)
    taps = rng.standard_normal(kernel).astype(np.float32)
    for width in (16, 320, 333):
        x = drawn_image(rng, (11, width), source)
        expected = sr.correlate(x, taps, boundary="wrap", algorithm="windows", dtype=np.float32)
        for shift in (0, 4, 16, 7):
            out = np.zeros(expected.nbytes + 128, np.uint8)
            start = -out.ctypes.data % 64 + shift
            view = out[start : start + expected.nbytes].view(np.float32).reshape(expected.shape)
            sr.correlate(x, taps, boundary="wrap", algorithm="stencil", out=view)
            np.testing.assert_allclose(view, expected, rtol=1e-5, atol=1e-4)
            assert not out[:start].any()
            assert not out[start + expected.nbytes :].any()
        exact = sr.correlate(x, np.rint(taps), boundary="wrap", algorithm="windows", dtype=np.float32)
        for before in (False, True):
            problem = Convolution.from_shapes(
                (1, 1, 11, width), (1, 1, *kernel), padding=tuple((k // 2, (k - 1) // 2) for k in kernel),
                boundary="wrap", zero_taps="skip", stored=(source, "float32"),
            )  # fmt: skip
            near = guarded(np.ones_like(exact), before=before)
            stencil.stencil(problem, guarded(x, before=before), guarded(np.rint(taps)), 0, near)
            np.testing.assert_array_equal(near, exact)
    call._call_for.cache_clear()


def test_the_same_bits_in_every_layout_and_with_any_number_of_threads(machine, monkeypatch):
    """And whether taps are written out or looped over, with strides and without, in planes and alone."""
    rng = np.random.default_rng(7)
    x, taps = rng.standard_normal((2, 90, 100)), rng.standard_normal((5, 4))
    words = {"axes": (1, 2), "algorithm": "stencil"}
    expected = sr.correlate(x, taps, **words)
    for kind in range(KINDS):
        np.testing.assert_array_equal(sr.correlate(other_memory(x, kind), taps, **words), expected)
    np.testing.assert_array_equal(sr.correlate(x, taps, stride=(3, 2), **words), expected[:, ::3, ::2])
    np.testing.assert_array_equal(sr.correlate(x[1], taps, algorithm="stencil"), expected[1])
    monkeypatch.setattr(cutting, "MANY", 1)
    call._call_for.cache_clear(), recipes.forget()
    np.testing.assert_array_equal(sr.correlate(x, taps, **words), expected)
    monkeypatch.setattr(call, "ALONE", 0)
    call._call_for.cache_clear(), recipes.forget()
    before = sr.get_num_threads()
    try:
        for threads in (1, 2, 3):
            sr.set_num_threads(threads)
            np.testing.assert_array_equal(sr.correlate(x, taps, **words), expected)
    finally:
        sr.set_num_threads(before)
        call._call_for.cache_clear()


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (2, 2), (400, 3), (3, 400), (0, 4), (4, 0), (1, 4000)])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 5), (9, 1), (1, 40), (17, 17)])
def test_images_of_odd_shapes(shape, kernel):
    rng = np.random.default_rng(8)
    x, taps = rng.integers(0, 256, shape).astype(np.uint8), rng.integers(-3, 4, kernel)
    for boundary in ("mirror", "wrap") if min(shape) else ("constant",):
        found = sr.correlate(x, taps, boundary=boundary, algorithm="stencil")
        np.testing.assert_array_equal(found, sr.correlate(x, taps, boundary=boundary, algorithm="windows"))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_stays_within_reach(machine, value):
    """And where taps are zero it contributes nothing."""
    x = np.ones((40, 90), np.float32)
    x[[7, 0, 39], [13, 0, 89]] = value
    cross = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32)
    found = sr.correlate(x, cross, algorithm="stencil")
    np.testing.assert_array_equal(found, sr.correlate(x, cross, algorithm="windows"))
    assert np.isfinite(found[7, 13])


@pytest.mark.parametrize("final", ["uint8", "int8", "bool", "uint16", "int32", "uint64"])
def test_rounding_is_half_to_even_and_limits_hold(machine, final):
    values = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 126.5, 127.5, 254.5, 255.5, 65534.5, 65536, 3e9, 2e19, -2e19, np.inf])
    for dtype in (np.float32, np.float64):
        x = np.resize(values, (3, 40)).astype(dtype)
        found = sr.correlate(x, np.ones((1, 1), dtype), dtype=final, algorithm="stencil")
        np.testing.assert_array_equal(found, sr.correlate(x, np.ones((1, 1), dtype), dtype=final, algorithm="windows"))
        x[1, 5] = np.nan
        with pytest.raises(InvalidArgument, match="the result holds NaN"):
            sr.correlate(x, np.ones((1, 1), dtype), dtype=final, algorithm="stencil")


def test_a_kernel_of_zeros_gives_zeros():
    x = np.full((3, 4), np.nan)
    assert not sr.correlate(x, np.zeros((3, 3)), algorithm="stencil").any()


def test_long_sums_are_chains(machine):
    """Where a float32 chain of all terms would lose the small ones."""
    x = np.ones((4, 3000), np.float32)
    found = sr.correlate(x, np.full((3, 900), 0.1, np.float32), algorithm="stencil", boundary="wrap")
    np.testing.assert_allclose(found, 270.0, rtol=3e-6)


def test_no_routine_is_trusted_on_other_machines(machine, monkeypatch):
    """Each is compared with NumPy first, in every layout."""
    monkeypatch.setattr(proof, "PROVED", ())
    call._call_for.cache_clear()
    proof.forget()
    rng = np.random.default_rng(9)
    for _ in range(3):
        problem, x, taps, fill = drawn(rng)
        np.testing.assert_array_equal(
            stencil.stencil(problem, x, taps, fill), windows.stencil(problem, x, taps, fill), f"{problem}"
        )
    call._call_for.cache_clear()
    proof.forget()


def test_the_work_is_cut_the_same_for_any_batch():
    cuts = []
    for batch in (1, 7):
        x = np.empty((batch, 300, 400), np.float32)
        problem = Convolution.from_shapes((batch, 1, 300, 400), (1, 1, 3, 3), padding=1, zero_taps="skip")
        layout = call.Layout.of(problem, call.ArrayInfo.of(x), call.ArrayInfo.of(x))
        cuts.append(Cut.of(problem, layout, [(0, 1, 1), (0, 2, 0)], call.ArrayInfo.of(x), TARGETS[0]))
    assert cuts[0].bands == cuts[1].bands
    assert cuts[0].strip == cuts[1].strip


def test_the_definition_agrees_in_three_axes(machine):
    rng = np.random.default_rng(10)
    x, taps = rng.integers(0, 9, (3, 5, 4, 6)).astype(np.int16), rng.integers(-2, 3, (3, 2, 3)).astype(np.int32)
    problem = Convolution.from_shapes(
        (3, 1, 5, 4, 6), (1, 1, 3, 2, 3), padding=(1, (0, 1), 1), zero_taps="skip", dtype="int32",
        stored=("int16", "int32"), boundary="symmetric",
    )  # fmt: skip
    np.testing.assert_array_equal(stencil.stencil(problem, x, taps), reference.stencil(problem, x, taps))


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_lengths_of_several_kernels_in_one_pass(machine, scale):
    """Of floats whose squares float32 does not hold, too; in every layout, and saturated."""
    rng = np.random.default_rng(11)
    x = (rng.standard_normal((3, 40, 75)) * scale).astype(np.float32)
    kernels = np.stack([np.outer([1, 2, 1], [-1, 0, 1]), np.outer([-1, 0, 1], [1, 2, 1])]).astype(np.float32)
    problem = Convolution.from_shapes(
        (3, 1, 40, 75), (2, 1, 3, 3), padding=1, boundary="mirror", zero_taps="skip", stored=("float32", "float32")
    )
    wide = [sr.correlate(x.astype(float), kernel, boundary="mirror", axes=(1, 2)) for kernel in kernels]
    for kind in range(KINDS):
        found = stencil.lengths(problem, other_memory(x, kind, channel=0), kernels)
        np.testing.assert_allclose(found, np.hypot(*wide), rtol=3e-5, atol=1e-6 * scale)
    pixels = rng.integers(0, 256, (3, 40, 75)).astype(np.uint8)
    out = np.empty((3, 40, 75), np.uint8)
    small = replace(problem, stored=("uint8", "uint8"))
    wide = [sr.correlate(pixels, kernel, boundary="mirror", axes=(1, 2)) for kernel in kernels]
    assert stencil.lengths(small, pixels, kernels, 0, out) is out
    np.testing.assert_array_equal(out, np.minimum(np.rint(np.hypot(*wide)), 255).astype(np.uint8))


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_lengths_and_directions_of_several_kernels_in_one_pass(machine, dtype):
    """And the sums themselves, in the bits that each kernel gives alone; in every layout and at any address."""
    rng = np.random.default_rng(12)
    work = "float64" if dtype == "float64" else "float32"
    x = drawn_image(rng, (3, 40, 75), dtype)
    kernels = np.stack([np.outer([-1, 0, 1], [3, 10, 3]), np.outer([3, 10, 3], [-1, 0, 1])]).astype(work)
    problem = Convolution.from_shapes(
        (3, 1, 40, 75), (2, 1, 3, 3), padding=1, boundary="mirror", zero_taps="skip", stored=(dtype, work), dtype=work
    )
    alone = replace(problem, out_channels=1)
    # Half of the layouts, the others for the next target.
    for kind in range((TARGETS.index(machine) + len(dtype)) % 2, KINDS, 2):
        image = other_memory(x, kind, channel=0)
        length, angle, down, right = stencil.together(problem, image, kernels, 0, ("length", "direction", "sums"))
        for found, kernel in zip((down, right), kernels, strict=True):
            np.testing.assert_array_equal(found, stencil.stencil(alone, image, kernel))
        unit = np.finfo(work).eps
        np.testing.assert_allclose(length, np.hypot(*np.float64([down, right])), rtol=2 * unit)
        np.testing.assert_allclose(angle, np.arctan2(*np.float64([down, right])), rtol=3 * unit, atol=1e-30)
    (flat,) = stencil.together(problem, np.zeros_like(x), kernels, 0, ("direction",))
    assert not flat.any()
    assert not np.signbit(flat).any()


@pytest.mark.parametrize("final", ["uint8", "float32"])
def test_many_kernels_in_one_reading_give_the_bits_of_each(machine, final):
    """Of different zeros, one of them all zeros; between guard pages."""
    rng = np.random.default_rng(13)
    kernels = rng.integers(-2, 3, (7, 3, 5)).astype(np.float32) / 3
    kernels[-1] = 0
    for source in ("uint8", "float32"):
        x = guarded(drawn_image(rng, (21, 90), source))
        problem = Convolution.from_shapes(
            (1, 1, 21, 90), (7, 1, 3, 5), padding=(1, 2), boundary="wrap", zero_taps="skip", stored=(source, final)
        )
        out = guarded(np.ones((7, 21, 90), final))
        stencil.together(problem, x, kernels[::2], 0, ("sums",), list(out[::2]))
        stencil.together(problem, x, kernels[[5, 3, 1]], 0, ("sums",), [out[5], out[3], out[1]])
        alone = replace(problem, out_channels=1)
        for found, kernel in zip(out, kernels, strict=True):
            np.testing.assert_array_equal(found, stencil.stencil(alone, x, kernel))


def test_results_of_several_kernels_are_tried_where_no_test_has_run(machine, monkeypatch):
    monkeypatch.setattr(proof, "PROVED", ())
    call._call_for.cache_clear()
    proof.forget()
    x = drawn_image(np.random.default_rng(14), (9, 40), "float32")
    kernels = np.stack([sr.kernels.sobel(0), sr.kernels.sobel(1)]).astype(np.float32)
    problem = Convolution.from_shapes(
        (1, 1, 9, 40), (2, 1, 3, 3), padding=1, zero_taps="skip", stored=("float32", "float32")
    )
    found = stencil.together(problem, x, kernels, 0, ("length", "direction"))
    np.testing.assert_allclose(found[1], np.arctan2(*(windows.stencil(replace(problem, out_channels=1), x, k)
                               for k in kernels)), rtol=1e-6)  # fmt: skip
    call._call_for.cache_clear()
    proof.forget()
