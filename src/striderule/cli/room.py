"""How much memory a picture takes that must be loaded whole, and whether that much is free."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from striderule.cli.pictures.model import PictureError

# From how many bytes on it is told before the work begins.
WORTH_TELLING = 1 << 30
GIB = 1 << 30


def needed(sizes: list[tuple[int, np.dtype[Any]]]) -> int:
    """Return about how many bytes are held at once for pictures of so many samples of a type.

    That is what was read, what will be written, and two arrays of floats between filters.
    """
    return sum(n * (2 * dtype.itemsize + 2 * (4 if dtype.itemsize <= 2 else 8)) for n, dtype in sizes)


def free() -> int | None:
    """Return how many bytes a process may still take, or None where the system does not say.

    >>> free() is None or free() > 0
    True
    """
    found = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")]
    with contextlib.suppress(OSError, ValueError):  # of a container
        group = Path("/sys/fs/cgroup")
        most, held = ((group / name).read_text(encoding="ascii") for name in ("memory.max", "memory.current"))
        found.append(int(most) - int(held))
    if not found:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            found.append(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return max(0, min(found)) if found else None


def check(path: Path, bytes_needed: int, reason: str, way_out: str, *, quiet: bool) -> None:
    """Tell how much memory a picture takes that must be loaded, or refuse it where that is more than what is free."""
    there = free()
    words = f"{path} must be loaded whole, as {reason}; that takes about {bytes_needed / GIB:.1f} GiB of memory"
    if there is not None and bytes_needed > there:
        raise PictureError(f"{words}, and {there / GIB:.1f} GiB are free; {way_out}")
    if bytes_needed >= WORTH_TELLING and not quiet:
        sys.stderr.write(f"striderule: {words}\n")
