"""The source code that writes routines, known by its digest: so that a routine is found on disk without being written.

Writing the text of a routine takes longer than loading its code. What the text will be follows from the structure, the
target and the source code of all that has a say in it; a name made of these three leads to the code as well as the text
does. It must never lead to code that another source has written, after an edit or an update. Modules are read at
different times, so the files are looked at before the first of them is imported (`striderule` itself imports this one);
from the moment that one has changed there is no digest, for the rest of the process.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # imported with the library's face, which is quick
    from collections.abc import Iterator

FOLDERS = ("algorithms", "codegen", "geometry", "planning")
"""The folders of the package whose code has a say in routines: all that an algorithm may import."""

# A file: its path, when its contents and when what the system knows of it changed last, and its size.
_File = tuple[str, int, int, int]
_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - pathlib takes long to load


def digest() -> str | None:
    """Return the digest of the source that this process has imported, or will; None where nobody can tell."""
    # In this order: what was read is what there was before.
    found = _digest()
    return found if _before and _files() == _before else None


def digest_of(path: str) -> str | None:
    """Return the digest of one file; None if it cannot be read."""
    import hashlib  # noqa: PLC0415 - the face, which loads this module, has no use for them
    from pathlib import Path  # noqa: PLC0415

    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return None


def described(value: object) -> str | None:
    """Return a text that no other value has, in any process; None for what is not made of plain values alone.

    Examples
    --------
    >>> described(("direct", 8, True, None))
    "('direct',8,True,None)"
    >>> described((8, object())) is None
    True
    """
    if value is None or type(value) in (bool, int, float, str):
        return repr(value)
    if isinstance(value, tuple):
        name = "" if type(value) is tuple else f"{type(value).__module__}.{type(value).__qualname__}"
        parts = [described(part) for part in value]
    elif hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
        name = f"{type(value).__module__}.{type(value).__qualname__}"
        parts = [described(getattr(value, field)) for field in value.__dataclass_fields__]
    else:
        return None
    return None if None in parts else f"{name}({','.join(map(str, parts))})"


@functools.cache
def _digest() -> str | None:
    import hashlib  # noqa: PLC0415 - as above

    result = hashlib.sha256()
    for path, *_ in _before:
        name, contents = path[len(_ROOT) :].encode("utf-8", "surrogateescape"), digest_of(path)
        if contents is None:
            return None
        result.update(b"%d %b %b " % (len(name), name, contents.encode()))
    return result.hexdigest()


def _files() -> tuple[_File, ...]:
    """Return all files of source; none where the package does not lie in a folder."""
    try:
        return tuple(sorted(file for folder in FOLDERS for file in _below(os.path.join(_ROOT, folder))))  # noqa: PTH118
    except OSError:
        return ()


def _below(folder: str) -> Iterator[_File]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
                found = entry.stat()
                yield entry.path, found.st_mtime_ns, found.st_ctime_ns, found.st_size
            elif entry.name != "__pycache__" and entry.is_dir():
                yield from _below(entry.path)


_before = _files()
