"""The notebooks run where only the library is installed."""

from pathlib import Path

import nbformat
import pytest

from striderule.tour import contents

NUMBERED = [chapter for chapter in contents() if chapter.number is not None]


def book(built, chapter):
    return nbformat.read(built.out / "notebooks" / f"{chapter.slug}.ipynb", as_version=4)


@pytest.mark.parametrize("chapter", NUMBERED, ids=lambda chapter: chapter.slug)
def test_a_notebook_is_the_chapter(built, chapter):
    notebook = book(built, chapter)
    nbformat.validate(notebook)
    assert notebook.cells[0].source.startswith(f"# {chapter.heading}\n")
    assert len(notebook.cells) == len(chapter.cells) + 1
    for cell, ours in zip(notebook.cells[1:], chapter.cells, strict=True):
        assert cell.cell_type == ("markdown" if ours.kind == "markdown" else "code")
        assert cell.source.endswith(ours.source)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)


@pytest.mark.parametrize("chapter", NUMBERED, ids=lambda chapter: chapter.slug)
def test_pasted_into_a_prompt_it_runs(built, chapter, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for cell in book(built, chapter).cells:
        if cell.cell_type == "code":
            exec(cell.source, names)
    said = capsys.readouterr().out
    assert "TOO LARGE" not in said
    drawn = [drawing.name for cell in chapter.cells for drawing in cell.drawings]
    assert sorted(path.stem for path in Path.cwd().iterdir()) == sorted(set(drawn))
    assert said.count("wrote ") == len(drawn)


@pytest.mark.parametrize("number", [2])  # which has figures that move and that do not
def test_jupyter_runs_it_and_shows_the_figures(built, number, tmp_path):
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = book(built, NUMBERED[number - 1])
    client = nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    for cell, ours in zip(notebook.cells[1:], NUMBERED[number - 1].cells, strict=True):
        shown = [output for output in cell.get("outputs", []) if output.output_type == "display_data"]
        assert len(shown) == len(ours.drawings)
        assert all({"image/png", "image/gif"} & set(output.data) for output in shown)
    assert list(tmp_path.iterdir()) == []
