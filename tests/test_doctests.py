"""The examples in docstrings run, and every public function has what a reader looks for in its docstring."""

import doctest
import importlib
import importlib.util
import inspect
import pkgutil
import re

import pytest

import striderule
from public_names import public_functions

# Chapters are scripts that the tour runs cell by cell, and the others run on import or need a terminal.
SCRIPTS = ("striderule.tour.chapters.", "striderule.__main__", "striderule.tour.__main__")
FUNCTIONS = public_functions()


def modules():
    # Walking imports packages; that of PyTorch's users is walked where PyTorch is.
    found = pkgutil.walk_packages(striderule.__path__, "striderule.", onerror=lambda _: None)
    left_out = SCRIPTS if importlib.util.find_spec("torch") else (*SCRIPTS, "striderule.torch")
    return ["striderule", *(module.name for module in found if not module.name.startswith(left_out))]


@pytest.mark.parametrize("name", modules())
def test_examples_of(name, tmp_path, monkeypatch, capsys):
    module = importlib.import_module(name)
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, name):
        runner.run(test, clear_globs=False)
    assert runner.summarize(verbose=False).failed == 0, capsys.readouterr().out


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstring_of(name):
    function = FUNCTIONS[name]
    text = inspect.getdoc(function) or ""
    sections = {"Examples"}
    parameters = [word for word in inspect.signature(function).parameters if word not in ("self", "cls")]
    if parameters:
        sections |= {"Parameters"}
    if not inspect.isclass(function) and inspect.signature(function).return_annotation not in ("None", None):
        sections |= {"Returns"}
    missing = {section for section in sections if f"\n{section}\n{'-' * len(section)}" not in text}
    assert not missing
    assert ">>> " in text
    described = text.partition("\nParameters\n")[2].partition("\nReturns\n")[0]
    assert [word for word in parameters if not re.search(rf"\b{word}\b", described)] == []
