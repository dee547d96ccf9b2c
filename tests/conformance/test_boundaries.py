"""The table of docs/boundaries.md: every name means what the page says."""

from pathlib import Path

import numpy as np
import pytest

from striderule.functional.images import correlate

pytestmark = pytest.mark.conformance

ndimage = pytest.importorskip("scipy.ndimage")
torch = pytest.importorskip("torch")
cv2 = pytest.importorskip("cv2")
filters = pytest.importorskip("skimage.filters")

PAGE = Path(__file__).parents[2] / "docs" / "boundaries.md"
LINE = np.array([3.0, 1.0, 4.0, 1.5, 9.0])
# Powers of two far apart: sums are exact, and tell which pixels were met.
TAPS = 2.0 ** np.arange(0, 25, 5)


def ours(word):
    return correlate(LINE, TAPS, boundary=word)


def by_numpy(mode):
    return np.correlate(np.pad(LINE, 2, mode=mode), TAPS, "valid")


def by_scipy(mode):
    return ndimage.correlate1d(LINE, TAPS, mode=mode)


def by_skimage(mode):
    """Return what its Gaussian gives, and its taps."""
    taps = np.exp(-0.5 * (np.arange(-2, 3) / 0.5) ** 2)
    found = filters.gaussian(LINE, 0.5, mode=mode, truncate=4.0)
    return found, taps / taps.sum()


def by_opencv(name):
    return cv2.filter2D(LINE[None], -1, TAPS[None], borderType=getattr(cv2, f"BORDER_{name}"))[0]


def by_torch(mode):
    wide = torch.nn.functional.pad(torch.tensor(LINE)[None, None], (2, 2), mode=mode)
    return np.correlate(wide[0, 0].numpy(), TAPS, "valid")


COLUMNS = {1: by_numpy, 2: by_scipy, 3: by_skimage, 4: by_opencv, 5: by_torch}


def names():
    """Return (our word, column, a name there) for every cell that is checked."""
    found = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 9 and cells[0].startswith("`"):
            for column in COLUMNS:
                found += [(cells[0].strip("`"), column, name.strip("` ")) for name in cells[column].split(",")]
    return [entry for entry in found if entry[2] != "none"]


def test_the_table_is_whole():
    assert {word for word, _, _ in names()} == {"constant", "edge", "symmetric", "mirror", "wrap"}
    assert len(names()) > 24


@pytest.mark.parametrize(("word", "column", "name"), names())
def test_a_name_means_what_the_page_says(word, column, name):
    if (column, name) == (4, "WRAP"):  # the page says that filters refuse it
        with pytest.raises(cv2.error):
            by_opencv(name)
        wide = cv2.copyMakeBorder(LINE[None], 0, 0, 2, 2, cv2.BORDER_WRAP)[0]
        np.testing.assert_array_equal(np.correlate(wide, TAPS, "valid"), ours(word))
    elif column == 3:
        found, taps = by_skimage(name)
        np.testing.assert_allclose(found, correlate(LINE, taps, boundary=word), rtol=1e-12)
    else:
        np.testing.assert_array_equal(COLUMNS[column](name), ours(word))
