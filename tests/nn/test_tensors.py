"""Files of arrays: against files written byte by byte, damaged and hostile ones, and crashes while writing."""

import contextlib
import json
import os
import struct

import numpy as np
import pytest

from striderule import nn
from striderule.errors import InvalidArgument, InvalidType


def written(path, header, data=b"", length=None):
    """Write a file as the format says it, from a header of any kind."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_reading_what_the_format_says(tmp_path):
    header = {
        "__metadata__": {"format": "pt"},
        "b": entry("F32", [2], 16, 24),
        "a": entry("F64", [1, 2], 0, 16),
        "half": entry("BF16", [2], 24, 28),
        "t": entry("BOOL", [2], 28, 30),
        "s": entry("I64", [], 30, 38),
        "none": entry("F32", [0, 3], 38, 38),
    }
    data = (
        struct.pack("<ddff", 1, -2, 0.5, 3) + struct.pack("<HH", 0x3FC0, 0xC000) + b"\x01\x00" + struct.pack("<q", -7)
    )
    arrays, metadata = nn.read_tensors(written(tmp_path / "x", header, data))
    assert metadata == {"format": "pt"}
    assert arrays["a"].tolist() == [[1, -2]]
    assert arrays["b"].tolist() == [0.5, 3]
    assert arrays["half"].tolist() == [1.5, -2]
    assert arrays["half"].dtype == np.float32
    assert arrays["t"].tolist() == [True, False]
    assert arrays["s"] == -7
    assert arrays["none"].shape == (0, 3)


def test_writing_gives_back(tmp_path):
    rng = np.random.default_rng(0)
    kinds = ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?", "c8"]
    given = {f"{kind}.ü": (rng.random((3, 5)) * 9).astype(kind).T for kind in kinds}
    given |= {"scalar": np.float32(3), "empty": np.zeros((0, 2)), "big": np.arange(3.0).astype(">f8")}
    nn.write_tensors(tmp_path / "x", given, {"a": "b"})
    found, metadata = nn.read_tensors(tmp_path / "x")
    assert metadata == {"a": "b"}
    assert found.keys() == given.keys()
    for name, value in given.items():
        np.testing.assert_array_equal(found[name], value)
        assert found[name].dtype == value.dtype.newbyteorder("=")
    raw = (tmp_path / "x").read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    assert length % 8 == 0
    header = json.loads(raw[8 : 8 + length])
    begin, end = header["f4.ü"]["data_offsets"]
    assert np.frombuffer(raw[8 + length :][begin:end], "<f4").tolist() == given["f4.ü"].ravel().tolist()
    assert begin % 4 == 0


def text(field):
    """A header written out, with an array `a` of two numbers under `field`."""
    return b'{"a": {"dtype": "F32", "data_offsets": [0, 8], ' + field + b"}}"


SOUND = text(b'"shape": [2]')
TWICE = SOUND[:-1] + b", " + SOUND[1:]
BROKEN = "x is no whole safetensors file"
# What the package refuses, and what it lets through: header, length that is claimed, message.
HOSTILE = {
    "oversized": ({}, 2**63, BROKEN),
    "over the limit": ({}, 100_000_001, BROKEN),
    "longer than the file": ({}, 100, BROKEN),
    "no header": (b"", None, BROKEN),
    "no JSON": (b"{nonsense", None, BROKEN),
    "no UTF-8": (b'{"\xff": 1}', None, BROKEN),
    "deep": (b"[" * 100_000, None, BROKEN),
    "list": ([], None, BROKEN),
    "metadata": ({"__metadata__": {"a": 1}}, None, BROKEN),
    "entry": ({"a": 1}, None, BROKEN),
    "type": ({"a": entry("F8", [1], 0, 1)}, None, BROKEN),
    "unhashable": ({"a": entry(["F32"], [1], 0, 4)}, None, BROKEN),
    "negative": ({"a": entry("F32", [-1], 0, 4)}, None, BROKEN),
    "fraction": ({"a": entry("F32", [1.5], 0, 4)}, None, BROKEN),
    "no number": (text(b'"shape": [NaN]'), None, BROKEN),
    "infinite": (text(b'"shape": [Infinity]'), None, BROKEN),
    "truth": ({"a": entry("F32", [True], 0, 4)}, None, BROKEN),
    "digits": (text(b'"shape": [' + b"9" * 5000 + b"]"), None, BROKEN),
    "enormous": ({"a": entry("F32", [2**62, 2**62], 0, 4)}, None, BROKEN),
    "beyond": ({"a": entry("F32", [4], 0, 16)}, None, BROKEN),
    "backwards": ({"a": entry("F32", [1], 8, 4)}, None, BROKEN),
    "shape": ({"a": entry("F32", [1], 0, 8)}, None, BROKEN),
    "overlap": ({"a": entry("F32", [2], 0, 8), "b": entry("F32", [1], 4, 8)}, None, BROKEN),
    "same": ({"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 0, 8)}, None, BROKEN),
    "hole": ({"a": entry("F32", [1], 4, 8)}, None, BROKEN),
    "rest": ({"a": entry("F32", [1], 0, 4)}, None, BROKEN),
    "half a character": (SOUND.replace(b'"a"', rb'"\ud800"'), None, BROKEN),
    "field twice": (text(b'"shape": [2], "shape": [2]'), None, BROKEN),
    "twice": (TWICE, None, BROKEN + ": the name 'a' stands twice"),
    "twice, other types": (TWICE.replace(b"F32", b"I32", 1), None, BROKEN + ": the name 'a' stands twice"),
    "word twice": (SOUND[:-1] + b', "__metadata__": {"b": "1", "b": "2"}}', None, "the name 'b' stands twice"),
    "bool": ({"a": entry("BOOL", [8], 0, 8)}, None, "x: 'a' must hold truth values"),
    "of 8 bits": ({"a": entry("F8_E4M3", [8], 0, 8)}, None, "x: 'a' has the type F8_E4M3"),
    "many axes": ({"a": entry("F32", [1] * 70 + [2], 0, 8)}, None, "x: 'a' has a shape"),
    "nothing, enormous": ({"a": entry("F32", [2], 0, 8), "b": entry("F32", [0, 2**62], 8, 8)}, None, "x: 'b' has a sh"),
    "nothing, halves": ({"a": entry("F32", [2], 0, 8), "b": entry("BF16", [0, 2**63], 8, 8)}, None, "x: 'b' has a sh"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(name, tmp_path):
    header, length, message = HOSTILE[name]
    with pytest.raises(InvalidArgument, match=message):
        nn.read_tensors(written(tmp_path / "x", header, b"\x07" * 8, length))


def test_what_is_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        nn.read_tensors(tmp_path / "x")
    with pytest.raises(InvalidArgument, match="is a folder"):
        nn.read_tensors(tmp_path)
    with pytest.raises(OSError, match="cannot be written"):
        nn.write_tensors(tmp_path / "nowhere" / "x", {"a": 1})


def test_every_cut_and_every_flipped_byte_of_the_header(tmp_path):
    path = tmp_path / "x"
    nn.write_tensors(path, {"a": np.arange(4.0), "b": np.arange(3, dtype=np.float32)})
    whole = path.read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        with pytest.raises(InvalidArgument):
            nn.read_tensors(path)
    for place in range(len(whole) - 44):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x15]) + whole[place + 1 :])
        # Some bytes only make another name, or another shape of the same size.
        with contextlib.suppress(InvalidArgument):
            nn.read_tensors(path)


def test_what_is_not_written(tmp_path):
    wrong = [{"a": np.ones(2, complex)}, {"a": ["x"]}, {"a": [None]}, {"__metadata__": 1}, {"\ud800": 1}, {3: 1}]
    for arrays, metadata in [*((one, None) for one in wrong), ({"a": 1}, {"b": 1}), ({"a": 1}, {2: "b"})]:
        with pytest.raises(InvalidType):
            nn.write_tensors(tmp_path / "x", arrays, metadata)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_crash_leaves_what_was_there(step, tmp_path, monkeypatch):
    model = nn.Sequential(nn.PReLU(3))
    path = tmp_path / "model.safetensors"
    nn.save(model, path)
    before = path.read_bytes()
    model[0].weight = [1, 2, 3]

    def crash(*_):
        raise OSError("no space")

    monkeypatch.setattr(os if step == "fsync" else type(path), step, crash)
    with pytest.raises(OSError, match="no space"):
        nn.save(model, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
