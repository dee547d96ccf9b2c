"""The product of two tiles, as the emulation makes it."""

import ctypes

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from striderule.codegen import jit, target
from striderule.codegen.dots import NUMBERS, SUMS
from striderule.codegen.tile import Routine
from striderule.codegen.tiles import Plain


@pytest.mark.parametrize("machine", target.available(), ids=lambda machine: machine.name)
@pytest.mark.parametrize(("unit", "turned"), [("bfloat16", False), ("dot8", False), ("dot8", True)])
def test_products_of_tiles(machine, unit, turned):
    name = f"tiles_{unit}_{turned}"
    r = Routine(name, machine, SUMS[unit], pointers=("a", "b", "c"), sizes=())
    tiles = Plain(r)
    with tiles.configured():
        tiles.zero(0)
        for tile, word, pitch in ((1, "a", 20), (2, "b", 16)):
            tiles.load(tile, r.pointer(word), pitch)
        for _ in range(2):
            tiles.add_products(unit, turned, 0, 1, 2)
        tiles.store(0, r.pointer("c"), 16)
    made = jit.load(name, r.finish(), machine)
    rng = np.random.default_rng(0)
    kinds = (np.int8, np.uint8) if turned else (np.uint8, np.int8)
    count = NUMBERS[unit]
    if unit == "bfloat16":
        numbers = [rng.integers(-9, 9, (16, 16, 2)).astype("f") for _ in range(2)]
        words = [(one.view(np.uint32) >> 16).astype(np.uint16) for one in numbers]
    else:
        numbers = words = [
            rng.integers(np.iinfo(kind).min, np.iinfo(kind).max + 1, (16, 16, count)).astype(kind) for kind in kinds
        ]
    a, b = (np.ascontiguousarray(one).view(np.uint32)[..., 0] for one in words)
    wide, c = np.zeros((16, 20), np.uint32), np.zeros((16, 16), np.float32 if unit == "bfloat16" else np.int32)
    wide[:, :16] = a
    arguments = (ctypes.c_int64 * 3)(wide.ctypes.data, b.ctypes.data, c.ctypes.data)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(made.address)(arguments, 0, 1)
    expected = 2 * np.einsum("mki,kni->mn", *(one.astype(float) for one in numbers))
    assert (c == expected).all()
