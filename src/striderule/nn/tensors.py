"""Files of named arrays in the safetensors format, through the package of that name.

Nothing in such a file is ever executed. The package checks that headers, types, shapes and offsets hold together before
an array is made, and reads what it was asked for; here is what it leaves open: files are replaced only when the new one
is whole and on the disk, names that stand twice and truth values that are none are refused, bfloat16 is read without
the type, and errors name the file and are those of the library.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from striderule.errors import InvalidArgument, InvalidType, MissingExtra
from striderule.functional import bfloat16

Array = NDArray[Any]
# Types of the format that NumPy has, by NumPy's words.
TYPES = {
    "bool": "BOOL", "int8": "I8", "uint8": "U8", "int16": "I16", "uint16": "U16", "int32": "I32", "uint32": "U32",
    "int64": "I64", "uint64": "U64", "float16": "F16", "float32": "F32", "float64": "F64", "complex64": "C64",
}  # fmt: skip
METADATA = "__metadata__"


def package() -> ModuleType:
    """Return the package safetensors, with its functions for NumPy.

    Raises
    ------
    MissingExtra
        If it is not installed.
    """
    try:
        import safetensors.numpy  # noqa: PLC0415 - an optional package
    except ImportError:
        raise MissingExtra.of("networks", needs="safetensors") from None
    found: ModuleType = safetensors
    return found


def write_tensors(path: str | os.PathLike[str], arrays: Mapping[str, ArrayLike], metadata: Any = None) -> None:
    """Write named arrays to a safetensors file, beside it first: a crash on the way leaves what was there.

    Parameters
    ----------
    path
        Of the file; ``.safetensors`` is its usual ending.
    arrays
        Name -> array of floats (bfloat16, 16, 32 and 64 bits), integers, truth values or complex64.
    metadata
        Word -> text, kept in the header. Default: none.

    Raises
    ------
    InvalidType
        For types that the format has not, and names and metadata that are no texts.
    MissingExtra
        If the package safetensors is not installed.

    Examples
    --------
    >>> write_tensors("numbers.safetensors", {"a": [1.0, 2.0]}, {"source": "here"})
    >>> read_tensors("numbers.safetensors")
    ({'a': array([1., 2.])}, {'source': 'here'})
    """
    safetensors = package()
    words = dict(metadata or {})
    if not all(_is_text(word) for pair in words.items() for word in pair):
        raise InvalidType("metadata must be texts under texts")
    # The package writes the bytes of arrays as they lie.
    given = {name: np.asarray(value, order="C") for name, value in arrays.items()}
    for name, value in given.items():
        if not _is_text(name) or name == METADATA:
            raise InvalidType(f"names of arrays must be texts other than {METADATA}, got {name!r}")
        if not (value.dtype.name in TYPES or bfloat16.holds(value.dtype)):
            raise InvalidType(f"safetensors files hold numbers, and {name!r} is {value.dtype}")
    whole, beside = Path(path), Path(f"{os.fspath(path)}.part")
    try:
        try:
            safetensors.numpy.save_file(given, beside, words or None)
        except safetensors.SafetensorError as error:  # everything else was refused before
            raise OSError(f"{whole} cannot be written: {error}") from None
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        beside.replace(whole)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _is_text(value: Any) -> bool:
    """Tell whether it can stand in the header: half characters, which Python's texts may hold, cannot."""
    return isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value)


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, str]]:
    """Return the arrays of a safetensors file by name, and its metadata.

    Parameters
    ----------
    path
        Of the file.

    Returns
    -------
    arrays : dict
        Name -> array. bfloat16 is read as float32, which holds all of it.
    metadata : dict
        Word -> text.

    Raises
    ------
    InvalidArgument
        If the file is damaged, not of the format, or holds numbers that NumPy has no type for; it says which.
    MissingExtra
        If the package safetensors is not installed.

    Examples
    --------
    >>> write_tensors("whole.safetensors", {"a": np.arange(3)})
    >>> read_tensors("whole.safetensors")[0]["a"].tolist()
    [0, 1, 2]
    """
    safetensors, whole = package(), Path(path)
    if whole.is_dir():
        raise InvalidArgument(f"{whole} is a folder; name a safetensors file in it")
    try:
        with safetensors.safe_open(whole, framework="np") as file:
            start, header = _header(whole)
            words: dict[str, str] = header.pop(METADATA, {})
            return {name: _array(whole, file, name, start, entry) for name, entry in header.items()}, words
    except safetensors.SafetensorError as error:
        raise InvalidArgument(f"{whole} is no whole safetensors file: {error}") from None


def _header(path: Path) -> tuple[int, dict[str, Any]]:
    """Return where numbers begin, and what the header says, which the package has found to be sound."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        try:
            # One reader would take the first of two equal names, another the last.
            return 8 + length, json.loads(file.read(length), object_pairs_hook=_once)
        except ValueError as error:
            raise InvalidArgument(f"{path} is no whole safetensors file: {error}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON whose names are all different."""
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(name for name in found if sum(name == other for other, _ in pairs) > 1)
        raise ValueError(f"the name {twice!r} stands twice")
    return found


def _array(path: Path, file: Any, name: str, start: int, entry: dict[str, Any]) -> Array:
    """Return one array of an open file."""
    kind, shape = entry["dtype"], tuple(entry["shape"])
    if kind != "BF16" and kind not in TYPES.values():
        raise InvalidArgument(f"{path}: {name!r} has the type {kind}, which NumPy has not")
    try:
        if kind == "BF16":  # the upper halves of float32
            begin, end = entry["data_offsets"]
            halves = np.fromfile(path, "<u2", (end - begin) // 2, offset=start + begin)
            return (halves.astype(np.uint32) << 16).view(np.float32).reshape(shape)
        found: Array = file.get_tensor(name)
    except ValueError as error:  # more axes than NumPy has, or sizes beside a 0 whose product is no number
        raise InvalidArgument(f"{path}: {name!r} has a shape that no array has: {error}") from None
    if kind == "BOOL" and found.size and found.view(np.uint8).max() > 1:
        raise InvalidArgument(f"{path}: {name!r} must hold truth values, 0 or 1")
    return found
