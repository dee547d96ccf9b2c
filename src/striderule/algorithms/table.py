"""The one table of algorithms."""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache
from types import ModuleType
from typing import Any

from striderule.algorithms.direct import giving_way
from striderule.codegen import target
from striderule.errors import CompilationFailed, InvalidArgument
from striderule.planning import algorithm_word

PACKAGES = {
    "depthwise": "striderule.algorithms.depthwise",
    "dots": "striderule.algorithms.dots",
    "direct": "striderule.algorithms.direct",
    "fourier": "striderule.algorithms.fourier",
    "reference": "striderule.algorithms.reference",
    "separable": "striderule.algorithms.separable",
    "stencil": "striderule.algorithms.stencil",
    "windows": "striderule.algorithms.windows",
    "winograd": "striderule.algorithms.winograd",
}
DEFAULT = "windows"
MEANS = {"direct": "in generated code", "reference": "in plain Python", "windows": "in NumPy"}


def family(name: str, algorithm: str | None = None) -> ModuleType:
    """Return the module that computes a family of operations ("convolution", "pooling", ...) by an algorithm.

    Operations that are planned pass ``plan.algorithm``; the others pass the user's word, and None takes ``direct``
    where it computes the family. Where no code can be made that gives way to ``windows``, with one warning.

    Raises
    ------
    InvalidArgument
        If the algorithm does not compute that family.
    """
    asked = algorithm_word(algorithm) or ("direct" if _has("direct", name) else DEFAULT)
    word = asked.partition(":")[0]
    if not _has(word, name):
        others = ", ".join(other for other in PACKAGES if _has(other, name))
        raise InvalidArgument(f"algorithm={asked!r} does not compute this operation; None, {others} do")
    if word == "direct" and not _compiles():
        word = DEFAULT
    return _module(word, name)


def into(module: ModuleType, out: Any) -> dict[str, Any]:
    """Return the keyword with which a function of a module writes its result to `out` itself, where it can."""
    writes = module.__name__.startswith(PACKAGES["direct"]) or module.__name__.endswith(".stencil")
    return {"out": out} if out is not None and writes else {}


def in_variant(variant: str | None) -> dict[str, Any]:
    """Return the keyword that tells a function which variant of its algorithm computes; one way needs none."""
    return {} if variant is None else {"variant": variant}


def means(name: str, operation: str, algorithm: str | None = None) -> str:
    """Return what computes an operation of a family, in words; a module may leave some of them to another's."""
    where = str(getattr(family(name, algorithm), operation).__module__)
    return next(words for word, words in MEANS.items() if where.startswith(PACKAGES[word]))


def generated(module: str) -> ModuleType | None:
    """Return a module of `striderule.algorithms` that needs generated code; None where none can be made.

    For what is no family of operations with algorithms of its own. One warning says that NumPy computes.
    """
    return importlib.import_module(f"striderule.algorithms.{module}") if _compiles() else None


def _compiles() -> bool:
    """Tell whether code can be made here, and warn where it cannot."""
    try:
        target.available()
    except CompilationFailed as failure:
        giving_way.warn(failure)
        return False
    return True


@cache
def _module(algorithm: str, name: str) -> ModuleType:
    return importlib.import_module(f"{PACKAGES[algorithm]}.{name}")


@cache
def _has(algorithm: str, name: str) -> bool:
    return importlib.util.find_spec(f"{PACKAGES[algorithm]}.{name}") is not None
