"""How small calls enter machine code: each is a built-in function of its own, as those of extension modules are.

Through `ctypes` a call costs more than a microsecond: the addresses of its arrays are read in Python, put among the
routine's words, and every number is converted. Here the interpreter calls generated code itself (`METH_FASTCALL` in its
C interface); that reads the addresses where arrays hold them, puts them among a copy of the words and runs the routine.
All of it takes some fifty nanoseconds. The interpreter stays locked meanwhile, so it is for work that is soon done.

Where the head of an object ends an array holds the address of its first element (`PyArrayObject_fields` in NumPy's C
interface, which promises that place). Interpreters whose `id` is no address have no such heads, and no entries.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.codegen import jit
from striderule.codegen.target import current
from striderule.errors import CompilationFailed

Array = npt.NDArray[Any]

HEAD = object.__basicsize__
word_at = ctypes.c_void_p.from_address
# Words that have room on the stack; calls of more have no entry.
MOST_WORDS = 120
# Before the routine's words: the routine, its tasks, how many words, None, and the function that counts a reference.
_BEFORE = 5
_FASTCALL = 0x80

_TEXT = f"""
define ptr @enter(ptr %self, ptr %arrays, i64 %count) {{
entry:
  %words = alloca [{MOST_WORDS} x i64], align 16
  %block.at = getelementptr i8, ptr %self, i64 {HEAD}
  %block = load ptr, ptr %block.at
  %tasks.at = getelementptr i64, ptr %block, i64 1
  %length.at = getelementptr i64, ptr %block, i64 2
  %none.at = getelementptr i64, ptr %block, i64 3
  %hold.at = getelementptr i64, ptr %block, i64 4
  %told = getelementptr i64, ptr %block, i64 {_BEFORE}
  %routine = load ptr, ptr %block
  %tasks = load i64, ptr %tasks.at
  %length = load i64, ptr %length.at
  %none = load ptr, ptr %none.at
  %hold = load ptr, ptr %hold.at
  br label %copy
copy:
  %i = phi i64 [ 0, %entry ], [ %i.next, %copy ]
  %from = getelementptr i64, ptr %told, i64 %i
  %to = getelementptr i64, ptr %words, i64 %i
  %word = load i64, ptr %from
  store i64 %word, ptr %to
  %i.next = add i64 %i, 1
  %more = icmp slt i64 %i.next, %length
  br i1 %more, label %copy, label %look
look:
  %j = phi i64 [ 0, %copy ], [ %j.next, %next ]
  %some = icmp slt i64 %j, %count
  br i1 %some, label %take, label %run
take:
  %array.at = getelementptr ptr, ptr %arrays, i64 %j
  %array = load ptr, ptr %array.at
  %nothing = icmp eq ptr %array, %none
  br i1 %nothing, label %next, label %put
put:
  %data.at = getelementptr i8, ptr %array, i64 {HEAD}
  %data = load i64, ptr %data.at
  %place = getelementptr i64, ptr %words, i64 %j
  store i64 %data, ptr %place
  br label %next
next:
  %j.next = add i64 %j, 1
  br label %look
run:
  call void %routine(ptr %words, i64 0, i64 %tasks)
  call void %hold(ptr %none)
  ret ptr %none
}}
"""


def reads_heads() -> bool:
    """Tell whether arrays are laid out as said: not in interpreters whose `id` is no address."""
    if sys.implementation.name != "cpython":
        return False
    whole = np.empty(4)
    return all(word_at(id(part) + HEAD).value == part.ctypes.data for part in (whole, whole[1:], whole[::-1]))


def entry(routine: int, words: Sequence[int], tasks: int, kept: Any = None) -> Callable[..., None] | None:
    """Return a function of arrays that runs all tasks of a routine on this thread, in one chunk; None if none is had.

    It takes as many arrays, or None, as there are pointers at the beginning of the words; `words` are copied. What the
    others point to is `kept` as long as the function is.
    """
    made = _maker() if len(words) <= MOST_WORDS else None
    if made is None:
        return None
    new, definition, none, hold = made
    block = np.array([routine, tasks, len(words), none, hold, *words], np.int64)
    # An interpreter asks no more of the module of a function than that it lives.
    function: Callable[..., None] = new(definition, block, (kept,))
    return function


class _Definition(ctypes.Structure):
    """`PyMethodDef`."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("about", ctypes.c_char_p),
    )


@functools.cache
def _maker() -> tuple[Callable[..., Any], int, int, int] | None:
    """Return what makes functions, the address of their definition, and those of None and of what holds objects."""
    if not reads_heads() or ctypes.sizeof(ctypes.c_void_p) != 8:
        return None
    try:
        address = jit.load("enter", _TEXT, current()).address
        # A prototype of its own: others may give `ctypes.pythonapi` theirs.
        kinds = ctypes.c_void_p, ctypes.py_object, ctypes.py_object
        new = ctypes.PYFUNCTYPE(ctypes.py_object, *kinds)(("PyCFunction_NewEx", ctypes.pythonapi))
        hold = ctypes.cast(ctypes.pythonapi.Py_IncRef, ctypes.c_void_p).value
    except (CompilationFailed, AttributeError):
        return None
    assert hold is not None
    _kept.append(_Definition(b"run", address, _FASTCALL, None))
    return new, ctypes.addressof(_kept[-1]), id(None), hold


# Definitions must outlive all functions.
_kept: list[_Definition] = []
