"""The page: complete in itself, well formed, and readable without seeing it."""

import re
from html.parser import HTMLParser

import pytest

from striderule.tour import Comparison, contents, run
from striderule.tour.running import Run, Shown
from striderule.tour.webpage import page

VOID = {"meta", "img", "source", "br", "hr", "link", "input"}


class Reader(HTMLParser):
    """Checks that elements nest, and collects them."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        assert len(attrs) == len(dict(attrs)), f"an attribute twice in {tag}"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def html(built):
    return built.index.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def reader(html):
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


def test_it_is_a_document(html, reader):
    assert html.startswith("<!doctype html>")
    assert reader.all("html") == [{"lang": "en"}]
    assert len(reader.all("h1")) == len(reader.all("main")) == len(reader.all("title")) == 1
    assert "$" not in "".join(reader.text)  # every placeholder of the template is filled


def test_it_loads_nothing(html, reader):
    for tag, attributes in reader.elements:
        for name in ("src", "srcset", "data", "poster", "action"):
            assert attributes.get(name, "data:").startswith("data:"), (tag, name)
        assert tag not in ("link", "iframe", "object", "embed", "base")
    style = html.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    script = html.partition("<script>")[2].partition("</script>")[0]
    assert not re.search(r"https?:|fetch|import|XMLHttp", script)


def test_every_image_has_a_description_and_a_size(reader):
    images = reader.all("img")
    assert len(images) > 40
    for image in images:
        assert len(image["alt"]) > 20
        assert int(image["width"]) > 0
        assert int(image["height"]) > 0
    assert len({image["alt"] for image in images}) > 35


def test_the_animation_stands_still_for_who_wants_it(reader):
    moving = [image for image in reader.all("img") if image["src"].startswith("data:image/gif")]
    assert len(moving) == len(reader.all("source")) == 1
    assert reader.all("source")[0]["media"] == "(prefers-reduced-motion: reduce)"


def test_contents_lead_to_every_chapter(reader):
    ids = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    sections = [section["id"] for section in reader.all("section")]
    assert sections == [chapter.slug for chapter in contents()]
    links = [link["href"] for link in reader.all("a")]
    assert links[1:17] == [f"#{slug}" for slug in sections]
    assert all(link[1:] in ids for link in links if link.startswith("#"))


def test_notebooks_are_where_the_page_says(built, reader):
    books = [link["href"] for link in reader.all("a") if link["href"].endswith(".ipynb")]
    assert len(books) == 15
    assert all((built.out / book).is_file() for book in books)


def test_it_is_light_enough_to_send(html):
    assert len(html.encode()) < 8_000_000


def test_light_and_dark_phone_and_laptop(html):
    assert "prefers-color-scheme: dark" in html
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in html


def test_the_verdict_counts_the_checks(built, reader):
    count = sum(len(run.checks) for run in built.runs.values())
    assert f"{count} comparisons with the loops, all within rounding" in "".join(reader.text)
    assert "TOO LARGE" not in "".join(reader.text)


def test_a_check_that_fails_is_shown_as_failed():
    chapter = contents()[0]
    cell = next(cell for cell in chapter.cells if cell.kind == "check")
    broken = Shown(cell, "deck: largest difference 1.0: TOO LARGE", checks={"deck": Comparison(1.0, 1e-12)})
    text = page([Run(chapter, (broken,), {})])
    assert "1 of 1 comparisons with the loops do not hold" in text
    assert "Not equal to the loops" in text


def test_the_closing_page_alone_has_no_verdict():
    assert "comparisons with the loops" not in page([run(contents()[-1])])
