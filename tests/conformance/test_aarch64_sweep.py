"""Every operation on AArch64, run under emulation: what generated code computes there is what NumPy computes here."""

import functools
import pkgutil

import numpy as np
import pytest

import striderule as sr

pytest.importorskip("llvmlite")

from functional.operations import CALLS
from oracles import anew, emulation
from oracles.images import looped_with_gaps
from striderule.algorithms import direct as direct_family
from striderule.algorithms import table
from striderule.algorithms import windows as windows_family
from striderule.algorithms.direct import trained_normalization
from striderule.functional.gradients.vjp import differentiated, rules

pytestmark = [pytest.mark.conformance, pytest.mark.skipif(bool(emulation.missing()), reason=str(emulation.missing()))]


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_every_operation(machine, monkeypatch, call):
    """What is computed on AArch64, by generated code where there is any, is what NumPy computes here."""
    expected = call.by("windows")
    with machine.in_place(monkeypatch):
        got = call.by("direct")
    assert type(got) is type(expected)
    for one, other in zip(*((each if isinstance(each, tuple) else (each,)) for each in (got, expected)), strict=True):
        assert one.dtype == other.dtype
        small = 1e-6 if one.dtype in (np.float32, np.complex64) else 1e-14
        largest = np.abs(other[np.isfinite(other)]).max(initial=1)
        np.testing.assert_allclose(one, other, rtol=8 * small, atol=8 * small * largest)


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
@pytest.mark.parametrize(
    ("algorithm", "routine", "kernel"),
    [
        ("stencil", "stencil_", (5, 4)),
        ("separable", "passes_", (5, 4)),
        ("separable", "passes_", (21, 19)),
        ("fourier", "spectra_", (13, 9)),
    ],
)
def test_filters_of_images(arm, algorithm, routine, kernel, dtype):
    """Each algorithm of images, forced: the sweep of operations leaves the choice, and its images are small."""
    rng = np.random.default_rng(8)
    image = rng.integers(0, 9, (45, 70)).astype(dtype)
    work = np.float64 if dtype == "float64" else np.float32
    taps = np.outer(*(rng.standard_normal(k) for k in kernel)).astype(work)
    expected = sr.correlate(image, taps.astype(np.float64), dtype=np.float64, boundary="mirror", algorithm="windows")
    arm.ran.clear()
    got = sr.correlate(image, taps, boundary=("mirror", "mirror"), algorithm=algorithm)
    emulation.assert_ran(arm, routine)
    near = 1e-6 if work is np.float32 else 1e-14
    assert np.linalg.norm(got - expected) <= near * np.linalg.norm(expected)


def with_gaps():
    """Return an image of small integers, where it is valid, and what draws more."""
    rng = np.random.default_rng(9)
    image = rng.integers(0, 9, (45, 70))
    return image, rng.random(image.shape) < 0.8, rng


@functools.cache
def blurred():
    """Return by loops, which are slow, what a Gaussian and a mean make of that image."""
    image, valid, _ = with_gaps()
    wide = np.outer(*[np.exp(-(np.arange(-8.0, 9.0) ** 2) / 8)] * 2)
    kernels = wide / wide.sum(), np.full((15, 15), 1 / 225)
    return [looped_with_gaps(image.astype(float), kernel, ~valid) for kernel in kernels]


@pytest.mark.parametrize(
    ("dtype", "written"), [("float32", True), ("float32", False), ("float64", False), ("uint8", True)]
)
def test_missing_pixels(arm, monkeypatch, written, dtype):
    """Around kernels with signs and without, of which the taps are written out, or gone over in loops; and lengths."""
    monkeypatch.setattr("striderule.algorithms.stencil.cutting.MANY", 1 if written else 1 << 40)
    anew.forget()
    numbers, valid, rng = with_gaps()
    image = numbers.astype(dtype)
    near, sobel = 1e-14 if dtype == "float64" else 1e-5, np.outer([1.0, 2, 1], [-1, 0, 1])
    for kernel in (np.ones((3, 3)), rng.standard_normal((5, 4))):
        expected = looped_with_gaps(image.astype(float), kernel, ~valid)
        got = sr.correlate(image, kernel.astype("f8" if dtype == "float64" else "f4"), mask=valid)
        np.testing.assert_allclose(got, expected, rtol=0, atol=near * np.nanmax(np.abs(expected)))
    if dtype != "uint8":
        holed = np.where(valid, image, np.nan).astype(dtype)
        got = sr.correlate(holed, kernel.astype(dtype), nan="normalize")
        np.testing.assert_allclose(got, expected, rtol=0, atol=near * np.nanmax(np.abs(expected)))
    axes = [looped_with_gaps(image.astype(float), one, ~valid) for one in (sobel, sobel.T)]
    got, share = sr.filters.sobel(image, mask=valid, confidence=True)
    np.testing.assert_allclose(got, np.hypot(*axes), rtol=0, atol=near * 10)
    assert share.min() < 1 == share.max()
    emulation.assert_ran(arm, "gapped_")
    if (dtype, written) == ("float32", False):  # what follows goes over taps in one way
        anew.forget()
        return
    blurs = [sr.filters.gaussian(image, 2, mask=valid, dtype=float), sr.filters.box(image, 15, mask=valid, dtype=float)]
    for blur, expected in zip(blurs, blurred(), strict=True):
        np.testing.assert_allclose(blur, expected, rtol=10 * near)
    assert any(name.startswith("gapped_passes") for name in arm.ran)
    anew.forget()


