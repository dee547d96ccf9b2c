"""Chapters as files: how their cells are read, run, and set on a picture."""

from pathlib import Path

import pytest

from striderule.errors import StrideruleError
from striderule.tour.cells import Drawing, read
from striderule.tour.running import run, with_photograph

SCRIPT = '''"""A title.

One sentence
on two lines.
"""

# %% [markdown]
# Some *text*.
#
# - a list

# %%

x = 1
print(x)

# %% figure: A caption: with a colon.
# first: what is seen
#   and more of it
# second-one: something else
draw(x)

# %% shape
print("3")

# %% check
checks = {}
'''


@pytest.fixture
def chapter(tmp_path):
    def make(text=SCRIPT, name="ch07_a_name.py"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return read(path)

    return make


def test_head(chapter):
    found = chapter()
    assert (found.number, found.slug, found.title) == (7, "07-a-name", "A title")
    assert found.summary == "One sentence on two lines."
    assert found.heading == "7. A title"
    closing = chapter(name="closing.py")
    assert (closing.number, closing.slug, closing.heading) == (None, "closing", "A title")


def test_cells(chapter):
    cells = chapter().cells
    assert [cell.kind for cell in cells] == ["markdown", "code", "figure", "shape", "check"]
    assert cells[0].source == "Some *text*.\n\n- a list"
    assert cells[1].source == "x = 1\nprint(x)"
    assert cells[2].source == "draw(x)"
    assert cells[2].caption == "A caption: with a colon."
    assert cells[2].drawings == (
        Drawing("first", "what is seen and more of it"),
        Drawing("second-one", "something else"),
    )


def test_lines_are_those_of_the_file(chapter):
    found = chapter()
    lines = found.path.read_text(encoding="utf-8").splitlines()
    for cell in found.cells:
        assert lines[cell.line - 1].removeprefix("# ") == cell.source.splitlines()[0]


def test_an_error_shows_the_line_of_the_file(chapter):
    found = chapter('"""T."""\n\n# %%\n\nx = 1\nx / 0\n')
    with pytest.raises(ZeroDivisionError) as caught:
        run(found)
    last = caught.traceback[-1]
    assert (Path(str(last.path)), last.lineno + 1) == (found.path, 6)


def test_a_figure_without_description_is_refused(chapter):
    code = "import striderule as sr\nsr.tour.show(a=sr.figures.image([[1, 2]]))"
    with pytest.raises(StrideruleError, match=r"line 4: the cell shows \['a'\] but describes \[\]; every drawing"):
        run(chapter(f'"""T."""\n\n# %% figure: c\n{code}\n'))


def test_variables_and_print(chapter):
    found = run(chapter('"""T."""\n\n# %%\nx = 1\n\n# %%\nprint(x + 1)\n'))
    assert found.variables["x"] == 1
    assert [shown.printed for shown in found.shown] == ["", "2\n"]
    assert found.checks == {}


def test_the_readers_picture_is_in_the_code(chapter):
    found = chapter('"""T."""\n\n# %% [markdown]\n# photograph()\n\n# %%\nx = tour.photograph().mean()\n')
    path = Path("/pictures/it's mine.jpg")
    own = with_photograph(found, path)
    assert own.cells[0] == found.cells[0]
    assert own.cells[1].source == f"x = tour.photograph({str(path)!r}).mean()"
    assert with_photograph(found, None) is found
