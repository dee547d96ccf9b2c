"""Steps of optimisers on generated code: one call changes all parameters."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import lru_cache
from struct import Struct
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.direct import giving_way, proof
from striderule.algorithms.direct.update_routine import Form, update_routine
from striderule.algorithms.windows import update as windows
from striderule.algorithms.windows.update import KEPT, NUMBERS, OWN, PIECE, Part
from striderule.codegen import workers
from striderule.codegen.jit import Routine
from striderule.codegen.target import current

__all__ = ["Part", "step"]

Array = npt.NDArray[Any]

SERVED = {"f": "float32", "d": "float64"}
_double, _word = Struct("d"), Struct("q")


def step(rule: str, parts: Sequence[Part], numbers: tuple[float, ...]) -> None:
    """Change all parameters, and what is kept of them, in place; see `striderule.algorithms.windows.update`.

    Every element is computed for itself, so neither pieces nor threads change a bit.
    """
    kinds = {part.value.dtype.char for part in parts}
    for char in sorted(kinds):
        some = parts if len(kinds) == 1 else [part for part in parts if part.value.dtype.char == char]
        _step(rule, char, some, numbers)


def _step(rule: str, char: str, parts: Sequence[Part], numbers: tuple[float, ...]) -> None:
    call = None
    if char in SERVED and all(one.flags.aligned for part in parts for one in (part.value, part.gradient)):
        form = Form(rule, SERVED[char], decays=rule != "adamw" and bool(numbers[1]))
        call = giving_way.attempt(_call, form, tuple(part.value.size for part in parts), current().name)
    if call is None:
        windows.step(rule, parts, numbers)
        return
    routine, pieces, tasks = call
    places = [memory.address(one) for part in parts for one in (part.value, part.gradient, *part.kept)]
    addresses, own = array("q", places), array("d", [number for part in parts for number in part.own] or [0.0])
    words = array("q", [addresses.buffer_info()[0], own.buffer_info()[0], memory.address(pieces)])
    words.extend(_word.unpack(_double.pack(number))[0] for number in numbers)
    workers.run(routine.address, words.buffer_info()[0], tasks)


@lru_cache(maxsize=64)
def _call(form: Form, sizes: tuple[int, ...], _target: str) -> tuple[Routine, Array, int]:
    """Return the routine, the table of pieces, and how many there are."""
    target = current()

    def trial() -> bool:
        given = [np.zeros(PIECE + 37, form.dtype) for _ in range(form.arrays)]
        return proof.agree(_stepped, lambda *words: _stepped(*words, module=windows), form, *given)

    # No emulator has run it for AArch64: what it is given are tables of addresses.
    unproved = target.name == "neon"
    routine = proof.compiled(form.name, form, lambda: update_routine(form, target), target, trial, always=unproved)
    cut = [
        (part, start, min(PIECE, size - start)) for part, size in enumerate(sizes) for start in range(0, size, PIECE)
    ]
    return routine, np.array(cut, np.int64).reshape(-1), len(cut)


def _stepped(form: Form, *arrays: Array, module: Any = None) -> tuple[Array, ...]:
    """Return copies of the arrays of a parameter after a step."""
    value, gradient, *kept = (one.copy() for one in arrays)
    kept = [abs(one) for one in kept]
    numbers = tuple(0.5 if word != "decay" or form.decays else 0.0 for word in NUMBERS[form.rule])
    part = Part(value, gradient, tuple(kept[: KEPT[form.rule]]), (0.5,) * len(OWN[form.rule]))
    (module.step if module else step)(form.rule, [part], numbers)
    return value, *kept
