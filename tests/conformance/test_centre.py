"""The table of docs/centre.md: where each library puts the centre of an even kernel."""

from pathlib import Path

import numpy as np
import pytest

from striderule.functional.images import convolve, correlate

pytestmark = pytest.mark.conformance

ndimage = pytest.importorskip("scipy.ndimage")
signal = pytest.importorskip("scipy.signal")
torch = pytest.importorskip("torch")
cv2 = pytest.importorskip("cv2")
filters = pytest.importorskip("skimage.filters")

PAGE = Path(__file__).parents[2] / "docs" / "centre.md"


def torch_same(rank):
    layer = getattr(torch.nn.functional, f"conv{rank}d")

    def filtered(image, kernel):
        shape = (1,) * (rank + 1) + (-1,)
        return layer(torch.tensor(image).reshape(shape), torch.tensor(kernel).reshape(shape), padding="same").numpy()

    return filtered


CALLS = {
    "striderule.correlate": correlate,
    "striderule.convolve": convolve,
    "scipy.ndimage.correlate": ndimage.correlate,
    "correlate1d": ndimage.correlate1d,
    "scipy.ndimage.convolve": ndimage.convolve,
    "convolve1d": ndimage.convolve1d,
    "scipy.signal.correlate": lambda x, w: signal.correlate(x, w, "same"),
    "scipy.signal.correlate2d": lambda x, w: signal.correlate2d(x[None], w[None], "same"),
    "scipy.signal.convolve": lambda x, w: signal.convolve(x, w, "same"),
    "fftconvolve": lambda x, w: signal.fftconvolve(x, w, "same"),
    "oaconvolve": lambda x, w: signal.oaconvolve(x, w, "same"),
    "convolve2d": lambda x, w: signal.convolve2d(x[None], w[None], "same"),
    "numpy.correlate": lambda x, w: np.correlate(x, w, "same"),
    "numpy.convolve": lambda x, w: np.convolve(x, w, "same"),
    "cv2.filter2D": lambda x, w: cv2.filter2D(x[None], -1, w[None]),
    "torch.nn.functional.conv1d": torch_same(1),
    "conv2d": torch_same(2),
    "conv3d": torch_same(3),
}
TAPS = {"k // 2": lambda k: k // 2, "(k - 1) // 2": lambda k: (k - 1) // 2}


def rows():
    """Return (name, tap, flips, conjugates) for every call in the table that can be made from Python."""
    found = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and "`" in cells[0] and "MATLAB" not in cells[0] and cells[1] in TAPS:
            calls = cells[0].split(" with ")[0]
            found += [(call.strip(" `"), *cells[1:]) for call in calls.split(",")]
    return found


def test_every_row_is_checked():
    assert {row[0] for row in rows()} == set(CALLS)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
@pytest.mark.parametrize(("name", "tap", "flips", "conjugates"), rows())
def test_row(name, tap, flips, conjugates):
    call = CALLS[name]
    for k in range(2, 8):
        image, kernel = np.zeros(21), np.arange(1.0, k + 1)
        image[10] = 1
        line = np.ravel(call(image, kernel)).round(9)
        assert line[10] == kernel[TAPS[tap](k)]
        assert (line[11] > line[10] if flips == "yes" else line[9] > line[10]) or TAPS[tap](k) == k - 1
    if conjugates:
        image, kernel = np.array([0, 1, 0], complex), np.array([0, 1j, 0])
        expected = -1j if conjugates == "yes" else 1j
        assert np.ravel(call(image, kernel))[1] == pytest.approx(expected)


def test_scikit_image_refuses_even_lengths():
    with pytest.raises(ValueError, match="must not be even"):
        filters.correlate_sparse(np.ones((5, 5)), np.ones((1, 4)))


def test_anchor_of_opencv_is_the_centre():
    rng = np.random.default_rng(1)
    image, kernel = rng.standard_normal((7, 8)), rng.standard_normal((3, 4))
    for rows_, columns in ((0, 0), (1, -2), (-1, 1)):
        expected = cv2.filter2D(image, -1, kernel, anchor=(2 + columns, 1 + rows_), borderType=cv2.BORDER_REFLECT)
        np.testing.assert_allclose(correlate(image, kernel, origin=(rows_, columns)), expected, atol=1e-12)
