"""What is measured of a processor is plausible, on every target that it runs."""

import numpy as np
import pytest

from striderule.codegen import jit, probe
from striderule.codegen.target import available, named


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(probe, "BURSTS", 2)
    monkeypatch.setattr(probe, "BURST", 5e-4)
    monkeypatch.setattr(probe, "FAR", 1 << 20)


@pytest.mark.parametrize("target", available(), ids=lambda target: target.name)
@pytest.mark.parametrize("dtype", probe.TYPES)
def test_the_peak_is_that_of_a_processor(target, dtype):
    rate = probe.multiply_adds(dtype, 1, target)
    assert 1e8 < rate < 1e13


@pytest.mark.parametrize("name", ["avx512", "avx2", "sse2", "neon"])
def test_chains_stay_in_registers(name):
    target = named(name)
    text = jit.assembly(probe._chains("chains", target, "float32", target.registers - 4), target)
    loop = [line.split() for line in text.splitlines() if "fmadd" in line or "fmla" in line or "mulps" in line]
    assert len(loop) == target.registers - 4
    assert not any("(" in word or "[" in word for words in loop for word in words)  # no operand comes from memory


def test_a_copy_copies():
    target = available()[0]
    routine = jit.compiled("copied", probe.UNROLLED, lambda: probe._copy("copied", target), target)
    step = probe.UNROLLED * target.lanes(4)
    source, copy = np.arange(6 * step, dtype=np.float32), np.zeros(6 * step, np.float32)
    words = np.array([source.ctypes.data, copy.ctypes.data, 2 * step], np.int64)
    probe.workers.run(routine.address, words.ctypes.data, 2)
    assert (copy[: 4 * step] == source[: 4 * step]).all()
    assert not copy[4 * step :].any()


@pytest.mark.parametrize("size", [1, 1 << 12, 1 << 20])
def test_bandwidth_of_any_size(size):
    assert 1e6 < probe.copied(size, 2) < 1e14


def test_everything_is_measured(monkeypatch):
    monkeypatch.setenv("STRIDERULE_TARGET", "sse2" if named("sse2") in available() else available()[0].name)
    found = probe.measure(threads=2)
    assert found.threads == 2
    assert dict(found.peaks).keys() == {"float32", "float64"}
    assert dict(found.bandwidths).keys() == {1, 2}
    assert 1e-8 < found.call < 1e-2
