"""The animation: frames, files, and what bounds them."""

import sys

import numpy as np
import pytest
from PIL import Image

from oracles.drawings import block, correlate_by_hand
from striderule.errors import InvalidArgument, InvalidType, MissingExtra
from striderule.figures import animate, animation
from striderule.figures.sliding import Sliding
from striderule.figures.steps import Layout

SQUARE = np.zeros((5, 5), int)
SQUARE[1:4, 1:4] = 1
EDGES = [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]


@pytest.mark.parametrize(
    ("how", "count"),
    [({}, 9), ({"stride": 2}, 4), ({"padding": ((1, 0), 0), "stride": (2, 1)}, 6), ({"dilation": 2}, 1)],
)
def test_one_frame_for_each_output(tmp_path, how, count):
    gif, png = animate(SQUARE, EDGES, tmp_path / "slide.gif", dpi=40, **how)
    assert (gif.name, png.name) == ("slide.gif", "slide.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["slide.gif", "slide.png"]
    with Image.open(gif) as frames, Image.open(png) as still:
        assert getattr(frames, "n_frames", 1) == count
        assert frames.size == still.size
        assert max(frames.size) <= 10.5 * 40
    assert gif.stat().st_size < 15_000 * (count + 1)


def test_speed(tmp_path):
    gif, _ = animate(SQUARE, EDGES, str(tmp_path / "slide.gif"), fps=4, dpi=30)
    with Image.open(gif) as frames:
        assert frames.info["loop"] == 0
        durations = []
        for k in range(frames.n_frames):
            frames.seek(k)
            durations.append(frames.info["duration"])
    assert durations[:-1] == [250] * 8
    assert durations[-1] == 250 + animation.REST_MS


def test_the_output_grows_to_the_result(tmp_path, monkeypatch):
    seen = []
    draw = animation._draw_frame

    def spy(ax, plan, place, *rest):
        draw(ax, plan, place, *rest)
        seen.append((place, plan, {text.get_position()[::-1]: text.get_text() for text in ax.texts}))
        if place == (2, 2):
            row, column = plan.output_at
            assert (block(ax, (row, column), (3, 3)) == correlate_by_hand(SQUARE.tolist(), EDGES)).all()

    monkeypatch.setattr(animation, "_draw_frame", spy)
    animate(SQUARE, EDGES, tmp_path / "slide.gif", dpi=30)
    assert [place for place, _, _ in seen] == [(i, j) for i in range(3) for j in range(3)]
    for place, plan, written in seen:
        row, column = plan.output_at
        filled = [written[row + i, column + j] != "" for i in range(3) for j in range(3)]
        done = 3 * place[0] + place[1] + 1
        assert filled == [True] * done + [False] * (9 - done)


def test_the_output_stands_beside_the_panels():
    found = Sliding.of(SQUARE, EDGES, stride=1, dilation=1, padding=0, boundary="constant")
    plan = Layout(found, found.frame(), with_output=True)
    assert plan.output_at[1] > plan.panels[1][-1] + 3


def test_files_are_replaced_only_when_complete(tmp_path, monkeypatch):
    (tmp_path / "slide.gif").write_bytes(b"old")

    def failing(*_args):
        raise RuntimeError("disk full")

    monkeypatch.setattr(animation, "_save_gif", failing)
    with pytest.raises(RuntimeError, match="disk full"):
        animate(SQUARE, EDGES, tmp_path / "slide.gif", dpi=30)
    assert [path.name for path in tmp_path.iterdir()] == ["slide.gif"]
    assert (tmp_path / "slide.gif").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"path": "slide.png"}, InvalidArgument, r"path must end in .gif, got 'slide.png'"),
        ({"path": 3}, InvalidType, "path must be a file name, got 3"),
        ({"path": "nowhere/slide.gif"}, InvalidArgument, "path must lie in a folder that exists.*make nowhere first"),
        ({"fps": 0}, InvalidArgument, "fps must be from 0.02 to 50, got 0"),
        ({"fps": True}, InvalidType, "fps must be a number, got True"),
        ({"dpi": 10}, InvalidArgument, "dpi must be from 20 to 300, got 10"),
        ({"image": np.zeros((20, 20)), "kernel": [[1]]}, InvalidArgument, "an animation has 1 to 256 frames"),
        ({"image": np.zeros((30, 30)), "stride": 3}, InvalidArgument, "at most 24 rows and columns with its padding"),
        ({"image": np.zeros((18, 18)), "dpi": 300}, InvalidArgument, "at most 150000000 pixels in all"),
        ({"kernel": np.ones((6, 6))}, InvalidArgument, "no output is left on axis 0"),
    ],
)
def test_refusals(tmp_path, monkeypatch, arguments, kind, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=message):
        animate(**({"image": SQUARE, "kernel": EDGES, "path": "slide.gif"} | arguments))
    assert list(tmp_path.iterdir()) == []


def test_without_pillow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(
        MissingExtra, match=r"pillow is not installed; it comes with: pip install 'striderule\[figures\]'"
    ):
        animate(SQUARE, EDGES, tmp_path / "slide.gif", dpi=30)
