"""The one table of algorithms."""

from __future__ import annotations

import importlib
from types import ModuleType

from striderule.planning import algorithm_word

PACKAGES = {"reference": "striderule.algorithms.reference", "windows": "striderule.algorithms.windows"}
DEFAULT = "windows"


def family(name: str, algorithm: str | None = None) -> ModuleType:
    """Return the module that computes a family of operations ("convolution", "pooling", ...) by an algorithm.

    None takes the default. Operations that are planned pass ``plan.algorithm``; the others pass the user's word.
    """
    word = algorithm_word(algorithm) or DEFAULT
    return importlib.import_module(f"{PACKAGES[word]}.{name}")
