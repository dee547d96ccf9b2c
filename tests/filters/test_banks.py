"""Several kernels on one image, which is read once for them: the results are those of each kernel by itself."""

import numpy as np
import pytest

import striderule as sr
from oracles.memories import guarded
from striderule import filters, kernels
from striderule.codegen import target
from striderule.errors import InvalidArgument
from striderule.functional import together

pytest.importorskip("llvmlite")

RNG = np.random.default_rng(21)
TARGETS = [one.name for one in target.available()]


def apart(image, bank, **words):
    return np.stack([sr.correlate(image, kernel, **words) for kernel in bank])


def counted(monkeypatch):
    """Return the list in which the kernels of every shared reading will be counted."""
    counts, shared = [], together._shared
    monkeypatch.setattr(together, "_shared", lambda *args: (counts.append(len(args[1])), shared(*args)))
    return counts


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("words", [{}, {"boundary": ("wrap", ("edge", "constant")), "fill": 3}, {"stride": (2, 1)}])
def test_small_kernels_give_the_bits_of_each(dtype, words, monkeypatch):
    monkeypatch.setattr(together, "MANY", 1)
    monkeypatch.setattr(together, "gains_by_sharing", lambda *_: True)
    counts = counted(monkeypatch)
    image = (RNG.random((70, 90)) * 200).astype(dtype)
    bank = [RNG.standard_normal((5, 5)) for _ in range(4)] + [np.zeros((3, 3)), RNG.standard_normal((3, 1))]
    bank = [taps.astype(np.float64 if dtype == "float64" else np.float32) for taps in bank]
    np.testing.assert_array_equal(
        filters.bank(image, bank, algorithm="stencil", **words), apart(image, bank, algorithm="stencil", **words)
    )
    assert counts == [4]  # and one alone, and one of zeros
    turned = np.asfortranarray(image)
    np.testing.assert_array_equal(
        filters.bank(turned, bank, algorithm="stencil", **words), apart(image, bank, algorithm="stencil", **words)
    )


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_large_kernels_share_the_spectra_of_an_image(dtype, name, monkeypatch):
    monkeypatch.setenv("STRIDERULE_TARGET", name)
    counts = counted(monkeypatch)
    image = (RNG.random((2, 150, 190)) * 200).astype(dtype)
    bank = [RNG.standard_normal((15, 15)).astype(np.result_type(dtype, np.float32)) for _ in range(3)]
    words = {"axes": (1, 2), "algorithm": "fourier"}
    expected = apart(image, bank, **words)
    np.testing.assert_array_equal(filters.bank(image, bank, **words), expected)
    assert counts == [3]
    out = np.zeros((2, 190, 150, 3), expected.dtype).T  # every axis the other way round
    assert filters.bank(image, bank, out=out.transpose(0, 3, 1, 2), **words) is not None
    np.testing.assert_array_equal(out.transpose(0, 3, 1, 2), expected)
    before = sr.get_num_threads()
    try:
        for threads in (1, 3):
            sr.set_num_threads(threads)
            np.testing.assert_array_equal(filters.bank(image, bank, **words), expected)
    finally:
        sr.set_num_threads(before)


def test_kernels_of_other_sizes_share_tiles():
    image = RNG.standard_normal((150, 190))
    bank = [RNG.standard_normal(size) for size in ((15, 11), (9, 15), (13, 13), (40, 3), (16, 16))]
    found = filters.bank(image, bank, algorithm="fourier")
    np.testing.assert_allclose(found, apart(image, bank, algorithm="stencil"), atol=1e-12)


def test_what_is_no_number_stays_within_reach_of_each_kernel():
    image = RNG.standard_normal((150, 190)).astype(np.float32)
    image[[3, 77], [5, 100]] = np.nan, np.inf
    bank = [RNG.standard_normal((15, 15)).astype(np.float32) for _ in range(2)]
    found = filters.bank(image, bank, algorithm="fourier")
    expected = apart(image, bank, algorithm="windows")
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("algorithm", [None, "stencil", "fourier"])
def test_a_complex_kernel_is_two_real_ones(algorithm, monkeypatch):
    monkeypatch.setattr(together, "MANY", 1)
    image = RNG.standard_normal((60, 70)).astype(np.float32)
    kernel = kernels.gabor(0.3, 0.5, sigma_x=1.5, sigma_y=2.5, n_stds=2).astype(np.complex64)
    found = sr.correlate(image, kernel, algorithm=algorithm)
    parts = [sr.correlate(image, part, algorithm="windows") for part in (kernel.real, kernel.imag)]
    assert found.dtype == np.complex64
    np.testing.assert_allclose(found, parts[0] + 1j * parts[1], atol=1e-5)
    out = np.zeros_like(found).T.copy().T
    assert sr.correlate(image, kernel, algorithm=algorithm, out=out) is out
    np.testing.assert_array_equal(out, found)


