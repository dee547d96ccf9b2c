"""Depthwise convolution and that of small groups on generated code, on every target that this machine runs."""

import mmap

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from oracles.memories import channels_last, guarded
from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.depthwise import convolution as depthwise
from striderule.algorithms.depthwise import schedule
from striderule.algorithms.direct import giving_way, proof
from striderule.algorithms.reference import convolution as reference
from striderule.algorithms.windows import convolution as windows
from striderule.algorithms.windows import elementwise
from striderule.codegen import jit, target, workers
from striderule.errors import CompilerMissing, InvalidArgument
from striderule.geometry.problem import Convolution
from striderule.planning import planes

TARGETS = target.available()
BOUNDARIES = ["constant", "constant", "edge", "mirror", "symmetric", "wrap"]


@pytest.fixture(params=TARGETS, ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    monkeypatch.setattr(depthwise, "current", lambda: request.param)
    return request.param


def drawn(rng, size=24, kernels=(1, 2, 3, 3, 4, 5, 7, 8, 9), most=2e5):
    """Draw a problem that has an output, of few channels a group."""
    while True:
        rank, groups = int(rng.integers(1, 4)), int(rng.integers(1, 20))
        depth, outputs = (int(rng.choice([1, 1, 1, 2, 3])) for _ in range(2))
        lengths = rng.integers(1, {1: 6 * size, 2: 2 * size, 3: size // 2}[rank], rank).tolist()
        weight = (groups * outputs, depth, *rng.choice(kernels, rank).tolist())
        words = {
            "stride": rng.choice([1, 1, 2, 3, 4, 5], rank).tolist(),
            "dilation": rng.choice([1, 1, 2, 3], rank).tolist(),
            "padding": [tuple(pair) for pair in rng.integers(-1, 6, (rank, 2)).tolist()],
            "boundary": [tuple(pair) for pair in rng.choice(BOUNDARIES, (rank, 2)).tolist()],
            "dtype": str(rng.choice(["float32", "float64"])),
        }
        try:
            shape = (int(rng.integers(1, 3)), groups * depth, *lengths)
            problem = Convolution.from_shapes(shape, weight, groups=groups, **words)
        except InvalidArgument:
            continue
        if problem.multiply_adds <= most:
            return problem


def layers(shape, weight, **words):
    """Return the problem of a depthwise layer."""
    return Convolution.from_shapes(shape, weight, groups=shape[1] // weight[1], **words)


def operands(problem, rng):
    x = rng.normal(size=(problem.batch, problem.in_channels, *problem.size)).astype(problem.dtype)
    per_group = problem.in_channels // problem.groups
    return x, rng.normal(size=(problem.out_channels, per_group, *problem.kernel)).astype(problem.dtype)


def check(problem, x, weight, got, fill=0.5):
    """Compare with the definition in float64: rounding errs by a unit a term, of |x| * |w|."""
    assert got.dtype == problem.dtype
    wide = Convolution(**{name: getattr(problem, name) for name in problem.__slots__} | {"dtype": "float64"})
    expected = windows.convolution(wide, x.astype(float), weight.astype(float), fill)
    scale = windows.convolution(wide, np.abs(x).astype(float), np.abs(weight).astype(float), abs(fill))
    units = min(problem.terms, planes.CHAIN) + problem.terms // 100 + 3
    assert got.shape == expected.shape
    assert (np.abs(got - expected) <= units * np.finfo(problem.dtype).eps / 2 * scale).all()


@pytest.mark.parametrize("seed", range(16))
def test_equals_the_loops_on_small_problems(machine, seed):
    rng = np.random.default_rng([seed, TARGETS.index(machine)])
    problem = drawn(rng, size=8, kernels=(1, 2, 3), most=5000)
    x, weight = operands(problem, rng)
    expected = reference.convolution(problem, x, weight, 0.5)
    units = problem.terms * np.finfo(problem.dtype).eps
    scale = reference.convolution(problem, np.abs(x), np.abs(weight), 0.5)
    assert (np.abs(depthwise.convolution(problem, x, weight, 0.5) - expected) <= units * scale).all()


@pytest.mark.parametrize("seed", range(24))
def test_equals_windows_at_any_strides(machine, seed):
    """Planes or channels side by side, rows that are reversed or apart, and all of these for the output too."""
    rng = np.random.default_rng([1000 + seed, TARGETS.index(machine)])
    problem = drawn(rng)
    x, weight = operands(problem, rng)
    fill = float(rng.choice([0, 0.5]))
    given = [x, channels_last(x), x[..., ::-1].copy()[..., ::-1], np.repeat(x, 2, axis=-1)[..., ::2]][seed % 4]
    out = np.empty(problem.output_shape, problem.dtype)
    if seed // 4 % 3 == 1:
        out = channels_last(out)
    elif seed // 4 % 3 == 2:
        out = np.empty((*problem.output_shape[:-1], 2 * problem.output_shape[-1]), problem.dtype)[..., ::-2]
    got = depthwise.convolution(problem, given, weight, fill, out=out)
    assert got is out
    check(problem, x, weight, got, fill)


KERNELS = [(3, 3), (7, 7), (1, 3), (3, 1), (2, 5), (9, 9), (11, 3), (31, 31), (3, 3, 3), (2, 9, 4), (5,), (140,)]


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize("last", [False, True], ids=["planes", "channels last"])
def test_every_kernel_at_every_step(machine, kernel, last):
    """Widths about whole vectors, heights about whole blocks, each stride and dilation, borders of both kinds.

    Every target takes half of the steps, others for the next kernel, memory order and target: any two of these meet.
    """
    rng = np.random.default_rng(4)
    lanes, extent = machine.lanes(4), max(kernel)
    steps = list(enumerate(((1, 1), (2, 1), (1, 2), (2, 2), (3, 1), (4, 3))))[: 2 if extent > 9 else None]
    for number, (step, apart) in steps[(KERNELS.index(kernel) + last + TARGETS.index(machine)) % 2 :: 2]:
        width = step * (2 + number % 3) * lanes + number % 3 - 1 + apart * extent
        size = (max(kernel[0] + number, 3),) * (len(kernel) > 2) + (extent + number,) * (len(kernel) > 1) + (width,)
        words = {"stride": step, "dilation": apart, "padding": [(k * apart // 2, k * apart // 2) for k in kernel]}
        word = "edge" if number == 2 else "constant"
        problem = layers((1, lanes + 3, *size), (lanes + 3, 1, *kernel), boundary=word, **words)
        x, weight = operands(problem, rng)
        check(problem, x, weight, depthwise.convolution(problem, channels_last(x) if last else x, weight), 0)


def bound_call(problem, x, weight, out, bias=None, residual=None, activation=None):
    """Return the bound call for these arrays."""
    info = None if residual is None else ArrayInfo.of(residual)
    infos = {"x": ArrayInfo.of(x), "weight": ArrayInfo.of(weight), "residual": info, "out": ArrayInfo.of(out)}
    return depthwise.bind(problem, 0, bias=bias is not None, activation=activation, **infos)


ACTIVATIONS = [
    (None, "float64", "constant"),
    (None, "float32", "wrap"),
    (("relu",), "float32", "constant"),
    (("hardtanh", -0.5, 0.75), "float32", "wrap"),
    (("leaky_relu", 0.1), "float64", "constant"),
    (("gelu", "none"), "float32", "constant"),
    (("elu", 1.5), "float64", "wrap"),
]


@pytest.mark.parametrize(("activation", "dtype", "word"), ACTIVATIONS, ids=str)
@pytest.mark.parametrize("last", [False, True], ids=["planes", "channels last"])
def test_bias_residual_and_activation_in_the_same_call(machine, activation, dtype, word, last):
    rng = np.random.default_rng(12)
    problem = layers((2, 21, 9, 37), (21, 1, 3, 3), padding=1, boundary=word, dtype=dtype)
    x, weight = operands(problem, rng)
    bias, residual = rng.normal(size=21).astype(dtype), rng.normal(size=x.shape).astype(dtype)
    if last:
        x, residual = channels_last(x), channels_last(residual)
    wide = windows.convolution(problem, x.astype(float), weight.astype(float)) + bias[:, None, None] + residual
    expected = wide if activation is None else elementwise.apply(activation[0], wide, wide.dtype, activation[1:])
    # In the memory order of the residual, in the other, and in place; the second for every other target.
    turned = [] if (TARGETS.index(machine) + last) % 2 else [np.empty(x.shape, dtype)]
    for out in (np.empty_like(residual), *turned, residual):
        call = bound_call(problem, x, weight, out, bias, residual, activation)
        call.run(x, weight, bias, residual, out)
        np.testing.assert_allclose(out, expected, rtol=0, atol=40 * np.finfo(dtype).eps)


@pytest.mark.parametrize("last", [False, True], ids=["planes", "channels last"])
def test_packed_weights_are_copied(machine, last):
    rng = np.random.default_rng(13)
    problem = layers((1, 5, 12, 12), (5, 1, 3, 3), padding=1)
    x, weight = operands(problem, rng)
    x = channels_last(x) if last else x
    out = np.empty_like(x)
    kept = weight.copy()
    packed = bound_call(problem, x, weight, out).packed(weight)
    weight[...] = np.nan
    packed.run(x, weight, None, None, out)
    check(problem, x, kept, out, 0)


@pytest.mark.skipif(not hasattr(mmap, "PROT_READ"), reason="guard pages need mprotect")
@pytest.mark.parametrize("before", [False, True], ids=["behind", "before"])
@pytest.mark.parametrize("last", [False, True], ids=["planes", "channels last"])
@pytest.mark.parametrize("turn", [0, 1])
@pytest.mark.parametrize(
    ("size", "kernel"),
    [((7, 7), (3, 3)), ((9, 45), (3, 3)), ((12, 33), (5, 2)), ((70,), (3,)), ((4, 5, 19), (3, 3, 3))],
)
def test_nothing_is_touched_outside_the_operands(machine, size, kernel, turn, last, before):
    """Planes with two of the paddings, and channels last with the other two; the other way round on the next target."""
    paddings = ({}, {"padding": 1}, {"padding": 1, "boundary": "wrap"}, {"padding": 2, "stride": 2})
    words = paddings[2 * turn + (last + TARGETS.index(machine) + len(size)) % 2]
    rng = np.random.default_rng(5)
    problem = layers((1, 5, *size), (5, 1, *kernel), **words)
    x, weight = operands(problem, rng)
    shape = problem.output_shape
    plain = [np.moveaxis(x, 1, -1) if last else x, weight, np.zeros(5, "f")]
    plain.append(np.zeros((shape[0], *shape[2:], shape[1]) if last else shape, "f"))
    near = [guarded(np.ascontiguousarray(values), before=before) for values in plain]
    image, out = (np.moveaxis(values, -1, 1) if last else values for values in (near[0], near[3]))
    call = bound_call(problem, image, near[1], out, near[2])
    call.run(image, near[1], near[2], None, out)
    check(problem, x, weight, out, 0)


def test_the_same_bits_for_any_batch_threads_and_memory_order(machine):
    rng = np.random.default_rng(7)
    for kernel, step in (((3, 3), 1), ((3, 3), 2), ((9, 5), 1), ((14, 11), 1)):
        x, weight = rng.normal(size=(5, 20, 29, 30)).astype("f"), rng.normal(size=(20, 1, *kernel)).astype("f")

        def result(images, weight=weight, step=step):
            return depthwise.convolution(layers(images.shape, weight.shape, padding=2, stride=step), images, weight)

        together = result(x)
        assert all((result(x[n : n + 1]) == together[n : n + 1]).all() for n in range(5))
        assert (result(channels_last(x)) == together).all()
        assert (result(x[::-1])[::-1] == together).all()
        before = workers.get_num_threads()
        try:
            for threads in (1, 3):
                workers.set_num_threads(threads)
                assert (result(x) == together).all()
        finally:
            workers.set_num_threads(before)


@pytest.mark.parametrize("words", [{"dilation": (2, 1)}, {}, {"stride": 2}], ids=["dilated", "by rows", "stride 2"])
def test_however_the_work_is_cut_the_bits_are_the_same(machine, monkeypatch, words):
    rng = np.random.default_rng(8)
    problem = layers((2, 21, 40, 50), (42, 1, 3, 5), padding=(1, 2), **words)
    x, weight = operands(problem, rng)
    results = []
    for least, heights, widths in ((1 << 11, (8, 4, 1), (1, 2)), (1, (8, 4, 1), (1,)), (1 << 40, (2,), (2, 1))):
        monkeypatch.setattr(schedule, "LEAST", least)
        monkeypatch.setattr(planes, "HEIGHTS", heights)
        monkeypatch.setattr(planes, "WIDTHS", widths)
        results.append(depthwise.convolution(problem, x, weight))
    check(problem, x, weight, results[0], 0)
    assert all((one == results[0]).all() for one in results)


@pytest.mark.parametrize("step", [1, 2, 3])
@pytest.mark.parametrize("kernel", [(3, 3), (2, 2), (4, 3), (3, 5), (5, 1)], ids=str)
def test_rows_one_after_the_other(machine, kernel, step):
    """Planes of few rows and columns, padding of both sides and none, crops: rows of outputs begin and end anywhere."""
    rng = np.random.default_rng(18)
    sizes = ((1, 1), (2, 9), (7, 7), (14, 14), (5, 31), (40, 70))
    borders = (((0, 0), (0, 0)), ((1, 1), (1, 1)), ((0, 3), (2, 0)), ((-1, 0), (0, -1)))
    # One of the borders for each size, others for the next step, kernel and target: any two of these meet.
    for number, size in enumerate(sizes):
        for sides in borders[(number + step + sum(kernel) + TARGETS.index(machine)) % 4 :: 4]:
            try:
                problem = layers((2, 3, *size), (6, 1, *kernel), padding=sides, stride=step)
            except InvalidArgument:  # no output
                continue
            x, weight = operands(problem, rng)
            got = depthwise.convolution(problem, x, weight)
            check(problem, x, weight, got, 0)
            assert (depthwise.convolution(problem, channels_last(x), weight) == got).all()


@pytest.mark.parametrize("word", ["constant", "mirror"])
def test_special_values_stand_where_the_definition_puts_them(machine, word):
    """An infinite weight on zero padding contributes nothing, whichever way the border is served."""
    rng = np.random.default_rng(9)
    for step, order in ((1, np.array), (2, np.array), (1, channels_last)):
        problem = layers((1, 20, 9, 41), (20, 1, 3, 3), padding=1, stride=step, boundary=word)
        x, weight = operands(problem, rng)
        x[0, 1, 4, 5], x[0, 2, 0, 0], x[0, 3, 8, 40] = np.nan, np.inf, -np.inf
        weight[4, 0, 0, 0], weight[5, 0, 2, 2], weight[6, 0, 1, 0], weight[7, 0, 0, 1] = np.inf, -np.inf, np.nan, np.inf
        expected = reference.convolution(problem, x, weight)
        got = depthwise.convolution(problem, order(x), weight)
        assert (np.isnan(expected) == np.isnan(got)).all()
        assert (expected[np.isinf(expected)] == got[np.isinf(expected)]).all()
        assert (np.isinf(expected) == np.isinf(got)).all()


@pytest.mark.parametrize("shape", [(0, 2, 5), (2, 0, 5)])
def test_nothing_to_sum(shape):
    problem = layers(shape, (shape[1], 1, 3), dtype="float64") if shape[1] else None
    problem = problem or Convolution.from_shapes(shape, (3, 0, 3), dtype="float64")
    result = depthwise.convolution(problem, np.ones(shape), np.ones((problem.out_channels, problem.terms // 3, 3)))
    assert result.shape == problem.output_shape
    assert not result.any()


@pytest.mark.parametrize("fill", [0, 0.5])
def test_axes_of_nothing_between_padding(machine, fill):
    rng = np.random.default_rng(17)
    for size in ((0, 20), (20, 0), (0, 0)):
        problem = layers((2, 3, *size), (3, 1, 3, 3), padding=3)
        x, weight = operands(problem, rng)
        for given in (x, channels_last(x), x[:, :, ::-1]):
            check(problem, x, weight, depthwise.convolution(problem, given, weight, fill), fill)


def test_without_a_compiler_numpy_computes_with_one_warning(monkeypatch):
    def fails(*_):
        raise CompilerMissing("no compiler for planes today")

    monkeypatch.setattr(jit, "compiled", fails)
    giving_way._warn_once.cache_clear()
    problem = layers((1, 3, 8, 8), (3, 1, 3, 3))
    x, weight = operands(problem, np.random.default_rng(11))
    with pytest.warns(RuntimeWarning, match="no compiler for planes today"):
        result = depthwise.convolution(problem, x, weight)
    assert (result == windows.convolution(problem, x, weight)).all()
    depthwise.convolution(problem, x, weight)  # warnings are errors here: there is no second one


def test_what_is_not_bound():
    x, weight = np.ones((1, 3, 8, 8), "f"), np.ones((3, 1, 3, 3), "f")
    problem = layers(x.shape, weight.shape)
    out = np.empty(problem.output_shape, "f")
    assert bound_call(problem, x, weight, out) is not None
    assert bound_call(problem, x, weight, out.astype(float)) is None
    assert bound_call(problem, x, weight, out, activation=("prelu", 0.1)) is None
    assert bound_call(problem, x, weight, out, activation=("leaky_relu",)) is None


def test_large_batches_are_copied_in_pieces(monkeypatch):
    rng = np.random.default_rng(14)
    problem = layers((7, 4, 12, 12), (4, 1, 3, 3), padding=1)
    x, weight = operands(problem, rng)
    whole = depthwise.convolution(problem, x, weight, 0.5)
    monkeypatch.setattr(depthwise, "WORKSPACE", 1)
    assert (depthwise.convolution(problem, x, weight, 0.5) == whole).all()


@pytest.fixture
def unproved(monkeypatch):
    """Let no test have run code for any target; return the list of trials."""
    for module, name, value in ((proof, "PROVED", ()), (proof, "_found", {}), (jit, "_routines", {})):
        monkeypatch.setattr(module, name, value)
    trials, agree = [], proof.agree
    monkeypatch.setattr(proof, "agree", lambda *args: trials.append(agree(*args)) or trials[-1])
    return trials


@pytest.mark.parametrize("last", [False, True], ids=["planes", "channels last"])
@pytest.mark.parametrize("activation", [None, ("hardtanh", -1.0, 2.0), ("gelu", "tanh")], ids=str)
def test_where_no_test_has_run_a_structure_is_tried_once(unproved, last, activation):
    rng = np.random.default_rng(15)
    problem = layers((2, 5, 9, 20), (5, 1, 3, 3), padding=1)
    x, weight = operands(problem, rng)
    x = channels_last(x) if last else x
    out, bias = np.empty_like(x), rng.normal(size=5).astype("f")
    for _ in range(2):
        bound_call(problem, x, weight, out, bias, x, activation).run(x, weight, bias, x, out)
    assert unproved == [True]


def test_a_structure_that_computes_something_else_is_refused(unproved, monkeypatch):
    monkeypatch.setattr(workers, "run", lambda *_: None)
    giving_way._warn_once.cache_clear()
    problem = layers((2, 5, 9, 20), (5, 1, 3, 3), padding=1)
    x, weight = operands(problem, np.random.default_rng(16))
    with pytest.warns(RuntimeWarning, match="gives other results than NumPy"):
        result = depthwise.convolution(problem, x, weight)
    assert unproved == [False]
    assert (result == windows.convolution(problem, x, weight)).all()
