"""Passes along the axes: drawn images, kernels and borders against sums in float64, on every target."""

import itertools

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from oracles.images import outside
from oracles.memories import KINDS, guarded, other_memory, standing
from striderule.algorithms.images.factors import factored, outer, profiles_of
from striderule.algorithms.images.tables import shown
from striderule.algorithms.images.terms import Terms
from striderule.algorithms.separable import stencil as separable
from striderule.algorithms.separable.doubling import levels_of
from striderule.algorithms.separable.sides import pieces
from striderule.algorithms.windows import stencil as windows
from striderule.codegen import target, workers
from striderule.errors import CompilationFailed
from striderule.geometry.problem import Convolution

BOUNDARIES = ["constant", "edge", "mirror", "symmetric", "wrap"]
TARGETS = [one.name for one in target.available() if one.name != "amx"]
PIXELS = ["uint8", "int8", "uint16", "int16", "bool", "float16", "float32", "int32", "uint32", "float64"]


@pytest.fixture(params=TARGETS)
def on_target(request, monkeypatch):
    monkeypatch.setenv("STRIDERULE_TARGET", request.param)
    target.forget()
    yield request.param
    monkeypatch.undo()
    target.forget()


@pytest.fixture
def never_gives_way(monkeypatch):
    def refuse(*_):
        raise AssertionError("it gave way")

    monkeypatch.setattr(windows, "stencil", refuse)


def expected(problem, x, kernel, fill):
    """Return the sums in float64: the image extended position by position, then the profiles of each term."""
    first = x.ndim - problem.rank
    wide = x.astype(np.float64)
    for axis in range(problem.rank):
        n, (before, after), words = problem.size[axis], problem.padding[axis], problem.boundary[axis]
        places = [outside(i, n, words[0] if i < 0 else words[1]) for i in range(-before, n + after)]
        wide = np.take(wide, [place or 0 for place in places], axis=first + axis)
        wide[(slice(None),) * (first + axis) + ([place is None for place in places],)] = fill
    total = 0
    for term in kernel.terms:
        sums = wide
        for axis, profile in enumerate(term):
            reach = (problem.output_size[axis] - 1) * problem.stride[axis] + 1
            gap, place = problem.dilation[axis], first + axis
            parts = [
                np.take(sums, np.arange(t * gap, t * gap + reach, problem.stride[axis]), axis=place) * float(w)
                for t, w in enumerate(profile)
                if w != 0
            ]
            sums = sum(parts)
        total = total + sums
    return total / kernel.divisor


