"""What generated code must leave alone, and what it must stand: every public operation, in this process."""

import ctypes
import errno
import os
import platform
import random
import shutil
import threading
import warnings
from itertools import islice
from math import prod
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import oracles.anew
from functional.operations import ACTIVATIONS, Call, drawn
from oracles.trust import ENTRIES, FEW, answer, answers, close, unlike
from striderule.codegen import cache, jit
from striderule.errors import CompilationFailed

X86 = platform.machine().lower() in ("x86_64", "amd64")
# Rounding upwards, as <fenv.h> numbers it.
UPWARD = 0x800 if X86 else 0x400000
LIBRARY = ctypes.CDLL(None) if os.name == "posix" else None

every_call = pytest.mark.parametrize("number", range(len(ENTRIES)), ids=[f"{call} by {name}" for call, name in ENTRIES])


@pytest.fixture
def anew(monkeypatch):
    """Let every routine be made or loaded anew."""
    begin(monkeypatch)
    yield monkeypatch
    oracles.anew.forget()


def begin(patch):
    """Know no routine."""
    patch.setattr(jit, "_routines", {})
    oracles.anew.forget()


def mode():
    """Return how floats are rounded, and whether denormal numbers are kept: read, and written."""
    tiny = np.array([np.finfo(np.float32).tiny, 1], np.float32)
    halved = tiny[:1] / np.float32(2)
    return LIBRARY.fegetround(), bool((halved > 0).all()), bool((halved * np.float32(2) == tiny[0]).all())


@pytest.mark.skipif(LIBRARY is None, reason="asks the C library for its floating-point mode")
@every_call
def test_the_floating_point_mode_stays_as_it_is(number):
    usual = mode()
    assert usual == (0, True, True)
    answer(number)
    assert mode() == usual
    try:
        assert LIBRARY.fesetround(UPWARD) == 0
        answer(number)
        assert mode() == (UPWARD, True, True)
    finally:
        LIBRARY.fesetround(0)


@pytest.mark.skipif(not X86, reason="sets the mode of x86 processors")
def test_denormals_stay_zero_where_the_caller_wants_it():
    from oracles.tasks import address, words
    from striderule.codegen import workers

    flushing, usual = words(0x1F80 | 0x8040, 0), words(0x1F80, 0)  # results, and operands
    for number in range(len(ENTRIES)):
        try:
            workers.run(address("set_mode"), flushing, 1)
            answer(number)
        finally:
            workers.run(address("set_mode"), usual, 1)
        assert usual[1] & ~0x3F == 0x1F80 | 0x8040, ENTRIES[number]


@pytest.mark.parametrize("new", [False, True])
def test_eight_threads_call_everything_at_once(anew, new):
    """The same bits as alone, whether the routines are there or asked for by all threads at once."""
    numbers = FEW if new else range(len(ENTRIES))
    expected, found = dict(zip(numbers, answers(numbers=numbers), strict=True)), []
    if new:
        anew.setenv("STRIDERULE_CACHE", "0")
        begin(anew)
    start = threading.Barrier(8)

    def calls(seed):
        order = random.Random(seed).sample(numbers, len(numbers))
        start.wait()
        found.append(unlike(answers(numbers=order), [expected[number] for number in order], order))

    threads = [threading.Thread(target=calls, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[]] * 8


# The disk cache


def spoil(folder):
    """Overwrite the end of every file."""
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes()[:-64] + bytes(64))


def refuse(number):
    def opened(*_):
        raise OSError(number, os.strerror(number))

    return opened


CACHES = {
    "damaged": lambda folder, patch: spoil(folder),
    "emptied": lambda folder, patch: [file.write_bytes(b"") for file in folder.iterdir()],
    "full": lambda folder, patch: patch.setattr(cache, "_open_private", refuse(errno.ENOSPC)),
    "read-only": lambda folder, patch: patch.setattr(cache, "_open_private", refuse(errno.EROFS)),
    "unreadable": lambda folder, patch: patch.setattr(cache, "_open_no_link", refuse(errno.EACCES)),
    "of another user": lambda folder, patch: patch.setattr(os, "geteuid", lambda: 12345, raising=False),
    "open to others": lambda folder, patch: folder.chmod(0o777),
    "no folder": lambda folder, patch: patch.setenv("STRIDERULE_CACHE_DIR", str(Path(__file__) / "routines")),
}


