"""The small parts of the tour: comparisons, formulas, Markdown, code in colours, showing and writing."""

import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

import striderule as sr
from striderule import tour
from striderule.errors import InvalidArgument, InvalidType
from striderule.tour import files, highlight, markdown, showing


def test_compare_allows_rounding_only(capsys):
    x = np.array([1.0, 2.0])
    found = tour.compare(near=(x + 1e-15, x), far=(x + 1e-12, x), single=((x + 1e-6).astype(np.float32), x))
    assert [found[name].holds for name in ("near", "far", "single")] == [True, False, True]
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("near: largest difference 1.1e-15 (rounding allows 2.8e-14)")
    assert said[1].endswith(": TOO LARGE")


def test_compare_wants_whole_numbers_exact(capsys):
    found = tour.compare(same=([1, 2], [1, 2]), other_one=([1, 2], [1, 3]))
    assert found["same"].holds
    assert not found["other_one"].holds
    assert "same: largest difference 0 (whole numbers: exact)\nother one: " in capsys.readouterr().out


def test_compare_lets_no_nan_pass(capsys):
    assert not tour.compare(nan=([1.0, np.nan], [1.0, 2.0]))["nan"].holds


def test_compare_refuses_other_shapes():
    with pytest.raises(InvalidArgument, match=r"deck must be two arrays of the same shape, got \(2,\) and \(3,\)"):
        tour.compare(deck=([1, 2], [1, 2, 3]))


@pytest.mark.parametrize("size", [(5, 5), (320, 480)])
@pytest.mark.parametrize("words", [{}, {"stride": 2, "padding": 1}, {"dilation": 3, "padding": 2}])
def test_formula_has_the_result_of_geometry(size, words):
    lines = tour.shape_formula(size, 3, **words).splitlines()
    assert lines[0].endswith("= ⌊(n + 2p − d·(k − 1) − 1) / s⌋ + 1")
    results = [int(line.rpartition("= ")[2]) for line in lines[1:]]
    assert results == [sr.geometry.output_size(n, 3, **words) for n in dict.fromkeys(size)]
    for line in lines[1:]:  # the numbers that were put in give it, too
        formula = line.split(" = ")[1]
        python = formula.replace("⌊", "int(").replace("⌋", ")").replace("·", "*").replace("−", "-")
        assert eval(python) == results[lines.index(line) - 1]


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("one\nparagraph", "<p>one paragraph</p>"),
        ("a < b & `c > *d*`", "<p>a &lt; b &amp; <code>c &gt; *d*</code></p>"),
        ("## Head\ntext", "<h3>Head</h3>\n<p>text</p>"),
        ("- one\n  more\n- **two**", "<ul><li>one more</li><li><strong>two</strong></li></ul>"),
        ("[a](https://b.org/c_d)", '<p><a href="https://b.org/c_d">a</a></p>'),
        ("[a](javascript:b)", "<p>[a](javascript:b)</p>"),
        (
            "| a | b |\n|---|---|\n| 1 | `2` |",
            '<div class="wide"><table><thead><tr><th>a</th><th>b</th></tr></thead>'
            "<tbody><tr><td>1</td><td><code>2</code></td></tr></tbody></table></div>",
        ),
    ],
)
def test_markdown(text, html):
    assert markdown.html(text) == html


def plain(html):
    """Return what a reader of HTML sees."""
    parts = []
    parser = HTMLParser()
    parser.handle_data = parts.append
    parser.feed(html)
    parser.close()
    return "".join(parts)


def test_highlighting_keeps_every_character():
    for chapter in tour.contents():
        for cell in chapter.cells:
            if cell.kind != "markdown":
                assert plain(highlight.html(cell.source)) == cell.source
    tricky = 'x = """a\n <b> {c}"""  # & d\nif x:\n\ty = f"{x!r:>{4}} z" + \\\n        "w"\n'
    assert plain(highlight.html(tricky)) == tricky


def test_highlighting_marks():
    html = highlight.html("for i in (1, 'a'):  # why\n    pass")
    assert '<span class="k">for</span>' in html
    assert '<span class="n">1</span>' in html
    assert '<span class="s">&#x27;a&#x27;</span>' in html
    assert '<span class="c"># why</span>' in html


def test_show_at_a_prompt_writes_files(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tour.show(
        one_kernel=sr.figures.kernel([[-1, 0, 1]]),
        moving=lambda path: sr.figures.animate([[0, 1, 2]], [[1, -1]], path),
    )
    assert capsys.readouterr().out == "wrote one-kernel.png\nwrote moving.gif\n"
    assert (tmp_path / "one-kernel.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "moving.gif").read_bytes().startswith(b"GIF8")


def test_show_refuses_what_it_cannot_show():
    with pytest.raises(InvalidType, match=r"a must be a matplotlib Axes or a function that writes .*, got int"):
        tour.show(a=1)


def test_collecting_nests_and_ends():
    axes = sr.figures.kernel([[1]])
    with showing.collecting() as outer:
        with showing.collecting() as inner:
            tour.show(a=axes)
        tour.show(b=axes)
    assert [shot.name for shot in outer] == ["b"]
    assert [shot.name for shot in inner] == ["a"]


def test_writing_replaces_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "a.txt"
    files.write(path, "old")
    files.write(path, b"new")
    assert path.read_text() == "new"
    with pytest.raises(TypeError):
        files.write(path, 3)
    assert path.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_importing_the_tour_draws_nothing():
    code = "import sys, striderule.tour; print(*(name in sys.modules for name in ('matplotlib', 'PIL', 'nbformat')))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["False"] * 3
