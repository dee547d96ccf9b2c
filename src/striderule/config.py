"""What striderule finds on this machine: versions, processor, threads, and the rates measured if asked for."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from striderule._version import __version__
from striderule.codegen import rates
from striderule.codegen.target import current
from striderule.codegen.workers import get_num_threads, said_by, usable_cores
from striderule.errors import CompilationFailed
from striderule.functional.planned import look_again
from striderule.functional.precision import get_default_precision

# Optional packages, by the extra that brings them.
EXTRAS = {
    "figures": ("matplotlib", "pillow"),
    "tour": ("nbformat",),
    "cli": ("typer", "rich", "tifffile", "imagecodecs"),
}

# What limits the threads of NumPy's matrix products: read by the linear algebra library when NumPy is loaded, in this
# order. Compiled routines have threads of their own; all else runs in the thread that calls it.
LIMITS = {
    "openblas": ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS"),
    "mkl": ("MKL_NUM_THREADS", "OMP_NUM_THREADS"),
    "accelerate": ("VECLIB_MAXIMUM_THREADS",),
    "blis": ("BLIS_NUM_THREADS", "OMP_NUM_THREADS"),
}


def config() -> dict[str, Any]:
    """Return versions, processor and threads as plain data.

    Returns
    -------
    dict
        ``striderule``, ``python``, ``numpy``: versions. ``extras``: extra -> package -> version or None. ``processor``:
        ``name``, ``architecture``, ``features`` (the instruction sets that NumPy found). ``threads``: ``cores``
        (logical ones), ``usable`` (those this process may run on), ``routines`` (how many threads a compiled routine
        may use: `striderule.get_num_threads`), ``said_by`` (what says so: an environment variable, "set_num_threads"
        or None), ``products`` (how many threads a matrix product of NumPy may use; everything else runs in one),
        ``library`` (NumPy's linear algebra library, which has them), ``limit`` (the environment variable that says so,
        or None). ``precision``: that of calls that name none. ``code``: ``target`` (what machine code is made for, or
        None), ``reason`` (why none is made, or None), ``rates`` (what `calibrate` measured for it, or None):
        ``threads``, ``peaks`` (type -> operations a second on one core), ``bandwidths`` (number of threads -> bytes a
        second), ``call`` (seconds).

    Raises
    ------
    InvalidArgument
        If ``STRIDERULE_NUM_THREADS`` is no number of threads, or ``STRIDERULE_PRECISION`` no precision.

    Examples
    --------
    >>> config()["threads"]["cores"] >= 1
    True
    """
    return {
        "striderule": __version__,
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "numpy": np.__version__,
        "system": platform.platform(),
        "extras": {extra: {name: _version(name) for name in names} for extra, names in EXTRAS.items()},
        "processor": {"name": _processor(), "architecture": platform.machine(), "features": _features()},
        "threads": {
            "cores": os.cpu_count() or 1,
            "usable": usable_cores(),
            "routines": get_num_threads(),
            "said_by": said_by(),
            **_products(),
        },
        "precision": get_default_precision(),
        "code": _code(),
    }


def calibrate() -> dict[str, Any]:
    """Measure the machine's peak, bandwidth and cost of a call, keep them for later processes, and return `config`.

    It takes a second or two, and nothing else should run meanwhile. What is measured changes what
    `striderule.explain` predicts and shows, never the choice of an algorithm: results stay the same to the last bit.
    The rates are kept in the folder of the cache (``STRIDERULE_CACHE_DIR``), for processors with these features and so
    many cores; `forget` removes them.

    Raises
    ------
    CompilationFailed
        If no machine code can be made here.
    OSError
        If the folder of the cache cannot be used.
    """
    from striderule.codegen import probe  # noqa: PLC0415 - measured by few

    rates.keep(probe.measure())
    look_again()
    return config()


def forget() -> int:
    """Remove the rates that `calibrate` has measured, for all targets; return how many there were."""
    gone = rates.forget()
    look_again()
    return len(gone)


def lines(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what `config` found as (name, text) lines."""
    processor, threads = found["processor"], found["threads"]
    extras = [
        (f"extra {extra}", ", ".join(f"{name} {version or 'missing'}" for name, version in packages.items()))
        for extra, packages in found["extras"].items()
    ]
    return [
        ("striderule", found["striderule"]),
        ("Python", found["python"]),
        ("NumPy", found["numpy"]),
        ("system", found["system"]),
        *extras,
        ("processor", f"{processor['name']} ({processor['architecture']})"),
        ("features", " ".join(processor["features"]) or "unknown"),
        ("cores", f"{threads['cores']}, {threads['usable']} of them usable here"),
        ("threads", _threads(threads)),
        ("precision", found["precision"]),
        ("code for", found["code"]["target"] or f"nothing: {found['code']['reason']}"),
        ("measured", _measured(found["code"]["rates"])),
    ]


