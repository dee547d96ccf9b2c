"""Every form of the routine of direct convolution, on every target, between pages that cannot be touched."""

import mmap
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from oracles import cutting
from oracles.memories import standing
from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.direct import call as calls
from striderule.algorithms.direct import convolution as direct
from striderule.algorithms.windows import convolution as windows
from striderule.algorithms.windows import elementwise
from striderule.codegen import target
from striderule.geometry.problem import Convolution
from striderule.planning.runs import MASKABLE
from striderule.planning.schedule import CHAIN, CHUNK

pytestmark = pytest.mark.skipif(not hasattr(mmap, "PROT_READ"), reason="guard pages need mprotect")


@pytest.fixture(params=target.available(), ids=lambda machine: machine.name)
def machine(request, monkeypatch):
    cutting.forget()
    cutting.on_target(monkeypatch, request.param)
    yield request.param
    cutting.forget()


# How an array stands in memory: for its shape, the elements from one to the next along each axis.
def rows(shape):
    return [int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))]


def last(shape):
    """The channels next to each other."""
    steps = rows((shape[0], *shape[2:], shape[1]))
    return [steps[0], steps[-1], *steps[1:-1]]


def turned(shape):
    return [-step for step in rows(shape)]


def gaps(shape):
    return [3 * step for step in rows(shape)]


def columns_first(shape):
    return rows(shape)[::-1] if len(set(shape)) == 1 else [*np.cumprod([1, *shape[:-1]])]


def one_column(shape):
    """Every column is the same."""
    return [*rows((*shape[:-1], 1))[:-1], 0]