@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_gabor_of_several_waves_is_a_stack(dtype):
    image = (RNG.random((50, 60)) * 99).astype(dtype)
    waves, ways = [0.15, 0.3], [0.0, 0.7]
    expected = np.stack([filters.gabor(image, f, t, sigma_y=4.0) for f in waves for t in ways])
    found = filters.gabor(image, waves, ways, sigma_y=4.0)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(filters.gabor(image, 0.15, ways, sigma_y=4.0), expected[:2], rtol=1e-5, atol=1e-5)
    assert filters.gabor(image, waves, 0.7, sigma_y=4.0).shape == (2, 50, 60)
    out = np.zeros_like(found)
    assert filters.gabor(image, waves, ways, sigma_y=4.0, out=out) is out
    np.testing.assert_array_equal(out, found)


def test_gabor_of_several_waves_around_gaps():
    image, mask = RNG.random((30, 40)), RNG.random((30, 40)) < 0.8
    found, share = filters.gabor(image, [0.2, 0.3], mask=mask, confidence=True)
    for number, frequency in enumerate((0.2, 0.3)):
        one, met = filters.gabor(image, frequency, mask=mask, confidence=True)
        np.testing.assert_allclose(found[number], one, rtol=1e-12)
        np.testing.assert_allclose(share[number], met, rtol=1e-12)
    with pytest.raises(InvalidArgument, match="frequency must hold at least one"):
        filters.gabor(image, [])
    assert len(sr.explain(filters.gabor, image, [0.2, 0.3]).passes) == 4


def test_a_reading_holds_few_kernels(monkeypatch):
    """As many as registers hold, where sums of so few taps wait for memory; others are summed one by one."""
    monkeypatch.setattr(together, "MANY", 1)
    counts = counted(monkeypatch)
    filters.bank(RNG.random((40, 50)), RNG.random((10, 3, 3)), algorithm="stencil")
    assert counts == [4, 4, 2]
    filters.bank(RNG.random((40, 50)), RNG.random((5, 9, 9)), algorithm="stencil")
    assert counts == [4, 4, 2]


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parts_of_complex_results_are_written_in_turn(dtype, name, monkeypatch):
    """Of every size of what is left of a line, beside NaN, and in images that lie otherwise in memory."""
    monkeypatch.setenv("STRIDERULE_TARGET", name)
    image = RNG.standard_normal((90, 131)).astype(dtype)
    kernel = kernels.gabor(0.2, 0.4).astype(np.result_type(dtype, np.complex64))
    for width in (17, 64, 131):
        part = image[:, :width].copy()
        found = sr.correlate(part, kernel, algorithm="fourier")
        pair = [sr.correlate(part, one.copy(), algorithm="fourier") for one in (kernel.real, kernel.imag)]
        np.testing.assert_array_equal(found, pair[0] + 1j * pair[1])
        out = np.zeros(found.shape[::-1], found.dtype).T
        sr.correlate(part, kernel, algorithm="fourier", out=out)
        np.testing.assert_array_equal(out, found)


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_outside_of_the_results_is_touched(name, monkeypatch):
    monkeypatch.setenv("STRIDERULE_TARGET", name)
    image = guarded(RNG.standard_normal((37, 53)).astype(np.float32))
    bank = [guarded(RNG.standard_normal((5, 9)).astype(np.float32)) for _ in range(2)]
    waves = [taps + 1j * taps[::-1] for taps in bank]
    for before in (False, True):
        for each, dtype in ((bank, np.float32), (waves, np.complex64)):
            out = guarded(np.ones((2, 37, 53), dtype), before=before)
            filters.bank(image, each, algorithm="fourier", out=out)
            np.testing.assert_allclose(out, apart(image, each, algorithm="windows"), atol=1e-4)
