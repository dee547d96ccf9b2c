"""What code is made for: the vectors, registers and features of a processor, decided from its feature flags.

LLVM's guess of the processor's name is not used, since virtual machines make it wrong: the name here is that of a
generic level, and the features are written out. So the same features always give the same code.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cache

from striderule.errors import CompilationFailed, InvalidArgument


@dataclass(frozen=True, slots=True)
class Target:
    """A kind of processor that routines are made for.

    `triple`, `cpu` and `features` are LLVM's words; `vector_bytes` is the width of a vector register, `registers` their
    count, and `fma` says whether a multiply-add is one instruction with one rounding.
    """

    name: str
    triple: str
    cpu: str
    features: str
    vector_bytes: int
    registers: int
    fma: bool

    @property
    def units(self) -> tuple[str, ...]:
        """The dot-product instructions that it has: words of `striderule.codegen.dots`, and "tiles" for AMX.

        >>> Target("avx2", "x86_64-unknown-linux-gnu", "x86-64-v3", "+avx2,-avxvnni", 32, 16, True).units
        ('dot16',)
        """
        return _units(self.features)

    def lanes(self, itemsize: int) -> int:
        """Return how many elements of `itemsize` bytes one vector holds.

        Examples
        --------
        >>> Target("avx2", "x86_64-unknown-linux-gnu", "x86-64-v3", "+avx2,+fma", 32, 16, True).lanes(4)
        8
        """
        return self.vector_bytes // itemsize


@cache
def _units(features: str) -> tuple[str, ...]:
    """Return them for a list of features; every plan asks."""
    present = set(features.split(","))
    return tuple(unit for unit, needs in _UNITS.items() if not present.isdisjoint(needs))


@dataclass(frozen=True, slots=True)
class _Level:
    """A target before the processor is known: what it needs, and what its generic cpu has besides."""

    architecture: str
    cpu: str
    needs: tuple[str, ...]
    besides: tuple[str, ...]
    tuning: tuple[str, ...]
    vector_bytes: int
    registers: int
    fma: bool


# Dot-product instructions, and the features of which each brings them to whole vectors. AVX512-VNNI stands only with
# AVX-512, whose level needs more than it; AVX-VNNI is its form for vectors of 256 bits.
_UNITS = {
    "dot8": ("+avx512vnni", "+avxvnni"),
    "dot16": ("+sse2", "+avx2"),
    "bfloat16": ("+avx512bf16",),
    "tiles": ("+amx-tile",),
}

# LLVM takes avx512f to bring avx2, fma and f16c, and avx2 to bring avx: they are needed with it. What a level has
# besides (x86-64-v3, -v4 as the System V ABI defines them) may be masked by a virtual machine, and is then turned off.
_AVX2 = ("avx", "avx2", "fma")
_BESIDES = ("bmi", "bmi2", "cx16", "lzcnt", "movbe", "popcnt", "sahf")
_AVX512 = _Level(
    "x86_64",
    "x86-64-v4",
    (*_AVX2, "f16c", "avx512f", "avx512bw", "avx512dq", "avx512vl"),
    (*_BESIDES, "avx512cd", "avx512vnni", "avx512bf16"),
    ("-prefer-256-bit",),  # x86-64-v4 halves its vectors otherwise
    vector_bytes=64,
    registers=32,
    fma=True,
)
_LEVELS = {
    # AVX-512, and the tiles of AMX where the system lets this process use them.
    "amx": replace(_AVX512, needs=(*_AVX512.needs, "amx-tile", "amx-bf16", "amx-int8")),
    "avx512": _AVX512,
    "avx2": _Level(
        "x86_64", "x86-64-v3", _AVX2, ("f16c", *_BESIDES, "avxvnni"), (), vector_bytes=32, registers=16, fma=True
    ),
    "sse2": _Level("x86_64", "x86-64", ("sse2",), (), (), vector_bytes=16, registers=16, fma=False),
    "neon": _Level("aarch64", "generic", ("neon",), (), (), vector_bytes=16, registers=32, fma=True),
}
TARGETS = tuple(_LEVELS)
"""The names of all targets; those of one architecture from the widest to the narrowest."""

# Linux: the number of arch_prctl on x86-64, ARCH_REQ_XCOMP_PERM, and the state component of AMX's tiles.
_ARCH_PRCTL, _REQUEST_STATE, _TILE_DATA = 158, 0x1023, 18

_ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
# What every processor of the architecture has, whatever the system tells.
_BASELINE = {"x86_64": "sse2", "aarch64": "neon"}


def runnable(triple: str, features: Collection[str]) -> tuple[Target, ...]:
    """Return the targets that a processor with these features runs, the widest first; none if it is unknown.

    Parameters
    ----------
    triple
        LLVM's words for architecture, vendor and system.
    features
        The instruction sets that the processor has and the system has enabled, as LLVM names them.

    Examples
    --------
    >>> [target.name for target in runnable("x86_64-unknown-linux-gnu", {"avx", "avx2", "fma"})]
    ['avx2', 'sse2']
    >>> runnable("riscv64-unknown-linux-gnu", {"v"})
    ()
    """
    architecture = _architecture(triple)
    # x32 has the registers of x86-64 but pointers of 32 bits, which routines do not know.
    if architecture is None or triple.endswith("x32"):
        return ()
    present = {*features, _BASELINE[architecture]}
    return tuple(
        _made(name, level, triple, present)
        for name, level in _LEVELS.items()
        if level.architecture == architecture and present.issuperset(level.needs)
    )


@cache
def available() -> tuple[Target, ...]:
    """Return the targets that this machine runs, the widest first; `CompilationFailed` if there is none."""
    from striderule.codegen import jit  # noqa: PLC0415 - jit stands on this module, and alone knows LLVM

    triple, features = jit.processor()
    if "amx-tile" in features and not tiles_permitted():
        features = frozenset(feature for feature in features if not feature.startswith("amx-"))
    found = runnable(triple, features)
    if not found:
        raise CompilationFailed(f"no routines are made for the processor {triple}; known are {', '.join(TARGETS)}")
    return found


@cache
def tiles_permitted() -> bool:
    """Ask the system, once, whether this process may use the tiles of AMX; tell what it says.

    Linux keeps the 8 KiB of tiles from programs that have not asked (Documentation/arch/x86/xstate.rst); the answer
    holds for all threads and for forked children. Other systems are not asked, and their tiles not used.
    """
    # The number of the call is that of 64-bit processes on x86-64; elsewhere it is another's.
    if sys.platform != "linux" or _architecture(platform.machine()) != "x86_64" or sys.maxsize < 2**32:
        return False
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    words = (_ARCH_PRCTL, _REQUEST_STATE, _TILE_DATA)
    return bool(call(*(ctypes.c_long(word) for word in words)) == 0)


def host() -> Target:
    """Return the widest target of this machine."""
    return available()[0]


def named(name: str) -> Target:
    """Return a target by its name, whether or not this machine runs it: code can be made for any.

    A target that this machine runs comes for its system; another one comes whole, and for Linux.
    """
    if name not in _LEVELS:
        raise InvalidArgument(f"target must be one of {', '.join(TARGETS)}, got {name!r}")
    for target in available():
        if target.name == name:
            return target
    level = _LEVELS[name]
    home = host().triple
    triple = home if _architecture(home) == level.architecture else f"{level.architecture}-unknown-linux-gnu"
    return _made(name, level, triple, {*level.needs, *level.besides})


@cache
def forced() -> str:
    """Return what the environment variable STRIDERULE_TARGET says, read at first use: asking costs as much as a call.

    `forget` lets it be read again.
    """
    return os.environ.get("STRIDERULE_TARGET", "")


def forget() -> None:
    """Read STRIDERULE_TARGET anew at the next call, where it was changed in a running process."""
    forced.cache_clear()


def current() -> Target:
    """Return the target that routines are made for: this machine's widest, or the one that STRIDERULE_TARGET names.

    The variable is read at first use; see `forget`.

    Raises
    ------
    InvalidArgument
        STRIDERULE_TARGET names no target, or one that this machine does not run.
    CompilationFailed
        The processor is unknown; `CompilerMissing`, one kind of it, without llvmlite.
    """
    word, found = forced(), available()
    if not word:
        return found[0]
    for target in found:
        if target.name == word:
            return target
    names = ", ".join(target.name for target in found)
    raise InvalidArgument(f"STRIDERULE_TARGET must be one of {names} on this machine, got {word!r}")


def _architecture(triple: str) -> str | None:
    return _ARCHITECTURES.get(triple.partition("-")[0].lower())


def _made(name: str, level: _Level, triple: str, present: Collection[str]) -> Target:
    """Return the target of a level on a processor: each feature of the level is turned on or off in so many words."""
    features = [f"+{feature}" for feature in level.needs]
    features += [f"{'+' if feature in present else '-'}{feature}" for feature in level.besides]
    return Target(
        name,
        triple,
        level.cpu,
        ",".join([*features, *level.tuning]),
        level.vector_bytes,
        level.registers,
        level.fma,
    )
