"""safetensors files: against files written byte by byte, damaged and hostile ones, and crashes while writing."""

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
    kinds = ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?"]
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


HOSTILE = {
    "short": (b"\x01\x00", None, "is no safetensors file"),
    "oversized": ({}, 2**63, "its header would take"),
    "longer than the file": ({}, 100, "its header would take"),
    "no JSON": (b"{nonsense", None, "header is not readable"),
    "no UTF-8": (b'{"\xff": 1}', None, "header is not readable"),
    "deep": (b"[" * 100_000, None, "header"),
    "list": ([], None, "must be a JSON object"),
    "twice": (b'{"a": 1, "a": 2}', None, "stands twice"),
    "metadata": ({"__metadata__": {"a": 1}}, None, "__metadata__ must hold texts"),
    "entry": ({"a": 1}, None, "'a' must have dtype, shape and data_offsets"),
    "type": ({"a": entry("F8", [1], 0, 1)}, None, "'a' has the type 'F8'"),
    "unhashable": ({"a": entry(["F32"], [1], 0, 4)}, None, "'a' has the type"),
    "negative": ({"a": entry("F32", [-1], 0, 4)}, None, "'a' must have a shape and two offsets"),
    "fraction": ({"a": entry("F32", [1.5], 0, 4)}, None, "'a' must have a shape"),
    "truth": ({"a": entry("F32", [True], 0, 4)}, None, "'a' must have a shape"),
    "enormous": ({"a": entry("F32", [2**62, 2**62], 0, 4)}, None, "'a' of the shape"),
    "beyond": ({"a": entry("F32", [4], 0, 16)}, None, "'a' of the shape .* takes 16 bytes"),
    "backwards": ({"a": entry("F32", [1], 8, 4)}, None, "'a' of the shape"),
    "shape": ({"a": entry("F32", [1], 0, 8)}, None, "'a' of the shape .* takes 4 bytes"),
    "overlap": ({"a": entry("F32", [2], 0, 8), "b": entry("F32", [1], 4, 8)}, None, "arrays overlap before 'b'"),
    "same": ({"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 0, 8)}, None, "arrays overlap before 'b'"),
    "hole": ({"a": entry("F32", [1], 4, 8)}, None, "arrays leave a hole before 'a'"),
    "rest": ({"a": entry("F32", [1], 0, 4)}, None, "arrays end at 4 of 8"),
    "bool": ({"a": entry("BOOL", [8], 0, 8)}, None, "'a' must hold truth values"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(name, tmp_path):
    header, length, message = HOSTILE[name]
    path = tmp_path / "x"
    if name == "short":
        path.write_bytes(header)
    else:
        written(path, header, b"\x07" * 8, length)
    with pytest.raises(InvalidArgument, match=message):
        nn.read_tensors(path)


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
    for arrays, metadata in [({"a": np.ones(2, complex)}, None), ({"a": ["x"]}, None), ({"a": 1}, {"b": 1})]:
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


def test_models_save_and_load(tmp_path):
    def made(seed):
        first = nn.Conv2d(1, 2, 3, seed=seed)
        return nn.Sequential(("features", nn.Sequential(first, nn.ReLU())), ("last", nn.PReLU(2)))

    path = tmp_path / "x.safetensors"
    nn.save(made(0), path, {"note": "a"})
    assert nn.read_tensors(path)[1] == {"format": "pt", "note": "a"}
    model = nn.load(made(1), path)
    np.testing.assert_array_equal(model["features"][0].weight, made(0)["features"][0].weight)
    state = dict(model.state())
    nn.write_tensors(path, state | {"bn.num_batches_tracked": np.array(3)})
    nn.load(model, path)
    half = {name: value.astype(np.float16) for name, value in state.items()}
    nn.write_tensors(path, half)
    assert nn.load(model, path)["last"].weight.dtype == np.float32
    nn.write_tensors(path, state | {"last.weight": np.ones(5)})
    with pytest.raises(
        InvalidArgument, match=r"x.safetensors: .*last.weight has the shape \(5,\), the layer's has \(2,\)"
    ):
        nn.load(model, path)
    nn.write_tensors(path, {"last.weight": np.ones(2)})
    with pytest.raises(InvalidArgument, match=r"missing: features.0.bias, features.0.weight"):
        nn.load(model, path)
