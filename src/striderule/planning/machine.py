"""The processor as the planner sees it: plain numbers, injectable.

The numbers here are defaults that follow from the instruction set alone. They need not be those of the machine at hand:
the choice among algorithms must come out the same on every machine with the same features, so that the bits of a result
do. Cores and measured rates change what is predicted, and the schedule, never the choice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from striderule.errors import InvalidArgument


def itemsize(dtype: str) -> int:
    """Return the bytes of one number of a type, from its name.

    >>> itemsize("float32"), itemsize("complex128"), itemsize("bool")
    (4, 16, 1)
    """
    bits = re.search(r"\d+$", dtype)
    return int(bits.group()) // 8 if bits else 1


@dataclass(frozen=True, slots=True)
class Machine:
    """A processor: what bounds the speed of a computation.

    `vector_bytes` and `registers` are those of the vector unit; `l1`, `l2` (of one core) and `l3` are bytes;
    `multiply_adds_per_cycle` counts vector instructions of one core; `hertz` is the clock under vector load;
    `bandwidth` is in bytes a second, for all cores; `generated` tells whether machine code can be generated here.
    `call` is the seconds of handing a routine to all cores, from Python. `measured` holds pairs of a type and its
    measured peak in operations a second of one core, which replace the computed ones. `units` are the dot-product
    instructions of the processor: ``dot8`` (bytes), ``dot16``, ``bfloat16``, and ``tiles`` where it has these for whole
    tiles (AMX).
    """

    name: str
    vector_bytes: int
    registers: int
    l1: int = 32 << 10
    l2: int = 1 << 20
    l3: int = 16 << 20
    cores: int = 1
    multiply_adds_per_cycle: float = 2.0
    hertz: float = 2.5e9
    bandwidth: float = 16e9
    call: float = 5e-6
    generated: bool = True
    units: tuple[str, ...] = ()
    measured: tuple[tuple[str, float], ...] = ()

    @classmethod
    def of(cls, name: str, *, cores: int = 1, generated: bool = True, units: tuple[str, ...] | None = None) -> Machine:
        """Return the default machine of an instruction set; `units` are those that its name says, or these.

        >>> Machine.of("avx512", cores=2).lanes("float32")
        16
        """
        if name not in DEFAULTS:
            raise InvalidArgument(f"machine must be one of {', '.join(DEFAULTS)}, got {name!r}")
        default = DEFAULTS[name]
        return replace(default, cores=cores, generated=generated, units=default.units if units is None else units)

    @property
    def model(self) -> Machine:
        """The one that decides: the defaults of the same instruction set, on one core."""
        if self.name not in DEFAULTS:
            return replace(self, cores=1)
        return Machine.of(self.name, generated=self.generated, units=self.units)

    def lanes(self, dtype: str) -> int:
        """Return how many numbers of a type one vector holds."""
        return max(1, self.vector_bytes // itemsize(dtype))

    def peak(self, dtype: str) -> float:
        """Return the most operations a second of a type on all cores; a multiply-add counts as two.

        >>> Machine.of("avx2").peak("float32")
        80000000000.0
        """
        known = dict(self.measured)
        if dtype in known:
            return known[dtype] * self.cores
        rate = 2 * self.multiply_adds_per_cycle * self.lanes(dtype) * self.hertz * self.cores
        if dtype == "int8":  # with sums of 32 bits
            return self.peak("int32") * (4 if "dot8" in self.units else 1)
        # No instruction multiplies 64-bit integers and adds; complex products are four real ones.
        return rate / (4 if dtype in ("int64", "uint64") or dtype.startswith("complex") else 1)

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain data."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "measured"} | {
            "measured": dict(self.measured)
        }


_AVX512 = Machine("avx512", 64, 32, l1=48 << 10, l2=2 << 20, l3=32 << 20)
DEFAULTS: Mapping[str, Machine] = {
    "amx": replace(_AVX512, name="amx", units=("dot8", "dot16", "bfloat16", "tiles")),
    "avx512": _AVX512,
    "avx2": Machine("avx2", 32, 16, l2=512 << 10),
    # No fused multiply-add: a multiplication and an addition take their turns.
    "sse2": Machine("sse2", 16, 16, l2=256 << 10, multiply_adds_per_cycle=1.0),
    "neon": Machine("neon", 16, 32, l1=64 << 10),
}