@pytest.mark.parametrize(("activation", "residual"), [("relu6", False), ("relu", True)])
def test_normalization_in_training(arm, activation, residual):
    """With what stands behind it, both ways; running statistics are moved by it, too."""
    rng = np.random.default_rng(10)
    x, gy = rng.standard_normal((2, 3, 9, 19)).astype(np.float32)
    weight, bias = rng.standard_normal((2, 9)).astype(np.float32)
    mean, var = np.ones((2, 9), np.float32)
    code = trained_normalization.bound(x.shape, activation, residual, 1e-3, 0.25)
    y, statistics = code.forward(x, gy if residual else None, weight, bias, mean, var)
    gx, gweight, gbias, _ = code.backward(x, gy, y, weight, statistics, apart=residual)
    emulation.assert_ran(arm, "trained_normalization")
    assert any("gradient" in name for name in arm.ran)
    wide, axes = x.astype(np.float64), (0, 2)
    centre, spread = wide.mean(axis=axes), wide.var(axis=axes)
    normal = (wide - centre[:, None]) / np.sqrt(spread + 1e-3)[:, None]
    sums = normal * weight[:, None] + bias[:, None] + residual * gy
    gz = np.where((sums > 0) & (sums < (6 if activation == "relu6" else np.inf)), gy, 0.0)
    by_bias, by_weight = gz.sum(axis=axes), (gz * normal).sum(axis=axes)
    spared = (by_bias[:, None] + normal * by_weight[:, None]) / (x.size / 9)
    by_x = (weight / np.sqrt(spread + 1e-3))[:, None] * (gz - spared)
    cut = sums.clip(0, 6 if activation == "relu6" else None)
    moved = 0.75 + 0.25 * centre, 0.75 + 0.25 * wide.var(axis=axes, ddof=1)
    for got, expected in zip((y, gx, gweight, gbias, mean, var), (cut, by_x, by_weight, by_bias, *moved), strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_generated_code_of_every_family_ran(arm, monkeypatch):
    """The sweep above would prove nothing where it fell back to NumPy: each family of operations has run routines."""
    asked, ran = set(), set()
    family = table.family
    monkeypatch.setattr(table, "family", lambda name, *words: (asked.add(name), family(name, *words))[1])
    twins = {module.name for module in pkgutil.iter_modules(windows_family.__path__)}
    twins &= {module.name for module in pkgutil.iter_modules(direct_family.__path__)}
    for call in CALLS:
        asked.clear()
        call.by("windows")
        if asked & twins <= ran:
            continue
        asked.clear()
        arm.ran.clear()
        call.by("direct")
        ran |= asked if arm.ran else set()
    # The first is run above. Parameters that optimisers update are found by a table of addresses, whose memory the
    # emulator is not sent.
    apart = {"trained_normalization", "update"}
    for call in (call for call in CALLS if call.name in rules()):
        if twins - ran == apart:
            break
        floats = {name for name, value in call.operands.items() if getattr(value, "dtype", np.dtype(int)).kind == "f"}
        asked.clear()
        y, pull = differentiated(call.function, {**call.operands, **call.words}, frozenset(floats))
        # What a gradient is computed by may be looked up before it is asked for.
        asked -= {name for name in asked if not name.endswith("_gradient")}
        arm.ran.clear()
        pull(np.ones_like(y[0] if isinstance(y, tuple) else y))
        ran |= asked if arm.ran else set()
    assert twins - ran == apart
