"""Files of named arrays in the safetensors format: eight bytes of length, a JSON header, then the numbers.

The format is that of https://github.com/huggingface/safetensors: nothing in such a file is ever executed. Whatever does
not hold together is refused before an array is made: a header that is too large or no JSON, unknown types, shapes
that do not match their bytes, and arrays that overlap, leave holes or end outside the file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from io import BufferedReader
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from striderule.errors import InvalidArgument, InvalidType

Array = NDArray[Any]
# The most bytes of a header, as in the format's own implementation.
LONGEST = 100_000_000
# All numbers stand with their least byte first. BF16 is the upper half of float32.
TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "u1",
}  # fmt: skip
NAMES = {np.dtype(word).newbyteorder("="): name for name, word in TYPES.items() if name not in ("BF16", "BOOL")}
NAMES[np.dtype(bool)] = "BOOL"


def write_tensors(path: str | os.PathLike[str], arrays: Mapping[str, ArrayLike], metadata: Any = None) -> None:
    """Write named arrays to a file, beside it first: a crash on the way leaves what was there.

    Parameters
    ----------
    path
        Of the file; ``.safetensors`` is its usual ending.
    arrays
        Name -> array of floats (16, 32 and 64 bits), integers or truth values.
    metadata
        Word -> text, kept in the header. Default: none.

    Raises
    ------
    InvalidArgument, InvalidType
        For types that the format has not, and metadata that is no text.

    Examples
    --------
    >>> write_tensors("numbers.safetensors", {"a": [1.0, 2.0]}, {"source": "here"})
    >>> read_tensors("numbers.safetensors")
    ({'a': array([1., 2.])}, {'source': 'here'})
    """
    given = {str(name): np.asarray(value) for name, value in arrays.items()}
    header: dict[str, Any] = {}
    if metadata:
        if not all(isinstance(key, str) and isinstance(value, str) for key, value in metadata.items()):
            raise InvalidType("metadata must be texts under texts")
        header["__metadata__"] = dict(metadata)
    begin = 0
    # Large elements first, so that every array begins at a whole number of its elements.
    for name in sorted(given, key=lambda name: (-given[name].itemsize, name)):
        kind = NAMES.get(given[name].dtype.newbyteorder("="))
        if kind is None or name == "__metadata__":
            raise InvalidType(f"safetensors files hold numbers, and {name!r} is {given[name].dtype}")
        end = begin + given[name].nbytes
        header[name] = {"dtype": kind, "shape": list(given[name].shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    whole, beside = Path(path), Path(f"{os.fspath(path)}.part")
    try:
        with beside.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for name in header:
                if name != "__metadata__":
                    file.write(np.ascontiguousarray(given[name], TYPES[header[name]["dtype"]]).data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(whole)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, str]]:
    """Return the arrays of a file by name, and its metadata.

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
        If the file is damaged or not of the format; it names the array.

    Examples
    --------
    >>> write_tensors("whole.safetensors", {"a": np.arange(3)})
    >>> read_tensors("whole.safetensors")[0]["a"].tolist()
    [0, 1, 2]
    """
    with Path(path).open("rb") as file:
        header, metadata, size = _header(file, Path(path).name)
        places = sorted(header, key=lambda name: header[name][2])
        end = 0
        for name in places:
            _, _, begin, after = header[name]
            if begin != end:
                what = "overlap" if begin < end else "leave a hole"
                raise InvalidArgument(f"{Path(path).name}: arrays {what} before {name!r}, which begins at {begin}")
            end = after
        if end != size:
            raise InvalidArgument(f"{Path(path).name}: arrays end at {end} of {size} bytes; the file is damaged")
        return {name: _read(file, name, *header[name][:2]) for name in places}, metadata


Entry = tuple[str, tuple[int, ...], int, int]


def _header(file: BufferedReader, name: str) -> tuple[dict[str, Entry], dict[str, str], int]:
    """Return what stands where, the metadata, and the bytes behind the header."""
    size = os.fstat(file.fileno()).st_size
    start = file.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > min(LONGEST, size - 8):
        raise InvalidArgument(
            f"{name} is no safetensors file: its header would take {length} of {size} bytes, and at most "
            f"{LONGEST} are read"
        )
    try:
        found = json.loads(file.read(length).decode(), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"{name}: the header is not readable: {error}") from None
    if not isinstance(found, dict):
        raise InvalidArgument(f"{name}: the header must be a JSON object")
    metadata = found.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise InvalidArgument(f"{name}: __metadata__ must hold texts")
    rest = size - 8 - length
    return {key: _entry(name, key, value, rest) for key, value in found.items()}, metadata, rest


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON whose names are all different."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _entry(file: str, name: str, value: Any, size: int) -> Entry:
    """Return type, shape, begin and end of an array, checked."""
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
        raise InvalidArgument(f"{file}: {name!r} must have dtype, shape and data_offsets")
    kind, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(kind, str) or kind not in TYPES:
        raise InvalidArgument(f"{file}: {name!r} has the type {kind!r}, which is none of {', '.join(TYPES)}")
    if not (_counts(shape) and _counts(offsets) and len(offsets) == 2):
        raise InvalidArgument(f"{file}: {name!r} must have a shape and two offsets of whole numbers from 0 on")
    begin, end = offsets
    needed = prod(shape) * np.dtype(TYPES[kind]).itemsize
    if not begin <= end <= size or end - begin != needed:
        raise InvalidArgument(
            f"{file}: {name!r} of the shape {tuple(shape)} and type {kind} takes {needed} bytes, and its offsets are "
            f"{begin} and {end} of {size}"
        )
    return kind, tuple(shape), begin, end


def _counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(entry) is int and 0 <= entry < 2**63 for entry in value)


def _read(file: BufferedReader, name: str, kind: str, shape: tuple[int, ...]) -> Array:
    """Return the next array of a file."""
    value = np.empty(shape, TYPES[kind])
    if value.size and file.readinto(value.reshape(-1).view(np.uint8).data) != value.nbytes:
        raise InvalidArgument(f"the file ends within {name!r}")
    if kind == "BF16":
        return (value.astype(np.uint32) << 16).view(np.float32)
    if kind == "BOOL":
        if value.size and value.max() > 1:
            raise InvalidArgument(f"{name!r} must hold truth values, 0 or 1")
        return value.astype(bool)
    return value.astype(value.dtype.newbyteorder("="), copy=False)
