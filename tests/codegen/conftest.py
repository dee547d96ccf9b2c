"""What the tests of generated code share: a folder of their own for what is kept, and who translates."""

import pytest

from striderule.codegen import jit


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of machine code, empty and of this test alone; nothing forces a target."""
    monkeypatch.delenv("STRIDERULE_CACHE", raising=False)
    monkeypatch.delenv("STRIDERULE_TARGET", raising=False)
    monkeypatch.setenv("STRIDERULE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def emissions(monkeypatch):
    """The list of routines that were translated, as against loaded from disk."""
    made = []
    emitted = jit._emitted
    monkeypatch.setattr(jit, "_emitted", lambda *words: made.append(words) or emitted(*words))
    return made
