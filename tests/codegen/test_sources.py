import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import striderule as sr
from striderule.codegen import jit, sources

HERE = Path(sr.__file__).parent


@dataclass(frozen=True, slots=True)
class Form:
    name: str
    taps: int = 3


@dataclass(frozen=True, slots=True)
class Other:
    name: str
    taps: int = 3


class Pair(NamedTuple):
    name: str
    taps: int


def test_plain_values_are_told_apart():
    inner = [None, "None", True, 1, 1.0, "1", -0.0, 0.0, float("inf"), "", "a,b", "a','b", "\\", "é", (), ("a", "b")]
    values = [*inner, *((one,) for one in inner), ("ab",), (1, (2, 3)), ((1, 2), 3), (1, 2, 3)]
    values += [Form("a"), Other("a"), Form("a", 4)]
    texts = [sources.described(value) for value in values]
    assert None not in texts
    assert len(set(texts)) == len(texts)
    assert texts == [sources.described(value) for value in values]


@pytest.mark.parametrize("value", [object(), [1], {"a": 1}, np.int64(1), np.str_("a"), np.dtype("f4"), Form, len, b"a"])
def test_other_values_are_not_described(value):
    """Their texts might be those of other values, or of another process."""
    assert sources.described(value) is None
    assert sources.described(("a", Form("b", value))) is None


def test_named_tuples_are_told_from_plain_ones():
    assert sources.described(Pair("a", 1)) != sources.described(("a", 1))
    assert sources.described(Pair("a", 1)) != sources.described(Pair("a", 2))
    assert sources.described(Pair("a", object())) is None


def test_every_structure_of_the_library_is_described(tmp_path):
    x = np.ones((1, 4, 6, 6), np.float32)
    w, single = np.ones((4, 4, 3, 3), np.float32), np.ones((4, 1, 3, 3), np.float32)
    before = set(jit._routines)
    sr.conv2d(x, w, algorithm="direct", activation="gelu")
    sr.conv2d(x, single, groups=4, algorithm="depthwise")
    sr.conv_transpose2d(x, w)
    sr.max_pool2d(x, 2)
    sr.gelu(x, approximate="tanh")
    sr.softmax(x, 1)
    sr.batch_norm(x, x[0, :, 0, 0], x[0, :, 0, 0])
    sr.batch_norm(x, None, None, training=True)
    sr.local_response_norm(x, 3)
    sr.pad(x, 1)
    sr.fold(sr.unfold(x, 3), 6, 3)
    sr.pixel_shuffle(x, 2)
    image = np.ones((200, 200), np.float32)
    sr.filters.sobel(image)
    sr.filters.gaussian(image, 1)
    sr.correlate(image, np.arange(9.0, dtype=np.float32).reshape(3, 3) ** 2)
    assert len(jit._routines) > len(before)
    assert all(sources.described(entry) for entry in jit._routines if "striderule" in type(entry[1]).__module__)


def test_the_digest_is_that_of_the_files():
    found = sources.digest()
    assert found is not None
    assert re.fullmatch("[0-9a-f]{64}", found)
    assert sources.digest() == found
    listed = {path for path, *_ in sources._files()}
    assert listed == {str(path) for folder in sources.FOLDERS for path in (HERE / folder).rglob("*.py")}


def test_the_digest_of_one_file(tmp_path):
    one, other = tmp_path / "one.py", tmp_path / "other.py"
    one.write_text("a = 1")
    other.write_text("a = 2")
    assert len({sources.digest_of(str(path)) for path in (one, other)}) == 2
    assert sources.digest_of(str(tmp_path / "none.py")) is None
    assert sources.digest_of(jit.__file__) == jit._TRANSLATION


def test_there_is_no_digest_without_files(monkeypatch, tmp_path):
    monkeypatch.setattr(sources, "_ROOT", str(tmp_path / "library.zip"))
    assert sources._files() == ()
    assert sources.digest() is None
    monkeypatch.setattr(sources, "_before", ())
    assert sources.digest() is None


COMPUTING = """
import os, sys
import numpy as np
import striderule as sr
assert sr.__file__ == os.path.join(sys.argv[1], "striderule", "__init__.py"), sr.__file__
edit = sys.argv[2:]
if edit:
    with open(edit[0], "a") as file:
        file.write(edit[1])
result = sr.relu(np.array([-1, 2], np.float32))
assert result.tolist() == [0, 2], result
"""
# What an edit of a generator does here: it tells when it writes.
TELLING = """
_silent_{number} = elementwise_routine
def elementwise_routine(form, target):
    print("written", {number})
    return _silent_{number}(form, target)
"""


def test_code_that_another_source_has_written_is_never_taken(tmp_path):
    """After an edit, between processes and within one, routines are written anew; without one, they are found."""
    package = tmp_path / "striderule"
    shutil.copytree(HERE, package, ignore=shutil.ignore_patterns("__pycache__"))
    generator = package / "algorithms" / "direct" / "elementwise_routine.py"

    def run(*edit):
        done = subprocess.run(
            [sys.executable, "-c", COMPUTING, str(tmp_path), *map(str, edit)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(tmp_path), "STRIDERULE_CACHE_DIR": str(tmp_path / "routines")},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def edited(number):
        generator.write_text(generator.read_text() + TELLING.format(number=number))

    edited(1)
    assert run() == "written 1\n"
    assert run() == ""
    edited(2)
    assert run() == "written 2\nwritten 1\n"
    assert run() == ""
    # Edited after the library was imported, and before the generator is: what is there now writes it, and leaves no
    # trace that another process could take for the old code's or the new one's.
    assert run(generator, TELLING.format(number=3)) == "written 3\nwritten 2\nwritten 1\n"
    assert run() == "written 3\nwritten 2\nwritten 1\n"
    assert run() == ""
