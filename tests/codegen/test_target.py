"""Targets follow from feature flags alone."""

import subprocess
import sys

import pytest

from striderule.codegen import jit, target
from striderule.errors import CompilationFailed, InvalidArgument

LINUX = "x86_64-unknown-linux-gnu"
AVX2 = {"avx", "avx2", "fma", "f16c", "bmi", "bmi2", "cx16", "lzcnt", "movbe", "popcnt", "sahf"}
AVX512 = AVX2 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}

DOTS = {"avx512vnni", "avx512bf16"}
AMX = {"amx-tile", "amx-bf16", "amx-int8"}


def names(triple, features):
    return [one.name for one in target.runnable(triple, features)]


@pytest.mark.parametrize(
    ("triple", "features", "expected"),
    [
        (LINUX, AVX512, ["avx512", "avx2", "sse2"]),
        (LINUX, AVX512 | {"amx-tile", "avx512vnni"}, ["avx512", "avx2", "sse2"]),
        (LINUX, AVX512 | AMX, ["amx", "avx512", "avx2", "sse2"]),
        (LINUX, AVX2 | AMX, ["avx2", "sse2"]),
        *((LINUX, AVX512 - {one}, ["avx2", "sse2"]) for one in ("avx512f", "avx512bw", "avx512dq", "avx512vl", "f16c")),
        (LINUX, AVX512 - {"fma"}, ["sse2"]),
        (LINUX, AVX512 - {"avx2"}, ["sse2"]),
        (LINUX, AVX512 - {"avx512cd"}, ["avx512", "avx2", "sse2"]),
        (LINUX, AVX2, ["avx2", "sse2"]),
        (LINUX, AVX2 - {"f16c", "movbe"}, ["avx2", "sse2"]),
        (LINUX, set(), ["sse2"]),
        ("x86_64-pc-windows-msvc", AVX512, ["avx512", "avx2", "sse2"]),
        ("aarch64-unknown-linux-gnu", {"neon", "sve"}, ["neon"]),
        ("arm64-apple-darwin23.1.0", set(), ["neon"]),
        ("i686-pc-linux-gnu", AVX2, []),
        ("x86_64-unknown-linux-gnux32", AVX2, []),
        ("aarch64_be-unknown-linux-gnu", {"neon"}, []),
        ("riscv64-unknown-linux-gnu", {"v"}, []),
    ],
)
def test_features_decide(triple, features, expected):
    assert names(triple, features) == expected


WIDTHS = {"amx": 64, "avx512": 64, "avx2": 32, "sse2": 16, "neon": 16}
REGISTERS = {"amx": 32, "avx512": 32, "avx2": 16, "sse2": 16, "neon": 32}


def test_vectors_and_registers():
    found = {one.name: one for one in target.runnable(LINUX, AVX512 | AMX)}
    found["neon"] = target.runnable("aarch64-unknown-linux-gnu", set())[0]
    assert tuple(sorted(found)) == tuple(sorted(target.TARGETS))
    assert {name: one.vector_bytes for name, one in found.items()} == WIDTHS
    assert {name: one.registers for name, one in found.items()} == REGISTERS
    assert {name for name, one in found.items() if not one.fma} == {"sse2"}
    assert [found["avx512"].lanes(size) for size in (1, 2, 4, 8)] == [64, 32, 16, 8]


def test_features_are_written_out():
    """The same code for the same features, whatever LLVM takes the processor for; masked ones are not used."""
    wide = target.runnable(LINUX, AVX512)[0]
    assert wide.cpu == "x86-64-v4"
    assert "-prefer-256-bit" in wide.features.split(",")
    assert {one[1:] for one in wide.features.split(",") if one[0] == "+"} == AVX512
    masked = target.runnable(LINUX, AVX2 - {"movbe", "bmi2"})[0]
    assert {"-movbe", "-bmi2", "+bmi"} <= set(masked.features.split(","))
    assert target.runnable(LINUX, AVX512 | {"avx512fp16"})[0] == wide