def show_config() -> None:
    """Print what `config` finds, one line an item.

    Examples
    --------
    >>> show_config()  # doctest: +ELLIPSIS
    striderule     ...
    """
    for name, text in lines(config()):
        print(f"{name:14} {text}")  # noqa: T201 - printing is its task


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    """Return the processor's name as its maker writes it, or the architecture where the system does not tell."""
    if sys.platform == "linux":
        name = _from_cpuinfo(Path("/proc/cpuinfo"))
        if name:
            return name
    if sys.platform == "darwin":
        try:
            command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(  # noqa: S603 - a fixed command of the system
                command, capture_output=True, text=True, timeout=5, check=True
            ).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            pass
    return platform.processor() or platform.machine()


def _from_cpuinfo(path: Path) -> str | None:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model") and value.strip():
            return value.strip()
    return None


def _features() -> list[str]:
    """Return the instruction sets that NumPy knows and the processor has."""
    found: Any = np.show_config(mode="dicts")
    extensions = (found or {}).get("SIMD Extensions", {})
    return [*extensions.get("baseline", []), *extensions.get("found", [])]


def _code() -> dict[str, Any]:
    """Return what machine code is made for, and what was measured of it."""
    try:
        target = current().name
    except CompilationFailed as error:
        return {"target": None, "reason": str(error), "rates": None}
    kept = rates.kept(target)
    if kept is None:
        return {"target": target, "reason": None, "rates": None}
    widths = {str(threads): rate for threads, rate in kept.bandwidths}
    known = {"threads": kept.threads, "peaks": dict(kept.peaks), "bandwidths": widths, "call": kept.call}
    return {"target": target, "reason": None, "rates": known}


def _measured(kept: dict[str, Any] | None) -> str:
    if kept is None:
        return "nothing yet, so predictions go by round figures: striderule config --calibrate"
    peaks = " and ".join(f"{rate / 1e9:,.0f} GFLOP/s in {dtype}" for dtype, rate in kept["peaks"].items())
    widths = ", ".join(
        f"{rate / 1e9:,.0f} GB/s with {threads} {'thread' if threads == '1' else 'threads'}"
        for threads, rate in kept["bandwidths"].items()
    )
    return f"{peaks} a core; copies {widths}; a call {1e6 * kept['call']:.1f} µs"


def _threads(threads: dict[str, Any]) -> str:
    own = f" (as {threads['said_by']} says)" if threads["said_by"] else ""
    limit = f", as {threads['limit']} says" if threads["limit"] else ""
    products = f"up to {threads['products']} in matrix products ({threads['library']}{limit})"
    return f"up to {threads['routines']} in compiled routines{own}, {products}, 1 in everything else"


def _products() -> dict[str, Any]:
    """Return how many threads a matrix product may use, the library that has them, and the variable that limits it."""
    found: Any = np.show_config(mode="dicts")
    library = (found or {}).get("Build Dependencies", {}).get("blas", {}).get("name", "unknown")
    variables = next((names for word, names in LIMITS.items() if word in library.lower()), ())
    for variable in variables:
        text = os.environ.get(variable, "").strip()
        if text.isdecimal() and int(text) > 0:
            return {"products": min(int(text), usable_cores()), "library": library, "limit": variable}
    return {"products": usable_cores(), "library": library, "limit": None}