# Any routine will do: these are made anew for each kind of trouble.
FEWER = FEW[::3]


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A folder with the routines of a few calls, and their results."""
    folder = tmp_path_factory.mktemp("filled") / "routines"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STRIDERULE_CACHE_DIR", str(folder))
        begin(patch)
        results = answers(numbers=FEWER)
    oracles.anew.forget()
    return folder, results


@pytest.mark.parametrize("trouble", CACHES)
def test_results_do_not_depend_on_the_cache(anew, filled, tmp_path, trouble):
    """Whatever becomes of the folder: the same bits, and no word about it (warnings are errors here)."""
    folder, (before, expected) = tmp_path / "routines", filled
    shutil.copytree(before, folder)
    anew.setenv("STRIDERULE_CACHE_DIR", str(folder))
    assert any(folder.iterdir())
    # What was spoiled is made and kept anew, to be spoiled again.
    for _ in range(2 if trouble == "damaged" else 1):
        CACHES[trouble](folder, anew)
        begin(anew)
        assert unlike(answers(numbers=FEWER), expected, FEWER) == []


# Failures


@pytest.mark.filterwarnings("default")  # not once for each place, as errors would be
@pytest.mark.parametrize("where", ["_attempt", "_emitted", "_linked"])
def test_failed_compilations_fall_back_to_numpy(anew, where):
    """NumPy's results, with a warning for each structure that failed, and none later."""

    def fails(*_):
        if where == "_attempt":  # as it tells of failures; nothing is written then, so that there is time for all
            return CompilationFailed("out of registers")
        raise RuntimeError("out of registers")

    anew.setenv("STRIDERULE_CACHE", "0")
    anew.setattr(jit, "_emitted", lambda *_: b"")  # what comes of it is not looked at
    anew.setattr(jit, where, fails)
    for number in range(len(ENTRIES)) if where == "_attempt" else FEW:
        failed = len(jit._routines)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert close(answer(number), answer(number, "windows")), ENTRIES[number]
            assert len(caught) <= len(jit._routines) - failed, [str(one.message) for one in caught]
            before = len(caught)
            answer(number)
            assert len(caught) == before
    assert jit._routines


# Varying shapes


MANY = drawn(2 * 4 * 206**2)


def some(shape):
    """Return numbers that were drawn once: drawing takes longer than what is asked here."""
    return MANY[: prod(shape)].reshape(shape)


def at(n):
    """Return calls whose sizes follow from n: each is one structure, whatever n is."""
    x, flat, deep = (some(shape) for shape in ((2, 4, n, n + 3), (2, 4, n * n), (1, 3, 3, n % 9 + 3, n)))
    yield Call("conv1d", {"x": flat, "weight": drawn(8, 4, 3)}, {"padding": 1})
    yield Call("conv2d", {"x": x, "weight": drawn(8, 4, 3, 3), "bias": drawn(8)}, {"padding": 1})
    yield Call("conv2d", {"x": x, "weight": drawn(8, 4, 3, 3)}, {"stride": 2, "activation": "relu"})
    yield Call("conv2d", {"x": x, "weight": drawn(8, 4, 1, 1)})
    yield Call("conv3d", {"x": deep, "weight": drawn(5, 3, 2, 2, 2)})
    yield Call("depthwise_conv2d", {"x": x, "weight": drawn(4, 1, 3, 3)}, {"padding": 1})
    yield Call("conv_transpose2d", {"x": x, "weight": drawn(4, 3, 3, 3)}, {"stride": 2})
    for name in ("max_pool2d", "avg_pool2d"):
        yield Call(name, {"x": x}, {"kernel_size": 2})
    yield Call("max_pool2d", {"x": x}, {"kernel_size": 3, "stride": 2, "padding": 1, "return_indices": True})
    yield Call("adaptive_avg_pool2d", {"x": x}, {"output_size": 1})
    for name in ACTIVATIONS:
        yield Call(name, {"x": x})
    yield Call("softmax", {"x": x}, {"dim": 1})
    yield Call("softmax", {"x": x}, {"dim": -1})
    yield Call("batch_norm", {"x": x, "running_mean": drawn(4), "running_var": np.abs(drawn(4)) + 1})
    yield Call("local_response_norm", {"x": x}, {"size": 3})
    yield Call("pad", {"x": x}, {"pad": (1, 2, 0, 1)})
    yield Call("unfold", {"x": x}, {"kernel_size": 3})


# Structures that sizes may lead to: tiles of registers, for rows that are swept one by one or together.
MOST_ROUTINES = 16
# All that are smaller than a vector or little larger, and of the others some with every rest.
SIZES = (*range(3, 24), *range(24, 103, 3), 203)


@pytest.mark.parametrize("number", range(len(list(at(5)))), ids=[str(call) for call in at(5)])
def test_sizes_compile_nothing_new(anew, number):
    for n in SIZES:
        next(islice(at(n), number, None)).by("direct")
    made = list(jit._routines)
    assert 0 < len(made) <= MOST_ROUTINES, made
    for n in range(103, 203, 10):
        next(islice(at(n), number, None)).by("direct")
    assert list(jit._routines) == made
