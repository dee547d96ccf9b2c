"""Small calls enter machine code straight from the interpreter."""

import ctypes
import gc
import sys
import threading
import weakref

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from striderule.codegen import entries, jit, target

# Adds up the words behind the first two, then their number of tasks, and writes it to the first array's first number;
# the second array is where it says whether there was one.
TEXT = """
define void @sum_words(ptr %words, i64 %first, i64 %last) {
  %result = load ptr, ptr %words
  %second.at = getelementptr i64, ptr %words, i64 1
  %second = load ptr, ptr %second.at
  %there = ptrtoint ptr %second to i64
  %two.at = getelementptr i64, ptr %words, i64 2
  %two = load i64, ptr %two.at
  %three.at = getelementptr i64, ptr %words, i64 3
  %three = load i64, ptr %three.at
  store i64 %there, ptr %result
  %next = getelementptr i64, ptr %result, i64 1
  %sum = add i64 %two, %three
  store i64 %sum, ptr %next
  %span.at = getelementptr i64, ptr %result, i64 2
  %span = sub i64 %last, %first
  store i64 %span, ptr %span.at
  store i64 -1, ptr %words
  ret void
}
"""


@pytest.fixture(scope="module")
def routine():
    return jit.load("sum_words", TEXT, target.current()).address


def test_arrays_take_the_first_words_and_none_leaves_them(routine):
    run = entries.entry(routine, [0, 0, 40, 2], 7)
    found, other = np.zeros(3, np.int64), np.zeros((4, 4))[1:, ::-1]
    for _ in range(3):  # the routine wrote over its words, which are its own
        assert run(found, other) is None
        assert found.tolist() == [other.ctypes.data, 42, 7]
        assert run(found, None) is None
        assert found.tolist() == [0, 42, 7]
        assert run(found) is None
        assert found.tolist() == [0, 42, 7]


def test_none_and_arrays_are_held_as_often_as_before(routine):
    run, found = entries.entry(routine, [0, 0, 1, 2], 1), np.zeros(3, np.int64)
    counts = sys.getrefcount(found), sys.getrefcount(None)
    for _ in range(1000):
        run(found, None)
    assert sys.getrefcount(found) == counts[0]
    assert abs(sys.getrefcount(None) - counts[1]) < 500


def test_what_words_point_to_lives_as_long_as_the_function(routine):
    table = np.arange(3)
    seen, run = weakref.ref(table), entries.entry(routine, [0, 0, 1, 2], 1, {"table": table})
    del table
    gc.collect(0)
    assert seen() is not None
    del run
    gc.collect(0)
    assert seen() is None


def test_threads_enter_side_by_side(routine):
    run, wrong = entries.entry(routine, [0, 0, 1, 2], 5), []

    def over_and_over():
        found, other = np.zeros(3, np.int64), np.zeros(1)
        for _ in range(2000):
            run(found, other)
            if found.tolist() != [other.ctypes.data, 3, 5]:
                wrong.append(found.tolist())

    threads = [threading.Thread(target=over_and_over) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_where_there_is_no_entry_the_call_is_made_through_ctypes(routine, monkeypatch):
    from array import array

    from striderule.algorithms.direct.native import Call

    assert entries.entry(routine, [0] * (entries.MOST_WORDS + 1), 1) is None
    found, expected = np.zeros(3, np.int64), np.zeros(3, np.int64)
    words, other = array("q", [0, 0, 40, 2]), np.zeros(2)
    Call(routine, words, 3, 1).run(expected, other)
    monkeypatch.setattr(entries, "_maker", lambda: None)
    assert entries.entry(routine, words, 3) is None
    Call(routine, words, 3, 1).run(found, other)
    assert found.tolist() == expected.tolist() == [other.ctypes.data, 42, 3]
    Call(routine, words, 1, None).run(found, None)
    assert found.tolist() == [0, 42, 1]


def test_other_interpreters_have_none(monkeypatch):
    monkeypatch.setattr(entries, "reads_heads", lambda: False)
    assert entries._maker.__wrapped__() is None


def test_pointers_have_64_bits():
    assert ctypes.sizeof(ctypes.c_void_p) == 8
