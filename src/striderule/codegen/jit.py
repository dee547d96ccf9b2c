"""LLVM IR to machine code in memory; the only user of llvmlite.binding.

A routine is text until here. It is cleaned by a few passes, translated to object code for a target, kept on disk (see
`striderule.codegen.cache`), linked, and from then on is an address. Another process finds it under its text; under its
structure, too, where it is known which source code writes it, so that it is not written at all. Every routine has the
one signature

    void name(i64* args, i64 first, i64 last)

and runs its tasks first <= t < last; `args` points to 64-bit words, which are sizes and pointers.

Code is loaded for the life of the process: nothing is unloaded, for no one could tell whether it still runs.
"""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import sys
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from striderule._version import __version__
from striderule.codegen import cache, sources
from striderule.codegen.target import Target, available, current
from striderule.errors import CompilationFailed, CompilerMissing

PASSES = ("sroa", "simplify_cfg", "instruction_combine")
"""The passes before translation, in llvmlite's names. Routines come with their vectors and unrolled loops written out,
so that the vectorisers and unrollers of LLVM, which take long and undo register tiles, are left out."""

OPT = 3
"""How hard LLVM tries in instruction selection, scheduling and register allocation (0 to 3)."""


@dataclass(frozen=True, slots=True)
class Routine:
    """Machine code in memory: where it starts, and its name."""

    address: int
    name: str


# How this module translates has a say, too: it is read while it is imported. Without a file the version tells it.
_TRANSLATION = sources.digest_of(__file__) or __version__

# One compilation at a time: llvmlite admits one thread at a time anyway, and a structure asked for by many threads is
# so compiled once. It is reentrant, since the builder of one routine may ask for another.
_lock = threading.RLock()
_routines: dict[Hashable, Routine | CompilationFailed] = {}
_counter = itertools.count()

if hasattr(os, "register_at_fork"):
    # A fork waits for the compilation under way, so that the child finds LLVM at rest, and the lock open.
    os.register_at_fork(
        before=lambda: _lock.acquire(), after_in_parent=lambda: _lock.release(), after_in_child=lambda: _lock.release()
    )
# So does the end of the process, which tears LLVM down; from then on no other thread compiles.
atexit.register(_lock.acquire)


def compiled(
    name: str,
    key: Hashable,
    build: Callable[[], str],
    target: Target | None = None,
    origin: Callable[[], str | None] | None = None,
) -> Routine:
    """Return the routine `name` of structure `key`; its IR is built and compiled at the first call alone.

    Parameters
    ----------
    name
        The function that the IR defines.
    key
        All that the IR depends on besides the target.
    build
        Returns the text of the IR. What it raises reaches the caller, and the next call tries again.
    target
        What to compile for; by default what `striderule.codegen.target.current` says.
    origin
        Returns the digest of all source code that `build` runs (see `striderule.codegen.sources`), or None where it
        cannot tell. With it the code may be found on disk, and `build` is not called.

    Raises
    ------
    CompilationFailed
        The IR is invalid, or the code cannot be loaded; the same structure then fails again without another attempt.
    """
    target = target or current()
    entry = (name, key, target)
    found = _routines.get(entry)
    if found is None:
        with _lock:
            found = _routines.get(entry)
            if found is None:
                found = _routines[entry] = _attempt(name, key, build, target, origin or _unknown)
    if isinstance(found, Routine):
        return found
    raise type(found)(str(found))


def structures() -> int:
    """Return how many structures have been made or found in this process, by `compiled`."""
    return len(_routines)


def load(name: str, text: str, target: Target) -> Routine:
    """Return the routine `name` that the IR `text` defines, ready to run; each call loads it anew (see `compiled`).

    Raises
    ------
    CompilationFailed
        The IR is invalid or does not define `name`, the code cannot be loaded, or this machine does not run the target.
    """
    llvm = _llvm()
    if target not in available():
        names = ", ".join(one.name for one in available())
        raise CompilationFailed(f"this machine runs {names}, not {target.name} ({target.triple}, {target.features})")
    with _lock:
        key = _key(llvm, text, target)
        found = _kept(llvm, name, key)
        if found is not None:
            return found
        try:
            made = _emitted(llvm, text, target)
            routine = Routine(_linked(llvm, name, made), name)
        except RuntimeError as error:
            raise CompilationFailed(f"routine {name} for {target.name}: {error}") from error
        # Only code that could be loaded is kept.
        cache.write(key, made)
        return routine


def assembly(text: str, target: Target) -> str:
    """Return the assembly that the IR `text` becomes, for any target."""
    llvm = _llvm()
    with _lock:
        try:
            module, machine = _optimised(llvm, text, target)
            return str(machine.emit_assembly(module))
        except RuntimeError as error:
            raise CompilationFailed(f"assembly for {target.name}: {error}") from error


def object_code(text: str, target: Target) -> bytes:
    """Return the object file that the IR `text` becomes, for any target: for linkers of other machines."""
    llvm = _llvm()
    with _lock:
        try:
            return _emitted(llvm, text, target)
        except RuntimeError as error:
            raise CompilationFailed(f"object code for {target.name}: {error}") from error


@functools.cache
def processor() -> tuple[str, frozenset[str]]:
    """Return the triple of this process, and the features that the processor has and the system has enabled."""
    llvm = _llvm()
    with _lock:
        try:
            features = llvm.get_host_cpu_features()
        except RuntimeError:  # LLVM cannot tell: what every processor of the kind has is left
            features = {}
        return str(llvm.get_process_triple()), frozenset(name for name, present in features.items() if present)


