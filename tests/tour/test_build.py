"""What `build` writes, what it refuses, and the module as a command."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from striderule import tour
from striderule.errors import InvalidArgument, StrideruleError
from striderule.tour.__main__ import main


def test_it_writes_page_figures_and_notebooks(built):
    assert built.index == built.out / "index.html"
    slugs = [chapter.slug for chapter in tour.contents() if chapter.number is not None]
    assert sorted(path.stem for path in (built.out / "notebooks").iterdir()) == slugs
    figures = {path.name for path in (built.out / "figures").iterdir()}
    for number, run in built.runs.items():
        for shown in run.shown:
            for drawing in shown.cell.drawings:
                assert f"{number:02d}-{drawing.name}.png" in figures
    assert "02-sliding-window.gif" in figures
    assert len(figures) == 1 + sum(len(shown.shots) for run in built.runs.values() for shown in run.shown)
    assert not list(built.out.rglob(".*"))  # nothing half written is left


def test_figures_are_pictures(built):
    for path in (built.out / "figures").iterdir():
        with Image.open(path) as picture:
            picture.load()
            assert min(picture.size) > 100


def test_progress_is_reported_before_each_chapter_and_at_the_end(built):
    titles = [chapter.heading for chapter in tour.contents()]
    assert built.progress == [*((done, 16, title) for done, title in enumerate(titles)), (16, 16, "done")]


def test_one_chapter(tmp_path):
    index = tour.build(tmp_path / "one", chapter=4)
    text = index.read_text(encoding="utf-8")
    assert text.count('<section class="chapter"') == 1
    assert "4. Stride" in text
    assert [path.name for path in (tmp_path / "one" / "notebooks").iterdir()] == ["04-stride.ipynb"]
    assert all(path.name.startswith("04-") for path in (tmp_path / "one" / "figures").iterdir())


def test_the_same_tour_is_the_same_bytes(tmp_path):
    first, second = (tour.build(tmp_path / name, chapter=4).read_bytes() for name in ("a", "b"))
    assert first == second


def test_files_of_others_are_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    tour.build(tmp_path, chapter=4)
    tour.build(tmp_path, chapter=4)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("shape", [(37, 1500), (900, 40), (1, 1), (640, 960)])
def test_pictures_of_any_shape_do(tmp_path, shape):
    path = tmp_path / "own picture's name.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)).save(path)
    index = tour.build(tmp_path / "out", image=path, chapter=4)
    text = index.read_text(encoding="utf-8")
    assert "picture&#x27;s name.png" in text  # the code shown is the code that ran
    assert "The photograph is your own." in text
    assert "within rounding" in text


@pytest.mark.parametrize("number", range(1, 16))
def test_every_chapter_does_with_a_tiny_picture(tmp_path, number):
    if number == 15:
        pytest.importorskip("sklearn.datasets")
    path = tmp_path / "tiny.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (9, 7), dtype=np.uint8)).save(path)
    chapter = next(chapter for chapter in tour.contents() if chapter.number == number)
    checks = tour.run(tour.running.with_photograph(chapter, path)).checks
    assert checks
    assert all(found.holds for found in checks.values())


@pytest.mark.parametrize("number", [0, 16, -1])
def test_unknown_chapters_are_refused(tmp_path, number):
    with pytest.raises(InvalidArgument, match=f"chapter must be a number from 1 to 15, got {number}"):
        tour.build(tmp_path / "out", chapter=number)
    assert not (tmp_path / "out").exists()


def test_a_chapter_that_is_no_number_is_refused(tmp_path):
    with pytest.raises(StrideruleError, match="chapter must be an integer, got 'two'"):
        tour.build(tmp_path / "out", chapter="two")


def test_a_missing_picture_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(InvalidArgument, match=r"image must be a picture file, got 'nowhere.jpg', which does not exist"):
        tour.build(tmp_path / "out", image="nowhere.jpg")
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_picture_is_refused(tmp_path):
    (tmp_path / "letter.jpg").write_text("dear all")
    with pytest.raises(InvalidArgument, match=r"image must be a picture that Pillow reads, got .*letter\.jpg"):
        tour.build(tmp_path / "out", image=tmp_path / "letter.jpg")


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(InvalidArgument, match=r"out must be a folder that can be written, got .*name another one"):
        tour.build(tmp_path / "out", chapter=1)


def test_the_command_says_where_to_look(tmp_path, capsys):
    assert main(["--out", str(tmp_path / "here"), "--chapter", "4"]) == 0
    said = capsys.readouterr().out
    assert "[ 0/1] 4. Stride" in said
    assert (tmp_path / "here" / "index.html").as_uri() in said


def test_the_command_refuses_in_one_line(tmp_path, capsys):
    assert main(["--out", str(tmp_path / "here"), "--chapter", "99"]) == 2
    said = capsys.readouterr().err
    assert said == "striderule: chapter must be a number from 1 to 15, got 99; leave it out to build all\n"


def test_the_module_is_the_command(tmp_path):
    words = [sys.executable, "-m", "striderule.tour", "--image", "nowhere.jpg"]
    done = subprocess.run(words, check=False, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("striderule: image must be a picture file")
    assert done.stdout == ""
