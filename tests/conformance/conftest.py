"""The emulated AArch64 machine."""

import pytest

from oracles import emulation


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    found = emulation.Emulator(tmp_path_factory.mktemp("aarch64"))
    yield found
    found.close()


@pytest.fixture
def arm(machine, monkeypatch):
    """Let everything that a test calls run as on AArch64."""
    with machine.in_place(monkeypatch):
        machine.ran.clear()
        yield machine
