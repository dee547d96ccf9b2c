"""Object code on disk, so that a routine is compiled once for all processes of a user.

The cache is a convenience that must never do harm. What it gives back is what was put in, or nothing: every file
carries a checksum over its key and contents. The folder belongs to the user alone, since its files are run as code. A
folder that cannot be used, a full disk, another process that removes a file: all of them mean that routines are
compiled again, and nothing else.

``STRIDERULE_CACHE=0`` turns it off, ``STRIDERULE_CACHE_DIR`` names another folder.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
from contextlib import suppress
from pathlib import Path

LIMIT = 64 * 2**20
"""How many bytes the files may take on disk together; before they do, those go that were not used for longest."""

FORMAT = "1"
"""Changes when files or keys come to mean something else."""

# On Windows the default folder lies in the user's LocalAppData, which its access list keeps private, and mode bits tell
# nothing. It is used as it is, and so is a folder that STRIDERULE_CACHE_DIR names there.
PRIVATE_BY_ACL = os.name == "nt"

_MAGIC = f"striderule object code {FORMAT}\n".encode()
_DIGEST_BYTES = hashlib.sha256().digest_size
_NAME = re.compile(r"[0-9a-f]{64}\.routine")
_PART = re.compile(r"\.[0-9a-f]{32}\.part")
# A file that is still being written after so many seconds was left by a process that died.
_ABANDONED = 3600
# The least that a file takes on most disks.
_BLOCK = 4096
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)


def key(*parts: str) -> str:
    """Return the name under which code is kept that depends on `parts`, and on nothing else.

    Examples
    --------
    >>> key("ab", "c") == key("a", "bc")
    False
    """
    digest = hashlib.sha256()
    for part in (FORMAT, *parts):
        data = part.encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def location() -> Path | None:
    """Return the folder of the cache, whether it exists or not; None if the cache is off or the user has no home."""
    if os.environ.get("STRIDERULE_CACHE") == "0":
        return None
    chosen = os.environ.get("STRIDERULE_CACHE_DIR")
    if chosen:
        return Path(os.path.abspath(chosen))  # noqa: PTH100 - Path.absolute keeps `..`, Path.resolve follows links
    import platformdirs  # noqa: PLC0415 - takes long to load, and is needed for this default alone

    folder = platformdirs.user_cache_path("striderule", appauthor=False) / "routines"
    # Without a home directory the path keeps its tilde, and would be taken as a folder of the current one.
    return folder if folder.is_absolute() else None


def read(key: str) -> bytes | None:
    """Return what was written under `key`, or None."""
    folder = location()
    if folder is None or not _is_ours(folder):
        return None
    path = _path(folder, key)
    try:
        with open(path, "rb", opener=_open_no_link) as file:
            found = os.fstat(file.fileno())
            if not (stat.S_ISREG(found.st_mode) and _private(found)) or found.st_size > LIMIT:
                return None
            text = file.read()
    except OSError:
        return None
    data = _unpacked(key, text)
    if data is not None:
        with suppress(OSError):
            os.utime(path)  # the time of the last use, by which _trim goes
    return data


def write(key: str, data: bytes) -> None:
    """Keep `data` under `key`, if possible."""
    folder = location()
    text = _MAGIC + _digest(key, data) + data
    if folder is None or len(text) > LIMIT // 8 or not _made(folder):
        return
    part = folder / f".{os.urandom(16).hex()}.part"
    try:
        try:
            # Readers in other processes see the whole file or none: it is written beside, then renamed.
            with open(part, "xb", opener=_open_private) as file:
                file.write(text)
            part.replace(_path(folder, key))
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        if _due(key, len(text)):
            _trim(folder)
    except OSError:
        return


def _path(folder: Path, key: str) -> Path:
    return folder / f"{key}.routine"


def _digest(key: str, data: bytes) -> bytes:
    # The key is part of it, so that a file under another's name is not taken for it.
    return hashlib.sha256(key.encode() + data).digest()


def _unpacked(key: str, text: bytes) -> bytes | None:
    """Return the contents of a file, or None if it is not whole, not ours, or not of this key."""
    start = len(_MAGIC) + _DIGEST_BYTES
    data = text[start:]
    if text[:start] != _MAGIC + _digest(key, data):
        return None
    return data


def _made(folder: Path) -> bool:
    """Return whether the folder can be used, after making it if it is not there."""
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return _is_ours(folder)


def _is_ours(folder: Path) -> bool:
    try:
        found = folder.stat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and _private(found)


def _private(found: os.stat_result) -> bool:
    """Return whether nobody but the user could have written there."""
    if PRIVATE_BY_ACL:
        return True
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | _NO_LINKS)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _due(key: str, size: int) -> bool:
    """Return whether to look through the folder after writing `size` bytes, which takes long when it is full.

    Keys are as good as random numbers. It is done for a part of them that goes by the size of the file: on average
    before a sixteenth of what `_trim` leaves free is filled, so that the limit holds.
    """
    return int(key[:8], 16) / 2**32 < 16 * _on_disk(size) / (LIMIT // 8)


def _on_disk(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _trim(folder: Path) -> None:
    """Remove the files used longest ago, and what dead processes left half written.

    An eighth of the limit is left free for what comes until the next time.
    """
    kept = []
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):  # another process trims as well, or reads it
                found = entry.stat(follow_symlinks=False)
                if _NAME.fullmatch(entry.name):
                    kept.append((found.st_mtime_ns, _on_disk(found.st_size), entry.path))
                elif _PART.fullmatch(entry.name) and found.st_mtime < time.time() - _ABANDONED:
                    Path(entry.path).unlink()
    excess = sum(size for _, size, _ in kept) - (LIMIT - LIMIT // 8)
    for _, size, path in sorted(kept):
        if excess <= 0:
            break
        with suppress(OSError):
            Path(path).unlink()
        excess -= size
