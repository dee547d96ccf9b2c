"""What the README and the pages in docs say is run: code, commands, links, names of files."""

import contextlib
import doctest
import io
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|href|srcset)=\"([^\"]+)\"")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def blocks(page, *languages):
    """Return (line number, code) of the fenced blocks of a page in these languages."""
    text = page.read_text(encoding="utf-8")
    return [
        (text.count("\n", 0, found.start()) + 2, found[2]) for found in FENCE.finditer(text) if found[1] in languages
    ]


def run(code, page, line, names):
    """Run a block: a session with prompts by doctest, plain code as it is; the names stay for the next block."""
    if ">>>" not in code:
        exec(compile("\n" * (line - 1) + code, page, "exec"), names)
        return
    test = doctest.DocTestParser().get_doctest(code, names, f"{page}:{line}", page, line)
    report = io.StringIO()
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
    failed = runner.run(test, out=report.write, clear_globs=False).failed
    names.update(test.globs)
    assert not failed, report.getvalue()


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder to work in, with the photograph that examples call photo.jpg."""
    photograph = ROOT / "src" / "striderule" / "tour" / "data" / "coffee.jpg"
    shutil.copy(photograph, tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python", "pycon")], ids=name_of)
def test_code_runs(page, desk):
    names = {"__name__": "__main__"}
    with contextlib.redirect_stdout(io.StringIO()):
        for line, code in blocks(page, "python", "pycon"):
            run(code, name_of(page), line, names)


def commands(page):
    """Return the lines of shell blocks that call striderule, without comments and continued lines joined."""
    shell = "\n".join(code for _, code in blocks(page, "sh", "console", "bash")).replace("\\\n", " ")
    return [line for line in shell.splitlines() if line.startswith("striderule ")]


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=name_of)
def test_commands_run(page, desk):
    from striderule.cli.app import app

    for line in commands(page):
        words = shlex.split(line, comments=True)[1:]
        if words == ["tour"] or words[0] in ("train", "predict"):  # they have their own tests, and take a while
            continue
        with contextlib.redirect_stdout(io.StringIO()) as said, pytest.raises(SystemExit) as left:
            app(words, prog_name="striderule")
        assert left.value.code == 0, line
        if "--json" in words:
            json.loads(said.getvalue())


@pytest.mark.parametrize("page", [page for page in PAGES if "make " in page.read_text("utf-8")], ids=name_of)
def test_targets_exist(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    shell = "\n".join(code for _, code in blocks(page, "sh", "console", "bash"))
    named = re.findall(r"`make ([a-z-]+)`", page.read_text("utf-8")) + re.findall(
        r"^make ([a-z-]+)", shell, re.MULTILINE
    )
    assert set(named) <= targets


def anchors(page):
    """Return the anchors of a page's headings, made as GitHub makes them."""
    words = (heading.lower().replace("`", "") for heading in HEADING.findall(page.read_text("utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading).strip().replace(" ", "-") for heading in words}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    for found in LINK.findall(page.read_text("utf-8")):
        target, _, anchor = "".join(found).partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        place = (page.parent / target).resolve() if target else page
        assert place.exists(), target
        if anchor:
            assert anchor in anchors(place), f"{target}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_that_are_named_exist(page):
    """A word in backticks that looks like a path of the project is one."""
    words = re.findall(r"`((?:src|tests|docs|benchmarks)/[\w./*-]+)`", page.read_text("utf-8"))
    assert [word for word in words if not list(ROOT.glob(word.rstrip("/")))] == []


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")} - {"README.md"}
    assert {page for page in pages if f"({page})" not in index} == set()


def test_the_citation_names_this_version():
    import striderule

    fields = dict(
        re.findall(r"^([a-z-]+): *\"?([^\"\n]*)\"?$", (ROOT / "CITATION.cff").read_text("utf-8"), re.MULTILINE)
    )
    assert fields["version"] == striderule.__version__
    assert fields["cff-version"] == "1.2.0"
    assert f"## [{striderule.__version__}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")
