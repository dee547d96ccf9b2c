"""The measured rates of a machine, kept on disk in the folder of the cache, under the same rules as code is.

They are measured by `striderule.codegen.probe` where a user asks for it, and read once a process. What they change is
what is predicted; a file that was tampered with can do no more than that. A file counts for processors with the same
features and number of cores, so that a home directory may be shared.
"""

from __future__ import annotations

import functools
import math
import os
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from striderule.codegen import cache, jit

# The first line of a file.
HEAD = "striderule rates 1"
# No rate of a machine lies beyond, in operations, bytes or calls a second.
MOST = 1e18
# A file of rates is a few hundred bytes.
LONGEST = 1 << 16


# Whose the folder and the files are, and how they are opened: as for code.
_made, _private, _is_ours = cache._made, cache._private, cache._is_ours  # noqa: SLF001
_open_private, _open_no_link = cache._open_private, cache._open_no_link  # noqa: SLF001


@dataclass(frozen=True, slots=True)
class Rates:
    """What was measured for a target with `threads` threads.

    `peaks` holds pairs of a type and its operations a second on one core while all threads compute (a multiply-add is
    two), `bandwidths` pairs of a number of threads and the bytes they read and write a second in a copy that no cache
    holds, and `call` the seconds of handing a routine to all threads, from Python, while they are awake.
    """

    target: str
    threads: int
    peaks: tuple[tuple[str, float], ...]
    bandwidths: tuple[tuple[int, float], ...]
    call: float

    def bandwidth(self, threads: int) -> float:
        """Return the bandwidth of so many threads: as many times that of one, up to the most that was measured."""
        known = dict(self.bandwidths)
        if threads in known:
            return known[threads]
        return min(threads * known[min(known)], max(known.values()))


def path(target: str) -> Path | None:
    """Return where the rates of a target are kept on this machine; None if the cache is off or there is no home."""
    folder = cache.location()
    if folder is None:
        return None
    triple, features = jit.processor()
    this = cache.key(triple, *sorted(features), str(os.cpu_count()))[:16]
    return folder / f"rates-{target}-{this}.txt"


def keep(rates: Rates) -> Path:
    """Write rates for later processes, and return the file.

    Raises
    ------
    OSError
        If the cache is turned off, or its folder cannot be used.
    """
    file = path(rates.target)
    if file is None:
        raise OSError("rates are kept in the cache, which is off or has no home; set STRIDERULE_CACHE_DIR to a folder")
    if not _made(file.parent):
        raise PermissionError(f"{file.parent} must be a folder that belongs to you, and that nobody else may write")
    part = file.parent / f".{os.urandom(16).hex()}.part"
    try:
        # Readers in other processes see the whole file or none: it is written beside, then renamed.
        with open(part, "x", encoding="utf-8", opener=_open_private) as out:
            out.write(_text(rates))
        part.replace(file)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    kept.cache_clear()
    return file


@functools.cache
def kept(target: str) -> Rates | None:
    """Return the rates that were kept for a target, or None; a file that cannot be used is passed over with a warning.

    It is looked for once a process.
    """
    file = path(target)
    if file is None:
        return None
    try:
        return _rates(_read(file), target)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        warnings.warn(
            f"the measured rates in {file} are passed over ({error}); `striderule config --calibrate` measures anew",
            RuntimeWarning,
            stacklevel=2,
        )
        return None


def _read(file: Path) -> str:
    with open(file, "rb", opener=_open_no_link) as found:
        if not (_private(os.fstat(found.fileno())) and _is_ours(file.parent)):
            raise ValueError("others may write it")
        return found.read(LONGEST).decode()


def forget() -> list[Path]:
    """Remove the rates of all targets, and return the files that are gone."""
    folder, gone = cache.location(), []
    if folder is not None and folder.is_dir():
        for file in sorted(folder.glob("rates-*.txt")):
            with suppress(OSError):
                file.unlink()
                gone.append(file)
    kept.cache_clear()
    return gone


def _text(rates: Rates) -> str:
    """Return rates as lines of a word, of which there may be several kinds, and a number."""
    words: list[tuple[object, ...]] = [("target", rates.target), ("threads", rates.threads), ("call", rates.call)]
    words += [("peak", *pair) for pair in rates.peaks] + [("bandwidth", *pair) for pair in rates.bandwidths]
    return "\n".join([HEAD, *(" ".join(map(str, line)) for line in words), ""])


def _rates(text: str, target: str) -> Rates:
    """Return what a file tells; ValueError where it does not tell all of it."""
    head, *lines = text.splitlines() or [""]
    words = [tuple(line.split()) for line in lines]
    if head != HEAD or ("target", target) not in words:
        raise ValueError("it is of another version or target")
    single = {line[0]: _positive(line[1]) for line in words if len(line) == 2 and line[0] in ("threads", "call")}
    peaks = tuple((line[1], _positive(line[2])) for line in words if len(line) == 3 and line[0] == "peak")
    widths = tuple((int(line[1]), _positive(line[2])) for line in words if len(line) == 3 and line[0] == "bandwidth")
    if len(single) != 2 or not peaks or not widths:
        raise ValueError("it is not whole")
    return Rates(target, int(single["threads"]), peaks, widths, single["call"])


def _positive(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and 1 / MOST < value < MOST):
        raise ValueError(f"{text} is no rate")
    return value
