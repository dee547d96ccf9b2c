"""What `import striderule` loads, and what is said when a package of an extra is missing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import striderule as sr

# Hides packages as if they had never been installed: every finder of the interpreter stops finding them.
HIDE = """
import sys
from pathlib import Path

class Without:
    def __init__(self, finder, hidden):
        self.finder, self.hidden = finder, hidden
    def find_spec(self, name, *place):
        return None if name.partition(".")[0] in self.hidden else self.finder.find_spec(name, *place)
    def __getattr__(self, name):
        return getattr(self.finder, name)

def hide(*hidden):
    sys.meta_path[:] = [Without(finder, hidden) for finder in sys.meta_path]
"""


def python(code, cwd=None):
    """Run code in a fresh interpreter and return what it did."""
    # Not -I: coverage and editable installs work through the site.
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd, check=False)


def loaded_by(code):
    done = python(f"import sys\nbefore = set(sys.modules)\n{code}\nprint(*sorted(set(sys.modules) - before))")
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_importing_the_library_loads_its_face_and_looks_at_its_source():
    loaded = loaded_by("import striderule as sr; sr.__version__; dir(sr)")
    own = {name for name in loaded if name.startswith("striderule")}
    assert own == {"striderule", "striderule._version", "striderule.codegen", "striderule.codegen.sources"}
    assert not loaded & {"dataclasses", "hashlib", "inspect", "pathlib"}  # each of them would take longer than the rest
    assert not {name.partition(".")[0] for name in loaded} - set(sys.stdlib_module_names) - {"striderule"}


def test_geometry_loads_no_numpy():
    assert "numpy" not in loaded_by("import striderule as sr; sr.geometry.output_size(224, 7, 2, 3)")


@pytest.mark.parametrize("name", ["conv2d", "max_pool2d", "filters", "kernels", "nn"])
def test_computing_loads_nothing_but_numpy(name):
    loaded = loaded_by(f"import striderule as sr; sr.{name}")
    optional = {"matplotlib", "PIL", "rich", "typer", "tifffile", "imagecodecs", "nbformat", "safetensors"}
    assert not {module.partition(".")[0] for module in loaded} & optional


def test_every_public_name_is_there():
    for name in sr.__all__:
        assert getattr(sr, name) is not None
    assert dir(sr) == sorted(sr.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'conv4d'"):
        _ = sr.conv4d


# matplotlib does not do without Pillow, so figures cannot lack Pillow alone.
CASES = [
    ("matplotlib", "figures", "sr.figures.image([[1, 2], [3, 4]])"),
    ("matplotlib", "tour|figures", "sr.tour.build('tour', chapter=1)"),
    ("PIL", "tour|figures", "sr.tour.photograph()"),
    ("nbformat", "tour", "sr.tour.build('tour', chapter=1)"),
    ("safetensors", "networks", "sr.nn.save(sr.nn.PReLU(), 'x.safetensors')"),
]


@pytest.mark.parametrize(("package", "extra", "code"), CASES)
def test_a_missing_extra_is_named(tmp_path, package, extra, code):
    program = f"{HIDE}\nhide({package!r})\nimport striderule as sr\n"
    program += f"try:\n    {code}\nexcept sr.errors.MissingExtra as error:\n    print(error)"
    done = python(program, tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1, done.stdout
    assert any(f"pip install 'striderule[{word}]'" in done.stdout for word in extra.split("|")), done.stdout


COMMANDS = [
    ("typer", "cli", ["config"]),
    ("rich", "cli", ["config"]),
    ("PIL", "cli|figures", ["filter", "a.png", "b.png", "--kernel", "sobel"]),
    ("tifffile", "cli", ["filter", "a.tif", "b.tif", "--kernel", "sobel"]),
    ("matplotlib", "tour|figures", ["tour"]),
    ("nbformat", "tour", ["tour", "--chapter", "1"]),
]


@pytest.mark.parametrize(("package", "extra", "words"), COMMANDS)
def test_a_command_without_its_extra_says_so_in_one_line(tmp_path, package, extra, words):
    (tmp_path / "a.tif").write_bytes(b"II*\0\x08\0\0\0\0\0\0\0\0\0")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    program = f"{HIDE}\nhide({package!r})\nsys.argv = ['striderule', *{words!r}]\n"
    program += "from striderule.__main__ import main\nmain()"
    done = python(program, tmp_path)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("striderule: "), done.stderr
    assert any(f"pip install 'striderule[{word}]'" in done.stderr for word in extra.split("|")), done.stderr


def test_the_module_is_the_command():
    words = [sys.executable, "-m", "striderule", "--version"]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == f"striderule {sr.__version__}\n"


def test_type_checkers_are_told_the_same_names():
    """The imports under TYPE_CHECKING name every lazy name, from the module that the table gives."""
    tree = ast.parse(Path(sr.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    told = {alias.asname: node.module for node in block.body for alias in node.names}
    assert told == {name: f"striderule.{home}" for name, home in sr._HOME.items()} | dict.fromkeys(
        sr._SUBMODULES, "striderule"
    )
