"""Measured rates on disk: what was kept comes back, and nothing else does."""

import os

import pytest

from striderule.codegen import cache, rates
from striderule.codegen.rates import Rates

KEPT = Rates("avx2", 4, (("float32", 1.25e11), ("float64", 6e10)), ((1, 2e10), (4, 3.5e10)), 1.5e-6)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("STRIDERULE_CACHE_DIR", str(tmp_path / "kept"))
    rates.kept.cache_clear()
    yield tmp_path / "kept"
    rates.kept.cache_clear()


def test_what_was_kept_comes_back(folder):
    assert rates.kept("avx2") is None
    file = rates.keep(KEPT)
    assert file.parent == folder
    assert rates.kept("avx2") == KEPT
    assert rates.kept("sse2") is None
    assert [path.name for path in folder.iterdir()] == [file.name]
    if os.name != "nt":
        assert file.stat().st_mode & 0o777 == 0o600
        assert folder.stat().st_mode & 0o777 == 0o700


def test_later_rates_replace_earlier_ones():
    rates.keep(KEPT)
    later = Rates("avx2", 1, (("float32", 2e11),), ((1, 1e10),), 2e-6)
    rates.keep(later)
    assert rates.kept("avx2") == later


def test_rates_are_forgotten(folder):
    rates.keep(KEPT)
    other = folder / "ab.routine"
    other.write_text("code")
    assert rates.kept("avx2")
    assert len(rates.forget()) == 1
    assert rates.kept("avx2") is None
    assert other.exists()
    assert rates.forget() == []


def test_nothing_is_kept_without_a_folder(monkeypatch):
    monkeypatch.setenv("STRIDERULE_CACHE", "0")
    assert rates.forget() == []
    assert rates.kept("avx2") is None
    with pytest.raises(OSError, match="STRIDERULE_CACHE_DIR"):
        rates.keep(KEPT)


DAMAGE = {
    "empty": lambda text: "",
    "half": lambda text: text[: len(text) // 2],
    "another version": lambda text: text.replace("rates 1", "rates 2"),
    "another target": lambda text: text.replace("avx2", "avx512"),
    "no number": lambda text: text.replace("1.5e-06", "fast"),
    "not a number": lambda text: text.replace("1.5e-06", "nan"),
    "infinite": lambda text: text.replace("125000000000.0", "inf"),
    "negative": lambda text: text.replace("125000000000.0", "-1.0"),
    "zero": lambda text: text.replace("20000000000.0", "0"),
    "no peaks": lambda text: text.replace("peak", "peek"),
    "not text": lambda text: b"\xff\xfe\x00" * 99,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_passed_over_with_one_warning(damage):
    file = rates.keep(KEPT)
    changed = damage(file.read_text())
    assert changed != file.read_text()
    file.write_bytes(changed if isinstance(changed, bytes) else changed.encode())
    with pytest.warns(RuntimeWarning, match="passed over .* --calibrate") as caught:
        assert rates.kept("avx2") is None
    assert len(caught) == 1
    assert rates.kept("avx2") is None  # a second warning would be an error


@pytest.mark.skipif(os.name == "nt", reason="mode bits tell nothing there")
@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_others_may_write_is_passed_over(folder, what):
    file = rates.keep(KEPT)
    (file if what == "file" else folder).chmod(0o777)
    with pytest.warns(RuntimeWarning, match="others may write it"):
        assert rates.kept("avx2") is None


@pytest.mark.skipif(os.name == "nt", reason="mode bits tell nothing there")
def test_nothing_is_kept_where_others_may_write(folder):
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(PermissionError, match="nobody else"):
        rates.keep(KEPT)
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="links cannot be refused there")
def test_a_link_is_passed_over(folder):
    file = rates.keep(KEPT)
    aside = file.rename(folder / "aside")
    file.symlink_to(aside)
    with pytest.warns(RuntimeWarning, match="passed over"):
        assert rates.kept("avx2") is None


def test_a_full_disk_leaves_nothing_behind(folder, monkeypatch):
    rates.keep(KEPT)
    before = sorted(folder.iterdir())

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rates, "_text", full)
    with pytest.raises(OSError, match="No space"):
        rates.keep(KEPT)
    assert sorted(folder.iterdir()) == before


def test_the_cache_leaves_rates_alone(folder, monkeypatch):
    file = rates.keep(KEPT)
    monkeypatch.setattr(cache, "LIMIT", 0)
    cache._trim(folder)
    assert file.exists()


def test_bandwidth_for_other_numbers_of_threads():
    assert KEPT.bandwidth(1) == 2e10
    assert KEPT.bandwidth(4) == 3.5e10
    assert KEPT.bandwidth(2) == 3.5e10  # twice that of one is more than was ever measured
    assert KEPT.bandwidth(16) == 3.5e10