def problem_of(shape, planes, kernel, dtype, stored, rng=None, **words):
    """Return the problem of an image whose axes but the first `planes` are filtered."""
    size = shape[planes:]
    sides = [
        (k // 2 * d, (k - 1 - k // 2) * d)
        for k, d in zip(kernel.shape, words.get("dilation", (1,) * len(size)), strict=True)
    ]
    return Convolution.from_shapes(
        (int(np.prod(shape[:planes])), 1, *size), (1, 1, *kernel.shape), padding=sides, zero_taps="skip", dtype=dtype,
        stored=stored, **words,
    )  # fmt: skip


def drawn_image(rng, shape, dtype):
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if np.dtype(dtype).kind == "f":
        return rng.normal(size=shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype, endpoint=True)


def drawn(rng, *, equal=False):
    """Draw a problem, its image and its kernel."""
    rank = int(rng.integers(1, 4))
    planes = int(rng.integers(0, 3))
    most = {1: 140, 2: 60, 3: 14}[rank]
    shape = tuple(rng.integers(1, 4, planes).tolist()) + tuple(rng.integers(1, most, rank).tolist())
    dtype = str(rng.choice(PIXELS))
    work = "float64" if dtype in ("int32", "uint32", "float64") else "float32"
    lengths = [int(rng.choice([1, 2, 3, 5, 8, 16, 17, 33, 70, 140])) for _ in range(rank)]
    profiles = [np.ones(k) if equal else rng.normal(size=k) for k in lengths]
    divisor = float(np.prod(lengths)) if equal else 1
    if not equal and rng.random() < 0.3:
        for profile in profiles:
            profile[rng.random(len(profile)) < 0.3] = 0
    profiles = [profile if profile.any() else profile + 1 for profile in profiles]
    kernel = Terms.outer([profile.astype(work) for profile in profiles], divisor)
    words = [tuple(map(str, rng.choice(BOUNDARIES, 2))) for _ in range(rank)]
    result = dtype if equal else str(rng.choice([work, "float32", "float64"]))
    stride = tuple(int(n) for n in rng.choice([1, 1, 1, 2, 3], rank))
    dilation = tuple(int(n) for n in rng.choice([1, 1, 1, 2], rank))
    problem = problem_of(shape, planes, kernel, work, (dtype, result), boundary=words, stride=stride, dilation=dilation)
    return problem, drawn_image(rng, shape, dtype), kernel, 1 if dtype == "bool" else 3


def close(problem, got, wanted, x, kernel, fill):
    """Tell whether results are right: to rounding, or as integers that are rounded right where no tie is near."""
    size = expected(
        problem,
        np.abs(x.astype(float)),
        Terms(tuple(tuple(map(np.abs, t)) for t in kernel.terms), kernel.divisor),
        abs(fill),
    )
    unit = 1e-5 if "float32" in (problem.dtype, problem.stored[1]) else 1e-13
    final = np.dtype(problem.stored[1])
    assert got.dtype == final
    assert got.shape == wanted.shape
    if final.kind in "iub":
        low, high = (0, 1) if final.kind == "b" else (np.iinfo(final).min, np.iinfo(final).max)
        return (np.abs(got.astype(float) - np.clip(wanted, low, high)) <= 0.5 + unit * size).all()
    if final == np.float16:
        unit = 1e-3
    return (np.abs(got - wanted) <= unit * size + 1e-30).all()


@pytest.mark.parametrize("seed", range(7))
@pytest.mark.usefixtures("never_gives_way")
def test_outer_products_equal_their_sums(seed, on_target):
    rng = np.random.default_rng([seed, TARGETS.index(on_target)])
    problem, x, kernel, fill = drawn(rng)
    x = other_memory(x, int(rng.integers(KINDS)), channel=0)
    wanted = expected(problem, x, kernel, fill)
    assert close(problem, separable.stencil(problem, x, kernel, fill), wanted, x, kernel, fill)


@pytest.mark.parametrize("seed", range(7))
@pytest.mark.usefixtures("never_gives_way")
def test_means_equal_their_sums(seed, on_target):
    rng = np.random.default_rng([seed, TARGETS.index(on_target)])
    problem, x, kernel, fill = drawn(rng, equal=True)
    x = other_memory(x, int(rng.integers(KINDS)), channel=0)
    wanted = expected(problem, x, kernel, fill)
    assert close(problem, separable.stencil(problem, x, kernel, fill), wanted, x, kernel, fill)


@pytest.mark.parametrize("length", [2, 3, 6, 9, 12, 20, 31, 64, 101, 201])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32"])
def test_means_of_integers_are_rounded_right(dtype, length):
    rng = np.random.default_rng(length)
    x = drawn_image(rng, (90, 110), dtype)
    x[:40] = rng.integers(0, 2, (40, 110))  # ties
    kernel = Terms.outer([np.ones(length), np.ones(length)], length * length)
    work = "float64" if dtype == "int32" else "float32"
    problem = problem_of(x.shape, 0, kernel, work, (dtype, dtype), boundary="mirror")
    sums = expected(problem, x, Terms(kernel.terms), 0)
    assert (np.abs(sums) < 2**53).all()  # so that the quotient below is the nearest
    assert np.array_equal(separable.stencil(problem, x, kernel), np.rint(sums / length**2).astype(dtype))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.usefixtures("never_gives_way")
def test_running_sums_of_integers_are_exact(seed, on_target):
    rng = np.random.default_rng([seed, TARGETS.index(on_target)])
    dtype = ["uint8", "int8", "uint16", "int16", "bool", "uint8"][seed]
    channels = int(rng.integers(1, 6))
    sizes = ((70, 90), (9, 19)), ((3, 5), (30, 40)), ((150, 31), (201, 6)), ((1, 1), (2, 300))
    for (shape, lengths), final in zip(sizes, (dtype, dtype, "float32", "float64"), strict=True):
        x = np.moveaxis(drawn_image(rng, (*shape, channels), dtype), -1, 0)
        kernel = Terms.outer([np.ones(length, np.float32) for length in lengths], float(np.prod(lengths)))
        words = [tuple(map(str, rng.choice(BOUNDARIES, 2))) for _ in lengths]
        problem = problem_of(x.shape, 1, kernel, "float32", (dtype, final), boundary=words)
        means = expected(problem, x, Terms(kernel.terms), 1) / kernel.divisor
        got = separable.stencil(problem, x, kernel, 1)
        if final == dtype:
            assert np.array_equal(got, np.rint(means).astype(dtype))
        else:
            assert np.allclose(got, means, rtol=1e-7, atol=1e-30)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_pieces_beyond_a_line_are_its_extension(size):
    for words in itertools.product(BOUNDARIES, repeat=2):
        places = shown(size, -20, 30, words)
        found = np.full(50, -2)
        for start, source, count, step in np.reshape(pieces(places, 0), (-1, 4)):
            assert (found[start : start + count] == -2).all()
            found[start : start + count] = source + step * np.arange(count)
        assert np.array_equal(found, places)


@pytest.mark.parametrize("length", [9, 40, 90])
@pytest.mark.parametrize("equal", [False, True])
def test_infinities_and_nan_stay_within_reach(length, equal, on_target):
    rng = np.random.default_rng(length)
    x = rng.normal(size=(130, 150)).astype(np.float32)
    clean = x.copy()
    x[60, 70], x[61, 20], x[3, 149] = np.nan, np.inf, -np.inf
    profile = np.ones(length) if equal else rng.random(length) + 0.1
    kernel = Terms.outer([profile, profile], length**2 if equal else 1)
    problem = problem_of(x.shape, 0, kernel, "float32", ("float32", "float32"), boundary="edge")
    got = separable.stencil(problem, x, kernel)
    wanted = expected(problem, x, kernel, 0)
    finite = np.isfinite(wanted)
    assert np.array_equal(np.isnan(got), np.isnan(wanted))
    assert np.array_equal(got[~finite], wanted[~finite].astype(np.float32), equal_nan=True)
    assert np.allclose(got[finite], separable.stencil(problem, clean, kernel)[finite], rtol=1e-5, atol=1e-6)


def test_zero_taps_do_not_meet_infinities(on_target):
    x = np.zeros((40, 60), np.float32)
    x[20, 30] = np.inf
    for length in (5, 41):
        profile = np.ones(length)
        profile[length // 2] = 0
        kernel = Terms.outer([profile, profile])
        problem = problem_of(x.shape, 0, kernel, "float32", ("float32", "float32"), boundary="constant")
        assert np.array_equal(separable.stencil(problem, x, kernel), expected(problem, x, kernel, 0), equal_nan=True)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_kernels_of_low_rank_are_sums_of_outer_products(count, on_target):
    rng = np.random.default_rng(count)
    parts = Terms(tuple((rng.normal(size=17), rng.normal(size=21)) for _ in range(count)))
    x = rng.normal(size=(50, 70)).astype(np.float32)
    problem = problem_of(x.shape, 0, parts, "float32", ("float32", "float32"), boundary="symmetric")
    got = separable.stencil(problem, x, parts.dense(), variant=f"rank{count}")
    wanted = expected(problem, x, parts, 0)
    assert np.linalg.norm(got - wanted) <= 1e-6 * np.linalg.norm(wanted)
    x[5, 6] = np.inf
    infinite = separable.stencil(problem, x, parts.dense(), variant=f"rank{count}")
    assert np.array_equal(np.isnan(infinite), np.isnan(windows.stencil(problem, x, parts.dense())))


@pytest.mark.parametrize("length", [3, 20])
@pytest.mark.usefixtures("never_gives_way")
def test_equal_taps_beside_others(length):
    x = np.random.default_rng(3).normal(size=(60, 70)).astype(np.float32)
    for profiles in ([np.ones(length), np.arange(1.0, 4)], [np.arange(1.0, 30), np.ones(length)]):
        kernel = Terms.outer(profiles)
        problem = problem_of(x.shape, 0, kernel, "float32", ("float32", "float32"), boundary="wrap")
        assert close(problem, separable.stencil(problem, x, kernel), expected(problem, x, kernel, 0), x, kernel, 0)


def test_integers_by_integers_are_exact(on_target):
    rng = np.random.default_rng(7)
    for dtype, final in (("uint8", "int32"), ("int16", "int32"), ("uint8", "int64"), ("uint8", "uint8")):
        x = drawn_image(rng, (33, 47), dtype)
        kernel = np.multiply.outer([1, 4, 6, 4, 1], [-1, 0, 2, 3])
        terms = Terms.outer(profiles_of(kernel))
        problem = problem_of(x.shape, 0, terms, "int32", (dtype, final), boundary="wrap")
        wanted = expected(problem, x, terms, 0)
        limits = np.iinfo(final)
        got = separable.stencil(problem, x, kernel, variant="rank1")
        assert np.array_equal(got, np.clip(wanted, limits.min, limits.max).astype(final))
        wrapping = problem_of(x.shape, 0, terms, "int32", (dtype, final), boundary="wrap", overflow="wrap")
        got = separable.stencil(wrapping, x, kernel, variant="rank1")
        assert np.array_equal(got, wanted.astype(np.int64).astype(final))


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_nothing_beyond_an_array_is_touched(dtype, before, on_target):
    rng = np.random.default_rng(5)
    shapes = ((1, 1), (2, 3), (5, 33), (41, 2), (3, 700))
    cases = list(itertools.product(shapes, ((3, False), (20, False), (25, True))))
    # Every other pair; the rest on the next target.
    for shape, (length, equal) in cases[(TARGETS.index(on_target) + PIXELS.index(dtype)) % 2 :: 2]:
        x = guarded(drawn_image(rng, shape, dtype), before=before)
        out = guarded(np.zeros(shape, dtype), before=before)
        profile = np.ones(length) if equal else rng.random(length)
        kernel = Terms.outer([profile, profile], profile.sum() ** 2)
        work = "float64" if dtype == "float64" else "float32"
        problem = problem_of(shape, 0, kernel, work, (dtype, dtype), boundary="mirror")
        got = separable.stencil(problem, x, kernel, 0, out)
        assert got is out
        assert close(problem, out, expected(problem, x, kernel, 0), x, kernel, 0)


@pytest.mark.parametrize("steps", [(90, 1), (-90, 1), (1, 50), (300, 3)])
def test_rows_at_any_distance_between_guards(steps, on_target):
    rng = np.random.default_rng(6)
    values = drawn_image(rng, (17, 29), "uint8")
    x = standing(values, steps)
    out = standing(np.zeros((17, 29), np.uint8), steps)
    kernel = Terms.outer([np.ones(5), np.ones(30)], 150)
    problem = problem_of((17, 29), 0, kernel, "float32", ("uint8", "uint8"), boundary=("edge", "wrap"))
    separable.stencil(problem, x, kernel, 0, out)
    assert np.array_equal(out, np.rint(expected(problem, values, kernel, 0)).astype(np.uint8))


def test_channels_last_are_filtered_in_place():
    rng = np.random.default_rng(8)
    image = drawn_image(rng, (40, 50, 3), "uint8")
    x = np.moveaxis(image, -1, 0)
    for profile, divisor in ((rng.random(7), 1), (rng.random(31), 1), (np.ones(41), 1681)):
        kernel = Terms.outer([profile, profile], divisor)
        problem = problem_of(x.shape, 1, kernel, "float32", ("uint8", "float32"), boundary="symmetric")
        got = separable.stencil(problem, x, kernel)
        assert got.strides == tuple(4 * step for step in x.strides)
        assert close(problem, got, expected(problem, x, kernel, 0), x, kernel, 0)


def test_threads_change_no_bits():
    rng = np.random.default_rng(9)
    x = rng.normal(size=(300, 400)).astype(np.float32)
    before = workers.get_num_threads()
    for profile in (rng.random(9), rng.random(70), np.ones(90)):
        kernel = Terms.outer([profile, profile], 1 if profile[0] != 1 else 8100)
        problem = problem_of(x.shape, 0, kernel, "float32", ("float32", "float32"), boundary="mirror")
        found = []
        for count in (1, 2, 5):
            workers.set_num_threads(count)
            found.append(separable.stencil(problem, x, kernel))
        workers.set_num_threads(before)
        assert all(np.array_equal(found[0], one) for one in found[1:])


def test_without_code_numpy_computes(monkeypatch):
    def refuse(*_, **__):
        raise CompilationFailed("not here")

    monkeypatch.setattr(separable, "bind", refuse)
    x = np.arange(200, dtype=np.float32).reshape(10, 20)
    kernel = Terms.outer([np.ones(3), np.ones(3)], 9)
    problem = problem_of(x.shape, 0, kernel, "float32", ("float32", "float32"), boundary="mirror")
    with pytest.warns(RuntimeWarning, match="not here"):
        got = separable.stencil(problem, x, kernel)
    assert np.allclose(got, expected(problem, x, kernel, 0))


def test_profiles_of_integers_are_integers():
    for profiles in ([[1, 2, 1], [-1, 0, 1]], [[2, 4], [3, 6, 9]], [[1, 1], [2, -2], [0, 5]]):
        kernel = outer([np.array(one) for one in profiles])
        found = profiles_of(kernel)
        assert all(one.dtype.kind == "i" for one in found)
        assert np.array_equal(outer(found), kernel)


def test_factors_are_kept_by_value():
    kernel = np.random.default_rng(1).normal(size=(5, 6))
    first = factored(kernel, 2)
    assert factored(kernel.copy(), 2) is first
    assert np.linalg.norm(kernel - first.dense()) <= np.linalg.norm(np.linalg.svd(kernel)[1][2:]) * (1 + 1e-12)


@pytest.mark.parametrize("word", BOUNDARIES)
def test_what_is_shown_beyond_an_axis(word):
    for size in (1, 2, 3, 7):
        wanted = [outside(i, size, word) for i in range(-20, 30)]
        got = shown(size, -20, 30, (word, word))
        assert [None if place < 0 else place for place in got.tolist()] == wanted


@pytest.mark.parametrize(("lanes", "gap"), [(16, 1), (8, 3), (4, 4), (16, 0)])
@pytest.mark.parametrize("taps", [6, 20, 300])
def test_levels_are_shorter_than_a_vector_and_the_window(lanes, gap, taps):
    wanted = [level for level in range(10) if gap and gap * 2**level < lanes and 2 ** (level + 1) <= taps]
    assert levels_of(lanes, gap, taps) == len(wanted)


@pytest.mark.parametrize("length", [17, 40, 131])
@pytest.mark.usefixtures("never_gives_way")
def test_symmetric_taps_are_folded(length, on_target):
    rng = np.random.default_rng(length)
    sign = 1 if (length + TARGETS.index(on_target)) % 2 else -1  # each type meets both, and so does each target
    for dtype, shape, stride in (("uint8", (70, 50), 1), ("float32", (19, 40), 3), ("float64", (40, 5), 1)):
        sign = -sign
        work = "float64" if dtype == "float64" else "float32"
        profiles = [one + sign * one[::-1] for one in rng.normal(size=(2, length)).astype(work)]
        kernel = Terms.outer(profiles)
        x = drawn_image(rng, (*shape, 3), dtype)[..., 1]
        words = {"boundary": ("mirror", "constant"), "stride": (stride, stride)}
        problem = problem_of(x.shape, 0, kernel, work, (dtype, work), **words)
        assert close(problem, separable.stencil(problem, x, kernel, 2), expected(problem, x, kernel, 2), x, kernel, 2)


@pytest.mark.parametrize("length", [33, 140])
@pytest.mark.parametrize("symmetric", [True, False])
def test_the_width_of_an_image_changes_no_bit(length, symmetric, on_target):
    rng = np.random.default_rng(11)
    profile = rng.normal(size=length)
    profile = profile + profile[::-1] if symmetric else profile
    kernel = Terms.outer([profile.astype(np.float32)] * 2)
    wide = np.zeros((90, 75), np.float32)
    wide[:, 30:33] = rng.normal(size=(90, 3))
    results = []
    for x in (wide, wide[:, 30:33]):
        problem = problem_of(x.shape, 0, kernel, "float32", ("float32", "float32"), boundary=("wrap", "constant"))
        results.append(separable.stencil(problem, x, kernel))
    assert np.array_equal(results[0][:, 30:33], results[1])


@pytest.mark.parametrize("shape", [(40, 50), (50,)])
def test_means_of_the_largest_floats_are_finite(shape, on_target):
    x = np.full(shape, np.finfo(np.float32).max)
    profile = np.hanning(27)[1:-1]
    profile = (profile / profile.sum()).astype(np.float32) * np.float32(0.99999)
    kernel = Terms.outer([profile] * len(shape))
    problem = problem_of(shape, 0, kernel, "float32", ("float32", "float32"), boundary="edge")
    assert np.allclose(separable.stencil(problem, x, kernel) / x, 1, rtol=1e-4)


@pytest.mark.usefixtures("never_gives_way")
def test_the_memory_of_an_image_changes_no_bit():
    rng = np.random.default_rng(12)
    profile = rng.random(21).astype(np.float32)
    kernel = Terms.outer([profile, profile])
    for dtype in ("uint8", "uint16", "float32"):
        x = drawn_image(rng, (150, 211), dtype)
        problem = problem_of(x.shape, 0, kernel, "float32", (dtype, "float32"), boundary="mirror")
        wanted = separable.stencil(problem, x, kernel)
        out = np.empty(x.shape, np.float32, order="F")
        assert np.array_equal(separable.stencil(problem, np.asfortranarray(x), kernel, 0, out), wanted)
        assert np.array_equal(separable.stencil(problem, x[::-1, ::-1].copy()[::-1, ::-1], kernel), wanted)
