"""What every rule of differentiation is given and gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from striderule.functional import tracing
from striderule.functional.door import Array

# From the gradient with respect to the result to those with respect to the wanted arguments, by their names. None
# stands for an argument that has none, such as a running statistic.
Pull = Callable[[Array], dict[str, Array | None]]


@dataclass(frozen=True, slots=True)
class Call:
    """A call to be differentiated: the function, all of its arguments by name, and the names of those wanted.

    `given` names the arguments that are no defaults.
    """

    op: Callable[..., Any]
    arguments: dict[str, Any]
    wanted: frozenset[str]
    given: frozenset[str] = frozenset()

    def array(self, name: str) -> Array:
        """Return an argument as an array."""
        return np.asarray(self.arguments[name])

    def run(self, **changed: Any) -> Any:
        """Return the result, with some of the arguments changed."""
        return self.op(**{**self.arguments, **changed})

    def traced(self, **changed: Any) -> tuple[Any, tuple[Any, ...]]:
        """Return the result and what the function found its arguments to be."""
        return tracing.traced(self.op, (), {**self.arguments, **changed})


# A rule: the result of a call, and what pulls gradients back through it.
Rule = Callable[[Call], tuple[Any, Pull]]
