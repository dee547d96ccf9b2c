"""What the tests of the command line share: a runner, pictures made of numbers, and filtering as plain loops."""

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from striderule.cli.app import app


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Run a command in an empty folder; give its result."""
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()

    def run(*words):
        return runner.invoke(app, [str(word) for word in words], prog_name="striderule", catch_exceptions=False)

    return run


@pytest.fixture
def filtered(command):
    """Run ``striderule filter`` and insist that it worked; give what it printed."""

    def run(*words):
        result = command("filter", *words)
        assert result.exit_code == 0, result.output
        return " ".join(result.output.split())

    return run


@pytest.fixture
def refused(command):
    """Run a command and insist on one line and exit code 2; give the line."""

    def run(*words):
        result = command(*words)
        assert result.exit_code == 2, result.output
        assert result.stdout == ""
        assert result.stderr.count("\n") == 1
        assert result.stderr.startswith("striderule: ")
        return result.stderr.removeprefix("striderule: ").rstrip("\n")

    return run


@pytest.fixture
def noise():
    """Give random values of a type in a shape; floats lie between 0 and 1."""
    random = np.random.default_rng(2024)

    def make(shape, dtype=np.uint8):
        if np.dtype(dtype).kind == "f":
            return random.random(shape).astype(dtype)
        return random.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)

    return make


def _outside(index, length, boundary):
    """Return where the position beyond the edge is found, by walking one step at a time."""
    if boundary == "edge":
        return min(max(index, 0), length - 1)
    if boundary == "wrap":
        return index % length
    while not 0 <= index < length:
        if boundary == "symmetric":
            index = -1 - index if index < 0 else 2 * length - 1 - index
        else:
            index = -index if index < 0 else 2 * (length - 1) - index
    return index


def _plane(image, kernel, boundary, fill, stride, dilation):
    height, width = image.shape
    rows, columns = kernel.shape
    out = np.empty((-(-height // stride), -(-width // stride)))
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            total = 0.0
            for a in range(rows):
                for b in range(columns):
                    y = i * stride + (a - rows // 2) * dilation
                    x = j * stride + (b - columns // 2) * dilation
                    if boundary == "constant":
                        value = image[y, x] if 0 <= y < height and 0 <= x < width else fill
                    else:
                        value = image[_outside(y, height, boundary), _outside(x, width, boundary)]
                    total += float(value) * float(kernel[a, b])
            out[i, j] = total
    return out


@pytest.fixture
def loops():
    """Correlate (height, width[, channels]) with a kernel by plain loops, as floats."""

    def run(image, kernel, boundary="symmetric", fill=0.0, stride=1, dilation=1):
        kernel = np.asarray(kernel)
        if image.ndim == 2:
            return _plane(image, kernel, boundary, fill, stride, dilation)
        planes = [_plane(image[..., c], kernel, boundary, fill, stride, dilation) for c in range(image.shape[-1])]
        return np.stack(planes, axis=-1)

    return run


@pytest.fixture
def nearest():
    """Insist that integers are the nearest ones to the numbers, or the end of the range for numbers beyond it.

    At a half either neighbour will do, as float32 sums cannot tell; the tests of the display pin that down.
    """

    def check(found, numbers):
        info = np.iinfo(found.dtype)
        assert found.shape == numbers.shape
        assert np.abs(found - np.clip(numbers, info.min, info.max)).max() <= 0.5001

    return check


@pytest.fixture
def opened():
    """Open a picture with Pillow, read it whole and close it."""

    def run(path):
        with Image.open(path) as image:
            image.load()
            return image

    return run
