"""Files that are written beside their place and renamed when complete: never half a file, never a silent loss."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from striderule.errors import InvalidArgument


@contextlib.contextmanager
def replacing(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a new file in the folder of `path`; it takes the name at the end, or is gone after any failure.

    Parameters
    ----------
    path
        The file to be written. Where it is a link, the file that it points to is the one replaced.
    overwrite
        Whether a file that stands there may be replaced.

    Raises
    ------
    InvalidArgument
        If the file or its folder cannot be written, or a file has appeared there and `overwrite` is false.
    """
    target = path.resolve()
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.stem}-", suffix=target.suffix, dir=target.parent)
    except OSError as error:
        raise InvalidArgument(f"{path} cannot be written into {target.parent}: {error.strerror}") from error
    os.close(handle)
    fresh = Path(name)
    try:
        yield fresh
        if target.exists() and not overwrite:
            raise InvalidArgument(f"{path} has appeared meanwhile; add --overwrite to replace it")
        fresh.chmod(_permissions(target))
        fresh.replace(target)
    except OSError as error:
        raise InvalidArgument(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        fresh.unlink(missing_ok=True)


def _permissions(target: Path) -> int:
    """Return the mode of the file to be replaced, or what the user's umask gives to a new one."""
    if target.exists():
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