def _attempt(
    name: str, key: Hashable, build: Callable[[], str], target: Target, origin: Callable[[], str | None]
) -> Routine | CompilationFailed:
    """Find the routine under its structure, or write it and `load` it."""
    try:
        llvm = _llvm()
    except CompilationFailed as failure:
        return _bare(failure)
    short = _short_key(llvm, name, key, target, origin())
    found = None if short is None else _followed(llvm, name, short)
    if found is not None:
        return found
    text = build()
    try:
        made = load(name, text, target)
    except CompilationFailed as failure:
        return _bare(failure)
    # The source may have changed while the text was written.
    if short is not None and short == _short_key(llvm, name, key, target, origin()):
        cache.write(short, _key(llvm, text, target).encode())
    return made


def _bare(failure: CompilationFailed) -> CompilationFailed:
    """Return a failure as later callers get it: without its cause and the frames that it passed, and all they hold."""
    return type(failure)(str(failure))


def _unknown() -> None:
    """Stand for source code that nobody knows."""


def _followed(llvm: Any, name: str, short: str) -> Routine | None:
    """Return the routine that is kept under the key which is kept under the short one, or None."""
    key = cache.read(short)
    return None if key is None else _kept(llvm, name, key.decode("ascii"))


def _kept(llvm: Any, name: str, key: str) -> Routine | None:
    """Return the routine whose code is kept under a key; None if there is none, or it is of no use."""
    code = cache.read(key)
    if code is None:
        return None
    try:
        return Routine(_linked(llvm, name, code), name)
    except RuntimeError:
        return None


def _llvm() -> ModuleType:
    found = _found()
    if isinstance(found, CompilerMissing):
        raise CompilerMissing(str(found))
    return found


@functools.cache
def _found() -> ModuleType | CompilerMissing:
    """Return llvmlite.binding, ready for this machine, or why there is none; looked for once."""
    with _lock:
        try:
            import llvmlite  # noqa: PLC0415 - takes long to load, and the library does without
            import llvmlite.binding as llvm  # noqa: PLC0415

            llvm.initialize_native_target()
            llvm.initialize_native_asmprinter()
            passes = llvm.create_new_module_pass_manager()
        except (ImportError, OSError, RuntimeError, AttributeError) as error:
            return CompilerMissing(f"routines are compiled by llvmlite, which cannot be used: {error}")
        if not all(hasattr(passes, f"add_{name}_pass") for name in PASSES):
            return CompilerMissing(f"routines need llvmlite 0.45 or newer, this is {llvmlite.__version__}")
        module: ModuleType = llvm
        return module


def _key(llvm: Any, text: str, target: Target) -> str:
    """Return the cache key of what the IR becomes: of all that has a say in it."""
    return cache.key(text, target.triple, target.cpu, target.features, *_settings(llvm, target))


def _short_key(llvm: Any, name: str, key: Hashable, target: Target, digest: str | None) -> str | None:
    """Return the cache key of what source code of a digest makes of a structure.

    None where one of them is unknown, or this machine does not run the target.
    """
    structure = sources.described((name, key, target))
    if digest is None or structure is None or target not in available():
        return None
    return cache.key("structure", structure, digest, sys.version, *_settings(llvm, target))


def _settings(llvm: Any, target: Target) -> tuple[str, ...]:
    """Return all else that has a say in what becomes of IR."""
    import llvmlite  # noqa: PLC0415 - it is loaded, since `llvm` is there

    versions = (llvmlite.__version__, ".".join(map(str, llvm.llvm_version_info)))
    return (_TRANSLATION, str(OPT), ",".join(PASSES), _code_model(target.triple), *versions)


def _emitted(llvm: Any, text: str, target: Target) -> bytes:
    """Return object code."""
    module, machine = _optimised(llvm, text, target)
    return bytes(machine.emit_object(module))


def _optimised(llvm: Any, text: str, target: Target) -> tuple[Any, Any]:
    """Return the module that the passes leave, and the machine to translate it; both serve this compilation alone."""
    if target.triple != processor()[0]:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=OPT, reloc="pic", codemodel=_code_model(target.triple), jit=True
    )
    # A context of its own gives back what the module took; the global one would grow with every routine.
    module = llvm.parse_assembly(text, llvm.create_context())
    module.triple = target.triple
    module.data_layout = str(machine.target_data)
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    passes = llvm.create_new_module_pass_manager()
    for name in PASSES:
        getattr(passes, f"add_{name}_pass")()
    passes.run(module, llvm.create_pass_builder(machine, options))
    return module, machine


def _code_model(triple: str) -> str:
    """Return how code reaches its constants.

    JITLink lays out code and constants in one block, so the short distances of the small model always suffice. On
    Windows it is not mature: there the older linker may place them far apart, for which the JIT's own model stands.
    """
    return "jitdefault" if "windows" in triple else "small"


@functools.cache
def _linker(llvm: Any) -> Any:
    # Errors come as exceptions; they need not be printed too.
    return llvm.create_lljit_compiler(use_jit_link="windows" not in processor()[0], suppress_errors=True)


def _linked(llvm: Any, name: str, code: bytes) -> int:
    """Load object code and return the address of `name`."""
    # LLVM itself calls memcpy and memset, which are found in the process.
    builder = llvm.JITLibraryBuilder().add_object_img(code).add_current_process().export_symbol(name)
    library = builder.link(_linker(llvm), f"{name}.{next(_counter)}")
    address = int(library[name])
    # From here on no one can unload it: not the collection of garbage, not the end of the interpreter.
    library.detach()
    return address