def test_dot_products_follow_from_the_features():
    for features, units in (
        (AVX512, ("dot16",)),
        (AVX512 | {"avx512vnni"}, ("dot8", "dot16")),
        (AVX512 | {"avx512vnni", "avx512bf16"}, ("dot8", "dot16", "bfloat16")),
        (AVX512 | AMX | {"avx512vnni", "avx512bf16"}, ("dot8", "dot16", "bfloat16", "tiles")),
        (AVX2 | {"avxvnni"}, ("dot8", "dot16")),
        (set(), ("dot16",)),
    ):
        assert target.runnable(LINUX, features)[0].units == units
    assert target.runnable(LINUX, AVX512 | {"avx512vnni"})[1].units == ("dot16",)
    assert target.runnable("aarch64-unknown-linux-gnu", set())[0].units == ()


@pytest.mark.parametrize("permitted", [False, True])
def test_tiles_are_used_where_the_system_permits_them(monkeypatch, permitted):
    monkeypatch.setattr(jit, "processor", lambda: (LINUX, frozenset(AVX512 | AMX)))
    monkeypatch.setattr(target, "tiles_permitted", lambda: permitted)
    target.available.cache_clear()
    try:
        assert target.host().name == ("amx" if permitted else "avx512")
        assert ("tiles" in target.host().units) == permitted
    finally:
        target.available.cache_clear()


def test_the_system_is_asked_for_tiles_without_harm():
    assert isinstance(target.tiles_permitted(), bool)
    assert not target.tiles_permitted() or sys.platform == "linux"


def test_other_processors_are_not_asked(monkeypatch):
    monkeypatch.setattr(target.platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(target.ctypes, "CDLL", None)
    assert target.tiles_permitted.__wrapped__() is False


def test_named_targets_exist_everywhere():
    for name in target.TARGETS:
        assert target.named(name).name == name
    for one in target.available():
        assert target.named(one.name) is one
    with pytest.raises(InvalidArgument, match="one of amx, avx512, avx2, sse2, neon, got 'avx'"):
        target.named("avx")


def test_named_targets_of_this_system_and_others(monkeypatch):
    monkeypatch.setattr(target, "available", lambda: target.runnable("x86_64-pc-windows-msvc", AVX2))
    assert target.host().name == "avx2"
    assert target.named("avx512").triple == "x86_64-pc-windows-msvc"
    assert {one[1:] for one in target.named("avx512").features.split(",") if one[0] == "+"} == AVX512 | DOTS
    assert target.named("neon").triple == "aarch64-unknown-linux-gnu"


def test_the_variable_forces_a_lesser_target(monkeypatch):
    monkeypatch.setattr(target, "available", lambda: target.runnable(LINUX, AVX2))
    monkeypatch.delenv("STRIDERULE_TARGET", raising=False)
    assert target.current() == target.host()
    for word, name in (("", "avx2"), ("avx2", "avx2"), ("sse2", "sse2")):
        monkeypatch.setenv("STRIDERULE_TARGET", word)
        target.forget()
        assert target.current().name == name
    for word in ("avx512", "neon", "AVX2", "fast"):
        monkeypatch.setenv("STRIDERULE_TARGET", word)
        target.forget()
        for _ in range(2):
            with pytest.raises(InvalidArgument, match=f"one of avx2, sse2 on this machine, got '{word}'"):
                target.current()


def test_the_variable_is_read_once(monkeypatch):
    monkeypatch.setattr(target, "available", lambda: target.runnable(LINUX, AVX2))
    monkeypatch.setenv("STRIDERULE_TARGET", "sse2")
    assert target.current().name == "sse2"
    monkeypatch.delenv("STRIDERULE_TARGET")
    assert target.current().name == "sse2"
    target.forget()
    assert target.current().name == "avx2"


def test_an_unknown_processor_has_no_target(monkeypatch):
    monkeypatch.setattr(jit, "processor", lambda: ("riscv64-unknown-linux-gnu", frozenset({"v"})))
    target.available.cache_clear()
    try:
        with pytest.raises(
            CompilationFailed, match="riscv64-unknown-linux-gnu; known are amx, avx512, avx2, sse2, neon"
        ):
            target.current()
    finally:
        target.available.cache_clear()


def test_features_that_llvm_cannot_tell(monkeypatch):
    llvm = jit._llvm()

    def unknown():
        raise RuntimeError

    monkeypatch.setattr(llvm, "get_host_cpu_features", unknown)
    assert jit.processor.__wrapped__() == (llvm.get_process_triple(), frozenset())


def test_importing_loads_no_compiler():
    code = "import sys, striderule.codegen.target, striderule.codegen.jit; sys.exit('llvmlite' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
