"""The cache on disk gives back what was put in, or nothing."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest

from striderule.codegen import cache

KEY = cache.key("text", "features")
OTHER = cache.key("other text", "features")
DATA = bytes(range(256)) * 20
POSIX = pytest.mark.skipif(os.name == "nt", reason="owner and mode bits are POSIX's")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.delenv("STRIDERULE_CACHE", raising=False)
    monkeypatch.setenv("STRIDERULE_CACHE_DIR", str(tmp_path / "deep" / "cache"))
    return tmp_path / "deep" / "cache"


def file_of(folder, key=KEY):
    return folder / f"{key}.routine"


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_is_written_is_read(folder):
    assert cache.read(KEY) is None
    assert not folder.exists()  # reading makes nothing
    cache.write(KEY, DATA)
    cache.write(OTHER, b"")
    assert cache.read(KEY) == DATA
    assert cache.read(OTHER) == b""
    assert listing(folder) == sorted(f"{key}.routine" for key in (KEY, OTHER))
    cache.write(KEY, DATA[:100])
    assert cache.read(KEY) == DATA[:100]


def test_keys_depend_on_every_part():
    assert len({cache.key("a", "b"), cache.key("ab"), cache.key("b", "a"), cache.key("a", "b", ""), cache.key()}) == 5
    assert cache.key("a", "b") == cache.key("a", "b")


def test_keys_depend_on_the_format(monkeypatch):
    before = cache.key("a")
    monkeypatch.setattr(cache, "FORMAT", "next")
    assert cache.key("a") != before


def test_locations(monkeypatch, tmp_path):
    monkeypatch.delenv("STRIDERULE_CACHE", raising=False)
    monkeypatch.delenv("STRIDERULE_CACHE_DIR", raising=False)
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name, appauthor: tmp_path / name)
    assert cache.location() == tmp_path / "striderule" / "routines"
    monkeypatch.setenv("STRIDERULE_CACHE_DIR", str(tmp_path / "here"))
    assert cache.location() == tmp_path / "here"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STRIDERULE_CACHE_DIR", "below")
    assert cache.location() == tmp_path / "below"
    monkeypatch.setenv("STRIDERULE_CACHE", "0")
    assert cache.location() is None
    monkeypatch.setenv("STRIDERULE_CACHE", "1")
    assert cache.location() == tmp_path / "below"


def test_without_a_home_there_is_no_cache(monkeypatch):
    monkeypatch.delenv("STRIDERULE_CACHE", raising=False)
    monkeypatch.delenv("STRIDERULE_CACHE_DIR", raising=False)
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name, appauthor: Path("~/.cache", name))
    assert cache.location() is None
    cache.write(KEY, DATA)
    assert cache.read(KEY) is None


def test_off(folder, monkeypatch):
    cache.write(KEY, DATA)
    monkeypatch.setenv("STRIDERULE_CACHE", "0")
    assert cache.read(KEY) is None
    cache.write(OTHER, DATA)
    assert listing(folder) == [f"{KEY}.routine"]


@POSIX
def test_files_belong_to_the_user_alone(folder):
    before = os.umask(0)
    try:
        cache.write(KEY, DATA)
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(file_of(folder).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: b"",
        lambda text: text[:10],
        lambda text: text[:60],
        lambda text: text[:-1],
        lambda text: text + b"\0",
        lambda text: text[:-1] + bytes([text[-1] ^ 1]),
        lambda text: text[:30] + bytes([text[30] ^ 1]) + text[31:],
        lambda text: b"S" + text[1:],
        lambda text: b"\x7fELF" + text,
    ],
)
def test_damaged_files_are_ignored_and_written_anew(folder, damage):
    cache.write(KEY, DATA)
    path = file_of(folder)
    path.write_bytes(damage(path.read_bytes()))
    assert cache.read(KEY) is None
    cache.write(KEY, DATA)
    assert cache.read(KEY) == DATA


def test_a_file_under_the_name_of_another_is_ignored(folder):
    cache.write(KEY, DATA)
    file_of(folder).rename(file_of(folder, OTHER))
    assert cache.read(OTHER) is None


def test_what_is_no_file_is_ignored(folder):
    cache.write(OTHER, DATA)
    file_of(folder).mkdir()
    assert cache.read(KEY) is None
    cache.write(KEY, DATA)  # a folder is not replaced by a file
    assert cache.read(KEY) is None
    assert cache.read(OTHER) == DATA
    assert listing(folder) == sorted(f"{key}.routine" for key in (KEY, OTHER))


@POSIX
def test_links_are_not_followed(folder, tmp_path):
    cache.write(KEY, DATA)
    file_of(folder).rename(tmp_path / "elsewhere")
    file_of(folder).symlink_to(tmp_path / "elsewhere")
    assert cache.read(KEY) is None
    cache.write(KEY, DATA)
    assert not file_of(folder).is_symlink()
    assert cache.read(KEY) == DATA


@POSIX
@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777, 0o1777, 0o720])
def test_a_folder_that_others_may_write_is_not_used(folder, mode):
    cache.write(KEY, DATA)
    folder.chmod(mode)
    assert cache.read(KEY) is None
    cache.write(OTHER, DATA)
    assert listing(folder) == [f"{KEY}.routine"]
    folder.chmod(0o755)  # that others may read does no harm
    assert cache.read(KEY) == DATA


@POSIX
def test_a_file_that_others_may_write_is_not_used(folder):
    cache.write(KEY, DATA)
    file_of(folder).chmod(0o666)
    assert cache.read(KEY) is None


@POSIX
def test_a_folder_of_another_user_is_not_used(folder, monkeypatch):
    cache.write(KEY, DATA)
    monkeypatch.setattr(cache.os, "geteuid", lambda: os.getuid() + 1)
    assert cache.read(KEY) is None
    cache.write(OTHER, DATA)
    assert listing(folder) == [f"{KEY}.routine"]


@POSIX
def test_a_file_of_another_user_is_not_used(folder, monkeypatch):
    cache.write(KEY, DATA)
    monkeypatch.setattr(cache, "_is_ours", lambda folder: True)
    monkeypatch.setattr(cache.os, "geteuid", lambda: os.getuid() + 1)
    assert cache.read(KEY) is None


def test_where_access_lists_rule_modes_tell_nothing(folder, monkeypatch):
    monkeypatch.setattr(cache, "PRIVATE_BY_ACL", True)
    monkeypatch.delattr(cache.os, "geteuid", raising=False)
    cache.write(KEY, DATA)
    folder.chmod(0o777)
    assert cache.read(KEY) == DATA


def test_a_folder_that_cannot_be_made(monkeypatch, tmp_path):
    monkeypatch.delenv("STRIDERULE_CACHE", raising=False)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("STRIDERULE_CACHE_DIR", str(tmp_path / "file" / "cache"))
    cache.write(KEY, DATA)
    assert cache.read(KEY) is None
    monkeypatch.setenv("STRIDERULE_CACHE_DIR", str(tmp_path / "file"))
    cache.write(KEY, DATA)
    assert cache.read(KEY) is None
    assert (tmp_path / "file").read_text() == "in the way"


def refuse(number):
    def refusing(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    return refusing


def test_a_read_only_folder(folder, monkeypatch):
    cache.write(KEY, DATA)
    opened = os.open

    def read_only(path, flags, *mode):
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            refuse(errno.EROFS)()
        return opened(path, flags, *mode)

    monkeypatch.setattr(cache.os, "open", read_only)
    monkeypatch.setattr(cache.os, "utime", refuse(errno.EROFS))
    assert cache.read(KEY) == DATA
    cache.write(OTHER, DATA)
    assert listing(folder) == [f"{KEY}.routine"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk(folder, monkeypatch):
    cache.write(KEY, DATA)
    opened = os.open

    def full(path, flags, *mode):
        if flags & os.O_CREAT:
            os.close(opened(path, flags, *mode))
            return opened("/dev/full", os.O_WRONLY)
        return opened(path, flags, *mode)

    monkeypatch.setattr(cache.os, "open", full)
    cache.write(OTHER, DATA)
    assert listing(folder) == [f"{KEY}.routine"]  # nothing is left behind, and what was there is whole
    assert cache.read(KEY) == DATA


def test_a_name_that_cannot_be_taken(folder, monkeypatch):
    cache.write(KEY, DATA)
    monkeypatch.setattr(cache.Path, "replace", refuse(errno.EACCES))
    cache.write(KEY, b"new")
    assert cache.read(KEY) == DATA
    assert listing(folder) == [f"{KEY}.routine"]


def test_an_interruption_leaves_nothing_behind(folder, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(cache.Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cache.write(KEY, DATA)
    assert listing(folder) == []


def on_disk(folder):
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in folder.iterdir())


def test_the_files_used_longest_ago_go_first(folder, monkeypatch):
    size = 8192  # what DATA takes
    monkeypatch.setattr(cache, "LIMIT", 16 * size)
    monkeypatch.setattr(cache, "_due", lambda key, size: True)
    keys = [cache.key(str(number)) for number in range(18)]
    for number, key in enumerate(keys[:14]):
        cache.write(key, DATA)
        os.utime(file_of(folder, key), (1e9 + number, 1e9 + number))
    assert len(listing(folder)) == 14
    assert cache.read(keys[0]) == DATA  # used: now the youngest
    for key in keys[14:]:
        cache.write(key, DATA)
        assert on_disk(folder) == 14 * size
    kept = [number for number, key in enumerate(keys) if cache.read(key)]
    assert kept == [0, *range(5, 18)]
    cache.write(KEY, bytes(3 * size))  # so large that little else would be kept
    assert cache.read(KEY) is None
    assert len(listing(folder)) == 14


def test_the_size_is_bounded(folder, monkeypatch):
    """Looking through the folder now and then is enough."""
    monkeypatch.setattr(cache, "LIMIT", 1_000_000)
    largest = 0
    for number in range(700):
        cache.write(cache.key(str(number)), b"x" * 20 * (number % 500))
        largest = max(largest, on_disk(folder)) if number % 10 == 9 else largest
    assert 800_000 < largest <= cache.LIMIT


def test_only_our_files_are_removed(folder, monkeypatch):
    cache.write(KEY, DATA)
    abandoned, fresh = folder / f".{'0' * 32}.part", folder / f".{'1' * 32}.part"
    foreign = [folder / "notes.txt", folder / "x.routine", folder / ".part"]
    for path in (abandoned, fresh, *foreign):
        path.write_bytes(DATA)
    for path in (file_of(folder), abandoned, *foreign):
        os.utime(path, (1e9, 1e9))
    monkeypatch.setattr(cache, "LIMIT", 10_000)
    monkeypatch.setattr(cache, "_due", lambda key, size: True)
    cache.write(OTHER, b"little")
    assert listing(folder) == sorted([f"{OTHER}.routine", fresh.name, *(path.name for path in foreign)])


PROGRAM = """
import sys
from striderule.codegen import cache

cache.LIMIT = 100_000
cache._due = lambda key, size: True  # look through the folder at every turn
keys = [cache.key(str(number)) for number in range(30)]
whole = {key: key.encode() * 100 for key in keys}
hits = 0
for turn in range(15):
    for key in keys:
        found = cache.read(key)
        assert found is None or found == whole[key], "a torn file was read"
        hits += found is not None
        if found is None or turn % 4 == 0:
            cache.write(key, whole[key])
assert hits
"""


def test_several_processes_at_once(folder):
    processes = [subprocess.Popen([sys.executable, "-c", PROGRAM], stderr=subprocess.PIPE) for _ in range(4)]
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode()
    assert all(name.endswith(".routine") for name in listing(folder))
    assert on_disk(folder) <= 100_000
