"""``striderule bench image``: a table of times, with whatever libraries are installed."""

import json

import numpy as np
import tifffile
from PIL import Image

from striderule.cli import contest


def test_times_of_a_picture(command, noise):
    Image.fromarray(noise((40, 50, 3))).save("in.png")
    done = command("bench", "image", "in.png", "--seconds", 0.01, "--json")
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)
    assert [row["filter"] for row in rows][:2] == ["sharpen 3 x 3", "gaussian, sigma 2"]
    for row in rows:
        assert row["milliseconds"]["striderule"] > 0


def test_the_table_names_what_is_there(command, noise, monkeypatch):
    tifffile.imwrite("in.tif", noise((30, 40), np.float32))
    monkeypatch.setattr(contest, "_peer", lambda module: None)
    done = command("bench", "image", "in.tif", "--seconds", 0.01)
    assert done.exit_code == 0, done.output
    assert "40 x 30 grey, float32" in done.stdout
    assert "without OpenCV, SciPy and scikit-image" in done.stdout


def test_a_stack_is_refused(refused, noise):
    tifffile.imwrite("in.tif", noise((3, 30, 40)), photometric="minisblack")
    assert "must hold a picture of rows and columns" in refused("bench", "image", "in.tif")
