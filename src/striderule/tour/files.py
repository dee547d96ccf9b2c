"""Files that are never seen half written."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from striderule.errors import InvalidArgument


def folder(path: str | Path) -> Path:
    """Make a folder (and those above it) unless it is there, and return its path.

    Raises
    ------
    InvalidArgument
        If something that is no folder stands at the path, or it may not be made.
    """
    place = Path(path).expanduser()
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise InvalidArgument(
            f"out must be a folder that can be written, got {str(path)!r} ({problem.strerror}); name another one"
        ) from problem
    return place


def write(path: Path, data: bytes | str) -> Path:
    """Write a file beside its place and rename it there, so that a reader finds the old one or the new one."""
    content = data.encode("utf-8") if isinstance(data, str) else data
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(beside).chmod(0o644)  # mkstemp makes files that only their owner may read
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
    return path