def one_row(shape):
    return [*(step // shape[-2] for step in rows(shape)[:-2]), 0, 1]


def one_channel(shape):
    return [rows(shape)[1], 0, *rows(shape)[2:]]


def one_image(shape):
    return [0, *rows(shape)[1:]]


def narrow(call):
    return call.schedule.narrow > 0


def flat(call):
    return call.form.flat or calls.current().vector_bytes < MASKABLE


def stacked(call):
    return call.schedule.images > 1 and not call.form.merged


def skips(call):
    return call.form.skips and not call.form.merged


def parted(call):
    """Whether parts of the columns are swept together, and taps left out."""
    return call.form.skips and call.form.merged


def shares(call):
    return call.form.shared and call.schedule.channel_blocks > 1


def chunks(call):
    return -(-call.problem.terms // (call.schedule.chunk * len(call.schedule.taps)))


def chains(call):
    return -(-call.schedule.chunk * len(call.schedule.taps) // call.schedule.chain)


@dataclass(frozen=True)
class Case:
    """A convolution, how its input stands, and what must hold of the call that it is to reach."""

    x: tuple
    weight: tuple
    reaches: Callable
    words: dict = field(default_factory=dict)
    stands: Callable = rows
    activation: tuple | None = None
    # Rows and columns of a task, and the images of one, if the schedule is not to choose.
    cut: tuple | None = None
    fill: float = 0.5


def bordered(word):
    return Case((2, 3, 7, 21), (5, 3, 3, 4), lambda call: call.form.borders, {"padding": 2, "boundary": word})


FAR = {"padding": 9, "dilation": 9}
PAIRS = ((("edge", "constant"), ("constant", "wrap")), (("wrap", "mirror"), ("symmetric", "constant")))
CASES = {
    "in place": Case((2, 70, 9, 15), (13, 70, 1, 1), lambda call: call.form.in_place),
    "in place, gaps between channels": Case(
        (2, 70, 135), (13, 70, 1), lambda call: call.form.in_place, stands=lambda shape: [9900, 140, 1]
    ),
    "in place, turned channels": Case(
        (2, 70, 135), (13, 70, 1), lambda call: call.form.in_place, stands=lambda shape: [-9450, -135, 1]
    ),
    "single taps, fewer than a vector": Case((2, 5, 1, 3), (7, 5, 1, 1), lambda call: not call.form.in_place),
    "single taps at every third": Case((1, 6, 9, 40), (7, 6, 1, 1), lambda call: not call.form.in_place, {"stride": 3}),
    "single taps, channels last": Case((2, 37, 6, 9), (7, 37, 1, 1), lambda call: call.form.last, stands=last),
    "every column": Case((2, 3, 9, 37), (5, 3, 3, 3), lambda call: call.form.step == 1, {"padding": 1}),
    "every second column": Case(
        (2, 3, 9, 70), (5, 3, 3, 3), lambda call: call.form.step == 2, {"padding": 1, "stride": 2}
    ),
    "every fourth column": Case(
        (1, 3, 20, 150), (5, 3, 4, 4), lambda call: call.form.step == 4, {"padding": ((0, 0), (3, 2)), "stride": 4}
    ),
    "every third column": Case(
        (2, 3, 9, 40), (5, 3, 3, 3), lambda call: call.form.step == 0, {"padding": 1, "stride": 3, "dilation": 2}
    ),
    "channels last": Case((2, 40, 7, 19), (9, 40, 3, 3), lambda call: call.form.last, {"padding": 1}, last, ("relu",)),
    "channels last, few": Case((2, 2, 7, 19), (9, 2, 3, 3), lambda call: call.form.step == 0, {"padding": 1}, last),
    "channels last, every second": Case(
        (2, 19, 9, 21), (9, 19, 3, 3), lambda call: call.form.last, {"padding": (1, 3), "stride": 2}, last
    ),
    "channels last, borders": Case(
        (2, 19, 9, 8),
        (9, 19, 3, 3),
        lambda call: call.form.last and call.form.borders,
        {"padding": (1, 3), "boundary": "mirror"},
        last,
    ),
    "channels last, groups": Case(
        (2, 38, 5, 8), (6, 19, 2, 3), lambda call: call.form.last, {"groups": 2}, last, ("leaky_relu", 0.25)
    ),
    "volumes, channels last": Case(
        (2, 9, 3, 5, 8), (6, 9, 2, 2, 3), lambda call: call.form.step == 0, {"padding": 1}, last
    ),
    "turned": Case((2, 3, 7, 21), (5, 3, 3, 3), lambda call: call.form.step == 0, {"padding": 2}, turned),
    "turned volumes": Case(
        (1, 3, 4, 5, 9),
        (5, 3, 3, 2, 3),
        lambda call: call.form.step == 0,
        {"padding": 2, "boundary": "symmetric"},
        turned,
    ),
    "gaps": Case((2, 3, 7, 21), (5, 3, 3, 3), lambda call: call.form.step == 0, {"padding": 2}, gaps),
    "columns before rows": Case(
        (2, 3, 6, 11), (5, 3, 3, 3), lambda call: call.form.step == 0, {"padding": 1}, columns_first
    ),
    "one column": Case((2, 3, 6, 11), (5, 3, 3, 3), lambda call: call.form.step == 0, {"padding": 1}, one_column),
    "one row": Case((2, 3, 6, 21), (5, 3, 3, 3), lambda call: call.form.step == 1, {"padding": 1}, one_row),
    "one channel": Case((2, 3, 6, 21), (5, 3, 3, 3), lambda call: call.form.step == 1, {"padding": 1}, one_channel),
    "one image": Case((3, 3, 6, 21), (5, 3, 3, 3), lambda call: call.form.step == 1, {"padding": 1}, one_image),
    **{word: bordered(word) for word in ("edge", "mirror", "symmetric", "wrap")},
    **{f"boundary of sides {number}": bordered(pairs) for number, pairs in enumerate(PAIRS)},
    "borders at every third": Case(
        (1, 2, 9, 30), (4, 2, 3, 3), lambda call: call.form.borders, {"padding": 4, "stride": 3, "boundary": "wrap"}
    ),
    "cropped": Case((2, 3, 9, 30), (4, 3, 3, 3), lambda call: call.form.step == 1, {"padding": ((-2, 1), (-3, -4))}),
    "groups": Case((2, 12, 7, 12), (15, 4, 3, 3), lambda call: call.problem.groups == 3, {"groups": 3, "padding": 1}),
    "several chains": Case(
        (1, 30, 6, 20), (9, 30, 3, 3), lambda call: chunks(call) == 1 and chains(call) > 1, {"padding": 1}
    ),
    "several chunks": Case(
        (1, 130, 6, 20), (9, 130, 3, 3), lambda call: chunks(call) > 2 and chains(call) > 1, {"padding": 1}
    ),
    "several chunks in place": Case(
        (1, CHUNK + 3, 60), (9, CHUNK + 3, 1), lambda call: chunks(call) > 1 and call.form.in_place
    ),
    "a plane of more taps than a chunk": Case(
        (1, 2, 27, 40), (3, 2, 25, 25), lambda call: len(call.schedule.taps) > CHUNK, {"padding": 3}
    ),
    "parts of lines": Case(
        (2, 2, 3, 190), (5, 2, 3, 3), lambda call: call.schedule.column_blocks == 4, {"padding": 1}, cut=(1, 48, 0)
    ),
    "parts of lines at every second": Case(
        (2, 2, 190),
        (5, 2, 3),
        lambda call: call.schedule.column_blocks == 2,
        {"stride": 2, "padding": 1},
        cut=(1, 48, 0),
    ),
    "single rows": Case(
        (2, 2, 5, 19), (5, 2, 3, 3), lambda call: call.schedule.row_blocks == 5, {"padding": 1}, cut=(1, 19, 0)
    ),
    "long kernels": Case((1, 2, 900), (3, 2, 700), lambda call: len(call.schedule.taps) > CHUNK, {"padding": 60}),
    "long kernels of every second": Case(
        (1, 2, 900), (3, 2, 300), lambda call: call.schedule.shifts == (0, 1), {"padding": 60, "stride": 2}
    ),
    "volumes": Case(
        (2, 3, 4, 5, 18), (5, 3, 3, 2, 3), lambda call: call.problem.rank == 3, {"padding": 2, "stride": (2, 1, 1)}
    ),
    "volumes, borders": Case(
        (2, 3, 4, 5, 18), (5, 3, 3, 2, 3), lambda call: call.form.borders, {"padding": 2, "boundary": "mirror"}
    ),
    "four axes": Case(
        (1, 2, 3, 3, 4, 9), (3, 2, 2, 2, 2, 2), lambda call: call.problem.rank == 4, {"padding": 1, "boundary": "edge"}
    ),
    "last positions along their terms": Case((2, 19, 3, 11), (13, 19, 3, 3), narrow, {"padding": 1}),
    "last positions in place": Case((2, 70, 3, 11), (13, 70, 1, 1), lambda call: narrow(call) and call.form.in_place),
    "last positions, channels last": Case(
        (2, 70, 3, 11), (13, 70, 1, 1), lambda call: narrow(call) and call.form.last, stands=last
    ),
    "last positions in several chunks": Case(
        (1, 130, 3, 11), (5, 130, 3, 3), lambda call: narrow(call) and chunks(call) > 1, {"padding": 1}
    ),
    "rows as one": Case((2, 5, 9, 13), (9, 5, 3, 3), flat, {"padding": 1}, fill=0),
    "rows as one, gaps and groups": Case(
        (2, 6, 9, 13), (8, 3, 3, 5), flat, {"padding": (1, 2), "groups": 2}, lambda _: [900, 130, 13, 1], fill=0
    ),
    "rows as one, turned channels": Case(
        (2, 5, 9, 13), (9, 5, 3, 1), flat, {"padding": ((3, 1), (0, 0))}, lambda _: [-585, -117, 13, 1], fill=0
    ),
    "rows as one, cropped": Case(
        (1, 5, 9, 37), (9, 5, 1, 4), flat, {"padding": ((-2, -1), (5, -2))}, fill=0, cut=(2, 37, 1)
    ),
    "rows as one, dilated": Case(
        (2, 40, 12, 30), (9, 40, 3, 3), flat, {"padding": 2, "dilation": 2}, fill=0, cut=(5, 30, 1)
    ),
    "rows that do not meet": Case(
        (2, 3, 12, 30),
        (9, 3, 3, 3),
        lambda call: not call.form.flat,
        {"padding": 3, "dilation": 3},
        fill=0,
        cut=(2, 30, 1),
    ),
    "images one after the other": Case((5, 8, 6, 9), (24, 8, 3, 3), stacked, {"padding": 1}, fill=0, cut=(6, 9, 1, 2)),
    "images one after the other, row by row": Case((5, 64, 6, 9), (9, 64, 3, 3), stacked, cut=(2, 7, 0, 3)),
    "images one after the other, in place": Case(
        (5, 70, 9, 15), (9, 70, 1, 1), lambda call: call.form.in_place and stacked(call), cut=(1, 135, 0, 4)
    ),
    "images one after the other, last positions": Case(
        (5, 130, 3, 11), (9, 130, 3, 3), lambda call: narrow(call) and stacked(call), {"padding": 1}, cut=(3, 11, 1, 2)
    ),
    "images one after the other, last positions in place": Case(
        (3, 530, 3, 11), (9, 530, 1, 1), lambda call: narrow(call) and stacked(call), cut=(1, 33, 1, 2)
    ),
    "parts of the columns together": Case(
        (2, 5, 9, 23), (9, 5, 3, 4), lambda call: call.form.merged, {"padding": 1}, cut=(4, 9, 1)
    ),
    "parts of the columns together, borders": Case(
        (2, 70, 9, 23),
        (9, 70, 3, 3),
        lambda call: call.form.merged and chunks(call) > 1,
        {"padding": 1, "boundary": "wrap"},
        cut=(9, 16, 1),
    ),
    "taps left out": Case((2, 5, 20, 23), (9, 5, 3, 3), parted, FAR, fill=0, cut=(9, 9, 1)),
    "taps left out in several chunks": Case(
        (1, 130, 12, 20),
        (9, 130, 3, 3),
        lambda call: parted(call) and chunks(call) > 2 and chains(call) > 1,
        {"padding": 7, "dilation": 7},
        activation=("relu",),
        fill=0,
        cut=(5, 7, 1),
    ),
    "taps left out, whole rows": Case((2, 5, 20, 23), (9, 5, 3, 3), skips, FAR, fill=0, cut=(4, 23, 1)),
    "taps left out, rows as one": Case((2, 5, 20, 23), (9, 5, 3, 3), skips, FAR, fill=0, cut=(9, 23, 1)),
    "taps left out, images one after the other": Case(
        (5, 5, 20, 13), (9, 5, 3, 3), skips, FAR, fill=0, cut=(4, 13, 1, 2)
    ),
    "taps left out, row by row": Case(
        (2, 5, 20, 43), (9, 5, 4, 3), skips, {"padding": 9, "dilation": (7, 9), "stride": 2}, fill=0, cut=(3, 8, 0)
    ),
    "taps left out, images together": Case(
        (5, 5, 4, 4), (9, 5, 3, 3), lambda call: parted(call) and call.schedule.images > 1, FAR, fill=0, cut=(4, 4, 2)
    ),
    "taps left out, channels last": Case(
        (2, 20, 20, 23), (9, 20, 3, 3), lambda call: parted(call) and call.form.last, FAR, last, fill=0, cut=(9, 9, 1)
    ),
    "taps left out, borders": Case(
        (2, 5, 20, 23), (9, 5, 3, 3), parted, FAR | {"boundary": PAIRS[0]}, fill=0, cut=(9, 9, 1)
    ),
    "taps left out, every one": Case(
        (1, 5, 8, 23), (9, 5, 3, 3), parted, {"padding": ((9, 1), (11, 14))}, fill=0, cut=(3, 8, 1)
    ),
    "taps left out of lines": Case(
        (2, 40, 200), (5, 40, 3), skips, {"padding": ((128, 0),), "dilation": 64}, fill=0, cut=(1, 48, 0)
    ),
    "taps left out of volumes": Case(
        (1, 3, 4, 12, 18), (5, 3, 3, 3, 3), parted, {"padding": (1, 9, 9), "dilation": (1, 9, 9)}, fill=0, cut=(6, 9, 1)
    ),
    "shared planes": Case(
        (3, 140, 9, 21),
        (26, 70, 3, 3),
        lambda call: shares(call) and chunks(call) > 1 and len(call.waves) == 5,
        {"padding": 1, "stride": 2, "groups": 2},
        activation=("relu",),
        cut=(2, 11, 1, 1, 4),
    ),
    "shared planes, row by row, channels last": Case(
        (2, 20, 9, 45),
        (18, 20, 3, 3),
        lambda call: shares(call) and call.form.last,
        {"stride": 2},
        last,
        cut=(2, 7, 0, 1, 3),
    ),
    "shared planes, last positions": Case(
        (2, 130, 5, 21),
        (18, 130, 3, 3),
        lambda call: shares(call) and narrow(call),
        {"padding": 1, "stride": 2},
        cut=(3, 11, 1, 1, 1),
    ),
    "shared planes, taps left out": Case(
        (2, 5, 20, 43),
        (18, 5, 4, 3),
        lambda call: shares(call) and skips(call),
        {"padding": 9, "dilation": (7, 9), "stride": 2},
        fill=0,
        cut=(3, 8, 0, 1, 2),
    ),
    "shared planes, images together": Case(
        (7, 140, 3, 5),
        (26, 70, 3, 3),
        lambda call: shares(call) and call.form.merged and chunks(call) > 1 and len(call.waves) == 2,
        {"padding": 1, "groups": 2},
        cut=(3, 5, 4, 1, 3),
    ),
    "shared planes, images together, channels last, borders": Case(
        (5, 20, 5, 7),
        (18, 20, 3, 3),
        lambda call: shares(call) and call.form.merged and call.form.last and call.form.borders,
        {"padding": 1, "stride": 2, "boundary": "mirror"},
        last,
        cut=(3, 4, 2, 1, 2),
    ),
    "shared planes of volumes, borders": Case(
        (1, 3, 4, 5, 18),
        (18, 3, 3, 2, 3),
        lambda call: shares(call) and call.form.borders,
        {"padding": 2, "stride": (2, 1, 1), "boundary": "mirror"},
        cut=(3, 20, 1, 1, 5),
    ),
    "taps that meet what is beyond": Case((2, 5, 20, 23), (9, 5, 3, 3), lambda call: not call.form.skips, FAR),
    "images together": Case((7, 5, 4, 4), (6, 5, 3, 3), lambda call: call.form.merged, {"padding": 1}, cut=(4, 4, 4)),
    "images together, channels last": Case(
        (7, 20, 4, 4),
        (6, 20, 3, 3),
        lambda call: call.form.merged and call.form.last,
        {"padding": 1},
        last,
        cut=(4, 4, 2),
    ),
    "turned images together": Case(
        (7, 5, 4, 4),
        (6, 5, 3, 3),
        lambda call: call.form.merged,
        {"padding": 1, "boundary": "wrap"},
        turned,
        cut=(4, 4, 2),
    ),
    "images of several chunks together": Case(
        (3, 64, 2, 3), (6, 64, 3, 3), lambda call: call.form.merged and chunks(call) > 1, {"padding": 1}, cut=(2, 3, 2)
    ),
}


def between(shape):
    """Gaps between images and channels, which results and what is added may have."""
    positions = int(np.prod(shape[2:]))
    return [shape[1] * (positions + 5) + 3, positions + 5, *rows(shape)[2:]]


@pytest.mark.parametrize("before", [False, True], ids=["page behind", "page before"])
@pytest.mark.parametrize("name", CASES)
def test_nothing_else_is_read_or_written(machine, monkeypatch, name, before):
    """All operands stand against a page that cannot be touched; what gaps hold stays as it is."""
    case = CASES[name]
    problem = Convolution.from_shapes(case.x, case.weight, **case.words)
    if case.cut:
        cutting.cut_so(monkeypatch, case.cut)
    rng = np.random.default_rng(3)

    def drawn(shape, stands=rows):
        return standing(rng.normal(size=shape).astype("f"), stands(shape), before=before)

    x, weight, bias = drawn(case.x, case.stands), drawn(case.weight), drawn(case.weight[:1])
    out, residual = drawn(problem.output_shape, between), drawn(problem.output_shape, between)
    added = residual.copy()
    words = {"bias": True, "residual": ArrayInfo.of(residual), "activation": case.activation, "out": ArrayInfo.of(out)}
    call = direct.bind(problem, case.fill, x=ArrayInfo.of(x), weight=ArrayInfo.of(weight), **words)
    call = call.call if isinstance(call, direct.Checked) else call
    assert isinstance(call, calls.Call)
    assert case.reaches(call)
    whole = memory(out)
    kept = whole.copy()
    call.run(x, weight, bias, residual, out)
    expected, bound = wide(problem, x, weight, bias, added, case)
    assert (np.abs(out - expected) <= bound).all()
    # What stands between the results is as it was.
    first = out.copy()
    out[...] = 7
    memory(out, kept)[...] = 7
    assert (whole == kept).all()
    # The residual may be the result; packed weights give the same bits.
    call.run(x, weight, bias, residual, residual)
    assert (residual == first).all()
    residual[...] = added
    call.packed(weight).run(x, np.empty(0), bias, residual, out)
    assert (out == first).all()


def memory(array, room=None):
    """Return all from the first to the last element of an array without negative steps; or `room` seen like it."""
    if room is not None:
        return np.lib.stride_tricks.as_strided(room, array.shape, array.strides)
    reach = sum((n - 1) * step for n, step in zip(array.shape, array.strides, strict=True))
    return np.lib.stride_tricks.as_strided(array, (reach // array.itemsize + 1,), (array.itemsize,))


def wide(problem, x, weight, bias, residual, case):
    """Return the result in float64, and a bound on the error of float32: the roundings of a sum, of |x| * |w|."""
    sums = windows.convolution(problem, x.astype(float), weight.astype(float), case.fill)
    sums += bias.reshape(-1, *(1,) * problem.rank) + residual
    scale = windows.convolution(problem, np.abs(x).astype(float), np.abs(weight).astype(float), case.fill) + 4
    steps = min(problem.terms, CHAIN) + CHUNK // CHAIN + problem.terms // (CHUNK // 2) + 4
    if case.activation:
        sums = elementwise.apply(case.activation[0], sums, sums.dtype, case.activation[1:])
    return sums, 2 * steps * np.finfo("f").eps * scale
