"""The house has floors, and imports only go down: read from the source, not from what happens to be loaded."""

import ast
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from striderule.codegen import sources

SOURCE = Path(__file__).parents[1] / "src" / "striderule"

# From the roof to the ground. What stands on one floor does not know its neighbours, except as BESIDE says.
FLOORS = (
    ("__init__", "__main__"),
    ("cli", "tour"),
    ("learning",),
    ("figures", "models", "torch"),
    ("nn", "filters", "kernels", "config"),
    ("functional",),
    ("algorithms",),
    ("planning", "codegen"),
    ("geometry",),
    ("errors", "_version"),
)
FLOOR_OF = {name: number for number, floor in enumerate(FLOORS) for name in floor}

BESIDE = {
    ("cli", "tour"): "`striderule tour` builds the tour",
    ("filters", "kernels"): "filters apply the kernels that have names",
}
# Commands and chapters are written as users write: `import striderule as sr`. Everything else names what it needs.
FACE_IS_FOR = ("__init__", "__main__", "cli", "tour")
# Where packages of the extras may be imported when the module is; elsewhere inside the function that needs them.
WITH_EXTRAS = ("cli", "tour", "figures")
PLAIN_PYTHON = ("geometry", "planning", "errors", "_version", "__init__", "__main__")
PEERS = ("torch", "scipy", "skimage", "cv2")


@dataclass(frozen=True)
class Import:
    """One import: what, on which line, and whether it happens as soon as the module is imported."""

    target: str
    line: int
    at_once: bool


def imports_of(path, module):
    """Return every import of a file, in functions and for the type checker too; `module` is its dotted name."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = []

    def visit(node, at_once):
        if isinstance(node, ast.Import):
            found.extend(Import(alias.name, node.lineno, at_once) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *filter(None, [base])])
            found.extend(Import(f"{base}.{alias.name}", node.lineno, at_once) for alias in node.names)
        elif isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func):
            found.extend(Import(name, node.lineno, at_once) for name in [_written(node.args[0])] if name)
        later = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.iter_child_nodes(node):
            visit(child, at_once and not later and not typing_only)

    visit(ast.parse(path.read_text(encoding="utf-8")), at_once=True)
    return found


def _written(name):
    """Return the part of a dynamically imported name that is written out: up to the last dot before a placeholder."""
    if isinstance(name, ast.Constant):
        return name.value
    if isinstance(name, ast.JoinedStr) and isinstance(name.values[0], ast.Constant):
        return name.values[0].value.rpartition(".")[0]
    return None


def part_of(dotted):
    """Return the part of the house that an import of `striderule...` reaches; names of the face are `__init__`."""
    _, *names = dotted.split(".")
    return names[0] if names and names[0] in FLOOR_OF else "__init__"


def violations(source):
    """Return one line for every import below `source` that breaks a rule."""
    lines = []
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        module = ".".join(["striderule", *(part for part in parts if part != "__init__")])
        here = parts[0]
        if here not in FLOOR_OF:
            lines.append(f"{path}: {here} has no floor; add it to FLOORS")
            continue
        for found in imports_of(path, module):
            reason = broken_rule(here, found)
            if reason:
                lines.append(f"{path}:{found.line}: {found.target}: {reason}")
    return lines


def broken_rule(here, found):
    """Return why the part `here` may not have this import, or None."""
    root = found.target.partition(".")[0]
    if root == "striderule":
        there = part_of(found.target)
        if there == "__init__":
            return None if here in FACE_IS_FOR else "only commands and chapters use the public face"
        if here == there or (here, there) in BESIDE or FLOOR_OF[there] > FLOOR_OF[here]:
            return None
        return f"{here} stands below or beside {there}; imports only go down"
    if root in sys.stdlib_module_names:
        return None
    if root == here == "torch":  # what it is for
        return None
    if root in PEERS:
        return "peers are compared with in tests, never used"
    if root == "llvmlite":
        return None if here == "codegen" else "only codegen knows llvmlite"
    if root == "numpy":
        return f"{here} has no arrays" if here in PLAIN_PYTHON else None
    if found.at_once and here not in WITH_EXTRAS:
        return "a package of an extra is imported inside the function that needs it"
    return None


def test_imports_only_go_down():
    assert list(SOURCE.rglob("*.py")), SOURCE
    assert violations(SOURCE) == []


def test_every_floor_that_stands_is_listed():
    packages = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()}
    modules = {path.stem for path in SOURCE.glob("*.py")}
    assert packages | modules <= set(FLOOR_OF)


def test_all_that_algorithms_may_import_has_a_say_in_their_routines():
    ground = FLOORS[FLOOR_OF["algorithms"] :]
    # Modules of the ground floor hold errors and a number.
    assert set(sources.FOLDERS) == {name for floor in ground for name in floor} - {"errors", "_version"}


# The checker itself is tested on small houses that break one rule each.
@pytest.mark.parametrize(
    ("file", "code", "reason"),
    [
        ("geometry/window.py", "import numpy as np", "geometry has no arrays"),
        ("planning/rules.py", "def rule():\n    import numpy.linalg", "planning has no arrays"),
        ("geometry/window.py", "from striderule.planning import choose", "geometry stands below"),
        ("planning/choose.py", "from striderule.codegen.tile import loop", "planning stands below or beside codegen"),
        ("codegen/tile.py", "from striderule.planning import choose", "codegen stands below or beside planning"),
        ("functional/door.py", "from ..filters import gaussian", "functional stands below"),
        ("functional/door.py", "def f():\n    from striderule import nn", "functional stands below"),
        ("functional/door.py", "from striderule import conv2d", "only commands and chapters"),
        ("filters/edges.py", "import striderule as sr", "only commands and chapters"),
        ("nn/layer.py", "from striderule.filters import box", "nn stands below or beside filters"),
        ("tour/pages.py", "from striderule.cli import app", "tour stands below or beside cli"),
        ("algorithms/table.py", "import importlib\nimportlib.import_module(f'striderule.nn.{1}')", "algorithms stands"),
        ("algorithms/direct.py", "def f():\n    import llvmlite.binding", "only codegen knows llvmlite"),
        ("filters/edges.py", "def f():\n    import scipy.ndimage", "peers"),
        ("functional/door.py", "from PIL import Image", "inside the function"),
        ("config.py", "import rich.table", "inside the function"),
        ("kernels/show.py", "class A:\n    import matplotlib", "inside the function"),
        ("explorer/page.py", "", "has no floor"),
        (
            "geometry/window.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from striderule.nn import Layer",
            "geometry stands below",
        ),
    ],
)
def test_the_checker_catches(tmp_path, file, code, reason):
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(code)
    found = violations(tmp_path)
    assert len(found) == 1, found
    assert reason in found[0]


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("cli/app.py", "import typer\nimport striderule\nfrom striderule.tour import build"),
        ("tour/chapters/ch01.py", "import numpy as np\nimport striderule as sr"),
        ("filters/edges.py", "from striderule.kernels import sobel\nfrom striderule.errors import InvalidArgument"),
        ("filters/edges.py", "def f():\n    from PIL import Image"),
        ("algorithms/direct.py", "from striderule.codegen.tile import loop\nfrom striderule.planning import Plan"),
        ("codegen/jit.py", "import llvmlite.binding"),
        ("functional/door.py", "from . import layers\nfrom ..geometry.window import output_size"),
        ("figures/maps.py", "import math, matplotlib\nfrom striderule.nn import Layer"),
    ],
)
def test_the_checker_lets_pass(tmp_path, file, code):
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(code)
    assert violations(tmp_path) == []
